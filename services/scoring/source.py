"""The journal as the projector reads it: page after page, in order, without a hole."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import structlog

from services.chassis.errors import Corrupt, Unavailable
from touchledger.v1.journal_pb2 import (
    GetHeadRequest,
    GetHeadResponse,
    Position,
    SubscribeRequest,
    SubscribeResponse,
)
from touchledger.v1.journal_pb2_grpc import JournalServiceStub

log = structlog.get_logger()

# The journal sends at least an empty page every 5 seconds; a stream silent for longer is dead.
SILENCE_SECONDS_MAX = 15.0
HEAD_DEADLINE_SECONDS = 2.0


class Source:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._journal = JournalServiceStub(channel)

    async def pages(self, after: Position) -> AsyncIterator[SubscribeResponse]:
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

    async def head(self) -> GetHeadResponse:
        """Where the journal ends, and its clock at that moment."""
        answer: GetHeadResponse = await self._journal.GetHead(
            GetHeadRequest(), timeout=HEAD_DEADLINE_SECONDS
        )
        return answer
