"""The buffer's two ends in the test's own process: what queues, and what records."""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from services.chassis.buffer import Link, Shape, subjects_of
from services.chassis.postgres import Pool
from services.gateway.buffer import Buffer
from services.touchpoint.journal import Journal
from services.touchpoint.recorder.process import Recorder
from services.touchpoint.recorder.stream import Batch, Stream
from services.touchpoint.settings import Settings
from tests.support.ingest import KEYRING
from tests.support.nats_server import NatsServer
from touchledger.v1.events_pb2 import Event

SECONDS_MAX = 30.0
BYTES_MAX = 64 * 1024 * 1024
SHAPE = Shape(replicas=1, partitions=2, bytes_max=BYTES_MAX, tenant_messages_max=10_000)


@contextlib.asynccontextmanager
async def recording(pool: Pool, server: NatsServer, **settings: object) -> AsyncIterator[Recorder]:
    """A recorder at work."""
    configured = Settings.model_validate(
        {
            "database_url": "postgresql://of.the/pool",
            "buffer": server.url,
            "buffer_partitions": SHAPE.partitions,
            "buffer_bytes_max": SHAPE.bytes_max,
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
async def queueing(url: str, *, replicas: int = 1) -> AsyncIterator[Buffer]:
    """A gateway's buffer."""
    link = Link(url, name="gateway")
    buffer = Buffer(link, KEYRING, replicas=replicas)
    tasks = [asyncio.create_task(each.run()) for each in (link, buffer)]
    try:
        yield buffer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(condition: Callable[[], Any], count: int | None = None) -> None:
    """It is true, or has so many items. Looked at again and again, since there is no other way to know."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found if count is None else len(found) == count:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


async def stored(pool: Pool) -> list[str]:
    """The ids of what is in the journal, in the order of positions."""
    rows = await pool.fetch(
        "SELECT notification_id, state FROM journal.stored_events ORDER BY notification_id"
    )
    assert [row["notification_id"] for row in rows] == [*range(1, len(rows) + 1)]
    return [Event.FromString(row["state"]).event_id for row in rows]


@contextlib.asynccontextmanager
async def _connected(server: NatsServer) -> AsyncIterator[Link]:
    link = Link(server.url, name="test")
    running = asyncio.create_task(link.run())
    try:
        await until(lambda: link.generation)
        yield link
    finally:
        running.cancel()
        await asyncio.wait([running])


async def batches_in(server: NatsServer) -> list[Batch]:
    """All that the stream holds, in order."""
    async with _connected(server) as link:
        stream, batches, more = Stream(link, SHAPE), list[Batch](), True
        while more:
            page = await stream.read(subjects_of("*"), after=batches[-1].sequence if batches else 0)
            batches += page.batches
            more = page.more
        return batches


async def put(server: NatsServer, subject: str, *messages: bytes) -> None:
    """Into the stream, past the gateway."""
    async with _connected(server) as link:
        for message in messages:
            await link.request(subject, message)
