"""kill -9 of each process of buffered mode under load, one NATS server: what was QUEUED is recorded, once."""

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import grpc
import pytest

from tests.conftest import SERVICES
from tests.support.buffered import until
from tests.support.events import event
from tests.support.nats_server import NatsServer, nats_server
from tests.support.stack import Stack, running_stack
from touchledger.v1 import ingest_pb2, ingest_pb2_grpc
from touchledger.v1.events_pb2 import Event

# Each publisher's events are of one customer, so that their order can be told.
PUBLISHERS = 4
BATCH_EVENTS = 20
LOAD_SECONDS_MAX = 60.0
QUEUED = ingest_pb2.DISPOSITION_QUEUED
REPEATED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def stack(tmp_path: Path, new_database: Callable[[str], str], nats: NatsServer) -> Iterator[Stack]:
    urls = {name: new_database(name) for name in SERVICES}
    environment = {f"TOUCHLEDGER_{each}_BUFFER": nats.url for each in ("TOUCHPOINT", "GATEWAY")}
    with running_stack(tmp_path, urls, touchpoints=2, environment=environment) as running:
        yield running


class Load:
    """Publishers that repeat what they are told to repeat, until they are stopped."""

    def __init__(self, stack: Stack, *, first_batch: int = 0) -> None:
        self._stack = stack
        self._first_batch = first_batch
        self._stopping = asyncio.Event()
        self.queued = dict[int, list[str]]()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(PUBLISHERS):
                tasks.create_task(self._publisher(number))

    def stop(self) -> None:
        self._stopping.set()

    def count(self) -> int:
        return sum(map(len, self.queued.values()))

    async def more(self, events: int) -> None:
        wanted = self.count() + events
        await until(lambda: self.count() >= wanted)

    async def _publisher(self, number: int) -> None:
        queued = self.queued.setdefault(number, [])
        async with grpc.aio.insecure_channel(
            self._stack.gateway.address, options=[("grpc.max_reconnect_backoff_ms", 500)]
        ) as channel:
            stub = ingest_pb2_grpc.IngestServiceStub(channel)
            for batch in itertools.count(self._first_batch):
                if self._stopping.is_set():
                    return
                ids = [f"{number}-{batch:06}-{each:02}" for each in range(BATCH_EVENTS)]
                await self._until_queued(stub, number, ids)
                queued += ids

    async def _until_queued(
        self, stub: ingest_pb2_grpc.IngestServiceStub, number: int, ids: list[str]
    ) -> None:
        events = [event(event_id=each, customer=f"customer {number}") for each in ids]
        asked = ingest_pb2.PublishBatchRequest(events=events)
        deadline = time.monotonic() + LOAD_SECONDS_MAX
        while True:
            try:
                answer = await stub.PublishBatch(asked, metadata=self._stack.metadata, timeout=10)
                if {each.disposition for each in answer.results} == {QUEUED}:
                    return
            except grpc.aio.AioRpcError as error:
                if error.code() not in REPEATED:
                    raise
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def recorded(stack: Stack) -> list[str]:
    connection = await asyncpg.connect(stack.urls["touchpoint"])
    try:
        rows = await connection.fetch(
            "SELECT notification_id, state FROM journal.stored_events ORDER BY notification_id"
        )
    finally:
        await connection.close()
    assert [row["notification_id"] for row in rows] == [*range(1, len(rows) + 1)]
    return [Event.FromString(row["state"]).event_id for row in rows]


async def holds(stack: Stack, load: Load) -> None:
    """All that was queued is recorded, nothing twice, and each customer's events in order."""

    async def all_recorded() -> bool:
        return {each for of in load.queued.values() for each in of} <= {*await recorded(stack)}

    await until(all_recorded)
    ids = await recorded(stack)
    assert max(Counter(ids).values()) == 1
    for number in load.queued:
        of_one = [each for each in ids if each.startswith(f"{number}-")]
        assert of_one == sorted(of_one)


async def test_nats_is_killed(stack: Stack, nats: NatsServer) -> None:
    load = Load(stack)
    running = asyncio.create_task(load.run())
    for _ in range(3):
        await load.more(400)
        nats.kill()
        nats.start()
    await load.more(400)
    load.stop()
    await running
    await holds(stack, load)


async def test_a_recorder_is_killed(stack: Stack) -> None:
    load = Load(stack)
    running = asyncio.create_task(load.run())
    for each in stack.touchpoints:
        await load.more(400)
        each.kill()
        await load.more(200)
        each.start()
        each.wait_until_ready()
    await load.more(400)
    load.stop()
    await running
    await holds(stack, load)


async def test_a_recorder_stands_still_and_wakes_up(stack: Stack) -> None:
    load = Load(stack)
    running = asyncio.create_task(load.run())
    await load.more(400)
    sleeper = stack.touchpoints[0].process
    assert sleeper is not None
    sleeper.send_signal(signal.SIGSTOP)
    # The other one has taken over once all of it is recorded.
    await load.more(400)
    taken = {each for of in load.queued.values() for each in of}

    async def taken_over() -> bool:
        return taken <= {*await recorded(stack)}

    await until(taken_over)
    sleeper.send_signal(signal.SIGCONT)
    await load.more(400)
    load.stop()
    await running
    await holds(stack, load)


async def test_the_gateway_is_killed(stack: Stack) -> None:
    load = Load(stack)
    running = asyncio.create_task(load.run())
    for _ in range(2):
        await load.more(400)
        stack.gateway.kill()
        stack.gateway.start()
    await load.more(400)
    load.stop()
    await running
    await holds(stack, load)


async def test_the_store_is_lost(stack: Stack, nats: NatsServer) -> None:
    """What was recorded stays, and everything goes on without a restart."""
    load = Load(stack)
    running = asyncio.create_task(load.run())
    await load.more(400)
    load.stop()
    await running
    await holds(stack, load)
    before = await recorded(stack)
    nats.kill()
    nats.wipe()
    nats.start()
    after = Load(stack, first_batch=500_000)
    running = asyncio.create_task(after.run())
    await after.more(1)
    after.stop()
    await running
    await holds(stack, after)
    assert (await recorded(stack))[: len(before)] == before
