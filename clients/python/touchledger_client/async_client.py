"""For programs with an event loop: as client.py, with a task that publishes."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

import grpc

from touchledger.v1 import events_pb2, ingest_pb2_grpc
from touchledger_client.client import CLOSE_FLUSH_SECONDS, IDLE_SECONDS_MAX
from touchledger_client.delivery import Delivery, Next, Pace, Result, Status
from touchledger_client.gateway import Gateway
from touchledger_client.spool import Rejected, Spool, SpoolError, SpoolLimits

log = logging.getLogger("touchledger_client")

Given = ParamSpec("Given")
Found = TypeVar("Found")


class AsyncClient:
    """One for each spool file; `async with`, or `open` and `close`. Its methods may raise SpoolError.

    on_result is called as in Client, by the event loop.
    """

    def __init__(
        self,
        gateway: Gateway,
        spool: str | os.PathLike[str],
        *,
        limits: SpoolLimits | None = None,
        pace: Pace | None = None,
        on_result: Callable[[Result], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives the seconds after 1970."""
        self._gateway = gateway
        self._path = spool
        self._limits = limits
        self._pace = pace
        self._on_result = on_result
        self._clock = clock
        # One thread waits for the disk, so that events are kept in the order of the calls.
        self._disk = ThreadPoolExecutor(1, "touchledger-spool")
        # What the sender is to know; set, and then told by _nudged.
        self._fresh = False
        self._urged = False
        self._stopping = False
        self._nudged = asyncio.Event()
        # Set and replaced each time results are told.
        self._told = asyncio.Event()
        self._call: grpc.aio.UnaryUnaryCall | None = None

    async def open(self) -> None:
        """Raises SpoolInUse, SpoolCorrupt, or SpoolError."""
        try:
            self._spool = await self._on_disk(
                lambda: Spool(self._path, limits=self._limits, clock=self._clock)
            )
        except BaseException:
            self._disk.shutdown(wait=False)
            raise
        self._delivery = Delivery(self._spool, pace=self._pace, clock=self._clock)
        self._sender = asyncio.create_task(self._send(), name="touchledger-sender")

    async def record(self, event: events_pb2.Event) -> str:
        """Returns the event's id once it is kept durably on this machine, without a word to the network.

        Where the caller is cancelled meanwhile, it may be kept all the same.
        """
        [event_id] = await self.record_all([event])
        return event_id

    async def record_all(self, events: Sequence[events_pb2.Event]) -> list[str]:
        """Several events for one wait for the disk: all of them are kept, or none."""
        event_ids = await self._on_disk(self._spool.add, events)
        self._fresh = True
        self._nudged.set()
        return event_ids

    async def flush(self, timeout_seconds: float) -> bool:
        """Waits until all that was recorded before is settled and told; False when that takes longer.

        Cuts a pause between two attempts short, unless the gateway has asked for it.
        """
        last = await self._on_disk(self._spool.last_number)
        self._urged = True
        self._nudged.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not self._stopping:
                    told = self._told
                    if await self._is_told(last):
                        return True
                    await told.wait()
        return await self._is_told(last)

    async def status(self) -> Status:
        return await self._on_disk(self._delivery.status)

    async def rejected(self, events_max: int = 100) -> list[Rejected]:
        """The oldest rejected events that are kept, with the reason for each."""
        return await self._on_disk(self._spool.rejected, events_max)

    async def forget_rejected(self, numbers: Sequence[int]) -> None:
        """Those that somebody has looked at."""
        await self._on_disk(self._spool.forget_rejected, numbers)

    async def close(self, flush_seconds: float = CLOSE_FLUSH_SECONDS) -> None:
        """Goes on publishing for at most that long, then ends. What is left waits for the next start."""
        if self._stopping:
            return
        try:
            await self.flush(flush_seconds)
        finally:
            self._stopping = True
            self._nudged.set()
            self._told.set()
            if self._call is not None:
                self._call.cancel()
            await asyncio.wait({self._sender})
            await self._on_disk(self._spool.close)
            self._disk.shutdown()
            # What ended it before its time, if anything did.
            self._sender.result()

    async def __aenter__(self) -> "AsyncClient":
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _send(self) -> None:
        while not self._stopping:
            async with self._gateway.aio_channel() as channel:
                await self._send_on(ingest_pb2_grpc.IngestServiceStub(channel))

    async def _send_on(self, stub: ingest_pb2_grpc.IngestServiceStub) -> None:
        """Until the connection seems broken, or the end."""
        while not self._stopping:
            self._fresh = False
            try:
                done = await self._send_batch(stub)
            except SpoolError as error:
                done = self._delivery.disk_failed(error)
            if done is None:
                await self._wait(lambda: self._fresh, IDLE_SECONDS_MAX)
                continue
            self._tell(done.results)
            await self._pause(done)
            if done.reconnect:
                return

    async def _send_batch(self, stub: ingest_pb2_grpc.IngestServiceStub) -> Next | None:
        """None when nothing waits."""
        batch = await self._on_disk(self._delivery.next_batch)
        if batch is None:
            return None
        if self._stopping:
            return Next([])
        self._call = stub.PublishBatch(
            self._delivery.request(batch),
            metadata=self._gateway.metadata,
            timeout=self._delivery.pace.call_seconds_max,
        )
        # Unlike the call itself, this raises nothing when `close` cancels it.
        if await self._call.code() is not grpc.StatusCode.OK and self._stopping:
            return Next([])
        try:
            answer = await self._call
        except grpc.aio.AioRpcError as error:
            return await self._on_disk(self._delivery.failed, batch, error)
        return await self._on_disk(self._delivery.answered, batch, answer)

    async def _pause(self, done: Next) -> None:
        await self._wait(lambda: self._urged and not done.wait_is_due, done.wait_seconds)
        self._urged = False

    async def _wait(self, until: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._stopping and not until():
                    self._nudged.clear()
                    await self._nudged.wait()

    async def _on_disk(
        self, work: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs
    ) -> Found:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._disk, lambda: work(*args, **kwargs))

    async def _is_told(self, number: int) -> bool:
        # The sender tells in the step that follows its own turn on the disk, which was before this one.
        return not await self._on_disk(self._spool.holds_up_to, number)

    def _tell(self, results: Sequence[Result]) -> None:
        if self._on_result is not None:
            for result in results:
                try:
                    self._on_result(result)
                except Exception as error:
                    # Theirs, not ours: the event is settled, and the others must not wait for it.
                    log.error("on_result raised %s", type(error).__name__)
        self._told.set()
        self._told = asyncio.Event()
