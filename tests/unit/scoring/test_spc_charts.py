"""Control charts give the values of their literature, and the alarms of the real orders."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction

import pytest

from services.scoring.alerts import binomial, false_discovery, run_length
from services.scoring.alerts.chart import Direction, Point
from services.scoring.alerts.ewma import Ewma
from services.scoring.alerts.p_chart import Limits, PChart
from tests.support import real_orders

START = date(2026, 1, 5)
DIRECTIONS = list(Direction)


def points(*counts: tuple[int, int]) -> list[Point]:
    """(part, whole) of week after week."""
    return [Point(START + timedelta(weeks=nth), *each) for nth, each in enumerate(counts)]


def exact_at_most(count: int, n: int, p: Fraction) -> Fraction:
    """P(X <= count) in whole numbers."""
    terms = (math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(count + 1))
    return sum(terms, Fraction(0))


def real_points() -> tuple[list[Point], float]:
    """Week by week, and p0 of the baseline, as the expected figures have it."""
    counts: Counter[date] = Counter()
    low: Counter[date] = Counter()
    for asked, answer in real_orders.answers_of_delivered():
        week = asked - timedelta(days=asked.weekday())
        counts[week] += 1
        low[week] += answer <= 2
    first, before = real_orders.monday("2017-W14"), real_orders.monday("2018-W35")
    weeks = real_orders.weeks_between(first, before)
    found = [Point(week, low[week], counts[week]) for week in weeks if counts[week]]
    baseline = [each for each in found if each.period < real_orders.monday("2017-W47")]
    return found, sum(each.part for each in baseline) / sum(each.whole for each in baseline)


def alarms(chart: PChart | Ewma, counts: Sequence[Point], p0: float) -> list[str]:
    judged = chart.judge(counts, p0, Direction.UP)
    return [real_orders.week(each.point.period) for each in judged if each.is_alarm]


def test_an_ewma_chart_gives_the_reference_values() -> None:
    judged = Ewma(weight=0.2, width=3).judge(
        points((10, 100), (20, 100), (20, 100)), 0.1, Direction.UP
    )

    assert [0.1, 0.12, 0.136] == pytest.approx([each.statistic for each in judged])
    assert [0.118, 0.123051, 0.12577] == pytest.approx([each.upper for each in judged], abs=5e-7)
    assert [False, False, True] == [each.is_alarm for each in judged]


def test_an_ewma_chart_that_goes_on_after_a_point_is_the_one_that_began_before_it() -> None:
    counts = points((10, 100), (20, 50), (1, 7), (20, 100))
    chart = Ewma()
    whole = chart.judge(counts, 0.1, Direction.BOTH)

    rest = chart.judge(counts[2:], 0.1, Direction.BOTH, after=whole[1])

    assert whole[2:] == rest


def test_an_ewma_chart_of_weight_one_is_a_p_chart_with_normal_limits() -> None:
    counts = points((10, 100), (30, 100), (1, 7))

    ewma = Ewma(weight=1).judge(counts, 0.1, Direction.BOTH)
    p_chart = PChart(Limits.NORMAL).judge(counts, 0.1, Direction.BOTH)

    for one, other in zip(ewma, p_chart, strict=True):
        assert other.statistic == one.statistic
        assert (other.lower, other.upper) == pytest.approx((one.lower, one.upper))
        assert other.p_value == pytest.approx(one.p_value)
        assert other.is_alarm == one.is_alarm


def test_the_p_chart_of_the_real_orders_has_the_expected_alarms() -> None:
    counts, p0 = real_points()
    expected = real_orders.expected_alarms()

    assert expected["p0"] == pytest.approx(p0, abs=1e-6)
    assert expected["p_chart_3_sigma_normal"] == alarms(PChart(Limits.NORMAL), counts, p0)
    assert expected["p_chart_exact_binomial_0.00135"] == alarms(PChart(Limits.EXACT), counts, p0)


def test_the_ewma_chart_of_the_real_orders_has_the_expected_alarms() -> None:
    counts, p0 = real_points()

    found = alarms(Ewma(weight=0.2, width=3), counts, p0)

    assert real_orders.expected_alarms()["ewma_lambda_0.2_L_3_start_p0"] == found


@pytest.mark.parametrize("n", [1, 2, 7, 40, 300])
@pytest.mark.parametrize("p", ["1/1000", "1/10", "1/2", "97/100"])
def test_binomial_tails_are_those_of_whole_numbers(n: int, p: str) -> None:
    exact = Fraction(p)
    for count in {*range(min(n, 12) + 1), n // 2, n - 1, n}:
        at_most = exact_at_most(count, n, exact)
        assert float(at_most) == pytest.approx(
            binomial.at_most(count, n, float(exact)), rel=1e-9, abs=1e-300
        )
        at_least = 1 - at_most + math.comb(n, count) * exact**count * (1 - exact) ** (n - count)
        assert float(at_least) == pytest.approx(
            binomial.at_least(count, n, float(exact)), rel=1e-9, abs=1e-300
        )


@pytest.mark.parametrize("n", [1, 3, 11, 37, 200])
@pytest.mark.parametrize("p", ["1/100", "1/10", "1/2", "9/10"])
def test_exact_limits_are_the_outermost_counts_that_are_not_too_unlikely(n: int, p: str) -> None:
    tail = Fraction("0.00135")

    fewest, most = binomial.limits(n, float(Fraction(p)), float(tail))

    assert exact_at_most(fewest, n, Fraction(p)) > tail
    assert not fewest or exact_at_most(fewest - 1, n, Fraction(p)) <= tail
    assert not most or 1 - exact_at_most(most - 1, n, Fraction(p)) > tail
    assert 1 - exact_at_most(most, n, Fraction(p)) <= tail


def test_limits_are_exact_where_fewer_than_five_are_expected_in_or_out_of_the_part() -> None:
    chart = PChart(Limits.BY_SIZE)

    assert [True, False, True, False] == [
        chart.is_exact(49, 0.1),
        chart.is_exact(50, 0.1),
        chart.is_exact(49, 0.9),
        chart.is_exact(20, 0.5),
    ]


def test_a_point_on_its_limit_is_no_alarm() -> None:
    _, most = binomial.limits(20, 0.1, 0.00135)
    on, beyond = PChart(Limits.EXACT).judge(points((most, 20), (most + 1, 20)), 0.1, Direction.BOTH)

    assert (False, True) == (on.is_alarm, beyond.is_alarm)
    assert beyond.p_value / 2 <= 0.00135 < on.p_value / 2


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("limits", list(Limits))
@pytest.mark.parametrize(("n", "p0"), [(5, 0.3), (60, 0.1), (400, 0.05)])
def test_the_chance_of_a_false_alarm_is_that_of_all_counts_that_are_alarms(
    direction: Direction, limits: Limits, n: int, p0: float
) -> None:
    chart = PChart(limits)
    counts = points(*((count, n) for count in range(n + 1)))
    judged = chart.judge(counts, p0, direction)

    chance = sum(binomial.probability(each.point.part, n, p0) for each in judged if each.is_alarm)

    assert chance == pytest.approx(chart.alarm_probability(n, p0, direction), rel=1e-9)


def test_exact_limits_give_false_alarms_no_oftener_than_promised_and_normal_ones_do() -> None:
    # What makes exact limits the default for small counts.
    sizes = range(5, 50)
    exact = [PChart(Limits.EXACT).alarm_probability(n, 0.1, Direction.UP) for n in sizes]
    normal = [PChart(Limits.NORMAL).alarm_probability(n, 0.1, Direction.UP) for n in sizes]

    assert max(exact) <= 0.00135
    assert min(normal) > 0.00135


def test_the_run_length_of_a_p_chart_is_that_of_its_mean_chance() -> None:
    chart = PChart(Limits.NORMAL)
    chances = [chart.alarm_probability(n, 0.1, Direction.UP) for n in (20, 20, 50)]

    found = run_length.of_p_chart(chart, [20, 20, 50], 0.1, Direction.UP)

    assert 3 / sum(chances) == pytest.approx(found.points)


# Montgomery, Introduction to Statistical Quality Control: designs of EWMA charts for normal data with limits
# that stand still, all of a run length of about 500. Limits that widen, as here, cost some of it.
@pytest.mark.parametrize(
    ("weight", "width"), [(0.4, 3.054), (0.25, 2.998), (0.2, 2.962), (0.1, 2.814)]
)
def test_the_run_length_of_an_ewma_chart_of_many_is_that_of_the_literature(
    weight: float, width: float
) -> None:
    found = run_length.of_ewma(Ewma(weight, width), [2000], 0.5, Direction.BOTH)

    assert found.points == pytest.approx(500, rel=0.04)


@pytest.mark.parametrize(
    ("n", "p0", "direction"),
    [(30, 0.1, Direction.UP), (30, 0.1, Direction.BOTH), (60, 0.9, Direction.DOWN)],
)
def test_the_run_length_of_an_ewma_chart_is_what_a_simulation_gives(
    n: int, p0: float, direction: Direction
) -> None:
    chart = Ewma(weight=0.2, width=2.0)  # short runs, so that 2000 of them take a second
    drawn = random.Random(17)
    chances = [binomial.at_most(count, n, p0) for count in range(n + 1)]

    def one_run() -> int:
        average, variance, length = p0, 0.0, 0
        while True:
            length += 1
            draw = drawn.random()
            count = next(count for count, below in enumerate(chances) if draw <= below)
            average = 0.2 * count / n + 0.8 * average
            variance = 0.04 * p0 * (1 - p0) / n + 0.64 * variance
            far = (average - p0) / math.sqrt(variance)
            if (far > 2 and direction is not Direction.DOWN) or (
                far < -2 and direction is not Direction.UP
            ):
                return length

    runs = [one_run() for _ in range(2000)]
    mean = sum(runs) / len(runs)
    error = math.sqrt(sum((run - mean) ** 2 for run in runs)) / len(runs)

    found = run_length.of_ewma(chart, [n], p0, direction)

    # Four standard errors, and the 2 % that cells cost.
    assert found.points == pytest.approx(mean, abs=4 * error + 0.02 * mean)


@pytest.mark.parametrize("weight", [0.01, 0.05, 0.2])
def test_twice_as_many_cells_change_a_run_length_by_less_than_two_percent(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    chart = Ewma(weight=weight, width=3.0)
    found = run_length.of_ewma(chart, [100], 0.1, Direction.UP)
    monkeypatch.setattr(run_length, "CELLS", 2 * run_length.CELLS)

    finer = run_length.of_ewma(chart, [100], 0.1, Direction.UP)

    assert found.points == pytest.approx(finer.points, rel=0.02)


def test_a_chart_that_can_never_alarm_runs_for_ever() -> None:
    down = Direction.DOWN

    assert math.inf == run_length.of_p_chart(PChart(Limits.EXACT), [20], 0.1, down).points
    assert math.inf == run_length.of_ewma(Ewma(weight=1.0), [20], 0.1, down).points


def test_benjamini_and_hochberg_keep_what_their_paper_keeps() -> None:
    # The fifteen p-values of Benjamini and Hochberg (1995), section 4; at 0.05 four of them stay.
    given = (
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459),
        *(0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
    )
    values = {f"hypothesis {nth:02}": value for nth, value in enumerate(given, start=1)}

    kept = false_discovery.kept(values, charts=len(values), rate=0.05)

    assert {f"hypothesis {nth:02}" for nth in range(1, 5)} == kept


def test_an_alarm_among_many_charts_needs_more_than_one_alone() -> None:
    alarm = {"store": 0.001}

    assert {"store"} == false_discovery.kept(alarm, charts=10, rate=0.1)
    assert set() == false_discovery.kept(alarm, charts=200, rate=0.1)
