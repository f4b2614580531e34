"""`touchledger scores`: satisfaction per touchpoint, as a table or as JSON."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli.ask import ask
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_USAGE,
    CaOption,
    DataOption,
    KeyOption,
    TargetOption,
    stop,
)
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
POSITION = re.compile(r"\d{1,18}", re.ASCII)
# The keys of the JSON that are documented; new ones may come behind them.
COUNTS = (
    *("interactions", "asked", "suppressed", "answered"),
    *("csat_answered", "csat_other_scale", "nps_answered"),
)
SCORES = ("csat_mean", "top2", "top2_lo", "top2_hi", "bottom2", "nps", "nps_lo", "nps_hi")


class By(StrEnum):
    TOUCHPOINT = "touchpoint"
    STAGE = "stage"
    CHANNEL = "channel"
    SERVICE_MODE = "service_mode"
    STORE = "store"
    STAFF_GROUP = "staff_group"
    GENERATION = "generation"
    SOURCE = "source"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    ALL = "all"


def scores(
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="One line for each of these; several give each combination."),
    ] = None,
    touchpoint: Annotated[
        str,
        typer.Option("--touchpoint", metavar="GLOB", help="Only touchpoints like this: 'store.*'."),
    ] = "",
    occurred_from: Annotated[
        str,
        typer.Option(
            "--occurred-from", metavar="T", help="Only what happened then or later, as below."
        ),
    ] = "",
    occurred_before: Annotated[
        str,
        typer.Option(
            "--occurred-before",
            metavar="T",
            help="Only what happened before: 2026-09-01 (midnight in the reporting zone) or "
            "2026-09-01T12:00:00Z.",
        ),
    ] = "",
    as_of: Annotated[
        str,
        typer.Option(
            "--as-of",
            metavar="T|POSITION",
            help="As it was known then: a date, a time, a position.",
        ),
    ] = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    more: Annotated[
        list[str] | None,
        typer.Option(
            "--score", metavar="NAME", help="This score, too, such as top2_shrunken; repeatable."
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> None:
    """Show satisfaction per touchpoint: answered of asked, CSAT top-2 with its interval, NPS, mean."""
    grouped, named = by or [By.TOUCHPOINT], more or []
    request = pb.GetScoresRequest(
        groups=[f"GROUP_BY_{each.name}" for each in grouped],
        touchpoint_glob=touchpoint,
        names=[*COUNTS, *SCORES, *named],
    )
    if occurred_from:
        _set_moment(request, "occurred_from", "--occurred-from", occurred_from)
    if occurred_before:
        _set_moment(request, "occurred_before", "--occurred-before", occurred_before)
    if POSITION.fullmatch(as_of):
        request.as_of_position.number = int(as_of)
    elif as_of:
        _set_moment(request, "as_of", "--as-of", as_of)
    answer = ask(
        ScoringServiceStub,
        lambda stub, call: stub.GetScores(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        rows = [_row(score, answer, grouped, named) for score in answer.scores]
        typer.echo(json.dumps(rows))
    else:
        Console().print(table(answer, grouped, named))


def _set_moment(request: pb.GetScoresRequest, field: str, option: str, text: str) -> None:
    """A date goes as it is: the tenant's reporting zone is the server's to know."""
    if DATE.fullmatch(text):
        setattr(request, f"{field}_date", text)
        return
    want = "a date such as 2026-09-01 or a time with its offset such as 2026-09-01T12:00:00Z"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        stop(f"{option}: got {text!r}, want {want}", EXIT_USAGE)
    if moment.tzinfo is None:
        stop(f"{option}: got {text!r} without an offset, want {want}", EXIT_USAGE)
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    getattr(request, f"{field}_time").CopyFrom(timestamp)


def _row(
    score: pb.Score, answer: pb.GetScoresResponse, by: Sequence[By], more: Sequence[str]
) -> dict[str, Any]:
    return {
        "touchpoint": score.keys.get("touchpoint"),
        "by": " | ".join(by),
        "group": score.group,
        **{name: score.counts[name] for name in COUNTS},
        **{name: score.scores.get(name) for name in SCORES},
        "formula_version": answer.formula_version,
        "as_of_position": answer.as_of_position.number,
        "journal_id": answer.as_of_position.journal_id,
        "reporting_zone": answer.reporting_zone,
        "keys": dict(score.keys),
        **{name: score.scores.get(name) for name in more},
    }


def table(
    answer: pb.GetScoresResponse, by: Sequence[By] = (By.TOUCHPOINT,), more: Sequence[str] = ()
) -> Table:
    """What a person reads: nothing where nobody answered, and never a share without its n and interval."""
    shown = Table(
        box=box.SIMPLE,
        # 80 columns are what many terminals have.
        padding=(0, 1),
        pad_edge=False,
        caption=f"as of position {answer.as_of_position.number:,}, intervals of 95 %\n"
        f"{answer.formula_version}",
        caption_justify="left",
    )
    shown.add_column(" | ".join(by), no_wrap=True)
    for name in ("answered/asked", "CSAT top-2", "mean", "NPS", *more):
        shown.add_column(name, justify="right", no_wrap=True)
    for score in answer.scores:
        got, counts = score.scores, score.counts
        shown.add_row(
            score.group,
            f"{counts['answered']:,}/{counts['asked']:,}",
            f"{got['top2']:.0%} \\[{100 * got['top2_lo']:.0f}…{100 * got['top2_hi']:.0f}]"
            if "top2" in got
            else NOBODY,
            f"{got['csat_mean']:.2f}" if "csat_mean" in got else NOBODY,
            f"{got['nps']:+.0f} \\[{got['nps_lo']:+.0f}…{got['nps_hi']:+.0f}]"
            if "nps" in got
            else NOBODY,
            *(f"{got[name]:.4g}" if name in got else NOBODY for name in more),
        )
    return shown


# Shown where nobody answered: a score of nothing is nothing, not 0.
NOBODY = "–"
