"""`make bench/gateway`: publishing through the gateway to the durable journal, beside what bounds it.

How it measures is told in bench/README.md.
"""

import argparse
import gc
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import fmean, median

from bench import command, report
from bench.command import count_of, say
from bench.contender import Store
from bench.events import Event, made
from bench.gateway_goals import (
    AT_ONCE,
    BIG_BATCH,
    GRPC,
    HTTP,
    INSERT_CONNECTIONS,
    NULL_GRPC,
    NULL_HTTP,
    NULL_WEBHOOK,
    RAW_COPY,
    RAW_INSERT,
    SINGLES_AT_ONCE,
    WEBHOOK,
    Row,
    goals,
)
from bench.place import Place
from bench.report import Goal
from bench.stores import gateway, null_servers, raw_copy, raw_insert, webhook
from bench.stores.gateway import Gateway, OverGrpc, OverHttp
from bench.stores.webhook import NullWebhook, Webhook

ROUNDS = 5
# Half a second of raw COPY.
EVENTS = 120_000
# What a run takes from the second round on.
RUN_SECONDS = 0.8
WARM_UP_EVENTS = 2000
# Deliveries of a round; each has as many sales as the largest batch has events.
WEBHOOKS = 10


@dataclass(frozen=True, slots=True)
class Load:
    """One line of the table, less its figures."""

    contender: str
    batch: int
    at_once: int

    def __str__(self) -> str:
        batch = f" of {self.batch}" if self.batch > 1 else ""
        return f"{self.contender}{batch} × {self.at_once}"


@dataclass(slots=True)
class Figures:
    """What the rounds gave."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    to_raw: list[float] = field(default_factory=list)
    to_null: list[float] = field(default_factory=list)
    raw: str = ""


# Size of the batches, how many at once, what bounds them, on how many connections, and the share of the
# events that is offered: slow ones are cut off by the clock anyway.
GROUPS = (
    (BIG_BATCH, AT_ONCE, RAW_COPY, 1, 1.0),
    (100, AT_ONCE, RAW_COPY, 1, 0.8),
    (1, 1, RAW_COPY, 1, 0.1),
    (1, SINGLES_AT_ONCE, RAW_INSERT, INSERT_CONNECTIONS, 0.2),
)


class Bench:
    """Rounds. In each one the services start with an empty journal."""

    def __init__(self, place: Place, events: int) -> None:
        self.figures = defaultdict[Load, Figures](Figures)
        self._place = place
        self._events = events
        self._stores = dict[str, Store]()
        self._next_number = 0

    async def round(self) -> None:
        self._next_number = 0
        async with AsyncExitStack() as stack:
            ours = await stack.enter_async_context(gateway.opened(self._place))
            enter = stack.enter_async_context
            null_http = await enter(null_servers.opened_http(self._place))
            self._stores = {
                RAW_COPY: await enter(raw_copy.opened(self._place)),
                RAW_INSERT: await enter(raw_insert.opened(self._place)),
                GRPC: OverGrpc(ours.grpc_address, ours.key, ours),
                HTTP: OverHttp(ours.http_address, ours.key, ours),
                NULL_GRPC: await enter(null_servers.opened_grpc(self._place)),
                NULL_HTTP: null_http,
                WEBHOOK: await Webhook.create(ours),
                NULL_WEBHOOK: NullWebhook(null_http),
            }
            for store in self._stores.values():
                await store.run(self._made(BIG_BATCH, WARM_UP_EVENTS), 1)
            # No checkpoint of the server falls into a round.
            async with self._place.connection() as admin:
                await admin.execute("CHECKPOINT")
            for batch, at_once, raw, connections, share in GROUPS:
                limit = Load(raw, batch, connections)
                await self._beside(limit, batch, at_once, int(self._events * share))
            await self._webhooks()

    async def _beside(self, limit: Load, batch: int, at_once: int, events: int) -> None:
        """Runs the limit before and after each of ours, so that no drift of the machine counts."""
        say(f"  {limit} and others")
        for_limit = self._made(batch, events)
        before = await self._run(limit, for_limit)
        for null, ours in ((NULL_GRPC, GRPC), (NULL_HTTP, HTTP)):
            loads = Load(null, batch, at_once), Load(ours, batch, at_once)
            null_rate, rate = [
                await self._run(load, self._made(batch, self._enough(load, events)))
                for load in loads
            ]
            after = await self._run(limit, for_limit)
            figures = self.figures[loads[1]]
            figures.to_null.append(rate / null_rate)
            figures.to_raw.append(rate / fmean((before, after)))
            figures.raw = str(limit)
            before = after

    async def _webhooks(self) -> None:
        """One after the other, as a till server sends them."""
        say("  webhooks")
        null, ours = Load(NULL_WEBHOOK, webhook.SALES, 1), Load(WEBHOOK, webhook.SALES, 1)
        null_rate, rate = [
            await self._run(load, self._made(webhook.SALES, WEBHOOKS * webhook.SALES))
            for load in (null, ours)
        ]
        self.figures[ours].to_null.append(rate / null_rate)

    def _enough(self, load: Load, events: int) -> int:
        """For a run of its length, by the rates of the rounds before; preparing more takes time, too."""
        rates = self.figures[load].rates
        if not rates:
            return events
        return min(events, int(max(rates) * RUN_SECONDS) + load.at_once * load.batch)

    async def _run(self, load: Load, batches: list[list[Event]]) -> float:
        """Events in a second."""
        figures = self.figures[load]
        is_ours = load.contender in (GRPC, HTTP, WEBHOOK)
        cpu_before = Gateway.cpu_seconds() if is_ours else 0.0
        run = await self._stores[load.contender].run(batches, load.at_once)
        done = run.timing.appends * load.batch
        if run.stored != done:
            raise RuntimeError(f"{load}: stored {run.stored} of {done} events")
        if is_ours:
            figures.cpu_us.append((Gateway.cpu_seconds() - cpu_before) / done * 1e6)
        figures.rates.append(done / run.timing.seconds)
        figures.latencies += run.timing.latencies
        return figures.rates[-1]

    def _made(self, batch: int, events: int) -> list[list[Event]]:
        """New events in whole batches."""
        count = max(events // batch, 1) * batch
        events_made = made(range(self._next_number, self._next_number + count))
        self._next_number += count
        return [events_made[start : start + batch] for start in range(0, count, batch)]


def _row(load: Load, figures: Figures) -> Row:
    latencies = sorted(figures.latencies)
    return Row(
        contender=load.contender,
        batch=load.batch,
        at_once=load.at_once,
        events_per_second=round(median(figures.rates)),
        slowest=round(min(figures.rates)),
        fastest=round(max(figures.rates)),
        p50_ms=round(latencies[len(latencies) // 2] * 1000, 2),
        p99_ms=round(latencies[len(latencies) * 99 // 100] * 1000, 2),
        to_raw=_median(figures.to_raw, 3),
        raw=figures.raw,
        to_null=_median(figures.to_null, 3),
        cpu_us_per_event=_median(figures.cpu_us, 1),
    )


def _median(values: Sequence[float], digits: int) -> float | None:
    return round(median(values), digits) if values else None


def rows_table(rows: Sequence[Row]) -> str:
    head = ("", "batch", "at once", "events/s", "slowest–fastest", "p50 ms", "p99 ms")
    ratios = ("gateway us", "to null", "to raw", "raw")
    return report.table((*head, *ratios), [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.contender,
        f"{row.batch}",
        f"{row.at_once}",
        f"{row.events_per_second:,}",
        f"{row.slowest:,}–{row.fastest:,}",
        f"{row.p50_ms:.2f}",
        f"{row.p99_ms:.2f}",
        "" if row.cpu_us_per_event is None else f"{row.cpu_us_per_event:.1f}",
        "" if row.to_null is None else f"{row.to_null:.3f}",
        "" if row.to_raw is None else f"{row.to_raw:.3f}",
        row.raw,
    )


async def measured(place: Place, *, rounds: int, events: int) -> tuple[list[Row], list[Goal]]:
    say(await place.prepare(share=min(events / EVENTS, 1.0)))
    bench = Bench(place, events)
    # Collected is within the runs (timing.py) and between the rounds.
    gc.disable()
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        await bench.round()
        gc.collect()
    rows = [_row(load, figures) for load, figures in bench.figures.items()]
    return rows, goals(rows)


def main() -> None:
    options = _options()
    command.run(
        options,
        lambda here: measured(here, rounds=options.rounds, events=options.events),
        rows_table,
    )


def _options() -> argparse.Namespace:
    given = command.parser("bench/gateway", __doc__)
    given.add_argument("--rounds", type=count_of, default=ROUNDS, help="of which medians are shown")
    given.add_argument("--events", type=count_of, default=EVENTS, help="that a run has at most")
    return given.parse_args()


if __name__ == "__main__":
    main()
