"""The goals of `make bench/scoring`, from rows made by hand."""

from dataclasses import replace

from bench.scoring_goals import (
    LIBRARY,
    PROJECTED,
    RAW_COPY,
    REBUILD,
    RECORDED,
    SCORES,
    SCORES_AGAIN,
    VISIBLE,
    Row,
    goals,
)

FEWEST = Row(load=SCORES, events=1_000_000, p50_ms=3, p99_ms=8)
MOST = replace(FEWEST, events=20_000_000, p99_ms=10)
ROWS = [
    Row(load=RAW_COPY, events=1000, events_per_second=100_000),
    Row(load=REBUILD, events=1000, events_per_second=30_000),
    Row(load=LIBRARY, events=1000, events_per_second=750),
    Row(load=RECORDED, events=1000, events_per_second=20_000),
    Row(load=PROJECTED, events=1000, events_per_second=19_000),
    Row(load=VISIBLE, events=1000, p50_ms=50, p99_ms=500),
    MOST,
    FEWEST,
    replace(MOST, load=SCORES_AGAIN, p99_ms=5),
    replace(FEWEST, load=SCORES_AGAIN, p99_ms=2),
]


def test_each_goal_is_computed_from_the_rows_that_it_names() -> None:
    assert [0.3, 40, 0.95, 1, 1, 1.2, 2, 0.6] == [goal.got for goal in goals(ROWS)]


def test_goals_are_met_by_just_what_they_want() -> None:
    assert [True] * 7 + [False] == [goal.met for goal in goals(ROWS)]


def test_one_number_of_events_says_nothing_of_more() -> None:
    told = goals([row for row in ROWS if row.events != MOST.events])
    assert [None] * 4 == [goal.met for goal in told[-4:]]
