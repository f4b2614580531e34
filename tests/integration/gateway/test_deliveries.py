"""Deliveries wait for a journal that is away, and go when their time is up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest

from services.chassis.postgres import Pool
from services.gateway.adapters.adapter import Adapter, Config, Delivery
from services.gateway.deliveries import IN_HAND_MAX, KEPT_DAYS, SWEPT_TOGETHER_MAX, Deliveries
from services.gateway.keyring import Keyring
from services.gateway.mapper import Mapper, events_of
from services.gateway.quarantine import Quarantine
from services.gateway.upstream import Upstream
from services.gateway.webhooks import Webhook, Webhooks
from touchledger.v1 import webhooks_pb2 as pb
from touchledger.v1.events_pb2 import Event
from touchledger.v1.problem_pb2 import Problem

KEYRING = Keyring(bytes(range(32)))
NOW = datetime(2026, 8, 3, 10, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=KEPT_DAYS, seconds=1)


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as opened:
        yield opened


@pytest.fixture
def webhooks(pool: Pool) -> Webhooks:
    return Webhooks(pool, KEYRING)


@pytest.fixture
def kept(pool: Pool) -> Deliveries:
    return Deliveries(pool, KEYRING)


@pytest.fixture
async def mapper(pool: Pool, webhooks: Webhooks, kept: Deliveries) -> AsyncIterator[Mapper]:
    """In front of a journal that is nowhere."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        yield Mapper(webhooks, kept, Upstream(channel, KEYRING, Quarantine(pool, KEYRING)))


async def made(webhooks: Webhooks) -> str:
    request = pb.CreateWebhookRequest(
        webhook=pb.Webhook(adapter="square.v1", source="square"),
        public_url="https://events.shop.example",
        secret="s",
    )
    return (await webhooks.create("acme", request)).webhook_id


async def store(
    pool: Pool, webhook_id: str, *, body: bytes, received_at: datetime = NOW, count: int = 1
) -> None:
    clear = b'{"url": "", "headers": {}}\n' + body
    sealed = KEYRING.sealed("acme", clear, place=f"webhook:{webhook_id}:delivery")
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


async def left(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM gateway.delivery")
    return count


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
        await pool.execute("UPDATE gateway.delivery SET due_at = now()")
    for wait, seconds in zip(waits, (1, 2, 4), strict=True):
        assert timedelta(seconds=seconds / 2) < wait <= timedelta(seconds=seconds)


async def test_what_tells_nothing_is_done_without_a_journal(
    pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    await store(
        pool, await made(webhooks), body=b'{"type": "order.updated"}', count=IN_HAND_MAX + 1
    )
    assert await mapper.map_some() == IN_HAND_MAX
    assert 1 == await mapper.map_some()
    assert 0 == await mapper.map_some()
    [webhook] = await webhooks.page("acme", "")
    assert (IN_HAND_MAX + 1, IN_HAND_MAX + 1) == (webhook.counts.deliveries, webhook.counts.empty)


async def test_gateways_at_once_take_different_deliveries_in_hand(
    pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    await store(
        pool, await made(webhooks), body=b'{"type": "order.updated"}', count=3 * IN_HAND_MAX
    )
    taken = await asyncio.gather(*(mapper.map_some() for _ in range(4)))
    while more := await mapper.map_some():
        taken.append(more)
    assert 3 * IN_HAND_MAX == sum(taken)
    [webhook] = await webhooks.page("acme", "")
    assert 3 * IN_HAND_MAX == webhook.counts.deliveries


async def test_one_that_can_not_be_opened_keeps_none_of_the_others_waiting(
    pool: Pool, webhooks: Webhooks, mapper: Mapper
) -> None:
    webhook_id = await made(webhooks)
    await store(pool, webhook_id, body=b"{}", count=1)
    await pool.execute("UPDATE gateway.delivery SET content = '\\x01ff'")
    await store(pool, webhook_id, body=b'{"type": "order.updated"}', count=2)
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
    # The young ones, and those that are not mapped yet.
    assert 5 == await left(pool)


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
