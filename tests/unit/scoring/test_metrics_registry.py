"""What every metric keeps to: names that last, a meaning for each column, an interval for each score."""

import re

from services.scoring.derived import DERIVED
from services.scoring.metric import Derived, Metric, Score, Sum
from services.scoring.metrics import METRICS

ALL: tuple[Metric | Derived, ...] = (*METRICS, *DERIVED)
SUMS: list[tuple[str, Sum]] = [named for each in ALL for named in each.sums.items()]
SCORES: list[tuple[str, Score]] = [named for each in ALL for named in each.scores.items()]
MEANINGS = [(name, each.meaning) for name, each in SUMS] + [
    (name, each.meaning) for name, each in SCORES
]
# No estimates: what says how far to trust others, and the parts that health is made of.
WITHOUT_INTERVAL = {
    *("nps_variance", "nps_se", "sentiment_models", "health_n", "health_weight"),
    *("health_satisfaction", "health_ease", "health_reliability"),
}


def test_no_two_columns_have_one_name() -> None:
    names = [name for name, _ in (*SUMS, *SCORES)]
    assert sorted(set(names)) == sorted(names)


def test_no_two_metrics_have_one_name_and_version() -> None:
    named = [(each.name, each.version) for each in ALL]
    assert sorted(set(named)) == sorted(named)


def test_columns_are_named_in_lower_snake_case() -> None:
    # 40 of the 63 characters that PostgreSQL keeps: BI tools put something before or behind.
    named = re.compile(r"(?=.{1,40}$)[a-z][a-z0-9]*(_[a-z0-9]+)*")
    assert [] == [name for name, _ in (*SUMS, *SCORES) if not named.fullmatch(name)]


def test_a_column_has_a_meaning_of_one_sentence() -> None:
    sentence = re.compile(r"[A-Z0-9a-z][^']+\.")
    of_rows = [(each.name, each.meaning) for each in DERIVED]
    columns = [(name, c.meaning) for each in DERIVED for name, c in each.columns.items()]
    told = (*MEANINGS, *of_rows, *columns)
    assert [] == [name for name, meaning in told if not sentence.fullmatch(meaning)]


def test_a_score_says_where_its_formula_is_from() -> None:
    assert [] == [name for name, score in SCORES if not re.search(r"\(.+\)", score.meaning)]


def test_a_score_has_its_interval() -> None:
    names = {name for name, _ in SCORES}
    bases = {re.sub("_(lo|hi)$", "", name) for name in names} - WITHOUT_INTERVAL
    assert set() == {base for base in bases if not {base, f"{base}_lo", f"{base}_hi"} <= names}


def test_no_sum_is_a_float() -> None:
    types = {each.type for _, each in SUMS}
    assert {"bigint", "numeric"} == types
    assert [] == [name for name, each in SUMS if re.search("double|float|real", each.sql)]


def test_two_versions_of_a_formula_stand_side_by_side() -> None:
    assert {1, 2} <= {metric.version for metric in METRICS if metric.name == "csat"}
