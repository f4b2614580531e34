"""VACUUM, ANALYZE and indexes made CONCURRENTLY stand in no append's way, nor appends in theirs.

All of these hold the table in SHARE UPDATE EXCLUSIVE mode while they work, which a writer that locks the
table in EXCLUSIVE mode, as the eventsourcing library's does, waits for.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from services.chassis.postgres import Connection, Pool
from services.touchpoint.journal import Journal
from tests.support.entries import append, entry
from tests.support.sealed import assert_sealed

DEADLINE_SECONDS = 60
# What appends get done while a command stands, and while commands run to their ends.
APPENDS = 25
STANDS_AT = 4711

INDEX = "CREATE INDEX CONCURRENTLY made ON journal.stored_events (tenant, notification_id)"
REINDEX = "REINDEX INDEX CONCURRENTLY journal.made"
DROP = "DROP INDEX CONCURRENTLY journal.made"
# What is needed first, the command, and how it is brought to stand with its lock held.
STANDING = {
    "VACUUM (FREEZE)": ("", "VACUUM (FREEZE) journal.stored_events", "a cursor on a page"),
    # Statistics on an expression are computed by ANALYZE alone, not by an INSERT.
    "ANALYZE": (
        "CREATE FUNCTION stand(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN "
        f"PERFORM pg_advisory_xact_lock_shared({STANDS_AT}); RETURN $1; END $$; "
        "CREATE STATISTICS standing ON (stand(notification_id)) FROM journal.stored_events",
        "ANALYZE journal.stored_events",
        "a lock in what it computes",
    ),
    "CREATE INDEX CONCURRENTLY": ("", INDEX, "an older snapshot"),
    "REINDEX CONCURRENTLY": (INDEX, REINDEX, "an older snapshot"),
    "DROP INDEX CONCURRENTLY": (INDEX, DROP, "an older snapshot"),
}
OBSTACLES = {
    # Wants each page for itself to freeze what is in it.
    "a cursor on a page": (
        "BEGIN; DECLARE pin CURSOR FOR SELECT 1 FROM journal.stored_events; FETCH 1 FROM pin"
    ),
    "a lock in what it computes": f"BEGIN; SELECT pg_advisory_xact_lock({STANDS_AT})",
    # Wait for readers that may still need, or not know of, the index.
    "an older snapshot": (
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM journal.stored_events LIMIT 1"
    ),
}
HOLDS_AND_WAITS = """
SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND mode = 'ShareUpdateExclusiveLock' AND granted
                                      AND relation = 'journal.stored_events'::regclass)
       AND EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active'
                                                  AND wait_event_type IN ('Lock', 'BufferPin'))
"""
WAIT_FOR = """
SELECT pid, query FROM pg_stat_activity
 WHERE datname = current_database() AND $1 = ANY(pg_blocking_pids(pid))
"""
# On the seals: a trigger on the events would keep a pin on their page, which a freeze waits for.
AT_COMMIT = f"""
CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared({STANDS_AT}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER stand AFTER INSERT ON journal.seals
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stand()
"""
STANDS = f"""
SELECT pid FROM pg_locks
 WHERE locktype = 'advisory' AND objid = {STANDS_AT} AND NOT granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

Connect = Callable[[], Awaitable[Connection]]


@pytest.fixture
async def url(journal_pool: Pool, admin_url: str) -> str:
    """The superuser's, of the journal's database."""
    database = await journal_pool.fetchval("SELECT current_database()")
    return f"{admin_url.rpartition('/')[0]}/{database}"


@pytest.fixture
async def journals(journal_pool: Pool, url: str) -> AsyncIterator[list[Journal]]:
    """The journal as two processes have it open, with some events in it."""
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as other:
        both = [
            await Journal.open(pool, stopping=asyncio.Event()) for pool in (journal_pool, other)
        ]
        await append(both[0], *(entry(f"before {number}") for number in range(1000)))
        yield both


@pytest.fixture
async def connect(url: str) -> AsyncIterator[Connect]:
    """Sessions of people who look after the database."""
    async with contextlib.AsyncExitStack() as opened:

        async def one() -> Connection:
            connection = await asyncpg.connect(url)
            opened.push_async_callback(connection.close)
            return connection

        yield one


@dataclass
class Standing:
    """A command under way that holds its lock and can't go on."""

    pid: int
    running: "asyncio.Task[str]"
    watcher: Connection

    async def stands(self) -> bool:
        return not self.running.done() and bool(
            await self.watcher.fetchval(HOLDS_AND_WAITS, self.pid)
        )

    async def blocks(self, pid: int) -> bool:
        return self.pid in await self.watcher.fetchval("SELECT pg_blocking_pids($1)", pid)


@contextlib.asynccontextmanager
async def standing(command: str, connect: Connect) -> AsyncIterator[Standing]:
    """The command stands inside of the block and has ended after it."""
    first, statement, obstacle = STANDING[command]
    worker, reader, watcher = await connect(), await connect(), await connect()
    if first:
        await worker.execute(first)
    await reader.execute(OBSTACLES[obstacle])
    running = asyncio.create_task(worker.execute(statement))
    one = Standing(worker.get_server_pid(), running, watcher)
    try:
        while not await one.stands():
            assert not running.done(), f"{command} did not stand: {running.result()}"
        yield one
        assert not running.done(), "what was shown of it was shown of nothing"
    finally:
        await reader.execute("ROLLBACK")
        await running


@pytest.mark.parametrize("command", STANDING)
async def test_appends_go_on_while_a_command_holds_its_lock(
    command: str, journals: list[Journal], journal_pool: Pool, connect: Connect
) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS), standing(command, connect) as maintenance:
        for number in range(APPENDS):
            # By one call and by COPY.
            for journal, events in zip(journals, (1, 150), strict=True):
                added = (entry(f"{number} {events} {index}") for index in range(events))
                await append(journal, *added)
        assert await maintenance.stands()
    assert await assert_sealed(journal_pool) == 1 + 2 * APPENDS


@pytest.mark.parametrize("command", STANDING)
async def test_a_writer_that_locks_the_table_would_wait_for_it(
    command: str, journals: list[Journal], connect: Connect
) -> None:
    writer = await connect()
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with standing(command, connect) as maintenance:
            locking = asyncio.create_task(
                writer.execute("BEGIN; LOCK TABLE journal.stored_events IN EXCLUSIVE MODE; COMMIT")
            )
            while not await maintenance.blocks(writer.get_server_pid()):
                assert not locking.done()
        await locking


@contextlib.asynccontextmanager
async def append_at_its_commit(journal: Journal, connect: Connect) -> AsyncIterator[int]:
    """An append that has stored its rows and holds the append lock; gives its process, in the server."""
    holder = await connect()
    await holder.execute(AT_COMMIT)
    await holder.execute(f"SELECT pg_advisory_lock({STANDS_AT})")
    appending = asyncio.create_task(append(journal, entry("held")))
    while (pid := await holder.fetchval(STANDS)) is None:
        assert not appending.done()
    try:
        yield pid
    finally:
        await holder.execute(f"SELECT pg_advisory_unlock({STANDS_AT})")
        await appending


@pytest.mark.parametrize("command", ["VACUUM", "VACUUM (FREEZE)", "ANALYZE"])
async def test_vacuum_and_analyze_do_not_wait_for_an_append(
    command: str, journals: list[Journal], connect: Connect
) -> None:
    worker = await connect()
    async with asyncio.timeout(DEADLINE_SECONDS), append_at_its_commit(journals[0], connect):
        await worker.execute(f"{command} journal.stored_events")


@pytest.mark.parametrize("command", [each for each in STANDING if "CONCURRENTLY" in each])
async def test_work_on_an_index_waits_for_the_append_at_its_commit_and_for_no_other(
    command: str, journals: list[Journal], connect: Connect
) -> None:
    first, statement, _ = STANDING[command]
    worker, watcher = await connect(), await connect()
    blockers = "SELECT pg_blocking_pids($1)"
    if first:
        await worker.execute(first)
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with append_at_its_commit(journals[0], connect) as pid:
            working = asyncio.create_task(worker.execute(statement))
            while not (found := await watcher.fetchval(blockers, worker.get_server_pid())):
                assert not working.done()
            assert [pid] == found
        # More appends than there are waits in the work: it does not wait for the last of them.
        for number in range(APPENDS):
            await append(journals[1], entry(f"after {number}"))
        await working


async def test_maintenance_ends_while_appends_never_pause(
    journals: list[Journal], journal_pool: Pool, connect: Connect
) -> None:
    worker, watcher = await connect(), await connect()
    finished = asyncio.Event()

    async def write(journal: Journal, name: str) -> None:
        for number in itertools.count():
            await append(journal, entry(f"{name} {number}"))
            if finished.is_set():
                return

    async def watch() -> None:
        while not finished.is_set():
            waiting = await watcher.fetch(WAIT_FOR, worker.get_server_pid())
            assert [] == waiting, "appends wait for maintenance"

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as tasks:
        for number, journal in enumerate(journals):
            tasks.create_task(write(journal, f"writer {number}"))
        tasks.create_task(watch())
        for statements in (
            ["VACUUM journal.stored_events"],
            ["VACUUM (FREEZE, ANALYZE) journal.stored_events"],
            ["ANALYZE journal.stored_events"],
            [INDEX, REINDEX, DROP],
        ):
            # One run is over within few commits.
            until = await journals[0].head() + APPENDS
            while await journals[0].head() < until:
                for statement in statements:
                    await worker.execute(statement)
        finished.set()
    await assert_sealed(journal_pool)
