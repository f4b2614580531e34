"""What `make bench/system` must show, computed from the rows that it prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Goal, quotient

RAW_COPY = "raw COPY into the journal"
UMADB = "UmaDB, two tags, which projects nothing"
LIBRARY = "eventsourcing: save, and ProjectionRunner"
JETSTREAM = "JetStream alone"
DIRECT = "direct, one publisher"
DIRECT_TWO = "direct, two publishers"
BUFFERED = "buffered, one publisher"
BUFFERED_TWO = "buffered, two publishers"
SPIKE = "buffered, ten times as much for a while"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: medians over the rounds."""

    load: str
    events: int
    # Told RECORDED or QUEUED, or stored where nothing else is done.
    acked_per_second: int | None = None
    # In schema bi, facts and rollups.
    visible_per_second: int | None = None
    # Of the rate that was visible, or else acked, to raw COPY in the same round.
    to_raw: float | None = None
    # Of a spike: how many were acked in its time, and how many of those acked are in the journal in the end.
    in_time: float | None = None
    recorded: float | None = None


def goals(rows: Sequence[Row]) -> list[Goal]:
    by_load = {row.load: row for row in rows}
    visible = {row.load: row.visible_per_second for row in rows}
    acked = {row.load: row.acked_per_second for row in rows}
    direct, spike = by_load.get(DIRECT), by_load.get(SPIKE)
    return [
        Goal(
            f"{DIRECT}, recorded and projected / {RAW_COPY} (moonshot 0.38)",
            0.27,
            direct.to_raw if direct else None,
        ),
        Goal(
            f"{DIRECT}, recorded and projected / {UMADB}",
            1.2,
            quotient(visible.get(DIRECT), acked.get(UMADB)),
        ),
        Goal(
            f"{DIRECT}, recorded and projected / {LIBRARY}",
            50,
            quotient(visible.get(DIRECT), visible.get(LIBRARY)),
        ),
        Goal(
            f"{BUFFERED}, acked / {DIRECT}, acked",
            1,
            quotient(acked.get(BUFFERED), acked.get(DIRECT)),
        ),
        Goal(f"{SPIKE}: acked in its time / sent", 1, spike.in_time if spike else None),
        Goal(f"{SPIKE}: recorded / acked", 1, spike.recorded if spike else None),
    ]
