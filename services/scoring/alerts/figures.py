"""How often a rule is wrong while nothing has changed: what is printed with each rule."""

from dataclasses import dataclass

from services.scoring.alerts import run_length
from services.scoring.alerts.judgement import Chart, Judgement
from services.scoring.alerts.p_chart import PChart
from services.scoring.alerts.rule import Rule
from services.scoring.alerts.run_length import RunLength

# More charts than this would take minutes; these groups are named by publishers.
GROUPS_MAX = 1000
DAYS_PER_YEAR = 365.2425
# Markov chains take a tenth of a second each, and a second for the least weight: charts of like size share
# one.
CHAINS_MAX = 8


@dataclass(frozen=True, slots=True)
class Figures:
    groups: int
    groups_without_baseline: int
    # Of all charts together: points for each false alarm. None while there is nothing to work it out from.
    run_length: RunLength | None
    false_alarms_per_year: float | None
    # Among the points that were judged.
    false_alarms_expected: float
    points: int


@dataclass(frozen=True, slots=True)
class _Sized:
    """A chart with the sizes of the periods that stand for those to come."""

    chart: Chart
    p0: float
    sizes: list[int]
    periods: int


def figures(judgement: Judgement) -> Figures:
    rule = judgement.rule
    charts = [chart for chart in judgement.charts.values() if chart.p0 is not None]
    sized = [each for each in (_sized(rule, judgement, chart) for chart in charts) if each.sizes]
    lengths = _lengths(rule, sized)
    points = sum(len(chart.judged) for chart in charts)
    per_year = expected = chance = weight = 0.0
    for each, length in zip(sized, lengths, strict=True):
        periods_per_year = DAYS_PER_YEAR / rule.period_days * len(each.sizes) / each.periods
        per_year += periods_per_year / length.points
        expected += len(each.chart.judged) / length.points
        chance += len(each.sizes) / length.points
        weight += len(each.sizes)
    return Figures(
        groups=len(charts),
        groups_without_baseline=len(judgement.charts) - len(charts),
        run_length=RunLength(weight / chance if chance else float("inf"), lengths[0].method)
        if sized
        else None,
        false_alarms_per_year=per_year if sized else None,
        false_alarms_expected=expected,
        points=points,
    )


def _sized(rule: Rule, judgement: Judgement, chart: Chart) -> _Sized:
    first, before = rule.baseline or (rule.starts, judgement.closed_before)
    before = min(before, judgement.closed_before)
    assert chart.p0 is not None
    return _Sized(
        chart=chart,
        p0=chart.p0,
        sizes=[
            whole
            for period, (_, whole) in chart.cells.items()
            if first <= period < before and whole
        ],
        periods=max(1, (before - first).days // rule.period_days),
    )


def _lengths(rule: Rule, sized: list[_Sized]) -> list[RunLength]:
    """In the order of `sized`."""
    if isinstance(rule.chart, PChart):
        return [
            run_length.of_p_chart(rule.chart, each.sizes, each.p0, rule.direction) for each in sized
        ]
    # What matters of size and share is how skew the counts are, and so how many are expected.
    order = sorted(
        range(len(sized)), key=lambda at: sized[at].p0 * sum(sized[at].sizes) / len(sized[at].sizes)
    )
    found: dict[int, RunLength] = {}
    step = max(1, -(-len(order) // CHAINS_MAX))
    for start in range(0, len(order), step):
        alike = order[start : start + step]
        middle = sized[alike[len(alike) // 2]]
        length = run_length.of_ewma(rule.chart, middle.sizes, middle.p0, rule.direction)
        found.update(dict.fromkeys(alike, length))
    return [found[at] for at in range(len(sized))]
