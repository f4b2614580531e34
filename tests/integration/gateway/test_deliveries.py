"""Deliveries take turns, wait for a journal that is away, are given up, and go when their time is up."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest

from services.chassis.client import open_channel
from services.chassis.postgres import Pool
from services.gateway import mapper as module
from services.gateway.adapters.adapter import Adapter, Config, Delivery
from services.gateway.deliveries import (
    DUE,
    IN_HAND_MAX,
    KEPT_DAYS,
    SWEPT_TOGETHER_MAX,
    TAKE,
    TAKE_ONE_ALONE,
    Deliveries,
)
from services.gateway.keyring import Keyring
from services.gateway.mapper import ATTEMPTS_MAX, Mapper, events_of
from services.gateway.quarantine import Quarantine
from services.gateway.upstream import Upstream
from services.gateway.webhooks import WAITING_MAX, Webhook, Webhooks
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.ingest import journal_server
from touchledger.v1 import webhooks_pb2 as pb
from touchledger.v1.events_pb2 import Event
from touchledger.v1.problem_pb2 import Problem

KEYRING = Keyring(bytes(range(32)))
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=KEPT_DAYS, seconds=1)
# A delivery that tells nothing which is recorded: it is mapped without a journal.
NOTHING = b'{"type": "order.updated"}'


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=8) as opened:
        yield opened


@pytest.fixture
def webhooks(pool: Pool) -> Webhooks:
    return Webhooks(pool, KEYRING)


@pytest.fixture
def kept(pool: Pool) -> Deliveries:
    return Deliveries(pool, KEYRING)


def mapper_of(pool: Pool, channel: grpc.aio.Channel) -> Mapper:
    """As another gateway has it."""
    quarantine = Quarantine(pool, KEYRING)
    upstream = Upstream(channel, KEYRING, quarantine)
    return Mapper(Webhooks(pool, KEYRING), Deliveries(pool, KEYRING), upstream, quarantine)


@pytest.fixture
async def mapper(pool: Pool) -> AsyncIterator[Mapper]:
    """In front of a journal that is nowhere."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        yield mapper_of(pool, channel)


@asynccontextmanager
async def journal_behind(pool: Pool, journal_pool: Pool) -> AsyncIterator[Mapper]:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    async with (
        journal_server(JournalServicer(journal)) as address,
        open_channel(address) as channel,
    ):
        yield mapper_of(pool, channel)


async def made(webhooks: Webhooks, tenant: str = "acme") -> str:
    request = pb.CreateWebhookRequest(
        webhook=pb.Webhook(adapter="square.v1", source="square"),
        public_url="https://events.shop.example",
        secret="s",
    )
    return (await webhooks.create(tenant, request)).webhook_id


async def store(
    pool: Pool,
    webhook_id: str,
    *,
    body: bytes,
    tenant: str = "acme",
    received_at: datetime = NOW,
    count: int = 1,
) -> None:
    clear = b'{"url": "", "headers": {}}\n' + body
    sealed = KEYRING.sealed(tenant, clear, place=f"webhook:{webhook_id}:delivery")
    await pool.execute(
        "INSERT INTO gateway.delivery (webhook_id, received_at, content, due_at) "
        "SELECT $1, $2, $3, now() - interval '1 second' FROM generate_series(1, $4::int)",
        *(webhook_id, received_at, sealed, count),
    )


async def mapped(pool: Pool, webhook_id: str, *, received_at: datetime, count: int) -> None:
    """Deliveries of which nothing is left to do."""
    await store(pool, webhook_id, body=b"{}", received_at=received_at, count=count)
    await pool.execute(
        "UPDATE gateway.delivery SET due_at = NULL WHERE received_at = $1", received_at
    )


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """However loaded the machine is, a turn ends by its count."""
    monkeypatch.setattr(module, "READ_SECONDS", 60.0)
    monkeypatch.setattr(module, "ROUND_SECONDS", 60.0)


async def left(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM gateway.delivery")
    return count


async def waiting(pool: Pool) -> dict[str, int]:
    """How many wait for each webhook."""
    rows = await pool.fetch(
        "SELECT webhook_id, count(*) FROM gateway.delivery WHERE due_at IS NOT NULL GROUP BY 1"
    )
    return {row["webhook_id"]: row["count"] for row in rows}


async def come_due(pool: Pool) -> None:
    """What is in somebody's hand, or waits to be repeated, is due: its time is up."""
    await pool.execute("UPDATE gateway.delivery SET due_at = now() WHERE due_at IS NOT NULL")


PAYMENT = (
    b'{"type": "payment.created", "data": {"object": {"payment": {"id": "p", "status": "COMPLETED", '
    b'"created_at": "2026-08-03T10:00:00Z", "amount_money": {"amount": 1, "currency": "USD"}}}}}'
)


async def test_what_can_not_be_published_now_waits_longer_each_time(
    pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    await store(pool, await made(webhooks), body=PAYMENT)
    waits = []
    for _ in range(3):
        assert 1 == await mapper.map_some()
        # It is in nobody's hand, and not due yet.
        assert 0 == await mapper.map_some()
        waits.append(await pool.fetchval("SELECT due_at - now() FROM gateway.delivery"))
        await come_due(pool)
    for wait, seconds in zip(waits, (1, 2, 4), strict=True):
        assert timedelta(seconds=seconds / 2) < wait <= timedelta(seconds=seconds)


async def test_what_tells_nothing_is_done_without_a_journal(
    pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    await store(pool, await made(webhooks), body=NOTHING, count=IN_HAND_MAX + 1)
    assert await mapper.map_some() == IN_HAND_MAX
    assert 1 == await mapper.map_some()
    assert 0 == await mapper.map_some()
    [webhook] = await webhooks.page("acme", "")
    assert (IN_HAND_MAX + 1, IN_HAND_MAX + 1) == (webhook.counts.deliveries, webhook.counts.empty)


async def test_gateways_at_once_take_different_deliveries_in_hand(
    pool: Pool, webhooks: Webhooks
) -> None:
    ids = [await made(webhooks, tenant) for tenant in ("acme", "acme", "other")]
    for webhook_id, tenant in zip(ids, ("acme", "acme", "other"), strict=True):
        await store(pool, webhook_id, body=NOTHING, tenant=tenant, count=IN_HAND_MAX)
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        gateways = [mapper_of(pool, channel) for _ in range(4)]
        taken = list(await asyncio.gather(*(each.map_some() for each in gateways)))
        while more := await gateways[0].map_some():
            taken.append(more)
    assert 3 * IN_HAND_MAX == sum(taken)
    mapped_once = await pool.fetchval("SELECT count(*) FROM gateway.delivery WHERE attempts = 1")
    assert 3 * IN_HAND_MAX == mapped_once
    assert 3 * IN_HAND_MAX == await pool.fetchval("SELECT sum(deliveries) FROM gateway.webhook")


async def test_what_waits_for_one_webhook_holds_up_no_other(
    pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    flooded = await made(webhooks, "flooded")
    await store(pool, flooded, body=NOTHING, tenant="flooded", count=250)
    beside = [await made(webhooks, tenant) for tenant in ("flooded", "calm", "calm")]
    for webhook_id, tenant in zip(beside, ("flooded", "calm", "calm"), strict=True):
        await store(pool, webhook_id, body=NOTHING, tenant=tenant)
    assert IN_HAND_MAX == await mapper.map_some()
    assert {flooded: 250 - IN_HAND_MAX + len(beside)} == await waiting(pool)


async def test_tenants_share_alike_whatever_the_number_of_their_webhooks(
    pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    for tenant, count in (("many", 20), ("one", 1)):
        for _ in range(count):
            webhook_id = await made(webhooks, tenant)
            await store(pool, webhook_id, body=NOTHING, tenant=tenant, count=IN_HAND_MAX)
    await mapper.map_some()
    rows = await pool.fetch("SELECT tenant, sum(deliveries) FROM gateway.webhook GROUP BY tenant")
    assert {("many", IN_HAND_MAX // 2), ("one", IN_HAND_MAX // 2)} == {tuple(row) for row in rows}


async def test_what_there_was_no_time_for_waits_for_its_next_turn(
    pool: Pool, webhooks: Webhooks, mapper: Mapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sorted([await made(webhooks), await made(webhooks)])
    other = await made(webhooks, "other")
    for webhook_id, tenant in ((first, "acme"), (second, "acme"), (other, "other")):
        await store(pool, webhook_id, body=NOTHING, tenant=tenant, count=2)
    monkeypatch.setattr(module, "READ_SECONDS", 0.0)
    monkeypatch.setattr(module, "ROUND_SECONDS", 0.0)
    assert 6 == await mapper.map_some()
    # One of a webhook, and one webhook of a tenant.
    assert {first: 1, second: 2, other: 1} == await waiting(pool)
    for _ in range(3):
        await mapper.map_some()
    assert {} == await waiting(pool)
    # What was not begun was no attempt.
    assert 1 == await pool.fetchval("SELECT max(attempts) FROM gateway.delivery")


async def test_a_replay_goes_on_with_what_there_was_no_time_for(
    pool: Pool, webhooks: Webhooks, mapper: Mapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_id = await made(webhooks)
    await store(pool, webhook_id, body=NOTHING, count=5)
    await pool.execute("UPDATE gateway.delivery SET due_at = NULL")
    monkeypatch.setattr(module, "READ_SECONDS", 0.0)
    answer = await mapper.replay("acme", pb.ReplayDeliveriesRequest(webhook_id=webhook_id))
    assert (5, "") == (answer.counts.deliveries, answer.next_page_token)


async def test_looking_for_what_is_due_costs_the_same_however_much_waits(
    pool: Pool, webhooks: Webhooks
) -> None:
    ids = [await made(webhooks) for _ in range(5)]
    blocks = dict[tuple[str, int], int]()
    for waits in (IN_HAND_MAX, WAITING_MAX // len(ids)):
        for webhook_id in ids:
            await store(pool, webhook_id, body=b"", count=waits)
        for statement, values in (
            (DUE, (IN_HAND_MAX,)),
            (TAKE, (ids, [IN_HAND_MAX // 5] * len(ids), 60.0)),
            (TAKE_ONE_ALONE, (60.0,)),
        ):
            [[told]] = await pool.fetch(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values
            )
            [explained] = json.loads(told)
            plan = explained["Plan"]
            blocks[statement, waits] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    for statement in (DUE, TAKE, TAKE_ONE_ALONE):
        few, many = (blocks[statement, waits] for waits in (IN_HAND_MAX, WAITING_MAX // len(ids)))
        # An index grows by a level.
        assert many <= 2 * few, statement


async def test_what_a_gateway_that_died_had_in_hand_is_taken_one_by_one(
    pool: Pool, webhooks: Webhooks, kept: Deliveries, mapper: Mapper
) -> None:
    webhook_id = await made(webhooks)
    await store(pool, webhook_id, body=NOTHING, count=3)
    assert 3 == len(await kept.take())
    await come_due(pool)
    await store(pool, webhook_id, body=NOTHING, count=3)
    # Every other time, so that neither keeps the others waiting.
    assert [3, 1, 1, 1, 0] == [await mapper.map_some() for _ in range(5)]
    assert {} == await waiting(pool)


async def died_of(pool: Pool, kept: Deliveries) -> None:
    """The only delivery, as often as is borne."""
    for _ in range(ATTEMPTS_MAX):
        assert 1 == len(await kept.take())
        await come_due(pool)


async def test_a_delivery_that_gateways_die_of_is_given_up_and_a_replay_tries_it_again(
    pool: Pool, journal_pool: Pool, webhooks: Webhooks, kept: Deliveries, mapper: Mapper
) -> None:
    webhook_id = await made(webhooks)
    await store(pool, webhook_id, body=PAYMENT)
    await died_of(pool, kept)
    # The journal need not be there for it.
    assert 1 == await mapper.map_some()
    [webhook] = await webhooks.page("acme", "")
    assert (1, 0) == (webhook.counts.quarantined, webhook.counts.waiting)
    [entry] = await pool.fetch("SELECT code, format, status FROM gateway.quarantine")
    assert ("MAPPING_GIVEN_UP", "square.v1", "open") == tuple(entry)
    await come_due(pool)
    assert [0, 0] == [await mapper.map_some() for _ in range(2)]

    async with journal_behind(pool, journal_pool) as behind:
        answer = await behind.replay("acme", pb.ReplayDeliveriesRequest(webhook_id=webhook_id))
    assert (1, []) == (answer.counts.recorded, list(answer.troubles))
    assert "released" == await pool.fetchval("SELECT status FROM gateway.quarantine")


async def test_an_attempt_more_is_borne(
    pool: Pool, webhooks: Webhooks, kept: Deliveries, mapper: Mapper
) -> None:
    await store(pool, await made(webhooks), body=NOTHING)
    for _ in range(ATTEMPTS_MAX - 1):
        assert 1 == len(await kept.take())
        await come_due(pool)
    assert 1 == await mapper.map_some()
    [webhook] = await webhooks.page("acme", "")
    assert (1, 0) == (webhook.counts.empty, webhook.counts.quarantined)


async def test_an_error_that_nobody_foresaw_counts_and_harms_none_beside_it(
    pool: Pool,
    webhooks: Webhooks,
    mapper: Mapper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish = Upstream.publish

    async def fails(
        self: Upstream, caller: Any, events: Sequence[Any], *rest: Any, **named: Any
    ) -> Any:
        if any(isinstance(event, Event) for event in events):
            raise RuntimeError("about Mrs Canary")
        return await publish(self, caller, events, *rest, **named)

    monkeypatch.setattr(Upstream, "publish", fails)
    webhook_id = await made(webhooks)
    await store(pool, webhook_id, body=PAYMENT)
    await store(pool, webhook_id, body=NOTHING, count=2)
    for _ in range(ATTEMPTS_MAX + 3):
        await mapper.map_some()
        await come_due(pool)
    [webhook] = await webhooks.page("acme", "")
    counts = webhook.counts
    assert (2, 1, 0) == (counts.empty, counts.quarantined, counts.waiting)


async def test_a_journal_that_is_away_is_not_held_against_a_delivery(
    pool: Pool, journal_pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    await store(pool, await made(webhooks), body=PAYMENT)
    for _ in range(ATTEMPTS_MAX + 2):
        assert 1 == await mapper.map_some()
        await come_due(pool)
    async with journal_behind(pool, journal_pool) as behind:
        assert 1 == await behind.map_some()
    [webhook] = await webhooks.page("acme", "")
    assert (1, 0) == (webhook.counts.recorded, webhook.counts.quarantined)


async def test_a_database_that_is_away_is_not_held_against_a_delivery(
    pool: Pool, webhooks: Webhooks, mapper: Mapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    await store(pool, await made(webhooks), body=NOTHING)
    for _ in range(ATTEMPTS_MAX + 2):
        monkeypatch.setattr(Deliveries, "finish", away)
        monkeypatch.setattr(Deliveries, "put_back", away)
        assert 1 == await mapper.map_some()
        # Nothing more is taken before that is told.
        with pytest.raises(ConnectionRefusedError):
            await mapper.map_some()
        monkeypatch.undo()
        assert 1 == await mapper.map_some()
        await pool.execute("UPDATE gateway.delivery SET due_at = now()")
    [webhook] = await webhooks.page("acme", "")
    assert (ATTEMPTS_MAX + 2, 0) == (webhook.counts.empty, webhook.counts.quarantined)


async def test_a_gateway_that_stops_puts_back_what_it_has_in_hand(
    pool: Pool, webhooks: Webhooks, mapper: Mapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing = asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        publishing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Upstream, "publish", never)
    await store(pool, await made(webhooks), body=PAYMENT)
    running = asyncio.create_task(mapper.run())
    await publishing.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    row = await pool.fetchrow("SELECT due_at <= now() AS is_due, unanswered FROM gateway.delivery")
    assert row is not None
    assert (True, 0) == tuple(row)


async def test_one_that_can_not_be_opened_keeps_none_of_the_others_waiting(
    pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    webhook_id = await made(webhooks)
    await store(pool, webhook_id, body=b"{}", count=1)
    await pool.execute("UPDATE gateway.delivery SET content = '\\x01ff'")
    await store(pool, webhook_id, body=NOTHING, count=2)
    assert 3 == await mapper.map_some()
    [webhook] = await webhooks.page("acme", "")
    assert (2, 1) == (webhook.counts.deliveries, webhook.counts.waiting)
    # Nor does it end a replay.
    await pool.execute("UPDATE gateway.delivery SET due_at = NULL")
    answer = await mapper.replay("acme", pb.ReplayDeliveriesRequest(webhook_id=webhook_id))
    assert ["DATA_LOSS"] == [trouble.problem.code for trouble in answer.troubles]
    assert (2, "") == (answer.counts.deliveries, answer.next_page_token)


async def test_what_was_kept_for_long_enough_goes_in_steps(
    pool: Pool, webhooks: Webhooks, kept: Deliveries
) -> None:
    webhook_id = await made(webhooks)
    await mapped(pool, webhook_id, received_at=LONG_AGO, count=2 * SWEPT_TOGETHER_MAX + 1)
    await mapped(pool, webhook_id, received_at=NOW, count=2)
    await store(pool, webhook_id, body=b"{}", received_at=LONG_AGO - timedelta(days=1), count=3)
    await kept.sweep(NOW)
    # The young ones, and those that nobody has tried to map: all gateways were away.
    assert 5 == await left(pool)


async def test_what_nobody_could_open_goes_when_its_time_is_up(
    pool: Pool, webhooks: Webhooks, kept: Deliveries, mapper: Mapper
) -> None:
    webhook_id = await made(webhooks)
    await store(pool, webhook_id, body=b"{}", received_at=LONG_AGO)
    await store(pool, webhook_id, body=b"{}", received_at=NOW)
    await pool.execute("UPDATE gateway.delivery SET content = '\\x01ff'")
    assert 2 == await mapper.map_some()
    await kept.sweep(NOW)
    assert [NOW] == [row[0] for row in await pool.fetch("SELECT received_at FROM gateway.delivery")]
    [webhook] = await webhooks.page("acme", "")
    assert (0, 1) == (webhook.counts.deliveries, webhook.counts.waiting)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE gateway.webhook SET adapter = 'of_a_newer_release.v1'",
        "UPDATE gateway.webhook SET secret = '\\x01ff'",
    ],
)
async def test_what_no_gateway_could_map_goes_when_its_time_is_up(
    pool: Pool, webhooks: Webhooks, kept: Deliveries, mapper: Mapper, change: str
) -> None:
    webhook_id = await made(webhooks)
    await store(pool, webhook_id, body=PAYMENT, received_at=LONG_AGO)
    await store(pool, webhook_id, body=PAYMENT, received_at=NOW)
    await pool.execute(change)
    assert 2 == await mapper.map_some()
    await kept.sweep(NOW)
    # It is not held against the other one, either.
    assert [(NOW, 0)] == [
        tuple(row)
        for row in await pool.fetch("SELECT received_at, unanswered FROM gateway.delivery")
    ]


async def test_what_waits_for_the_journal_is_kept_until_it_is_published(
    pool: Pool, journal_pool: Pool, webhooks: Webhooks, kept: Deliveries, mapper: Mapper
) -> None:
    await store(pool, await made(webhooks), body=PAYMENT, received_at=LONG_AGO)
    assert 1 == await mapper.map_some()
    await kept.sweep(NOW)
    assert 1 == await left(pool)
    await come_due(pool)
    async with journal_behind(pool, journal_pool) as behind:
        assert 1 == await behind.map_some()
    await kept.sweep(NOW)
    assert 0 == await left(pool)
    [webhook] = await webhooks.page("acme", "")
    assert 1 == webhook.counts.recorded


async def test_a_deleted_webhook_goes_after_its_deliveries(
    pool: Pool, webhooks: Webhooks, kept: Deliveries, mapper: Mapper
) -> None:
    gone, stays = await made(webhooks), await made(webhooks)
    await store(pool, gone, body=PAYMENT, count=SWEPT_TOGETHER_MAX + 1)
    await store(pool, stays, body=PAYMENT)
    await webhooks.delete("acme", gone)
    assert 1 == await mapper.map_some()
    await kept.sweep(NOW)
    assert 1 == await left(pool)
    await pool.execute(
        "UPDATE gateway.webhook SET deleted_at = $1 WHERE deleted_at IS NOT NULL", LONG_AGO
    )
    await kept.sweep(NOW)
    assert 1 == await pool.fetchval("SELECT count(*) FROM gateway.webhook")


async def test_a_fault_of_an_adapter_is_a_problem_of_the_delivery(
    webhooks: Webhooks,
) -> None:
    def read(delivery: Delivery, config: Config) -> list[Event | Problem]:
        raise KeyError("a customer's name")

    adapter = Adapter("faulty.v1", verify=lambda *_: None, read=read, check_config=lambda _: None)
    webhook = await webhooks.of_tenant("acme", await made(webhooks))
    faulty = Webhook(webhook.webhook_id, adapter, "", {}, False, "", webhook.caller, waiting=0)
    [problem] = events_of(faulty, Delivery("", {}, b"", NOW))
    assert isinstance(problem, Problem)
    assert ("ADAPTER_FAILED", "KeyError") == (problem.code, problem.got)
