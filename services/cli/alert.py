"""`touchledger alert`: rules of statistical process control, what they tell, what they would have told."""

import asyncio
import json
import math
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.chassis.errors import from_rpc
from services.cli.ask import AWAY, ask
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    CaOption,
    DataOption,
    KeyOption,
    NoSystem,
    System,
    TargetOption,
    find,
    open_channel,
    stop,
)
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1.alerts_pb2_grpc import AlertServiceStub

app = typer.Typer(
    name="alert",
    help="Alerts by statistical process control: rule, list, watch, backtest, deliveries.",
    no_args_is_help=True,
)
rule_app = typer.Typer(
    name="rule", help="What is watched: put, list, remove.", no_args_is_help=True
)
app.add_typer(rule_app)

# What people call the shares that are watched most.
SHARES = {
    "bottom2": ("csat_bottom2", "csat_answered"),
    "detractors": ("nps_detractors", "nps_answered"),
}
SHARE = re.compile(r"([a-z0-9_]+)/([a-z0-9_]+)", re.ASCII)
SPAN = re.compile(r"(\d{1,8})([smhd])", re.ASCII)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# The service says something at least every 15 seconds; a stream silent for longer is dead.
SILENCE_SECONDS_MAX = 45.0
# How long to leave a system alone that is away, or is being restarted.
PAUSE_SECONDS = 1.0


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


JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, with the names of the proto.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Such as bottom2.weekly.")]
ShareOption = Annotated[
    str,
    typer.Option(
        "--share",
        metavar="SHARE",
        help="bottom2, detractors, or two counts of schema bi: csat_bottom2/csat_answered.",
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


@rule_app.command("put")
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
    """
    rule = _rule(
        name,
        share,
        by,
        (touchpoint, stage, channel, service_mode, store, source),
        period,
        dated_by,
        direction,
        _chart(chart, limits, width, weight),
        _center(baseline, p0, starts_on),
        grace,
        false_discovery_rate,
    )
    request = pb.PutAlertRuleRequest(rule=rule)
    answer = _ask(lambda stub, call: stub.PutAlertRule(request, **call), data, target, key, ca)
    if json_output:
        typer.echo(_json(answer))
        return
    typer.echo(f"{answer.rule.name}, version {answer.rule.version}: {describe(answer.rule)}")
    typer.echo(how_often_wrong(answer.figures))


@rule_app.command("list")
def list_rules(
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """List your tenant's rules, and how often each is wrong while nothing changes."""
    request = pb.ListAlertRulesRequest()
    answer = _ask(lambda stub, call: stub.ListAlertRules(request, **call), data, target, key, ca)
    if json_output:
        typer.echo(_json_list(answer.rules))
        return
    for each in answer.rules:
        judged = _local(each.judged_at) if each.HasField("judged_at") else "not yet"
        typer.echo(f"{each.rule.name}, version {each.rule.version}: {describe(each.rule)}")
        typer.echo(f"  {how_often_wrong(each.figures)}")
        typer.echo(f"  judged: {judged}")


@rule_app.command("remove")
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
    answer = _ask(lambda stub, call: stub.RemoveAlertRule(request, **call), data, target, key, ca)
    typer.echo(_json(answer.rule) if json_output else f"ended {answer.rule.name}")


@app.command("list")
def list_alerts(
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="Only of this rule.")] = "",
    after: Annotated[int, typer.Option("--after", help="Only those after this number.", min=0)] = 0,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=1000)] = 100,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """List alerts, the oldest first. One that is withdrawn says that later data took an alarm back."""
    request = pb.ListAlertsRequest(rule=rule, after_number=after, page_size=limit)
    answer = _ask(lambda stub, call: stub.ListAlerts(request, **call), data, target, key, ca)
    if json_output:
        typer.echo(_json_list(answer.alerts))
        return
    Console().print(alert_table(answer.alerts))
    if len(answer.alerts) == limit:
        typer.echo(f"there may be more: --after {answer.alerts[-1].number}", err=True)


@app.command()
def watch(
    after: Annotated[
        int | None,
        typer.Option("--after", help="From after this number; default: new ones.", min=0),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", help="End after so many alerts; 0: never.", min=0)
    ] = 0,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Print alerts as they come, until Ctrl-C; what came while the system was away comes after."""
    request = pb.WatchAlertsRequest(after_number=after or 0, only_new=after is None)

    def show(alert: pb.Alert) -> None:
        typer.echo(_json(alert) if json_output else line(alert))

    try:
        system = find(data=data, target=target, key=key)
        asyncio.run(_watch(system, ca, request, limit, show))
    except NoSystem as error:
        stop(str(error), EXIT_UNREACHABLE)
    except grpc.aio.AioRpcError as error:
        stop(str(from_rpc(error)), EXIT_REFUSED)
    except KeyboardInterrupt:
        raise typer.Exit from None


@app.command()
def backtest(
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

    With --baseline or --p0 a rule of these options is tested; without, the
    rule of that name, since it was put.
    """
    request = pb.BackTestRequest(name=name)
    if baseline or p0:
        request.rule.CopyFrom(
            _rule(
                name,
                share,
                by,
                (touchpoint, stage, channel, service_mode, store, source),
                period,
                dated_by,
                direction,
                _chart(chart, limits, width, weight),
                _center(baseline, p0, starts_on),
                grace,
                false_discovery_rate,
            )
        )
    answer = _ask(lambda stub, call: stub.BackTest(request, **call), data, target, key, ca)
    if json_output:
        typer.echo(_json(answer))
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


@app.command()
def deliveries(
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=1000)] = 100,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show what became of the posts to your tenant's webhook, the newest alert first."""
    request = pb.ListAlertDeliveriesRequest(page_size=limit)
    answer = _ask(
        lambda stub, call: stub.ListAlertDeliveries(request, **call), data, target, key, ca
    )
    if json_output:
        typer.echo(_json(answer))
        return
    table = Table(box=box.SIMPLE)
    for column in ("alert", "state", "attempts", "last result", "tried", "due"):
        table.add_column(column)
    for each in answer.deliveries:
        state = pb.AlertDeliveryState.Name(each.state).removeprefix("ALERT_DELIVERY_STATE_")
        table.add_row(
            f"{each.number}",
            state.lower().replace("_", " "),
            f"{each.attempts}",
            escape(each.last_result) or "–",
            _local(each.tried_at) if each.HasField("tried_at") else "–",
            _local(each.due_at) if each.HasField("due_at") else "–",
        )
    Console().print(table)
    if not answer.has_webhook:
        typer.echo("the tenant has no webhook: alerts are kept, and delivered nowhere", err=True)


async def _watch(
    system: System,
    ca: Path | None,
    request: pb.WatchAlertsRequest,
    limit: int,
    show: Callable[[pb.Alert], None],
) -> None:
    """Asks again from the last number when the stream breaks."""
    shown = 0
    async with open_channel(system, ca=ca) as channel:
        while True:
            try:
                async with aclosing(
                    _messages(AlertServiceStub(channel), system, request)
                ) as messages:
                    async for message in messages:
                        request = pb.WatchAlertsRequest(after_number=message.number)
                        if message.HasField("alert"):
                            show(message.alert)
                            shown += 1
                            if shown == limit:
                                return
            except grpc.aio.AioRpcError as error:
                if error.code() not in AWAY:
                    raise
            except TimeoutError:
                pass
            await asyncio.sleep(PAUSE_SECONDS)


async def _messages(
    stub: AlertServiceStub, system: System, request: pb.WatchAlertsRequest
) -> AsyncGenerator[pb.WatchAlertsResponse, None]:
    stream = stub.WatchAlerts(request, metadata=system.metadata)
    try:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS_MAX):
                message = await stream.read()
            if message is grpc.aio.EOF:
                return
            yield message
    finally:
        stream.cancel()


def _rule(
    name: str,
    share: str,
    by: By,
    only: tuple[str, str, str, str, str, str],
    period: Period,
    dated_by: DatedBy,
    direction: Direction,
    chart: dict[str, Any],
    center: dict[str, Any],
    grace: str,
    false_discovery_rate: float,
) -> pb.AlertRule:
    if share in SHARES:
        part, whole = SHARES[share]
    elif match := SHARE.fullmatch(share):
        part, whole = match.groups()
    else:
        stop(f"--share: got {share!r}, want {', '.join(SHARES)} or PART/WHOLE", EXIT_USAGE)
    span = SPAN.fullmatch(grace)
    if span is None:
        stop(f"--grace: got {grace!r}, want a number with s, m, h or d, such as 2h", EXIT_USAGE)
    touchpoint, stage, channel, service_mode, store, source = only
    rule = pb.AlertRule(
        name=name,
        part=part,
        whole=whole,
        group_by=f"ALERT_GROUP_BY_{by.name}",
        touchpoint_glob=touchpoint,
        stage=stage,
        channel=channel,
        service_mode=service_mode,
        store=store,
        source=source,
        period=f"ALERT_PERIOD_{period.name}",
        dated_by=f"ALERT_DATED_BY_{dated_by.name}",
        direction=f"ALERT_DIRECTION_{direction.name}",
        false_discovery_rate=false_discovery_rate,
        **chart,
        **center,
    )
    rule.grace.FromSeconds(int(span[1]) * SECONDS[span[2]])
    return rule


def _chart(chart: ChartKind, limits: Limits, width: float, weight: float) -> dict[str, Any]:
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
    return ", ".join(said)


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
            escape(each.rule),
            escape(each.group),
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
            escape(shown.group),
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
    return (
        f"{alert.number} {what} {alert.rule} {alert.group} {alert.period_start}: {alert.part:,} of "
        f"{alert.whole:,}, {alert.statistic:.1%} outside {alert.lower:.1%}…{alert.upper:.1%}"
        if not alert.withdrawn
        else f"{alert.number} {what} {alert.rule} {alert.group} {alert.period_start}: {alert.part:,} of "
        f"{alert.whole:,}"
    )


def _when(alert: pb.Alert) -> str:
    """How long after the end of the period, in whole days: "+2 d", "taken back +9 d"."""
    end = date.fromisoformat(alert.period_end)
    days = (alert.judged_at.ToDatetime(UTC).date() - end).days
    return f"{'taken back ' if alert.withdrawn else ''}+{days} d"


def _local(moment: Timestamp) -> str:
    shown: datetime = moment.ToDatetime(UTC)
    return f"{shown:%Y-%m-%d %H:%M:%S}Z"


def _json(message: Message) -> str:
    return json.dumps(_fields(message))


def _json_list(messages: Any) -> str:
    return json.dumps([_fields(each) for each in messages])


def _fields(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def _ask(
    question: Callable[[AlertServiceStub, dict[str, Any]], Awaitable[Any]],
    data: Path,
    target: str | None,
    key: str | None,
    ca: Path | None,
) -> Any:
    return ask(_stub, question, data=data, target=target, key=key, ca=ca)


def _stub(channel: grpc.aio.Channel) -> AlertServiceStub:
    return AlertServiceStub(channel)
