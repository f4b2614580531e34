"""Rules, alerts and back-tests of them, as lines and tables for a person."""

import math
from datetime import UTC, date, timedelta
from typing import Any

from rich import box
from rich.table import Table

from services.cli.shown import cell, visible
from touchledger.v1 import alerts_pb2 as pb


def describe(rule: pb.AlertRule) -> str:
    """One line: "csat_bottom2 of csat_answered, up, by touchpoint and week, p-chart, …"."""

    def word(enum: Any, value: int, prefix: str) -> str:
        return str(enum.Name(value)).removeprefix(prefix).lower()

    by = word(pb.AlertGroupBy, rule.group_by, "ALERT_GROUP_BY_")
    period = word(pb.AlertPeriod, rule.period, "ALERT_PERIOD_")
    said = [
        f"{rule.part} of {rule.whole}",
        word(pb.AlertDirection, rule.direction, "ALERT_DIRECTION_"),
        f"by {by} and {period}",
    ]
    if rule.WhichOneof("chart") == "ewma":
        said.append(f"EWMA of weight {rule.ewma.weight:g} and width {rule.ewma.width:g}")
    else:
        normal = f"{rule.p_chart.sigmas:g} deviations"
        exact = f"exact limits of {rule.p_chart.tail:g}"
        limits = {pb.ALERT_LIMITS_NORMAL: normal, pb.ALERT_LIMITS_EXACT: exact}
        said.append(f"p-chart, {limits.get(rule.p_chart.limits, f'{normal} or {exact}, by size')}")
    if rule.WhichOneof("center") == "baseline":
        first, before = getattr(rule.baseline, "from"), rule.baseline.before
        said.append(f"baseline {first}..{before}")
    else:
        said.append(f"p0 {rule.p0:g}")
    if rule.dated_by == pb.ALERT_DATED_BY_REQUEST:
        said.append("dated by request")
    for name in ("touchpoint_glob", "stage", "channel", "service_mode", "store", "source"):
        if getattr(rule, name):
            said.append(
                f"only {name.removesuffix('_glob').replace('_', ' ')} {getattr(rule, name)}"
            )
    if rule.grace.ToSeconds():
        said.append(f"grace {timedelta(seconds=rule.grace.ToSeconds())}")
    if rule.false_discovery_rate:
        said.append(f"false discovery rate {rule.false_discovery_rate:g}")
    return visible(", ".join(said))


def how_often_wrong(figures: pb.AlertRuleFigures) -> str:
    without = (
        f" ({figures.groups_without_baseline:,} without a baseline)"
        if figures.groups_without_baseline
        else ""
    )
    charts = f"{figures.groups:,} {'chart' if figures.groups == 1 else 'charts'}{without}"
    if figures.trouble:
        return f"STANDS STILL: {figures.trouble}; {charts}"
    if not figures.HasField("run_length"):
        return f"{charts}; no closed period yet to work the run length out from"
    if math.isinf(figures.run_length):
        return f"{charts}; no false alarm is possible ({figures.run_length_method})"
    return (
        f"{charts}; in-control run length {figures.run_length:,.0f} periods "
        f"({figures.run_length_method}); "
        f"{figures.false_alarms_per_year:.2g} false alarms a year expected over all charts"
    )


def alert_table(alerts: Any) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    for column in ("alert", "rule", "group", "period", "of"):
        table.add_column(column)
    table.add_column("share", justify="right")
    table.add_column("limits", no_wrap=True)
    for each in alerts:
        table.add_row(
            f"{each.number}",
            cell(each.rule),
            cell(each.group),
            each.period_start,
            f"{each.part:,}/{each.whole:,}",
            "withdrawn" if each.withdrawn else f"{each.statistic:.1%}",
            f"{each.lower:.1%}…{each.upper:.1%}",
        )
    return table


def back_test_table(answer: pb.BackTestResponse) -> Table:
    """One line for each group and period that was an alarm at some time, or is one now."""
    table = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    for column in ("group", "period"):
        table.add_column(column)
    for column in ("of", "share"):
        table.add_column(column, justify="right")
    for column in ("limits", "told", "now"):
        table.add_column(column, no_wrap=True)
    told: dict[tuple[str, str], list[pb.Alert]] = {}
    now = {(each.group, each.period_start): each for each in answer.alarms_now}
    for each in answer.alerts:
        told.setdefault((each.group, each.period_start), []).append(each)
    for place in sorted(told.keys() | now.keys()):
        history = told.get(place, [])
        shown = now.get(place) or history[0]
        table.add_row(
            cell(shown.group),
            shown.period_start,
            f"{shown.part:,}/{shown.whole:,}",
            f"{shown.statistic:.1%}",
            f"{shown.lower:.1%}…{shown.upper:.1%}",
            ", ".join(_when(each) for each in history) or "not yet",
            "alarm" if place in now else "–",
        )
    return table


def line(alert: pb.Alert) -> str:
    """What `watch` prints."""
    what = "withdrawn" if alert.withdrawn else "ALARM"
    where = visible(f"{alert.rule} {alert.group} {alert.period_start}")
    said = f"{alert.number} {what} {where}: {alert.part:,} of {alert.whole:,}"
    if alert.withdrawn:
        return said
    return f"{said}, {alert.statistic:.1%} outside {alert.lower:.1%}…{alert.upper:.1%}"


def _when(alert: pb.Alert) -> str:
    """How long after the end of the period, in whole days: "+2 d", "taken back +9 d"."""
    end = date.fromisoformat(alert.period_end)
    days = (alert.judged_at.ToDatetime(UTC).date() - end).days
    return f"{'taken back ' if alert.withdrawn else ''}+{days} d"
