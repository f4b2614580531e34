"""`touchledger report`: figures of customers' experience, and the events behind them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from services.cli.ask import ask
from services.cli.score_options import (
    PAGE_SIZE_MAX,
    AsOfOption,
    LimitOption,
    OccurredBeforeOption,
    all_pages,
    fill,
    freshness,
)
from services.cli.shown import as_json, cell, utc
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
from touchledger.v1 import experience_pb2 as pb
from touchledger.v1.experience_pb2_grpc import ExperienceServiceStub

# Rows of a figure that a person reads; with --json all are told.
ROWS_SHOWN = 15
# What ends with these is a bound of what stands before it, and is shown with it.
BOUNDS = ("_lo", "_hi")
# Of the terminal, what keys get at most: no other column would fit beside a key of 128 characters.
KEYS_PART = 0.6
NOT_KNOWN = "–"
# Of columns, from each other.
GAP = 3
# Of a table, together.
EDGES = 2
NUMBERS = ("bigint", "integer", "double precision")
# Of a figure that tells of each journey.
LINES_MAX = 100 * PAGE_SIZE_MAX

app = typer.Typer(name="report", help="What the statistics of managers miss.", no_args_is_help=True)


@app.command()
def experience(
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", metavar="NAME", help="Only this figure; repeatable."),
    ] = None,
    occurred_before: OccurredBeforeOption = "",
    as_of: AsOfOption = "",
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="Show so many rows of each; --json tells all.")
    ] = ROWS_SHOWN,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show the figures of customers' experience, all as of one position."""
    asked = pb.GetFigureRequest()
    fill(asked, occurred_before=occurred_before, as_of=as_of)

    async def answers(stub: Any, call: dict[str, Any]) -> list[pb.GetFigureResponse]:
        listed = await stub.ListFigures(pb.ListFiguresRequest(), **call)
        names = [each.name for each in listed.figures]
        for name in figure or ():
            if name not in names:
                stop(f"--figure: got {name!r}, want one of {', '.join(names)}", EXIT_USAGE)
        told = []
        for name in figure or names:
            asked.figure, asked.page_token = name, ""
            limit = LINES_MAX if json_output else rows
            told.append(await all_pages(stub.GetFigure, asked, call, "rows", limit))
            if asked.WhichOneof("as_of") is None:
                asked.as_of_position.CopyFrom(told[-1].as_of_position)
        return told

    told = ask(ExperienceServiceStub, answers, data=data, target=target, key=key, ca=ca)
    if json_output:
        typer.echo(json.dumps([as_json(each) for each in told]))
        return
    console = Console()
    for each in told:
        console.print(f"{each.figure.name}: {each.figure.question}", style="bold", markup=False)
        for table in _tables(each, console.width):
            console.print(table)
        if each.next_page_token:
            console.print("and more rows, see --rows\n")
    last = told[-1]
    console.print(
        f"as of position {last.as_of_position.number:,}, intervals of 95 %; every digit with --json; "
        f"{freshness(last.freshness)}",
        highlight=False,
    )


@app.command()
def events(
    figure: Annotated[str, typer.Argument(metavar="FIGURE", help="Such as mechanical_resolution.")],
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Only rows with these keys, such as resolved=true."
        ),
    ] = None,
    occurred_before: OccurredBeforeOption = "",
    as_of: AsOfOption = "",
    limit: LimitOption = 20,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show the events behind a figure, or behind some of its rows."""
    request = pb.GetFigureEventsRequest(figure=figure, keys=keys or ())
    fill(request, occurred_before=occurred_before, as_of=as_of)
    answer: pb.GetFigureEventsResponse = ask(
        ExperienceServiceStub,
        lambda stub, call: all_pages(stub.GetFigureEvents, request, call, "events", limit),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(as_json(answer)))
        return
    shown = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    shown.add_column("position", justify="right", no_wrap=True)
    for column in ("occurred", "what", "source", "event id"):
        shown.add_column(column, overflow="fold")
    for each in answer.events:
        shown.add_row(
            f"{each.position:,}",
            utc(each.occurred_at),
            each.topic.removeprefix("touchledger."),
            cell(each.source),
            cell(each.event_id),
        )
    console = Console()
    console.print(shown)
    more = "there are more, see --limit; " if answer.next_page_token else ""
    console.print(f"{more}{freshness(answer.freshness)}", highlight=False)


def _tables(answer: pb.GetFigureResponse, width: int) -> Iterator[Table]:
    """What is wider than the terminal is in several tables, each with the keys."""
    columns = [each for each in answer.figure.columns if not each.name.endswith(BOUNDS)]
    cells = {
        each.name: [cell(_cell(each, {**row.keys, **row.values})) for row in answer.rows]
        for each in columns
    }
    keys = [each for each in columns if each.key]
    widths = {each.name: _width(each, cells) for each in columns}
    if sum(widths[each.name] for each in keys) > width * KEYS_PART:
        for each in keys:
            widths[each.name] = min(widths[each.name], int(width * KEYS_PART) // len(keys))
    room = width - EDGES - sum(widths[each.name] for each in keys)
    parts, left = list[list[pb.FigureColumn]](), 0
    for each in columns:
        if each.key:
            continue
        needed = widths[each.name] = min(widths[each.name], room)
        if not parts or needed > left:
            parts.append([])
            left = room
        parts[-1].append(each)
        left -= needed
    for part in parts:
        shown = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
        for each in keys + part:
            is_number = each.type in NUMBERS or each.type.startswith("numeric")
            shown.add_column(
                _title(each),
                justify="right" if is_number else "left",
                width=widths[each.name] - GAP,
                overflow="fold",
            )
        for row in zip(*(cells[each.name] for each in keys + part), strict=True):
            shown.add_row(*row)
        yield shown


def _title(column: pb.FigureColumn) -> str:
    return column.name.replace("_", " ")


def _width(column: pb.FigureColumn, cells: Mapping[str, Sequence[str]]) -> int:
    """Titles may break between words."""
    return max(map(cell_len, [*_title(column).split(), *cells[column.name]])) + GAP


def _cell(column: pb.FigureColumn, values: Mapping[str, str]) -> str:
    """Never a score without its interval, where it has one."""
    value = _value(column.type, values.get(column.name))
    ends = [_value(column.type, values.get(column.name + bound)) for bound in BOUNDS]
    return value if NOT_KNOWN in ends else f"{value} [{'…'.join(ends)}]"


def _value(kind: str, text: str | None) -> str:
    if text is None:
        return NOT_KNOWN
    if kind in ("bigint", "integer"):
        return f"{int(text):,}"
    if kind == "double precision" or kind.startswith("numeric"):
        number = Decimal(text)
        return f"{number:,.0f}" if abs(number) >= 10_000 else f"{number:.4g}"
    if kind == "timestamptz":
        return text[:16].replace("T", " ") + "Z"
    return text
