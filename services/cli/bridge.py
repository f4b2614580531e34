"""`touchledger bridge`: why a score is another one than it was."""

import json
from decimal import Decimal
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli.ask import ask
from services.cli.score_options import (
    AsOfOption,
    OccurredBeforeOption,
    OccurredFromOption,
    OnlyOption,
    TouchpointOption,
    all_pages,
    fill,
    freshness,
    set_state,
)
from services.cli.shown import as_json, cell
from services.cli.system import (
    DEFAULT_DATA,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    TargetOption,
)
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

NOBODY = "nobody answered"


def bridge(
    score: Annotated[str, typer.Argument(metavar="SCORE", help="Such as csat_mean.")],
    seen: Annotated[
        str,
        typer.Option(
            "--seen", metavar="T|POSITION", help="When it was seen: a date, a time, a position."
        ),
    ],
    seen_score: Annotated[
        str,
        typer.Option(
            "--seen-score", metavar="NAME", help="What was seen, where it was another formula's."
        ),
    ] = "",
    touchpoint: TouchpointOption = "",
    only: OnlyOption = None,
    occurred_from: OccurredFromOption = "",
    occurred_before: OccurredBeforeOption = "",
    as_of: AsOfOption = "",
    events: Annotated[
        int, typer.Option("--events", min=0, help="Show so many of the events that make it, too.")
    ] = 0,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show what a score has changed by since it was seen: each cause's part, and the events behind it."""
    request = pb.GetBridgeRequest(score=score, seen_score=seen_score)
    set_state(request, "seen", "--seen", seen)
    fill(
        request,
        touchpoint=touchpoint,
        only=only,
        occurred_from=occurred_from,
        occurred_before=occurred_before,
        as_of=as_of,
    )
    answer: pb.GetBridgeResponse = ask(
        ScoringServiceStub,
        # A page of one where none is shown: there is no smaller one.
        lambda stub, call: all_pages(stub.GetBridge, request, call, "changes", max(events, 1)),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    del answer.changes[events:]
    if json_output:
        typer.echo(json.dumps(as_json(answer)))
        return
    console = Console()
    console.print(_parts(answer))
    if answer.changes:
        console.print(_changes(answer))
    console.print(f"every digit with --json; {freshness(answer.freshness)}", highlight=False)


def _parts(answer: pb.GetBridgeResponse) -> Table:
    shown = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False, show_footer=True)
    shown.add_column("", footer=_state("now", answer.now), overflow="fold")
    shown.add_column("events", justify="right")
    shown.add_column("changes it by", justify="right", footer=_signed(answer.difference))
    shown.add_column("to", justify="right", footer=_value(answer.now.value))
    shown.add_row(_state("seen", answer.seen), "", "", _value(answer.seen.value))
    for part in answer.parts:
        shown.add_row(
            *(_cause(part.cause), f"{part.events:,}"),
            *(_signed(part.difference), _value(part.value)),
        )
    return shown


def _state(what: str, state: pb.BridgeState) -> str:
    return f"{cell(state.score)}, {what} at position {state.position.number:,}"


def _changes(answer: pb.GetBridgeResponse) -> Table:
    shown = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    shown.add_column("position", justify="right", no_wrap=True)
    for column in ("cause", "source", "event id", "adds"):
        shown.add_column(column, overflow="fold")
    for change in answer.changes:
        adds = ", ".join(f"{name} {_signed(change.sums[name])}" for name in sorted(change.sums))
        shown.add_row(
            f"{change.position:,}",
            _cause(change.cause),
            cell(change.source),
            cell(change.event_id),
            adds,
        )
    return shown


def _cause(cause: int) -> str:
    name: str = pb.BridgeCause.Name(cause)
    return name.removeprefix("BRIDGE_CAUSE_").replace("_", " ").lower()


def _value(value: str) -> str:
    return f"{Decimal(value):.6g}" if value else NOBODY


def _signed(difference: str) -> str:
    if not difference:
        return "–"
    return f"{Decimal(difference):+.4g}" if Decimal(difference) else "0"
