"""The eventsourcing library's recorder for dynamic consistency boundaries, appending without a condition.

Two tags: touchpoint and event id. Without a condition it takes no lock, so that its readers can miss events.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eventsourcing.dcb.api import DCBEvent
from eventsourcing.dcb.postgres_tt import PostgresDCBRecorderTT

from bench.contender import Contender, Run
from bench.events import Event
from bench.journal_goals import LIBRARY_DCB
from bench.place import Place
from bench.stores.library_datastore import datastore
from bench.timing import by_threads


@dataclass(frozen=True, slots=True)
class LibraryDcb:
    place: Place
    url: str

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        work = [
            [
                DCBEvent(
                    type=event.template.topic,
                    data=event.state,
                    tags=[event.template.touchpoint, event.id],
                )
                for event in batch
            ]
            for batch in batches
        ]
        with datastore(self.url, callers) as opened:
            recorder = PostgresDCBRecorderTT(opened)
            recorder.create_table()
            before = await self._count()
            timing = await by_threads(work, [recorder.append] * callers)
            return Run(timing, await self._count() - before)

    async def _count(self) -> int:
        async with self.place.connection(self.url) as connection:
            return int(await connection.fetchval("SELECT count(*) FROM dcb_events_tt_main"))


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[LibraryDcb]:
    async with place.database("library_dcb") as url:
        yield LibraryDcb(place, url)


CONTENDER = Contender("dcb", LIBRARY_DCB, opened)
