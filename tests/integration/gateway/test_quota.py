"""The quota of the day is shared by all gateways through their database, and outlives them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.errors import Exhausted
from services.chassis.postgres import Pool
from services.gateway import limits as module
from services.gateway.access import Caller
from services.gateway.limits import Limits
from services.gateway.settings import Settings

TILL = Caller("acme", "till", frozenset(), key_id="till", events_per_day=100)
WEB = Caller("acme", "web", frozenset(), key_id="web", events_per_day=100)
NO_QUOTA = Caller("acme", "bulk", frozenset(), key_id="bulk")
SETTINGS = Settings.model_validate(
    {"database_url": "postgresql://nowhere", "secret_key_file": "nowhere"}
)


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as opened:
        yield opened


def publish(limits: Limits, caller: Caller, events: int) -> None:
    with limits.call(caller, events=events, size=1):
        pass


async def test_gateways_add_up_what_each_has_taken(pool: Pool) -> None:
    one, other = Limits(SETTINGS, pool), Limits(SETTINGS, pool)
    publish(one, TILL, 60)
    publish(other, TILL, 30)
    await one.share_quotas()
    await other.share_quotas()
    with pytest.raises(Exhausted, match="90 and 20 more"):
        publish(other, TILL, 20)
    publish(one, TILL, 10)
    await one.share_quotas()
    with pytest.raises(Exhausted, match="100 and 1 more"):
        publish(one, TILL, 1)
    publish(other, WEB, 100)


async def test_a_gateway_that_starts_again_goes_on_where_it_was(pool: Pool) -> None:
    before = Limits(SETTINGS, pool)
    publish(before, TILL, 90)
    await before.share_quotas()
    after = Limits(SETTINGS, pool)
    publish(after, TILL, 5)
    await after.share_quotas()
    with pytest.raises(Exhausted, match="95 and 10 more"):
        publish(after, TILL, 10)


async def test_a_stop_tells_what_was_not_told_yet(pool: Pool) -> None:
    limits = Limits(SETTINGS, pool)
    publish(limits, TILL, 7)
    running = asyncio.create_task(limits.run())
    await asyncio.sleep(0)
    publish(limits, TILL, 8)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert 15 == await pool.fetchval("SELECT sum(events) FROM gateway.quota_use")


async def test_what_was_published_while_the_database_was_away_is_told_later(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(SETTINGS, pool)
    publish(limits, TILL, 40)
    # A lock of ours stands in its way for longer than it waits.
    monkeypatch.setattr(module, "QUOTA_DEADLINE_SECONDS", 0.05)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE gateway.quota_use")
        await limits.share_quotas()
    monkeypatch.undo()
    with pytest.raises(Exhausted, match="40 and 61 more"):
        publish(limits, TILL, 61)
    await limits.share_quotas()
    assert 40 == await pool.fetchval("SELECT events FROM gateway.quota_use")


async def test_who_has_no_quota_costs_the_database_nothing(pool: Pool) -> None:
    limits = Limits(SETTINGS, pool)
    publish(limits, NO_QUOTA, 500)
    await limits.share_quotas()
    assert 0 == await pool.fetchval("SELECT count(*) FROM gateway.quota_use")


async def test_a_new_day_begins_with_nothing_and_old_days_are_forgotten(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = clock.now()
    limits = Limits(SETTINGS, pool)
    publish(limits, TILL, 100)
    await limits.share_quotas()
    later = Timestamp(seconds=today.seconds + 86_400 * (module.QUOTA_DAYS_KEPT + 1))
    monkeypatch.setattr(clock, "now", lambda: later)
    await limits.share_quotas()
    publish(limits, TILL, 100)
    await limits.share_quotas()
    assert await limits.forget_old_days()
    rows = await pool.fetch("SELECT day, events FROM gateway.quota_use")
    assert [(later.ToDatetime().date(), 100)] == [tuple(row) for row in rows]
