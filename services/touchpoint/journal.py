"""The log of record: stores each event once and for good, at dense positions in commit order.

It knows nothing of what events say; the gateway has checked and encoded them.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from services.chassis.errors import Conflict, Corrupt, Unavailable
from services.chassis.postgres import Pool
from services.touchpoint.appender import Also, Appender, Result
from services.touchpoint.row import Rows

log = structlog.get_logger()

PAGE_EVENTS_MAX = 1000
# A page travels as one message, of which the transport takes 8 MiB.
PAGE_BYTES_MAX = 1024 * 1024
# How soon a reader sees what another process appended; this process's own appends wake it at once.
POLL_SECONDS = 0.1
HEARTBEAT_SECONDS = 5.0

HEAD = "SELECT journal_id, position FROM journal.head"
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


STREAM = """
SELECT originator_id, originator_version, topic, state, notification_id, recorded_at
  FROM journal.stored_events
 WHERE originator_id = $1 AND originator_version > $2
 ORDER BY originator_version
 LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order without a hole, and where the journal ended when they were read."""

    events: list[asyncpg.Record]
    head: int


class Journal:
    """Append, and read in order. Several processes may do both on one database."""

    def __init__(self, pool: Pool, *, journal_id: UUID, stopping: asyncio.Event) -> None:
        self.journal_id = str(journal_id)
        self._pool = pool
        self._stopping = stopping
        self._appender = Appender(pool, journal_id=journal_id)
        self._appended = asyncio.Event()

    @classmethod
    async def open(cls, pool: Pool, *, stopping: asyncio.Event) -> "Journal":
        head = await pool.fetchrow(HEAD)
        assert head is not None, "0001_journal.sql inserts the row"
        return cls(pool, journal_id=head["journal_id"], stopping=stopping)

    async def append(self, rows: Rows) -> list[Result]:
        """Stores published facts: one result for each, in order, once the new ones are durable."""
        results = await self._appender.append(rows)
        self._tell_readers()
        return results

    async def decide(self, rows: Rows, *, also: Also | None = None) -> list[Result]:
        """Stores all of these events, each the next version of its stream, or raises VersionConflict.

        `also` stores something more in their transaction: in few milliseconds, as others wait behind it.
        """
        results = await self._appender.append(rows, decides=True, also=also)
        self._tell_readers()
        return results

    def _tell_readers(self) -> None:
        # A hint: readers also look by themselves, every POLL_SECONDS.
        self._appended.set()
        self._appended = asyncio.Event()

    async def stream(
        self, originator_id: UUID, *, after: int = -1, limit: int | None = None
    ) -> list[asyncpg.Record]:
        """The events of one stream in the order of their versions, those after a version."""
        return await self._pool.fetch(STREAM, originator_id, after, limit)

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
