"""`touchledger projection`: rebuilds the read models beside the live ones, compares, switches, takes back."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import grpc
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli.ask import ask, with_system
from services.cli.shown import cell
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_REFUSED,
    CaOption,
    DataOption,
    JsonOption,
    KeyOption,
    System,
    TargetOption,
    stop,
)
from touchledger.v1 import projections_pb2 as pb
from touchledger.v1.projections_pb2_grpc import ProjectionServiceStub

app = typer.Typer(
    name="projection",
    help="The read models: status, and rebuild, diff, switch, rollback while events keep coming.",
    no_args_is_help=True,
)

# A comparison of a hundred million rows takes some minutes; nothing else ends it.
DIFF_SECONDS_MAX = 3600.0


@app.command()
def status(
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show how far the live, the next and the previous model are, and who fills them."""
    answer = ask(
        ProjectionServiceStub,
        lambda stub, call: stub.GetProjections(pb.GetProjectionsRequest(), **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(_status(answer)))
        return
    table = Table(box=box.SIMPLE)
    table.add_column("model")
    for column in ("projected up to", "lag", "missing", "parked"):
        table.add_column(column, justify="right")
    table.add_column("filled by")
    for each in answer.projections:
        table.add_row(
            each.name,
            f"{each.checkpoint.number:,}",
            f"{each.lag:,}",
            f"{each.missing_positions:,}",
            f"{each.parked_events:,}",
            cell(each.owner) or "nobody",
        )
    Console().print(table)
    if answer.HasField("comparison"):
        typer.echo(_told(answer.comparison))


@app.command()
def rebuild(
    replace: Annotated[
        bool, typer.Option("--replace", help="Begin again where there is a next model already.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
) -> None:
    """Begin to fill the next model from position 1; `status` tells how far it is."""
    request = pb.RebuildProjectionRequest(replace=replace)
    ask(
        ProjectionServiceStub,
        lambda stub, call: stub.RebuildProjection(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    typer.echo("rebuild begun")


@app.command()
def diff(
    rows: Annotated[
        int, typer.Option("--rows", min=1, max=100, help="Differing rows to show of each table.")
    ] = 5,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Compare the next model with the live one, row for row at one position. Ends with 1 when they differ."""

    async def compare(channel: grpc.aio.Channel, system: System) -> pb.Comparison:
        request = pb.DiffProjectionRequest(rows_max=rows)
        stream: AsyncIterator[pb.DiffProjectionResponse] = ProjectionServiceStub(
            channel
        ).DiffProjection(request, metadata=system.metadata, timeout=DIFF_SECONDS_MAX)
        result = pb.Comparison()
        async for each in stream:
            if each.HasField("result"):
                result = each.result
            if json_output:
                typer.echo(json.dumps(_found(each)))
            elif each.HasField("table"):
                _show(each.table)
        return result

    found = with_system(compare, data=data, target=target, key=key, ca=ca)
    if not json_output:
        typer.echo(_told(found))
    if found.differing_rows:
        stop(f"{found.differing_rows:,} rows differ", EXIT_REFUSED)


@app.command()
def switch(
    even_if_different: Annotated[
        bool, typer.Option("--even-if-different", help="Also where diff found, or wasn't asked.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
) -> None:
    """Let the next model answer from now on; the live one is kept as the previous one."""
    request = pb.SwitchProjectionRequest(even_if_different=even_if_different)
    answer = ask(
        ProjectionServiceStub,
        lambda stub, call: stub.SwitchProjection(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    typer.echo(f"switched at position {answer.position.number:,}")


@app.command()
def rollback(
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
) -> None:
    """Let the previous model answer again; it catches up from where it was left."""
    answer = ask(
        ProjectionServiceStub,
        lambda stub, call: stub.RollBackProjection(pb.RollBackProjectionRequest(), **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    typer.echo(f"rolled back; goes on from position {answer.position.number:,}")


def _show(table: pb.TableComparison) -> None:
    """One line for each table as it comes, and the rows that differ under it."""
    differing = table.only_live_rows + table.only_next_rows
    said = "equal" if not differing else f"{differing:,} differ"
    if not (table.live_rows or table.next_rows) and table.uncompared_columns:
        said = "only one model has it"
    typer.echo(f"{table.table:36} {table.live_rows:>12,} {table.next_rows:>12,}  {said}")
    for row in table.differing:
        times = f" {row.copies} times" if row.copies > 1 else ""
        typer.echo(f"    only {row.only_in}{times}: {row.json}")


def _told(comparison: pb.Comparison) -> str:
    differing = comparison.differing_rows
    found = f"{differing:,} rows differ" if differing else "all rows are equal"
    return f"compared at position {comparison.position.number:,}: {found}"


def _status(answer: pb.GetProjectionsResponse) -> dict[str, Any]:
    return {
        "head": answer.head.number,
        "projections": [
            {
                "name": each.name,
                "checkpoint": each.checkpoint.number,
                "lag": each.lag,
                "missing_positions": each.missing_positions,
                "parked_events": each.parked_events,
                "owner": each.owner,
            }
            for each in answer.projections
        ],
        "comparison": _compared(answer.comparison) if answer.HasField("comparison") else None,
    }


def _compared(comparison: pb.Comparison) -> dict[str, Any]:
    return {
        "position": comparison.position.number,
        "differing_rows": comparison.differing_rows,
        "compared_at": comparison.compared_at.ToJsonString(),
    }


def _found(each: pb.DiffProjectionResponse) -> dict[str, Any]:
    if each.HasField("result"):
        return {"result": _compared(each.result)}
    table = each.table
    return {
        "table": table.table,
        "live_rows": table.live_rows,
        "next_rows": table.next_rows,
        "only_live_rows": table.only_live_rows,
        "only_next_rows": table.only_next_rows,
        "differing": [
            {"only_in": row.only_in, "copies": row.copies, "row": json.loads(row.json)}
            for row in table.differing
        ],
        "uncompared_columns": [*table.uncompared_columns],
    }
