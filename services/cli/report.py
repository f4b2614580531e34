"""`touchledger report`: figures of customers' experience, and the events behind them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
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
from touchledger.v1 import experience_pb2 as pb
from touchledger.v1.experience_pb2_grpc import ExperienceServiceStub

# Rows of a figure that a person reads; with --json all are told.
ROWS_SHOWN = 15
# What ends with these is a bound of what stands before it.
BOUNDS = ("_lo", "_hi")
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
            told.append(await all_pages(stub.GetFigure, asked, call, "rows", LINES_MAX))
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
        for table in _tables(each, rows, console.width):
            console.print(table)
        if len(each.rows) > rows:
            console.print(f"and {len(each.rows) - rows:,} rows more\n")
    last = told[-1]
    console.print(
        f"as of position {last.as_of_position.number:,}; every digit and bound with --json; "
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
            escape(each.source),
            escape(each.event_id),
        )
    console = Console()
    console.print(shown)
    more = "there are more, see --limit; " if answer.next_page_token else ""
    console.print(f"{more}{freshness(answer.freshness)}", highlight=False)


def _tables(answer: pb.GetFigureResponse, rows: int, width: int) -> Iterator[Table]:
    """Without bounds. What is wider than the terminal is in several tables, each with the keys."""
    columns = [each for each in answer.figure.columns if not each.name.endswith(BOUNDS)]
    cells = {
        each.name: [
            escape(_value(each.type, {**row.keys, **row.values}.get(each.name)))
            for row in answer.rows[:rows]
        ]
        for each in columns
    }
    keys = [each for each in columns if each.key]
    parts, left = list[list[pb.FigureColumn]](), 0
    for each in columns:
        if each.key:
            continue
        needed = _width(each, cells)
        if not parts or needed > left:
            parts.append([])
            left = width - EDGES - sum(_width(key, cells) for key in keys)
        parts[-1].append(each)
        left -= needed
    for part in parts:
        shown = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
        for each in keys + part:
            is_number = each.type in NUMBERS or each.type.startswith("numeric")
            shown.add_column(
                _title(each),
                justify="right" if is_number else "left",
                width=_width(each, cells) - GAP,
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
