"""What a rule says of its charts at one moment after the other, and what has changed since the last one.

Pure, and the same for what is judged live and for a back-test: counts come in as changes between positions of
the journal, alarms go out as changes of what was told.
"""

import bisect
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.scoring.alerts import false_discovery
from services.scoring.alerts.chart import Judged, Point
from services.scoring.alerts.rule import Rule

# A share of fewer than these says little of what the next one will be.
BASELINE_MIN = 30

# Group and first day of the period.
Key = tuple[str, date]


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is judged, on the journal's clock, and the last position recorded by then."""

    at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What the facts of some positions add to a period of a group, or take away."""

    group: str
    period: date
    part: int
    whole: int


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that is new, or one that is taken back."""

    moment: Moment
    group: str
    period: date
    # 1 is an alarm, 2 takes it back, 3 is an alarm again, and so on.
    nth: int
    # None where nothing is left to judge.
    judged: Judged | None
    p0: float | None

    @property
    def withdrawn(self) -> bool:
        return self.nth % 2 == 0


@dataclass(slots=True)
class Chart:
    """One group."""

    # Part and whole by period, open ones too.
    cells: dict[date, tuple[int, int]] = field(default_factory=dict)
    p0: float | None = None
    # Closed periods in which somebody answered, in order.
    judged: list[Judged] = field(default_factory=list)


class Judgement:
    def __init__(self, rule: Rule, zone: ZoneInfo, told: Mapping[Key, int] | None = None) -> None:
        """told: how often each period of a group was told about so far, see Change.nth."""
        self.rule = rule
        self.charts: dict[str, Chart] = {}
        self.closed_before = date.min
        self._zone = zone
        self._told = dict(told or {})
        # Groups with answers in periods that are not closed.
        self._open: dict[date, set[str]] = {}
        # The first period of each group that is to be judged again.
        self._dirty: dict[str, date] = {}
        # Judged points by period and group, for what is said of all groups of a period together.
        self._by_period: dict[date, dict[str, Judged]] = {}
        self._alarms: set[Key] = set()
        self._is_first = True

    def add(self, deltas: Iterable[Delta]) -> None:
        for delta in deltas:
            chart = self.charts.setdefault(delta.group, Chart())
            part, whole = chart.cells.get(delta.period, (0, 0))
            chart.cells[delta.period] = part + delta.part, whole + delta.whole
            if delta.period < self.closed_before:
                self._touch(delta.group, delta.period)
            else:
                self._open.setdefault(delta.period, set()).add(delta.group)

    def at(self, moment: Moment) -> list[Change]:
        """What has changed by then, by period and group; with what was added up to its position."""
        self._close(self.rule.closed_before(moment.at, self._zone))
        touched = self._judge()
        if self._is_first:
            touched |= self._told.keys()
            self._is_first = False
        changes = []
        for key in sorted(touched, key=lambda key: (key[1], key[0])):
            told = self._told.get(key, 0)
            if (key in self._alarms) != (told % 2 == 1):
                self._told[key] = told + 1
                changes.append(self._change(moment, key, told + 1))
        return changes

    def alarms(self, moment: Moment) -> list[Change]:
        """All alarms of that moment, by group and period, whether they were told or not."""
        return [self._change(moment, key, 1) for key in sorted(self._alarms)]

    def _change(self, moment: Moment, key: Key, nth: int) -> Change:
        group, period = key
        chart = self.charts.get(group)
        return Change(
            moment=moment,
            group=group,
            period=period,
            nth=nth,
            judged=self._by_period.get(period, {}).get(group),
            p0=chart.p0 if chart else None,
        )

    def _touch(self, group: str, period: date) -> None:
        self._dirty[group] = min(period, self._dirty.get(group, period))

    def _close(self, before: date) -> None:
        was, self.closed_before = self.closed_before, max(self.closed_before, before)
        if self.rule.baseline and was < self.rule.baseline[1] <= self.closed_before:
            for group in self.charts:
                self._touch(group, date.min)
        for period in [each for each in self._open if each < self.closed_before]:
            for group in self._open.pop(period):
                self._touch(group, period)

    def _judge(self) -> set[Key]:
        """Judges again what may be otherwise now; the groups and periods that were looked at."""
        touched: set[Key] = set()
        for group, first in self._dirty.items():
            chart = self.charts[group]
            if self.rule.baseline is None or first < self.rule.baseline[1]:
                p0 = self._p0(chart)
                if p0 != chart.p0:
                    chart.p0, first = p0, date.min
            kept = bisect.bisect_left(chart.judged, first, key=lambda judged: judged.point.period)
            for gone in chart.judged[kept:]:
                touched.add((group, gone.point.period))
                del self._by_period[gone.point.period][group]
            del chart.judged[kept:]
            if chart.p0 is not None:
                points = self._points(chart, max(first, self.rule.starts))
                after = chart.judged[-1] if chart.judged else None
                judged = self.rule.chart.judge(points, chart.p0, self.rule.direction, after=after)
                chart.judged += judged
                for each in judged:
                    touched.add((group, each.point.period))
                    self._by_period.setdefault(each.point.period, {})[group] = each
        self._dirty.clear()
        return self._settle(touched)

    def _settle(self, touched: set[Key]) -> set[Key]:
        """Finds which of the points looked at are alarms; with other groups' where they depend on them."""
        if not self.rule.false_discovery_rate:
            for key in touched:
                judged = self._by_period.get(key[1], {}).get(key[0])
                self._mark(key, is_alarm=judged is not None and judged.is_alarm)
            return touched
        periods: dict[date, set[str]] = {}
        for group, period in touched:
            periods.setdefault(period, set()).add(group)
        for period, groups in periods.items():
            charts = self._by_period.get(period, {})
            kept = false_discovery.kept(
                {group: each.p_value for group, each in charts.items() if each.is_alarm},
                charts=len(charts),
                rate=self.rule.false_discovery_rate,
            )
            for group in groups | charts.keys():
                self._mark((group, period), is_alarm=group in kept)
                touched.add((group, period))
        return touched

    def _mark(self, key: Key, *, is_alarm: bool) -> None:
        if is_alarm:
            self._alarms.add(key)
        else:
            self._alarms.discard(key)

    def _p0(self, chart: Chart) -> float | None:
        """None as long as the baseline is not over, and where it says nothing."""
        if self.rule.baseline is None:
            return self.rule.p0
        first, before = self.rule.baseline
        if self.closed_before < before:
            return None
        cells = [cell for period, cell in chart.cells.items() if first <= period < before]
        part, whole = sum(cell[0] for cell in cells), sum(cell[1] for cell in cells)
        return part / whole if whole >= BASELINE_MIN and 0 < part < whole else None

    def _points(self, chart: Chart, first: date) -> list[Point]:
        points = []
        for period in self._periods(chart, first):
            part, whole = chart.cells[period]
            # What is no share (a part larger than its whole, or nothing) is no point.
            if 0 <= part <= whole > 0:
                points.append(Point(period, part, whole))
        return points

    def _periods(self, chart: Chart, first: date) -> list[date]:
        """The closed ones from the first on in which there is something, in order."""
        steps = (self.closed_before - first).days // self.rule.period_days
        if steps < len(chart.cells):
            # The usual case, by far: a period or two have closed since the last moment.
            days = (first + timedelta(days=nth * self.rule.period_days) for nth in range(steps))
            return [day for day in days if day in chart.cells]
        return sorted(period for period in chart.cells if first <= period < self.closed_before)


def alert_id(tenant: str, rule: str, version: int, change: Change) -> str:
    """The same whoever works the alert out, and whenever."""
    what = [tenant, rule, version, change.group, change.period.isoformat(), change.nth]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def period_end(rule: Rule, period: date) -> date:
    return period + timedelta(days=rule.period_days)
