"""A model with facts put straight into its tables, for tests of formulas alone."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from services.scoring import models

TENANT = "default"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


class FactTables:
    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], url: str) -> None:
        self.url = url
        self._connection = connection

    def hold(self, **tables: Sequence[dict[str, Any]]) -> None:
        """Exactly these rows; what they do not say is as an event that says nothing would have it."""
        for table in (
            *("fact_interaction", "fact_feedback_request", "fact_feedback", "fact_expectation"),
            *("fact_identity", "event", "rollup_touchpoint_day"),
        ):
            self._connection.execute(f"DELETE FROM {table}".encode())
            if rows := tables.get(table):
                columns = ", ".join(rows[0])
                with (
                    self._connection.cursor() as cursor,
                    cursor.copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy,
                ):
                    for row in rows:
                        copy.write_row(tuple(row.values()))

    def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        cursor = self._connection.execute(sql.encode(), arguments)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def value(self, sql: str, *arguments: Any) -> Any:
        [row] = self.rows(sql, *arguments)
        [value] = row.values()
        return value


@contextmanager
def fact_tables(new_database: Callable[[str], str]) -> Iterator[FactTables]:
    url = new_database("scoring")

    with psycopg.connect(
        url,
        autocommit=True,
        cursor_factory=psycopg.RawCursor,
        options=f"-c search_path={models.LIVE.search_path.replace(' ', '')} -c timezone=UTC",
    ) as connection:
        yield FactTables(connection, url)


def fact(position: int, *, hours: float = 0, **fields: Any) -> dict[str, Any]:
    """The columns that all facts share, of something that happened hours after START."""
    occurred_at = START + timedelta(hours=hours)
    return {
        "tenant": TENANT,
        "event_position": position,
        "from_position": position,
        "to_position": None,
        "occurred_at": occurred_at,
        "occurred_date": occurred_at.date(),
        "reporting_date": occurred_at.date(),
        "touchpoint": "store.checkout",
        "stage": "purchase",
        "channel": "store",
        "service_mode": "unspecified",
        "store": "unspecified",
        "source": "till",
        "staff": None,
        "customer": None,
        "correlation_id": None,
    } | fields


def interaction(position: int, *, outcome: str = "unspecified", **fields: Any) -> dict[str, Any]:
    given = {"wait_seconds": None, "moment_of_truth": False}
    return fact(position, outcome=outcome, **(given | fields))


def answer(
    position: int,
    metric: str | None = "csat",
    value: Any = 4,
    *,
    scale: tuple[Any, Any] = (1, 5),
    better: bool = True,
    **fields: Any,
) -> dict[str, Any]:
    """One answer, which is all of its feedback."""
    given = {
        "signal_index": 0,
        "kind": "unspecified",
        "request_id": None,
        "metric": metric,
        "value": value,
        "scale_min": scale[0],
        "scale_max": scale[1],
        "higher_is_better": better,
        "dimension": None,
        "model": None,
    }
    return fact(position, **(given | fields))


def expectation(
    position: int,
    metric: str | None = "csat",
    value: Any = 4,
    *,
    scale: tuple[Any, Any] = (1, 5),
    better: bool = True,
    **fields: Any,
) -> dict[str, Any]:
    given = {
        "basis": "survey",
        "dimension": None,
        "metric": metric,
        "value": value,
        "scale_min": scale[0],
        "scale_max": scale[1],
        "higher_is_better": better,
    }
    return fact(position, **(given | fields))


def recorded(position: int, *, hours: float = 0) -> dict[str, Any]:
    """The lineage of an event that was recorded hours after START."""
    return {
        "tenant": TENANT,
        "position": position,
        "source": "till",
        "event_id": f"event {position}",
        "topic": "touchledger.interaction.v1",
        "recorded_at": START + timedelta(hours=hours),
    }
