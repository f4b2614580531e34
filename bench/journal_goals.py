"""What `make bench/journal` must show, computed from the rows that it prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Goal, quotient

RAW_COPY, RAW_INSERT = "raw COPY", "raw INSERT"
RECORDER, GRPC = "our recorder", "our gRPC Append"
LIBRARY, LIBRARY_DCB = "eventsourcing recorder", "eventsourcing DCB recorder"
# By the number of tags.
UMADB = ("UmaDB, no tags", "UmaDB, 1 tag", "UmaDB, 2 tags")
MESSAGE_DB = "message-db write_message"
# How old the repeated events are, and how many of those offered.
NO_DUPLICATES = "0 %"
FEW_RECENT, ALL_RECENT = "1 % recent", "100 % recent"
FEW_OLD, ALL_OLD = "1 % old", "100 % old"
BIG_BATCH = 1000
# Batches under way at once in the goals: a gateway does not wait for one before it sends the next.
AT_ONCE = 8
MOONSHOT = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: medians over the rounds, latencies of each append of all rounds."""

    contender: str
    batch: int
    at_once: int
    duplicates: str = ""
    events_per_second: int | None = None
    slowest: int | None = None
    fastest: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    # To what `ratio_to` names, median of the ratios of each round.
    ratio: float | None = None
    ratio_to: str = ""
    not_run: str = ""


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Unknown where a row was not run. A contender with several rows counts by its best."""
    ours = f"gRPC Append of {BIG_BATCH}, {AT_ONCE} at once"
    append = _one(rows, GRPC, BIG_BATCH, AT_ONCE)
    rate = append.events_per_second if append else None
    return [
        Goal(f"{ours} / raw COPY on one connection (moonshot {MOONSHOT})", 0.6, _ratio(append)),
        Goal(f"{ours} / eventsourcing recorder", 3, quotient(rate, _best(rows, LIBRARY))),
        Goal(f"{ours} / UmaDB with 2 tags", 2.5, quotient(rate, _best(rows, UMADB[2]))),
        Goal(
            "64 single appends at once over the recorder / raw INSERT on 16 connections",
            1.7,
            _ratio(_one(rows, RECORDER, 1, 64)),
        ),
        *(
            Goal(
                f"{ours}, {share} duplicates / without",
                least,
                _ratio(_one(rows, GRPC, BIG_BATCH, AT_ONCE, share)),
            )
            for share, least in (
                (FEW_RECENT, 0.7),
                (ALL_RECENT, 0.95),
                (FEW_OLD, 0.7),
                (ALL_OLD, 0.95),
            )
        ),
    ]


def _one(
    rows: Sequence[Row], contender: str, batch: int, at_once: int, duplicates: str = ""
) -> Row | None:
    wanted = (contender, batch, at_once, duplicates)
    found = (
        row for row in rows if (row.contender, row.batch, row.at_once, row.duplicates) == wanted
    )
    return next(found, None)


def _ratio(row: Row | None) -> float | None:
    return row.ratio if row else None


def _best(rows: Sequence[Row], contender: str) -> int | None:
    rates = [
        row.events_per_second
        for row in rows
        if row.contender == contender and row.batch == BIG_BATCH and row.events_per_second
    ]
    return max(rates, default=None)
