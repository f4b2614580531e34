"""Every adapter of the registry behind its webhook: signed as its vendor signs, sent twice, recorded once."""

import base64
import hmac
import http.client
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import grpc
import psycopg
import pytest

from services.gateway.access import ADMIN
from services.gateway.adapters import ADAPTERS
from services.gateway.keyring import Keyring
from tests.conftest import SERVICES
from tests.support.gateway_keys import bearer, key_of
from tests.support.stack import Stack, running_stack
from tests.unit.gateway.adapters.test_garbage import GOLDEN
from touchledger.v1 import events_pb2, journal_pb2, journal_pb2_grpc
from touchledger.v1 import webhooks_pb2 as pb
from touchledger.v1.webhooks_pb2_grpc import WebhookServiceStub

SECRET = "a long shared secret"
CALL_SECONDS_MAX = 20.0
SEEN_SECONDS_MAX = 20.0


def _mac(body: bytes, kind: str = "sha256") -> bytes:
    return hmac.digest(SECRET.encode(), body, kind)


def _zendesk(url: str, body: bytes) -> dict[str, str]:
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "x-zendesk-webhook-signature": base64.b64encode(_mac(at.encode() + body)).decode(),
        "x-zendesk-webhook-signature-timestamp": at,
    }


# The headers of a delivery to this URL with this body.
SIGN: dict[str, Callable[[str, bytes], dict[str, str]]] = {
    "amazon_connect.v1": lambda url, body: {"x-api-key": SECRET},
    "mapped.v1": lambda url, body: {"x-signature": _mac(body).hex()},
    "poslog.v1": lambda url, body: {"x-api-key": SECRET},
    "segment.v1": lambda url, body: {"x-signature": _mac(body, "sha1").hex()},
    "square.v1": lambda url, body: {
        "x-square-hmacsha256-signature": base64.b64encode(_mac(url.encode() + body)).decode()
    },
    "zendesk.v1": _zendesk,
}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    urls = {name: new_database(name) for name in SERVICES}
    with running_stack(tmp_path_factory.mktemp("adapters"), urls) as stack:
        yield stack


class Hook:
    """A webhook of a tenant of its own."""

    def __init__(self, stack: Stack, adapter: str, key: str, channel: grpc.Channel) -> None:
        self._stack = stack
        self._adapter = adapter
        self._metadata = bearer(key)
        self._stub = WebhookServiceStub(channel)
        answer = self._stub.CreateWebhook(
            pb.CreateWebhookRequest(
                webhook=pb.Webhook(
                    adapter=adapter,
                    source="vendor",
                    config_json=json.dumps(dict(GOLDEN[adapter].config)),
                ),
                public_url="https://events.shop.example",
                secret=SECRET,
            ),
            metadata=self._metadata,
            timeout=CALL_SECONDS_MAX,
        )
        self.webhook = answer.webhook

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        """As the vendor signs, unless headers are given."""
        if headers is None:
            headers = SIGN[self._adapter](self.webhook.url, body)
        connection = http.client.HTTPConnection(self._stack.http_address, timeout=CALL_SECONDS_MAX)
        try:
            connection.request("POST", urlsplit(self.webhook.url).path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def counts(self, deliveries: int) -> pb.WebhookCounts:
        """Once so many deliveries were mapped."""
        deadline = time.monotonic() + SEEN_SECONDS_MAX
        while True:
            answer = self._stub.ListWebhooks(
                pb.ListWebhooksRequest(), metadata=self._metadata, timeout=CALL_SECONDS_MAX
            )
            counts: pb.WebhookCounts = answer.webhooks[0].counts
            if counts.deliveries == deliveries:
                return counts
            assert time.monotonic() < deadline, f"{deliveries} are mapped, not {counts}"
            time.sleep(0.02)

    def stored(self) -> list[bytes]:
        """What lies in the database, opened."""
        with psycopg.connect(self._stack.urls["gateway"]) as connection:
            rows = connection.execute(
                "SELECT content FROM gateway.delivery WHERE webhook_id = %s",
                (self.webhook.webhook_id,),
            ).fetchall()
        keyring = Keyring(bytes.fromhex("17" * 32))
        place = f"webhook:{self.webhook.webhook_id}:delivery"
        tenant = f"tenant of {self._adapter}"
        return [keyring.opened(tenant, content, place=place) for (content,) in rows]


@pytest.fixture
async def hook(served: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Hook]:
    adapter = request.param
    key = await key_of(served, f"tenant of {adapter}", ADMIN)
    with grpc.insecure_channel(served.gateway.address) as channel:
        yield Hook(served, adapter, key, channel)


def recorded(stack: Stack, tenant: str) -> list[events_pb2.Event]:
    with grpc.insecure_channel(stack.touchpoints[0].address) as channel:
        stub = journal_pb2_grpc.JournalServiceStub(channel)
        page = stub.ReadRange(journal_pb2.ReadRangeRequest(), timeout=CALL_SECONDS_MAX)
    return [
        events_pb2.Event.FromString(each.event) for each in page.events if each.tenant == tenant
    ]


def test_every_adapter_is_tested_here() -> None:
    assert set(ADAPTERS) == set(SIGN)


@pytest.mark.parametrize("hook", sorted(ADAPTERS), indirect=True)
def test_a_delivery_is_recorded_once_and_only_when_it_is_signed(served: Stack, hook: Hook) -> None:
    adapter = hook.webhook.adapter
    golden = GOLDEN[adapter]
    right = SIGN[adapter](hook.webhook.url, golden.body)
    for wrong in ({}, {name: value[:-2] for name, value in right.items()}):
        assert 401 == hook.post(golden.body, wrong)
    assert [] == hook.stored()

    for body in (golden.body, b"garbage", golden.body):
        assert 202 == hook.post(body)
    assert 3 == len(hook.stored())
    assert not any(SECRET.encode() in each for each in hook.stored())
    counts = hook.counts(deliveries=3)
    assert (golden.events, golden.events, 1, 0) == (
        counts.recorded,
        counts.duplicates,
        counts.quarantined + counts.rejected,
        counts.conflicts,
    )
    events = recorded(served, f"tenant of {adapter}")
    assert golden.events == len(events)
    assert {adapter} == {each.intake.adapter for each in events}
