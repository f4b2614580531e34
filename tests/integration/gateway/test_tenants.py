"""Whatever a tenant asks with the ids of another's things is answered as if nobody had them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.chassis.errors import from_rpc
from services.gateway.access import ADMIN, LOCAL_SCOPES, METHODS
from tests.conftest import SERVICES
from tests.integration.gateway.test_scopes import all_methods
from tests.support import decisions
from tests.support.events import csat, event, feedback
from tests.support.gateway_keys import bearer, key_of
from tests.support.stack import Stack, running_stack
from touchledger.v1 import (
    alerts_pb2,
    buffer_pb2,
    experience_pb2,
    ingest_pb2,
    keys_pb2,
    projections_pb2,
    scoring_pb2,
)
from touchledger.v1 import cases_pb2 as cases
from touchledger.v1 import catalog_pb2 as catalog
from touchledger.v1 import quarantine_pb2 as quarantine
from touchledger.v1 import webhooks_pb2 as webhooks
from touchledger.v1.journal_pb2 import Position

CAUGHT_UP_SECONDS_MAX = 20.0


@dataclass(frozen=True)
class Ids:
    """What things are found by."""

    event_id: str
    touchpoint: str
    case_id: str
    key_id: str
    quarantine_id: str
    webhook_id: str
    source: str
    customer: str
    rule: str


def published(ids: Ids) -> Any:
    return event(event_id=ids.event_id, touchpoint=ids.touchpoint, customer=ids.customer)


def rule(ids: Ids) -> Any:
    return alerts_pb2.AlertRule(
        name=ids.rule,
        part="csat_bottom2",
        whole="csat_answered",
        touchpoint_glob=ids.touchpoint,
        p0=0.1,
        starts_on="2026-08-01",
    )


def of_case(request: Any, ids: Ids) -> Any:
    request.case_id = ids.case_id
    return request


# A request that names the things, for each RPC. The commands are ones that the owner could give.
REQUESTS: dict[str, Callable[[Ids], Message]] = {
    "IngestService/Publish": lambda ids: ingest_pb2.PublishRequest(event=published(ids)),
    "IngestService/PublishBatch": lambda ids: ingest_pb2.PublishBatchRequest(
        events=[published(ids)]
    ),
    "IngestService/PublishStream": lambda ids: ingest_pb2.PublishStreamRequest(
        sequence=1, events=[published(ids)]
    ),
    "IngestService/GetOutcomes": lambda ids: ingest_pb2.GetOutcomesRequest(
        event_ids=[ids.event_id]
    ),
    "BufferService/GetBuffer": lambda ids: buffer_pb2.GetBufferRequest(),
    "BufferService/ReconcileBuffer": lambda ids: buffer_pb2.ReconcileBufferRequest(),
    "ScoringService/GetScores": lambda ids: scoring_pb2.GetScoresRequest(
        touchpoint_glob=ids.touchpoint
    ),
    "ScoringService/GetStatus": lambda ids: scoring_pb2.GetStatusRequest(),
    "ScoringService/GetSeries": lambda ids: scoring_pb2.GetSeriesRequest(
        touchpoint_glob=ids.touchpoint, groups=[scoring_pb2.GROUP_BY_TOUCHPOINT]
    ),
    "ScoringService/GetJourney": lambda ids: scoring_pb2.GetJourneyRequest(customer=ids.customer),
    "ScoringService/GetBridge": lambda ids: scoring_pb2.GetBridgeRequest(
        score="csat_mean", touchpoint_glob=ids.touchpoint, seen_position=Position(number=1)
    ),
    "ScoringService/GetLineage": lambda ids: scoring_pb2.GetLineageRequest(
        touchpoint_glob=ids.touchpoint
    ),
    "ScoringService/WatchScores": lambda ids: scoring_pb2.WatchScoresRequest(
        question=scoring_pb2.GetScoresRequest(touchpoint_glob=ids.touchpoint)
    ),
    "AlertService/PutAlertRule": lambda ids: alerts_pb2.PutAlertRuleRequest(rule=rule(ids)),
    "AlertService/ListAlertRules": lambda ids: alerts_pb2.ListAlertRulesRequest(),
    "AlertService/RemoveAlertRule": lambda ids: alerts_pb2.RemoveAlertRuleRequest(name=ids.rule),
    "AlertService/ListAlerts": lambda ids: alerts_pb2.ListAlertsRequest(rule=ids.rule),
    "AlertService/BackTest": lambda ids: alerts_pb2.BackTestRequest(name=ids.rule),
    "AlertService/WatchAlerts": lambda ids: alerts_pb2.WatchAlertsRequest(),
    "AlertService/ListAlertDeliveries": lambda ids: alerts_pb2.ListAlertDeliveriesRequest(),
    "ProjectionService/GetProjections": lambda ids: projections_pb2.GetProjectionsRequest(),
    "ProjectionService/RebuildProjection": lambda ids: projections_pb2.RebuildProjectionRequest(),
    "ProjectionService/DiffProjection": lambda ids: projections_pb2.DiffProjectionRequest(),
    "ProjectionService/SwitchProjection": lambda ids: projections_pb2.SwitchProjectionRequest(),
    "ProjectionService/RollBackProjection": lambda ids: projections_pb2.RollBackProjectionRequest(),
    "TouchpointCatalogService/DefineTouchpoint": lambda ids: decisions.definition(ids.touchpoint),
    "TouchpointCatalogService/ChangeTouchpoint": lambda ids: catalog.ChangeTouchpointRequest(
        request_id="change", touchpoint=ids.touchpoint, owner="somebody else"
    ),
    "TouchpointCatalogService/RetireTouchpoint": lambda ids: decisions.retirement(ids.touchpoint),
    "TouchpointCatalogService/GetTouchpoint": lambda ids: catalog.GetTouchpointRequest(
        touchpoint=ids.touchpoint
    ),
    "TouchpointCatalogService/ListTouchpoints": lambda ids: catalog.ListTouchpointsRequest(),
    "RecoveryCaseService/OpenCase": lambda ids: decisions.opening(
        ids.case_id, touchpoint=ids.touchpoint
    ),
    "RecoveryCaseService/AcknowledgeCase": lambda ids: decisions.acknowledgement(ids.case_id),
    "RecoveryCaseService/RemedyCase": lambda ids: decisions.remedy(case_id=ids.case_id),
    "RecoveryCaseService/GiveGoodwill": lambda ids: of_case(decisions.goodwill(), ids),
    "RecoveryCaseService/CloseCase": lambda ids: decisions.closing(ids.case_id),
    "RecoveryCaseService/ReopenCase": lambda ids: of_case(decisions.reopening(), ids),
    "RecoveryCaseService/GetCase": lambda ids: cases.GetCaseRequest(case_id=ids.case_id),
    "RecoveryCaseService/ListCases": lambda ids: cases.ListCasesRequest(touchpoint=ids.touchpoint),
    "KeyService/CreateKey": lambda ids: keys_pb2.CreateKeyRequest(
        key=keys_pb2.Key(source=ids.source, scopes=["publish"])
    ),
    "KeyService/ListKeys": lambda ids: keys_pb2.ListKeysRequest(
        source=ids.source, include_dead=True
    ),
    "KeyService/RevokeKey": lambda ids: keys_pb2.RevokeKeyRequest(key_id=ids.key_id),
    "QuarantineService/ListQuarantined": lambda ids: quarantine.ListQuarantinedRequest(
        source=ids.source
    ),
    "QuarantineService/GetQuarantined": lambda ids: quarantine.GetQuarantinedRequest(
        quarantine_id=ids.quarantine_id
    ),
    "QuarantineService/ReplayQuarantined": lambda ids: quarantine.ReplayQuarantinedRequest(
        quarantine_id=ids.quarantine_id
    ),
    "QuarantineService/DiscardQuarantined": lambda ids: quarantine.DiscardQuarantinedRequest(
        quarantine_id=ids.quarantine_id, reason="a test"
    ),
    "WebhookService/CreateWebhook": lambda ids: webhooks.CreateWebhookRequest(
        webhook=webhooks.Webhook(adapter="square.v1", source=ids.source),
        public_url="https://events.shop.example",
        secret="a secret",
    ),
    "ExperienceService/ListFigures": lambda _: experience_pb2.ListFiguresRequest(),
    "ExperienceService/GetFigure": lambda _: experience_pb2.GetFigureRequest(figure="asking"),
    "ExperienceService/GetFigureEvents": lambda ids: experience_pb2.GetFigureEventsRequest(
        figure="asking", keys=[f"touchpoint={ids.touchpoint}"]
    ),
    "WebhookService/ListWebhooks": lambda ids: webhooks.ListWebhooksRequest(source=ids.source),
    "WebhookService/UpdateWebhook": lambda ids: webhooks.UpdateWebhookRequest(
        webhook_id=ids.webhook_id, secret="another"
    ),
    "WebhookService/DeleteWebhook": lambda ids: webhooks.DeleteWebhookRequest(
        webhook_id=ids.webhook_id
    ),
    "WebhookService/ReplayDeliveries": lambda ids: webhooks.ReplayDeliveriesRequest(
        webhook_id=ids.webhook_id
    ),
}
# What tells how the owner's things are, to be the same before and after others tried.
READS = (
    *("TouchpointCatalogService/GetTouchpoint", "TouchpointCatalogService/ListTouchpoints"),
    *("RecoveryCaseService/GetCase", "RecoveryCaseService/ListCases"),
    *("QuarantineService/GetQuarantined", "QuarantineService/ListQuarantined"),
    *("KeyService/ListKeys", "WebhookService/ListWebhooks", "ScoringService/GetScores"),
    *("ScoringService/GetSeries", "ScoringService/GetJourney", "ScoringService/GetLineage"),
    *("ScoringService/WatchScores", "AlertService/ListAlertRules", "ExperienceService/GetFigure"),
)
# Made anew in each answer, or of the journal as a whole; a customer's pseudonym is another in each tenant.
OF_THE_MOMENT = {
    *("position", "head", "checkpoint", "lag", "checkpointRecordedAt", "asOfPosition"),
    *("freshness", "recordedAt", "fromPosition", "putAt", "judgedAt"),
    *(
        "definedAt",
        "decidedAt",
        "openedAt",
        "createdAt",
        "secret",
        "keyId",
        "webhookId",
        "url",
        "customer",
    ),
}


@dataclass(frozen=True)
class Client:
    channel: grpc.aio.Channel
    key: str

    async def ask(self, rpc: str, ids: Ids) -> Message:
        path = f"/touchledger.v1.{rpc}"
        kinds: dict[str, Any] = {
            "request_serializer": lambda request: request.SerializeToString(),
            "response_deserializer": GetMessageClass(all_methods()[path].output_type).FromString,
        }
        call = {"metadata": bearer(self.key), "timeout": 20}
        request = REQUESTS[rpc](ids)
        answer: Message
        if all_methods()[path].server_streaming and not all_methods()[path].client_streaming:
            watch = self.channel.unary_stream(path, **kinds)(request, **call)
            answer = await watch.read()
            watch.cancel()
        elif all_methods()[path].client_streaming:
            stream = self.channel.stream_stream(path, **kinds)(iter([request]), **call)
            answers = [answer async for answer in stream]
            answer = answers[-1]
        else:
            answer = await self.channel.unary_unary(path, **kinds)(request, **call)
        return answer

    async def outcome(self, rpc: str, ids: Ids) -> str:
        """The answer or the refusal as text, with the kinds of the ids in their places."""
        try:
            told = json.dumps(_lasting(MessageToDict(await self.ask(rpc, ids))), indent=1)
        except grpc.aio.AioRpcError as error:
            told = f"{error.code().name}: {from_rpc(error).problem}"
        for kind, value in asdict(ids).items():
            told = told.replace(value, f"<{kind}>")
        return told


def _lasting(document: Any) -> Any:
    if isinstance(document, dict):
        return {
            name: _lasting(value) for name, value in document.items() if name not in OF_THE_MOMENT
        }
    return [_lasting(each) for each in document] if isinstance(document, list) else document


@dataclass(frozen=True)
class Owned:
    """A gateway, and the things of tenant acme behind it."""

    stack: Stack
    channel: grpc.aio.Channel
    owner: Client
    ids: Ids

    async def newcomer(self, name: str) -> Client:
        return Client(self.channel, await key_of(self.stack, name, *LOCAL_SCOPES, source="office"))


@pytest.fixture(scope="module")
def stack_of_all(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("tenants")
    with running_stack(folder, {name: new_database(name) for name in SERVICES}) as running:
        yield running


@pytest.fixture
async def acme(stack_of_all: Stack) -> AsyncIterator[Owned]:
    async with grpc.aio.insecure_channel(stack_of_all.gateway.address) as channel:
        key = await key_of(stack_of_all, "acme", *LOCAL_SCOPES, source="acme-till")
        owner = Client(channel, key)
        ids = Ids(
            *("acme-event", "store.acme", "acme-case", key.split("_")[1], "", "", "acme-till"),
            customer="acme-card",
            rule="acme-rule",
        )
        bad = feedback(csat("9"), event_id="acme-bad", touchpoint=ids.touchpoint)
        request = ingest_pb2.PublishBatchRequest(events=[published(ids), bad])
        answer = await channel.unary_unary(
            "/touchledger.v1.IngestService/PublishBatch",
            request_serializer=ingest_pb2.PublishBatchRequest.SerializeToString,
            response_deserializer=ingest_pb2.PublishBatchResponse.FromString,
        )(request, metadata=bearer(key), timeout=20)
        quarantine_id = answer.results[1].quarantine_id
        assert quarantine_id, answer
        for rpc in (
            *("TouchpointCatalogService/DefineTouchpoint", "RecoveryCaseService/OpenCase"),
            "AlertService/PutAlertRule",
        ):
            await owner.ask(rpc, ids)
        made: Any = await owner.ask("WebhookService/CreateWebhook", ids)
        ids = Ids(
            **asdict(ids) | {"quarantine_id": quarantine_id, "webhook_id": made.webhook.webhook_id}
        )
        async with asyncio.timeout(CAUGHT_UP_SECONDS_MAX):
            # The projection is another process: asking it is the only way to know.
            status: Any = await owner.ask("ScoringService/GetStatus", ids)
            while status.lag or not status.events:
                await asyncio.sleep(0.05)
                status = await owner.ask("ScoringService/GetStatus", ids)
        yield Owned(stack_of_all, channel, owner, ids)


def nobodys(ids: Ids) -> Ids:
    """Ids like these that nobody has."""
    return Ids(
        **{
            name: value[:-1] + ("0" if value[-1] != "0" else "1")
            for name, value in asdict(ids).items()
        }
    )


def test_each_rpc_is_tried() -> None:
    assert {path.removeprefix("/touchledger.v1.") for path in METHODS} == set(REQUESTS)


async def test_the_things_of_another_tenant_are_not_there(acme: Owned) -> None:
    before = {rpc: await acme.owner.outcome(rpc, acme.ids) for rpc in READS}
    assert {} == {rpc: told for rpc, told in before.items() if "<" not in told or told[0] != "{"}
    none = nobodys(acme.ids)
    theirs, nobodies = {}, {}
    for index, rpc in enumerate(REQUESTS):
        # Tenants of their own, so that what one has made is not there for the next.
        theirs[rpc] = await (await acme.newcomer(f"a-{index}")).outcome(rpc, acme.ids)
        nobodies[rpc] = await (await acme.newcomer(f"b-{index}")).outcome(rpc, none)
    assert nobodies == theirs
    assert before == {rpc: await acme.owner.outcome(rpc, acme.ids) for rpc in READS}


async def test_an_event_id_that_another_tenant_has_used_is_free(acme: Owned) -> None:
    newcomer = await acme.newcomer("newcomer")
    for expected in ("DISPOSITION_RECORDED", "DISPOSITION_DUPLICATE"):
        assert expected in await newcomer.outcome("IngestService/Publish", acme.ids)


async def test_an_admin_of_one_tenant_makes_keys_of_that_tenant(acme: Owned) -> None:
    key = await key_of(acme.stack, "maker", ADMIN)
    made: Any = await Client(acme.channel, key).ask("KeyService/CreateKey", acme.ids)
    told = await Client(acme.channel, made.secret).outcome("IngestService/Publish", acme.ids)
    # The id is acme's: as one of theirs this would have been a duplicate.
    assert "DISPOSITION_RECORDED" in told
