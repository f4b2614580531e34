"""The eventsourcing library's recorder for applications, as it comes: a table lock for each append."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder

from bench.contender import Contender, Run
from bench.events import Event, entries
from bench.journal_goals import LIBRARY
from bench.place import Place
from bench.stores.library_datastore import datastore
from bench.timing import by_threads
from services.touchpoint.row import Entry


@dataclass(frozen=True, slots=True)
class LibraryRecorder:
    place: Place
    url: str

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        work = [list(map(_stored_event, entries(batch))) for batch in batches]
        with datastore(self.url, callers) as opened:
            recorder = PostgresApplicationRecorder(opened)
            recorder.create_table()
            before = await self._count()
            timing = await by_threads(work, [recorder.insert_events] * callers)
            return Run(timing, await self._count() - before)

    async def _count(self) -> int:
        async with self.place.connection(self.url) as connection:
            return int(await connection.fetchval("SELECT count(*) FROM stored_events"))


def _stored_event(entry: Entry) -> StoredEvent:
    return StoredEvent(
        UUID(bytes=entry.originator_id), entry.originator_version, entry.topic, entry.state
    )


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[LibraryRecorder]:
    async with place.database("library_recorder") as url:
        yield LibraryRecorder(place, url)


CONTENDER = Contender("eventsourcing", LIBRARY, opened)
