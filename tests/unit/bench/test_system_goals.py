"""The goals of `make bench/system`, from rows made by hand."""

from dataclasses import replace

from bench.system_goals import BUFFERED, DIRECT, LIBRARY, SPIKE, UMADB, Row, goals

ROWS = [
    Row(load=DIRECT, events=1000, acked_per_second=40_000, visible_per_second=36_000, to_raw=0.27),
    Row(load=BUFFERED, events=1000, acked_per_second=40_000, visible_per_second=30_000),
    Row(load=UMADB, events=1000, acked_per_second=30_000),
    Row(load=LIBRARY, events=1000, acked_per_second=900, visible_per_second=720),
    Row(load=SPIKE, events=1000, in_time=1.0, recorded=1.0),
]


def test_each_goal_is_computed_from_the_rows_that_it_names() -> None:
    assert [0.27, 1.2, 50, 1, 1, 1] == [goal.got for goal in goals(ROWS)]
    assert all(goal.met for goal in goals(ROWS))


def test_an_event_that_was_acked_and_not_recorded_misses_the_goal() -> None:
    [*others, spike] = ROWS
    told = goals([*others, replace(spike, recorded=0.999)])
    assert [True] * 5 + [False] == [goal.met for goal in told]


def test_what_was_not_run_is_unknown() -> None:
    assert [None] * 6 == [goal.met for goal in goals(ROWS[2:3])]
