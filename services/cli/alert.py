"""`touchledger alert`: rules of statistical process control, what they tell, what they would have told."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated

import grpc
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli import alert_rule
from services.cli.alert_shown import alert_table, line
from services.cli.ask import AWAY, ask, with_system
from services.cli.shown import as_json, cell, utc
from services.cli.system import (
    DEFAULT_DATA,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    System,
    TargetOption,
)
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1.alerts_pb2_grpc import AlertServiceStub

app = typer.Typer(
    name="alert",
    help="Alerts by statistical process control: rule, list, watch, backtest, deliveries.",
    no_args_is_help=True,
)
app.add_typer(alert_rule.app)
app.command()(alert_rule.backtest)

# The service says something at least every 15 seconds; a stream silent for longer is dead.
SILENCE_SECONDS_MAX = 45.0
# Of an alert: what the service takes.
NUMBER_MAX = 2**63 - 1
# How long to leave a system alone that is away, or is being restarted.
PAUSE_SECONDS = 1.0


@app.command("list")
def list_alerts(
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="Only of this rule.")] = "",
    after: Annotated[
        int, typer.Option("--after", help="Only those after this number.", min=0, max=NUMBER_MAX)
    ] = 0,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=1000)] = 100,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """List alerts, the oldest first. One that is withdrawn says that later data took an alarm back."""
    request = pb.ListAlertsRequest(rule=rule, after_number=after, page_size=limit)
    answer = ask(
        AlertServiceStub,
        lambda stub, call: stub.ListAlerts(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps([as_json(each) for each in answer.alerts]))
        return
    Console().print(alert_table(answer.alerts))
    if len(answer.alerts) == limit:
        typer.echo(f"there may be more: --after {answer.alerts[-1].number}", err=True)


@app.command()
def watch(
    after: Annotated[
        int | None,
        typer.Option(
            "--after", help="From after this number; default: new ones.", min=0, max=NUMBER_MAX
        ),
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
        typer.echo(json.dumps(as_json(alert)) if json_output else line(alert))

    async def follow(channel: grpc.aio.Channel, system: System) -> None:
        await _follow(AlertServiceStub(channel), system, request, limit, show)

    try:
        with_system(follow, data=data, target=target, key=key, ca=ca)
    except KeyboardInterrupt:
        raise typer.Exit from None


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
    answer = ask(
        AlertServiceStub,
        lambda stub, call: stub.ListAlertDeliveries(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(as_json(answer)))
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
            cell(each.last_result) or "–",
            utc(each.tried_at) if each.HasField("tried_at") else "–",
            utc(each.due_at) if each.HasField("due_at") else "–",
        )
    Console().print(table)
    if not answer.has_webhook:
        typer.echo("the tenant has no webhook: alerts are kept, and delivered nowhere", err=True)


async def _follow(
    stub: AlertServiceStub,
    system: System,
    request: pb.WatchAlertsRequest,
    limit: int,
    show: Callable[[pb.Alert], None],
) -> None:
    """Asks again from the last number when the stream breaks."""
    shown = 0
    while True:
        try:
            async with aclosing(_messages(stub, system, request)) as messages:
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
