"""The time-decayed score weighs by age from the day that is asked for, and is the same to the last bit."""

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import statsmodels.stats.weightstats  # type: ignore[import-untyped]  # it has no types

from services.scoring.decayed import AGE_DAYS_MAX, decayed
from tests.support.fact_tables import TENANT, FactTables, fact_tables

TODAY = date(2026, 3, 2)


@pytest.fixture(scope="module")
def sql(new_database: Callable[[str], str]) -> Iterator[FactTables]:
    with fact_tables(new_database) as given:
        yield given


def day(
    age: int, *answers: Any, touchpoint: str = "store.checkout", **fields: Any
) -> dict[str, Any]:
    """The rollup of one day, so many days before TODAY."""
    return {
        "tenant": TENANT,
        "reporting_date": TODAY - timedelta(days=age),
        "touchpoint": touchpoint,
        "stage": "purchase",
        "channel": "store",
        "facts": len(answers),
        "csat_answered": len(answers),
        "csat_sum": sum(answers),
        "csat_squares": sum(answer * answer for answer in answers),
    } | fields


def ask(sql: FactTables, on: date = TODAY) -> dict[str, Any]:
    [row] = sql.rows(decayed(), TENANT, on, "store.checkout")
    return row


def test_decay_reference_values(sql: FactTables) -> None:
    sql.hold(rollup_touchpoint_day=[day(0, 5), day(30, 1), day(60, 3)])
    got = ask(sql)
    assert (3, 3.571429, 2.333333) == (
        got["csat_answered"],
        round(got["csat_decayed"], 6),
        round(got["csat_decayed_n_eff"], 6),
    )
    assert 1 <= got["csat_decayed_lo"] < 3.571429 < got["csat_decayed_hi"] <= 5


def test_mean_and_interval_are_those_of_weighted_statistics(sql: FactTables) -> None:
    chance = random.Random(3)
    days = [(age, [chance.randint(1, 5) for _ in range(chance.randint(0, 6))]) for age in range(90)]
    sql.hold(rollup_touchpoint_day=[day(age, *answers) for age, answers in days])
    answers = [answer for _, of_day in days for answer in of_day]
    weights = [2 ** (-age / 30) for age, of_day in days for _ in of_day]
    weighted = statsmodels.stats.weightstats.DescrStatsW(answers, weights)
    effective = sum(weights) ** 2 / sum(weight * weight for weight in weights)
    got = ask(sql)
    assert pytest.approx(weighted.mean) == got["csat_decayed"]
    assert pytest.approx(effective) == got["csat_decayed_n_eff"]
    # Its weights are how often an answer was given; ours are brought to n_eff answers in all.
    half = 1.959963984540054 * weighted.std / (effective - 1) ** 0.5
    assert pytest.approx([weighted.mean - half, weighted.mean + half]) == [
        got["csat_decayed_lo"],
        got["csat_decayed_hi"],
    ]


def test_later_days_do_not_count(sql: FactTables) -> None:
    sql.hold(rollup_touchpoint_day=[day(1, 5, 5), day(0, 1)])
    assert 5 == ask(sql, TODAY - timedelta(days=1))["csat_decayed"]
    assert [] == sql.rows(decayed(), TENANT, TODAY - timedelta(days=2), None)


def test_age_changes_no_mean_of_one_day_and_no_count_of_answers_worth(sql: FactTables) -> None:
    sql.hold(rollup_touchpoint_day=[day(45, 2, 5, 5)])
    now, later = ask(sql), ask(sql, TODAY + timedelta(days=200))
    assert (4, 3) == (now["csat_decayed"], now["csat_decayed_n_eff"])
    assert pytest.approx([now["csat_decayed"], now["csat_decayed_lo"]]) == [
        later["csat_decayed"],
        later["csat_decayed_lo"],
    ]


def test_what_is_older_than_sixty_half_lives_does_not_count(sql: FactTables) -> None:
    sql.hold(rollup_touchpoint_day=[day(AGE_DAYS_MAX, 1)])
    assert [] == sql.rows(decayed(), TENANT, TODAY, None)
    sql.hold(rollup_touchpoint_day=[day(AGE_DAYS_MAX - 1, 1)])
    assert 1 == ask(sql)["csat_decayed"]


def test_one_answer_has_no_interval(sql: FactTables) -> None:
    sql.hold(rollup_touchpoint_day=[day(11, 4)])
    got = ask(sql)
    assert (4, 1) == (got["csat_decayed"], got["csat_decayed_n_eff"])
    assert (None, None) == (got["csat_decayed_lo"], got["csat_decayed_hi"])


def test_the_same_question_has_the_same_answer_to_the_last_bit(sql: FactTables) -> None:
    chance = random.Random(4)
    rows = [
        day(age, *(chance.randint(1, 5) for _ in range(3)), channel=channel)
        for age in range(300)
        for channel in ("store", "web", "phone")
    ]
    answers = set()
    for _ in range(5):
        chance.shuffle(rows)
        sql.hold(rollup_touchpoint_day=rows)
        answers.add(tuple(ask(sql).values()))
    assert 1 == len(answers)


def test_it_is_given_by_stage_or_channel_too(sql: FactTables) -> None:
    sql.hold(rollup_touchpoint_day=[day(0, 5), day(0, 1, channel="web")])
    rows = sql.rows(decayed("channel"), TENANT, TODAY, None)
    assert [("store", 5.0), ("web", 1.0)] == [(row["grp"], row["csat_decayed"]) for row in rows]
    assert [] == sql.rows(decayed("channel"), "other", TODAY, None)
