"""What `make bench/growth` must show, computed from the rows that it prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Goal

UUID7, PLAIN = "UUIDv7", "plain"
APPEND, DUPLICATES, STREAMS = "append", "old duplicates", "single streams"
PAGES = ("pages at the start", "pages in the middle", "pages at the end")
# What must cost the same however long the journal is. Old duplicates are shown and left out: ids from
# anywhere in the past read pages from anywhere, which are in memory as long as memory is large enough.
FLAT = (APPEND, *PAGES, STREAMS)
# One and the same run repeated on a shared machine gave rates up to 10 to 25 % apart; what grows with the
# journal, such as random ids in its key, falls to less than half.
RATIO_MIN = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: one load, on a journal of this length."""

    ids: str
    millions: float
    load: str
    events_per_second: int
    p50_ms: float
    p99_ms: float
    # Of an append.
    wal_bytes_an_event: int | None = None
    heap_mb: int
    key_mb: int
    positions_mb: int
    # To the same load with such ids on the shortest journal of the run.
    ratio: float | None = None


def goals(rows: Sequence[Row]) -> list[Goal]:
    """The lowest ratio of each load over all longer journals. Unknown where only one length was run."""
    found = list[Goal]()
    base = min(row.millions for row in rows)
    for load in FLAT:
        longer = [
            row.ratio
            for row in rows
            if (row.ids, row.load) == (UUID7, load) and row.millions > base and row.ratio
        ]
        name = f"{UUID7}, {load}: longer journals / {base:g} million"
        found.append(Goal(name, RATIO_MIN, min(longer, default=None)))
    return found
