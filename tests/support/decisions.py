"""The decisions' gRPC services on loopback over a journal's database, and commands that a test changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from services.chassis.errors import ErrorInterceptor, ServiceError, from_rpc
from services.chassis.postgres import Pool
from services.touchpoint.cases_servicer import RecoveryCaseServicer
from services.touchpoint.catalog_servicer import TouchpointCatalogServicer
from services.touchpoint.decisions.decisions import Decisions
from services.touchpoint.journal import Journal
from touchledger.v1 import cases_pb2 as cases
from touchledger.v1 import cases_pb2_grpc, catalog_pb2_grpc
from touchledger.v1 import catalog_pb2 as catalog
from touchledger.v1 import events_pb2 as events

DEADLINE_SECONDS = 20
PSEUDONYM = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Client:
    """Asks for one tenant."""

    channel: grpc.aio.Channel
    tenant: str = "acme"

    async def ask(self, request: Message) -> Any:
        """The answer of the RPC that takes this request."""
        name = type(request).__name__.removesuffix("Request")
        stubs = (
            catalog_pb2_grpc.TouchpointCatalogServiceStub(self.channel),
            cases_pb2_grpc.RecoveryCaseServiceStub(self.channel),
        )
        [rpc] = [getattr(stub, name) for stub in stubs if hasattr(stub, name)]
        metadata = (("touchledger-tenant", self.tenant),) if self.tenant else ()
        return await rpc(request, metadata=metadata, timeout=DEADLINE_SECONDS)

    async def refusal(self, request: Message) -> ServiceError:
        """What the RPC is refused with."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.ask(request)
        return from_rpc(refused.value)


@contextlib.asynccontextmanager
async def served(pool: Pool) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to both services on this database, as a touchpoint process of its own serves them."""
    journal = await Journal.open(pool, stopping=asyncio.Event())
    decisions = Decisions(journal, pool)
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=1000)])
    catalog_pb2_grpc.add_TouchpointCatalogServiceServicer_to_server(
        TouchpointCatalogServicer(decisions, journal_id=journal.journal_id), server
    )
    cases_pb2_grpc.add_RecoveryCaseServiceServicer_to_server(
        RecoveryCaseServicer(decisions, journal_id=journal.journal_id), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


def standard() -> catalog.ServiceStandard:
    made = catalog.ServiceStandard(
        answers=[
            events.Signal(
                metric=events.METRIC_CSAT,
                value="4.5",
                scale_min="1",
                scale_max="5",
                direction=events.DIRECTION_HIGHER_IS_BETTER,
                dimension="empathy",
            )
        ]
    )
    made.wait_within.FromSeconds(120)
    made.answer_within.FromMilliseconds(2500)
    made.resolve_within.FromSeconds(86_400)
    return made


def definition(
    name: str = "store.checkout", *, request_id: str = "define", owner: str = "Store operations"
) -> catalog.DefineTouchpointRequest:
    return catalog.DefineTouchpointRequest(
        request_id=request_id,
        decided_by="staff-7",
        touchpoint=name,
        placement=catalog.Placement(stage=events.STAGE_PURCHASE, channel=events.CHANNEL_STORE),
        owner=owner,
        weight="0.25",
        expectation=standard(),
    )


def change(request_id: str, **changed: Any) -> catalog.ChangeTouchpointRequest:
    return catalog.ChangeTouchpointRequest(
        request_id=request_id, decided_by="staff-7", touchpoint="store.checkout", **changed
    )


def retirement(name: str = "store.checkout", **fields: Any) -> catalog.RetireTouchpointRequest:
    return catalog.RetireTouchpointRequest(
        request_id="retire",
        decided_by="staff-7",
        touchpoint=name,
        reason="store_closed",
        **fields,
    )


def opening(case_id: str = "case-1", **fields: Any) -> cases.OpenCaseRequest:
    given: dict[str, Any] = {
        "request_id": "open",
        "decided_by": "staff-7",
        "case_id": case_id,
        "touchpoint": "store.checkout",
        "customer": PSEUDONYM,
        "severity": events.SEVERITY_MAJOR,
        "correlation_id": "order-17",
        "failure": events.EventReference(source="till", event_id="event-17"),
        "assignee": "staff-8",
    }
    return cases.OpenCaseRequest(**given | fields)


def acknowledgement(case_id: str = "case-1", **fields: Any) -> cases.AcknowledgeCaseRequest:
    given = {"request_id": "acknowledge", "decided_by": "staff-9"}
    return cases.AcknowledgeCaseRequest(case_id=case_id, **given | fields)


def remedy(request_id: str = "remedy", **fields: Any) -> cases.RemedyCaseRequest:
    refund = events.Remedy(
        kind=events.REMEDY_KIND_REFUND, cost=events.Money(amount="12.90", currency="EUR")
    )
    given: dict[str, Any] = {"case_id": "case-1", "decided_by": "staff-9", "remedy": refund}
    return cases.RemedyCaseRequest(request_id=request_id, **given | fields)


def goodwill(**fields: Any) -> cases.GiveGoodwillRequest:
    voucher = events.Goodwill(kind="voucher", value=events.Money(amount="5", currency="EUR"))
    given: dict[str, Any] = {"request_id": "goodwill", "decided_by": "staff-9", "goodwill": voucher}
    return cases.GiveGoodwillRequest(case_id="case-1", **given | fields)


def closing(case_id: str = "case-1", **fields: Any) -> cases.CloseCaseRequest:
    given: dict[str, Any] = {"request_id": "close", "decided_by": "staff-9"}
    result = {"result": events.RECOVERY_RESULT_ACCEPTED}
    return cases.CloseCaseRequest(case_id=case_id, **given | (fields or result))


def reopening(**fields: Any) -> cases.ReopenCaseRequest:
    given = {"request_id": "reopen", "decided_by": "staff-9", "reason": "failed_again"}
    return cases.ReopenCaseRequest(case_id="case-1", **given | fields)
