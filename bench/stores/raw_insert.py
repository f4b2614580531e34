"""What single events are measured by: plain INSERTs of one row, each a commit, positions known before.

PostgreSQL lets commits of several connections share a flush. The table is emptied before each run.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, count
from uuid import UUID

import asyncpg

from bench.contender import Contender, Run
from bench.events import ATTEMPT, START, Event, entries
from bench.journal_goals import RAW_INSERT
from bench.place import Place
from bench.timing import by_tasks
from services.touchpoint.row import Entry

INSERT = """
INSERT INTO journal.stored_events
    (notification_id, recorded_at, tenant, source, received_at, sent_at, traceparent,
     originator_id, originator_version, topic, content_digest, state_digest, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class RawInsert:
    place: Place
    url: str

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        rows = list(map(_row, count(1), entries([*chain.from_iterable(batches)])))
        async with self.place.connections(self.url, callers) as connections:
            await connections[0].execute("TRUNCATE journal.stored_events")
            timing = await by_tasks(rows, [_inserter(each) for each in connections])
            stored = await connections[0].fetchval("SELECT count(*) FROM journal.stored_events")
        return Run(timing, stored)


def _row(position: int, entry: Entry) -> Row:
    return (
        position,
        START,
        ATTEMPT.tenant,
        ATTEMPT.source,
        ATTEMPT.received_at,
        ATTEMPT.sent_at,
        ATTEMPT.traceparent,
        UUID(bytes=entry.originator_id),
        entry.originator_version,
        entry.topic,
        entry.content_digest,
        sha256(entry.state).digest(),
        entry.state,
    )


def _inserter(connection: "asyncpg.Connection[asyncpg.Record]") -> Callable[[Row], Awaitable[str]]:
    async def insert(row: Row) -> str:
        return await connection.execute(INSERT, *row)

    return insert


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[RawInsert]:
    async with place.journal("raw_insert") as url:
        yield RawInsert(place, url)


CONTENDER = Contender("raw-insert", RAW_INSERT, opened)
