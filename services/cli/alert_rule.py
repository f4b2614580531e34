"""`touchledger alert rule`: what is watched, and what a rule would have told.

What an alert looks like to a person is alert_shown.py's.
"""

import json
import re
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from services.cli.alert_shown import back_test_table, describe, how_often_wrong
from services.cli.ask import ask
from services.cli.shown import as_json, utc
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_USAGE,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    TargetOption,
    stop,
)
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1.alerts_pb2_grpc import AlertServiceStub

app = typer.Typer(name="rule", help="What is watched: put, list, remove.", no_args_is_help=True)

# What people call the shares that are watched most.
SHARES = {
    "bottom2": ("csat_bottom2", "csat_answered"),
    "detractors": ("nps_detractors", "nps_answered"),
    "not_asked": ("asking_lapsed", "asking_due"),
}
SHARE = re.compile(r"([a-z0-9_]+)/([a-z0-9_]+)", re.ASCII)
SPAN = re.compile(r"(\d{1,8})([smhd])", re.ASCII)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# Parameters of `put` and `backtest`.
OPTIONS_OF_A_RULE = (
    *("share", "by", "touchpoint", "stage", "channel", "service_mode", "store", "source", "period"),
    *("dated_by", "direction", "chart", "limits", "width", "weight", "baseline", "p0", "starts_on"),
    *("grace", "false_discovery_rate"),
)


class By(StrEnum):
    TOUCHPOINT = "touchpoint"
    STAGE = "stage"
    CHANNEL = "channel"
    SERVICE_MODE = "service_mode"
    STORE = "store"
    SOURCE = "source"
    ALL = "all"


class Period(StrEnum):
    DAY = "day"
    WEEK = "week"


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"
    BOTH = "both"


class DatedBy(StrEnum):
    OCCURRED = "occurred"
    REQUEST = "request"


class ChartKind(StrEnum):
    P = "p"
    EWMA = "ewma"


class Limits(StrEnum):
    BY_SIZE = "by-size"
    NORMAL = "normal"
    EXACT = "exact"


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Such as bottom2.weekly.")]
ShareOption = Annotated[
    str,
    typer.Option(
        "--share",
        metavar="SHARE",
        help="bottom2, detractors, two counts of schema bi: csat_bottom2/csat_answered, "
        "recovery_overdue/recovery_failures: failures not put right within the grace, or "
        "not_asked: touchpoints that ask nobody for the grace.",
    ),
]
ByOption = Annotated[By, typer.Option("--by", help="A chart for each of these.")]
TouchpointOption = Annotated[
    str, typer.Option("--touchpoint", metavar="GLOB", help="Only touchpoints like this: 'store.*'.")
]
StageOption = Annotated[str, typer.Option("--stage", help="Only this stage.")]
ChannelOption = Annotated[str, typer.Option("--channel", help="Only this channel.")]
ServiceModeOption = Annotated[str, typer.Option("--service-mode", help="Only this service mode.")]
StoreOption = Annotated[str, typer.Option("--store", help="Only this store.")]
SourceOption = Annotated[str, typer.Option("--source", help="Only this source.")]
PeriodOption = Annotated[Period, typer.Option("--period", help="How long a period is.")]
DatedByOption = Annotated[
    DatedBy,
    typer.Option(
        "--dated-by", help="Answers count when they came, or when the customer was asked."
    ),
]
DirectionOption = Annotated[Direction, typer.Option("--direction", help="Which way is bad.")]
ChartOption = Annotated[
    ChartKind, typer.Option("--chart", help="p: each period for itself. ewma: a moving average.")
]
LimitsOption = Annotated[
    Limits,
    typer.Option(
        "--limits", help="Of a p-chart; by-size is exact where fewer than 5 are expected."
    ),
]
WidthOption = Annotated[
    float, typer.Option("--width", help="Of the limits, in standard deviations; 0 means 3.")
]
WeightOption = Annotated[
    float, typer.Option("--weight", help="Of the newest share in an EWMA chart; 0 means 0.2.")
]
BaselineOption = Annotated[
    str,
    typer.Option(
        "--baseline",
        metavar="FROM..BEFORE",
        help="Days whose answers say what is normal: 2026-01-01..2026-04-01.",
    ),
]
P0Option = Annotated[
    float, typer.Option("--p0", help="Instead of a baseline: the normal share itself, such as 0.1.")
]
FromOption = Annotated[
    str, typer.Option("--from", metavar="DAY", help="First day judged; default: of the baseline.")
]
GraceOption = Annotated[
    str,
    typer.Option("--grace", metavar="SPAN", help="How long answers may be late: 2h, 3d."),
]
FdrOption = Annotated[
    float,
    typer.Option(
        "--false-discovery-rate",
        metavar="RATE",
        help="Of the alarms of one period at most this share may be false: 0.1; 0 is off.",
    ),
]


@app.command("put")
def put_rule(
    name: NameArgument,
    share: ShareOption = "bottom2",
    by: ByOption = By.TOUCHPOINT,
    touchpoint: TouchpointOption = "",
    stage: StageOption = "",
    channel: ChannelOption = "",
    service_mode: ServiceModeOption = "",
    store: StoreOption = "",
    source: SourceOption = "",
    period: PeriodOption = Period.WEEK,
    dated_by: DatedByOption = DatedBy.OCCURRED,
    direction: DirectionOption = Direction.UP,
    chart: ChartOption = ChartKind.P,
    limits: LimitsOption = Limits.BY_SIZE,
    width: WidthOption = 0.0,
    weight: WeightOption = 0.0,
    baseline: BaselineOption = "",
    p0: P0Option = 0.0,
    starts_on: FromOption = "",
    grace: GraceOption = "0s",
    false_discovery_rate: FdrOption = 0.0,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Watch a share from now on, and print how often the rule will be wrong.

    A rule of that name gets another version; its alerts stay. History is
    judged as it is known now, within seconds.

    Any failure that nothing put right within 72 hours:
    put overdue --share recovery_overdue/recovery_failures --grace 72h
    --period day --p0 0.000001 --from 2026-11-01

    A touchpoint that has asked nobody for 30 days. --from is the first day
    on which such a silence may have begun:
    put silent --share not_asked --touchpoint store.checkout --grace 30d
    --period day --p0 0.000001 --from 2026-01-01
    """
    rule = _rule(
        name,
        share=share,
        by=by,
        only={
            "touchpoint_glob": touchpoint,
            "stage": stage,
            "channel": channel,
            "service_mode": service_mode,
            "store": store,
            "source": source,
        },
        period=period,
        dated_by=dated_by,
        direction=direction,
        chart=_chart(chart, limits, width, weight),
        center=_center(baseline, p0, starts_on),
        grace=grace,
        false_discovery_rate=false_discovery_rate,
    )
    request = pb.PutAlertRuleRequest(rule=rule)
    answer = ask(
        AlertServiceStub,
        lambda stub, call: stub.PutAlertRule(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(as_json(answer)))
        return
    typer.echo(f"{answer.rule.name}, version {answer.rule.version}: {describe(answer.rule)}")
    typer.echo(how_often_wrong(answer.figures))


@app.command("list")
def list_rules(
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """List your tenant's rules, and how often each is wrong while nothing changes."""
    request = pb.ListAlertRulesRequest()
    answer = ask(
        AlertServiceStub,
        lambda stub, call: stub.ListAlertRules(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps([as_json(each) for each in answer.rules]))
        return
    for each in answer.rules:
        judged = utc(each.judged_at) if each.HasField("judged_at") else "not yet"
        typer.echo(f"{each.rule.name}, version {each.rule.version}: {describe(each.rule)}")
        typer.echo(f"  {how_often_wrong(each.figures)}")
        typer.echo(f"  judged: {judged}")


@app.command("remove")
def remove_rule(
    name: NameArgument,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """End a rule. What it has told stays."""
    request = pb.RemoveAlertRuleRequest(name=name)
    answer = ask(
        AlertServiceStub,
        lambda stub, call: stub.RemoveAlertRule(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    typer.echo(json.dumps(as_json(answer.rule)) if json_output else f"ended {answer.rule.name}")


def backtest(
    context: typer.Context,
    name: NameArgument,
    share: ShareOption = "bottom2",
    by: ByOption = By.TOUCHPOINT,
    touchpoint: TouchpointOption = "",
    stage: StageOption = "",
    channel: ChannelOption = "",
    service_mode: ServiceModeOption = "",
    store: StoreOption = "",
    source: SourceOption = "",
    period: PeriodOption = Period.WEEK,
    dated_by: DatedByOption = DatedBy.OCCURRED,
    direction: DirectionOption = Direction.UP,
    chart: ChartOption = ChartKind.P,
    limits: LimitsOption = Limits.BY_SIZE,
    width: WidthOption = 0.0,
    weight: WeightOption = 0.0,
    baseline: BaselineOption = "",
    p0: P0Option = 0.0,
    starts_on: FromOption = "",
    grace: GraceOption = "0s",
    false_discovery_rate: FdrOption = 0.0,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show what a rule would have told, and when. Nothing is stored.

    With --baseline or --p0 a rule of these options is tested; without any,
    the rule of that name, since it was put.
    """
    request = pb.BackTestRequest(name=name)
    if any(_is_given(context, each) for each in OPTIONS_OF_A_RULE):
        request.rule.CopyFrom(
            _rule(
                name,
                share=share,
                by=by,
                only={
                    "touchpoint_glob": touchpoint,
                    "stage": stage,
                    "channel": channel,
                    "service_mode": service_mode,
                    "store": store,
                    "source": source,
                },
                period=period,
                dated_by=dated_by,
                direction=direction,
                chart=_chart(chart, limits, width, weight),
                center=_center(baseline, p0, starts_on),
                grace=grace,
                false_discovery_rate=false_discovery_rate,
            )
        )
    answer = ask(
        AlertServiceStub,
        lambda stub, call: stub.BackTest(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(as_json(answer)))
        return
    Console().print(back_test_table(answer))
    now = len(answer.alarms_now)
    typer.echo(
        f"{answer.points:,} periods judged, {now:,} of them alarms as known now; while nothing changes, "
        f"{answer.false_alarms_expected:.1f} would be"
    )
    typer.echo(how_often_wrong(answer.figures))
    if answer.truncated:
        typer.echo("there are more than 10,000: narrow the rule", err=True)


def _rule(
    name: str,
    *,
    share: str,
    by: By,
    only: dict[str, Any],
    period: Period,
    dated_by: DatedBy,
    direction: Direction,
    chart: dict[str, Any],
    center: dict[str, Any],
    grace: str,
    false_discovery_rate: float,
) -> pb.AlertRule:
    """`only` is by field of the message, as are `_chart` and `_center`."""
    if share in SHARES:
        part, whole = SHARES[share]
    elif match := SHARE.fullmatch(share):
        part, whole = match.groups()
    else:
        stop(f"--share: got {share!r}, want {', '.join(SHARES)} or PART/WHOLE", EXIT_USAGE)
    span = SPAN.fullmatch(grace)
    if span is None:
        stop(f"--grace: got {grace!r}, want a number with s, m, h or d, such as 2h", EXIT_USAGE)
    rule = pb.AlertRule(
        name=name,
        part=part,
        whole=whole,
        group_by=f"ALERT_GROUP_BY_{by.name}",
        period=f"ALERT_PERIOD_{period.name}",
        dated_by=f"ALERT_DATED_BY_{dated_by.name}",
        direction=f"ALERT_DIRECTION_{direction.name}",
        false_discovery_rate=false_discovery_rate,
        **only,
        **chart,
        **center,
    )
    rule.grace.FromSeconds(int(span[1]) * SECONDS[span[2]])
    return rule


def _is_given(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name != "DEFAULT"


def _chart(chart: ChartKind, limits: Limits, width: float, weight: float) -> dict[str, Any]:
    if chart is ChartKind.EWMA and limits is not Limits.BY_SIZE:
        stop(f"--limits: got {limits} with --chart ewma, want --chart p with it", EXIT_USAGE)
    if chart is ChartKind.P and weight:
        stop("--weight: got one with --chart p, want --chart ewma with it", EXIT_USAGE)
    if limits is Limits.EXACT and width:
        stop("--width: got one with --limits exact, want --limits normal with it", EXIT_USAGE)
    if chart is ChartKind.EWMA:
        return {"ewma": pb.EwmaChart(weight=weight, width=width)}
    names = {
        Limits.BY_SIZE: pb.ALERT_LIMITS_UNSPECIFIED,
        Limits.NORMAL: pb.ALERT_LIMITS_NORMAL,
        Limits.EXACT: pb.ALERT_LIMITS_EXACT,
    }
    return {"p_chart": pb.PChart(limits=names[limits], sigmas=width)}


def _center(baseline: str, p0: float, starts_on: str) -> dict[str, Any]:
    if bool(baseline) == bool(p0):
        stop("want --baseline or --p0, one of them", EXIT_USAGE)
    if p0:
        return {"p0": p0, "starts_on": starts_on}
    first, dots, before = baseline.partition("..")
    if not dots:
        stop(f"--baseline: got {baseline!r}, want two days, 2026-01-01..2026-04-01", EXIT_USAGE)
    return {"baseline": {"from": first, "before": before}, "starts_on": starts_on}
