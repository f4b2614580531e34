"""What `make bench/gateway` must show, computed from the rows that it prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report import Goal

RAW_COPY, RAW_INSERT = "raw COPY", "raw INSERT"
GRPC, HTTP = "our gateway, gRPC", "our gateway, HTTP"
NULL_GRPC, NULL_HTTP = "null server, gRPC", "null server, HTTP"
WEBHOOK, NULL_WEBHOOK = "our gateway, webhook of 600 KB", "null server, 600 KB over HTTP"
BIG_BATCH = 500
# Batches under way at once: publishers do not wait for each other.
AT_ONCE = 8
# Single events under way at once, each of a source of its own on a connection of its own.
SINGLES_AT_ONCE = 64
INSERT_CONNECTIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: medians over the rounds, latencies of each request of all rounds."""

    contender: str
    batch: int
    at_once: int
    events_per_second: int
    slowest: int
    fastest: int
    p50_ms: float
    p99_ms: float
    # Medians of the ratios of each round: to the limit that `raw` names, and to the null server.
    to_raw: float | None = None
    raw: str = ""
    to_null: float | None = None
    # CPU of the gateway's process.
    cpu_us_per_event: float | None = None


def goals(rows: Sequence[Row]) -> list[Goal]:
    return [
        Goal(
            f"gRPC batches of {BIG_BATCH}, {AT_ONCE} at once / raw COPY of {BIG_BATCH} (moonshot 0.55)",
            0.4,
            _to_raw(rows, GRPC, BIG_BATCH, AT_ONCE),
        ),
        Goal(
            f"{SINGLES_AT_ONCE} single posts at once over HTTP / raw INSERT on {INSERT_CONNECTIONS} "
            "connections (moonshot 1.7)",
            1,
            _to_raw(rows, HTTP, 1, SINGLES_AT_ONCE),
        ),
    ]


def _to_raw(rows: Sequence[Row], contender: str, batch: int, at_once: int) -> float | None:
    wanted = (contender, batch, at_once)
    found = (row.to_raw for row in rows if (row.contender, row.batch, row.at_once) == wanted)
    return next(found, None)
