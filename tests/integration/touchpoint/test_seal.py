"""Every commit is sealed: the same chain whichever way the rows were stored."""

import asyncio

import pytest

from services.chassis.postgres import Pool
from services.touchpoint import appender
from services.touchpoint.journal import Journal
from services.touchpoint.row import leaf
from services.touchpoint.seal import NO_CHAIN, chain_of, root_of
from services.touchpoint.unsealed import seal_unsealed
from tests.support.entries import append, entry


@pytest.fixture
async def journal(journal_pool: Pool) -> Journal:
    return await Journal.open(journal_pool, stopping=asyncio.Event())


async def assert_sealed(pool: Pool) -> int:
    """Computes the chain from the stored rows; the number of seals."""
    chain, after = NO_CHAIN, 0
    seals = await pool.fetch("SELECT * FROM journal.seals ORDER BY last_position")
    for seal in seals:
        assert seal["first_position"] == after + 1
        events = await pool.fetch(
            "SELECT * FROM journal.stored_events WHERE notification_id BETWEEN $1 AND $2 "
            "ORDER BY notification_id",
            seal["first_position"],
            seal["last_position"],
        )
        assert {seal["recorded_at"]} == {event["recorded_at"] for event in events}
        assert seal["root"] == root_of([leaf(event) for event in events])
        chain = chain_of(
            chain,
            first=seal["first_position"],
            last=seal["last_position"],
            recorded_at=seal["recorded_at"],
            root=seal["root"],
        )
        assert seal["chain"] == chain
        after = seal["last_position"]
    head = await pool.fetchrow("SELECT position, chain FROM journal.head")
    assert head is not None
    assert (head["position"], head["chain"]) == (after, chain)
    return len(seals)


@pytest.mark.parametrize("call_events_max", [0, 1_000_000], ids=["by COPY", "by one call"])
async def test_each_commit_is_sealed_and_chained_to_the_one_before(
    journal: Journal, journal_pool: Pool, monkeypatch: pytest.MonkeyPatch, call_events_max: int
) -> None:
    monkeypatch.setattr(appender, "CALL_EVENTS_MAX", call_events_max)
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
    await journal_pool.execute("UPDATE journal.head SET chain = $1", NO_CHAIN)
    await asyncio.gather(seal_unsealed(journal_pool), seal_unsealed(journal_pool))
    assert before == await journal_pool.fetch("SELECT * FROM journal.seals")
    await append(journal, entry("d"))
    assert await assert_sealed(journal_pool) == 3
