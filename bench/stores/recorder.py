"""Our recorder: the touchpoint service's Journal, called in the bench's own process.

In the time: encoding, leaves, group commit, duplicate check, positions and seal.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from bench.contender import Contender, Run
from bench.events import ATTEMPT, Event, entries
from bench.journal_goals import RECORDER
from bench.place import Place
from bench.timing import by_tasks
from services.chassis.postgres import open_pool
from services.touchpoint.__main__ import CONNECTIONS_MAX, LOCK_TIMEOUT
from services.touchpoint.journal import Journal
from services.touchpoint.row import Entry, encode
from services.touchpoint.settings import Settings


@dataclass(frozen=True, slots=True)
class Recorder:
    place: Place
    url: str
    journal: Journal

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        async def append(entries: list[Entry]) -> None:
            await self.journal.append(encode(ATTEMPT, entries))

        work = [entries(batch) for batch in batches]
        before = await self.place.journal_position(self.url)
        timing = await by_tasks(work, [append] * callers)
        return Run(timing, await self.place.journal_position(self.url) - before)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Recorder]:
    async with (
        place.journal("recorder") as url,
        open_pool(
            Settings(database_url=SecretStr(url)),
            name="bench",
            size_max=CONNECTIONS_MAX,
            lock_timeout=LOCK_TIMEOUT,
        ) as pool,
    ):
        yield Recorder(place, url, await Journal.open(pool, stopping=asyncio.Event()))


CONTENDER = Contender("recorder", RECORDER, opened)
