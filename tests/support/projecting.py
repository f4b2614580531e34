"""A real journal on a socket of the test's own process, and projectors that follow it into real tables."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import grpc

from services.chassis.postgres import Pool
from services.gateway.encoding import TOPICS
from services.scoring import lease
from services.scoring.facts import Facts
from services.scoring.lease import Lease
from services.scoring.models import LIVE, NEXT, Model
from services.scoring.projections import Projections, next_may_reach
from services.scoring.projector import Projector
from services.scoring.scoreboard import Fence, Progress, Scoreboard
from services.scoring.source import Source
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.ingest import journal_server
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import AppendEntry, AppendRequest, RecordedEvent
from touchledger.v1.journal_pb2_grpc import JournalServiceStub

DEADLINE_SECONDS = 20.0
POLL_SECONDS = 0.01


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Returns once it holds; what other tasks and processes do is only known by looking."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await holds():  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_SECONDS:g} s: {what}") from None


@dataclass
class Published:
    """A journal that events can be put into."""

    channel: grpc.aio.Channel
    head: int = 0

    @property
    def source(self) -> Source:
        return Source(self.channel)

    async def publish(
        self, *events: pb.Event, tenant: str = "default", source: str = "till"
    ) -> None:
        await self.store(
            *((each, TOPICS[each.WhichOneof("body") or ""]) for each in events),
            tenant=tenant,
            source=source,
        )

    async def store(
        self, *events: tuple[pb.Event | bytes, str], tenant: str = "default", source: str = "till"
    ) -> None:
        """Whatever bytes under whatever topics: the journal does not read them."""
        entries = []
        for number, (event, topic) in enumerate(events, start=self.head + 1):
            state = event if isinstance(event, bytes) else event.SerializeToString()
            event_id = f"bytes {number}" if isinstance(event, bytes) else event.event_id
            entries.append(
                AppendEntry(
                    event_id=event_id,
                    topic=topic,
                    event=state,
                    content_digest=hashlib.sha256(state).digest(),
                )
            )
        for start in range(0, len(entries), 1000):
            request = AppendRequest(
                tenant=tenant, source=source, entries=entries[start : start + 1000]
            )
            answer = await JournalServiceStub(self.channel).Append(
                request, timeout=DEADLINE_SECONDS
            )
            self.head = max(self.head, *(each.position for each in answer.results))


@contextlib.asynccontextmanager
async def journal_on(pool: Pool) -> AsyncIterator[Published]:
    stopping = asyncio.Event()
    journal = await Journal.open(pool, stopping=stopping)
    async with (
        journal_server(JournalServicer(journal)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Published(channel)
        stopping.set()


class Watched(Scoreboard):
    """A scoreboard that tells the size of each page that it was given and took."""

    def __init__(self, pool: Pool, *, model: Model = LIVE) -> None:
        super().__init__(pool, model=model)
        self.pages: list[int] = []

    async def project(
        self,
        events: Sequence[RecordedEvent],
        progress: Progress,
        *,
        facts: Facts | None = None,
        fence: Fence | None = None,
    ) -> None:
        await super().project(events, progress, facts=facts, fence=fence)
        self.pages.append(len(events))


@dataclass
class Scoring:
    """What a process of the scoring service has, without its server."""

    url: str
    journal: Published
    live_pool: Pool
    next_pool: Pool
    pool: Pool
    owner: str
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.live = Watched(self.live_pool)
        self.next = Watched(self.next_pool, model=NEXT)
        self.projections = Projections(self.pool, self.journal.source)
        self.live_lease = Lease(self.live_pool, lease.LIVE, owner=self.owner)
        self.next_lease = Lease(self.next_pool, lease.NEXT, owner=self.owner)
        self.projector = Projector(self.journal.source, self.live, self.live_lease)
        self.rebuilder = Projector(
            self.journal.source,
            self.next,
            self.next_lease,
            limit=partial(next_may_reach, self.next_pool),
        )

    def start(self) -> None:
        self.tasks = [
            asyncio.create_task(self.projector.run(), name="live"),
            asyncio.create_task(self.rebuilder.run(), name="next"),
        ]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        ended = await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []
        for each in ended:
            assert isinstance(each, asyncio.CancelledError), each

    async def caught_up(self, name: str = lease.LIVE) -> None:
        """Returns once the model holds all that the journal does."""

        async def holds() -> bool:
            for task in self.tasks:
                if task.done():
                    task.result()
            standings = await self.projections.standings()
            found = [each for each in standings if each.name == name]
            return bool(found) and found[0].checkpoint.number >= self.journal.head

        await until(holds, f"{name} at position {self.journal.head}")

    async def compared(self) -> tuple[int, list[str]]:
        """How many rows differ, and the tables that they are of."""
        tables, differing = [], 0
        async with contextlib.aclosing(
            self.projections.compare(tenant="default", rows_max=5)
        ) as found:
            async for each in found:
                if hasattr(each, "differing_rows"):
                    differing = each.differing_rows
                elif each.only_live or each.only_next:
                    tables.append(f"{each.table}: {each.differences}")
        return differing, tables


@contextlib.asynccontextmanager
async def scoring_on(
    url: str, journal: Published, *, owner: str = "test:1"
) -> AsyncIterator[Scoring]:
    """Its tables made, its projectors not started; stopped in the end."""

    def pool(model: Model | None, size: int) -> "asyncpg.pool.Pool[asyncpg.Record]":
        path = {"search_path": model.search_path} if model else {}
        return asyncpg.create_pool(
            url, min_size=1, max_size=size, server_settings={"timezone": "UTC", **path}
        )

    async with pool(LIVE, 2) as live, pool(NEXT, 2) as next_, pool(None, 4) as others:
        scoring = Scoring(url, journal, live, next_, others, owner)
        await scoring.live.install()
        try:
            yield scoring
        finally:
            await scoring.stop()
