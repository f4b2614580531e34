"""`touchledger series`: scores day by day, week by week or month by month."""

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from services.cli.ask import ask
from services.cli.score_options import (
    AsOfOption,
    OccurredBeforeOption,
    OccurredFromOption,
    OnlyOption,
    TouchpointOption,
    fill,
)
from services.cli.scores import By, ScoreOption, asked_names, named_table, table
from services.cli.shown import as_json
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


class Period(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def series(
    period: Annotated[Period, typer.Option("--period", help="How long a period is.")] = Period.WEEK,
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="A series for each of these, no period; without it, one series."),
    ] = None,
    touchpoint: TouchpointOption = "",
    only: OnlyOption = None,
    occurred_from: OccurredFromOption = "",
    occurred_before: OccurredBeforeOption = "",
    as_of: AsOfOption = "",
    named: ScoreOption = None,
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show scores per day, week or month; a period in which nothing happened is there, without scores."""
    apart = [each for each in by or () if each is not By.ALL]
    request = pb.GetSeriesRequest(
        period=f"PERIOD_{period.name}",
        groups=[f"GROUP_BY_{each.name}" for each in apart],
        names=asked_names(named or [], json_output),
    )
    fill(
        request,
        touchpoint=touchpoint,
        only=only,
        occurred_from=occurred_from,
        occurred_before=occurred_before,
        as_of=as_of,
    )
    answer = ask(
        ScoringServiceStub,
        lambda stub, call: stub.GetSeries(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps(as_json(answer)))
    elif named:
        Console().print(named_table(answer, [*apart, period], named))
    else:
        Console().print(table(answer, [*apart, period]))
