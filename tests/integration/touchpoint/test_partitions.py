"""partitioning.sql makes partitions of the table while the service goes on and keeps its promises."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from services.chassis.errors import Corrupt
from services.chassis.postgres import Connection, Pool
from services.touchpoint import appender
from services.touchpoint.identity import originator_ids
from services.touchpoint.journal import Journal
from services.touchpoint.row import Entry, encode
from services.touchpoint.walk import Problem, walk
from tests.support.entries import append, attempt, duplicate, entry, id_conflict, recorded
from tests.support.sealed import assert_sealed

PARTITIONING = Path(appender.__file__).with_name("partitioning.sql").read_text()
# Ahead of the clock for a long time to come; the dates of ids are free.
FIRST, CUT, UNTIL = (datetime(year, 1, 1, tzinfo=UTC) for year in (2090, 2091, 2099))
LONG_AGO = datetime(2026, 8, 3, 10, tzinfo=UTC)
BEYOND = datetime(2200, 1, 1, tzinfo=UTC)
DEADLINE_SECONDS = 60
VALIDATE = "ALTER TABLE journal.stored_events VALIDATE CONSTRAINT stored_events_outside"
PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
 WHERE inhparent = 'journal.stored_events'::regclass ORDER BY relname
"""
EVENTS_BY_TABLE = """
SELECT tableoid::regclass::text, count(*) FROM journal.stored_events GROUP BY 1 ORDER BY 1
"""
DEFAULT = "journal.stored_events_default"
FROM_FIRST = "journal.stored_events_from_2090_01_01"
FROM_CUT = "journal.stored_events_from_2091_01_01"


async def set_apart(connection: Connection | Pool) -> int:
    return int(await connection.fetchval("SELECT journal.set_apart($1, $2)", FIRST, UNTIL))


async def validate(connection: Connection | Pool) -> None:
    await connection.execute(VALIDATE)


async def become_partitions(connection: Connection | Pool) -> None:
    await connection.execute("SELECT journal.become_partitions()")


async def cut(connection: Connection | Pool) -> int:
    return int(await connection.fetchval("SELECT journal.cut_last_partition($1)", CUT))


STEPS: tuple[Callable[[Connection | Pool], Awaitable[object]], ...] = (
    set_apart,
    validate,
    become_partitions,
    cut,
)
# After how many of them: from the plain table to three partitions.
AFTER_STEPS = range(len(STEPS) + 1)


def uuid7(moment: datetime, number: int = 0) -> str:
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return str(UUID(int=milliseconds << 80 | 0x7000_8000_0000_0000_0000 | number))


def hashed_into(first: datetime, until: datetime) -> str:
    """An event id that is no UUIDv7, whose hash looks like one of these times all the same."""
    low, high = (UUID(uuid7(moment)).bytes[:6] for moment in (first, until))
    ids = (f"receipt {number}" for number in itertools.count())
    return next(each for each in ids if low <= originator_ids("acme", "till", [each])[0] < high)


# One for each place that an id can have.
IDS = {
    "a hash": "receipt",
    "long ago": uuid7(LONG_AGO),
    "in the first partition": uuid7(FIRST),
    "at the end of it": uuid7(CUT - timedelta(milliseconds=1)),
    "in the next one": uuid7(CUT),
    "at the end of all": uuid7(UNTIL - timedelta(milliseconds=1)),
    "beyond": uuid7(BEYOND),
    "a hash in the first partition": hashed_into(FIRST, CUT),
    "a hash in the next one": hashed_into(CUT, UNTIL),
}


@pytest.fixture(params=[1e9, 1e-9], ids=["by COPY", "by one call"])
def way_to_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "CALL_SECONDS_MORE_AN_EVENT", request.param)


@pytest.fixture
async def pool(journal_pool: Pool) -> Pool:
    """With the functions of the file that an operator runs."""
    await journal_pool.execute(PARTITIONING)
    return journal_pool


async def opened(pool: Pool) -> Journal:
    """As a process that starts has it: it knows no id yet."""
    return await Journal.open(pool, stopping=asyncio.Event())


async def convert(pool: Pool, steps: int = len(STEPS)) -> None:
    for step in STEPS[:steps]:
        await step(pool)


async def pages(journal: Journal) -> list[int]:
    positions, after = list[int](), 0
    while events := (await journal.page(after)).events:
        positions += [event["notification_id"] for event in events]
        after = positions[-1]
    return positions


async def problem(pool: Pool) -> Problem | None:
    async with pool.acquire() as connection:
        return (await walk(connection)).problem


@pytest.mark.usefixtures("way_to_store")
@pytest.mark.parametrize("steps", AFTER_STEPS)
async def test_an_id_that_was_stored_before_is_a_duplicate_or_a_conflict_at_each_step(
    pool: Pool, steps: int
) -> None:
    ids = list(IDS.values())
    await append(await opened(pool), *map(entry, ids))
    await convert(pool, steps)
    same, other = [entry(each) for each in ids], [entry(each, "other content") for each in ids]
    positions = range(1, len(ids) + 1)
    assert await append(await opened(pool), *same) == [duplicate(each) for each in positions]
    assert await append(await opened(pool), *other) == [id_conflict(each) for each in positions]
    assert await pages(await opened(pool)) == list(positions)
    assert await assert_sealed(pool) == 1
    assert await problem(pool) is None


@pytest.mark.usefixtures("way_to_store")
@pytest.mark.parametrize("steps", AFTER_STEPS)
async def test_an_id_that_is_stored_at_one_step_is_known_at_all_later_ones(
    pool: Pool, steps: int
) -> None:
    await append(await opened(pool), entry("from before"))
    await convert(pool, steps)
    entries = [entry(each) for each in IDS.values()]
    await append(await opened(pool), *entries)
    results = [duplicate(position) for position in range(2, len(entries) + 2)]
    for step in STEPS[steps:]:
        assert await append(await opened(pool), *entries) == results
        await step(pool)
    assert await append(await opened(pool), *entries) == results
    assert await assert_sealed(pool) == 2


@pytest.mark.usefixtures("way_to_store")
@pytest.mark.parametrize("name", IDS)
async def test_of_two_processes_that_store_one_id_at_once_one_stores_it(
    pool: Pool, name: str
) -> None:
    await convert(pool)
    journals = [await opened(pool) for _ in range(4)]
    results = await asyncio.gather(*(append(each, entry(IDS[name])) for each in journals))
    assert sorted(results, key=str) == [[duplicate(1)]] * 3 + [[recorded(1)]]


async def test_each_event_is_in_the_partition_of_its_id(pool: Pool) -> None:
    await append(await opened(pool), *map(entry, IDS.values()))
    before = await pool.fetch(EVENTS_BY_TABLE)
    await convert(pool)
    assert [tuple(row) for row in before] == [("journal.stored_events", 9)]
    assert [tuple(row) for row in await pool.fetch(EVENTS_BY_TABLE)] == [
        (DEFAULT, 3),
        (FROM_FIRST, 3),
        (FROM_CUT, 3),
    ]


async def test_a_decision_continues_a_stream_of_before(pool: Pool) -> None:
    journal = await opened(pool)
    stream = UUID(int=7).bytes

    def decision(version: int) -> Entry:
        return entry("decision")._replace(originator_id=stream, originator_version=version)

    await journal.decide(encode(attempt(), [decision(1)]))
    await convert(pool)
    with pytest.raises(appender.VersionConflict):
        await (await opened(pool)).decide(encode(attempt(), [decision(1)]))
    assert await journal.decide(encode(attempt(), [decision(2)])) == [recorded(2)]
    assert len(await journal.stream(UUID(bytes=stream))) == 2


async def test_appends_and_readers_go_on_through_all_steps(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    journals = [await opened(pool), await opened(pool)]
    # Both ways to store, however far the server is: few events by one call, more by COPY.
    for each in journals:
        monkeypatch.setattr(each._appender, "_call_events_max", 30)
    numbers = itertools.count()
    done = asyncio.Event()
    stored = dict[str, int]()
    appended = [asyncio.Event(), asyncio.Event()]

    def batch(size: int) -> Iterator[str]:
        for number in itertools.islice(numbers, size):
            moments = (LONG_AGO, FIRST, CUT, BEYOND)
            # Every third one is a hash.
            yield f"receipt {number}" if number % 3 == 0 else uuid7(moments[number % 4], number)

    async def write(writer: int) -> None:
        while not done.is_set():
            for size in (5, 200):
                ids = list(batch(size))
                # The last one twice, which must be seen in whatever table it is.
                results = await append(journals[writer], *map(entry, [*ids, ids[-1]]))
                assert results[-1] == duplicate(results[-2].position)
                stored.update(zip(ids, (each.position for each in results), strict=False))
            appended[writer].set()

    async def follow() -> list[int]:
        positions = list[int]()
        async for page in journals[0].follow(0):
            positions += [event["notification_id"] for event in page.events]
            if page.events and page.events[-1]["state"].startswith(b"the end"):
                break
        return positions

    async def progress() -> None:
        """Two ends of each writer's rounds: what lies between them began after now."""
        for ended in (*appended, *appended):
            ended.clear()
            await ended.wait()

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        writers = [group.create_task(write(writer)) for writer in range(2)]
        await progress()
        for step in STEPS:
            await step(pool)
            await progress()
        done.set()
        await asyncio.wait(writers)
        # Wakes the follower, should it wait at the head.
        await append(journals[0], entry("the end"))
    assert following.result() == list(range(1, len(stored) + 2))
    assert await pages(await opened(pool)) == following.result()
    ids = list(stored)
    results = await append(await opened(pool), *map(entry, ids))
    assert results == [duplicate(stored[each]) for each in ids]
    await assert_sealed(pool)
    assert await problem(pool) is None


async def told(pool: Pool, step: Callable[[Connection], Awaitable[object]]) -> dict[str, set[str]]:
    """Of which tables PostgreSQL tells during a step that it reads them, and of which that it need not."""
    messages = list[str]()

    def note(_: Connection, message: object) -> None:
        messages.append(str(message))

    async with pool.acquire() as connection:
        connection.add_log_listener(note)
        try:
            await connection.execute("SET client_min_messages = debug1")
            await step(connection)
        finally:
            await connection.execute("RESET client_min_messages")
            connection.remove_log_listener(note)
    return {
        verb: {"journal." + each.split('"')[1] for each in messages if words in each}
        for verb, words in (
            ("reads", "verifying table"),
            ("proves", "is implied by existing constraints"),
        )
    }


async def test_no_row_is_read_to_become_partitions(pool: Pool) -> None:
    await append(await opened(pool), *map(entry, IDS.values()))
    await convert(pool, steps=2)
    assert await told(pool, become_partitions) == {
        "reads": set(),
        "proves": {DEFAULT, FROM_FIRST},
    }


async def test_no_row_of_the_default_partition_is_read_for_a_cut(pool: Pool) -> None:
    await append(await opened(pool), *map(entry, IDS.values()))
    await convert(pool, steps=3)
    assert await told(pool, cut) == {"reads": {FROM_FIRST, FROM_CUT}, "proves": {DEFAULT}}


async def test_what_is_not_validated_does_not_become_a_partition(pool: Pool) -> None:
    await set_apart(pool)
    with pytest.raises(asyncpg.RaiseError, match="stored_events_outside"):
        await become_partitions(pool)
    await append(await opened(pool), *map(entry, IDS.values()))
    assert await pages(await opened(pool)) == list(range(1, len(IDS) + 1))


@pytest.mark.parametrize("step", [0, 2, 3], ids=lambda step: STEPS[step].__name__)
async def test_a_step_gives_up_when_a_reader_takes_long_and_can_be_repeated(
    pool: Pool, step: int
) -> None:
    journal = await opened(pool)
    await append(journal, entry("a"))
    await convert(pool, step)
    async with pool.acquire() as reader, reader.transaction():
        await reader.fetch("SELECT count(*) FROM journal.stored_events")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await STEPS[step](pool)
        assert await append(journal, entry("b")) == [recorded(2)]
    await STEPS[step](pool)
    assert await append(await opened(pool), entry("a"), entry("b")) == [duplicate(1), duplicate(2)]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("set_apart('2020-01-01+00', '2099-01-01+00')", "that lies ahead"),
        ("set_apart('2099-01-01+00', '2090-01-01+00')", "that lies ahead"),
        ("set_apart('2090-01-01 01:00+00', '2099-01-01+00')", "want midnight UTC"),
    ],
)
async def test_a_range_that_does_not_fit_is_refused(pool: Pool, call: str, told: str) -> None:
    with pytest.raises(asyncpg.RaiseError, match=told):
        await pool.execute(f"SELECT journal.{call}")
    assert await pool.fetch(PARTITIONS) == []


@pytest.mark.parametrize("at", [FIRST, UNTIL, LONG_AGO.replace(hour=0), BEYOND])
async def test_a_cut_outside_of_the_last_partition_is_refused(pool: Pool, at: datetime) -> None:
    await convert(pool, steps=3)
    with pytest.raises(asyncpg.RaiseError, match="inside of the last partition"):
        await pool.execute("SELECT journal.cut_last_partition($1)", at)
    assert len(await pool.fetch(PARTITIONS)) == 2


async def test_another_user_than_the_owner_is_refused(pool: Pool) -> None:
    await pool.execute("GRANT USAGE ON SCHEMA journal TO pg_monitor")
    for call in ("set_apart('2090-01-01+00', '2099-01-01+00')", "become_partitions()"):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL ROLE pg_monitor")
            with pytest.raises(asyncpg.RaiseError, match="SET ROLE"):
                async with connection.transaction():
                    await connection.execute(f"SELECT journal.{call}")


async def set_back(pool: Pool) -> None:
    """Position 2 is stored, in the first partition, and the head stands at 1, as it did before."""
    journal = await opened(pool)
    await append(journal, entry(uuid7(FIRST)))
    before = await pool.fetchrow("SELECT position, recorded_at, chain FROM journal.head")
    assert before is not None
    await append(journal, entry(uuid7(FIRST, 1)))
    await pool.execute(
        "UPDATE journal.head SET position = $1, recorded_at = $2, chain = $3", *before
    )


@pytest.mark.usefixtures("way_to_store")
async def test_a_head_that_was_set_back_is_noticed_within_a_partition(pool: Pool) -> None:
    await convert(pool)
    await set_back(pool)
    with pytest.raises(Corrupt, match="a head at the last position"):
        await append(await opened(pool), entry(uuid7(FIRST, 2)), entry(uuid7(FIRST, 3)))


async def test_a_position_in_two_partitions_is_named_by_verify_and_skipped_by_no_reader(
    pool: Pool,
) -> None:
    await convert(pool)
    await set_back(pool)
    journal = await opened(pool)
    # Position 2 once more, and 3: no index holds both.
    stored = await append(journal, entry(uuid7(CUT)), entry(uuid7(CUT, 1)))
    assert stored == [recorded(2), recorded(3)]
    found = await problem(pool)
    assert found is not None
    assert found.first == 2
    with pytest.raises(Corrupt):
        await journal.page(0)


@pytest.mark.usefixtures("way_to_store")
async def test_a_late_event_of_a_detached_partition_is_refused_and_not_stored_twice(
    pool: Pool,
) -> None:
    await convert(pool)
    journal = await opened(pool)
    await append(journal, entry(uuid7(FIRST)), entry(uuid7(CUT)))
    await pool.execute(f"ALTER TABLE journal.stored_events DETACH PARTITION {FROM_FIRST}")
    for each in (uuid7(FIRST), uuid7(FIRST, 1)):
        with pytest.raises(asyncpg.CheckViolationError, match="stored_events_outside"):
            await append(await opened(pool), entry(each))
    # Nor is a reader told that there was nothing.
    with pytest.raises(Corrupt):
        await journal.page(0)
    assert await append(await opened(pool), entry(uuid7(CUT))) == [duplicate(2)]


async def test_what_an_earlier_release_would_write_is_still_refused(pool: Pool) -> None:
    """The library's own writer gives no position."""
    await convert(pool)
    with pytest.raises(asyncpg.NotNullViolationError):
        await pool.execute(
            "INSERT INTO journal.stored_events (originator_id, originator_version, topic, state) "
            "VALUES (gen_random_uuid(), 1, 'topic', '')"
        )
