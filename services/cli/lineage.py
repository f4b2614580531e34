"""`touchledger lineage`: the events behind scores."""

import json
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli.ask import ask
from services.cli.score_options import (
    AsOfOption,
    LimitOption,
    OccurredBeforeOption,
    OccurredFromOption,
    OnlyOption,
    TouchpointOption,
    all_pages,
    fill,
    freshness,
)
from services.cli.shown import as_json, cell, utc
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


def lineage(
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--score", metavar="NAME", help="Only events that this is made of; repeatable."
        ),
    ] = None,
    touchpoint: TouchpointOption = "",
    only: OnlyOption = None,
    occurred_from: OccurredFromOption = "",
    occurred_before: OccurredBeforeOption = "",
    as_of: AsOfOption = "",
    limit: LimitOption = 100,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show the events that scores are made of, with the amendments and profiles that say how they count."""
    request = pb.GetLineageRequest(names=names)
    fill(
        request,
        touchpoint=touchpoint,
        only=only,
        occurred_from=occurred_from,
        occurred_before=occurred_before,
        as_of=as_of,
    )
    answer: pb.GetLineageResponse = ask(
        ScoringServiceStub,
        lambda stub, call: all_pages(stub.GetLineage, request, call, "events", limit),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(as_json(answer)))
    else:
        Console().print(_table(answer), _of_the_whole(answer), sep="", highlight=False)


def _of_the_whole(answer: pb.GetLineageResponse) -> str:
    counted = f"{answer.counted:,} events count, as of position {answer.as_of_position.number:,}"
    more = "; there are more, see --limit" if answer.next_page_token else ""
    return f"{counted}{more}\n{freshness(answer.freshness)}"


def _table(answer: pb.GetLineageResponse) -> Table:
    # Six columns within 80.
    shown = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("position", justify="right", no_wrap=True)
    shown.add_column("occurred", no_wrap=True)
    shown.add_column("source", overflow="fold")
    # Half of a UUID, so that two lines have it.
    shown.add_column("event id", overflow="fold", min_width=18)
    shown.add_column("what", overflow="fold")
    shown.add_column("why", no_wrap=True)
    for event in answer.events:
        role: str = pb.LineageRole.Name(event.role)
        shown.add_row(
            f"{event.position:,}",
            utc(event.occurred_at)[:10] if event.HasField("occurred_at") else "",
            cell(event.source),
            cell(event.event_id),
            # "feedback_received" of "touchledger.feedback_received.v1".
            event.topic.split(".")[1],
            role.removeprefix("LINEAGE_ROLE_").lower(),
        )
    return shown
