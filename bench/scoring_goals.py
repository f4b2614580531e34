"""What `make bench/scoring` must show, computed from the rows that it prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Goal, quotient

RAW_COPY = "raw COPY into the journal"
READING = "reading the journal only"
SQL = "pure SQL, GROUP BY over stored facts"
LIBRARY = "eventsourcing ProjectionRunner"
REBUILD = "our rebuild: facts and all rollups"
RECORDED = "recorded through the gateway, projected beside it"
PROJECTED = "projected beside the gateway"
VISIBLE = "from publish to visible, at half of that rate"
SCORES = "GetScores, added up anew"
SCORES_AGAIN = "GetScores, asked again before anything came"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: medians over the rounds."""

    load: str
    # Of the journal or the facts that it is about.
    events: int
    events_per_second: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


def goals(rows: Sequence[Row]) -> list[Goal]:
    rates = {row.load: row.events_per_second for row in rows}
    visible = next((row.p99_ms for row in rows if row.load == VISIBLE), None)
    return [
        Goal(
            f"{REBUILD} / {RAW_COPY} (moonshot 0.6)",
            0.3,
            quotient(rates.get(REBUILD), rates.get(RAW_COPY)),
        ),
        Goal(f"{REBUILD} / {LIBRARY}", 40, quotient(rates.get(REBUILD), rates.get(LIBRARY))),
        Goal(f"{PROJECTED} / recorded", 0.95, quotient(rates.get(PROJECTED), rates.get(RECORDED))),
        Goal("500 ms / p99 from publish to visible", 1, quotient(500, visible)),
        *_of_questions(rows, SCORES),
        *_of_questions(rows, SCORES_AGAIN),
    ]


def _of_questions(rows: Sequence[Row], load: str) -> list[Goal]:
    asked = sorted((row for row in rows if row.load == load), key=lambda row: row.events)
    fewest, most = (asked[0].p99_ms, asked[-1].p99_ms) if len(asked) > 1 else (None, None)
    return [
        Goal(f"10 ms / p99 of {load}, most events", 1, quotient(10, most)),
        Goal(
            f"1.5 × p99 of {load}, fewest events / most events",
            1,
            quotient(fewest and 1.5 * fewest, most),
        ),
    ]
