"""A rule as it is judged: what a tenant has put, checked, with every default filled in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.chassis.errors import Malformed
from services.scoring.alerts import overdue, unasked
from services.scoring.alerts.chart import Direction
from services.scoring.alerts.ewma import WEIGHT, WIDTH, Ewma
from services.scoring.alerts.p_chart import SIGMAS, TAIL, Limits, PChart
from services.scoring.metrics import METRICS
from touchledger.v1 import alerts_pb2 as pb

NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
TEXT_CHARACTERS_MAX = 128
GRACE_DAYS_MAX = 60
SIGMAS_MIN, SIGMAS_MAX = 1.0, 6.0
TAIL_MAX = 0.1
# An average of a hundred periods.
WEIGHT_MIN = 0.01
# No chart tells shares apart that are nearer to 0 or 1. Far nearer, a period's variance is rounded to 0, and
# nothing can be judged by it.
P0_MIN = 1e-6
# A rule over more periods than this would watch 27 years of days.
PERIODS_MAX = 10_000

# Nobody was asked before, and the periods after must be dates as well.
YEARS = range(1970, 3000)

# The counts that a share can be made of: fact table and aggregate.
COUNTS = (
    {
        name: (metric.facts, each.sql)
        for metric in METRICS
        for name, each in metric.sums.items()
        if each.type == "bigint"
    }
    | overdue.COUNTS
    | unasked.COUNTS
)
# Column of a fact; all is no column.
GROUPS: Mapping[int, str] = {
    pb.ALERT_GROUP_BY_TOUCHPOINT: "touchpoint",
    pb.ALERT_GROUP_BY_STAGE: "stage",
    pb.ALERT_GROUP_BY_CHANNEL: "channel",
    pb.ALERT_GROUP_BY_SERVICE_MODE: "service_mode",
    pb.ALERT_GROUP_BY_STORE: "store",
    pb.ALERT_GROUP_BY_SOURCE: "source",
    pb.ALERT_GROUP_BY_ALL: "all",
}
DAYS: Mapping[int, int] = {pb.ALERT_PERIOD_DAY: 1, pb.ALERT_PERIOD_WEEK: 7}
DIRECTIONS: Mapping[int, Direction] = {
    pb.ALERT_DIRECTION_UP: Direction.UP,
    pb.ALERT_DIRECTION_DOWN: Direction.DOWN,
    pb.ALERT_DIRECTION_BOTH: Direction.BOTH,
}
LIMITS: Mapping[int, Limits] = {
    pb.ALERT_LIMITS_UNSPECIFIED: Limits.BY_SIZE,
    pb.ALERT_LIMITS_NORMAL: Limits.NORMAL,
    pb.ALERT_LIMITS_EXACT: Limits.EXACT,
}
DATED_BY = (pb.ALERT_DATED_BY_OCCURRED, pb.ALERT_DATED_BY_REQUEST)
FILTERS = ("stage", "channel", "service_mode", "store", "source")


@dataclass(frozen=True, slots=True)
class Rule:
    """What judges; the message says the rest."""

    message: pb.AlertRule
    chart: PChart | Ewma
    direction: Direction
    period_days: int
    # First day of the first period that is judged.
    starts: date
    # First days of the first period of the baseline and of the one after its last.
    baseline: tuple[date, date] | None
    # Without a baseline.
    p0: float
    grace: timedelta
    false_discovery_rate: float

    @property
    def reads_from(self) -> date:
        """The first day whose facts it needs."""
        return min(self.starts, self.baseline[0]) if self.baseline else self.starts

    def period_of(self, day: date) -> date:
        return day if self.period_days == 1 else day - timedelta(days=day.weekday())

    def closed_before(self, moment: datetime, zone: ZoneInfo) -> date:
        """Periods that begin before it are closed at that moment of the journal's clock."""
        return self.period_of((moment - self.grace).astimezone(zone).date())

    def moments(self, after: datetime, before: datetime, zone: ZoneInfo) -> list[datetime]:
        """The moments at which it is judged between the two, neither included: once a day."""
        found = []
        at = self.next_moment(after, zone)
        while at < before:
            found.append(at)
            at = self.next_moment(at, zone)
        return found

    def next_moment(self, after: datetime, zone: ZoneInfo) -> datetime:
        """In UTC, since Python adds to the wall clock of a zone, whatever that does meanwhile."""
        day = (after - self.grace).astimezone(zone).date() + timedelta(days=1)
        return _midnight(day, zone) + self.grace


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The start of the day; where the clock is put forward then, the moment of the change."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def checked(given: pb.AlertRule) -> pb.AlertRule:
    """The rule with its defaults filled in, so that another release judges it the same. Raises Malformed."""
    rule = pb.AlertRule()
    rule.CopyFrom(given)
    rule.version = 0
    if not NAME.fullmatch(rule.name):
        raise _malformed("name", "1 to 64 of a-z, 0-9, '_', '.', '-', a letter first", rule.name)
    _check_share(rule)
    rule.group_by = rule.group_by or pb.ALERT_GROUP_BY_TOUCHPOINT
    rule.period = rule.period or pb.ALERT_PERIOD_WEEK
    rule.direction = rule.direction or pb.ALERT_DIRECTION_UP
    rule.dated_by = rule.dated_by or pb.ALERT_DATED_BY_OCCURRED
    for field, values in (
        ("group_by", GROUPS),
        ("period", DAYS),
        ("direction", DIRECTIONS),
        ("dated_by", DATED_BY),
    ):
        if getattr(rule, field) not in values:
            raise _malformed(field, "a value of its enum", str(getattr(rule, field)))
    for field in ("touchpoint_glob", *FILTERS):
        text = getattr(rule, field)
        if len(text) > TEXT_CHARACTERS_MAX or "\0" in text:
            raise _malformed(field, f"at most {TEXT_CHARACTERS_MAX} characters, no NUL", "others")
    _check_chart(rule)
    _check_center(rule)
    if not 0 <= rule.grace.ToSeconds() <= GRACE_DAYS_MAX * 86_400 or rule.grace.nanos:
        raise _malformed("grace", f"0 to {GRACE_DAYS_MAX} days in whole seconds", "another time")
    if COUNTS[rule.part][0] == overdue.FACTS and not rule.grace.ToSeconds():
        raise _malformed("grace", "the time within which a failure is to be put right", "none")
    if COUNTS[rule.part][0] == unasked.FACTS:
        _check_asking(rule)
    if not 0 <= rule.false_discovery_rate < 1:
        raise _malformed("false_discovery_rate", "0 to below 1", f"{rule.false_discovery_rate:g}")
    return rule


def rule_of(message: pb.AlertRule) -> Rule:
    """Of a checked message."""
    days = DAYS[message.period]
    chart: PChart | Ewma
    if message.WhichOneof("chart") == "ewma":
        chart = Ewma(weight=message.ewma.weight, width=message.ewma.width)
    else:
        p_chart = message.p_chart
        chart = PChart(LIMITS[p_chart.limits], sigmas=p_chart.sigmas, tail=p_chart.tail)

    def period(day: str) -> date:
        first = date.fromisoformat(day)
        return first if days == 1 else first - timedelta(days=first.weekday())

    by_baseline = message.WhichOneof("center") == "baseline"
    return Rule(
        message=message,
        chart=chart,
        direction=DIRECTIONS[message.direction],
        period_days=days,
        starts=period(message.starts_on),
        baseline=(period(getattr(message.baseline, "from")), period(message.baseline.before))
        if by_baseline
        else None,
        p0=message.p0,
        grace=timedelta(seconds=message.grace.ToSeconds()),
        false_discovery_rate=message.false_discovery_rate,
    )


def _check_share(rule: pb.AlertRule) -> None:
    for field in ("part", "whole"):
        if getattr(rule, field) not in COUNTS:
            raise _malformed(field, "a count of schema bi, such as csat_bottom2", "another")
    table = COUNTS[rule.part][0]
    if rule.part == rule.whole or table != COUNTS[rule.whole][0]:
        raise _malformed("whole", f"another count over the facts of {rule.part}", rule.whole)
    if rule.dated_by == pb.ALERT_DATED_BY_REQUEST and table != "fact_feedback":
        raise _malformed("dated_by", "ALERT_DATED_BY_OCCURRED but for feedback", "another")


def _check_asking(rule: pb.AlertRule) -> None:
    """A touchpoint asks or is silent as a whole, day by day."""
    if rule.group_by not in (pb.ALERT_GROUP_BY_TOUCHPOINT, pb.ALERT_GROUP_BY_ALL):
        raise _malformed("group_by", "a touchpoint, or all", pb.AlertGroupBy.Name(rule.group_by))
    for field in FILTERS:
        if text := getattr(rule, field):
            raise _malformed(field, "nothing: touchpoint_glob says of which touchpoints", text)
    if rule.period != pb.ALERT_PERIOD_DAY:
        raise _malformed("period", "ALERT_PERIOD_DAY", pb.AlertPeriod.Name(rule.period))
    seconds = rule.grace.ToSeconds()
    if not seconds or seconds % 86_400:
        raise _malformed("grace", "the whole days within which to ask again", f"{seconds} s")


def _check_chart(rule: pb.AlertRule) -> None:
    if rule.WhichOneof("chart") == "ewma":
        rule.ewma.weight = rule.ewma.weight or WEIGHT
        rule.ewma.width = rule.ewma.width or WIDTH
        if not WEIGHT_MIN <= rule.ewma.weight <= 1:
            raise _malformed("ewma.weight", f"{WEIGHT_MIN} to 1", f"{rule.ewma.weight:g}")
        _check_width("ewma.width", rule.ewma.width)
        return
    chart = rule.p_chart
    chart.sigmas = chart.sigmas or SIGMAS
    chart.tail = chart.tail or TAIL
    rule.p_chart.SetInParent()
    if chart.limits not in LIMITS:
        raise _malformed("p_chart.limits", "a value of its enum", str(chart.limits))
    _check_width("p_chart.sigmas", chart.sigmas)
    if not 0 < chart.tail <= TAIL_MAX:
        raise _malformed("p_chart.tail", f"above 0, at most {TAIL_MAX}", f"{chart.tail:g}")


def _check_width(field: str, width: float) -> None:
    if not SIGMAS_MIN <= width <= SIGMAS_MAX:
        raise _malformed(field, f"{SIGMAS_MIN:g} to {SIGMAS_MAX:g}", f"{width:g}")


def _check_center(rule: pb.AlertRule) -> None:
    center = rule.WhichOneof("center")
    if center == "baseline":
        first = _day(getattr(rule.baseline, "from"), "baseline.from")
        before = _day(rule.baseline.before, "baseline.before")
        days = DAYS[rule.period]
        if not first + timedelta(days=days) <= before <= first + timedelta(days=days * PERIODS_MAX):
            raise _malformed(
                "baseline.before", f"a day 1 to {PERIODS_MAX} periods after from", f"{before}"
            )
        rule.starts_on = rule.starts_on or f"{first}"
    elif center == "p0":
        if not P0_MIN <= rule.p0 <= 1 - P0_MIN:
            raise _malformed("p0", f"{P0_MIN:f} to {1 - P0_MIN:f}", f"{rule.p0:g}")
    else:
        raise _malformed("baseline", "a baseline or p0", "neither")
    _day(rule.starts_on, "starts_on")


def _day(text: str, field: str) -> date:
    try:
        if not DAY.fullmatch(text):
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError:
        raise _malformed(field, "YYYY-MM-DD", "another" if text else "nothing") from None
    if day.year not in YEARS:
        raise _malformed(field, f"a day of {YEARS.start} to {YEARS.stop - 1}", f"{day}")
    return day


def _malformed(field: str, want: str, got: str) -> Malformed:
    return Malformed(want, field=f"rule.{field}", got=repr(got[:40]))
