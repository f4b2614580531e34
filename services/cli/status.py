"""`touchledger status`: how far the journal and the read models are, and whether anything is missing."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli import parts
from services.cli.ask import ask
from services.cli.data_folder import Part
from services.cli.shown import cell
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_REFUSED,
    CaOption,
    DataOption,
    KeyOption,
    NoSystem,
    TargetOption,
    running,
    stop,
)
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub


def status(
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show positions, lag, missing positions and counts. Ends with 1 when positions are missing.

    Of a system that `up --cluster` runs, each process and whether it is ready, too.
    """
    cluster = () if target else _parts(data)
    if cluster and not json_output:
        # First: it is there when nobody can answer the rest.
        Console().print(parts.shown(cluster))
    answer = ask(
        ScoringServiceStub,
        lambda stub, call: stub.GetStatus(pb.GetStatusRequest(), **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    recorded_at = answer.checkpoint_recorded_at
    if json_output:
        shown = {
            "journal_id": answer.head.journal_id,
            "head": answer.head.number,
            "checkpoint": answer.checkpoint.number,
            "lag": answer.lag,
            "missing_positions": answer.missing_positions,
            "checkpoint_recorded_at": recorded_at.ToJsonString() if recorded_at.seconds else None,
            "waiting_amendments": answer.waiting_amendments,
            "parked_events": answer.parked_events,
            "events": dict(sorted(answer.events.items())),
            "projected_by": answer.projected_by or None,
        }
        if cluster:
            shown["parts"] = [asdict(part) | {"state": parts.state(part)} for part in cluster]
        typer.echo(json.dumps(shown))
    else:
        table = Table(box=box.SIMPLE, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_row("journal", answer.head.journal_id)
        table.add_row("last position", f"{answer.head.number:,}")
        table.add_row("projected up to", f"{answer.checkpoint.number:,}")
        table.add_row("lag", f"{answer.lag:,}")
        table.add_row("projected by", cell(answer.projected_by) or "nobody")
        table.add_row("missing positions", f"{answer.missing_positions:,}")
        table.add_row("amendments without target", f"{answer.waiting_amendments:,}")
        table.add_row("events in no fact", f"{answer.parked_events:,}")
        for topic, count in sorted(answer.events.items()):
            table.add_row(topic, f"{count:,}")
        Console().print(table)
    if answer.missing_positions:
        stop(f"{answer.missing_positions} positions are missing", EXIT_REFUSED)


def _parts(data: Path) -> tuple[Part, ...]:
    try:
        return running(data).parts
    except NoSystem:
        # Said by whoever asks it.
        return ()
