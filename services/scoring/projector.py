"""Keeps a model up to date with the journal: page by page, each with its checkpoint, by one owner at a time.

An event that PostgreSQL refuses is parked with the reason, and the stream goes on: the page that held it is
cut in halves until the event stands alone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from datetime import UTC

import asyncpg
import grpc
import structlog
from opentelemetry import trace

from services.chassis import clock, telemetry
from services.chassis.errors import DATABASE_AWAY, Conflict, Corrupt, ServiceError, translate
from services.scoring.facts import Facts
from services.scoring.lease import RENEW_EVERY_SECONDS, STANDBY_SECONDS, Lease
from services.scoring.scoreboard import Overtaken, Progress, Scoreboard
from services.scoring.source import PAGE_EVENTS_MAX, Feed, Page, Source
from touchledger.v1.journal_pb2 import RecordedEvent

log = structlog.get_logger()
page_size = telemetry.meter.create_histogram(
    "touchledger.projection.page.size",
    unit="{event}",
    description="Events of a projected page.",
    explicit_bucket_boundaries_advisory=telemetry.SIZE_BUCKETS,
)
page_duration = telemetry.duration_histogram(
    "touchledger.projection.page.duration", "How long it took to write a page of events."
)
freshness = telemetry.duration_histogram(
    "touchledger.projection.freshness",
    "How long after it was recorded the first event of a page could be seen.",
)

# How long to leave a journal or a database alone that is away.
PAUSE_SECONDS = 0.5
# A hole in the journal, or a checkpoint of another journal, mends itself never: the alarm is repeated, not
# the load.
PAUSE_IN_TROUBLE_SECONDS = 10.0
# How soon a projection that must not pass another one looks whether that one has moved.
FOLLOW_SECONDS = 0.05
RELEASE_SECONDS_MAX = 1.0
# What says that something in the page can't be stored, and would be refused at each repetition. Not the
# errors of statements that do not fit the tables: those are a bug, and not an event's.
REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    ArithmeticError,
    LookupError,
)
# What a page that is too much for one transaction ends with, among other causes.
TOO_MUCH = (*DATABASE_AWAY, asyncpg.QueryCanceledError, asyncpg.InvalidTransactionStateError)
# The tables were changed under a statement, by a switch or another release: it is prepared again.
CHANGED = (asyncpg.InvalidCachedStatementError, asyncpg.TransactionRollbackError)


class Projector:
    def __init__(
        self,
        source: Source,
        scoreboard: Scoreboard,
        lease: Lease,
        *,
        limit: Callable[[], Awaitable[int | None]] | None = None,
    ) -> None:
        """limit: the position that must not be passed at the moment; None while there is nothing to fill."""
        self._source = source
        self._scoreboard = scoreboard
        self._lease = lease
        self._limit = limit
        self._events_max = PAGE_EVENTS_MAX
        # Why the read models can't follow the journal until somebody does something; empty while they can.
        self.trouble = ""

    async def run(self) -> None:
        """Without end. Whatever is away is waited for; anything unexpected ends the process, visibly."""
        while True:
            pause = STANDBY_SECONDS
            try:
                await self._own()
            except Overtaken:
                log.info("another projector is at work", projection=self._lease.projection)
            except (ServiceError, grpc.aio.AioRpcError, *DATABASE_AWAY) as error:
                pause = self._pause_after(error)
            except (*TOO_MUCH, *CHANGED) as error:
                self._waits(type(error).__name__)
                pause = PAUSE_SECONDS
            except asyncpg.UndefinedTableError:
                # What is filled beside the live model may become that one, or be dropped, at any moment.
                if self._limit is None:
                    raise
            await asyncio.sleep(pause)

    def _pause_after(self, error: Exception) -> float:
        told = translate(error, method="projection")
        if told is None:
            raise error  # asyncpg's word for an argument of the wrong type: a bug
        if not isinstance(told, (Corrupt, Conflict)):
            self._waits(str(told))
            return PAUSE_SECONDS
        self.trouble = str(told)
        log.error("projection stands still", projection=self._lease.projection, reason=self.trouble)
        return PAUSE_IN_TROUBLE_SECONDS

    def _waits(self, reason: str) -> None:
        log.warning("projection waits", projection=self._lease.projection, reason=reason)

    async def _own(self) -> None:
        """Projects for as long as the lease is ours; at once over where it is not to be had."""
        if self._limit is not None and await self._limit() is None:
            return
        token = await self._lease.take()
        if token is None:
            # Whoever projects meets what was in the way, too, if it still is.
            self.trouble = ""
            return
        log.info("projecting", projection=self._lease.projection, token=token)
        try:
            await self._project(token)
        finally:
            # Where the database is away the lease runs out by itself.
            with contextlib.suppress(*DATABASE_AWAY):
                async with asyncio.timeout(RELEASE_SECONDS_MAX):
                    await self._lease.release(token)

    async def _project(self, token: int) -> None:
        now = asyncio.get_running_loop().time
        checkpoint = await self._scoreboard.checkpoint()
        async with self._source.follow(checkpoint) as feed, _one_at_a_time() as writing:
            renewed_at = now()
            while (page := await self._next(feed)) is not None:
                if page.head is not None:
                    self.trouble = ""
                if page.head is not None and page.journal_id != checkpoint.journal_id:
                    # Restored to the checkpoint or later: otherwise the journal would have refused.
                    await self._scoreboard.go_on_with(page.journal_id, before=checkpoint.journal_id)
                    checkpoint.journal_id = page.journal_id
                if page.events:
                    # This process reads a page while PostgreSQL writes the one before.
                    facts = None
                    # What can't be read is met again, and parked, when the page is written.
                    with contextlib.suppress(*REFUSED):
                        facts = await self._scoreboard.read(page.events)
                    await writing.done()
                    writing.begin(self._write(page, page.events, token, facts))
                    renewed_at = now()
                    continue
                await writing.done()
                if now() - renewed_at >= RENEW_EVERY_SECONDS:
                    await self._lease.renew(token)
                    if page.head is not None:
                        await self._scoreboard.heard(head=page.head)
                    renewed_at = now()

    async def _next(self, feed: Feed) -> Page | None:
        """The next page, up to the limit; None when there is nothing to fill any more."""
        events_max = self._events_max
        if self._limit is not None:
            limit = await self._limit()
            if limit is None:
                return None
            events_max = min(events_max, limit - feed.after)
        if events_max <= 0:
            await asyncio.sleep(FOLLOW_SECONDS)
            return Page("", [], None)
        return await feed.page(events_max=events_max, within_seconds=RENEW_EVERY_SECONDS)

    async def _write(
        self, page: Page, events: Sequence[RecordedEvent], token: int, facts: Facts | None = None
    ) -> None:
        progress = Progress(
            journal_id=page.journal_id,
            after=events[0].position - 1,
            to=events[-1].position,
            events=len(events),
            recorded_at=events[-1].recorded_at.ToDatetime(tzinfo=UTC),
            head=page.head or 0,
        )
        fence, began = self._lease.fence(token), time.perf_counter()
        try:
            with self._span(events):
                await self._scoreboard.project(events, progress, facts=facts, fence=fence)
        except REFUSED as error:
            if len(events) == 1:
                # The text of an exception may quote a payload.
                reason = f"refused: {type(error).__name__}"
                log.error("event parked", position=progress.to, reason=reason)
                await self._scoreboard.park(events[0], reason, progress, fence=fence)
                return
            middle = len(events) // 2
            await self._write(page, events[:middle], token)
            await self._write(page, events[middle:], token)
        except TOO_MUCH:
            self._events_max = max(1, len(events) // 2)
            raise
        else:
            self._events_max = min(PAGE_EVENTS_MAX, 2 * self._events_max)
            self._note(events, time.perf_counter() - began)

    def _note(self, events: Sequence[RecordedEvent], seconds: float) -> None:
        if not telemetry.measured():
            return
        told = {"projection": self._lease.projection}
        page_size.record(len(events), told)
        page_duration.record(seconds, told)
        age = clock.now().ToNanoseconds() - events[0].recorded_at.ToNanoseconds()
        # Below 0 where the clocks of two machines differ.
        freshness.record(max(0.0, age / 1e9), told)

    def _span(
        self, events: Sequence[RecordedEvent]
    ) -> contextlib.AbstractContextManager[trace.Span | None]:
        if not telemetry.traced():
            return contextlib.nullcontext()
        traceparents = list(dict.fromkeys(event.traceparent for event in events))
        return telemetry.span(
            "project page",
            links=telemetry.links(set(traceparents[: telemetry.LINKS_MAX]) - {""}),
            attributes={
                "touchledger.projection": self._lease.projection,
                "touchledger.position.first": events[0].position,
                "touchledger.position.last": events[-1].position,
            },
        )


class _Writing:
    """A page that is being written."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, write: Coroutine[None, None, None]) -> None:
        self._task = asyncio.create_task(write, name="write page")

    async def done(self) -> None:
        """Raises what the writing ended with."""
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._task


@contextlib.asynccontextmanager
async def _one_at_a_time() -> AsyncIterator[_Writing]:
    """Whatever ends the block, no page is being written after it."""
    writing = _Writing()
    try:
        yield writing
        await writing.done()
    finally:
        await writing.end()
