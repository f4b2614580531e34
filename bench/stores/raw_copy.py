"""The limit: COPY of rows that were encoded before, positions and all, into the journal's own table.

No duplicate check but the key, no lock, no head, no seal. The table is emptied before each run.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from bench.contender import Contender, Run
from bench.events import ATTEMPT, START, Event, entries
from bench.journal_goals import RAW_COPY
from bench.place import Place
from bench.timing import by_tasks
from services.touchpoint import row


@dataclass(slots=True)
class RawCopy:
    place: Place
    url: str
    # The last batches and their rows: the limit runs again and again on the same ones.
    encoded: tuple[Sequence[Sequence[Event]], list[bytes]] = field(default=((), []))

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        if self.encoded[0] is not batches:
            self.encoded = batches, _encoded(batches)
        async with self.place.connections(self.url, callers) as connections:
            await connections[0].execute("TRUNCATE journal.stored_events")
            timing = await by_tasks(self.encoded[1], [_copier(each) for each in connections])
            stored = await connections[0].fetchval("SELECT count(*) FROM journal.stored_events")
        return Run(timing, stored)


def _encoded(batches: Sequence[Sequence[Event]]) -> list[bytes]:
    copies, first = list[bytes](), 1
    for batch in batches:
        bodies = row.encode(ATTEMPT, entries(batch)).bodies
        rows = row.copy_of(first, START, bodies)
        copies.append(row.COPY_HEADER + rows + row.COPY_TRAILER)
        first += len(batch)
    return copies


def _copier(connection: "asyncpg.Connection[asyncpg.Record]") -> Callable[[bytes], Awaitable[None]]:
    async def once(data: bytes) -> AsyncIterator[bytes]:
        yield data

    async def copy(data: bytes) -> None:
        await connection.copy_to_table(
            "stored_events",
            schema_name="journal",
            columns=row.COLUMNS,
            format="binary",
            source=once(data),
        )

    return copy


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[RawCopy]:
    async with place.journal("raw_copy") as url:
        yield RawCopy(place, url)


CONTENDER = Contender("raw-copy", RAW_COPY, opened)
