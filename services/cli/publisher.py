"""Publishes any number of events in bounded batches, repeats what is not known to be stored, and counts.

Repeating is safe: an event that is stored already is answered DUPLICATE. Where the events come from, and
how progress is shown and kept, is the caller's.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice

import grpc
from google.protobuf import timestamp_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.chassis import clock
from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc, problem_pb2

Metadata = Sequence[tuple[str, str]]

SETTLED = frozenset(
    {
        ingest_pb2.DISPOSITION_RECORDED,
        ingest_pb2.DISPOSITION_QUEUED,
        ingest_pb2.DISPOSITION_DUPLICATE,
        ingest_pb2.DISPOSITION_QUARANTINED,
        ingest_pb2.DISPOSITION_REJECTED,
    }
)
REFUSED = frozenset({ingest_pb2.DISPOSITION_QUARANTINED, ingest_pb2.DISPOSITION_REJECTED})

# It is not known whether anything is stored, or it is known that nothing is: send again. CANCELLED is what
# some proxies make of a server that goes away under a call.
REPEATABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much at once, and how long to go on."""

    # What the gateway takes in one call; see IngestService.PublishBatch.
    batch_events_max: int = 500
    # Below the 4 MiB of one call, so that framing and the attempt never push a batch over it.
    batch_bytes_max: int = 3 * 1024 * 1024
    # Hides the round trip and fills the recorder's group commit; more only makes queues longer.
    batches_in_flight_max: int = 4
    # One commit takes milliseconds; a call that takes this long has lost its server.
    call_seconds_max: float = 30.0
    # Without one event settled for this long, publishing gives up.
    stall_seconds_max: float = 60.0
    # The first wait before a repetition without a hint; doubled each time, with jitter.
    backoff_seconds: float = 0.1
    backoff_seconds_max: float = 5.0
    # How long a batch that is not full waits for more, where events come slowly.
    linger_seconds: float = 0.2
    # How many problems are kept to be shown; the rest is only counted.
    problems_max: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Clocks and chance, so that tests can set them."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], timestamp_pb2.Timestamp] = clock.now
    # From 0 to 1; spreads the repetitions of several clients.
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input: an event, or why it can't be read as one."""

    # Counted from 1. Lines without content are left out, so numbers may skip.
    number: int
    content: events_pb2.Event | problem_pb2.Problem
    # Where the input goes on behind it, in the caller's own measure (bytes, events).
    end: int = 0


@dataclass(frozen=True, slots=True)
class LineProblem:
    line: int
    # Empty when the line can't be read.
    event_id: str
    disposition: int
    problem: problem_pb2.Problem


@dataclass(slots=True)
class Tally:
    """What has become of the events so far."""

    # How many events of each disposition are settled.
    counts: Counter[int] = field(default_factory=Counter)
    # All lines up to this one are settled, whatever came after it: where to resume.
    settled_through: int = 0
    # Line.end of that line.
    settled_end: int = 0
    # The first problems, in the order of the lines.
    problems: list[LineProblem] = field(default_factory=list)

    @property
    def refused(self) -> int:
        return sum(self.counts[each] for each in REFUSED)


class Stopped(Exception):
    """Publishing could not go on. What is settled is settled; the rest can be published again.

    Raised itself when repeating would change nothing: a bad key, or another protocol.
    """


class Unreachable(Stopped):
    """For too long nothing was settled."""


async def publish_all(
    stub: ingest_pb2_grpc.IngestServiceStub,
    pages: AsyncIterable[Sequence[Line]],
    *,
    metadata: Metadata,
    tally: Tally | None = None,
    on_progress: Callable[[Tally], None] = lambda tally: None,
    limits: Limits | None = None,
    timing: Timing | None = None,
) -> Tally:
    """Publishes all lines; returns when every one is settled.

    Raises Stopped when it can't go on; `tally` (give one to keep it) then says how far it came.
    """
    tally = tally if tally is not None else Tally()
    run = _Run(stub, metadata, limits or Limits(), timing or Timing(), tally, on_progress)
    try:
        await run.publish(pages)
    except BaseExceptionGroup as group:
        raise _cause(group) from None
    return tally


async def publish_one(
    stub: ingest_pb2_grpc.IngestServiceStub,
    event: events_pb2.Event,
    *,
    metadata: Metadata,
    limits: Limits | None = None,
    timing: Timing | None = None,
) -> ingest_pb2.PublishResult:
    """Publishes one event, with the same repetitions. Raises Stopped."""
    run = _Run(stub, metadata, limits or Limits(), timing or Timing(), Tally(), lambda tally: None)
    results = await run.settle([event])
    return results[0]


async def pages_of(
    events: Iterable[events_pb2.Event], *, start: int = 0, page_events: int = 500
) -> AsyncIterator[list[Line]]:
    """Events made here, numbered from 1; those up to number `start` are left out."""
    numbered = enumerate(islice(events, start, None), start + 1)
    while page := [Line(number, event, number) for number, event in islice(numbered, page_events)]:
        yield page


@dataclass(slots=True)
class _Batch:
    lines: list[Line] = field(default_factory=list)
    bytes: int = 0
    done: bool = False
    problems: list[LineProblem] = field(default_factory=list)


class _Run:
    def __init__(
        self,
        stub: ingest_pb2_grpc.IngestServiceStub,
        metadata: Metadata,
        limits: Limits,
        timing: Timing,
        tally: Tally,
        on_progress: Callable[[Tally], None],
    ) -> None:
        self._stub = stub
        self._metadata = metadata
        self._limits = limits
        self._timing = timing
        self._tally = tally
        self._on_progress = on_progress
        # Batches in the order of their lines; the front one leaves when it is done.
        self._open: deque[_Batch] = deque()
        self._slots = asyncio.Semaphore(limits.batches_in_flight_max)
        self._progress_at = timing.monotonic()

    async def publish(self, pages: AsyncIterable[Sequence[Line]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            # The place is taken before a batch is read, so that no more is in memory than can be sent.
            await self._slots.acquire()
            async with aclosing(self._batches(pages)) as batches:
                async for batch in batches:
                    self._open.append(batch)
                    name = f"batch from {batch.lines[0].number}"
                    tasks.create_task(self._publish(batch), name=name)
                    await self._slots.acquire()

    async def _batches(self, pages: AsyncIterable[Sequence[Line]]) -> AsyncGenerator[_Batch, None]:
        """Full batches; and one that is not full when the input keeps it waiting, or has ended."""
        batch = _Batch()
        source = aiter(pages)
        coming: asyncio.Task[Sequence[Line] | None] | None = None
        try:
            while True:
                coming = coming or asyncio.create_task(_next(source), name="read")
                await asyncio.wait(
                    {coming}, timeout=self._limits.linger_seconds if batch.lines else None
                )
                if not coming.done():
                    yield batch
                    batch = _Batch()
                    continue
                page, coming = coming.result(), None
                if page is None:
                    break
                for line in page:
                    size = _size(line)
                    if len(batch.lines) >= self._limits.batch_events_max or (
                        batch.lines and batch.bytes + size > self._limits.batch_bytes_max
                    ):
                        yield batch
                        batch = _Batch()
                    batch.lines.append(line)
                    batch.bytes += size
            if batch.lines:
                yield batch
        finally:
            if coming is not None and not coming.done():
                coming.cancel()
                await asyncio.wait({coming})

    async def _publish(self, batch: _Batch) -> None:
        events = [
            line.content for line in batch.lines if isinstance(line.content, events_pb2.Event)
        ]
        settled = iter(await self.settle(events))
        for line in batch.lines:
            if isinstance(line.content, problem_pb2.Problem):
                event_id, result = "", _rejected(line.content)
            else:
                event_id, result = line.content.event_id, next(settled)
            self._tally.counts[result.disposition] += 1
            if result.disposition in REFUSED:
                batch.problems.append(
                    LineProblem(line.number, event_id, result.disposition, result.problem)
                )
        batch.done = True
        # Only what has nothing unsettled before it counts: a resume starts behind it.
        while self._open and self._open[0].done:
            first = self._open.popleft()
            self._tally.settled_through = first.lines[-1].number
            self._tally.settled_end = first.lines[-1].end
            room = self._limits.problems_max - len(self._tally.problems)
            self._tally.problems += first.problems[: max(room, 0)]
        self._slots.release()
        self._on_progress(self._tally)

    async def settle(self, events: Sequence[events_pb2.Event]) -> list[ingest_pb2.PublishResult]:
        """What became of each event, none of it RETRY. Raises Stopped."""
        results: list[ingest_pb2.PublishResult] = [
            _too_large(event, self._limits)
            if event.ByteSize() > self._limits.batch_bytes_max
            else ingest_pb2.PublishResult()
            for event in events
        ]
        since = self._timing.monotonic()
        failures = 0
        while waiting := [i for i, each in enumerate(results) if each.disposition not in SETTLED]:
            stalled = self._timing.monotonic() - max(since, self._progress_at)
            left = self._limits.stall_seconds_max - stalled
            answers, trouble = await self._send([events[i] for i in waiting], left)
            for i, answer in zip(waiting, answers, strict=False):
                results[i] = answer
            if any(each.disposition in SETTLED for each in answers):
                self._progress_at = self._timing.monotonic()
                failures = 0
            if trouble is not None:
                failures += 1
                await self._pause(trouble, since, failures)
        return results

    async def _send(
        self, events: Sequence[events_pb2.Event], seconds_left: float
    ) -> tuple[Sequence[ingest_pb2.PublishResult], "_Trouble | None"]:
        """One call. Trouble is what makes it worth another one, and how long to wait before that."""
        request = ingest_pb2.PublishBatchRequest(
            events=events, attempt=ingest_pb2.Attempt(sent_at=self._timing.now())
        )
        try:
            response = await self._stub.PublishBatch(
                request,
                metadata=self._metadata,
                timeout=max(0.001, min(self._limits.call_seconds_max, seconds_left)),
            )
        except grpc.aio.AioRpcError as error:
            told = f"{error.code().name}: {error.details()}"
            if error.code() not in REPEATABLE:
                raise Stopped(told) from error
            return [], _Trouble(told, _hint(error))
        results = response.results
        if len(results) != len(events):
            raise Stopped(f"got {len(results)} results for {len(events)} events, want one for each")
        unsettled = [each for each in results if each.disposition not in SETTLED]
        for each in unsettled:
            if each.disposition != ingest_pb2.DISPOSITION_RETRY:
                raise Stopped(
                    f"got the disposition {each.disposition}, want one that this version knows"
                )
        if not unsettled:
            return results, None
        hints = [each.problem.retry_after.ToNanoseconds() / 1e9 for each in unsettled]
        return results, _Trouble(f"RETRY: {unsettled[0].problem.want}", max(hints))

    async def _pause(self, trouble: "_Trouble", since: float, failures: int) -> None:
        """Waits before the next repetition, or gives up when that would be too late."""
        limits, timing = self._limits, self._timing
        # The exponent is bounded because 2.0**1024 is an OverflowError.
        backoff = limits.backoff_seconds * 2.0 ** min(failures - 1, 30)
        backoff = min(backoff, limits.backoff_seconds_max)
        if trouble.hint_seconds > 0:
            # Never before the hint; spread behind it, or all batches would come back at once.
            wait = trouble.hint_seconds + backoff * timing.chance()
        else:
            wait = backoff * (0.5 + timing.chance() / 2)
        stalled = timing.monotonic() - max(since, self._progress_at)
        if stalled + wait > limits.stall_seconds_max:
            raise Unreachable(
                f"nothing settled for {stalled:.0f} s and the next try due in {wait:.1f} s, "
                f"want progress within {limits.stall_seconds_max:g} s; last answer: {trouble.told}"
            )
        await timing.sleep(wait)


@dataclass(frozen=True, slots=True)
class _Trouble:
    told: str
    # 0 when the server did not say.
    hint_seconds: float


async def _next(source: AsyncIterator[Sequence[Line]]) -> Sequence[Line] | None:
    # A task can't end with StopAsyncIteration.
    return await anext(source, None)


def _size(line: Line) -> int:
    """Bytes in the request: the event, its tag and its length."""
    return line.content.ByteSize() + 6 if isinstance(line.content, events_pb2.Event) else 0


def _hint(error: grpc.aio.AioRpcError) -> float:
    """The wait that the server asks for in RetryInfo, in seconds; 0 when it does not."""
    try:
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                info = error_details_pb2.RetryInfo.FromString(detail.value)
                return float(info.retry_delay.ToNanoseconds() / 1e9)
    except (DecodeError, ValueError):
        # Something between here and the gateway garbled the details; the backoff does.
        pass
    return 0.0


def _rejected(problem: problem_pb2.Problem) -> ingest_pb2.PublishResult:
    return ingest_pb2.PublishResult(disposition=ingest_pb2.DISPOSITION_REJECTED, problem=problem)


def _too_large(event: events_pb2.Event, limits: Limits) -> ingest_pb2.PublishResult:
    # No call could carry it, and the server's transport would refuse its whole batch.
    return _rejected(
        problem_pb2.Problem(
            code="EVENT_TOO_LARGE",
            got=f"{event.ByteSize()} bytes",
            want=f"an event of at most {limits.batch_bytes_max} bytes",
        )
    )


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that stopped the run. Several batches fail alike when the system is gone."""
    flat: list[BaseException] = []
    rest: list[BaseException] = [group]
    while rest:
        each = rest.pop()
        if isinstance(each, BaseExceptionGroup):
            rest.extend(reversed(each.exceptions))
        else:
            flat.append(each)
    others = [each for each in flat if not isinstance(each, Stopped)]
    return others[0] if others else flat[0]
