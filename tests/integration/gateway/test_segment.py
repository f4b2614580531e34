"""Segment's libraries publish as to Segment, and are told the truth about what became of it."""

import asyncio
import base64
import gzip
import http.client
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.chassis.client import open_channel
from services.chassis.postgres import Pool
from services.gateway import access, segment_http
from services.gateway.access import PUBLISH, QUERY, Access
from services.gateway.http import Http
from services.gateway.limits import Limits
from services.gateway.quarantine import Quarantine
from services.gateway.segment_http import BATCH_BYTES_MAX, MESSAGE_BYTES_MAX, HttpSegment
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.gateway_keys import key_of
from tests.support.ingest import KEYRING, SECRET, journal_server
from tests.support.stack import Stack, free_port
from touchledger.v1 import events_pb2 as pb

KEY = f"tl_{'a' * 12}_{SECRET}"
READER = f"tl_{'b' * 12}_{SECRET}"
SURVEY = {
    "touchpoint": "web.checkout",
    "answers": [
        {
            "from": "score",
            "metric": "METRIC_NPS",
            "scale_min": "0",
            "scale_max": "10",
            "direction": "DIRECTION_HIGHER_IS_BETTER",
        }
    ],
}
CONFIGURE = """
INSERT INTO gateway.webhook (
    webhook_id, tenant, source, trust, adapter, url, config, with_api_key, created_at)
VALUES ($1, $2, 'shop', 2, 'segment.v1', '', $3, true, now())
"""


@dataclass(frozen=True)
class Port:
    number: int

    async def post(
        self, path: str, body: object, *, key: str = KEY, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, document and headers of the answer."""
        return await asyncio.to_thread(self._post, path, body, key, headers or {})

    def _post(
        self, path: str, body: object, key: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        basic = base64.b64encode(f"{key}:".encode()).decode()
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.number, timeout=30)
        try:
            connection.request("POST", path, raw, {"authorization": f"Basic {basic}"} | headers)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, json.loads(answer.read()), told
        finally:
            connection.close()


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as opened:
        digest = KEYRING.secret_digest(SECRET)
        await opened.execute(access.STORE, "a" * 12, digest, "acme", "shop", [PUBLISH])
        await opened.execute(access.STORE, "b" * 12, digest, "acme", "shop", [QUERY])
        yield opened


async def listen(
    stack: AsyncExitStack, pool: Pool, journal_address: str, **settings: object
) -> Port:
    chosen = free_port()
    configured = Settings.model_validate(
        {
            "http_listen": f"127.0.0.1:{chosen}",
            "database_url": "postgresql://of.the/pool",
            "secret_key_file": Path("in the test"),
            **settings,
        }
    )
    channel = await stack.enter_async_context(open_channel(journal_address))
    upstream = Upstream(channel, KEYRING, Quarantine(pool, KEYRING))
    routes = HttpSegment(Access(pool, KEYRING), Limits(configured, pool), upstream, pool).routes()
    served = Http(configured, routes=routes, stopping=asyncio.Event())
    running = asyncio.create_task(served.run())

    async def stop() -> None:
        await served.stop(5)
        await running

    stack.push_async_callback(stop)
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", chosen)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0)  # the server's thread is about to listen
    writer.close()
    await writer.wait_closed()
    return Port(chosen)


@pytest.fixture
async def port(pool: Pool, journal_pool: Pool) -> AsyncIterator[Port]:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    async with journal_server(JournalServicer(journal)) as address, AsyncExitStack() as stack:
        yield await listen(stack, pool, address)


def message(number: int = 1, **changes: object) -> dict[str, Any]:
    made = {
        "type": "track",
        "messageId": f"m-{number}",
        "event": "Order Completed",
        "userId": "user-17",
        "timestamp": "2026-08-03T10:15:30Z",
        "properties": {"total": 12.5, "currency": "EUR"},
    } | changes
    return {name: value for name, value in made.items() if value is not None}


async def recorded(journal_pool: Pool) -> list[pb.Event]:
    rows = await journal_pool.fetch(
        "SELECT state FROM journal.stored_events ORDER BY notification_id"
    )
    return [pb.Event.FromString(row["state"]) for row in rows]


async def quarantined(pool: Pool) -> list[tuple[str, str, str]]:
    rows = await pool.fetch(
        "SELECT event_id, format, code FROM gateway.quarantine ORDER BY received_at"
    )
    return [tuple(row) for row in rows]


SUCCESS = 200, {"success": True}


async def test_each_kind_of_message_has_its_path(port: Port, journal_pool: Pool) -> None:
    for number, kind in enumerate(("track", "page", "screen")):
        sent = message(number, type=None, name="Home")
        assert SUCCESS == (await port.post(f"/v1/{kind}", sent))[:2]
    assert ["web.order_completed", "web.home", "app.home"] == [
        each.touchpoint for each in await recorded(journal_pool)
    ]


async def test_what_is_recorded_names_its_adapter_and_no_customer(
    port: Port, journal_pool: Pool
) -> None:
    await port.post("/v1/track", message())
    [event] = await recorded(journal_pool)
    assert ("m-1", "segment.v1") == (event.event_id, event.intake.adapter)
    assert KEYRING.pseudonym("acme", "user-17") == event.customer


async def test_a_message_that_is_sent_again_is_one_event(port: Port, journal_pool: Pool) -> None:
    batch = {"batch": [message(1), message(2)], "sentAt": "2026-08-03T10:15:31Z"}
    assert SUCCESS == (await port.post("/v1/batch", batch))[:2]
    again = {"batch": [message(2), message(1), message(3)], "sentAt": "2026-08-03T10:16:31Z"}
    assert SUCCESS == (await port.post("/v1/batch", again))[:2]
    assert ["m-1", "m-2", "m-3"] == [each.event_id for each in await recorded(journal_pool)]


async def test_a_wrong_clock_is_made_up_for_by_when_the_attempt_was_sent(
    port: Port, journal_pool: Pool
) -> None:
    batch = {
        "batch": [message(originalTimestamp="2016-08-03T10:15:30Z")],
        "sentAt": "2016-08-03T10:15:31Z",
    }
    assert SUCCESS == (await port.post("/v1/batch", batch))[:2]
    [event] = await recorded(journal_pool)
    assert "2016-08-03T10:15:30Z" == event.occurred_at.ToJsonString()
    assert event.intake.corrected_occurred_at.ToDatetime().year >= 2026


async def test_one_bad_message_harms_none_of_its_batch_and_is_told(
    port: Port, journal_pool: Pool
) -> None:
    batch = {"batch": [message(1), message(messageId=None), "nonsense", message(4)]}
    status, document, _ = await port.post("/v1/batch", batch)
    assert (400, "MISSING", "batch[1].messageId") == (
        status,
        document["code"],
        document["field"],
    )
    assert ["m-1", "m-4"] == [each.event_id for each in await recorded(journal_pool)]


async def test_nor_does_it_harm_those_that_come_hundreds_after_it(
    port: Port, journal_pool: Pool
) -> None:
    bad = [message(0, type="group")]
    batch = {"batch": bad + [message(number, properties={}) for number in range(1, 1200)]}
    status, document, _ = await port.post("/v1/batch", batch)
    assert (400, "batch[0].type") == (status, document["field"])
    assert 1199 == len(await recorded(journal_pool))


async def test_a_context_of_the_batch_is_that_of_its_messages(
    port: Port, journal_pool: Pool
) -> None:
    context = {"library": {"name": "analytics-ios"}, "filling": "x" * 300_000}
    own = message(0, context={"library": {"name": "analytics.js"}})
    batch = {"context": context, "batch": [own, *(message(number) for number in range(1, 900))]}
    assert SUCCESS == (await port.post("/v1/batch", batch))[:2]
    touchpoints = [each.touchpoint for each in await recorded(journal_pool)]
    assert ["web.order_completed", *["app.order_completed"] * 899] == touchpoints


@pytest.mark.parametrize("kind", ["group", "alias", None])
async def test_what_can_not_be_stored_is_not_called_a_success(
    port: Port, journal_pool: Pool, kind: str | None
) -> None:
    status, document, _ = await port.post("/v1/batch", {"batch": [message(type=kind)]})
    assert (400, "UNSUPPORTED", "batch[0].type") == (status, document["code"], document["field"])
    assert [] == await recorded(journal_pool)


async def test_what_a_person_can_mend_is_a_success_in_quarantine(
    port: Port, pool: Pool, journal_pool: Pool
) -> None:
    sent = [message(1, timestamp=None), message(2, event="注文"), message(3, timestamp="today")]
    assert SUCCESS == (await port.post("/v1/batch", {"batch": sent}))[:2]
    assert [] == await recorded(journal_pool)
    assert {
        ("m-1", "event", "MISSING"),
        ("m-2", "segment.v1", "BAD_NAME"),
        ("m-3", "segment.v1", "BAD_TIME"),
    } == set(await quarantined(pool))


async def test_another_message_with_a_known_id_is_a_conflict(port: Port) -> None:
    await port.post("/v1/track", message())
    status, document, _ = await port.post("/v1/track", message(event="Cart Viewed"))
    assert (409, "EVENT_ID_CONFLICT", "messageId") == (
        status,
        document["code"],
        document["field"],
    )


async def test_surveys_and_traits_are_read_as_the_sources_webhook_configures(
    port: Port, pool: Pool, journal_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_http, "CONFIG_TRUSTED_SECONDS", 0.0)
    identify = message(1, type="identify", traits={"plan": "gold", "email": "a@example.com"})
    assert SUCCESS == (await port.post("/v1/identify", identify))[:2]
    assert [] == await recorded(journal_pool)
    config = {"segments": ["plan"], "surveys": {"Survey Answered": SURVEY}}
    await pool.execute(CONFIGURE, "of another tenant", "other", '{"segments": ["email"]}')
    await pool.execute(CONFIGURE, "of this one", "acme", json.dumps(config))
    answered = message(2, event="Survey Answered", properties={"score": 9})
    for path, sent in (("/v1/identify", identify), ("/v1/track", answered)):
        assert SUCCESS == (await port.post(path, sent))[:2]
    profile, feedback = await recorded(journal_pool)
    assert {"plan": "gold"} == profile.customer_profile.segments
    assert "9" == feedback.feedback_received.signals[0].value


async def test_a_batch_of_as_many_as_segment_takes_is_stored_in_order(
    port: Port, journal_pool: Pool
) -> None:
    batch = {"batch": [message(number, properties={}) for number in range(2500)]}
    body = gzip.compress(json.dumps(batch).encode())
    answer = await port.post("/v1/batch", body, headers={"content-encoding": "gzip"})
    assert SUCCESS == answer[:2]
    assert [f"m-{number}" for number in range(2500)] == [
        each.event_id for each in await recorded(journal_pool)
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/track", message(properties={"a": "x" * MESSAGE_BYTES_MAX}), 413, "TOO_LARGE"),
        ("/v1/batch", {"batch": [message(context={"a": "x" * BATCH_BYTES_MAX})]}, 413, "TOO_LARGE"),
        (
            "/v1/batch",
            {"batch": [message(context={"a": "x" * MESSAGE_BYTES_MAX})]},
            413,
            "TOO_LARGE",
        ),
        ("/v1/batch", {"batch": []}, 400, "BATCH_SIZE"),
        ("/v1/batch", {"batch": [0] * 2501}, 400, "BATCH_SIZE"),
        ("/v1/batch", {"batch": {"0": message()}}, 400, "WRONG_TYPE"),
        ("/v1/batch", [message()], 400, "WRONG_TYPE"),
        ("/v1/batch", message(), 400, "WRONG_TYPE"),
        ("/v1/batch", {"batch": [message()], "sentAt": "now"}, 400, "BAD_TIME"),
        ("/v1/track", b"{", 400, "MALFORMED_JSON"),
        ("/v1/track", b"[" * 10_000, 400, "TOO_DEEP"),
        ("/v1/track", b"\xff", 400, "MALFORMED_JSON"),
    ],
)
async def test_a_request_that_can_not_be_taken_stores_nothing(
    port: Port, journal_pool: Pool, path: str, body: object, status: int, code: str
) -> None:
    told, document, _ = await port.post(path, body)
    assert (status, code) == (told, document["code"])
    assert [] == await recorded(journal_pool)


@pytest.mark.parametrize(
    ("headers", "key", "status"),
    [
        ({}, "", 401),
        ({}, "abc123", 401),
        ({}, KEY[:-1] + "t", 401),
        ({}, READER, 403),
        ({"authorization": "Basic nonsense"}, "", 401),
        ({"authorization": "Basic "}, "", 401),
        ({"authorization": ""}, "", 401),
    ],
)
async def test_without_a_key_that_may_publish_nothing_is_stored(
    port: Port, journal_pool: Pool, headers: dict[str, str], key: str, status: int
) -> None:
    told, document, _ = await port.post("/v1/track", message(), key=key, headers=headers)
    assert status == told
    assert SECRET not in json.dumps(document)
    assert [] == await recorded(journal_pool)


async def test_a_bearer_key_does_as_well(port: Port) -> None:
    answer = await port.post(
        "/v1/track", message(), key="", headers={"authorization": f"Bearer {KEY}"}
    )
    assert SUCCESS == answer[:2]


async def test_while_the_journal_is_away_the_library_is_told_to_come_again(pool: Pool) -> None:
    async with AsyncExitStack() as stack:
        port = await listen(stack, pool, "127.0.0.1:1")
        status, _, headers = await port.post("/v1/batch", {"batch": [message()]})
    assert 503 == status
    assert int(headers["retry-after"]) >= 1


async def test_a_key_that_has_used_up_its_events_is_told_to_come_again(
    pool: Pool, journal_pool: Pool
) -> None:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    async with journal_server(JournalServicer(journal)) as address, AsyncExitStack() as stack:
        port = await listen(stack, pool, address, key_events_per_day=3)
        first, rest = [message(0), message(1)], [message(2), message(3)]
        assert SUCCESS == (await port.post("/v1/batch", {"batch": first}))[:2]
        status, _, headers = await port.post("/v1/batch", {"batch": rest})
    assert 429 == status
    assert int(headers["retry-after"]) >= 1
    assert 2 == len(await recorded(journal_pool))


async def test_the_gateway_serves_it(stack: Stack) -> None:
    key = await key_of(stack, "acme", PUBLISH)
    port = Port(int(stack.http_address.rpartition(":")[2]))
    assert SUCCESS == (await port.post("/v1/track", message(), key=key))[:2]
