"""`make bench/system`: from a publisher to a row in schema bi, beside what bounds it.

How it measures is told in bench/README.md.
"""

import argparse
import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from time import perf_counter

import grpc

from bench import command, report
from bench.command import count_of, say
from bench.contender import NotRun, Store
from bench.events import Event, made
from bench.place import Place
from bench.projecting import Samples, scoring
from bench.published import batch_as_protobuf
from bench.report import Goal
from bench.stores import gateway, jetstream, library_projection, raw_copy, umadb_server
from bench.system_goals import (
    BUFFERED,
    BUFFERED_TWO,
    DIRECT,
    DIRECT_TWO,
    JETSTREAM,
    LIBRARY,
    RAW_COPY,
    SPIKE,
    UMADB,
    Row,
    goals,
)
from touchledger.v1 import ingest_pb2

Opened = Callable[[Place], AbstractAsyncContextManager[Store]]

ROUNDS = 3
# Some ten seconds of the whole way.
EVENTS = 300_000
BATCH, AT_ONCE = 500, 8
# A spike is ten times what comes before and after it: as much as is acked when nothing else is done.
SPIKE_SECONDS, CALM_SECONDS, SPIKE_TIMES = 30.0, 5.0, 10
# Batches under way at once in it: what a hundred tills have.
SPIKE_AT_ONCE = 100
# What is acked so long after the end of the spike was in time: nobody acks in no time.
SPIKE_SLACK_SECONDS = 1.0
CALL_SECONDS_MAX = 30.0
RETRY_SECONDS = 0.5
DONE = (ingest_pb2.DISPOSITION_RECORDED, ingest_pb2.DISPOSITION_QUEUED)


@dataclass(slots=True)
class Figures:
    events: int = 0
    acked: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    to_raw: list[float] = field(default_factory=list)

    def row(self, load: str) -> Row:
        return Row(
            load=load,
            events=self.events,
            acked_per_second=round(median(self.acked)) if self.acked else None,
            visible_per_second=round(median(self.visible)) if self.visible else None,
            to_raw=round(median(self.to_raw), 3) if self.to_raw else None,
        )


class Publisher:
    """One client with a connection of its own. What it sends is prepared, and the answers are read after."""

    def __init__(self, to: gateway.Gateway) -> None:
        self._to = to
        self._channel = grpc.aio.insecure_channel(
            to.grpc_address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._publish = self._channel.unary_unary(gateway.PUBLISH_BATCH)
        self._answers = list[bytes]()

    async def publish(self, request: bytes) -> None:
        self._answers.append(await self._call(request))

    async def publish_until_acked(self, request: bytes) -> None:
        """As a source does that is told to come again."""
        while True:
            try:
                answer = await self._call(request)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (
                    grpc.StatusCode.UNAVAILABLE,
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                ):
                    raise
            else:
                if _dispositions(answer) <= {*DONE, ingest_pb2.DISPOSITION_DUPLICATE}:
                    return
            await asyncio.sleep(RETRY_SECONDS)

    async def _call(self, request: bytes) -> bytes:
        answer: bytes = await self._publish(
            request,
            metadata=(("authorization", f"Bearer {self._to.key}"),),
            timeout=CALL_SECONDS_MAX,
        )
        return answer

    async def close(self) -> None:
        await self._channel.close()
        for answer in self._answers:
            if not _dispositions(answer) <= set(DONE):
                raise RuntimeError("an event was neither recorded nor queued")


def _dispositions(answer: bytes) -> set[int]:
    response = ingest_pb2.PublishBatchResponse.FromString(answer)
    return {each.disposition for each in response.results}


class Bench:
    def __init__(self, here: Place, *, events: int, spike_seconds: float) -> None:
        self.figures = defaultdict[str, Figures](Figures)
        self.spike: Row | None = None
        self._here = here
        self._events = events
        self._spike_seconds = spike_seconds
        self._raw = list[float]()
        self._next_number = 0

    async def round(self) -> None:
        await self._store(RAW_COPY, raw_copy.opened, 1)
        await self._system(DIRECT, publishers=1)
        await self._system(DIRECT_TWO, publishers=2)
        await self._store(RAW_COPY, raw_copy.opened, 1)
        await self._store(JETSTREAM, jetstream.opened, AT_ONCE)
        await self._buffered(BUFFERED, publishers=1)
        await self._buffered(BUFFERED_TWO, publishers=2)
        await self._store(UMADB, partial(umadb_server.opened, tags=2), AT_ONCE)
        rate = await library_projection.whole_rate(self._here)
        self._note(LIBRARY, library_projection.EVENTS, rate, rate)
        await self._store(RAW_COPY, raw_copy.opened, 1)
        raw = median(self._raw)
        self._raw.clear()
        for load, figures in self.figures.items():
            rates = figures.visible or figures.acked
            if load != RAW_COPY:
                figures.to_raw.append(rates[-1] / raw)

    def _note(self, load: str, events: int, acked: float, visible: float | None = None) -> None:
        figures = self.figures[load]
        figures.events = events
        figures.acked.append(acked)
        if visible is not None:
            figures.visible.append(visible)
        told = "" if visible is None else f", {visible:,.0f} visible"
        say(f"  {load}: {acked:,.0f} events/s{told}")

    def _made(self, count: int) -> Iterator[list[Event]]:
        """New events in whole batches."""
        for _ in range(count // BATCH):
            yield made(range(self._next_number, self._next_number + BATCH))
            self._next_number += BATCH

    async def _store(self, load: str, opened: Opened, callers: int) -> None:
        try:
            async with opened(self._here) as store:
                run = await store.run([*self._made(self._events)], callers)
        except NotRun as reason:
            say(f"  {load}: {reason}")
            return
        rate = run.timing.appends * BATCH / run.timing.seconds
        if load == RAW_COPY:
            self._raw.append(rate)
        self._note(load, run.stored, rate)

    async def _buffered(self, load: str, *, publishers: int) -> None:
        try:
            async with jetstream.server(self._here) as buffer:
                await self._system(load, publishers=publishers, buffer=buffer)
        except NotRun as reason:
            say(f"  {load}: {reason}")

    async def _system(self, load: str, *, publishers: int, buffer: str = "") -> None:
        requests = [batch_as_protobuf(batch) for batch in self._made(self._events)]
        events = len(requests) * BATCH
        async with AsyncExitStack() as stack:
            ours = await stack.enter_async_context(gateway.opened(self._here, buffer=buffer))
            url = await stack.enter_async_context(scoring(self._here, ours.touchpoint))
            samples = await stack.enter_async_context(Samples(self._here, url).taken())
            senders = [Publisher(ours) for _ in range(publishers)]
            waiting = iter(requests)

            async def send(sender: Publisher) -> None:
                for request in waiting:
                    await sender.publish(request)

            began = perf_counter()
            async with asyncio.TaskGroup() as group:
                for sender in senders:
                    for _ in range(AT_ONCE):
                        group.create_task(send(sender))
            acked = perf_counter() - began
            # Positions are dense and nothing else is published.
            visible = await samples.reached(events) - began
            for sender in senders:
                await sender.close()
            if await ours.position() != events:
                raise RuntimeError(f"{load}: {events} published, {await ours.position()} recorded")
        self._note(load, events, events / acked, events / visible)

    async def measure_spike(self) -> None:
        """Of what was acked at full rate in the rounds before."""
        rates = self.figures[BUFFERED].acked
        if not rates:
            return
        rate = median(rates)
        phases = [
            (rate / SPIKE_TIMES, CALM_SECONDS),
            (rate, self._spike_seconds),
            (rate / SPIKE_TIMES, CALM_SECONDS),
        ]
        prepared = [
            [batch_as_protobuf(batch) for batch in self._made(int(pace * seconds))]
            for pace, seconds in phases
        ]
        events = sum(map(len, prepared)) * BATCH
        async with AsyncExitStack() as stack:
            buffer = await stack.enter_async_context(jetstream.server(self._here))
            ours = await stack.enter_async_context(gateway.opened(self._here, buffer=buffer))
            url = await stack.enter_async_context(scoring(self._here, ours.touchpoint))
            samples = await stack.enter_async_context(Samples(self._here, url).taken())
            sender = Publisher(ours)
            in_time = 0.0
            for (pace, seconds), requests in zip(phases, prepared, strict=True):
                share = await _paced(sender, requests, pace=pace, seconds=seconds)
                if pace == rate:
                    in_time = share
            sent_at = perf_counter()
            visible = await samples.reached(events) - sent_at
            recorded = await ours.position()
            await sender.close()
        say(f"  {SPIKE}: the last of {events:,} was visible {visible:.1f} s after the last ack")
        self.spike = Row(
            load=SPIKE,
            events=events,
            acked_per_second=round(rate * in_time),
            in_time=round(in_time, 3),
            recorded=round(recorded / events, 6),
        )


async def _paced(
    sender: Publisher, requests: Sequence[bytes], *, pace: float, seconds: float
) -> float:
    """Sends each when it is due, until all are acked; which share was acked in time."""
    began, acked = perf_counter(), list[float]()
    places = asyncio.Semaphore(SPIKE_AT_ONCE)

    async def send(request: bytes) -> None:
        await sender.publish_until_acked(request)
        acked.append(perf_counter() - began)
        places.release()

    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            await asyncio.sleep(max(0.0, began + number * BATCH / pace - perf_counter()))
            await places.acquire()
            group.create_task(send(request))
    return sum(each <= seconds + SPIKE_SLACK_SECONDS for each in acked) / len(requests)


async def measured(
    here: Place, *, rounds: int, events: int, spike_seconds: float
) -> tuple[list[Row], list[Goal]]:
    say(await here.prepare(share=min(events / EVENTS, 1.0)))
    bench = Bench(here, events=events, spike_seconds=spike_seconds)
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        await bench.round()
    await bench.measure_spike()
    rows = [figures.row(load) for load, figures in bench.figures.items()]
    rows += [bench.spike] if bench.spike else []
    return rows, goals(rows)


def rows_table(rows: Sequence[Row]) -> str:
    head = ("", "events", "acked/s", "visible/s", "to raw COPY")
    return report.table(head, [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.load,
        f"{row.events:,}",
        "" if row.acked_per_second is None else f"{row.acked_per_second:,}",
        "" if row.visible_per_second is None else f"{row.visible_per_second:,}",
        "" if row.to_raw is None else f"{row.to_raw:.3f}",
    )


def main() -> None:
    options = _options()
    command.run(
        options,
        lambda here: measured(
            here,
            rounds=options.rounds,
            events=options.events,
            spike_seconds=options.spike_seconds,
        ),
        rows_table,
    )


def _options() -> argparse.Namespace:
    given = command.parser("bench/system", __doc__)
    given.add_argument("--rounds", type=count_of, default=ROUNDS, help="of which medians are shown")
    given.add_argument("--events", type=count_of, default=EVENTS, help="of a run")
    given.add_argument("--spike-seconds", type=float, default=SPIKE_SECONDS, help="how long it is")
    return given.parse_args()


if __name__ == "__main__":
    main()
