"""The SQL functions of scores give the reference values, and what other libraries give."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import scipy.special  # type: ignore[import-untyped]  # it has no types
import scipy.stats  # type: ignore[import-untyped]  # nor has this
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]  # it has no types
from statsmodels.stats.rates import confint_poisson  # type: ignore[import-untyped]  # it has no types
from statsmodels.stats.weightstats import DescrStatsW  # type: ignore[import-untyped]  # it has no types

from tests.support.fact_tables import FactTables, fact_tables

Z = 1.959963984540054


@pytest.fixture(scope="module")
def sql(new_database: Callable[[str], str]) -> Iterator[FactTables]:
    with fact_tables(new_database) as given:
        yield given


def each(sql: FactTables, call: str, types: str, *columns: list[Any]) -> list[Any]:
    """The results of a call whose arguments are the columns a, b, c …, one row after the other."""
    names = "abcdefgh"[: len(columns)]
    arrays = ", ".join(
        f"${number}::{type_}[]" for number, type_ in enumerate(types.split(", "), start=1)
    )
    rows = sql.rows(
        f"SELECT {call} AS got FROM unnest({arrays}) WITH ORDINALITY AS given ({', '.join(names)}, place)"
        " ORDER BY place",
        *columns,
    )
    return [row["got"] for row in rows]


@pytest.mark.parametrize(
    ("successes", "answered", "low", "high"),
    [
        (8, 10, 0.490162, 0.943318),
        (0, 5, 0, 0.434482),
        (5, 5, 0.565518, 1),
        (45, 100, 0.356145, 0.547554),
        (900, 1000, 0.879848, 0.917091),
    ],
)
def test_wilson_reference_values(
    sql: FactTables, successes: int, answered: int, low: float, high: float
) -> None:
    assert low == round(sql.value("SELECT wilson_lower($1, $2)", successes, answered), 6)
    assert high == round(sql.value("SELECT wilson_upper($1, $2)", successes, answered), 6)


# Without being clipped, the lower bound of 0/5 is -0.054572.
@pytest.mark.parametrize(
    ("successes", "answered", "low", "high"),
    [(8, 10, 0.479368, 0.954113), (0, 5, 0, 0.489055)],
)
def test_agresti_coull_reference_values(
    sql: FactTables, successes: int, answered: int, low: float, high: float
) -> None:
    assert low == round(sql.value("SELECT agresti_coull_lower($1, $2)", successes, answered), 6)
    assert high == round(sql.value("SELECT agresti_coull_upper($1, $2)", successes, answered), 6)


@pytest.mark.parametrize("method", ["wilson", "agresti_coull"])
def test_intervals_of_shares_are_those_of_statsmodels(sql: FactTables, method: str) -> None:
    answered = [n for n in range(1, 41) for _ in range(n + 1)] + [1000] * 3 + [10**9] * 3
    successes = [k for n in range(1, 41) for k in range(n + 1)]
    successes += [0, 137, 1000, 1, 5 * 10**8, 10**9]
    low, high = proportion_confint(successes, answered, method=method)
    got = each(sql, f"{method}_lower(a, b)", "bigint, bigint", successes, answered)
    assert pytest.approx(low, abs=1e-12) == got
    got = each(sql, f"{method}_upper(a, b)", "bigint, bigint", successes, answered)
    assert pytest.approx(high, abs=1e-12) == got


@pytest.mark.parametrize("method", ["wilson", "agresti_coull"])
@pytest.mark.parametrize(("successes", "answered"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_share_has_no_interval(
    sql: FactTables, method: str, successes: int, answered: int
) -> None:
    assert sql.value(f"SELECT {method}_lower($1, $2)", successes, answered) is None
    assert sql.value(f"SELECT {method}_upper($1, $2)", successes, answered) is None


@pytest.mark.parametrize(
    ("promoters", "detractors", "answered", "variance", "error"),
    [(162, 54, 324, 0.555556, 4.141), (6, 1, 10, 0.45, 21.213), (1, 0, 1, 0, 0)],
)
def test_nps_variance_reference_values(
    sql: FactTables,
    promoters: int,
    detractors: int,
    answered: int,
    variance: float,
    error: float,
) -> None:
    got = sql.value("SELECT nps_variance($1, $2, $3)", promoters, detractors, answered)
    assert variance == round(got, 6)
    assert error == round(100 * (got / answered) ** 0.5, 3)


@pytest.mark.parametrize(
    ("promoters", "detractors", "answered", "low", "high"),
    [(6, 1, 10, -0.20, 77.13), (1, 0, 1, -48.5, 98.5)],
)
def test_nps_adjusted_interval_reference_values(
    sql: FactTables, promoters: int, detractors: int, answered: int, low: float, high: float
) -> None:
    bounds = [
        sql.value("SELECT nps_bound($1, $2, $3, $4)", promoters, detractors, answered, z)
        for z in (-Z, Z)
    ]
    assert pytest.approx([low, high], abs=0.05) == bounds


def test_nps_adjusted_interval_stays_on_the_scale(sql: FactTables) -> None:
    # 101.1 without being clipped.
    assert 100 == sql.value("SELECT nps_bound(100, 0, 100, $1)", Z)
    assert -100 == sql.value("SELECT nps_bound(0, 100, 100, $1)", -Z)
    assert sql.value("SELECT nps_bound(0, 0, 0, $1)", Z) is None


def test_interval_of_a_mean_is_that_of_statsmodels_within_the_scale(sql: FactTables) -> None:
    chance = random.Random(5)
    samples = [
        [chance.randint(1, 5) for _ in range(n)] for n in (2, 3, 7, 40, 41, 42, 43, 200, 5000)
    ]
    samples += [[chance.randint(4, 5) for _ in range(n)] for n in (4, 41, 42, 60)]
    sums = [sum(sample) for sample in samples]
    squares = [sum(value * value for value in sample) for sample in samples]
    counts = [len(sample) for sample in samples]
    bounds = [DescrStatsW(sample).tconfint_mean() for sample in samples]
    types = "numeric, numeric, bigint"
    got = each(sql, "mean_bound(a, b, c, -1, 1)", types, sums, squares, counts)
    assert pytest.approx([max(1, low) for low, _ in bounds], abs=1e-8) == got
    got = each(sql, "mean_bound(a, b, c, 1, 5)", types, sums, squares, counts)
    assert pytest.approx([min(5, high) for _, high in bounds], abs=1e-8) == got


def test_interval_of_a_mean_has_the_quantiles_of_t_that_scipy_has(sql: FactTables) -> None:
    # With Σx = 0 and Σx² = n(n - 1) the mean is 0 and s/√n is 1.
    counts = [*range(2, 120), 1000, 10**6, 10**9]
    got = each(
        sql,
        "mean_bound(0, (a - 1) * a::numeric, a, 1, 'Infinity')",
        "bigint",
        counts,
    )
    assert pytest.approx([scipy.stats.t.ppf(0.975, n - 1) for n in counts], abs=1e-8) == got


def test_a_single_answer_has_no_interval_of_the_mean(sql: FactTables) -> None:
    assert sql.value("SELECT mean_bound(4, 16, 1, -1, 1)") is None
    assert sql.value("SELECT mean_bound(0, 0, 0, -1, 1)") is None


def test_interval_of_a_rate_is_that_of_statsmodels(sql: FactTables) -> None:
    events = [0, 1, 2, 3, 10, 57, 1000, 10**6]
    exposures = [1, 10, 7, 1000, 10, 3, 10**6, 10]
    bounds = [
        confint_poisson(count, exposure, method="score")
        for count, exposure in zip(events, exposures, strict=True)
    ]
    types = "bigint, bigint"
    assert pytest.approx([low for low, _ in bounds], abs=1e-9, rel=1e-12) == each(
        sql, "poisson_lower(a, b)", types, events, exposures
    )
    assert pytest.approx([high for _, high in bounds], abs=1e-9, rel=1e-12) == each(
        sql, "poisson_upper(a, b)", types, events, exposures
    )
    assert sql.value("SELECT poisson_upper(0, 0)") is None


def test_beta_quantiles_are_those_of_scipy(sql: FactTables) -> None:
    chance = random.Random(7)
    shapes = [(10 ** chance.uniform(-2, 6), 10 ** chance.uniform(-2, 6)) for _ in range(1500)]
    # A prior of 20 answers and some: what scores ask for.
    shapes += [
        (20 * mean + successes, 20 * (1 - mean) + failures)
        for mean in (0.001, 0.1, 0.5, 0.78, 0.99)
        for successes in (0, 1, 7, 150, 20_000)
        for failures in (0, 1, 7, 150, 20_000)
    ]
    # Where the way to them changes.
    shapes += [
        shape
        for least in (19.99, 20, 499.99, 500)
        for times in (1, 2, 3, 30, 3000)
        for shape in ((least, times * least), (times * least, least))
    ]
    shapes += [
        (1, 1),
        (0.5, 0.5),
        (1, 30),
        (30, 1),
        (1e-4, 20),
        (20, 1e-4),
        (1e7, 1e7),
        (1e-4, 1e-4),
    ]
    asked = [(p, a, b) for p in (0.00099, 0.001, 0.025, 0.5, 0.975) for a, b in shapes]
    p, a, b = ([float(each) for each in column] for column in zip(*asked, strict=True))
    got = each(sql, "beta_quantile(a, b, c)", ", ".join(["double precision"] * 3), p, a, b)
    want = scipy.special.betaincinv(a, b, p)
    assert pytest.approx(list(want), abs=1e-9) == got


@pytest.mark.parametrize(("p", "a", "b"), [(0, 1, 1), (1, 1, 1), (0.5, 0, 1), (0.5, 1, -1)])
def test_there_is_no_quantile_of_what_is_no_beta_distribution(
    sql: FactTables, p: float, a: float, b: float
) -> None:
    assert sql.value("SELECT beta_quantile($1, $2, $3)", p, a, b) is None


@pytest.mark.parametrize(
    ("successes", "answered", "mean"), [(1, 1, 0.790476), (0, 3, 0.678261), (9, 10, 0.82)]
)
def test_shrinkage_reference_values(
    sql: FactTables, successes: int, answered: int, mean: float
) -> None:
    assert mean == round(sql.value("SELECT shrunken($1, $2, 0.78)", successes, answered), 6)
    posterior = scipy.stats.beta(successes + 15.6, answered - successes + 4.4)
    variance = sql.value("SELECT shrunken_variance($1, $2, 0.78)", successes, answered)
    assert pytest.approx(posterior.var(), abs=1e-12) == variance
    low = sql.value("SELECT shrunken_lower($1, $2, 0.78)", successes, answered)
    high = sql.value("SELECT shrunken_upper($1, $2, 0.78)", successes, answered)
    assert pytest.approx(posterior.interval(0.95), abs=1e-9) == (low, high)


def test_ranked_by_the_lower_bound_one_of_one_does_not_come_before_many(sql: FactTables) -> None:
    few, many = (
        sql.value("SELECT shrunken_lower($1, $2, prior_mean(181, 201))", successes, answered)
        for successes, answered in ((1, 1), (180, 200))
    )
    assert few < many


def test_a_prior_of_answers_that_all_agree_is_not_certain(sql: FactTables) -> None:
    low, high = (
        sql.value(f"SELECT shrunken_{bound}(3, 3, prior_mean(3, 3))")
        for bound in ("lower", "upper")
    )
    assert 0 < low < high < 1


def test_the_functions_may_be_planned_and_run_in_parallel_as_one_likes(sql: FactTables) -> None:
    rows = sql.rows(
        "SELECT proname, provolatile::text, proparallel::text FROM pg_proc"
        " WHERE pronamespace = current_schema()::regnamespace AND proname <> 'current_tenant'"
    )
    assert len(rows) > 10
    assert {("i", "s")} == {(row["provolatile"], row["proparallel"]) for row in rows}


def test_the_functions_work_by_their_full_name_whatever_the_search_path(
    sql: FactTables,
) -> None:
    functions = {
        "wilson_lower": "8, 10",
        "agresti_coull_upper": "8, 10",
        "poisson_upper": "8, 10",
        "nps_bound": "6, 1, 10, 1.96",
        "mean_bound": "9, 41, 2, -1, 1",
        "beta_quantile": "0.5, 2, 3",
        "shrunken_lower": "8, 10, 0.5",
        "shrunken_variance": "8, 10, 0.5",
    }
    call = ", ".join(f"{{schema}}{name}({given})" for name, given in functions.items())
    [want] = sql.rows(f"SELECT ARRAY[{call.format(schema='')}] AS got")
    schema = sql.value("SELECT current_schema()::text")
    with psycopg.connect(sql.url, options="-c search_path=pg_catalog") as connection:
        assert connection.execute(
            f"SELECT ARRAY[{call.format(schema=schema + '.')}]".encode()
        ).fetchone() == (want["got"],)
        # A switch of models renames the schema.
        connection.execute(f"ALTER SCHEMA {schema} RENAME TO renamed".encode())
        assert connection.execute(
            f"SELECT ARRAY[{call.format(schema='renamed.')}]".encode()
        ).fetchone() == (want["got"],)
        connection.rollback()
