"""A vendor's delivery is verified, stored and answered; its events are recorded once, whatever happens."""

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import psycopg
import pytest

from services.chassis.errors import BY_STATUS, Conflict, Malformed, NotFound, ServiceError
from services.gateway.access import ADMIN, PUBLISH, RECOVER
from services.gateway.adapters import square
from services.gateway.keyring import Keyring
from services.gateway.webhooks import WAITING_MAX, WEBHOOKS_OF_TENANT_MAX
from tests.conftest import SERVICES
from tests.support.ingest import told
from tests.support.stack import Service, Stack, free_port, running_stack
from touchledger.v1 import events_pb2, journal_pb2, journal_pb2_grpc, quarantine_pb2
from touchledger.v1 import webhooks_pb2 as pb
from touchledger.v1.quarantine_pb2_grpc import QuarantineServiceStub
from touchledger.v1.webhooks_pb2_grpc import WebhookServiceStub

CALL_SECONDS_MAX = 20.0
SEEN_SECONDS_MAX = 20.0
PUBLIC_URL = "https://events.shop.example"
SECRET = "what-square-told"
COMMENT = "Nobody picked up the phone."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Client:
    """Calls with one key."""

    channel: grpc.Channel
    key: str

    def create(self, adapter: str = "square.v1", **fields: Any) -> pb.Webhook:
        webhook = {"adapter": adapter, "source": "square"} | fields.pop("webhook", {})
        request: dict[str, Any] = {"public_url": PUBLIC_URL, "secret": SECRET} | fields
        answer: pb.CreateWebhookResponse = self.call(
            "CreateWebhook", pb.CreateWebhookRequest(webhook=pb.Webhook(**webhook), **request)
        )
        return answer.webhook

    def listed(self) -> list[pb.Webhook]:
        return list(self.call("ListWebhooks", pb.ListWebhooksRequest()).webhooks)

    def counts(self, webhook: pb.Webhook) -> pb.WebhookCounts:
        [found] = [each for each in self.listed() if each.webhook_id == webhook.webhook_id]
        return found.counts

    def replay(self, webhook: pb.Webhook) -> pb.ReplayDeliveriesResponse:
        answer: pb.ReplayDeliveriesResponse = self.call(
            "ReplayDeliveries", pb.ReplayDeliveriesRequest(webhook_id=webhook.webhook_id)
        )
        return answer

    def configure(self, webhook: pb.Webhook, config: dict[str, Any]) -> None:
        self.call(
            "UpdateWebhook",
            pb.UpdateWebhookRequest(webhook_id=webhook.webhook_id, config_json=json.dumps(config)),
        )

    def call(self, rpc: str, request: Any) -> Any:
        return self._call(getattr(WebhookServiceStub(self.channel), rpc), request)

    def released(self) -> dict[str, str]:
        """Quarantined entries that are released: their formats by the event id that they came with."""
        stub = QuarantineServiceStub(self.channel)
        request = quarantine_pb2.ListQuarantinedRequest(
            status=quarantine_pb2.QUARANTINE_STATUS_RELEASED
        )
        return {
            each.event_id: each.format for each in self._call(stub.ListQuarantined, request).entries
        }

    def quarantined(self) -> list[quarantine_pb2.GetQuarantinedResponse]:
        stub = QuarantineServiceStub(self.channel)
        page = self._call(stub.ListQuarantined, quarantine_pb2.ListQuarantinedRequest())
        return [
            self._call(
                stub.GetQuarantined,
                quarantine_pb2.GetQuarantinedRequest(quarantine_id=each.quarantine_id),
            )
            for each in page.entries
        ]

    def discard(self, quarantine_id: str) -> None:
        self._call(
            QuarantineServiceStub(self.channel).DiscardQuarantined,
            quarantine_pb2.DiscardQuarantinedRequest(
                quarantine_id=quarantine_id, reason="test data"
            ),
        )

    def _call(self, rpc: Any, request: Any) -> Any:
        metadata = (("authorization", f"Bearer {self.key}"),)
        return rpc(request, metadata=metadata, timeout=CALL_SECONDS_MAX)


@dataclass(frozen=True, slots=True)
class Gateway:
    stack: Stack
    channel: grpc.Channel

    def client(self, *scopes: str, tenant: str, source: str = "admin") -> Client:
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        digest = Keyring(bytes.fromhex("17" * 32)).secret_digest(secret)
        self.sql(
            "INSERT INTO gateway.api_key (key_id, secret_digest, tenant, source, scopes) "
            "VALUES (%s, %s, %s, %s, %s)",
            *(key_id, digest, tenant, source, list(scopes)),
        )
        return Client(self.channel, f"tl_{key_id}_{secret}")

    def sql(self, statement: str, *values: Any) -> Any:
        with psycopg.connect(self.stack.urls["gateway"], autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]  # a described row is there

    def deliveries(self, webhook: pb.Webhook) -> int:
        count: int = self.sql(
            "SELECT count(*) FROM gateway.delivery WHERE webhook_id = %s", webhook.webhook_id
        )
        return count

    def recorded(self, tenant: str) -> list[events_pb2.Event]:
        with grpc.insecure_channel(self.stack.touchpoints[0].address) as channel:
            stub = journal_pb2_grpc.JournalServiceStub(channel)
            page = stub.ReadRange(journal_pb2.ReadRangeRequest(), timeout=CALL_SECONDS_MAX)
        return [
            events_pb2.Event.FromString(each.event) for each in page.events if each.tenant == tenant
        ]

    def post(
        self, webhook: pb.Webhook, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """As Square does, where no headers are given."""
        if headers is None:
            headers = {square.SIGNATURE: signed(webhook, body)}
        return self.post_to(urlsplit(webhook.url).path, body, headers)

    def post_to(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.stack.http_address, timeout=CALL_SECONDS_MAX)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            document = json.loads(answer.read())
            if answer.getheader("retry-after"):
                document["retry-after"] = answer.getheader("retry-after")
            return answer.status, document
        finally:
            connection.close()


def signed(webhook: pb.Webhook, body: bytes) -> str:
    mac = hmac.new(SECRET.encode(), webhook.url.encode() + body, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def payment(payment_id: str = "p1", *, cents: int = 1250, padding: int = 0) -> bytes:
    paid = {
        "id": payment_id,
        "status": "COMPLETED",
        "created_at": "2026-03-14T17:02:03Z",
        "total_money": {"amount": cents, "currency": "USD"},
        "source_type": "CASH",
        "customer_id": "C-1",
        "note": "x" * padding,
    }
    content = {"type": "payment", "id": payment_id, "object": {"payment": paid}}
    return json.dumps({"type": "payment.updated", "event_id": "e1", "data": content}).encode()


def until(found: Callable[[], T], *, what: str) -> T:
    """What is found once it is there."""
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while True:
        if it := found():
            return it
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def refusal(call: Callable[[], object]) -> type[ServiceError]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return BY_STATUS[raised.value.code()]


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Gateway]:
    urls = {name: new_database(name) for name in SERVICES}
    with running_stack(tmp_path_factory.mktemp("webhooks"), urls) as stack:
        yield from _of(stack)


@pytest.fixture
def own_gateway(stack: Stack) -> Iterator[Gateway]:
    """One whose services may be killed."""
    yield from _of(stack)


def _of(stack: Stack) -> Iterator[Gateway]:
    with grpc.insecure_channel(stack.gateway.address) as channel:
        yield Gateway(stack, channel)


@pytest.fixture
def tenant() -> str:
    """One that no other test has."""
    return f"tenant-{secrets.token_hex(4)}"


@pytest.fixture
def person(gateway: Gateway, tenant: str) -> Client:
    return gateway.client(ADMIN, RECOVER, tenant=tenant)


def test_a_signed_delivery_is_taken_and_its_event_recorded(
    gateway: Gateway, person: Client, tenant: str
) -> None:
    webhook = person.create(webhook={"trust": events_pb2.TRUST_AUDITED})
    status, answer = gateway.post(webhook, payment())
    assert (status, answer) == (202, {"delivery_id": answer["delivery_id"]})
    [event] = until(lambda: gateway.recorded(tenant), what="the event is recorded")
    assert ("payment:p1", "store.checkout") == (event.event_id, event.touchpoint)
    assert event.interaction.amount == events_pb2.Money(amount="12.50", currency="USD")
    assert event.customer not in ("", "C-1")
    assert ("square.v1", events_pb2.TRUST_AUDITED) == (event.intake.adapter, event.intake.trust)


def test_the_same_delivery_twice_is_one_event(
    gateway: Gateway, person: Client, tenant: str
) -> None:
    webhook = person.create()
    for _ in range(2):
        assert 202 == gateway.post(webhook, payment())[0]
    until(lambda: person.counts(webhook).deliveries == 2, what="both are mapped")
    counts = person.counts(webhook)
    assert (1, 1, 0) == (counts.recorded, counts.duplicates, counts.waiting)
    assert 1 == len(gateway.recorded(tenant))


@pytest.mark.parametrize(
    "headers",
    [{}, {square.SIGNATURE: "AAAA"}, {square.SIGNATURE: "x" * 5000}, {"authorization": "Bearer x"}],
)
def test_a_wrong_signature_is_401_and_nothing_is_stored(
    gateway: Gateway, person: Client, headers: dict[str, str]
) -> None:
    webhook = person.create()
    status, problem = gateway.post(webhook, payment(), headers)
    assert (status, problem["field"]) == (401, square.SIGNATURE)
    # Signed, but another body.
    assert (
        gateway.post(webhook, payment("p2"), {square.SIGNATURE: signed(webhook, payment())})[0]
        == 401
    )
    assert 0 == gateway.deliveries(webhook)


def test_a_webhook_is_opened_by_nothing_until_its_secret_is_set(
    gateway: Gateway, person: Client
) -> None:
    webhook = person.create(secret="")
    assert not webhook.has_secret
    assert 401 == gateway.post(webhook, payment())[0]
    person.call(
        "UpdateWebhook", pb.UpdateWebhookRequest(webhook_id=webhook.webhook_id, secret=SECRET)
    )
    assert 202 == gateway.post(webhook, payment())[0]


def test_any_other_address_is_404(gateway: Gateway, person: Client) -> None:
    webhook = person.create()
    path = urlsplit(webhook.url).path
    swapped = webhook.webhook_id[::-1]
    for wrong in (
        path.replace("square.v1", "zendesk.v1"),
        path.replace("square.v1", "%00"),
        path.replace(webhook.webhook_id, swapped),
        path.replace(webhook.webhook_id, "x"),
        path.replace(webhook.webhook_id, "%F0%9F%98%80"),
        path.replace(webhook.webhook_id, base64.urlsafe_b64encode(bytes(24)).decode()),
    ):
        headers = {square.SIGNATURE: signed(webhook, payment())}
        assert 404 == gateway.post_to(wrong, payment(), headers)[0], wrong


def test_what_is_stored_is_sealed(gateway: Gateway, person: Client) -> None:
    webhook = person.create()
    gateway.post(webhook, payment())
    stored = bytes(
        gateway.sql(
            "SELECT content FROM gateway.delivery WHERE webhook_id = %s", webhook.webhook_id
        )
    )
    assert b"C-1" not in stored
    assert b"payment" not in stored
    sealed = bytes(
        gateway.sql("SELECT secret FROM gateway.webhook WHERE webhook_id = %s", webhook.webhook_id)
    )
    assert SECRET.encode() not in sealed


def test_a_body_beyond_one_mebibyte_is_refused(gateway: Gateway, person: Client) -> None:
    webhook = person.create()
    assert 413 == gateway.post(webhook, payment(padding=1024 * 1024))[0]
    assert 0 == gateway.deliveries(webhook)


def test_a_compressed_delivery_is_refused_rather_than_stored_unreadable(
    gateway: Gateway, person: Client
) -> None:
    webhook = person.create()
    headers = {square.SIGNATURE: signed(webhook, payment()), "content-encoding": "gzip"}
    assert 415 == gateway.post(webhook, payment(), headers)[0]
    assert 0 == gateway.deliveries(webhook)


def test_a_large_delivery_is_answered_while_the_journal_is_away(
    own_gateway: Gateway, tenant: str
) -> None:
    person = own_gateway.client(ADMIN, RECOVER, tenant=tenant)
    webhook = person.create()
    [touchpoint] = own_gateway.stack.touchpoints
    touchpoint.kill()
    status, _ = own_gateway.post(webhook, payment(padding=600_000))
    assert 202 == status
    assert 1 == own_gateway.deliveries(webhook)
    # Nor does a gateway that dies lose it.
    own_gateway.stack.gateway.kill()
    touchpoint.start()
    own_gateway.stack.gateway.start()
    for service in (touchpoint, own_gateway.stack.gateway):
        service.wait_until_ready()
    # What the other one had in hand is taken over once its time is up; the test does not wait for that.
    own_gateway.sql("UPDATE gateway.delivery SET due_at = now() WHERE due_at IS NOT NULL")
    until(lambda: len(own_gateway.recorded(tenant)) == 1, what="the event is recorded")


def test_two_gateways_map_each_delivery_once(own_gateway: Gateway, tenant: str) -> None:
    stack = own_gateway.stack
    person = own_gateway.client(ADMIN, RECOVER, tenant=tenant)
    webhook = person.create()
    other = Service(
        "gateway",
        {
            **stack.gateway.environment,
            "TOUCHLEDGER_GATEWAY_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
        },
        Path(stack.gateway.log).with_name("gateway-2.log"),
    )
    other.start()
    try:
        other.wait_until_ready()
        for index in range(120):
            assert 202 == own_gateway.post(webhook, payment(f"p{index}"))[0]
        until(lambda: person.counts(webhook).deliveries >= 120, what="all are mapped")
        counts = person.counts(webhook)
        assert (120, 120, 0) == (counts.deliveries, counts.recorded, counts.duplicates)
    finally:
        assert 0 == other.stop()


def test_what_can_not_be_read_is_kept_whole_with_its_reason(
    gateway: Gateway, person: Client
) -> None:
    webhook = person.create()
    body = payment().replace(b"2026-03-14T17:02:03Z", b"last Saturday")
    assert 202 == gateway.post(webhook, body)[0]
    [kept] = until(person.quarantined, what="it is in quarantine")
    assert kept.content == body
    assert ("square.v1", "square") == (kept.entry.format, kept.entry.source)
    assert (kept.entry.problem.code, kept.entry.problem.field) == (
        "BAD_TIME",
        "data.object.payment.created_at",
    )
    until(lambda: person.counts(webhook).quarantined == 1, what="it is counted")


def test_what_breaks_a_rule_is_kept_as_the_event_that_it_is(
    gateway: Gateway, person: Client
) -> None:
    webhook = person.create()
    assert 202 == gateway.post(webhook, payment("p\t1", cents=10**17))[0]
    assert 202 == gateway.post(webhook, payment("p2", cents=10**17))[0]
    [kept] = until(person.quarantined, what="it is in quarantine")
    assert ("payment:p2", "event") == (kept.entry.event_id, kept.entry.format)
    assert "BAD_DECIMAL" == kept.entry.problem.code
    # An id can't be mended.
    until(lambda: person.counts(webhook).rejected == 1, what="the other is counted")


MAPPING: dict[str, Any] = {
    "event": {
        "event_id": "call_id",
        "occurred_at": "ended",
        "touchpoint": "'call.support'",
        "feedback_received": {"stage": "'STAGE_SERVICE'"},
        "personal": {"comment": "words"},
    },
    "signature": {"algorithm": "plain", "header": "x-token"},
}
CALL = json.dumps(
    {"call_id": "c1", "ended_at": "2026-03-14T17:02:03Z", "stars": 4, "words": COMMENT}
).encode()


def test_a_wrong_mapping_is_mended_by_a_replay(
    gateway: Gateway, person: Client, tenant: str
) -> None:
    webhook = person.create("mapped.v1", webhook={"config_json": json.dumps(MAPPING)})
    assert 202 == gateway.post(webhook, CALL, {"x-token": SECRET})[0]
    until(lambda: person.counts(webhook).deliveries == 1, what="it is mapped")
    assert [] == gateway.recorded(tenant)

    still = person.replay(webhook)
    assert (1, 0) == (still.counts.deliveries, still.counts.recorded)
    assert [each.problem.field for each in still.troubles] == ["occurred_at"]

    mended = {**MAPPING, "event": MAPPING["event"] | {"occurred_at": "ended_at"}}
    person.configure(webhook, mended)
    first, again = person.replay(webhook), person.replay(webhook)
    assert (1, "") == (first.counts.recorded, first.next_page_token)
    assert (0, 1) == (again.counts.recorded, again.counts.duplicates)
    [event] = gateway.recorded(tenant)
    assert "c1" == event.event_id


@pytest.mark.parametrize(
    ("occurred_at", "released"),
    # A rule refuses the event, which is kept; the delivery can't be read, and is kept whole.
    [("ended", {"c1": "event"}), ("words", {"": "mapped.v1"})],
)
def test_a_replay_that_records_an_event_releases_what_was_quarantined_for_it(
    gateway: Gateway, person: Client, tenant: str, occurred_at: str, released: dict[str, str]
) -> None:
    wrong = {**MAPPING, "event": MAPPING["event"] | {"occurred_at": occurred_at}}
    webhook = person.create("mapped.v1", webhook={"config_json": json.dumps(wrong)})
    assert 202 == gateway.post(webhook, CALL, {"x-token": SECRET})[0]
    until(lambda: person.counts(webhook).quarantined == 1, what="it is in quarantine")
    # What is still refused stays.
    assert 1 == person.replay(webhook).counts.quarantined
    assert 1 == len(person.quarantined())
    assert {} == person.released()

    person.configure(webhook, {**MAPPING, "event": MAPPING["event"] | {"occurred_at": "ended_at"}})
    for _ in range(2):
        person.replay(webhook)
        assert [] == person.quarantined()
        assert released == person.released()
    assert 1 == len(gateway.recorded(tenant))
    # It says where, and its room is free again.
    assert 1 == gateway.sql(
        "SELECT count(*) FROM gateway.quarantine WHERE tenant = %s AND position IS NOT NULL", tenant
    )
    assert 0 == gateway.sql(
        "SELECT entries + bytes FROM gateway.quarantine_use WHERE tenant = %s", tenant
    )


def test_a_delivery_stays_in_quarantine_until_all_of_its_events_are_recorded(
    gateway: Gateway, person: Client
) -> None:
    def mapping(at: str) -> dict[str, Any]:
        return {**MAPPING, "events": "@", "event": MAPPING["event"] | {"occurred_at": at}}

    good = {"call_id": "c1", "at": "2026-03-14T17:02:03Z", "at_last": "2026-03-14T17:02:03Z"}
    body = json.dumps([good, good | {"call_id": "c2", "at": "noon"}]).encode()
    webhook = person.create("mapped.v1", webhook={"config_json": json.dumps(mapping("at"))})
    assert 202 == gateway.post(webhook, body, {"x-token": SECRET})[0]
    until(lambda: person.counts(webhook).quarantined == 1, what="it is in quarantine")
    assert 1 == person.replay(webhook).counts.duplicates
    assert 1 == len(person.quarantined())
    person.configure(webhook, mapping("at_last"))
    assert 1 == person.replay(webhook).counts.recorded
    assert ([], {"": "mapped.v1"}) == (person.quarantined(), person.released())


def test_what_somebody_discarded_stays_discarded(
    gateway: Gateway, person: Client, tenant: str
) -> None:
    webhook = person.create("mapped.v1", webhook={"config_json": json.dumps(MAPPING)})
    assert 202 == gateway.post(webhook, CALL, {"x-token": SECRET})[0]
    [kept] = until(person.quarantined, what="it is in quarantine")
    person.discard(kept.entry.quarantine_id)
    person.configure(webhook, {**MAPPING, "event": MAPPING["event"] | {"occurred_at": "ended_at"}})
    assert 1 == person.replay(webhook).counts.recorded
    assert "discarded" == gateway.sql(
        "SELECT status FROM gateway.quarantine WHERE tenant = %s", tenant
    )


def test_a_replay_that_gives_other_content_is_told_as_a_conflict(
    gateway: Gateway, person: Client, tenant: str
) -> None:
    right = {**MAPPING, "event": MAPPING["event"] | {"occurred_at": "ended_at"}}
    webhook = person.create("mapped.v1", webhook={"config_json": json.dumps(right)})
    gateway.post(webhook, CALL, {"x-token": SECRET})
    [recorded] = until(lambda: gateway.recorded(tenant), what="the event is recorded")

    person.configure(webhook, {**right, "event": right["event"] | {"touchpoint": "'call.sales'"}})
    answer = person.replay(webhook)
    assert (1, 0) == (answer.counts.conflicts, answer.counts.recorded)
    [trouble] = answer.troubles
    assert ("c1", "EVENT_ID_CONFLICT") == (trouble.event_id, trouble.problem.code)
    assert 1 == person.counts(webhook).conflicts
    assert [recorded] == gateway.recorded(tenant)


def test_an_event_is_late_by_when_it_came_and_not_by_when_it_was_mapped(
    gateway: Gateway, person: Client, tenant: str
) -> None:
    webhook = person.create("mapped.v1", webhook={"config_json": json.dumps(MAPPING)})
    for call_id, days in (("in time", 3), ("late", 5)):
        ended_at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        body = json.dumps({"call_id": call_id, "ended_at": ended_at}).encode()
        assert 202 == gateway.post(webhook, body, {"x-token": SECRET})[0]
    until(lambda: person.counts(webhook).deliveries == 2, what="both are mapped")
    gateway.sql(
        "UPDATE gateway.delivery SET received_at = received_at - interval '3 days' WHERE webhook_id = %s",
        webhook.webhook_id,
    )
    person.configure(webhook, {**MAPPING, "event": MAPPING["event"] | {"occurred_at": "ended_at"}})
    assert 2 == person.replay(webhook).counts.recorded
    late = {event.event_id: event.intake.late for event in gateway.recorded(tenant)}
    assert {"in time": False, "late": True} == late


def test_a_replay_begins_where_it_is_told(gateway: Gateway, person: Client) -> None:
    webhook = person.create()
    for index in range(40):
        gateway.post(webhook, payment(f"p{index}"))
    until(lambda: person.counts(webhook).deliveries == 40, what="all are mapped")
    from_time = gateway.sql(
        "SELECT received_at FROM gateway.delivery WHERE webhook_id = %s "
        "ORDER BY delivery_id OFFSET 30 LIMIT 1",
        webhook.webhook_id,
    )
    request = pb.ReplayDeliveriesRequest(webhook_id=webhook.webhook_id)
    request.received_from.FromDatetime(from_time)
    assert 10 == person.call("ReplayDeliveries", request).counts.duplicates
    assert 40 == person.replay(webhook).counts.duplicates
    bad = pb.ReplayDeliveriesRequest(webhook_id=webhook.webhook_id, page_token="1; x")
    assert refusal(lambda: person.call("ReplayDeliveries", bad)) is Malformed


def test_an_api_key_can_stand_for_the_signature(
    gateway: Gateway, person: Client, tenant: str
) -> None:
    right = {**MAPPING, "event": MAPPING["event"] | {"occurred_at": "ended_at"}}
    webhook = person.create(
        "mapped.v1",
        webhook={"with_api_key": True, "source": "calls", "config_json": json.dumps(right)},
        secret="",
    )

    def post(key: str) -> int:
        return gateway.post(webhook, CALL, {"authorization": f"Bearer {key}"})[0]

    assert 401 == post("")
    assert 403 == post(gateway.client(PUBLISH, tenant=tenant, source="till").key)
    assert 403 == post(gateway.client(PUBLISH, tenant="another", source="calls").key)
    assert 403 == post(gateway.client(RECOVER, tenant=tenant, source="calls").key)
    assert 0 == gateway.deliveries(webhook)
    assert 202 == post(gateway.client(PUBLISH, tenant=tenant, source="calls").key)
    until(lambda: gateway.recorded(tenant), what="the event is recorded")


def test_another_tenants_webhooks_do_not_exist(gateway: Gateway, person: Client) -> None:
    webhook = person.create()
    stranger = gateway.client(ADMIN, RECOVER, tenant="stranger")
    named = webhook.webhook_id
    calls: list[tuple[str, Any]] = [
        ("UpdateWebhook", pb.UpdateWebhookRequest(webhook_id=named, secret="theirs")),
        ("DeleteWebhook", pb.DeleteWebhookRequest(webhook_id=named)),
        ("ReplayDeliveries", pb.ReplayDeliveriesRequest(webhook_id=named)),
    ]
    for rpc, request in calls:
        assert refusal(lambda rpc=rpc, request=request: stranger.call(rpc, request)) is NotFound  # type: ignore[misc]  # of a default in a lambda
        request.webhook_id = "no such\0"
        assert refusal(lambda rpc=rpc, request=request: person.call(rpc, request)) is NotFound  # type: ignore[misc]  # of a default in a lambda
    assert [] == stranger.listed()
    assert 202 == gateway.post(webhook, payment())[0]


def test_a_deleted_webhook_takes_nothing(gateway: Gateway, person: Client) -> None:
    webhook = person.create()
    gateway.post(webhook, payment())
    for _ in range(2):
        person.call("DeleteWebhook", pb.DeleteWebhookRequest(webhook_id=webhook.webhook_id))
    assert 404 == gateway.post(webhook, payment())[0]
    assert [] == person.listed()
    update = pb.UpdateWebhookRequest(webhook_id=webhook.webhook_id, secret="x")
    assert refusal(lambda: person.call("UpdateWebhook", update)) is NotFound


@pytest.mark.parametrize(
    "fields",
    [
        {"adapter": "square"},
        {"webhook": {"source": ""}},
        {"webhook": {"source": "a\nb"}},
        {"webhook": {"trust": 9}},
        {"webhook": {"webhook_id": "mine"}},
        {"webhook": {"config_json": "[]"}},
        {"webhook": {"config_json": "{"}},
        {"webhook": {"config_json": '{"touchpoint": "a b"}'}},
        {"webhook": {"config_json": '{"x": "' + "y" * 70_000 + '"}'}},
        {"public_url": "https://events.shop.example/path"},
        {"public_url": "events.shop.example"},
        {"secret": "x" * 513},
        {"secret": "a\nb"},
    ],
)
def test_a_webhook_that_would_not_work_is_not_made(person: Client, fields: dict[str, Any]) -> None:
    assert refusal(lambda: person.create(**fields)) is Malformed
    assert [] == person.listed()


def test_too_many_webhooks_are_refused(gateway: Gateway, person: Client, tenant: str) -> None:
    gateway.sql(
        "INSERT INTO gateway.webhook (webhook_id, tenant, source, trust, adapter, url, config, "
        "with_api_key, created_at) "
        "SELECT %s || n, %s, 's', 2, 'square.v1', '', '{}', false, now() FROM generate_series(1, %s) AS n",
        *(tenant, tenant, WEBHOOKS_OF_TENANT_MAX),
    )
    with pytest.raises(grpc.RpcError) as refused:
        person.create()
    code, problem, repeat_after = told(refused.value)
    # Coming again later helps nobody.
    assert (Conflict.status, "TOO_MANY_WEBHOOKS", None) == (code, problem.code, repeat_after)


def test_a_vendor_is_told_to_come_again_when_too_much_waits(
    gateway: Gateway, person: Client
) -> None:
    webhook = person.create()
    gateway.sql(
        "INSERT INTO gateway.delivery (webhook_id, received_at, content, due_at) "
        "SELECT %s, now(), ''::bytea, now() + interval '1 hour' FROM generate_series(1, %s)",
        *(webhook.webhook_id, WAITING_MAX),
    )
    status, problem = gateway.post(webhook, payment())
    assert (status, problem["retry-after"]) == (429, "60")
    assert gateway.deliveries(webhook) == WAITING_MAX
    gateway.sql("DELETE FROM gateway.delivery WHERE webhook_id = %s", webhook.webhook_id)
