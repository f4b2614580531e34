"""The scoring service beside a journal, and how far its tables are, as somebody sees it who asks them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from bench.place import Place, free_port
from bench.running import STOP_SECONDS_MAX, started, until_ready

POLL_SECONDS = 0.005
PROJECTION_SECONDS_MAX = 300.0
CHECKPOINT = "SELECT position FROM bi.freshness WHERE projection = 'scoreboard'"


@asynccontextmanager
async def scoring(here: Place, journal: str) -> AsyncIterator[str]:
    """The URL of the database that it fills, from the first position on. journal: HOST:PORT."""
    async with here.database("scoring") as url:
        environment = {
            "DATABASE_URL": url,
            "LISTEN": f"127.0.0.1:{free_port()}",
            "JOURNAL_TARGET": journal,
        }
        service = started(here.folder, "scoring", environment)
        try:
            await until_ready(service)
            yield url
        finally:
            service.stop(STOP_SECONDS_MAX)


class Samples:
    """The checkpoint of the projection over time, as somebody sees it who asks every few milliseconds."""

    def __init__(self, here: Place, url: str, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._here = here
        self._url = url
        self._poll_seconds = poll_seconds
        self.seen: list[tuple[float, int]] = []

    @asynccontextmanager
    async def taken(self) -> AsyncIterator["Samples"]:
        task = asyncio.create_task(self._take())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _take(self) -> None:
        async with self._here.connection(self._url) as connection:
            while True:
                position = await connection.fetchval(CHECKPOINT)
                if not self.seen or position != self.seen[-1][1]:
                    self.seen.append((perf_counter(), position))
                await asyncio.sleep(self._poll_seconds)

    async def reached(self, position: int) -> float:
        """When the position was first seen."""
        async with asyncio.timeout(PROJECTION_SECONDS_MAX):
            while not self.seen or self.seen[-1][1] < position:  # noqa: ASYNC110  # it is PostgreSQL that is asked
                await asyncio.sleep(self._poll_seconds)
        return next(at for at, seen in self.seen if seen >= position)
