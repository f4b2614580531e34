"""A projection has one owner at a time, and whoever was owner before writes nothing."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from services.chassis.postgres import Pool
from services.scoring import lease
from services.scoring.lease import Lease
from services.scoring.models import LIVE
from services.scoring.scoreboard import Overtaken, Progress, Scoreboard
from tests.acceptance.test_torture import eventually
from tests.support.events import event
from tests.support.journals import JOURNAL_ID, journal_of
from tests.support.projecting import until
from tests.support.stack import Service, Stack
from touchledger.v1 import ingest_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub

PAGE = journal_of(event())
# At the checkpoint of empty tables, so that nothing but a token is in its way.
FIRST = Progress(journal_id=JOURNAL_ID, after=0, to=1, events=1, recorded_at=None, head=1)
EXPIRE = "UPDATE scoring.lease SET expires_at = clock_timestamp() WHERE projection = 'live'"


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "scoring")
    settings = {"search_path": LIVE.search_path}
    async with asyncpg.create_pool(url, min_size=1, max_size=8, server_settings=settings) as pool:
        yield pool


@pytest.fixture
def one(pool: Pool) -> Lease:
    return Lease(pool, lease.LIVE, owner="one:1")


@pytest.fixture
def other(pool: Pool) -> Lease:
    return Lease(pool, lease.LIVE, owner="other:2")


async def taken(one: Lease) -> int:
    token = await one.take()
    assert token is not None
    return token


async def test_a_lease_has_one_owner(one: Lease, other: Lease) -> None:
    await taken(one)
    assert None is await other.take()


async def test_projections_have_leases_of_their_own(pool: Pool, one: Lease) -> None:
    await taken(one)
    assert None is not await Lease(pool, lease.NEXT, owner="other:2").take()


async def test_a_lease_that_ran_out_is_taken_under_a_new_token(
    pool: Pool, one: Lease, other: Lease
) -> None:
    first = await taken(one)
    await pool.execute(EXPIRE)
    assert first < await taken(other)
    with pytest.raises(Overtaken):
        await one.renew(first)


async def test_a_lease_that_is_renewed_does_not_run_out(
    pool: Pool, one: Lease, other: Lease
) -> None:
    token = await taken(one)
    await pool.execute(EXPIRE)
    await one.renew(token)
    assert None is await other.take()


async def test_a_released_lease_is_free_at_once(one: Lease, other: Lease) -> None:
    await one.release(await taken(one))
    assert None is not await other.take()


async def test_who_has_lost_the_lease_releases_nothing(
    pool: Pool, one: Lease, other: Lease
) -> None:
    first = await taken(one)
    await pool.execute(EXPIRE)
    second = await taken(other)
    await one.release(first)
    await other.renew(second)


async def test_many_take_at_once_and_one_gets_it(pool: Pool) -> None:
    leases = [Lease(pool, lease.LIVE, owner=f"host:{number}") for number in range(20)]
    tokens = await asyncio.gather(*(each.take() for each in leases))
    assert 1 == sum(token is not None for token in tokens)


@pytest.fixture
async def scoreboard(pool: Pool) -> Scoreboard:
    made = Scoreboard(pool)
    await made.install()
    return made


async def test_the_page_of_an_owner_that_was_overtaken_changes_nothing(
    pool: Pool, scoreboard: Scoreboard, one: Lease, other: Lease
) -> None:
    first = await taken(one)
    await pool.execute(EXPIRE)
    await taken(other)
    with pytest.raises(Overtaken):
        await scoreboard.project(PAGE, FIRST, fence=one.fence(first))
    assert 0 == (await scoreboard.checkpoint()).number
    assert 0 == await pool.fetchval("SELECT count(*) FROM event")


async def test_a_lease_is_not_taken_under_a_page(pool: Pool, one: Lease, other: Lease) -> None:
    token = await taken(one)
    async with pool.acquire() as tx, tx.transaction():
        await one.fence(token)(tx)
        await pool_waits_for_nothing(other)
    await one.renew(token)


async def pool_waits_for_nothing(other: Lease) -> None:
    """Taking answers at once that there is nothing to be had."""
    async with asyncio.timeout(5):
        assert None is await other.take()


async def test_an_owner_that_stands_still_within_a_page_is_overtaken(
    pool: Pool, scoreboard: Scoreboard, one: Lease, other: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 0.5)
    token = await taken(one)
    connection = await pool.acquire()
    transaction = connection.transaction()
    await transaction.start()
    await one.fence(token)(connection)

    async def other_has_it() -> bool:
        return await other.take() is not None

    # No statement comes any more from the one, as from a stopped process.
    await until(other_has_it, "the other one owns it")
    with pytest.raises((asyncpg.IdleInTransactionSessionTimeoutError, asyncpg.InterfaceError)):
        await connection.execute("SELECT 1")
    with pytest.raises(Overtaken):
        await scoreboard.project(PAGE, FIRST, fence=one.fence(token))


async def test_a_page_that_takes_too_long_is_ended_even_within_a_statement(
    pool: Pool, one: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PAGE_SECONDS_MAX", 0.5)
    token = await taken(one)
    connection = await pool.acquire()
    transaction = connection.transaction()
    await transaction.start()
    await one.fence(token)(connection)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="transaction timeout"):
        await connection.execute("SELECT pg_sleep(60)")


async def test_the_limits_of_a_page_end_with_it(pool: Pool, one: Lease) -> None:
    token = await taken(one)
    async with pool.acquire() as connection:
        before = await connection.fetchval("SHOW transaction_timeout")
        async with connection.transaction():
            await one.fence(token)(connection)
            assert before != await connection.fetchval("SHOW transaction_timeout")
        assert before == await connection.fetchval("SHOW transaction_timeout")


async def test_taking_away_ends_the_ownership_of_whoever_has_it(
    pool: Pool, one: Lease, other: Lease
) -> None:
    token = await taken(one)
    async with pool.acquire() as tx, tx.transaction():
        await lease.take_away(tx, lease.LIVE)
    with pytest.raises(Overtaken):
        await one.renew(token)
    await taken(other)


def another_scoring(stack: Stack, folder: Path) -> Service:
    """A second process of the service, on the same database."""
    return Service("scoring", stack.scoring.environment, folder / "scoring-2.log")


def ask(stack: Stack, sql: str) -> Any:
    """What the scoring database says."""

    async def fetch() -> Any:
        connection = await asyncpg.connect(stack.urls["scoring"])
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def publish(stack: Stack, first: int, count: int) -> None:
    """These visits, and each of them once more, as a till does that is not sure."""
    visits = [event(event_id=f"visit {first + number}") for number in range(count)]
    with grpc.insecure_channel(stack.gateway.address) as channel:
        ingest = IngestServiceStub(channel)
        for _ in range(2):
            request = ingest_pb2.PublishBatchRequest(events=visits)
            ingest.PublishBatch(request, metadata=stack.metadata, timeout=20)


def wait_until_projected(stack: Stack, count: int) -> None:
    eventually(f"{count} projected", lambda: ask(stack, CHECKPOINT) == count, 30)


CHECKPOINT = "SELECT position FROM bi.freshness"
OWNER = (
    "SELECT owner FROM scoring.lease WHERE projection = 'live' AND expires_at > clock_timestamp()"
)
COUNTED = "SELECT sum(interactions)::bigint FROM bi.rollup_day"
INTERACTIONS = "SELECT count(*) FROM bi.fact_interaction"


def test_an_owner_that_is_stopped_and_goes_on_later_applies_nothing_twice(
    stack: Stack, tmp_path: Path
) -> None:
    standby = another_scoring(stack, tmp_path)
    standby.start()
    try:
        standby.wait_until_ready()
        publish(stack, 1, 100)
        wait_until_projected(stack, 100)
        assert stack.scoring.process is not None
        assert standby.process is not None
        first = str(ask(stack, OWNER))
        assert first.endswith(f":{stack.scoring.process.pid}")

        stack.scoring.process.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        publish(stack, 101, 100)
        wait_until_projected(stack, 200)
        assert time.monotonic() - stopped_at < 3 * lease.SECONDS
        assert str(ask(stack, OWNER)).endswith(f":{standby.process.pid}")

        stack.scoring.process.send_signal(signal.SIGCONT)
        for first_number in range(201, 701, 100):
            publish(stack, first_number, 100)
        wait_until_projected(stack, 700)
        stack.scoring.wait_until_ready()
        assert (700, 700) == (ask(stack, INTERACTIONS), ask(stack, COUNTED))
        # And back: the one that was stopped is as good an owner as any.
        standby.kill()
        publish(stack, 701, 100)
        wait_until_projected(stack, 800)
        assert (800, 800) == (ask(stack, INTERACTIONS), ask(stack, COUNTED))
    finally:
        if standby.process is not None and standby.process.poll() is None:
            standby.kill()


def test_an_owner_that_is_asked_to_stop_hands_over_at_once(stack: Stack, tmp_path: Path) -> None:
    standby = another_scoring(stack, tmp_path)
    standby.start()
    try:
        standby.wait_until_ready()
        publish(stack, 1, 10)
        wait_until_projected(stack, 10)
        assert 0 == stack.scoring.stop()
        released = ask(stack, "SELECT owner FROM scoring.lease WHERE projection = 'live'")
        assert not stack.scoring.process or not str(released).endswith(
            f":{stack.scoring.process.pid}"
        )
        publish(stack, 11, 10)
        wait_until_projected(stack, 20)
    finally:
        standby.kill()
