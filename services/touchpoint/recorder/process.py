"""Records what gateways have queued: reads it from the stream, appends it, and takes away what is recorded.

A batch leaves the stream only after the journal, or the table of what it refused, has each of its events
durably. Whatever happens in between is done again, and the journal takes each event once.
"""

import asyncio
import os
import socket
import weakref
from collections.abc import Iterable
from uuid import uuid4

import asyncpg
import structlog
from nats.aio.msg import Msg
from opentelemetry import metrics

from services.chassis import telemetry
from services.chassis.buffer import QUEUED, ApiError, Link, Shape, subjects_of
from services.chassis.errors import DATABASE_AWAY, ServiceError, place_of
from services.chassis.postgres import Pool
from services.touchpoint.journal import Journal
from services.touchpoint.recorder.partitions import TURN_EVERY_SECONDS, Partitions
from services.touchpoint.recorder.store import Store
from services.touchpoint.recorder.stream import Page, Stream
from services.touchpoint.settings import Settings

log = structlog.get_logger()

# How soon what is queued is recorded where the hint of it was lost.
LOOK_EVERY_SECONDS = 0.5
# After an error, most likely of a database or a buffer that is away.
RETRY_SECONDS = 0.5
# Where a partition has more than a page holds, tenants take turns: so many of them share a commit, each with
# as much as a page holds. So a tenant waits for one commit for each so many tenants, however much they have.
TENANTS_AT_ONCE = 8
SWEEP_EVERY_SECONDS = 600.0
# Releasing what this process has, at its end.
LEAVE_SECONDS_MAX = 2.0

recorded = telemetry.meter.create_counter(
    "touchledger.buffer.recorded", unit="{event}", description="Events recorded from the buffer."
)
again = telemetry.meter.create_counter(
    "touchledger.buffer.again",
    unit="{event}",
    description="Events from the buffer that were recorded already: read again, or published again.",
)


class Recorder:
    def __init__(
        self,
        link: Link,
        stream: Stream,
        partitions: Partitions,
        store: Store,
        *,
        stopping: asyncio.Event,
    ) -> None:
        self._link = link
        self._stream = stream
        self._partitions = partitions
        self._store = store
        self._stopping = stopping
        # Set for a partition when it has something new.
        self._hints = dict[int, asyncio.Event]()
        # What records a partition, as long as this process has it.
        self._tasks = dict[int, asyncio.Task[None]]()
        self._swept_at = float("-inf")
        _recorders.add(self)

    @property
    def stream(self) -> Stream:
        return self._stream

    async def owners(self) -> list[asyncpg.Record]:
        return await self._partitions.owners()

    def owned(self) -> list[int]:
        return [*self._partitions.owned]

    @classmethod
    def configured(
        cls, journal: Journal, pool: Pool, settings: Settings, *, stopping: asyncio.Event
    ) -> "list[Recorder]":
        """None or one, as the settings say."""
        if not settings.buffer:
            return []
        link = Link(
            settings.buffer,
            name="touchpoint",
            ca_file=settings.tls_client_ca_file,
            cert_file=settings.tls_cert_file,
            key_file=settings.tls_key_file,
        )
        shape = Shape(
            replicas=settings.buffer_replicas,
            partitions=settings.buffer_partitions,
            bytes_max=settings.buffer_bytes_max,
            tenant_messages_max=settings.buffer_tenant_messages_max,
        )
        # Its start is in it, since a number of a process comes again.
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        return [
            cls(
                link,
                Stream(link, shape, change=settings.buffer_change),
                Partitions(pool, owner=owner, count=settings.buffer_partitions),
                Store(journal),
                stopping=stopping,
            )
        ]

    async def run(self) -> None:
        """Until the process is asked to stop, or cancelled."""
        self._link.hear(f"{QUEUED}.*", self._hint)
        connecting = asyncio.create_task(self._link.run(), name="connect to the buffer")
        try:
            await self._run()
        finally:
            connecting.cancel()
            await asyncio.wait([connecting])

    async def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                await self._turn()
                try:
                    async with asyncio.timeout(TURN_EVERY_SECONDS):
                        await self._stopping.wait()
                except TimeoutError:
                    pass
        finally:
            await self._leave()

    async def _turn(self) -> None:
        try:
            await self._stream.keep()
            surplus = await self._partitions.turn()
            await self._sweep()
        # Whatever it is, such as a database that is a standby now, it is no reason to stop appending.
        except Exception as error:
            log.warning("recorder waits", error=type(error).__name__, where=place_of(error))
            return
        # What such a task has in hand, whoever has its partition next records again.
        for partition in [*self._tasks]:
            if partition in surplus or partition not in self._partitions.owned:
                task = self._tasks.pop(partition)
                task.cancel()
                await asyncio.wait([task])
        if surplus:
            await self._partitions.release(surplus)
        for partition in self._partitions.owned:
            if partition not in self._tasks:
                self._tasks[partition] = asyncio.create_task(
                    self._record(partition), name=f"record partition {partition}"
                )

    async def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._swept_at >= SWEEP_EVERY_SECONDS:
            self._swept_at = now
            await self._store.sweep()

    async def _leave(self) -> None:
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                await self._partitions.leave()
        except Exception as error:
            log.info("partitions expire", error=type(error).__name__)

    async def _hint(self, message: Msg) -> None:
        """Something was queued."""
        partition = message.subject.rpartition(".")[2]
        if partition.isdecimal() and (told := self._hints.get(int(partition))):
            told.set()

    async def _record(self, partition: int) -> None:
        """As long as this process has the partition."""
        told = self._hints[partition] = asyncio.Event()
        try:
            while True:
                pause = LOOK_EVERY_SECONDS
                told.clear()
                try:
                    if self._partitions.holds(partition) and await self._page(partition):
                        continue
                except (ServiceError, ApiError, *DATABASE_AWAY) as error:
                    log.warning("recorder waits", partition=partition, error=type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                # Whatever it is, the other partitions go on.
                except Exception as error:
                    log.error(
                        "recorder waits",
                        partition=partition,
                        error=type(error).__name__,
                        where=place_of(error),
                    )
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                try:
                    async with asyncio.timeout(pause):
                        await told.wait()
                except TimeoutError:
                    pass
        finally:
            del self._hints[partition]

    async def _page(self, partition: int) -> bool:
        """Whether there is more to record at once."""
        subjects = subjects_of(partition)
        page = await self._stream.read(subjects)
        if not page.batches:
            return False
        if page.more:
            await self._take_turns(subjects)
        else:
            await self._store_page(subjects, page)
        return True

    async def _take_turns(self, subjects: str) -> None:
        """Each tenant that has something queued gets a turn, some of them in each commit."""
        waiting = sorted(await self._stream.counts(subjects))
        for start in range(0, len(waiting), TENANTS_AT_ONCE):
            some = waiting[start : start + TENANTS_AT_ONCE]
            pages = await asyncio.gather(*(self._stream.read(each) for each in some))
            await asyncio.gather(
                *(self._store_page(each, page) for each, page in zip(some, pages, strict=True))
            )

    async def _store_page(self, subject: str, page: Page) -> None:
        if not page.batches:
            return
        counts = await self._store.store(page.batches)
        recorded.add(counts.recorded)
        again.add(counts.again)
        await self._stream.take_away(
            subject, up_to=page.batches[-1].sequence, generation=page.generation
        )


_recorders = weakref.WeakSet[Recorder]()
# Of the whole stream, so each recorder tells the same.
telemetry.sum_gauge(
    "touchledger.buffer.age",
    "s",
    "How long the first batch waits that is not recorded yet.",
    lambda: (each.stream.oldest_seconds() for each in _recorders),
)
telemetry.sum_gauge(
    "touchledger.buffer.batches",
    "{batch}",
    "Batches that are not recorded yet.",
    lambda: (each.stream.state.get("messages", 0) for each in _recorders),
)
telemetry.sum_gauge(
    "touchledger.buffer.size",
    "By",
    "Bytes of the batches that are not recorded yet.",
    lambda: (each.stream.state.get("bytes", 0) for each in _recorders),
)
telemetry.sum_gauge(
    "touchledger.buffer.lost",
    "{batch}",
    "Batches that were in a stream which was lost. Any other number than 0 is an alarm.",
    lambda: (each.stream.lost_batches for each in _recorders),
)


def _owned(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
    for recorder in _recorders:
        for partition in recorder.owned():
            yield metrics.Observation(1, {"partition": partition})


telemetry.meter.create_observable_gauge(
    "touchledger.buffer.owned",
    [_owned],
    unit="{partition}",
    description="1 for each partition that this process records.",
)
