"""Each metric says what plain arithmetic says, over the facts that it means and no others."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import scipy.stats  # type: ignore[import-untyped]  # it has no types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.scoring.metrics import METRICS
from tests.support.fact_tables import FactTables, answer, fact, fact_tables, interaction

TABLES = ("fact_interaction", "fact_feedback_request", "fact_feedback")
SUMS = {name: each for metric in METRICS for name, each in metric.sums.items()}
SCORES = {name: each for metric in METRICS for name, each in metric.scores.items()}
Z = 1.959963984540054


@pytest.fixture(scope="module")
def sql(new_database: Callable[[str], str]) -> Iterator[FactTables]:
    with fact_tables(new_database) as given_tables:
        yield given_tables


def sums_of(table: str) -> str:
    own = {
        name: each
        for metric in METRICS
        if metric.facts == table
        for name, each in metric.sums.items()
    }
    return ", ".join(f"{each.sql} AS {name}" for name, each in own.items())


def score(sql: FactTables, touchpoint: str = "store.checkout") -> dict[str, Any]:
    """All sums and scores of one touchpoint; the parent is everything that the tables hold."""
    of_one = " CROSS JOIN ".join(
        f"(SELECT {sums_of(table)} FROM {table} WHERE touchpoint = $1) AS {table}"
        for table in TABLES
    )
    of_all = " CROSS JOIN ".join(
        f"(SELECT {sums_of(table)} FROM {table}) AS all_{table}" for table in TABLES
    )
    parents = ", ".join(f"parent.{name} AS parent_{name}" for name in SUMS)
    scored = ", ".join(f"{each.sql} AS {name}" for name, each in SCORES.items())
    [row] = sql.rows(
        f"WITH own AS (SELECT * FROM {of_one}), parent AS (SELECT * FROM {of_all}),"
        f" sums AS (SELECT own.*, {parents} FROM own CROSS JOIN parent)"
        f" SELECT {', '.join(SUMS)}, {scored} FROM sums",
        touchpoint,
    )
    return row


positions = itertools.count(1)


def answers(metric: str, *values: Any, **fields: Any) -> list[dict[str, Any]]:
    return [answer(next(positions), metric, value, **fields) for value in values]


def test_nobody_answered_is_null_for_every_score(sql: FactTables) -> None:
    sql.hold()
    got = score(sql)
    assert {0} == {got[name] for name in SUMS}
    assert {"health_n"} == {name for name in SCORES if got[name] is not None}


# CSAT


def test_csat_has_its_mean_and_boxes_with_intervals(sql: FactTables) -> None:
    sql.hold(fact_feedback=answers("csat", *[5] * 8, *[1] * 2))
    got = score(sql)
    assert (10, 4.2, 0.8, 0.2) == (
        *(got["csat_answered"], got["csat_mean"]),
        *(got["top2"], got["bottom2"]),
    )
    # Reference values of Wilson 8/10; 2/10 is the mirror image.
    assert (0.490162, 0.943318) == (round(got["top2_lo"], 6), round(got["top2_hi"], 6))
    assert (0.056682, 0.509838) == (round(got["bottom2_lo"], 6), round(got["bottom2_hi"], 6))
    low, high = scipy.stats.t.interval(0.95, 9, loc=4.2, scale=scipy.stats.sem([5] * 8 + [1] * 2))
    assert high > 5
    assert pytest.approx([low, 5]) == [got["csat_mean_lo"], got["csat_mean_hi"]]


def test_a_single_csat_answer_has_no_interval_of_the_mean(sql: FactTables) -> None:
    sql.hold(fact_feedback=answers("csat", 4))
    got = score(sql)
    assert (4, None, None) == (got["csat_mean"], got["csat_mean_lo"], got["csat_mean_hi"])


def test_answers_on_several_scales_are_never_averaged_raw(sql: FactTables) -> None:
    sql.hold(
        fact_feedback=[
            answer(1, value=4),
            answer(2, value=7, scale=(1, 7)),
            answer(3, value=10, scale=(0, 10)),
            answer(4, value=2, better=False),
        ]
    )
    got = score(sql)
    assert (1, 3, 4) == (got["csat_answered"], got["csat_other_scale"], got["csat_mean"])
    # 75, 100, 100 and, as less is better there, 75.
    assert (4, 4) == (got["csat_answered_v2"], got["csat_satisfied_v2"])
    assert 87.5 == got["csat_mean_v2"]


def test_the_second_version_of_csat_changes_nothing_of_the_first(sql: FactTables) -> None:
    on_scale = answers("csat", 3, 4, 5, 5)
    first = ("csat_answered", "csat_mean", "csat_mean_lo", "csat_mean_hi", "top2", "bottom2")
    sql.hold(fact_feedback=on_scale)
    before = score(sql)
    sql.hold(fact_feedback=[*on_scale, *answers("csat", 9, scale=(0, 10))])
    after = score(sql)
    assert [before[name] for name in first] == [after[name] for name in first]
    assert before["csat_mean_v2"] != after["csat_mean_v2"]


@pytest.mark.parametrize(
    ("scale", "satisfied"),
    [((1, 5), [4, 5]), ((1, 7), [6, 7]), ((0, 10), [8, 9, 10]), ((1, 4), [4]), ((0, 1), [1])],
)
def test_satisfied_is_three_quarters_up_any_scale(
    sql: FactTables, scale: tuple[int, int], satisfied: list[int]
) -> None:
    values = range(scale[0], scale[1] + 1)
    for value in values:
        sql.hold(fact_feedback=answers("csat", value, scale=scale))
        assert (value in satisfied) == score(sql)["csat_satisfied_v2"]


@pytest.mark.parametrize("metric", ["csat", "nps", "ces", "rating", "thumbs", "sentiment"])
def test_an_answer_about_one_dimension_is_none_about_the_whole(
    sql: FactTables, metric: str
) -> None:
    sql.hold(fact_feedback=answers(metric, 1, scale=(0, 1), dimension="speed"))
    got = score(sql)
    assert {"answered"} == {name for name in SUMS if got[name]}


# NPS


def test_nps_has_its_variance_and_error_and_the_adjusted_interval(sql: FactTables) -> None:
    values = [10] * 81 + [9] * 81 + [7] * 54 + [8] * 54 + [0] * 27 + [6] * 27
    sql.hold(fact_feedback=answers("nps", *values, scale=(0, 10)))
    got = score(sql)
    # The reference: 162 promoters, 108 passives, 54 detractors.
    assert (162, 54, 324) == (got["nps_promoters"], got["nps_detractors"], got["nps_answered"])
    assert 33.333 == round(got["nps"], 3)
    assert pytest.approx(5 / 9) == got["nps_variance"]
    assert 4.141 == round(got["nps_se"], 3)
    assert got["nps_lo"] < got["nps"] < got["nps_hi"]


def test_one_promoter_has_no_plain_error_but_an_interval(sql: FactTables) -> None:
    sql.hold(fact_feedback=answers("nps", 9, scale=(0, 10)))
    got = score(sql)
    assert (100, 0) == (got["nps"], got["nps_se"])
    assert pytest.approx([-48.5, 98.5], abs=0.05) == [got["nps_lo"], got["nps_hi"]]


# Effort


def test_effort_1_and_effort_2_are_told_apart_by_scale_and_direction(sql: FactTables) -> None:
    sql.hold(
        fact_feedback=[
            *answers("ces", 1, 2, 5, better=False),
            *answers("ces", 5, 7, 4, 1, scale=(1, 7)),
            *answers("ces", 5, better=True),
            *answers("ces", 5, scale=(1, 7), better=False),
            *answers("ces", 5, scale=(0, 10)),
        ]
    )
    got = score(sql)
    assert (3, 2, 8 / 3) == (got["ces1_answered"], got["ces1_low_effort"], got["ces1_mean"])
    assert (4, 2, 0.5) == (got["ces2_answered"], got["ces2_easy"], got["ces2"])
    assert 3 == got["ces_other_scale"]


# Ratings, thumbs, sentiment


def test_stars_are_those_of_1_to_5(sql: FactTables) -> None:
    sql.hold(fact_feedback=[*answers("rating", 5, 4), *answers("rating", 9, scale=(1, 10))])
    got = score(sql)
    assert (2, 4.5, 1) == (got["rating_answered"], got["rating_mean"], got["rating_other_scale"])


def test_thumbs_are_a_share(sql: FactTables) -> None:
    sql.hold(fact_feedback=answers("thumbs", 1, 1, 0, 1, scale=(0, 1)))
    got = score(sql)
    assert (4, 3, 0.75) == (got["thumbs_answered"], got["thumbs_up"], got["up_share"])


def test_sentiment_is_brought_to_one_scale_and_says_when_models_are_mixed(sql: FactTables) -> None:
    of_one = answers("sentiment", 50, -100, scale=(-100, 100), model="m/1")
    sql.hold(fact_feedback=of_one)
    got = score(sql)
    assert (2, -0.25, 1) == (
        *(got["sentiment_answered"], got["sentiment_mean"]),
        got["sentiment_models"],
    )
    for other in ("m/2", None):
        sql.hold(fact_feedback=[*of_one, *answers("sentiment", 1, scale=(0, 1), model=other)])
        got = score(sql)
        assert pytest.approx(0.5 / 3) == got["sentiment_mean"]
        assert 2 == got["sentiment_models"]


# What customers did and said beside answers


def test_outcomes_are_shares_of_those_that_are_known(sql: FactTables) -> None:
    outcomes = [
        "completed",
        "completed",
        "resolved",
        "transferred",
        "abandoned",
        "failed",
        "returned",
    ]
    sql.hold(
        fact_interaction=[
            interaction(position, outcome=outcome)
            for position, outcome in enumerate([*outcomes, "unspecified"], 1)
        ]
    )
    got = score(sql)
    assert (8, 7) == (got["interactions"], got["outcomes_said"])
    assert pytest.approx(2 / 7) == got["completed_share"]
    for outcome in outcomes[2:]:
        assert pytest.approx(1 / 7) == got[f"{outcome}_share"]
        assert got[f"{outcome}_share_lo"] < 1 / 7 < got[f"{outcome}_share_hi"]


def test_waits_are_of_those_that_were_measured(sql: FactTables) -> None:
    waits = [0, 30, Decimal("90.5"), None]
    sql.hold(
        fact_interaction=[
            interaction(position, wait_seconds=wait) for position, wait in enumerate(waits, 1)
        ]
    )
    got = score(sql)
    error = scipy.stats.sem([0, 30, 90.5])
    low, high = scipy.stats.t.interval(0.95, 2, loc=120.5 / 3, scale=error)
    assert (3, Decimal("120.5")) == (got["waits_known"], got["wait_sum"])
    assert low < 0
    assert pytest.approx([120.5 / 3, 0, high]) == [
        *(got["wait_mean"], got["wait_mean_lo"], got["wait_mean_hi"])
    ]


def test_a_mean_wait_has_no_upper_end_of_its_scale(sql: FactTables) -> None:
    sql.hold(fact_interaction=[interaction(1, wait_seconds=0), interaction(2, wait_seconds=86_400)])
    assert score(sql)["wait_mean_hi"] > 500_000


def requests(asked: int, suppressed: int = 0) -> list[dict[str, Any]]:
    decisions = ["requested"] * asked + ["suppressed"] * suppressed
    return [fact(position, decision=decision) for position, decision in enumerate(decisions, 1)]


def test_the_response_rate_is_of_requests_and_of_answers_that_name_one(sql: FactTables) -> None:
    sql.hold(
        fact_feedback_request=requests(10, suppressed=3),
        fact_feedback=[
            *(answer(number, request_id=f"request {number}") for number in range(4)),
            # The second answer of one feedback, and feedback that nobody asked for.
            answer(1, request_id="request 1", signal_index=1),
            answer(9),
        ],
    )
    got = score(sql)
    assert (10, 3, 5, 4) == (
        *(got["asked"], got["suppressed"]),
        *(got["answered"], got["answered_requests"]),
    )
    assert 0.4 == got["response_rate"]
    assert got["response_rate_lo"] < 0.4 < got["response_rate_hi"]


def test_more_answers_than_requests_are_a_rate_without_interval(sql: FactTables) -> None:
    sql.hold(
        fact_feedback_request=requests(1),
        fact_feedback=[answer(number, request_id=f"request {number}") for number in range(3)],
    )
    got = score(sql)
    assert (3, None, None) == (
        *(got["response_rate"], got["response_rate_lo"]),
        got["response_rate_hi"],
    )


def test_complaints_and_compliments_are_rates_of_interactions(sql: FactTables) -> None:
    sql.hold(
        fact_interaction=[interaction(number) for number in range(50)],
        fact_feedback=[
            answer(1, kind="complaint"),
            answer(1, kind="complaint", signal_index=1),
            answer(2, kind="complaint"),
            answer(3, None, None, kind="compliment"),
            answer(4, kind="comment"),
        ],
    )
    got = score(sql)
    assert (2, 1) == (got["complaints"], got["compliments"])
    assert (40, 20) == (got["complaints_per_1000"], got["compliments_per_1000"])
    assert 0 < got["complaints_per_1000_lo"] < 40 < got["complaints_per_1000_hi"]


# Shrunken scores and health


def test_a_touchpoint_is_shrunk_towards_the_whole_tenant(sql: FactTables) -> None:
    elsewhere = answers("csat", *[5] * 156, *[1] * 44, touchpoint="web.returns")
    sql.hold(fact_feedback=[*elsewhere, *answers("csat", 5)])
    got = score(sql)
    prior = (157 + 0.5) / (201 + 1)
    posterior = scipy.stats.beta(1 + 20 * prior, 20 * (1 - prior))
    assert 1 == got["top2"]
    assert pytest.approx(posterior.mean()) == got["top2_shrunken"]
    assert pytest.approx(posterior.interval(0.95), abs=1e-9) == (
        *(got["top2_shrunken_lo"], got["top2_shrunken_hi"]),
    )


def test_health_is_the_weighted_mean_of_its_shrunken_parts(sql: FactTables) -> None:
    sql.hold(
        fact_feedback=[*answers("csat", 5, 5, 4, 1), *answers("ces", 7, 6, 2, scale=(1, 7))],
        fact_interaction=[
            interaction(number, outcome=outcome)
            for number, outcome in enumerate(["completed"] * 7 + ["failed", "abandoned"])
        ],
    )
    got = score(sql)

    def part(successes: int, answered: int) -> tuple[float, float]:
        prior = (successes + 0.5) / (answered + 1)
        shrunk = scipy.stats.beta(successes + 20 * prior, answered - successes + 20 * (1 - prior))
        return 100 * shrunk.mean(), 100 * 100 * shrunk.var()

    parts = {"satisfaction": part(3, 4), "ease": part(2, 3), "reliability": part(7, 9)}
    for name, (mean, _) in parts.items():
        assert pytest.approx(mean) == got[f"health_{name}"]
    weights = {"satisfaction": 0.5, "ease": 0.25, "reliability": 0.25}
    health = sum(weights[name] * mean for name, (mean, _) in parts.items())
    half = Z * sum(weights[name] ** 2 * variance for name, (_, variance) in parts.items()) ** 0.5
    assert pytest.approx([health, health - half, health + half]) == [
        *(got["health"], got["health_lo"], got["health_hi"])
    ]
    assert (16, 1) == (got["health_n"], got["health_weight"])


def test_a_part_of_health_that_nobody_answered_is_left_out(sql: FactTables) -> None:
    # Effort 1.0 is read where there is no effort 2.0.
    effort = answers("ces", 1, 2, 4, better=False)
    sql.hold(fact_feedback=effort)
    got = score(sql)
    assert (None, None) == (got["health_satisfaction"], got["health_reliability"])
    assert pytest.approx(100 * (2 + 20 * 2.5 / 4) / 23) == got["health_ease"]
    assert pytest.approx(got["health_ease"]) == got["health"]
    assert (3, 0.25) == (got["health_n"], got["health_weight"])
    sql.hold(fact_feedback=[*effort, *answers("ces", 1, scale=(1, 7))])
    got = score(sql)
    assert (1, pytest.approx(100 * 20 * 0.25 / 21)) == (got["health_n"], got["health_ease"])


# All of it, over anything

SCALES = [(1, 5, True), (1, 5, False), (1, 7, True), (0, 10, True), (0, 1, True), (-1, 1, True)]


@st.composite
def signals(draw: st.DrawFn) -> dict[str, Any]:
    metric = draw(st.sampled_from(["csat", "nps", "ces", "rating", "thumbs", "sentiment"]))
    low, high, better = draw(st.sampled_from(SCALES))
    if metric in ("nps", "thumbs"):
        # The only scales that are admitted.
        low, high, better = (0, 10, True) if metric == "nps" else (0, 1, True)
    return {
        "metric": metric,
        "value": draw(st.decimals(low, high, places=draw(st.sampled_from([0, 0, 0, 6])))),
        "scale": (low, high),
        "better": better,
        "dimension": draw(st.sampled_from([None, None, None, "speed"])),
        "model": draw(st.sampled_from(["m/1", "m/2"])) if metric == "sentiment" else None,
    }


def close(value: Fraction | None) -> Any:
    return None if value is None else pytest.approx(float(value), abs=1e-12, rel=1e-12)


def mean(values: list[Fraction]) -> Any:
    return close(sum(values, Fraction()) / len(values) if values else None)


def rescaled(row: Mapping[str, Any]) -> Fraction:
    value = Fraction(row["value"])
    low, high = row["scale"]
    up: Fraction = value - low if row["better"] else high - value
    return up / Fraction(high - low)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(signals(), max_size=30))
def test_every_mean_and_share_is_what_plain_arithmetic_says(
    sql: FactTables, drawn: list[dict[str, Any]]
) -> None:
    sql.hold(fact_feedback=[answer(position, **row) for position, row in enumerate(drawn, 1)])
    got = score(sql)

    def chosen(metric: str, low: int, high: int, better: bool) -> list[Fraction]:
        return [
            Fraction(row["value"])
            for row in whole
            if (row["metric"], row["scale"], row["better"]) == (metric, (low, high), better)
        ]

    whole = [row for row in drawn if row["dimension"] is None]
    csat = chosen("csat", 1, 5, True)
    assert len(csat) == got["csat_answered"]
    assert sum(csat, Fraction()) == got["csat_sum"]
    assert sum((value * value for value in csat), Fraction()) == got["csat_squares"]
    assert mean(csat) == got["csat_mean"]
    assert mean([Fraction(value >= 4) for value in csat]) == got["top2"]
    assert mean([Fraction(value <= 2) for value in csat]) == got["bottom2"]
    assert mean(chosen("ces", 1, 5, False)) == got["ces1_mean"]
    assert mean([Fraction(value >= 5) for value in chosen("ces", 1, 7, True)]) == got["ces2"]
    assert mean(chosen("rating", 1, 5, True)) == got["rating_mean"]
    assert mean([Fraction(value == 1) for value in chosen("thumbs", 0, 1, True)]) == got["up_share"]
    promoters = [
        Fraction(100 * ((value >= 9) - (value <= 6))) for value in chosen("nps", 0, 10, True)
    ]
    assert mean(promoters) == got["nps"]
    of_csat = [rescaled(row) for row in whole if row["metric"] == "csat"]
    of_sentiment = [row for row in whole if row["metric"] == "sentiment"]
    assert mean([Fraction(value >= Fraction(3, 4)) for value in of_csat]) == got["satisfied_v2"]
    if of_csat:
        # Each one is rounded to six decimals.
        plain = 100 * sum(of_csat) / len(of_csat)
        assert pytest.approx(float(plain), abs=1e-6) == got["csat_mean_v2"]
    if of_sentiment:
        plain = sum(2 * rescaled(row) - 1 for row in of_sentiment) / Fraction(len(of_sentiment))
        assert pytest.approx(float(plain), abs=1e-6) == got["sentiment_mean"]
        assert len({row["model"] for row in of_sentiment}) == got["sentiment_models"]
    # The adjusted interval of nps is about another centre: 100 of one answer is above its upper bound.
    for name in SCORES.keys() - {"nps"}:
        if f"{name}_lo" in SCORES and got[f"{name}_lo"] is not None:
            assert got[f"{name}_lo"] <= got[name] + 1e-12
            assert got[name] <= got[f"{name}_hi"] + 1e-12


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(signals(), st.booleans()), min_size=1, max_size=20))
def test_sums_of_groups_add_up_to_those_of_the_whole_exactly(
    sql: FactTables, drawn: list[tuple[dict[str, Any], bool]]
) -> None:
    rows = [
        answer(position, touchpoint="a" if first else "b", **row)
        for position, (row, first) in enumerate(drawn, 1)
    ]
    sql.hold(fact_feedback=rows)
    a, b = score(sql, "a"), score(sql, "b")
    sql.hold(fact_feedback=[row | {"touchpoint": "a"} for row in rows])
    whole = score(sql, "a")
    assert {name: a[name] + b[name] for name in SUMS} == {name: whole[name] for name in SUMS}
