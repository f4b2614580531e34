"""The journal stores each event once, at dense positions in commit order, whatever happens around it."""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import CapturingLogger

from services.chassis.errors import Conflict, Corrupt, Exhausted, Unavailable
from services.chassis.postgres import Connection, Pool
from services.touchpoint import appender
from services.touchpoint import journal as journal_module
from services.touchpoint.appender import Outcome
from services.touchpoint.journal import Journal, Page
from services.touchpoint.row import Attempt, Entry, encode
from tests.support.entries import TOPIC, append, attempt, duplicate, entry, id_conflict, recorded

DEADLINE_SECONDS = 20
APPEND_LOCK = 7310114002


@pytest.fixture
async def journal(journal_pool: Pool) -> Journal:
    return await Journal.open(journal_pool, stopping=asyncio.Event())


@pytest.fixture
async def url(journal_pool: Pool, admin_url: str) -> str:
    """The superuser's, of the journal's database."""
    database = await journal_pool.fetchval("SELECT current_database()")
    return f"{admin_url.rpartition('/')[0]}/{database}"


@pytest.fixture
async def other_pools(url: str) -> AsyncIterator[list[Pool]]:
    """Pools on the same database, as other processes have them."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=4))
            for _ in range(3)
        ]


@pytest.fixture
async def others(other_pools: list[Pool]) -> list[Journal]:
    """The journal as other processes have it open."""
    return [await Journal.open(pool, stopping=asyncio.Event()) for pool in other_pools]


@pytest.fixture
async def outside(url: str) -> AsyncIterator[Connection]:
    """A superuser's own connection."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def unstorable(event_id: str) -> Entry:
    """One that the database refuses, after others of its request were sent to it."""
    return entry(event_id)._replace(content_digest=b"too short")


async def positions(pool: Pool) -> list[int]:
    rows = await pool.fetch(
        "SELECT notification_id FROM journal.stored_events ORDER BY notification_id"
    )
    return [row[0] for row in rows]


def numbers(page: Page) -> list[int]:
    return [row["notification_id"] for row in page.events]


async def next_page(pages: AsyncIterator[Page]) -> Page:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await anext(pages)


async def until(condition: Callable[[], Any]) -> None:
    """Returns once the awaited condition holds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():  # noqa: ASYNC110  # a database has no event to wait on
            await asyncio.sleep(0.01)


class AppendLock:
    """The append lock in the hands of a session that hangs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> "AppendLock":
        await self._connection.execute("SELECT pg_advisory_lock($1)", APPEND_LOCK)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.execute("SELECT pg_advisory_unlock($1)", APPEND_LOCK)

    async def is_waited_for(self, by: int = 1) -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        found = await self._connection.fetchval(waiting + " AND database = (" + OWN + ")")
        return bool(found >= by)


OWN = "SELECT oid FROM pg_database WHERE datname = current_database()"


# Positions


async def test_concurrent_appends_of_several_processes_get_dense_positions_in_commit_order(
    journal: Journal, others: list[Journal], journal_pool: Pool
) -> None:
    # 12 writers in 4 processes, each with batches of its own and batches that all of them send.
    choice = random.Random(4711)
    finished = asyncio.Event()
    answers: dict[str, set[int]] = {}

    async def write(writer: int, through: Journal) -> None:
        for batch in range(10):
            own = [f"{writer}-{batch}-{index}" for index in range(choice.randint(1, 20))]
            shared = [f"shared-{batch}-{index}" for index in range(5)]
            ids = choice.sample(own + shared, k=len(own) + len(shared))
            for event_id, result in zip(ids, await append(through, *map(entry, ids)), strict=True):
                answers.setdefault(event_id, set()).add(result.position)

    async def look() -> int:
        """Every state that a reader can see is dense: positions become visible in their order."""
        looks = 0
        while not finished.is_set():
            row = await journal_pool.fetchrow(
                "SELECT count(*), coalesce(max(notification_id), 0) AS last, "
                "(SELECT position FROM journal.head) AS head FROM journal.stored_events"
            )
            assert row is not None
            assert row["count"] == row["last"] == row["head"]
            looks += 1
        return looks

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        async with asyncio.TaskGroup() as writers:
            for writer in range(12):
                writers.create_task(write(writer, [journal, *others][writer % 4]))
        finished.set()
    assert looking.result() > 1
    assert await positions(journal_pool) == list(range(1, len(answers) + 1))
    assert {1} == {len(found) for found in answers.values()}, "an id got two positions"
    assert len(answers) == len(set.union(*answers.values()))


async def test_a_request_gets_positions_in_its_own_order(journal: Journal) -> None:
    assert [recorded(1), recorded(2)] == await append(journal, entry("b"), entry("a"))
    assert [recorded(3)] == await append(journal, entry("c"))


async def test_what_was_sent_is_what_is_stored(journal: Journal, journal_pool: Pool) -> None:
    sent = entry("a")
    given = Attempt(
        tenant="acme",
        source="till",
        received_at=datetime(2026, 8, 3, 10, tzinfo=UTC),
        sent_at=datetime(2026, 8, 3, 9, tzinfo=UTC),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    before = await journal_pool.fetchval("SELECT clock_timestamp()")
    await journal.append(encode(given, [sent]))
    row = await journal_pool.fetchrow("SELECT * FROM journal.stored_events")
    assert row is not None
    stored = dict(row)
    assert before <= stored.pop("recorded_at") <= datetime.now(UTC) + timedelta(seconds=1)
    assert stored == {
        "originator_id": UUID(bytes=sent.originator_id),
        "originator_version": 1,
        "topic": TOPIC,
        "state": sent.state,
        "notification_id": 1,
        "tenant": "acme",
        "source": "till",
        "received_at": given.received_at,
        "sent_at": given.sent_at,
        "content_digest": sent.content_digest,
        "state_digest": hashlib.sha256(sent.state).digest(),
        "traceparent": given.traceparent,
    }


async def test_an_append_of_nothing_moves_nothing(journal: Journal) -> None:
    assert await append(journal) == []
    assert await journal.head() == 0


# Duplicates and conflicts


async def test_a_duplicate_answers_the_first_position(
    journal: Journal, others: list[Journal]
) -> None:
    await append(journal, entry("a"), entry("b"))
    assert [duplicate(2), recorded(3), duplicate(1)] == await append(
        others[0], entry("b"), entry("c"), entry("a")
    )
    assert await journal.head() == 3


async def test_a_duplicate_keeps_what_the_first_attempt_said(
    journal: Journal, journal_pool: Pool
) -> None:
    first = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await journal.append(encode(attempt(traceparent=first), [entry("a")]))
    await journal.append(encode(attempt(traceparent=first.replace("b7ad", "ffff")), [entry("a")]))
    assert first == await journal_pool.fetchval("SELECT traceparent FROM journal.stored_events")


async def test_same_id_with_other_content_is_a_conflict(
    journal: Journal, journal_pool: Pool
) -> None:
    await append(journal, entry("a", "four stars"))
    assert [recorded(2), id_conflict(1), recorded(3)] == await append(
        journal, entry("b"), entry("a", "one star"), entry("c")
    )
    state = "SELECT state FROM journal.stored_events WHERE notification_id = 1"
    assert await journal_pool.fetchval(state) == b"a four stars"


async def test_duplicates_and_conflicts_within_one_request_are_told_apart(
    journal: Journal, journal_pool: Pool
) -> None:
    assert [
        recorded(1),
        duplicate(1),
        id_conflict(1),
        recorded(2),
        duplicate(1),
    ] == await append(journal, entry("a"), entry("a"), entry("a", "other"), entry("b"), entry("a"))
    assert await positions(journal_pool) == [1, 2]


async def test_the_same_event_through_two_processes_at_once_is_stored_once(
    journal: Journal, others: list[Journal], journal_pool: Pool
) -> None:
    for round_ in range(20):
        answers = await asyncio.gather(
            *(append(through, entry(f"{round_}")) for through in [journal, *others])
        )
        outcomes = [each.outcome for [each] in answers]
        assert outcomes.count(Outcome.RECORDED) == 1
        assert outcomes.count(Outcome.DUPLICATE) == 3
        assert {round_ + 1} == {each.position for [each] in answers}
    assert list(range(1, 21)) == await positions(journal_pool)


async def test_tenants_and_sources_with_the_same_event_id_do_not_collide(
    journal: Journal,
) -> None:
    results = [
        await journal.append(
            encode(
                attempt(tenant=tenant, source=source),
                [entry("1", f"of {tenant} {source}", tenant=tenant, source=source)],
            )
        )
        for tenant in ("acme", "acm", "other")
        for source in ("till", "etill", "web")
    ]
    assert [[recorded(position)] for position in range(1, 10)] == results


# Failures


async def test_a_failed_append_stores_nothing_and_draws_no_position(
    journal: Journal, journal_pool: Pool
) -> None:
    await append(journal, entry("a"))
    with pytest.raises(asyncpg.CheckViolationError):
        await append(journal, entry("b"), entry("c"), unstorable("d"))
    assert await positions(journal_pool) == [1]
    assert [recorded(2), duplicate(1)] == await append(journal, entry("c"), entry("a"))
    assert await positions(journal_pool) == [1, 2]


async def test_failing_appends_among_good_ones_leave_no_hole(
    journal: Journal, others: list[Journal], journal_pool: Pool
) -> None:
    async def write(through: Journal, writer: int) -> None:
        for batch in range(10):
            await append(through, entry(f"{writer}-{batch}"))
            with pytest.raises(asyncpg.CheckViolationError):
                await append(through, entry(f"{writer}-{batch}-bad"), unstorable("x"))

    await asyncio.gather(*(write(each, i) for i, each in enumerate([journal, *others])))
    assert list(range(1, 41)) == await positions(journal_pool)


async def test_an_append_whose_connection_dies_stores_nothing_and_the_next_one_works(
    journal: Journal, outside: Connection
) -> None:
    async with AppendLock(outside) as lock:
        dying = asyncio.create_task(append(journal, entry("a")))
        await until(lock.is_waited_for)
        await outside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            f"AND NOT granted AND database = ({OWN})"
        )
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await dying
    assert [recorded(1)] == await append(journal, entry("a"))


async def test_of_two_processes_that_begin_a_stream_at_1_and_at_0_the_second_is_refused(
    journal: Journal, others: list[Journal], outside: Connection
) -> None:
    stream = UUID(int=7)
    deciding = list[asyncio.Task[Any]]()
    async with AppendLock(outside) as lock:
        for version, through in ((1, journal), (0, others[0])):
            decision = entry("decision")._replace(
                originator_id=stream.bytes, originator_version=version
            )
            deciding.append(asyncio.create_task(through.decide(encode(attempt(), [decision]))))
            await until(lambda: lock.is_waited_for(by=len(deciding)))
    assert [recorded(1)] == await deciding[0]
    with pytest.raises(appender.VersionConflict):
        await deciding[1]
    assert [1] == [each["originator_version"] for each in await journal.stream(stream)]


async def test_an_append_that_its_caller_gave_up_frees_its_place_and_is_stored_only_if_it_had_begun(
    journal: Journal,
    outside: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(appender, "APPENDS_WAITING_MAX", 2)
    async with AppendLock(outside) as lock:
        begun = asyncio.create_task(append(journal, entry("begun")))
        await until(lock.is_waited_for)
        waiting = asyncio.create_task(append(journal, entry("waiting")))
        # One turn of the loop, in which it gets its place.
        await asyncio.sleep(0)
        for given_up in (begun, waiting):
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
        # Its rows hold no memory until the commit that hangs has ended.
        assert not journal._appender._waiting
        after = [asyncio.create_task(append(journal, entry(each))) for each in ("a", "b")]
        await asyncio.sleep(0)
    assert [[recorded(2)], [recorded(3)]] == await asyncio.gather(*after)
    assert [duplicate(1), recorded(4)] == await append(journal, entry("begun"), entry("waiting"))


async def test_beyond_the_bound_of_waiting_appends_callers_are_told_to_come_back(
    journal: Journal,
    outside: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(appender, "APPENDS_WAITING_MAX", 5)
    async with AppendLock(outside) as lock:
        waiting = [asyncio.create_task(append(journal, entry(f"{index}"))) for index in range(5)]
        await until(lock.is_waited_for)
        with pytest.raises(Exhausted) as refused:
            await append(journal, entry("one too many"))
    assert refused.value.problem.retryable
    assert refused.value.problem.retry_after.ToNanoseconds() > 0
    results = await asyncio.gather(*waiting)
    assert {1, 2, 3, 4, 5} == {result.position for [result] in results}
    assert [recorded(6)] == await append(journal, entry("one too many"))


async def test_readers_read_while_appends_wait_for_their_turn(
    journal: Journal, outside: Connection
) -> None:
    await append(journal, entry("a"))
    async with AppendLock(outside) as lock:
        # More than the pool has connections.
        waiting = [asyncio.create_task(append(journal, entry(f"{index}"))) for index in range(20)]
        await until(lock.is_waited_for)
        assert numbers(await next_page(journal.follow(0))) == [1]
    await asyncio.gather(*waiting)
    assert await journal.head() == 21


# Time


async def test_recorded_at_never_goes_back_although_the_clock_does(
    journal: Journal, journal_pool: Pool
) -> None:
    tomorrow = datetime.now(UTC).replace(microsecond=123456) + timedelta(days=1)
    await append(journal, entry("a"))
    await journal_pool.execute("UPDATE journal.head SET recorded_at = $1", tomorrow)
    await append(journal, entry("b"), entry("c"))
    await append(journal, entry("d"))
    rows = await journal_pool.fetch(
        "SELECT recorded_at FROM journal.stored_events ORDER BY notification_id"
    )
    assert rows[0][0] < tomorrow
    assert [tomorrow] * 3 == [row[0] for row in rows[1:]]


async def test_recorded_at_agrees_with_the_order_of_positions(
    journal: Journal, others: list[Journal], journal_pool: Pool
) -> None:
    async def write(through: Journal, writer: int) -> None:
        for batch in range(25):
            await append(through, entry(f"{writer}-{batch}"))

    await asyncio.gather(*(write(each, i) for i, each in enumerate([journal, *others])))
    rows = await journal_pool.fetch(
        "SELECT recorded_at FROM journal.stored_events ORDER BY notification_id"
    )
    moments = [row[0] for row in rows]
    assert moments == sorted(moments)
    assert moments[-1] == await journal_pool.fetchval("SELECT recorded_at FROM journal.head")


# Pages


async def test_pages_follow_each_other_to_the_head(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PAGE_EVENTS_MAX", 2)
    await append(journal, *(entry(f"{index}") for index in range(5)))
    pages = [await journal.page(after) for after in (0, 2, 4, 5)]
    assert [numbers(page) for page in pages] == [[1, 2], [3, 4], [5], []]
    assert {5} == {page.head for page in pages}


async def test_a_page_ends_where_its_bytes_pass_the_bound_and_holds_at_least_one_event(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PAGE_BYTES_MAX", 1000)
    large = [entry(f"{index}", "x" * 400) for index in range(5)]
    await append(journal, *large, entry("huge", "x" * 5000), entry("after"))
    assert numbers(await journal.page(0)) == [1, 2, 3]
    assert numbers(await journal.page(3)) == [4, 5, 6]
    assert numbers(await journal.page(5)) == [6]
    assert numbers(await journal.page(6)) == [7]


@pytest.mark.parametrize(("lost", "after"), [(1, 0), (3, 0), (3, 2), (5, 4)])
async def test_a_lost_event_is_an_alarm_and_is_never_skipped(
    journal: Journal,
    outside: Connection,
    monkeypatch: pytest.MonkeyPatch,
    lost: int,
    after: int,
) -> None:
    alarms = CapturingLogger()
    monkeypatch.setattr(journal_module, "log", alarms)
    await append(journal, *(entry(f"{index}") for index in range(5)))
    await outside.execute("DELETE FROM journal.stored_events WHERE notification_id = $1", lost)
    with pytest.raises(Corrupt):
        await journal.page(after)
    assert [call.method_name for call in alarms.calls] == ["error"]


async def test_lost_events_at_the_end_are_an_alarm(journal: Journal, outside: Connection) -> None:
    await append(journal, *(entry(f"{index}") for index in range(5)))
    await outside.execute("DELETE FROM journal.stored_events WHERE notification_id > 3")
    pages = journal.follow(0)
    assert numbers(await next_page(pages)) == [1, 2, 3]
    with pytest.raises(Corrupt):
        await next_page(pages)


# Following


async def test_a_reader_catches_up_and_then_gets_each_new_event(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PAGE_EVENTS_MAX", 2)
    await append(journal, *(entry(f"{index}") for index in range(3)))
    pages = journal.follow(0)
    assert [numbers(await next_page(pages)) for _ in range(2)] == [[1, 2], [3]]
    await append(journal, entry("live"))
    assert numbers(await next_page(pages)) == [4]
    await append(journal, entry("more"))
    assert numbers(await next_page(pages)) == [5]


async def test_a_reader_may_begin_anywhere_up_to_the_head(journal: Journal) -> None:
    await append(journal, *(entry(f"{index}") for index in range(3)))
    assert numbers(await next_page(journal.follow(2))) == [3]
    at_head = journal.follow(3)
    assert Page([], head=3, scanned_to=3, caught_up=True) == await next_page(at_head)
    waiting = asyncio.ensure_future(next_page(at_head))
    await append(journal, entry("live"))
    assert numbers(await waiting) == [4]


async def test_an_append_of_this_process_wakes_its_readers_at_once(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A reader that only polled would sleep through the test.
    monkeypatch.setattr(journal_module, "POLL_SECONDS", 10 * DEADLINE_SECONDS)
    readers = [journal.follow(0) for _ in range(3)]
    waiting = [asyncio.ensure_future(next_page(reader)) for reader in readers]
    for index in range(3):
        await append(journal, entry(f"{index}"))
    for reader, first in zip(readers, waiting, strict=True):
        seen = numbers(await first)
        while len(seen) < 3:
            seen += numbers(await next_page(reader))
        assert seen == [1, 2, 3]


async def test_an_append_of_another_process_is_found_by_polling(
    journal: Journal, others: list[Journal]
) -> None:
    pages = journal.follow(0)
    assert [] == (await next_page(pages)).events
    waiting = asyncio.ensure_future(next_page(pages))
    await append(others[0], entry("a"))
    assert numbers(await waiting) == [1]


async def test_readers_that_come_and_go_under_load_see_each_position_once_and_in_order(
    journal: Journal, others: list[Journal]
) -> None:
    last = 300

    async def write() -> None:
        for first in range(0, last, 3):
            through = others[first % len(others)]
            await append(through, *(entry(f"{first + index}") for index in range(3)))

    async def read(through: Journal) -> list[int]:
        seen: list[int] = []
        while len(seen) < last:
            pages = through.follow(len(seen))
            for _ in range(3):
                seen += numbers(await next_page(pages))
                if len(seen) >= last:
                    break
            await pages.aclose()
        return seen

    read_by = await asyncio.gather(write(), *(read(each) for each in [journal, *others]))
    assert [list(range(1, last + 1))] * 4 == list(read_by[1:])


async def test_a_reader_without_news_gets_an_empty_page_that_tells_the_head(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(journal_module, "POLL_SECONDS", 0.01)
    await append(journal, entry("a"))
    pages = journal.follow(1)
    assert Page([], head=1, scanned_to=1, caught_up=True) == await next_page(pages)
    for _ in range(3):
        assert Page([], head=1, scanned_to=1) == await next_page(pages)
    await append(journal, entry("b"))
    page = await next_page(pages)
    while not page.events:
        page = await next_page(pages)
    assert numbers(page) == [2]


async def test_the_proto_s_heartbeat_is_the_journal_s() -> None:
    # Scoring takes a stream that is silent for 15 seconds for dead.
    assert journal_module.HEARTBEAT_SECONDS == 5.0


async def test_readers_are_sent_elsewhere_when_the_process_stops(journal_pool: Pool) -> None:
    stopping = asyncio.Event()
    journal = await Journal.open(journal_pool, stopping=stopping)
    await append(journal, entry("a"))
    pages = journal.follow(0)
    assert numbers(await next_page(pages)) == [1]
    waiting = asyncio.ensure_future(next_page(pages))
    stopping.set()
    with pytest.raises(Unavailable) as told:
        await waiting
    assert told.value.problem.retryable


# Positions that are none of this journal


async def test_a_position_beyond_the_head_is_refused(journal: Journal) -> None:
    await append(journal, entry("a"))
    with pytest.raises(Conflict) as refused:
        await next_page(journal.follow(2))
    assert refused.value.problem.field == "after.number"
    assert refused.value.problem.got == "2"


@pytest.fixture
async def restored(journal: Journal, outside: Connection) -> Journal:
    """A journal whose database was replaced by a backup under the running process."""
    await append(journal, entry("a"))
    await outside.execute("UPDATE journal.head SET journal_id = gen_random_uuid()")
    return journal


async def test_a_restored_journal_is_not_read_under_its_old_name(restored: Journal) -> None:
    with pytest.raises(Corrupt):
        await restored.page(0)
    with pytest.raises(Corrupt):
        await next_page(restored.follow(0))


async def test_a_restored_journal_is_not_appended_to_under_its_old_name(
    restored: Journal, journal_pool: Pool
) -> None:
    # Its answer would be a position of a journal that is no more.
    with pytest.raises(Corrupt):
        await append(restored, entry("b"))
    assert await positions(journal_pool) == [1]


# Maintenance


async def test_appends_go_on_while_vacuum_or_an_index_build_holds_its_lock(
    journal: Journal, outside: Connection
) -> None:
    async with outside.transaction():
        # What VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY hold while they work.
        await outside.execute("LOCK TABLE journal.stored_events IN SHARE UPDATE EXCLUSIVE MODE")
        await outside.execute("LOCK TABLE journal.head IN SHARE UPDATE EXCLUSIVE MODE")
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert [recorded(1)] == await append(journal, entry("a"))


async def test_maintenance_runs_to_its_end_under_constant_appends(
    journal: Journal,
    others: list[Journal],
    journal_pool: Pool,
    outside: Connection,
) -> None:
    finished = asyncio.Event()
    await append(journal, *(entry(f"before-{index}") for index in range(500)))

    async def write(through: Journal, writer: int) -> int:
        batch = 0
        while not finished.is_set():
            await append(through, *(entry(f"{writer}-{batch}-{i}") for i in range(10)))
            batch += 1
        return batch

    async def maintain(statements: Sequence[str]) -> None:
        # Waits for locks, if any, end in an error rather than in a hanging test.
        await outside.execute("SET lock_timeout = '10s'")
        for statement in statements:
            head = await journal.head()
            await outside.execute(statement, timeout=DEADLINE_SECONDS)
            await until(lambda head=head: past(head))  # type: ignore[misc]  # mypy can't type it
        finished.set()

    async def past(head: int) -> bool:
        return await journal.head() > head

    async with asyncio.timeout(2 * DEADLINE_SECONDS), asyncio.TaskGroup() as tasks:
        batches = [
            tasks.create_task(write(through, writer))
            for writer, through in enumerate([journal, *others])
        ]
        await maintain(
            (
                "VACUUM journal.stored_events",
                "VACUUM (FREEZE, ANALYZE) journal.stored_events",
                "VACUUM journal.head",
                "ANALYZE journal.stored_events",
                "CREATE INDEX CONCURRENTLY by_topic ON journal.stored_events (topic)",
                "REINDEX INDEX CONCURRENTLY journal.stored_events_notification_id_idx",
                "DROP INDEX CONCURRENTLY journal.by_topic",
            )
        )
    appended = 500 + 10 * sum(batch.result() for batch in batches)
    assert await positions(journal_pool) == list(range(1, appended + 1))
