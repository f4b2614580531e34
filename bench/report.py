"""What every `make bench/NAME` ends with: its rows, then its goals, as tables or as JSON alone on stdout."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Goal:
    """At least `least`, of figures as they are printed. `got` is None where one of them is missing."""

    name: str
    least: float
    got: float | None

    @property
    def want(self) -> str:
        return f"≥ {self.least:g}"

    @property
    def met(self) -> bool | None:
        return None if self.got is None else self.got >= self.least


def quotient(above: float | None, below: float | None) -> float | None:
    """Rounded as it is shown, so that the reader who compares comes to the same verdict."""
    return None if above is None or not below else round(above / below, 3)


def as_json(rows: Sequence[Mapping[str, object]], goals: Sequence[Goal]) -> str:
    shown = [
        {"name": goal.name, "want": goal.want, "got": goal.got, "met": goal.met} for goal in goals
    ]
    return json.dumps({"rows": rows, "goals": shown}, ensure_ascii=False, indent=1)


def goals_table(goals: Sequence[Goal]) -> str:
    met = {True: "yes", False: "NO", None: UNKNOWN}
    rows = [
        (goal.name, goal.want, UNKNOWN if goal.got is None else f"{goal.got:.3f}", met[goal.met])
        for goal in goals
    ]
    return table(("goal", "want", "got", "met"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown that reads as plain text: the first column to the left, the others to the right."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - 1)}:" for width in widths]
    rule[0] = "-" * widths[0]
    return "\n".join([line(head), line(rule), *map(line, rows)])
