"""The goals of `make bench/journal`, from rows made by hand."""

import json
from dataclasses import asdict, replace

import pytest

from bench.journal_goals import (
    GRPC,
    LIBRARY,
    RAW_COPY,
    RECORDER,
    UMADB,
    Row,
    goals,
)
from bench.report import Goal, as_json, goals_table, quotient


def row(contender: str, rate: int, *, ratio: float | None = None, **load: object) -> Row:
    made = Row(
        contender=contender, batch=1000, at_once=8, events_per_second=rate, ratio=ratio, not_run=""
    )
    return replace(made, **load)  # type: ignore[arg-type]  # columns by name


DUPLICATES = ("1 % recent", "100 % recent", "1 % old", "100 % old")
# Each goal is met, by nothing.
ROWS = [
    row(RAW_COPY, 200_000, at_once=1),
    row(GRPC, 120_000, ratio=0.6),
    row(GRPC, 50_000, ratio=0.25, at_once=1),
    row(LIBRARY, 40_000),
    row(LIBRARY, 39_000, at_once=1),
    row(UMADB[2], 30_000),
    row(UMADB[2], 48_000, at_once=1),
    row(RECORDER, 17_000, ratio=1.7, batch=1, at_once=64),
    *(
        row(GRPC, 90_000, ratio=ratio, duplicates=duplicates)
        for duplicates, ratio in zip(DUPLICATES, (0.7, 0.95, 0.7, 0.95), strict=True)
    ),
]


def test_goals_are_met_by_just_what_they_want() -> None:
    assert [0.6, 3.0, 2.5, 1.7, 0.7, 0.95, 0.7, 0.95] == [goal.got for goal in goals(ROWS)]
    assert all(goal.met is True for goal in goals(ROWS))


@pytest.mark.parametrize(
    ("index", "goal", "less"),
    [
        (1, 0, {"ratio": 0.599}),
        (3, 1, {"events_per_second": 40_100}),
        # The other row is the better one then.
        (4, 1, {"events_per_second": 41_000}),
        (5, 2, {"events_per_second": 49_000}),
        (7, 3, {"ratio": 1.699}),
        (8, 4, {"ratio": 0.699}),
        (9, 5, {"ratio": 0.949}),
        (10, 6, {"ratio": 0.699}),
        (11, 7, {"ratio": 0.949}),
    ],
)
def test_a_row_that_is_worse_misses_its_goal_and_no_other(
    index: int, goal: int, less: dict[str, float]
) -> None:
    rows = [*ROWS[:index], replace(ROWS[index], **less), *ROWS[index + 1 :]]  # type: ignore[arg-type]  # columns by name
    assert [goal] == [number for number, each in enumerate(goals(rows)) if each.met is not True]
    assert goals(rows)[goal].met is False


def test_without_its_row_a_goal_is_unknown_and_not_met() -> None:
    rows = [replace(each, events_per_second=None, ratio=None, not_run="away") for each in ROWS]
    assert {None} == {goal.met for goal in goals(rows)}
    assert {None} == {goal.met for goal in goals([])}
    without_umadb = [each for each in ROWS if each.contender != UMADB[2]]
    assert [2] == [number for number, goal in enumerate(goals(without_umadb)) if goal.met is None]


def test_the_verdict_is_on_the_figure_as_it_is_printed() -> None:
    assert 2.5 == quotient(24_999, 10_000)
    assert 2.499 == quotient(24_994, 10_000)
    assert "| 2.499 |  NO |" in goals_table([Goal("faster", 2.5, 2.499)])
    assert "| unknown | unknown |" in goals_table([Goal("faster", 2.5, None)])


def test_json_has_rows_and_goals_with_what_was_wanted_and_got() -> None:
    printed = json.loads(as_json([asdict(ROWS[0])], [Goal("faster", 2.5, 3.0), Goal("x", 1, None)]))
    assert ["rows", "goals"] == list(printed)
    assert 200_000 == printed["rows"][0]["events_per_second"]
    assert [
        {"name": "faster", "want": "≥ 2.5", "got": 3.0, "met": True},
        {"name": "x", "want": "≥ 1", "got": None, "met": None},
    ] == printed["goals"]
