"""After a restore, read models that know what is lost are made anew, and the others go on."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from services.chassis.errors import Conflict
from services.chassis.postgres import Pool
from services.scoring import restored
from services.touchpoint.restored import declare
from tests.support.events import event
from tests.support.projecting import Published, Scoring, journal_on, scoring_on, until
from tests.support.restoring import cut_to
from touchledger.v1 import events_pb2 as pb

ZONE = "UPDATE tenant SET reporting_zone = 'Europe/Berlin'"
ZONES = "SELECT DISTINCT reporting_zone FROM tenant"


@pytest.fixture
async def scoring_url(new_database: Callable[[str], str]) -> str:
    return await asyncio.to_thread(new_database, "scoring")


def visits(count: int, first: int = 1) -> list[pb.Event]:
    return [event(event_id=f"visit {number}") for number in range(first, first + count)]


async def known(scoring: Scoring) -> list[int]:
    rows = await scoring.live_pool.fetch("SELECT event_position FROM fact_interaction ORDER BY 1")
    return [row[0] for row in rows]


async def filled(scoring: Scoring, journal: Published) -> None:
    """Two commits: positions 1 to 3, then 4 and 5."""
    await journal.publish(*visits(3))
    await journal.publish(*visits(2, first=4))
    scoring.start()
    await scoring.caught_up()
    await scoring.live_pool.execute(ZONE)
    await scoring.stop()


@pytest.fixture
async def before(journal_pool: Pool, scoring_url: str) -> AsyncIterator[Scoring]:
    """Read models at position 5, of a journal that nobody serves any more."""
    async with journal_on(journal_pool) as journal, scoring_on(scoring_url, journal) as scoring:
        await filled(scoring, journal)
    async with journal_on(journal_pool) as journal, scoring_on(scoring_url, journal) as scoring:
        yield scoring


async def declared(journal_pool: Pool) -> restored.Journal:
    said = await declare(journal_pool, signed=[])
    return restored.Journal(said.journal_id, said.position, dict(said.common))


async def test_models_that_know_lost_positions_are_emptied_and_filled_anew(
    before: Scoring, journal_pool: Pool, scoring_url: str
) -> None:
    await cut_to(journal_pool, 3)
    [mended] = await restored.mend(before.pool, await declared(journal_pool))

    assert ("live", 5, 4, 5) == (mended.model, mended.checkpoint, mended.first, mended.last)
    async with journal_on(journal_pool) as journal, scoring_on(scoring_url, journal) as after:
        await journal.publish(*visits(2, first=7))
        after.start()
        await after.caught_up()
        assert [1, 2, 3, 4, 5] == await known(after)
        # What was declared once is in no journal.
        assert [("Europe/Berlin",)] == [tuple(row) for row in await after.live_pool.fetch(ZONES)]


async def test_models_that_know_nothing_lost_keep_their_rows(
    before: Scoring, journal_pool: Pool
) -> None:
    journal = await declared(journal_pool)

    assert [] == await restored.mend(before.pool, journal)

    assert [1, 2, 3, 4, 5] == await known(before)
    assert journal.journal_id == (await before.live.checkpoint()).journal_id


async def test_a_projector_that_was_not_ahead_goes_on_by_itself(
    before: Scoring, journal_pool: Pool, scoring_url: str
) -> None:
    restored_journal = await declared(journal_pool)
    async with journal_on(journal_pool) as journal, scoring_on(scoring_url, journal) as after:
        after.start()

        async def went_on() -> bool:
            return (await after.live.checkpoint()).journal_id == restored_journal.journal_id

        await until(went_on, "the journal's new id in the checkpoint")
        await journal.publish(*visits(1, first=6))
        await after.caught_up()
        assert [1, 2, 3, 4, 5, 6] == await known(after)


async def test_models_of_another_journal_are_emptied(before: Scoring) -> None:
    another = restored.Journal("another", 9, {"a third": 9})

    [mended] = await restored.mend(before.pool, another)

    assert (None, None) == (mended.first, mended.last)
    assert [] == await known(before)


async def test_it_is_refused_while_a_service_is_connected(before: Scoring) -> None:
    async with before.live_pool.acquire() as service:
        await service.execute("SET application_name = 'touchledger-scoring'")
        with pytest.raises(Conflict, match="stop them first"):
            await restored.mend(before.pool, restored.Journal("another", 9, {}))

    assert [1, 2, 3, 4, 5] == await known(before)
