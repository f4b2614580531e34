"""`make bench/journal`: durable appends to the journal, to a raw PostgreSQL table and to other event stores.

How it measures is told in bench/README.md.
"""

import argparse
import gc
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import cast

from bench import command, report
from bench.command import count_of, say
from bench.contender import Contender, NotRun, Store
from bench.events import Event, made
from bench.journal_goals import (
    ALL_OLD,
    ALL_RECENT,
    AT_ONCE,
    BIG_BATCH,
    FEW_OLD,
    FEW_RECENT,
    NO_DUPLICATES,
    Row,
    goals,
)
from bench.place import Place
from bench.report import Goal
from bench.stores import (
    grpc_append,
    library_dcb,
    library_recorder,
    message_db,
    raw_copy,
    raw_insert,
    recorder,
    umadb_server,
)
from bench.stores.grpc_append import GrpcAppend

# A new contender is a file in bench/stores/ and a line here.
CONTENDERS = (
    recorder.CONTENDER,
    grpc_append.CONTENDER,
    library_recorder.CONTENDER,
    library_dcb.CONTENDER,
    *umadb_server.CONTENDERS,
    message_db.CONTENDER,
)
RAW_COPY, RAW_INSERT, GRPC = raw_copy.CONTENDER, raw_insert.CONTENDER, grpc_append.CONTENDER
# What fails here is a defect of ours; what fails elsewhere is a line of the table.
OURS = (RAW_COPY, RAW_INSERT, recorder.CONTENDER, GRPC)

ROUNDS = 5
# Half a second of the fastest contenders.
EVENTS = 120_000
# The part of them that is offered in appends of this size: slower ones are cut off by the clock anyway.
SHARES = {1: 0.1, 10: 0.3, 100: 0.8, BIG_BATCH: 1.0}
SINGLES_AT_ONCE = (16, 64)
# What a run of a load takes from the second round on; one that a goal is about takes its time.
ENOUGH_SECONDS = 0.35
GOAL_SECONDS = 0.8
WARM_UP_APPENDS = 20
# More commits than those that look every id up after a duplicate of the recent ids was none (appender.py).
SETTLING_APPENDS = 100
# Of the end of a run: the service knows them still, as it keeps 50,000 ids and more.
RECENT_EVENTS = 40_000
ONE_DUPLICATE_IN = 100

Batches = list[list[Event]]


@dataclass(frozen=True, slots=True)
class Load:
    """One line of the table, less its figures."""

    contender: Contender
    batch: int
    at_once: int
    duplicates: str = ""

    def __str__(self) -> str:
        words = [f"{self.contender.title}"]
        words += [f"of {self.batch}"] if self.batch > 1 else []
        words += [f"× {self.at_once}"] if self.at_once > 1 else []
        return " ".join([*words, self.duplicates]).rstrip()


@dataclass(slots=True)
class Figures:
    """What the rounds gave."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    ratio_to: str = ""
    not_run: str = ""


class Bench:
    """Rounds. In each one every contender starts with an empty store and is given the same events."""

    def __init__(self, place: Place, contenders: Sequence[Contender], events: int) -> None:
        self.figures = defaultdict[Load, Figures](Figures)
        self._place = place
        self._contenders = contenders
        self._events = events
        self._stores = dict[Contender, Store]()
        self._given_up = dict[Contender, str]()
        self._next_number = 0
        # What our service has stored in this round in big batches.
        self._stored_by_grpc = list[Event]()

    async def round(self) -> None:
        self._next_number = 0
        self._stored_by_grpc.clear()
        async with AsyncExitStack() as stack:
            for contender in (RAW_COPY, RAW_INSERT, *self._contenders):
                await self._open(contender, stack)
            # No checkpoint of the server falls into a round.
            async with self._place.connection() as admin:
                await admin.execute("CHECKPOINT")
            for batch, share in SHARES.items():
                await self._batches(batch, int(self._events * share))
            if GRPC in self._contenders:
                await self._duplicates(cast(GrpcAppend, self._stores[GRPC]))
            for at_once in SINGLES_AT_ONCE:
                await self._singles(at_once, int(self._events * SHARES[1]))

    async def _open(self, contender: Contender, stack: AsyncExitStack) -> None:
        if contender in self._given_up:
            return
        try:
            store = await stack.enter_async_context(contender.open(self._place))
        except NotRun as why:
            self._given_up[contender] = str(why)
            return
        self._stores[contender] = store
        await store.run(self._made(1, WARM_UP_APPENDS), 1)

    async def _batches(self, batch: int, events: int) -> None:
        many = batch == BIG_BATCH
        limit = Load(RAW_COPY, batch, 1)
        loads = [Load(each, batch, 1) for each in self._contenders]
        loads += [Load(each, batch, AT_ONCE) for each in (*self._contenders, RAW_COPY) if many]
        loads += [Load(RAW_INSERT, batch, 1)] if batch == 1 else []
        await self._beside(limit, loads, events, has_goals=many)

    async def _singles(self, at_once: int, events: int) -> None:
        limit = Load(RAW_INSERT, 1, SINGLES_AT_ONCE[0])
        loads = [Load(each, 1, at_once) for each in (*self._contenders, RAW_COPY, RAW_INSERT)]
        loads = [load for load in loads if load != limit]
        await self._beside(limit, loads, events, has_goals=at_once == SINGLES_AT_ONCE[-1])

    async def _beside(
        self, limit: Load, loads: Sequence[Load], events: int, *, has_goals: bool
    ) -> None:
        """Runs the limit before and after the loads, and takes their ratios to its mean.

        Where there are goals, also before and after each of ours, so that no drift of the machine counts.
        """
        say(f"  {limit} and others")
        for_limit = self._made(limit.batch, events)
        # The runs of one contender are of different events.
        prepared = {load.at_once: self._made(limit.batch, events) for load in loads}
        seconds = GOAL_SECONDS if has_goals else ENOUGH_SECONDS
        groups = [[load] for load in loads if has_goals and load.contender in OURS]
        groups.append([load for load in loads if [load] not in groups])
        before = await self._run(limit, for_limit)
        for group in groups:
            rates = dict[Load, float | None]()
            for load in group:
                batches = prepared[load.at_once]
                rates[load] = await self._run(load, batches[: self._appends(load, seconds)])
            after = await self._run(limit, for_limit)
            self._note_ratios(limit, (before, after), rates)
            before = after

    def _appends(self, load: Load, seconds: float) -> int | None:
        """For a run of this length, by the rates of the rounds before; preparing more takes time, too."""
        rates = self.figures[load].rates
        return int(max(rates) * seconds / load.batch) + load.at_once if rates else None

    async def _duplicates(self, grpc: GrpcAppend) -> None:
        """Beside the same appends without duplicates. Old ones are from before the service's start."""
        say("  duplicates")
        await grpc.restart()
        none = Load(GRPC, BIG_BATCH, AT_ONCE, NO_DUPLICATES)
        old = self._stored_by_grpc.copy()
        before, recent = await self._run_settled(grpc, none, self._made(BIG_BATCH, self._events))
        few = BIG_BATCH // ONE_DUPLICATE_IN
        for duplicates, in_each, is_old in (
            (FEW_RECENT, few, False),
            (ALL_RECENT, BIG_BATCH, False),
            (FEW_OLD, few, True),
            (ALL_OLD, BIG_BATCH, True),
        ):
            new = self._made(BIG_BATCH, self._events)
            if is_old:
                # Each once: the second time it is a recent one.
                repeated, old = old[: len(new) * in_each], old[len(new) * in_each :]
            else:
                repeated = _cycled(recent[-RECENT_EVENTS:], len(new) * in_each)
            load = Load(GRPC, BIG_BATCH, AT_ONCE, duplicates)
            rate, _ = await self._run_settled(grpc, load, _mixed(new, repeated, in_each), repeated)
            after, recent = await self._run_settled(grpc, none, self._made(BIG_BATCH, self._events))
            self._note_ratios(none, (before, after), {load: rate})
            before = after

    async def _run_settled(
        self, grpc: GrpcAppend, load: Load, batches: Batches, repeated: Iterable[Event] = ()
    ) -> tuple[float | None, list[Event]]:
        """Each run begins without the look-ups that old duplicates before have left behind."""
        await grpc.run(self._made(1, SETTLING_APPENDS), 1)
        appended = len(self._stored_by_grpc)
        rate = await self._run(load, batches, {event.id for event in repeated})
        return rate, self._stored_by_grpc[appended:]

    async def _run(
        self, load: Load, batches: Batches, repeated: frozenset[str] | set[str] = frozenset()
    ) -> float | None:
        """Events in a second; None if it was not run."""
        figures = self.figures[load]
        if load.contender in self._given_up:
            if not figures.rates:
                figures.not_run = self._given_up[load.contender]
            return None
        try:
            run = await self._stores[load.contender].run(batches, load.at_once)
        except Exception as error:
            if load.contender in OURS:
                raise
            why = str(error) if isinstance(error, NotRun) else f"{type(error).__name__}: {error}"
            self._given_up[load.contender] = figures.not_run = why
            return None
        done = [event for batch in batches[: run.timing.appends] for event in batch]
        new = sum(event.id not in repeated for event in done)
        if run.stored != new:
            raise RuntimeError(f"{load}: stored {run.stored} of {new} events")
        if load.contender is GRPC and load.batch == BIG_BATCH:
            self._stored_by_grpc += done
        rate = len(done) / run.timing.seconds
        figures.rates.append(rate)
        figures.latencies += run.timing.latencies
        return rate

    def _note_ratios(
        self,
        limit: Load,
        limits: tuple[float | None, float | None],
        rates: dict[Load, float | None],
    ) -> None:
        below = fmean(rate for rate in limits if rate)
        for load, rate in rates.items():
            if rate:
                self.figures[load].ratios.append(rate / below)
                self.figures[load].ratio_to = str(limit)

    def _made(self, batch: int, events: int) -> Batches:
        """New events in whole batches."""
        count = max(events // batch, 1) * batch
        events_made = made(range(self._next_number, self._next_number + count))
        self._next_number += count
        return [events_made[start : start + batch] for start in range(0, count, batch)]


def _cycled(events: Sequence[Event], count: int) -> list[Event]:
    return [events[index % len(events)] for index in range(count)]


def _mixed(new: Batches, repeated: Sequence[Event], in_each: int) -> Batches:
    """The batches with so many repeated events in each in places of new ones, as long as there are some."""
    mixed = list[list[Event]]()
    for batch in new[: len(repeated) // in_each]:
        start = len(mixed) * in_each
        changed = list(batch)
        changed[:: len(batch) // in_each] = repeated[start : start + in_each]
        mixed.append(changed)
    return mixed


def rows_of(figures: dict[Load, Figures]) -> list[Row]:
    """Those of one batch size and number at once together, otherwise in the order of their runs."""
    order = sorted(
        figures, key=lambda load: (load.at_once in SINGLES_AT_ONCE, load.batch, load.at_once)
    )
    return [_row(load, figures[load]) for load in order]


def _row(load: Load, figures: Figures) -> Row:
    if figures.not_run:
        return Row(
            contender=load.contender.title,
            batch=load.batch,
            at_once=load.at_once,
            duplicates=load.duplicates,
            not_run=figures.not_run,
        )
    latencies = sorted(figures.latencies)
    return Row(
        contender=load.contender.title,
        batch=load.batch,
        at_once=load.at_once,
        duplicates=load.duplicates,
        events_per_second=round(median(figures.rates)),
        slowest=round(min(figures.rates)),
        fastest=round(max(figures.rates)),
        p50_ms=round(latencies[len(latencies) // 2] * 1000, 2),
        p99_ms=round(latencies[len(latencies) * 99 // 100] * 1000, 2),
        ratio=round(median(figures.ratios), 3) if figures.ratios else None,
        ratio_to=figures.ratio_to,
    )


def rows_table(rows: Sequence[Row]) -> str:
    head = ("", "batch", "at once", "duplicates", "events/s", "slowest–fastest", "p50 ms", "p99 ms")
    return report.table((*head, "ratio", "to"), [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    load = (row.contender, f"{row.batch}", f"{row.at_once}", row.duplicates)
    if row.not_run:
        return (*load, "", "", "", "", "", f"not run: {row.not_run}")
    return (
        *load,
        f"{row.events_per_second:,}",
        f"{row.slowest:,}–{row.fastest:,}",
        f"{row.p50_ms:.2f}",
        f"{row.p99_ms:.2f}",
        "" if row.ratio is None else f"{row.ratio:.3f}",
        row.ratio_to,
    )


async def measured(
    place: Place, contenders: Sequence[Contender], *, rounds: int, events: int
) -> tuple[list[Row], list[Goal]]:
    say(await place.prepare(share=min(events / EVENTS, 1.0)))
    bench = Bench(place, contenders, events)
    # Collected is within the runs (timing.py) and between the rounds: making a million events is slow enough.
    gc.disable()
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        await bench.round()
        gc.collect()
    rows = rows_of(bench.figures)
    return rows, goals(rows)


def main() -> None:
    options = _options()
    command.run(
        options,
        lambda here: measured(here, options.only, rounds=options.rounds, events=options.events),
        rows_table,
    )


def _options() -> argparse.Namespace:
    names = {contender.name: contender for contender in CONTENDERS}

    def chosen(value: str) -> list[Contender]:
        wanted = value.split(",")
        if unknown := set(wanted) - names.keys() - {"raw"}:
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(unknown))}: want some of raw, {', '.join(names)}"
            )
        return [contender for name, contender in names.items() if name in wanted]

    given = command.parser("bench/journal", __doc__)
    given.add_argument("--rounds", type=count_of, default=ROUNDS, help="of which medians are shown")
    given.add_argument("--events", type=count_of, default=EVENTS, help="that a run has at most")
    given.add_argument(
        "--only",
        type=chosen,
        default=list(CONTENDERS),
        metavar="A,B",
        help=f"of {', '.join(names)}; the raw ones, which they are measured by, always run",
    )
    return given.parse_args()


if __name__ == "__main__":
    main()
