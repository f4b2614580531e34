"""The log of record: stores each event once and for good, at dense positions in commit order.

It knows nothing of what events say; the gateway has checked and encoded them.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from services.chassis.errors import Conflict, Corrupt, NotFound, Unavailable
from services.chassis.postgres import Pool
from services.touchpoint.appender import Also, Appender, Result, round_trip_seconds
from services.touchpoint.refused import RefusedEvents
from services.touchpoint.restored import Lineage
from services.touchpoint.row import Rows

log = structlog.get_logger()

PAGE_EVENTS_MAX = 1000
# A page travels as one message, of which the transport takes 8 MiB.
PAGE_BYTES_MAX = 1024 * 1024
# How far one statement looks for events that a filter lets through, some 6 ms. Looking further finds rare
# events faster, and looks in vain where most are wanted and fill the page.
SCAN_EVENTS_MAX = 4000
# Pages read from the database at once, of the pool's 8 connections: appends never wait behind readers.
READS_AT_ONCE_MAX = 4
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
SELECT notification_id, tenant, source, topic, state, recorded_at, received_at, traceparent,
       originator_id, originator_version
  FROM (SELECT *, sum(octet_length(state)) OVER (ORDER BY notification_id) - octet_length(state) AS before
          FROM (SELECT * FROM journal.stored_events
                 WHERE notification_id > $1 ORDER BY notification_id LIMIT $2) AS next_events) AS summed
 WHERE before < $3
 ORDER BY notification_id
"""
# The wanted ones among the next $2 events, up to the bounds $3 and $4, and besides them the last one that was
# looked at. nth is counted over all that were looked at, so that a hole shows wherever it is. States are read
# at the end only, those of wanted events; LATERAL … LIMIT, so that no plan reads the whole table for it.
FILTERED_PAGE = """
SELECT notification_id, nth, wanted, tenant, source, topic, state, recorded_at, received_at, traceparent,
       originator_id, originator_version
  FROM (SELECT notification_id, nth, wanted, max(nth) OVER () AS nth_of_last
          FROM (SELECT notification_id, wanted, row_number() OVER so_far AS nth,
                       count(*) FILTER (WHERE wanted) OVER so_far - wanted::int AS events_before,
                       sum(bytes) OVER so_far - bytes AS bytes_before
                  FROM (SELECT notification_id, wanted, CASE WHEN wanted THEN bytes ELSE 0 END AS bytes
                          FROM (SELECT notification_id, octet_length(state) AS bytes,
                                       (topic = ANY($5) OR cardinality($5::text[]) = 0)
                                       AND (tenant = $6 OR $6 = '') AND (source = $7 OR $7 = '') AS wanted
                                  FROM journal.stored_events
                                 WHERE notification_id > $1 ORDER BY notification_id LIMIT $2) AS next_events
                       ) AS sized
                WINDOW so_far AS (ORDER BY notification_id ROWS UNBOUNDED PRECEDING)) AS summed
         WHERE events_before < $3 AND bytes_before < $4) AS chosen
       CROSS JOIN LATERAL
       (SELECT tenant, source, topic, CASE WHEN wanted THEN state END AS state, recorded_at, received_at,
               traceparent, originator_id, originator_version
          FROM journal.stored_events AS event
         WHERE event.notification_id = chosen.notification_id LIMIT 1) AS event
 WHERE wanted OR nth = nth_of_last
 ORDER BY notification_id
"""
STREAM = """
SELECT originator_id, originator_version, topic, state, notification_id, recorded_at
  FROM journal.stored_events
 WHERE originator_id = $1 AND originator_version > $2
 ORDER BY originator_version
 LIMIT $3
"""
POSITIONS = """
SELECT originator_id, notification_id, content_digest
  FROM journal.stored_events
 WHERE originator_id = ANY($1) AND originator_version = 1
"""
LAST_VERSION = "SELECT max(originator_version) FROM journal.stored_events WHERE originator_id = $1"
# Cut as a page is.
STREAM_PAGE = """
SELECT notification_id, tenant, source, topic, state, recorded_at, received_at, traceparent,
       originator_id, originator_version
  FROM (SELECT *, sum(octet_length(state)) OVER (ORDER BY originator_version) - octet_length(state) AS before
          FROM (SELECT * FROM journal.stored_events
                 WHERE originator_id = $1 AND originator_version >= $2
                 ORDER BY originator_version LIMIT $3) AS next_events) AS summed
 WHERE before < $4
 ORDER BY originator_version
"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a reader wants: those that fit every part; an empty part fits all."""

    topics: tuple[str, ...] = ()
    tenant: str = ""
    source: str = ""


ALL = Filter()


@dataclass(frozen=True, slots=True)
class Page:
    """The wanted events up to scanned_to, in order, and where the journal ended when they were read."""

    events: list[asyncpg.Record]
    head: int
    # No event up to here was lost or left out, but by the filter.
    scanned_to: int
    # The reader was behind, and here it reaches the head.
    caught_up: bool = False


@dataclass(frozen=True, slots=True)
class StreamPage:
    """Events of one stream in the order of their versions, and where stream and journal ended."""

    events: list[asyncpg.Record]
    last_version: int
    head: int


class Journal:
    """Append, and read in order. Several processes may do both on one database."""

    def __init__(
        self,
        pool: Pool,
        appender: Appender,
        *,
        journal_id: UUID,
        lineage: Lineage,
        stopping: asyncio.Event,
    ) -> None:
        self.journal_id = str(journal_id)
        self._lineage = lineage
        self._pool = pool
        self._stopping = stopping
        self._appender = appender
        self._appended = asyncio.Event()
        self._reading = asyncio.Semaphore(READS_AT_ONCE_MAX)
        # What was queued in front of the journal and can't be stored in it.
        self.refused = RefusedEvents(pool)

    @classmethod
    async def open(cls, pool: Pool, *, stopping: asyncio.Event) -> "Journal":
        head = await pool.fetchrow(HEAD)
        assert head is not None, "0001_journal.sql inserts the row"
        appender = Appender(
            pool,
            journal_id=head["journal_id"],
            round_trip_seconds=await round_trip_seconds(pool),
        )
        lineage = await Lineage.of(pool)
        return cls(
            pool, appender, journal_id=head["journal_id"], lineage=lineage, stopping=stopping
        )

    def here(self, journal_id: str, number: int) -> int:
        """The number of a position that a reader knows; of the journal's id or, before a restore, another."""
        if journal_id in ("", self.journal_id):
            return number
        found = self._lineage.here(journal_id, number)
        if found is None:
            raise Conflict(f"{self.journal_id}", field="after.journal_id", got=journal_id)
        return found

    async def append(self, rows: Rows) -> list[Result]:
        """Stores published facts: one result for each, in order, once the new ones are durable."""
        results = await self._appender.append(rows)
        self._tell_readers()
        return results

    async def append_many(self, many: Sequence[Rows]) -> list[list[Result] | Exception]:
        """For several publishers: each as if it was appended alone, with its own outcome."""
        outcomes = await self._appender.append_many(many)
        self._tell_readers()
        return outcomes

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

    async def positions(self, originator_ids: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """Where published events are, of those that are recorded, and the digests of their contents."""
        ids = [UUID(bytes=each) for each in originator_ids]
        rows = await self._pool.fetch(POSITIONS, ids)
        last = max((row["notification_id"] for row in rows), default=0)
        await self._appender.confirm_up_to(self._pool, last)
        return {
            row["originator_id"].bytes: (row["notification_id"], row["content_digest"])
            for row in rows
        }

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

    async def page(self, after: int, *, wanted: Filter = ALL) -> Page:
        """The events after a position, up to a bound; empty at the head."""
        return await self._page(after, await self.head(), wanted=wanted)

    async def read(self, after: int, *, to: int, limit: int, wanted: Filter = ALL) -> Page:
        """A page of at most `limit` events, none of them beyond position `to`; 0 means no such bound."""
        head = await self.head()
        _check_position(after, head, field="after.number")
        _check_position(to, head, field="to")
        return await self._page(
            after,
            head,
            wanted=wanted,
            positions_max=max(0, to - after) if to else None,
            events_max=limit or None,
        )

    async def _page(
        self,
        after: int,
        head: int,
        *,
        wanted: Filter,
        positions_max: int | None = None,
        events_max: int | None = None,
    ) -> Page:
        if head == after or positions_max == 0:
            return Page([], head, after)
        events_max = min(PAGE_EVENTS_MAX, events_max or PAGE_EVENTS_MAX)
        async with self._reading:
            if wanted == ALL:
                limit = min(events_max, positions_max or events_max)
                rows = await self._pool.fetch(PAGE, after, limit, PAGE_BYTES_MAX)
                found = len(rows)
            else:
                rows = await self._pool.fetch(
                    FILTERED_PAGE,
                    after,
                    min(SCAN_EVENTS_MAX, positions_max or SCAN_EVENTS_MAX),
                    events_max,
                    PAGE_BYTES_MAX,
                    wanted.topics,
                    wanted.tenant,
                    wanted.source,
                )
                found = rows[-1]["nth"] if rows else 0
        # Positions commit in order, so a hole is no event under way but a lost one: an alarm, never skipped.
        if not rows or rows[-1]["notification_id"] - after != found:
            log.error("hole in the journal", after=after, found=found)
            raise Corrupt("dense positions", field="position", got=f"a hole after {after}")
        scanned_to = rows[-1]["notification_id"]
        if wanted != ALL and not rows[-1]["wanted"]:
            rows.pop()
        # What came between the two statements is in the page.
        return Page(rows, max(head, scanned_to), scanned_to)

    async def follow(self, after: int, *, wanted: Filter = ALL) -> AsyncGenerator[Page, None]:
        """Page after page, then new ones as they come; an empty one for each HEARTBEAT_SECONDS without.

        Pages that the filter leaves nothing of are not handed out, but for the heartbeat and for catching up.
        """
        _check_position(after, await self.head(), field="after.number")
        loop = asyncio.get_running_loop()
        told_at = loop.time()
        behind = True
        while not self._stopping.is_set():
            appended = self._appended
            page = await self.page(after, wanted=wanted)
            after = page.scanned_to
            at_head = after == page.head
            caught_up = behind and at_head
            if page.events or caught_up or loop.time() - told_at >= HEARTBEAT_SECONDS:
                behind = not at_head
                yield replace(page, caught_up=caught_up)
                told_at = loop.time()
            if at_head:
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await appended.wait()
                except TimeoutError:
                    pass
        raise Unavailable("another replica; this one is stopping")

    async def read_stream(
        self, originator_id: UUID, *, from_version: int, limit: int
    ) -> StreamPage:
        """The events of one stream from a version on, up to a bound; a limit of 0 means no other one."""
        head = await self.head()
        last_version = await self._pool.fetchval(LAST_VERSION, originator_id)
        if last_version is None:
            raise NotFound("a stream with events", field="stream", got=str(originator_id))
        if from_version > last_version:
            return StreamPage([], last_version, head)
        async with self._reading:
            rows = await self._pool.fetch(
                STREAM_PAGE,
                originator_id,
                from_version,
                min(PAGE_EVENTS_MAX, limit or PAGE_EVENTS_MAX),
                PAGE_BYTES_MAX,
            )
        versions = [row["originator_version"] for row in rows]
        # Each event is stored as the next version of its stream, from 0 or 1 on: a missing one is lost.
        if versions[0] > max(from_version, 1) or versions[-1] - versions[0] + 1 != len(versions):
            log.error("hole in a stream", stream=str(originator_id), from_version=from_version)
            raise Corrupt("all versions", field="version", got=f"a hole after {from_version}")
        # What came between the statements is in the page.
        return StreamPage(
            rows,
            max(last_version, versions[-1]),
            max(head, max(row["notification_id"] for row in rows)),
        )


def _check_position(position: int, head: int, *, field: str) -> None:
    if position > head:
        raise Conflict(f"at most {head}", field=field, got=str(position))
