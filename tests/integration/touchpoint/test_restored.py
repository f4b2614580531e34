"""A restored journal says so: readers that were not ahead go on, the others are told what is lost."""

import asyncio

import asyncpg
import pytest

from services.chassis.errors import Conflict
from services.chassis.postgres import Pool
from services.touchpoint.journal import Journal
from services.touchpoint.restored import Ahead, declare
from tests.support.entries import append, entry
from tests.support.restoring import cut_to
from tests.support.sealed import assert_sealed


async def opened(pool: Pool) -> Journal:
    return await Journal.open(pool, stopping=asyncio.Event())


async def journal_of(pool: Pool, count: int) -> Journal:
    """With each event in a commit of its own."""
    journal = await opened(pool)
    for number in range(count):
        await append(journal, entry(f"event-{number}"))
    return journal


async def test_it_gets_another_id_and_takes_positions_that_both_have_for_its_own(
    journal_pool: Pool,
) -> None:
    before = await journal_of(journal_pool, 5)

    restored = await declare(journal_pool, signed=[])

    after = await opened(journal_pool)
    assert restored.before == before.journal_id != after.journal_id == restored.journal_id
    assert 5 == restored.position == after.here(before.journal_id, 5)
    assert 3 == after.here(before.journal_id, 3)
    assert 9 == after.here(after.journal_id, 9)


async def test_a_position_that_is_lost_is_refused_and_the_lost_ones_are_named(
    journal_pool: Pool,
) -> None:
    before = await journal_of(journal_pool, 5)
    await cut_to(journal_pool, 3)
    await declare(journal_pool, signed=[])
    after = await opened(journal_pool)

    with pytest.raises(Conflict, match=f"positions 4 to 5 of {before.journal_id} are lost") as told:
        after.here(before.journal_id, 5)

    assert "POSITIONS_LOST" == told.value.problem.code


async def test_a_later_restore_to_an_earlier_position_takes_from_all_journals_before(
    journal_pool: Pool,
) -> None:
    first = await journal_of(journal_pool, 5)
    second = await declare(journal_pool, signed=[])
    await cut_to(journal_pool, 2)
    await declare(journal_pool, signed=[])
    after = await opened(journal_pool)

    assert 2 == after.here(first.journal_id, 2) == after.here(second.journal_id, 2)
    for journal_id in (first.journal_id, second.journal_id):
        with pytest.raises(Conflict, match="at most 2"):
            after.here(journal_id, 3)


async def test_a_position_of_a_journal_that_is_nothing_to_it_is_refused(journal_pool: Pool) -> None:
    await journal_of(journal_pool, 5)
    await declare(journal_pool, signed=[])
    after = await opened(journal_pool)

    with pytest.raises(Conflict, match=r"after\.journal_id: got another, want"):
        after.here("another", 1)


async def test_what_is_ahead_beside_the_events_is_put_back_and_named(journal_pool: Pool) -> None:
    await journal_of(journal_pool, 5)
    await journal_pool.execute("UPDATE journal.recovery_progress SET position = 5")
    await journal_pool.execute(
        "INSERT INTO journal.library_tracking "
        "VALUES ('acme', 'view', 'orders', 4), ('acme', 'old', 'orders', 2)"
    )
    await cut_to(journal_pool, 3)

    restored = await declare(journal_pool, signed=[Ahead("signed checkpoint x", 7), Ahead("y", 2)])

    assert [
        Ahead("library projection view of tenant acme", 4),
        Ahead("recovery process", 5),
        Ahead("signed checkpoint x", 7),
    ] == restored.ahead
    assert 3 == await journal_pool.fetchval("SELECT position FROM journal.recovery_progress")
    tracking = "SELECT notification_id FROM journal.library_tracking ORDER BY projection"
    assert [2, 3] == [row[0] for row in await journal_pool.fetch(tracking)]


async def test_it_is_refused_while_a_service_is_connected(
    admin_url: str, journal_pool: Pool
) -> None:
    before = await journal_of(journal_pool, 1)
    name = await journal_pool.fetchval("SELECT current_database()")
    service = await asyncpg.connect(
        f"{admin_url.rpartition('/')[0]}/{name}",
        server_settings={"application_name": "touchledger-touchpoint"},
    )
    try:
        with pytest.raises(Conflict, match="got 1 connections, want no touchpoint service on it"):
            await declare(journal_pool, signed=[])
    finally:
        await service.close()
    assert before.journal_id == (await opened(journal_pool)).journal_id


async def test_it_goes_on_with_the_chain_and_a_service_of_before_appends_no_more(
    journal_pool: Pool,
) -> None:
    before = await journal_of(journal_pool, 3)
    await cut_to(journal_pool, 2)
    await declare(journal_pool, signed=[])

    with pytest.raises(Exception, match=before.journal_id):
        await append(before, entry("too late"))
    await append(await opened(journal_pool), entry("event-2"))

    assert 3 == await assert_sealed(journal_pool)
