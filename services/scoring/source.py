"""The journal as the projector reads it: in order, without a hole, and read ahead of it up to a bound."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import grpc
import structlog

from services.chassis.errors import Corrupt, Unavailable
from touchledger.v1.journal_pb2 import (
    GetHeadRequest,
    GetHeadResponse,
    Position,
    RecordedEvent,
    SubscribeRequest,
    SubscribeResponse,
)
from touchledger.v1.journal_pb2_grpc import JournalServiceStub

log = structlog.get_logger()

# The journal sends at least an empty page every 5 seconds; a stream silent for longer is dead.
SILENCE_SECONDS_MAX = 15.0
HEAD_DEADLINE_SECONDS = 2.0
# One upsert of each rollup for all events of a page: its cost is by the page, so a live page waits for
# company. 50 ms took the database's part from 5.0 to 2.8 us an event; 200 ms was worse. It is part of what
# passes from a publish until it is seen.
HELD_SECONDS = 0.05
# Behind, more events make a page: beyond this a page costs as much by the event, and is seen later.
PAGE_EVENTS_MAX = 20_000
# What is read ahead while a page is written: events, and messages of the journal, each of which has at most a
# little more than 1 MiB. What is beyond stays with the journal, which sends no more than is taken.
AHEAD_EVENTS_MAX = PAGE_EVENTS_MAX
AHEAD_MESSAGES_MAX = 64


@dataclass(frozen=True, slots=True)
class Page:
    """What is projected in one transaction; no events where none came in time."""

    journal_id: str
    events: list[RecordedEvent]
    # The last position of the journal; None as long as the journal has said nothing.
    head: int | None


class Source:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._journal = JournalServiceStub(channel)

    async def pages(self, after: Position) -> AsyncGenerator[SubscribeResponse, None]:
        """Pages from after the position on, without end. Raises where a page does not follow the last."""
        stream = self._journal.Subscribe(SubscribeRequest(after=after))
        last = after.number
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS_MAX):
                    page = await stream.read()
                if page is grpc.aio.EOF:
                    raise Unavailable("a stream that goes on")
                for event in page.events:
                    last += 1
                    if event.position != last:
                        log.error("hole in the journal", got=event.position, want=last)
                        raise Corrupt(str(last), field="position", got=str(event.position))
                yield page
        finally:
            stream.cancel()

    @contextlib.asynccontextmanager
    async def follow(self, after: Position) -> AsyncIterator["Feed"]:
        """What comes after the position, read ahead for as long as the block lasts."""
        feed = Feed(after)
        reading = asyncio.create_task(feed.read(self.pages(after)), name="read the journal ahead")
        try:
            yield feed
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def head(self) -> GetHeadResponse:
        """Where the journal ends, and its clock at that moment."""
        answer: GetHeadResponse = await self._journal.GetHead(
            GetHeadRequest(), timeout=HEAD_DEADLINE_SECONDS
        )
        return answer


class Feed:
    """Events that came ahead of the projection, handed out in pages that suit its pace.

    A page has what came within HELD_SECONDS of its first event. Caught up, that is little and soon; behind,
    it is what was read ahead while the page before was written, up to a bound.
    """

    def __init__(self, after: Position) -> None:
        # The last position that was handed out.
        self.after = after.number
        self._journal_id = after.journal_id
        self._head: int | None = None
        self._events: list[RecordedEvent] = []
        self._messages = 0
        self._first_came_at = 0.0
        self._failure: Exception | None = None
        self._came = asyncio.Event()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    async def read(self, pages: AsyncGenerator[SubscribeResponse, None]) -> None:
        """Fills the feed until it is cancelled or the stream fails, which `page` tells when all is taken."""
        try:
            async with contextlib.aclosing(pages) as messages:
                async for message in messages:
                    self._take(message)
                    await self._room.wait()
        except Exception as error:
            self._failure = error
            self._came.set()
            self._filled.set()

    async def page(self, *, events_max: int, within_seconds: float) -> Page:
        """The next events, at most so many; none where none come in time. Raises what ended the stream."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._came.wait()
        if self._events:
            held_until = self._first_came_at + HELD_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(held_until):
                    await self._filled.wait()
        elif self._failure is not None:
            raise self._failure
        return Page(self._journal_id, self._hand_out(events_max), self._head)

    def _take(self, message: SubscribeResponse) -> None:
        self._journal_id = message.journal_id
        self._head = message.head
        if message.events:
            if not self._events:
                self._first_came_at = asyncio.get_running_loop().time()
            self._events += message.events
            self._messages += 1
            self._came.set()
        self._note_room()

    def _hand_out(self, events_max: int) -> list[RecordedEvent]:
        handed, self._events = self._events[:events_max], self._events[events_max:]
        if handed:
            self.after = handed[-1].position
        if not self._events:
            self._messages = 0
            if self._failure is None:
                self._came.clear()
        self._note_room()
        return handed

    def _note_room(self) -> None:
        full = len(self._events) >= AHEAD_EVENTS_MAX or self._messages >= AHEAD_MESSAGES_MAX
        if full:
            self._room.clear()
            self._filled.set()
        else:
            self._room.set()
            if self._failure is None:
                self._filled.clear()
