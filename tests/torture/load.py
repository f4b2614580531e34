"""Clients that append all along, repeat by id what was not answered, and write down what they were told."""

import asyncio
import contextlib
import hashlib
import itertools
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from touchledger.v1 import journal_pb2
from touchledger.v1.journal_pb2_grpc import JournalServiceStub

TENANT = "acme"
TOPIC = "touchledger.interaction.v1"
CALL_SECONDS_MAX = 10.0
# What a publisher is to repeat. DEADLINE_EXCEEDED is its own clock's.
REPEATABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
PAUSE_SECONDS = 0.1
RECORDED = journal_pb2.AppendResult.STATUS_RECORDED
DUPLICATE = journal_pb2.AppendResult.STATUS_DUPLICATE
CONFLICT = journal_pb2.AppendResult.STATUS_CONFLICT
CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    # Clients of one process would share a connection otherwise.
    ("grpc.use_local_subchannel_pool", 1),
]


class Book:
    """One line for what a client is about to do and one for what came of it, in its own file.

    Written before the call and after the answer, so that the file knows no less than the client did.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)

    def tries(self, event_ids: Iterable[str]) -> None:
        for event_id in event_ids:
            self._file.write(f"try {event_id}\n")

    def gives_up(self, event_ids: Iterable[str]) -> None:
        for event_id in event_ids:
            self._file.write(f"gave-up {event_id}\n")

    def acked(self, event_ids: Sequence[str], results: Iterable[journal_pb2.AppendResult]) -> None:
        for event_id, result in zip(event_ids, results, strict=True):
            self._file.write(f"ack {event_id} {result.status} {result.position}\n")


@dataclass
class Told:
    """What the books of all clients of one source say."""

    tried: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    # Event id to the statuses and positions that were answered for it.
    acked: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def read(self, path: Path) -> None:
        for line in path.read_text().splitlines():
            word, event_id, *answer = line.split()
            if word == "try":
                self.tried.add(event_id)
            elif word == "gave-up":
                self.given_up.add(event_id)
            else:
                status, position = map(int, answer)
                self.acked[event_id].append((status, position))


def request(
    source: str, event_ids: Iterable[str], content: str = "as ever"
) -> journal_pb2.AppendRequest:
    return journal_pb2.AppendRequest(
        tenant=TENANT,
        source=source,
        entries=(
            journal_pb2.AppendEntry(
                event_id=event_id,
                topic=TOPIC,
                event=event_id.encode(),
                content_digest=hashlib.sha256(content.encode()).digest(),
            )
            for event_id in event_ids
        ),
    )


class Load:
    """Several clients of one source, who also send what the others have sent."""

    def __init__(
        self, source: str, addresses: Sequence[str], *, clients: int, folder: Path, seed: int
    ) -> None:
        self.source = source
        self.acks = 0
        self.repeats = 0
        self._addresses = addresses
        self._random = random.Random(f"{seed} {source}")
        self._numbers = itertools.count(1)
        self._sent: list[str] = []
        self._stopping = asyncio.Event()
        self.books = [folder / f"{source}-{number}.book" for number in range(clients)]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for path in self.books:
                tasks.create_task(self._client(Book(path)))

    def stop(self) -> None:
        """`run` ends once each client has its answer."""
        self._stopping.set()

    def told(self) -> Told:
        told = Told()
        for path in self.books:
            told.read(path)
        return told

    async def _client(self, book: Book) -> None:
        async with _stubs(self._addresses, self._random) as stubs:
            while not self._stopping.is_set():
                event_ids = self._batch()
                book.tries(event_ids)
                gives_up = self._random.random() < 0.1
                sent = request(self.source, event_ids)
                results = await self._append(next(stubs), sent)
                while results is None and not gives_up:
                    await asyncio.sleep(PAUSE_SECONDS)
                    self.repeats += 1
                    results = await self._append(next(stubs), sent)
                if results is None:
                    book.gives_up(event_ids)
                else:
                    book.acked(event_ids, results)
                    self.acks += len(event_ids)

    async def _append(
        self, stub: JournalServiceStub, sent: journal_pb2.AppendRequest
    ) -> Sequence[journal_pb2.AppendResult] | None:
        """None when nobody knows what became of it."""
        try:
            response: journal_pb2.AppendResponse = await stub.Append(sent, timeout=CALL_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            if error.code() not in REPEATABLE:
                raise
            return None
        return response.results

    def _batch(self) -> list[str]:
        """Mostly small ones; some that go by COPY; a fifth of the events was sent before or is."""
        kind = self._random.random()
        size = 1 if kind < 0.5 else self._random.randint(2, 10 if kind < 0.9 else 200)
        batch = dict[str, None]()
        for _ in range(size):
            if self._sent and self._random.random() < 0.2:
                # Mostly one of the last, that others have under way.
                batch[self._random.choice(self._sent[-self._random.choice((20, 20, 10**9)) :])] = (
                    None
                )
            else:
                event_id = f"event-{next(self._numbers)}"
                self._sent.append(event_id)
                batch[event_id] = None
        return list(batch)

    async def repeat(self, event_ids: Iterable[str], content: str = "as ever") -> Told:
        """Sends them again, one by one, until each is answered."""
        path = self.books[0].with_suffix(f".{content.replace(' ', '-')}")
        book, told = Book(path), Told()
        async with _stubs(self._addresses, self._random) as stubs:
            for event_id in event_ids:
                while True:
                    sent = request(self.source, [event_id], content)
                    results = await self._append(next(stubs), sent)
                    if results is not None:
                        break
                    await asyncio.sleep(PAUSE_SECONDS)
                book.acked([event_id], results)
        told.read(path)
        return told


@contextlib.asynccontextmanager
async def _stubs(
    addresses: Sequence[str], choice: random.Random
) -> AsyncIterator["itertools.cycle[JournalServiceStub]"]:
    """One service after the other, from any of them on."""
    async with contextlib.AsyncExitStack() as opened:
        channels = [
            await opened.enter_async_context(grpc.aio.insecure_channel(each, options=CHANNEL))
            for each in choice.sample(addresses, k=len(addresses))
        ]
        yield itertools.cycle([JournalServiceStub(channel) for channel in channels])


class Follower:
    """Follows the journal from the start, at whichever service lives."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        # The event id at each position; the first is position 1.
        self.seen: list[str] = []
        self.connections = 0

    async def run(self) -> None:
        journal_id = ""
        for address in itertools.cycle(self._addresses):
            self.connections += 1
            async with grpc.aio.insecure_channel(address, options=CHANNEL) as channel:
                after = journal_pb2.Position(journal_id=journal_id, number=len(self.seen))
                stream = JournalServiceStub(channel).Subscribe(
                    journal_pb2.SubscribeRequest(after=after)
                )
                try:
                    async for page in stream:
                        journal_id = page.journal_id
                        for each in page.events:
                            assert each.position == len(self.seen) + 1, "a hole, or twice the same"
                            self.seen.append(each.event.decode())
                except grpc.aio.AioRpcError as error:
                    if error.code() not in REPEATABLE:
                        raise
            await asyncio.sleep(PAUSE_SECONDS)
