"""`make bench/growth`: what an append and a read cost in a journal of 1, 10 and 50 million events.

Real: the server and its settings, the table with its indexes, durable commits, the touchpoint service's
Journal that appends, finds duplicates and reads, the ids. Simulated is what was stored before, since 50
million appends would take an hour: the server makes these rows itself, at dense positions and in their
order, with ids as the service derives them, states of the events' lengths that repeat, digests of the
number, and a row for every 1000 in journal.seals whose hashes are not those of the events. The indexes are
built afterwards; that of random ids is left as loose as it gets when it grows by insertion. Then come
VACUUM, CHECKPOINT and a warm-up, and no autovacuum falls into a run.
"""

import argparse
import asyncio
import hashlib
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from pydantic import SecretStr

from bench import command, report
from bench.command import say
from bench.events import (
    ATTEMPT,
    CUSTOMER,
    EVENT_ID,
    EVENTS_PER_MILLISECOND,
    SOURCE,
    START_MILLISECONDS,
    TEMPLATES,
    TENANT,
    entries,
    made,
)
from bench.growth_goals import APPEND, DUPLICATES, PAGES, PLAIN, STREAMS, UUID7, Row, goals
from bench.place import Place
from bench.report import Goal
from bench.timing import by_tasks
from services.chassis.postgres import open_pool
from services.touchpoint.__main__ import CONNECTIONS_MAX, LOCK_TIMEOUT
from services.touchpoint.appender import Outcome
from services.touchpoint.journal import Journal
from services.touchpoint.row import Entry, encode
from services.touchpoint.settings import Settings

if TYPE_CHECKING:
    import asyncpg

    Server = asyncpg.Connection[asyncpg.Record]

Work = TypeVar("Work")

MILLIONS = (1.0, 10.0, 50.0)
BATCH = 1000
AT_ONCE = 8
WARM_UP_EVENTS = 40_000
APPEND_EVENTS = 250_000
# Slow appends end here with fewer.
APPEND_SECONDS = 10.0
READ_SECONDS = 2.5
# The places take turns, so that what else the machine does in the meantime meets all of them.
READ_ROUNDS = 4
PAGES_A_ROUND = 100
STREAMS_READ = 20_000
DUPLICATE_EVENTS = 100_000
# Pieces of work made at a time: a run of bench/timing.py ends after 0.8 s.
BATCHES_A_RUN = 100
# A statement of the filling; a million rows take some 10 s.
FILL_ROWS = 1_000_000
FILL_SECONDS_MAX = 300.0
# 50 million random ids are sorted on disk.
INDEX_SECONDS_MAX = 1800.0
VACUUM_SECONDS_MAX = 1800.0
# The first appends of random ids read their pages of a key larger than the server's memory from the disk.
HANG_SECONDS = 300.0
# Measured: 610 bytes of heap and indexes; sorting takes the entries of an index once more.
DISK_BYTES_AN_EVENT = 700
# The log, of max_wal_size and what comes during a checkpoint.
DISK_BYTES_BESIDES = 6 * 1024**3
# What a B-tree that grows by random insertions settles at, log 2; one that grows at its end has 90 %.
RANDOM_FILL_PERCENT = 69

UNINDEX = """
ALTER TABLE journal.stored_events DROP CONSTRAINT stored_events_pkey;
DROP INDEX journal.stored_events_notification_id_idx;
ALTER TABLE journal.stored_events SET (autovacuum_enabled = false);
"""
# As in services/touchpoint/sql/0001_journal.sql; the fill is for what is there, not for what comes.
INDEX = """
SET maintenance_work_mem = '1GB';
ALTER TABLE journal.stored_events ADD CONSTRAINT stored_events_pkey
    PRIMARY KEY (originator_id, originator_version) WITH (fillfactor = {});
ALTER INDEX journal.stored_events_pkey RESET (fillfactor);
CREATE UNIQUE INDEX stored_events_notification_id_idx ON journal.stored_events (notification_id);
"""
# The number of an event is its position. OFFSET 0 keeps each expression from being computed where it is used.
FILL = """
INSERT INTO journal.stored_events
    (notification_id, recorded_at, tenant, source, received_at, sent_at, traceparent, originator_id,
     originator_version, topic, content_digest, state_digest, state)
SELECT number, $3::timestamptz + number / 1000 * interval '10 ms', $4, $5, $3, $3, $6,
       encode(set_byte(set_byte(id, 6, 128 | (get_byte(id, 6) & 15)), 8, 128 | (get_byte(id, 8) & 63)),
              'hex')::uuid,
       1, ($7::text[])[1 + number % $8], chance, chance, ($9::bytea[])[1 + number % $8]
  FROM (SELECT number, chance,
               CASE WHEN $10 THEN decode(time, 'hex') || substr(hashed, 7, 10)
                    ELSE substr(hashed, 1, 16) END AS id
          FROM (SELECT number, chance, time,
                       sha256($11::bytea || int4send(length(event_id)) || event_id::bytea) AS hashed
                  FROM (SELECT number, chance, time,
                               CASE WHEN $10 THEN
                                   substr(time, 1, 8) || '-' || substr(time, 9) || '-7'
                                   || substr(hex, 1, 3) || '-a' || substr(hex, 4, 3) || '-'
                                   || substr(hex, 7, 12)
                               ELSE 'receipt-' || number END AS event_id
                          FROM (SELECT number, chance, encode(chance, 'hex') AS hex,
                                       lpad(to_hex($12 + number / $13), 12, '0') AS time
                                  FROM (SELECT number, sha256(int8send(number)) AS chance
                                          FROM generate_series($1::bigint, $2::bigint) AS number
                                        OFFSET 0) AS numbered
                                OFFSET 0) AS timed
                        OFFSET 0) AS named
                OFFSET 0) AS hashed
        OFFSET 0) AS identified
"""
SEALS = """
INSERT INTO journal.seals (last_position, first_position, recorded_at, root, chain)
SELECT last, last - 999, recorded_at, sha256(int8send(last)), sha256(int8send(last))
  FROM generate_series(1000, $1::bigint, 1000) AS last,
       LATERAL (SELECT $2::timestamptz + last / 1000 * interval '10 ms') AS seal (recorded_at)
"""
HEAD = """
UPDATE journal.head
   SET position = $1, recorded_at = $2::timestamptz + $1::bigint / 1000 * interval '10 ms',
       chain = sha256(int8send($1::bigint))
"""
SIZES = """
SELECT pg_table_size('journal.stored_events') AS heap,
       pg_relation_size('journal.stored_events_pkey') AS key,
       pg_relation_size('journal.stored_events_notification_id_idx') AS positions
"""
LOG_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


@dataclass(frozen=True, slots=True)
class Size:
    ids: str
    events: int

    @property
    def millions(self) -> float:
        return self.events / 1e6

    def __str__(self) -> str:
        return f"{self.millions:g} million, {self.ids} ids"


@dataclass(frozen=True, slots=True)
class Taken:
    """What runs of one load took together."""

    events: int
    seconds: float
    latencies: list[float]

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(
            self.events + other.events,
            self.seconds + other.seconds,
            self.latencies + other.latencies,
        )


async def measured(here: Place, sizes: Sequence[Size]) -> tuple[list[Row], list[Goal]]:
    say(await here.prepare())
    rows = list[Row]()
    for size in sizes:
        began = perf_counter()
        async with here.journal("growth") as url:
            await fill(here, url, size)
            filled = perf_counter()
            of_size = await Loads(here, url, size).measured()
        # Said at once: what comes later takes long, and may not end.
        for row in of_size:
            say(f"  {row.load}: {row.events_per_second:,} events/s, p50 {row.p50_ms} ms")
        rows += of_size
        say(f"{size}: {filled - began:.0f} s to fill, {perf_counter() - filled:.0f} s to measure")
    rows = with_ratios(rows)
    return rows, goals(rows)


async def fill(here: Place, url: str, size: Size) -> None:
    async with here.connection(url) as server:
        await server.execute(UNINDEX)
        for first in range(1, size.events + 1, FILL_ROWS):
            last = min(first + FILL_ROWS - 1, size.events)
            await server.execute(
                FILL,
                first,
                last,
                ATTEMPT.received_at,
                TENANT,
                SOURCE,
                ATTEMPT.traceparent,
                [each.topic for each in TEMPLATES],
                len(TEMPLATES),
                [EVENT_ID.encode().join(_around(each.parts)) for each in TEMPLATES],
                size.ids == UUID7,
                b"".join(len(part).to_bytes(4, "big") + part.encode() for part in (TENANT, SOURCE)),
                START_MILLISECONDS,
                EVENTS_PER_MILLISECOND,
                timeout=FILL_SECONDS_MAX,
            )
            say(f"{size}: {last:,} rows")
        percent = 90 if size.ids == UUID7 else RANDOM_FILL_PERCENT
        say(f"{size}: indexes")
        await server.execute(INDEX.format(percent), timeout=INDEX_SECONDS_MAX)
        await server.execute(SEALS, size.events, ATTEMPT.received_at)
        await server.execute(HEAD, size.events, ATTEMPT.received_at)
        say(f"{size}: vacuum")
        for table in ("stored_events", "seals"):
            vacuum = f"VACUUM (FREEZE, ANALYZE) journal.{table}"
            await server.execute(vacuum, timeout=VACUUM_SECONDS_MAX)
        await server.execute("CHECKPOINT", timeout=FILL_SECONDS_MAX)


def _around(parts: tuple[bytes, bytes, bytes]) -> tuple[bytes, bytes]:
    """A template's state before and after its event id."""
    return parts[0], CUSTOMER.encode().join(parts[1:])


class Loads:
    """The loads on one journal, one after the other."""

    def __init__(self, here: Place, url: str, size: Size) -> None:
        self._here = here
        self._url = url
        self._size = size
        self._next_number = size.events + 1
        self._random = random.Random(size.events)  # noqa: S311 (the same places in every run)

    async def measured(self) -> list[Row]:
        async with self._here.connection(self._url) as server:
            async with self._journal() as journal:
                await self._append(journal, WARM_UP_EVENTS)
                before = await server.fetchval(LOG_POSITION)
                appended = await self._append(journal, APPEND_EVENTS)
                logged = await server.fetchval(LOG_POSITION) - before
            sizes = await server.fetchrow(SIZES)
            assert sizes is not None
            # A process that starts knows none of the ids.
            async with self._journal() as journal:
                taken = {APPEND: appended, DUPLICATES: await self._duplicates(journal)}
                taken[STREAMS] = await self._streams(journal)
                taken |= await self._pages(journal)
        megabytes = {name: round(size / 1e6) for name, size in sizes.items()}
        return [
            self._row(load, each, megabytes, logged if load == APPEND else None)
            for load, each in taken.items()
        ]

    @asynccontextmanager
    async def _journal(self) -> AsyncIterator[Journal]:
        async with open_pool(
            Settings(database_url=SecretStr(self._url)),
            name="bench",
            size_max=CONNECTIONS_MAX,
            lock_timeout=LOCK_TIMEOUT,
        ) as pool:
            yield await Journal.open(pool, stopping=asyncio.Event())

    async def _append(self, journal: Journal, events: int) -> Taken:
        async def append(batch: list[Entry]) -> None:
            results = await journal.append(encode(ATTEMPT, batch))
            if any(result.outcome is not Outcome.RECORDED for result in results):
                raise RuntimeError("a new event was not recorded")

        def made_for_a_run() -> Iterator[list[list[Entry]]]:
            left = events
            while left > 0:
                count = min(left, BATCH * BATCHES_A_RUN)
                numbers = range(self._next_number, self._next_number + count)
                self._next_number += count
                left -= count
                yield _batches(self._entries(numbers))

        before = await self._here.journal_position(self._url)
        taken = await _run(made_for_a_run(), [append] * AT_ONCE, BATCH, APPEND_SECONDS)
        stored = await self._here.journal_position(self._url) - before
        if stored != taken.events:
            raise RuntimeError(f"stored {stored} of {taken.events} events")
        return taken

    async def _duplicates(self, journal: Journal) -> Taken:
        """Of what was there before, each once: the second time it is a recent one."""
        numbers = self._old(DUPLICATE_EVENTS)

        async def append(repeated: tuple[list[int], list[Entry]]) -> None:
            positions, batch = repeated
            results = await journal.append(encode(ATTEMPT, batch))
            # Shows besides that the rows which the server made are those that the service would have stored.
            if results != [(Outcome.DUPLICATE, position) for position in positions]:
                raise RuntimeError("an old event was not found at its position")

        work = [(each, self._repeated(each)) for each in _batches(numbers)]
        return await _run([work], [append] * AT_ONCE, BATCH, READ_SECONDS)

    async def _streams(self, journal: Journal) -> Taken:
        async def read(stream: UUID) -> None:
            [_] = await journal.stream(stream)

        work = [UUID(bytes=each.originator_id) for each in self._entries(self._old(STREAMS_READ))]
        runs = (work[start : start + BATCH] for start in range(0, len(work), BATCH))
        return await _run(runs, [read] * AT_ONCE, 1, READ_SECONDS)

    async def _pages(self, journal: Journal) -> dict[str, Taken]:
        async def read(after: int) -> None:
            page = await journal.page(after)
            if len(page.events) != BATCH:
                raise RuntimeError(f"a page of {len(page.events)} events, want {BATCH}")

        taken = {load: Taken(0, 0.0, []) for load in PAGES}
        end, step = self._size.events, PAGES_A_ROUND * BATCH
        for number in range(READ_ROUNDS):
            # Each a little further on than in the round before; a short journal is read again.
            for load, first in zip(
                PAGES,
                (number * step, end // 2 + number * step, end - (number + 1) * step),
                strict=True,
            ):
                pages = [(first + page * BATCH) % end for page in range(PAGES_A_ROUND)]
                taken[load] += await _run([pages], [read], BATCH, READ_SECONDS)
        return taken

    def _old(self, count: int) -> list[int]:
        return self._random.sample(range(1, self._size.events + 1), min(count, self._size.events))

    def _entries(self, numbers: Iterable[int]) -> list[Entry]:
        numbers = list(numbers)
        events = made(numbers)
        if self._size.ids == PLAIN:
            events = [
                event._replace(id=f"receipt-{number}")
                for number, event in zip(numbers, events, strict=True)
            ]
        return entries(events)

    def _repeated(self, numbers: list[int]) -> list[Entry]:
        return [
            entry._replace(content_digest=hashlib.sha256(number.to_bytes(8, "big")).digest())
            for number, entry in zip(numbers, self._entries(numbers), strict=True)
        ]

    def _row(self, load: str, taken: Taken, megabytes: dict[str, int], logged: int | None) -> Row:
        latencies = sorted(taken.latencies)
        return Row(
            ids=self._size.ids,
            millions=self._size.millions,
            load=load,
            events_per_second=round(taken.events / taken.seconds),
            p50_ms=round(latencies[len(latencies) // 2] * 1000, 2),
            p99_ms=round(latencies[len(latencies) * 99 // 100] * 1000, 2),
            wal_bytes_an_event=None if logged is None else round(logged / taken.events),
            heap_mb=megabytes["heap"],
            key_mb=megabytes["key"],
            positions_mb=megabytes["positions"],
        )


async def _run(
    runs: Iterable[Sequence[Work]],
    callers: Sequence[Callable[[Work], Awaitable[object]]],
    events_each: int,
    seconds_max: float,
) -> Taken:
    """All of the work, or as much as fits; what a run does not get to is left out."""
    done, seconds, latencies = 0, 0.0, list[float]()
    for work in runs:
        timing = await by_tasks(work, callers, hang_seconds=HANG_SECONDS)
        done += timing.appends * events_each
        seconds += timing.seconds
        latencies += timing.latencies
        if seconds > seconds_max:
            break
    return Taken(done, seconds, latencies)


def _batches(items: list[Work]) -> list[list[Work]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def with_ratios(rows: Sequence[Row]) -> list[Row]:
    base = min(row.millions for row in rows)
    rates = {(row.ids, row.load): row.events_per_second for row in rows if row.millions == base}
    return [
        Row(
            **asdict(row)
            | {"ratio": report.quotient(row.events_per_second, rates[row.ids, row.load])}
        )
        for row in rows
    ]


def rows_table(rows: Sequence[Row]) -> str:
    head = ("", "ids", "million events", "events/s", "p50 ms", "p99 ms", "WAL B/event")
    cells = [
        (
            row.load,
            row.ids,
            f"{row.millions:g}",
            f"{row.events_per_second:,}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            "" if row.wal_bytes_an_event is None else f"{row.wal_bytes_an_event:,}",
            f"{row.heap_mb:,}",
            f"{row.key_mb:,}",
            f"{row.positions_mb:,}",
            f"{row.ratio:.3f}",
        )
        for row in sorted(rows, key=lambda row: (row.load, row.ids, row.millions))
    ]
    return report.table((*head, "heap MB", "key MB", "positions MB", "ratio"), cells)


def check_space(folder: Path, events: int) -> None:
    need = events * DISK_BYTES_AN_EVENT + DISK_BYTES_BESIDES
    free = shutil.disk_usage(folder).free
    if free < need:
        raise SystemExit(
            f"{folder}: got {free / 1e9:.0f} GB free, want {need / 1e9:.0f} GB for "
            f"{events / 1e6:g} million events: --folder another disk, or fewer --millions"
        )


def main() -> None:
    options = _options()
    sizes = [
        Size(ids, round(millions * 1e6))
        for millions in sorted(set(options.millions))
        for ids in (UUID7, PLAIN)
    ]
    check_space(options.folder, max(size.events for size in sizes))
    command.run(options, lambda here: measured(here, sizes), rows_table)


def _options() -> argparse.Namespace:
    given = command.parser("bench/growth", __doc__)
    given.add_argument("--millions", type=_millions, nargs="+", default=MILLIONS)
    return given.parse_args()


def _millions(value: str) -> float:
    millions = float(value)
    if millions < 0.1:
        raise argparse.ArgumentTypeError(f"got {value}, want 0.1 or more")
    return millions


if __name__ == "__main__":
    main()
