"""The goals of `make bench/gateway`, from rows made by hand."""

from dataclasses import replace

from bench.gateway_goals import GRPC, HTTP, Row, goals

BATCHES = Row(
    contender=GRPC,
    batch=500,
    at_once=8,
    events_per_second=80_000,
    slowest=70_000,
    fastest=90_000,
    p50_ms=30,
    p99_ms=40,
    to_raw=0.4,
)
SINGLES = replace(BATCHES, contender=HTTP, batch=1, at_once=64, to_raw=1.0)
# Their like has other figures, and counts for no goal.
OTHERS = [
    replace(BATCHES, batch=100, to_raw=0.1),
    replace(BATCHES, contender=HTTP, to_raw=0.1),
    replace(SINGLES, at_once=1, to_raw=0.1),
    replace(SINGLES, contender=GRPC, to_raw=0.1),
]


def test_goals_are_met_by_just_what_they_want() -> None:
    reached = goals([*OTHERS, BATCHES, SINGLES])
    assert [0.4, 1.0] == [goal.got for goal in reached]
    assert all(goal.met is True for goal in reached)


def test_goals_are_missed_by_the_last_digit_that_is_shown() -> None:
    rows = [replace(BATCHES, to_raw=0.399), replace(SINGLES, to_raw=0.999)]
    assert [False, False] == [goal.met for goal in goals(rows)]


def test_goals_are_unknown_without_their_rows() -> None:
    assert [None, None] == [goal.met for goal in goals(OTHERS)]
