"""A rule is checked before it is kept, and says which periods are closed when."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.chassis.errors import Malformed
from services.scoring.alerts.ewma import Ewma
from services.scoring.alerts.p_chart import Limits, PChart
from services.scoring.alerts.rule import checked, rule_of
from touchledger.v1 import alerts_pb2 as pb

SAO_PAULO = ZoneInfo("America/Sao_Paulo")


def rule(**fields: Any) -> pb.AlertRule:
    given: dict[str, Any] = {
        "name": "bottom2.weekly",
        "part": "csat_bottom2",
        "whole": "csat_answered",
    }
    if "p0" not in fields:
        given["baseline"] = {"from": "2026-01-01", "before": "2026-04-01"}
    return pb.AlertRule(**(given | fields))


def test_a_rule_without_more_is_a_weekly_p_chart_by_touchpoint_from_its_baseline_on() -> None:
    message = checked(rule())
    judged = rule_of(message)

    assert (pb.ALERT_GROUP_BY_TOUCHPOINT, pb.ALERT_DIRECTION_UP, pb.ALERT_DATED_BY_OCCURRED) == (
        message.group_by,
        message.direction,
        message.dated_by,
    )
    assert PChart(Limits.BY_SIZE, sigmas=3, tail=0.00135) == judged.chart
    # 1 January 2026 was a Thursday, 1 April a Wednesday.
    assert (7, date(2025, 12, 29)) == (judged.period_days, judged.starts)
    assert (date(2025, 12, 29), date(2026, 3, 30)) == judged.baseline


def test_checking_twice_changes_nothing() -> None:
    once = checked(rule(ewma={}))

    assert once == checked(once)
    assert Ewma(weight=0.2, width=3) == rule_of(once).chart


BASELINE = {"from": "2026-01-01", "before": "2026-04-01"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "rule.name"),
        ({"name": "Weekly"}, "rule.name"),
        ({"name": "a" * 65}, "rule.name"),
        ({"part": "csat_sum"}, "rule.part"),
        ({"part": "1); DROP TABLE"}, "rule.part"),
        ({"whole": "nothing"}, "rule.whole"),
        ({"whole": "csat_bottom2"}, "rule.whole"),
        ({"whole": "interactions"}, "rule.whole"),
        ({"group_by": 99}, "rule.group_by"),
        ({"period": 99}, "rule.period"),
        ({"direction": 99}, "rule.direction"),
        ({"dated_by": 99}, "rule.dated_by"),
        (
            {
                "part": "asked",
                "whole": "suppressed",
                "dated_by": pb.ALERT_DATED_BY_REQUEST,
            },
            "rule.dated_by",
        ),
        ({"touchpoint_glob": "a" * 129}, "rule.touchpoint_glob"),
        ({"store": "a\0"}, "rule.store"),
        ({"p_chart": {"sigmas": 0.5}}, "rule.p_chart.sigmas"),
        ({"p_chart": {"sigmas": float("nan")}}, "rule.p_chart.sigmas"),
        ({"p_chart": {"tail": 0.5}}, "rule.p_chart.tail"),
        ({"p_chart": {"limits": 99}}, "rule.p_chart.limits"),
        ({"ewma": {"weight": 1.5}}, "rule.ewma.weight"),
        ({"ewma": {"weight": -0.1}}, "rule.ewma.weight"),
        ({"ewma": {"width": 7}}, "rule.ewma.width"),
        ({"p0": 1.0, "starts_on": "2026-01-01"}, "rule.p0"),
        ({"p0": float("nan"), "starts_on": "2026-01-01"}, "rule.p0"),
        # The variance of a period would be 0, and a chart divide by it.
        ({"p0": 5e-324, "starts_on": "2026-01-01"}, "rule.p0"),
        ({"p0": 1 - 1e-16, "starts_on": "2026-01-01"}, "rule.p0"),
        ({"p0": 0.1}, "rule.starts_on"),
        ({"p0": 0.1, "starts_on": "1.1.2026"}, "rule.starts_on"),
        ({"p0": 0.1, "starts_on": "9999-12-31"}, "rule.starts_on"),
        ({"baseline": {"from": "2026-01-01"}}, "rule.baseline.before"),
        ({"baseline": {"from": "2026-02-30", "before": "2026-04-01"}}, "rule.baseline.from"),
        ({"baseline": {"from": "2026-01-01", "before": "2026-01-07"}}, "rule.baseline.before"),
        ({"grace": timedelta(days=61)}, "rule.grace"),
        ({"grace": timedelta(seconds=-1)}, "rule.grace"),
        ({"grace": timedelta(milliseconds=1500)}, "rule.grace"),
        ({"false_discovery_rate": 1.0}, "rule.false_discovery_rate"),
        ({"false_discovery_rate": float("nan")}, "rule.false_discovery_rate"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_its_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(Malformed) as refused:
        checked(rule(**fields))

    assert named == refused.value.problem.field


def test_neither_baseline_nor_p0_is_refused() -> None:
    given = rule()
    given.ClearField("baseline")

    with pytest.raises(Malformed) as refused:
        checked(given)

    assert "rule.baseline" == refused.value.problem.field


def test_a_week_closes_at_the_end_of_its_sunday_in_the_reporting_zone_and_its_grace() -> None:
    judged = rule_of(checked(rule(grace=timedelta(hours=6))))
    # Monday 9 March, 00:00 in São Paulo, is 03:00 in UTC.
    closes = datetime(2026, 3, 9, 9, tzinfo=UTC)

    assert date(2026, 3, 9) == judged.closed_before(closes, SAO_PAULO)
    just_before = closes - timedelta(microseconds=1)
    assert date(2026, 3, 2) == judged.closed_before(just_before, SAO_PAULO)


def test_there_is_one_moment_a_day_whatever_the_clocks_do() -> None:
    judged = rule_of(checked(rule(grace=timedelta(hours=3))))
    # In 2018 clocks of São Paulo went from 4 November 00:00 to 01:00, those of Berlin back on 28 October.
    for zone, first in (
        ("America/Sao_Paulo", date(2018, 11, 2)),
        ("Europe/Berlin", date(2018, 10, 26)),
    ):
        info = ZoneInfo(zone)
        after = datetime(first.year, first.month, first.day, 12, tzinfo=UTC)

        moments = judged.moments(after, after + timedelta(days=4), info)

        days = [(each - judged.grace).astimezone(info).date() for each in moments]
        assert [first + timedelta(days=nth) for nth in range(1, 5)] == days
        starts = [(each - judged.grace).astimezone(info) for each in moments]
        assert {(0, 0), (1, 0)} >= {(each.hour, each.minute) for each in starts}


def test_a_moment_is_found_once_from_wherever_one_begins() -> None:
    judged = rule_of(checked(rule()))
    first = datetime(2026, 8, 1, tzinfo=UTC)
    last = first + timedelta(days=9)
    whole = judged.moments(first, last, SAO_PAULO)

    for cut in (first + timedelta(minutes=97 * nth) for nth in range(1, 120)):
        before = judged.moments(first, cut, SAO_PAULO)
        rest = judged.moments(before[-1] if before else first, last, SAO_PAULO)
        assert whole == before + rest
