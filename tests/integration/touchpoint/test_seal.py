"""Every commit is sealed: the same chain whichever way the rows were stored."""

import asyncio

import asyncpg
import pytest

from services.chassis.errors import Corrupt
from services.chassis.postgres import Pool
from services.touchpoint import appender
from services.touchpoint.journal import Journal
from services.touchpoint.seal import NO_CHAIN
from services.touchpoint.unsealed import seal_unsealed
from tests.support.entries import append, entry
from tests.support.sealed import assert_sealed


@pytest.fixture
async def journal(journal_pool: Pool) -> Journal:
    return await Journal.open(journal_pool, stopping=asyncio.Event())


@pytest.mark.parametrize("cost_of_a_call", [1e9, 1e-9], ids=["by COPY", "by one call"])
async def test_each_commit_is_sealed_and_chained_to_the_one_before(
    journal_pool: Pool, monkeypatch: pytest.MonkeyPatch, cost_of_a_call: float
) -> None:
    monkeypatch.setattr(appender, "CALL_SECONDS_MORE_AN_EVENT", cost_of_a_call)
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    for size in (1, 2, 16, 17, 300):
        await append(journal, *(entry(f"{size}-{index}") for index in range(size)))
    assert await assert_sealed(journal_pool) == 5


async def test_duplicates_alone_make_no_seal(journal: Journal, journal_pool: Pool) -> None:
    await append(journal, entry("a"))
    await append(journal, entry("a"))
    assert await assert_sealed(journal_pool) == 1


async def test_what_an_earlier_release_stored_is_sealed_once(
    journal: Journal, journal_pool: Pool
) -> None:
    await append(journal, entry("a"), entry("b"))
    await append(journal, entry("c"))
    before = await journal_pool.fetch("SELECT * FROM journal.seals")
    await journal_pool.execute("TRUNCATE journal.seals")
    await journal_pool.execute("UPDATE journal.head SET chain = $1, to_seal = true", NO_CHAIN)
    with pytest.raises(Corrupt, match="chain"):
        await append(journal, entry("too early"))
    await asyncio.gather(seal_unsealed(journal_pool), seal_unsealed(journal_pool))
    assert before == await journal_pool.fetch("SELECT * FROM journal.seals")
    await append(journal, entry("d"))
    assert await assert_sealed(journal_pool) == 3


async def test_a_chain_that_is_lost_later_is_not_made_anew_and_stops_appends(
    journal: Journal, journal_pool: Pool
) -> None:
    await append(journal, entry("a"))
    await journal_pool.execute("TRUNCATE journal.seals")
    await journal_pool.execute("UPDATE journal.head SET chain = $1", NO_CHAIN)
    await seal_unsealed(journal_pool)
    with pytest.raises(Corrupt, match="chain"):
        await append(journal, entry("b"))
    assert await journal_pool.fetchval("SELECT count(*) FROM journal.seals") == 0


async def test_an_earlier_release_beside_this_one_cannot_append_without_a_seal(
    journal: Journal, journal_pool: Pool
) -> None:
    await append(journal, entry("a"))
    with pytest.raises(asyncpg.DataCorruptedError, match="without a seal"):
        await journal_pool.execute("UPDATE journal.head SET position = 2, recorded_at = now()")


async def test_a_hole_that_an_earlier_release_left_is_not_sealed_over(
    journal: Journal, journal_pool: Pool
) -> None:
    await append(journal, entry("a"), entry("b"), entry("c"))
    await journal_pool.execute("TRUNCATE journal.seals")
    await journal_pool.execute("UPDATE journal.head SET chain = $1, to_seal = true", NO_CHAIN)
    await journal_pool.execute("DELETE FROM journal.stored_events WHERE notification_id = 2")
    with pytest.raises(Corrupt):
        await seal_unsealed(journal_pool)
