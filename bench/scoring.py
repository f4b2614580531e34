"""`make bench/scoring`: projecting the journal, beside what bounds it, and asking for scores.

How it measures is told in bench/README.md.
"""

import argparse
import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import grpc
from pydantic import SecretStr

from bench import command, report
from bench.command import count_of, say
from bench.events import ATTEMPT, Event, entries, made
from bench.place import Place, free_port
from bench.projecting import PROJECTION_SECONDS_MAX, Samples, scoring
from bench.published import batch_as_protobuf
from bench.questions import questions
from bench.report import Goal
from bench.running import STOP_SECONDS_MAX, started, until_ready
from bench.scoring_goals import (
    LIBRARY,
    PROJECTED,
    RAW_COPY,
    READING,
    REBUILD,
    RECORDED,
    SQL,
    VISIBLE,
    Row,
    goals,
)
from bench.stores import gateway, library_projection, raw_copy
from services.chassis.postgres import open_pool
from services.scoring.formulas import ROLLUPS, SUMMED, sums_of
from services.touchpoint.journal import Journal
from services.touchpoint.row import encode
from services.touchpoint.settings import Settings
from touchledger.v1 import ingest_pb2, journal_pb2
from touchledger.v1.journal_pb2_grpc import JournalServiceStub

ROUNDS = 3
EVENTS = 200_000
BATCH = 1000
APPENDS_AT_ONCE = 8
# Of the gateway: its own batches, as its bench has them.
PUBLISH_BATCH, PUBLISHES_AT_ONCE = 500, 8
# A quarter of a minute of the gateway's full rate: what the last page takes is no part of keeping up.
LIVE_EVENTS = 360_000
PACED_SECONDS = 8.0
# Of a rebuild, which takes seconds: to ask oftener would take a twentieth of the CPU off it.
REBUILD_POLL_SECONDS = 0.05
CALL_SECONDS_MAX = 30.0
# How many events the questions' facts are of.
QUESTION_MILLIONS = (1.0, 20.0)


@dataclass(slots=True)
class Figures:
    events: int = 0
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def row(self, load: str) -> Row:
        sorted_ms = sorted(1000 * each for each in self.latencies)
        return Row(
            load=load,
            events=self.events,
            events_per_second=round(median(self.rates)) if self.rates else None,
            p50_ms=round(sorted_ms[len(sorted_ms) // 2], 1) if sorted_ms else None,
            p99_ms=round(sorted_ms[len(sorted_ms) * 99 // 100], 1) if sorted_ms else None,
        )


class Bench:
    def __init__(self, here: Place, events: int) -> None:
        self.figures = defaultdict[str, Figures](Figures)
        self._here = here
        self._events = events

    async def round(self) -> None:
        await self._raw()
        async with self._here.journal("journal_of_scoring") as url:
            await self._fill(url)
            async with self._touchpoint(url) as address:
                await self._reading(address)
                await self._rebuild(address)
        self._note(LIBRARY, library_projection.EVENTS, await library_projection.rate(self._here))
        await self._raw()
        await self._live()

    def _note(self, load: str, events: int, rate: float) -> None:
        figures = self.figures[load]
        figures.events = events
        figures.rates.append(rate)
        say(f"  {load}: {rate:,.0f} events/s")

    def _made(self, batch: int, count: int, first: int = 0) -> list[list[Event]]:
        events = made(range(first, first + count))
        return [events[start : start + batch] for start in range(0, count, batch)]

    async def _raw(self) -> None:
        async with raw_copy.opened(self._here) as store:
            run = await store.run(self._made(BATCH, self._events), 1)
            self._note(RAW_COPY, run.stored, run.timing.appends * BATCH / run.timing.seconds)

    async def _fill(self, url: str) -> None:
        settings = Settings(database_url=SecretStr(url))
        async with open_pool(settings, name="bench", size_max=2, lock_timeout="5s") as pool:
            journal = await Journal.open(pool, stopping=asyncio.Event())
            for batch in self._made(BATCH, self._events):
                await journal.append(encode(ATTEMPT, entries(batch)))

    @asynccontextmanager
    async def _touchpoint(self, url: str) -> AsyncIterator[str]:
        address = f"127.0.0.1:{free_port()}"
        environment = {"DATABASE_URL": url, "LISTEN": address}
        service = started(self._here.folder, "touchpoint", environment)
        try:
            await until_ready(service)
            yield address
        finally:
            service.stop(STOP_SECONDS_MAX)

    async def _reading(self, address: str) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            stream = JournalServiceStub(channel).Subscribe(journal_pb2.SubscribeRequest())
            began, read = perf_counter(), 0
            async with asyncio.timeout(PROJECTION_SECONDS_MAX):
                while read < self._events:
                    read += len((await stream.read()).events)
            self._note(READING, read, read / (perf_counter() - began))
            stream.cancel()

    async def _rebuild(self, journal: str) -> None:
        async with AsyncExitStack() as stack:
            # The first pages may be projected before the tables can be asked: they are left out.
            url = await stack.enter_async_context(scoring(self._here, journal))
            asked = Samples(self._here, url, poll_seconds=REBUILD_POLL_SECONDS)
            samples = await stack.enter_async_context(asked.taken())
            ended = await samples.reached(self._events)
            began, first = samples.seen[0]
            if first > self._events / 2:
                raise RuntimeError(f"rebuild: seen from position {first} of {self._events} on")
            self._note(REBUILD, self._events - first, (self._events - first) / (ended - began))
            await self._sql(url)

    async def _sql(self, url: str) -> None:
        """What all rollups take when nothing but one statement per table and rollup has to be run."""
        async with self._here.connection(url) as connection:
            await connection.execute("SET search_path = bi, fold; SET jit = off")
            began = perf_counter()
            for table in SUMMED:
                for keys in ROLLUPS.values():
                    grouped = ", ".join(
                        ("tenant", *(each for each in keys.values() if each not in OF_OTHERS))
                    )
                    sums = ", ".join(sums_of(table).values())
                    # OFFSET 0 keeps PostgreSQL from leaving the sums out.
                    await connection.execute(
                        f"SELECT count(*) FROM (SELECT {grouped}, {sums} FROM {table} "  # noqa: S608  # literals
                        f"GROUP BY {grouped} OFFSET 0) AS summed"
                    )
            self._note(SQL, self._events, self._events / (perf_counter() - began))

    async def _live(self) -> None:
        async with gateway.opened(self._here) as ours, scoring(self._here, ours.touchpoint) as url:
            publisher = Publisher(ours)
            async with publisher.opened(), Samples(self._here, url).taken() as samples:
                rate = await self._at_full_rate(publisher, samples)
                await self._paced(publisher, samples, rate / 2)

    async def _at_full_rate(self, publisher: "Publisher", samples: Samples) -> float:
        batches = iter(self._made(PUBLISH_BATCH, LIVE_EVENTS))
        last = 0

        async def publish() -> None:
            nonlocal last
            for batch in batches:
                last = max(last, await publisher.publish(batch))

        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(PUBLISHES_AT_ONCE):
                group.create_task(publish())
        recorded = LIVE_EVENTS / (perf_counter() - began)
        self._note(RECORDED, LIVE_EVENTS, recorded)
        self._note(PROJECTED, LIVE_EVENTS, LIVE_EVENTS / (await samples.reached(last) - began))
        return recorded

    async def _paced(self, publisher: "Publisher", samples: Samples, rate: float) -> None:
        batches = self._made(PUBLISH_BATCH, int(rate * PACED_SECONDS), first=LIVE_EVENTS)
        began = perf_counter()

        async def publish(number: int, batch: Sequence[Event]) -> tuple[float, int]:
            at = began + number * PUBLISH_BATCH / rate
            await asyncio.sleep(max(0.0, at - perf_counter()))
            # From when it was due: a sender that is held up does not hide it.
            return at, await publisher.publish(batch)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(publish(*each)) for each in enumerate(batches)]
        published = [task.result() for task in tasks]
        figures = self.figures[VISIBLE]
        figures.events = len(batches) * PUBLISH_BATCH
        for at, position in published:
            figures.latencies.append(await samples.reached(position) - at)


# Columns of a fact's attributes: the statement of the limit reads the facts alone.
OF_OTHERS = ("staff_group", "generation")


class Publisher:
    def __init__(self, to: gateway.Gateway) -> None:
        self._to = to
        self._publish: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with grpc.aio.insecure_channel(self._to.grpc_address) as channel:
            self._publish = channel.unary_unary(gateway.PUBLISH_BATCH)
            yield

    async def publish(self, batch: Sequence[Event]) -> int:
        """The highest position of the batch."""
        assert self._publish is not None, "opened"
        answer = await self._publish(
            batch_as_protobuf(batch),
            metadata=(("authorization", f"Bearer {self._to.key}"),),
            timeout=CALL_SECONDS_MAX,
        )
        results = ingest_pb2.PublishBatchResponse.FromString(answer).results
        if any(each.disposition != ingest_pb2.DISPOSITION_RECORDED for each in results):
            raise RuntimeError("an event was not recorded")
        return max(each.position.number for each in results)


async def measured(
    here: Place, *, rounds: int, events: int, millions: Sequence[float]
) -> tuple[list[Row], list[Goal]]:
    say(await here.prepare(share=min(events / EVENTS, 1.0)))
    bench = Bench(here, events)
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        await bench.round()
    rows = [figures.row(load) for load, figures in bench.figures.items()]
    for each in millions:
        rows += await questions(here, each)
    return rows, goals(rows)


def rows_table(rows: Sequence[Row]) -> str:
    raw = next(row.events_per_second for row in rows if row.load == RAW_COPY)
    return report.table(
        ("", "events", "events/s", "p50 ms", "p99 ms", "to raw COPY"),
        [
            (
                row.load,
                f"{row.events:,}",
                "" if row.events_per_second is None else f"{row.events_per_second:,}",
                "" if row.p50_ms is None else f"{row.p50_ms:.1f}",
                "" if row.p99_ms is None else f"{row.p99_ms:.1f}",
                ""
                if row.events_per_second is None
                else f"{row.events_per_second / (raw or 1):.3f}",
            )
            for row in rows
        ],
    )


def main() -> None:
    options = _options()
    command.run(
        options,
        lambda here: measured(
            here, rounds=options.rounds, events=options.events, millions=options.millions
        ),
        rows_table,
    )


def _options() -> argparse.Namespace:
    given = command.parser("bench/scoring", __doc__)
    given.add_argument("--rounds", type=count_of, default=ROUNDS, help="of which medians are shown")
    given.add_argument("--events", type=count_of, default=EVENTS, help="of the journal")
    given.add_argument(
        "--millions", type=float, nargs="*", default=QUESTION_MILLIONS, help="of questions' facts"
    )
    return given.parse_args()


if __name__ == "__main__":
    main()
