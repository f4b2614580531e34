"""What a figure is: a question about customers' experience, the evidence for it, and what it comes to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.scoring.experience.known import KNOWN
from services.scoring.metric import Column

# Of fewer people nothing is told that could be laid at somebody's door: neither of staff nor of customers.
# The usual bound of disclosure control (k-anonymity, Sweeney 2002).
K = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """A table of numbers that answers one question, and the events behind each of its rows.

    Both queries may read everything in KNOWN by its name: facts as known at the position that is asked for,
    of one tenant, that occurred before the moment that is asked for. Neither may read a clock: "today" is
    the horizon in moments.
    """

    # The view's name in schema bi.
    name: str
    version: int
    # One sentence, without quotation marks.
    question: str
    # What tells rows from each other; none is one row.
    keys: Mapping[str, Column]
    columns: Mapping[str, Column]
    # A query with a row for each case that counts: the keys, and `events`, a bigint[] with the positions of
    # the events that make it. What else it has is for `sql`.
    evidence: str
    # A query that makes the keys and columns, from evidence and whatever else is known.
    sql: str
    # Columns by which its rows are ordered before their keys, such as a rank; what has none comes last.
    order: tuple[str, ...] = ()

    @property
    def formula_version(self) -> str:
        return f"{self.name}/{self.version}"


def share_columns(name: str, meaning: str) -> dict[str, Column]:
    """A share, 0 to 1, and its interval."""
    said = f"bound of {name}: score interval, 95 % (Wilson 1927)."
    return {
        name: Column("double precision", f"{meaning}, 0 to 1."),
        f"{name}_lo": Column("double precision", f"Lower {said}"),
        f"{name}_hi": Column("double precision", f"Upper {said}"),
    }


def mean_columns(name: str, meaning: str) -> dict[str, Column]:
    """A mean, and its interval."""
    said = f"bound of {name}: t interval, 95 % (Student 1908); NULL for a single answer."
    return {
        name: Column("double precision", f"{meaning}."),
        f"{name}_lo": Column("double precision", f"Lower {said}"),
        f"{name}_hi": Column("double precision", f"Upper {said}"),
    }


def rows(figure: Figure, tenant: str, position: str, occurred_before: str) -> str:
    """The figure's rows, in its order; the arguments are SQL expressions."""
    listed = ", ".join(
        f"told.{name}::{each.type} AS {name}"
        for name, each in (figure.keys | figure.columns).items()  # type: ignore[operator]  # of dicts
    )
    by = [f"told.{name}" for name in (*figure.order, *figure.keys)]
    order = f" ORDER BY {', '.join(by)}" if by else ""
    text = f"{_with(figure)}\nSELECT {listed} FROM ({figure.sql}) AS told{order}"  # literals of figures
    return given(text, tenant, position, occurred_before)


def events(figure: Figure, tenant: str, position: str, occurred_before: str, where: str) -> str:
    """The positions of the events behind the rows for which the condition on evidence holds."""
    positions = f"SELECT DISTINCT unnest(evidence.events) AS position FROM evidence WHERE {where}"  # noqa: S608
    text = f"{_with(figure)}\n{positions}"
    return given(text, tenant, position, occurred_before)


def _with(figure: Figure) -> str:
    parts = {"evidence": figure.evidence}
    # Each reads those before it alone, so that one way back finds all that are needed.
    for name in reversed(KNOWN):
        if any(re.search(rf"\b{name}\b", text) for text in [*parts.values(), figure.sql]):
            parts = {name: KNOWN[name]} | parts
    return "WITH RECURSIVE " + ",\n".join(f"{name} AS ({text})" for name, text in parts.items())


def given(text: str, tenant: str, position: str, occurred_before: str) -> str:
    return (
        text.replace("{tenant}", tenant)
        .replace("{position}", position)
        .replace("{occurred_before}", occurred_before)
    )
