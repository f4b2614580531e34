"""Publishers that go on through whatever dies, at one gateway after the other, and note what is answered."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import grpc

from tests.support.events import csat, feedback
from touchledger.v1 import events_pb2, ingest_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub

CALL_SECONDS_MAX = 15.0
# What publishers are to repeat; what came of it is unknown. DEADLINE_EXCEEDED is their own clock's.
REPEATABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
PAUSE_SECONDS = 0.1
# At most between two batches of a client: some hundred events a second leave two cores time for the faults.
REST_SECONDS = 0.1
CLIENTS = 6
BATCH_EVENTS_MAX = 20
# Each tenth batch is sent once, whatever comes of it.
GIVE_UP = 0.1
TOUCHPOINTS = [f"store.{name}" for name in ("entrance", "shelf", "advice", "checkout", "returns")]
CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    # Clients of one process would share a connection otherwise.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]
RECORDED = ingest_pb2.DISPOSITION_RECORDED
QUEUED = ingest_pb2.DISPOSITION_QUEUED
DUPLICATE = ingest_pb2.DISPOSITION_DUPLICATE
RETRY = ingest_pb2.DISPOSITION_RETRY


@dataclass
class Load:
    """One source; all its events are new, and each is sent with the same content whenever it is repeated."""

    addresses: Sequence[str]
    key: str
    prefix: str
    choice: random.Random
    tried: set[str] = field(default_factory=set)
    # Event id to the dispositions and positions that were answered for it.
    acked: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    failures: int = 0
    # When events were acked.
    acked_at: list[float] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(self._client(random.Random(f"{self.prefix} {number}")))
            try:
                yield self
            finally:
                self._stopping.set()

    async def more_acks(self, count: int, *, seconds_max: float) -> None:
        """Until so many more are acked."""
        enough = len(self.acked_at) + count
        async with asyncio.timeout(seconds_max):
            while len(self.acked_at) < enough:  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0.01)

    def longest_silence(self, since: float) -> float:
        """The longest time in which nobody was told anything good."""
        times = [since, *(each for each in self.acked_at if each > since), time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    async def repeat(self, event_ids: Sequence[str]) -> None:
        """Until each is answered."""
        async with self._stubs(self.choice) as stubs:
            for batch in batches(event_ids):
                while not await self._publish(next(stubs), batch):  # noqa: ASYNC110  # it is a call
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _client(self, choice: random.Random) -> None:
        async with self._stubs(choice) as stubs:
            while not self._stopping.is_set():
                size = choice.randint(1, BATCH_EVENTS_MAX)
                batch = [f"{self.prefix}-{next(self._numbers)}" for _ in range(size)]
                self.tried.update(batch)
                gives_up = choice.random() < GIVE_UP
                while (  # noqa: ASYNC110  # it is a call
                    not await self._publish(next(stubs), batch) and not gives_up
                ):
                    await asyncio.sleep(PAUSE_SECONDS)
                await asyncio.sleep(REST_SECONDS * choice.random())

    async def _publish(self, stub: IngestServiceStub, event_ids: Sequence[str]) -> bool:
        """False when it is not known of all of them what became of them."""
        request = ingest_pb2.PublishBatchRequest(events=map(event_of, event_ids))
        try:
            answer: ingest_pb2.PublishBatchResponse = await stub.PublishBatch(
                request,
                metadata=(("authorization", f"Bearer {self.key}"),),
                timeout=CALL_SECONDS_MAX,
            )
        except grpc.aio.AioRpcError as error:
            if error.code() not in REPEATABLE:
                raise
            self.failures += 1
            return False
        now, all_good = time.monotonic(), True
        for event_id, result in zip(event_ids, answer.results, strict=True):
            if result.disposition == RETRY:
                all_good = False
                continue
            assert result.disposition in (RECORDED, QUEUED, DUPLICATE), result
            self.acked[event_id].append((result.disposition, result.position.number))
            self.acked_at.append(now)
        self.failures += not all_good
        return all_good

    @contextlib.asynccontextmanager
    async def _stubs(self, choice: random.Random) -> AsyncIterator[Iterator[IngestServiceStub]]:
        """One gateway after the other, from any of them on."""
        async with contextlib.AsyncExitStack() as opened:
            channels = [
                await opened.enter_async_context(grpc.aio.insecure_channel(each, options=CHANNEL))
                for each in choice.sample(self.addresses, k=len(self.addresses))
            ]
            yield itertools.cycle([IngestServiceStub(channel) for channel in channels])


def batches(event_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(event_ids), BATCH_EVENTS_MAX):
        yield event_ids[start : start + BATCH_EVENTS_MAX]


def event_of(event_id: str) -> events_pb2.Event:
    """The same for the same id."""
    choice = random.Random(event_id)
    return feedback(
        csat(str(choice.randint(1, 5))),
        event_id=event_id,
        touchpoint=choice.choice(TOUCHPOINTS),
        customer=f"customer {choice.randrange(500)}",
        occurred_at=f"2026-08-{choice.randint(1, 9):02}T10:15:30Z",
    )
