"""What a figure is: a question about customers' experience, the evidence for it, and what it comes to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.scoring.experience.known import KNOWN, OF_FACTS
from services.scoring.identity import IDENTITY
from services.scoring.metric import Column

# Of fewer people nothing is told that could be laid at somebody's door: neither of staff nor of customers.
# The usual bound of disclosure control (k-anonymity, Sweeney 2002). Who may read facts sees them anyhow.
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


def persons(where: str = "true") -> str:
    """In rows with a column person; what nobody known said or did is taken to be of a person of its own."""
    known = f"count(DISTINCT person) FILTER (WHERE {where})"
    return f"({known} + count(*) FILTER (WHERE person IS NULL AND {where}))"


def kept_back(name: str, sql: str = "", *, few: str = "too_few") -> str:
    """A column that is NULL where the condition says that it would tell of too few."""
    return f"CASE WHEN NOT {few} THEN {sql or name} END AS {name}"


def rows(figure: Figure, tenant: str, position: str, occurred_before: str) -> str:
    """The figure's rows, in its order; the arguments are SQL expressions."""
    listed = ", ".join(
        f"told.{name}::{each.type} AS {name}"
        for name, each in (figure.keys | figure.columns).items()  # type: ignore[operator]  # of dicts
    )
    by = [f"told.{name}" for name in (*figure.order, *figure.keys)]
    order = f" ORDER BY {', '.join(by)}" if by else ""
    text = (
        f"{_with(_parts(figure))}\nSELECT {listed} FROM ({figure.sql}) AS told{order}"  # literals
    )
    return given(text, tenant, position, occurred_before)


def events(figure: Figure, tenant: str, position: str, occurred_before: str, where: str) -> str:
    """The positions of the events behind the rows for which the condition on evidence holds."""
    counted = f"SELECT DISTINCT unnest(evidence.events) AS position FROM evidence WHERE {where}"  # noqa: S608
    parts = _parts(figure)
    text = f"{_with(parts)}, counted_event AS ({counted})\nSELECT position FROM counted_event"
    return given(text + _identities(figure, parts), tenant, position, occurred_before)


def _identities(figure: Figure, parts: Mapping[str, str]) -> str:
    """Of persons behind the events, where the figure asks who they are, the words by which they are one."""
    own = [text for name, text in parts.items() if name not in {*OF_FACTS, *IDENTITY}]
    facts = [name for name in parts if name in OF_FACTS]
    if not facts or not any(re.search(r"\bperson\b", text) for text in [*own, figure.sql]):
        return ""
    persons = " UNION ALL ".join(
        f"SELECT person FROM {name} JOIN counted_event ON position = event_position"  # noqa: S608
        for name in facts
    )
    return f"""
UNION
SELECT said.event_position
  FROM identity_said AS said
  JOIN person USING (customer)
 WHERE said.relation = 'same' AND person.person IN ({persons})
"""  # noqa: S608  # names of KNOWN


def _parts(figure: Figure) -> dict[str, str]:
    """What is known that the figure reads, and its evidence, by name."""
    parts = {"evidence": figure.evidence}
    # Each reads those before it alone, so that one way back finds all that are needed.
    for name in reversed(KNOWN):
        if any(re.search(rf"\b{name}\b", text) for text in [*parts.values(), figure.sql]):
            parts = {name: KNOWN[name]} | parts
    return parts


def _with(parts: Mapping[str, str]) -> str:
    return "WITH RECURSIVE " + ",\n".join(f"{name} AS ({text})" for name, text in parts.items())


def given(text: str, tenant: str, position: str, occurred_before: str) -> str:
    return (
        text.replace("{tenant}", tenant)
        .replace("{position}", position)
        .replace("{occurred_before}", occurred_before)
    )
