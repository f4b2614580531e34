"""Decisions and questions pass through the gateway in the caller's name, and their answers as they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.chassis.client import open_channel
from services.chassis.errors import (
    Conflict,
    ErrorInterceptor,
    Exhausted,
    Malformed,
    NotFound,
    ServiceError,
    Unavailable,
    from_rpc,
)
from services.chassis.postgres import Pool
from services.gateway import limits as limits_module
from services.gateway.access import ADMIN, QUERY, RECOVER, Access
from services.gateway.forwarding import SCORING_SERVICES, TOUCHPOINT_SERVICES, Forwarding
from services.gateway.limits import Limits
from services.gateway.settings import Settings
from tests.support.decisions import acknowledgement, definition, opening, remedy, served
from tests.support.gateway_keys import KEYRING, add_key, bearer
from tests.support.stack import free_port
from touchledger.v1 import cases_pb2, cases_pb2_grpc, catalog_pb2, catalog_pb2_grpc

SETTINGS = Settings.model_validate(
    {"database_url": "postgresql://nowhere", "secret_key_file": "nowhere"}
)
CUSTOMER = "erika.mustermann@example.org"


@dataclass(frozen=True)
class Gateway:
    """Asks as the office of acme, which may do everything here."""

    channel: grpc.aio.Channel
    url: str
    key: str

    async def ask(self, request: Message, *, key: str = "", **call: Any) -> Any:
        name = type(request).__name__.removesuffix("Request")
        stubs = (
            catalog_pb2_grpc.TouchpointCatalogServiceStub(self.channel),
            cases_pb2_grpc.RecoveryCaseServiceStub(self.channel),
        )
        [rpc] = [getattr(stub, name) for stub in stubs if hasattr(stub, name)]
        metadata = (*bearer(key or self.key), *call.pop("metadata", ()))
        return await rpc(request, metadata=metadata, **{"timeout": 20, **call})

    async def refusal(self, request: Message, **call: Any) -> ServiceError:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.ask(request, **call)
        return from_rpc(refused.value)


@contextlib.asynccontextmanager
async def gateway_before(url: str, behind: grpc.aio.Channel) -> AsyncIterator[Gateway]:
    key = await add_key(url, "acme", [QUERY, RECOVER, ADMIN], source="office")
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=2))
        server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=1000)])
        forwarding = Forwarding(Access(pool, KEYRING), Limits(SETTINGS, pool), KEYRING)
        for service in TOUCHPOINT_SERVICES:
            forwarding.add(service, behind, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Gateway(channel, url, key)


@pytest.fixture
async def gateway(journal_pool: Pool, new_database: Callable[[str], str]) -> AsyncIterator[Gateway]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with served(journal_pool) as behind, gateway_before(url, behind) as opened:
        yield opened


async def test_what_is_decided_is_of_the_tenant_of_the_key_whatever_the_caller_says(
    gateway: Gateway,
) -> None:
    await gateway.ask(definition(), metadata=(("touchledger-tenant", "other"),))
    read = catalog_pb2.GetTouchpointRequest(touchpoint="store.checkout")
    assert "Store operations" == (await gateway.ask(read)).touchpoint.owner
    other = await add_key(gateway.url, "other", [QUERY])
    assert isinstance(await gateway.refusal(read, key=other), NotFound)


async def test_who_decides_begins_with_the_source_of_the_key(gateway: Gateway) -> None:
    answer = await gateway.ask(definition())
    assert "office/staff-7" == answer.touchpoint.decided_by
    opened = await gateway.ask(opening(decided_by=""))
    assert "office" == opened.recovery_case.opened_by


async def test_a_name_that_does_not_fit_behind_the_source_is_told_as_the_caller_gave_it(
    gateway: Gateway,
) -> None:
    await gateway.ask(opening(decided_by="s" * 121))
    refused = await gateway.refusal(opening(decided_by="s" * 122))
    assert ("decided_by", "122 characters", "at most 121 characters") == (
        refused.problem.field,
        refused.problem.got,
        refused.problem.want,
    )


async def test_a_customer_travels_as_the_pseudonym_that_stands_in_events(
    gateway: Gateway, journal_pool: Pool
) -> None:
    opened = await gateway.ask(opening(customer=CUSTOMER))
    pseudonym = KEYRING.pseudonym("acme", CUSTOMER)
    assert pseudonym == opened.recovery_case.customer
    read = await gateway.ask(cases_pb2.GetCaseRequest(case_id="case-1"))
    assert pseudonym == read.recovery_case.customer
    stored = await journal_pool.fetch("SELECT * FROM journal.stored_events")
    assert CUSTOMER not in str(stored)
    assert pseudonym in str(stored)


async def test_what_looks_like_a_pseudonym_is_somebodys_reference_all_the_same(
    gateway: Gateway,
) -> None:
    given = KEYRING.pseudonym("acme", CUSTOMER)
    opened = await gateway.ask(opening(customer=given))
    assert KEYRING.pseudonym("acme", given) == opened.recovery_case.customer


@pytest.mark.parametrize("customer", ["c" * 257, "a\nb"])
async def test_a_customer_that_no_event_could_name_is_refused_without_being_quoted(
    gateway: Gateway, customer: str
) -> None:
    refused = await gateway.refusal(opening(customer=customer))
    assert ("customer", f"{len(customer)} characters") == (
        refused.problem.field,
        refused.problem.got,
    )
    assert customer not in str(refused)


def test_a_customer_is_nowhere_in_requests_but_where_the_gateway_looks() -> None:
    def below(message: Descriptor, path: str, seen: frozenset[str]) -> list[str]:
        found = []
        for field in message.fields:
            here = f"{path}.{field.name}"
            if field.name == "customer":
                found.append(here)
            if field.message_type and field.message_type.full_name not in seen:
                found += below(field.message_type, here, seen | {field.message_type.full_name})
        return found

    requests = [
        method.input_type
        for service in (*TOUCHPOINT_SERVICES, *SCORING_SERVICES)
        for method in service.methods
    ]
    found = [path for each in requests for path in below(each, each.name, frozenset())]
    assert ["OpenCaseRequest.customer"] == found


async def test_a_repeated_command_is_the_same_command(gateway: Gateway, journal_pool: Pool) -> None:
    first = await gateway.ask(opening(customer=CUSTOMER))
    assert first == await gateway.ask(opening(customer=CUSTOMER))
    assert 1 == await journal_pool.fetchval("SELECT count(*) FROM journal.stored_events")


async def test_refusals_pass_through_with_their_problem(gateway: Gateway) -> None:
    await gateway.ask(opening())
    await gateway.ask(remedy())
    wrong = await gateway.refusal(acknowledgement())
    assert (Conflict, "WRONG_STATUS") == (type(wrong), wrong.problem.code)
    missing = await gateway.refusal(cases_pb2.GetCaseRequest(case_id="another"))
    assert isinstance(missing, NotFound)
    malformed = await gateway.refusal(catalog_pb2.GetTouchpointRequest(touchpoint="a b"))
    assert (Malformed, "touchpoint") == (type(malformed), malformed.problem.field)


async def test_bytes_that_are_no_request_are_malformed(gateway: Gateway) -> None:
    path = "/touchledger.v1.RecoveryCaseService/OpenCase"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await gateway.channel.unary_unary(path)(
            b"\xff\xff", metadata=bearer(gateway.key), timeout=20
        )
    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()


async def test_a_service_that_is_away_is_told_with_when_to_come_back(
    new_database: Callable[[str], str],
) -> None:
    url = await asyncio.to_thread(new_database, "gateway")
    async with (
        open_channel(f"127.0.0.1:{free_port()}") as nowhere,
        gateway_before(url, nowhere) as gateway,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gateway.ask(opening())
    assert isinstance(from_rpc(refused.value), Unavailable)
    assert "127.0.0.1" not in str(refused.value.details())
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert any(each.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for each in status.details)


async def test_a_caller_that_waits_for_less_is_not_kept_for_longer(
    new_database: Callable[[str], str],
) -> None:
    """The service behind gets what is left of the caller's time, so that it does nothing for nobody."""
    left: list[float] = []

    class Listening(cases_pb2_grpc.RecoveryCaseServiceServicer):
        async def GetCase(
            self, request: cases_pb2.GetCaseRequest, context: grpc.aio.ServicerContext
        ) -> cases_pb2.GetCaseResponse:
            left.append(context.time_remaining())
            return cases_pb2.GetCaseResponse()

    server = grpc.aio.server()
    cases_pb2_grpc.add_RecoveryCaseServiceServicer_to_server(
        Listening(),  # type: ignore[abstract]  # the others are not asked
        server,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    url = await asyncio.to_thread(new_database, "gateway")
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as behind,
        gateway_before(url, behind) as gateway,
    ):
        asked = cases_pb2.GetCaseRequest(case_id="a")
        await gateway.ask(asked, timeout=9)
        await gateway.ask(asked, timeout=None)
    await server.stop(None)
    assert 8 < left[0] < 10
    assert 29 < left[1] < 31


async def test_questions_at_once_are_bounded(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "QUESTIONS_TENANT_MAX", 0)
    refused = await gateway.refusal(cases_pb2.GetCaseRequest(case_id="a"))
    assert isinstance(refused, Exhausted)
