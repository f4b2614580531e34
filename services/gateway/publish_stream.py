"""One PublishStream call: takes batches while others are being stored, answers them in their order.

What becomes of a batch is its servicer's; here are sequences, credits, and what the call may hold.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc

from services.chassis.errors import Malformed
from services.gateway.later_outcomes import LaterOutcomes
from services.gateway.streams import SLOW_READER_SECONDS, send
from touchledger.v1.ingest_pb2 import PublishStreamRequest, PublishStreamResponse

# A batch commits in some 10 ms: 8 keep a client with 100 ms of round trip at 80 batches a second.
CREDITS = 8
# Beyond it no further batch is read until one is answered, however many credits there are.
BYTES_IN_FLIGHT_MAX = 8 * 1024 * 1024

Publish = Callable[[PublishStreamRequest], Awaitable[PublishStreamResponse]]


class PublishStream:
    def __init__(
        self,
        context: grpc.aio.ServicerContext,
        publish: Publish,
        later: LaterOutcomes | None = None,
    ) -> None:
        """`publish` answers a batch; what it raises ends the call. `later`: what is told besides answers."""
        self._context = context
        self._publish = publish
        self._later = later
        # One answer at a time.
        self._writing = asyncio.Lock()
        self._sequence = 0
        self._credits = CREDITS
        # In the order of their sequences; None is the end. The credits bound it.
        self._in_flight = asyncio.Queue[asyncio.Task[PublishStreamResponse] | None](CREDITS + 1)
        self._bytes_in_flight = 0
        self._answered = asyncio.Event()

    async def run(self, requests: AsyncIterator[PublishStreamRequest]) -> None:
        """Until the client half-closes or `requests` raises; either way what was read is answered first."""
        reading = asyncio.create_task(self._read(requests), name="read batches")
        under_way = list[asyncio.Task[PublishStreamResponse]]()
        telling = asyncio.create_task(self._tell_later(), name="tell outcomes")
        try:
            await self._send(PublishStreamResponse(credits=CREDITS))
            while publishing := await self._in_flight.get():
                under_way.append(publishing)
                answer = await publishing
                under_way.clear()
                self._credits += answer.credits
                await self._send(answer)
                if self._later is not None:
                    self._later.answered(answer.sequence)
            await reading
            if self._later is not None:
                self._later.end()
            await telling
        except grpc.aio.InternalError:
            # The transport's word for a connection that has ended under a write: nobody is there any more.
            return
        finally:
            telling.cancel()
            reading.cancel()
            await asyncio.wait([reading, telling])
            while not self._in_flight.empty():
                if publishing := self._in_flight.get_nowait():
                    under_way.append(publishing)
            for each in under_way:
                each.cancel()
            await asyncio.gather(reading, telling, *under_way, return_exceptions=True)

    async def _tell_later(self) -> None:
        if self._later is not None:
            await self._later.run(self._send)

    async def _read(self, requests: AsyncIterator[PublishStreamRequest]) -> None:
        try:
            async for request in requests:
                self._take(request)
                while self._bytes_in_flight > BYTES_IN_FLIGHT_MAX:
                    self._answered.clear()
                    await self._answered.wait()
        finally:
            self._in_flight.put_nowait(None)

    def _take(self, request: PublishStreamRequest) -> None:
        self._sequence += 1
        if request.sequence != self._sequence:
            raise Malformed(f"{self._sequence}", field="sequence", got=f"{request.sequence}")
        if not self._credits:
            raise Malformed("a credit for each batch", code="NO_CREDIT", field="sequence")
        self._credits -= 1
        size = request.ByteSize()
        self._bytes_in_flight += size
        publishing = asyncio.create_task(self._answer(request, size), name="publish batch")
        self._in_flight.put_nowait(publishing)

    async def _answer(self, request: PublishStreamRequest, size: int) -> PublishStreamResponse:
        try:
            return await self._publish(request)
        finally:
            self._bytes_in_flight -= size
            self._answered.set()

    async def _send(self, answer: PublishStreamResponse) -> None:
        async with self._writing:
            await send(self._context, answer, seconds_max=SLOW_READER_SECONDS)
