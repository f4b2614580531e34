"""What is told at one moment after the other is what the counts known then say, however they came."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring.alerts.judgement import Change, Delta, Judgement, Moment
from services.scoring.alerts.rule import Rule, checked, rule_of
from touchledger.v1 import alerts_pb2 as pb

ZONE = ZoneInfo("UTC")
FIRST = date(2026, 8, 3)
RULES: list[dict[str, Any]] = [
    {"p0": 0.2},
    {"p0": 0.2, "ewma": {"width": 1}, "direction": "ALERT_DIRECTION_BOTH"},
    {
        "baseline": {"from": f"{FIRST}", "before": f"{FIRST + timedelta(days=3)}"},
        "ewma": {"width": 1},
    },
    {"p0": 0.2, "p_chart": {"tail": 0.1}, "false_discovery_rate": 0.3},
    {
        "baseline": {"from": f"{FIRST}", "before": f"{FIRST + timedelta(days=3)}"},
        "false_discovery_rate": 0.3,
        "ewma": {"width": 1},
    },
]


def rule(**fields: Any) -> Rule:
    given: dict[str, Any] = {
        "name": "daily",
        "part": "csat_bottom2",
        "whole": "csat_answered",
        "period": "ALERT_PERIOD_DAY",
        "starts_on": f"{FIRST}",
    }
    return rule_of(checked(pb.AlertRule(**(given | fields))))


def midnight(day: int) -> Moment:
    """After so many days, as known at a position that says the same."""
    at = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=day)
    return Moment(at, day)


deltas = st.builds(
    lambda group, day, low, high: Delta(group, FIRST + timedelta(days=day), low, low + high),
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 5),
    st.integers(0, 12),
    st.integers(0, 40),
)
# What comes between one midnight and the next; now and then the same is taken away later.
days = st.lists(st.lists(deltas, max_size=6), min_size=1, max_size=8)


def taken_away(story: list[list[Delta]]) -> list[list[Delta]]:
    """The story, and three days after each second change its opposite."""
    told = [list(day) for day in story] + [[], [], []]
    for at, day in enumerate(story):
        for nth, each in enumerate(day):
            if nth % 2:
                told[at + 3].append(Delta(each.group, each.period, -each.part, -each.whole))
    return told


def told_from_scratch(judged: Rule, story: list[list[Delta]]) -> list[tuple[int, str, date, bool]]:
    """Each day everything is judged anew, and compared with the alarms of the day before."""
    alarms: set[tuple[str, date]] = set()
    found = []
    for day in range(1, len(story) + 1):
        judgement = Judgement(judged, ZONE)
        judgement.add(each for before in story[:day] for each in before)
        judgement.at(midnight(day))
        now = {(each.group, each.period) for each in judgement.alarms(midnight(day))}
        for group, period in sorted(now ^ alarms, key=lambda key: (key[1], key[0])):
            found.append((day, group, period, (group, period) in alarms))
        alarms = now
    return found


@pytest.mark.parametrize("fields", RULES)
@given(story=days, data=st.data())
@settings(max_examples=150, deadline=None)
def test_going_on_from_what_was_told_is_as_good_as_judging_everything_each_day(
    fields: dict[str, Any], story: list[list[Delta]], data: st.DataObject
) -> None:
    judged = rule(**fields)
    story = taken_away(story)
    changes: list[Change] = []
    judgement = Judgement(judged, ZONE)
    for day, coming in enumerate(story, start=1):
        if day > 1 and data.draw(st.booleans(), label=f"begin anew on day {day}"):
            # Another process, or the same one later: it knows what was told, and reads the counts.
            told = {(each.group, each.period): each.nth for each in changes}
            judgement = Judgement(judged, ZONE, told)
            judgement.add(each for before in story[: day - 1] for each in before)
        judgement.add(coming)
        changes += judgement.at(midnight(day))

    assert told_from_scratch(judged, story) == [
        (each.moment.position, each.group, each.period, each.withdrawn) for each in changes
    ]
    for each in changes:
        earlier = [
            before
            for before in changes
            if (before.group, before.period) == (each.group, each.period) and before.nth < each.nth
        ]
        assert each.nth == len(earlier) + 1


def test_what_is_no_share_is_no_point() -> None:
    judgement = Judgement(rule(p0=0.2), ZONE)
    judgement.add([Delta("a", FIRST, 7, 3), Delta("b", FIRST, 0, 0), Delta("c", FIRST, 9, 9)])

    changes = judgement.at(midnight(1))

    assert ["c"] == [each.group for each in changes]


def test_false_discovery_counts_every_chart_that_was_judged() -> None:
    judged = rule(p0=0.1, p_chart={"tail": 0.01}, false_discovery_rate=0.05)
    # P(X >= 7) of 20 at 10 % is 0.0024: few enough for ten charts, too many for a hundred.
    odd = Delta("odd", FIRST, 7, 20)
    told = []
    for charts in (10, 100):
        judgement = Judgement(judged, ZONE)
        judgement.add([odd, *(Delta(f"{nth}", FIRST, 2, 20) for nth in range(charts - 1))])
        told.append([each.group for each in judgement.at(midnight(1))])

    assert [["odd"], []] == told


def test_a_baseline_is_its_own_periods_alone() -> None:
    before = FIRST + timedelta(days=2)
    judged = rule(baseline={"from": f"{FIRST}", "before": f"{before}"})
    judgement = Judgement(judged, ZONE)
    counts = [(1, 20), (3, 20), (9, 20), (10, 20)]
    judgement.add(Delta("a", FIRST + timedelta(days=nth), *each) for nth, each in enumerate(counts))

    judgement.at(midnight(4))

    assert 0.1 == judgement.charts["a"].p0
