"""The log of record: stores each event once and for good, at dense positions in commit order.

It knows nothing of what events say; the gateway has checked and encoded them.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog
from eventsourcing.persistence import StoredEvent

from services.chassis.errors import Conflict, Corrupt, Exhausted, Unavailable
from services.chassis.postgres import Pool

log = structlog.get_logger()

# Requests that wait for their turn to append; beyond it they are told to come back, rather than wait past
# their own deadlines and be repeated while still in the queue.
APPENDS_WAITING_MAX = 256
PAGE_EVENTS_MAX = 1000
# A page travels as one message, of which the transport takes 8 MiB.
PAGE_BYTES_MAX = 1024 * 1024
# How soon a reader sees what another process appended; this process's own appends wake it at once.
POLL_SECONDS = 0.1
HEARTBEAT_SECONDS = 5.0

# Any number that nothing else in the database locks. Under it positions commit in order: a reader that has
# read 7 never looks for 6 again. Advisory rather than LOCK TABLE, which would collide with VACUUM.
# It is a statement of its own: a statement takes its snapshot before it waits, so one that locked and read
# at once would read the state from before the wait.
LOCK = "SELECT pg_advisory_xact_lock(7310114002)"
STORED = """
SELECT originator_id, notification_id, content_digest
  FROM journal.stored_events
 WHERE originator_id = ANY($1::uuid[]) AND originator_version = 1
"""
# Time and position agree in order, whatever the clock does.
HEAD_TO_APPEND = """
SELECT journal_id, position, greatest(clock_timestamp(), recorded_at) AS recorded_at FROM journal.head
"""
MOVE_HEAD = "UPDATE journal.head SET position = $1, recorded_at = $2"
HEAD = "SELECT journal_id, position FROM journal.head"
COLUMNS = (
    "originator_id",
    "originator_version",
    "topic",
    "state",
    "notification_id",
    "tenant",
    "source",
    "recorded_at",
    "received_at",
    "sent_at",
    "content_digest",
    "state_digest",
    "traceparent",
)
# Under the append lock, shared: an append that holds it has read the clock already and is not to be seen yet.
LOCK_TO_LOOK = "SELECT pg_advisory_xact_lock_shared(7310114002)"
HEAD_AND_CLOCK = """
SELECT journal_id, position, greatest(clock_timestamp(), recorded_at) AS clock FROM journal.head
"""
# Cut in the server, at the event with which the sum of the states passes $3: octet_length reads no state.
PAGE = """
SELECT notification_id, tenant, source, topic, state, recorded_at, received_at, traceparent
  FROM (SELECT *, sum(octet_length(state)) OVER (ORDER BY notification_id) - octet_length(state) AS before
          FROM (SELECT * FROM journal.stored_events
                 WHERE notification_id > $1 ORDER BY notification_id LIMIT $2) AS next_events) AS summed
 WHERE before < $3
 ORDER BY notification_id
"""


@dataclass(frozen=True)
class Entry(StoredEvent):
    """One event to store: the library's, and what decides whether a repeated id has the same content."""

    content_digest: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the entries of one request share."""

    tenant: str
    source: str
    received_at: datetime | None
    sent_at: datetime | None
    traceparent: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """Stored by this call."""

    position: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Stored before with the same content, there."""

    position: int


@dataclass(frozen=True, slots=True)
class IdConflict:
    """The id is stored with other content, there."""

    position: int


Result = Recorded | Duplicate | IdConflict


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order without a hole, and where the journal ended when they were read."""

    events: list[asyncpg.Record]
    head: int


class Journal:
    """Append, and read in order. Several processes may do both on one database."""

    def __init__(self, pool: Pool, *, journal_id: str, stopping: asyncio.Event) -> None:
        self.journal_id = journal_id
        self._pool = pool
        self._stopping = stopping
        self._waiting = 0
        # One connection of this process waits for the append lock, and not the whole pool.
        self._turn = asyncio.Lock()
        self._appended = asyncio.Event()

    @classmethod
    async def open(cls, pool: Pool, *, stopping: asyncio.Event) -> "Journal":
        head = await pool.fetchrow(HEAD)
        assert head is not None, "0001_journal.sql inserts the row"
        return cls(pool, journal_id=str(head["journal_id"]), stopping=stopping)

    async def append(self, entries: Sequence[Entry], attempt: Attempt) -> list[Result]:
        """One result for each entry, in order, once the new ones are durable."""
        if self._waiting >= APPENDS_WAITING_MAX:
            raise Exhausted("fewer appends at once", got=f"{self._waiting} waiting")
        self._waiting += 1
        try:
            async with self._turn, self._pool.acquire() as connection, connection.transaction():
                await connection.execute(LOCK)
                results = await self._append(connection, entries, attempt)
        finally:
            self._waiting -= 1
        # A hint: readers also look by themselves, every POLL_SECONDS.
        self._appended.set()
        self._appended = asyncio.Event()
        return results

    async def _append(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
        entries: Sequence[Entry],
        attempt: Attempt,
    ) -> list[Result]:
        stored = await connection.fetch(STORED, [entry.originator_id for entry in entries])
        known = {row[0]: (row[1], row[2]) for row in stored}
        head = self._ours(await connection.fetchrow(HEAD_TO_APPEND))
        position, recorded_at = head["position"], head["recorded_at"]
        rows, results = [], list[Result]()
        for entry in entries:
            if seen := known.get(entry.originator_id):
                first, digest = seen
                same = digest == entry.content_digest
                results.append(Duplicate(first) if same else IdConflict(first))
                continue
            position += 1
            known[entry.originator_id] = position, entry.content_digest
            results.append(Recorded(position))
            rows.append(
                (
                    entry.originator_id,
                    entry.originator_version,
                    entry.topic,
                    entry.state,
                    position,
                    attempt.tenant,
                    attempt.source,
                    recorded_at,
                    attempt.received_at,
                    attempt.sent_at,
                    entry.content_digest,
                    hashlib.sha256(entry.state).digest(),
                    attempt.traceparent,
                )
            )
        if rows:
            await connection.copy_records_to_table(
                "stored_events", schema_name="journal", columns=COLUMNS, records=rows
            )
            await connection.execute(MOVE_HEAD, position, recorded_at)
        return results

    async def head(self) -> int:
        """The last position. The journal's id is checked with it: a restored journal has another one."""
        return int(self._ours(await self._pool.fetchrow(HEAD))["position"])

    async def head_and_clock(self) -> tuple[int, datetime]:
        """The last position, and a moment that no later event is recorded before."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK_TO_LOOK)
            row = self._ours(await connection.fetchrow(HEAD_AND_CLOCK))
        return row["position"], row["clock"]

    def _ours(self, head: asyncpg.Record | None) -> asyncpg.Record:
        if head is None or str(head["journal_id"]) != self.journal_id:
            raise Corrupt(f"the journal {self.journal_id} that this process was started on")
        return head

    async def page(self, after: int) -> Page:
        """The events after a position, up to a bound; empty at the head."""
        head = await self.head()
        if head == after:
            return Page([], head)
        rows = await self._pool.fetch(PAGE, after, PAGE_EVENTS_MAX, PAGE_BYTES_MAX)
        # Positions commit in order, so a hole is no event under way but a lost one: an alarm, never skipped.
        if not rows or rows[-1]["notification_id"] - after != len(rows):
            log.error("hole in the journal", after=after, found=len(rows))
            raise Corrupt("dense positions", field="position", got=f"a hole after {after}")
        # What came between the two statements is in the page.
        return Page(rows, max(head, rows[-1]["notification_id"]))

    async def follow(self, after: int) -> AsyncIterator[Page]:
        """Page after page, then new ones as they come; an empty one for each HEARTBEAT_SECONDS without."""
        head = await self.head()
        if after > head:
            raise Conflict(f"at most {head}", field="after.number", got=str(after))
        loop = asyncio.get_running_loop()
        told_at = loop.time()
        while not self._stopping.is_set():
            appended = self._appended
            page = await self.page(after)
            if page.events:
                after = page.events[-1]["notification_id"]
            if page.events or loop.time() - told_at >= HEARTBEAT_SECONDS:
                yield page
                told_at = loop.time()
            if not page.events:
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await appended.wait()
                except TimeoutError:
                    pass
        raise Unavailable("another replica; this one is stopping")
