"""The buffer's two ends in the test's own process: what queues, and what records."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from services.chassis.buffer import Link
from services.chassis.postgres import Pool
from services.gateway.buffer import Buffer
from services.touchpoint.journal import Journal
from services.touchpoint.recorder.process import Recorder
from services.touchpoint.settings import Settings
from tests.support.ingest import KEYRING
from tests.support.nats_server import NatsServer
from touchledger.v1.events_pb2 import Event

SECONDS_MAX = 30.0


@contextlib.asynccontextmanager
async def recording(pool: Pool, server: NatsServer, **settings: object) -> AsyncIterator[Recorder]:
    """A recorder at work."""
    configured = Settings.model_validate(
        {
            "database_url": "postgresql://of.the/pool",
            "buffer": server.url,
            "buffer_partitions": 2,
            "buffer_bytes_max": 64 * 1024 * 1024,
            **settings,
        }
    )
    journal = await Journal.open(pool, stopping=asyncio.Event())
    stopping = asyncio.Event()
    [recorder] = Recorder.configured(journal, pool, configured, stopping=stopping)
    running = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        stopping.set()
        await running


@contextlib.asynccontextmanager
async def queueing(server: NatsServer, *, replicas: int = 1) -> AsyncIterator[Buffer]:
    """A gateway's buffer, as soon as something could be queued."""
    link = Link(server.url, name="gateway")
    buffer = Buffer(link, KEYRING, replicas=replicas)
    tasks = [asyncio.create_task(each.run()) for each in (link, buffer)]
    try:
        yield buffer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Looked at again and again, since there is no other way to know."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def stored(pool: Pool) -> list[str]:
    """The ids of what is in the journal, in the order of positions."""
    rows = await pool.fetch(
        "SELECT notification_id, state FROM journal.stored_events ORDER BY notification_id"
    )
    assert [row["notification_id"] for row in rows] == [*range(1, len(rows) + 1)]
    return [Event.FromString(row["state"]).event_id for row in rows]
