"""`touchledger scores`: satisfaction per touchpoint, as a table or as JSON."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from services.cli.ask import ask
from services.cli.score_options import (
    AsOfOption,
    OccurredBeforeOption,
    OccurredFromOption,
    OnlyOption,
    TouchpointOption,
    fill,
    freshness,
)
from services.cli.shown import cell
from services.cli.system import DEFAULT_DATA, CaOption, DataOption, KeyOption, TargetOption
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

# The keys of the JSON that are documented; new ones may come behind them.
COUNTS = (
    *("interactions", "asked", "suppressed", "answered"),
    *("csat_answered", "csat_other_scale", "nps_answered"),
)
# Always in an answer.
BASE = COUNTS[:4]
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


ScoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--score",
        metavar="NAME",
        help="This score or count, such as fcr_no_repeat, with its interval and what it is made of; "
        "repeatable.",
    ),
]


def scores(
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="One line for each of these; several give each combination."),
    ] = None,
    touchpoint: TouchpointOption = "",
    only: OnlyOption = None,
    occurred_from: OccurredFromOption = "",
    occurred_before: OccurredBeforeOption = "",
    as_of: AsOfOption = "",
    data: DataOption = DEFAULT_DATA,
    target: TargetOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    more: ScoreOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> None:
    """Show satisfaction per touchpoint: answered of asked, CSAT top-2 with its interval, NPS, mean."""
    grouped, named = by or [By.TOUCHPOINT], more or []
    request = pb.GetScoresRequest(
        groups=[f"GROUP_BY_{each.name}" for each in grouped], names=asked_names(named, json_output)
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
        lambda stub, call: stub.GetScores(request, **call),
        data=data,
        target=target,
        key=key,
        ca=ca,
    )
    if json_output:
        typer.echo(json.dumps([_row(score, answer, grouped, named) for score in answer.scores]))
    elif named:
        Console().print(named_table(answer, grouped, named))
    else:
        Console().print(table(answer, grouped))


def asked_names(named: Sequence[str], json_output: bool) -> list[str]:
    """A table shows those that are named instead of the others."""
    return list(named) if named and not json_output else [*COUNTS, *SCORES, *named]


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
        **{name: _told(score, name) for name in more},
        **({"counts": dict(score.counts), "scores": dict(score.scores)} if more else {}),
    }


def _told(score: pb.Score, name: str) -> Any:
    """A count, a sum or a score, whichever is named so."""
    if name in score.counts:
        return score.counts[name]
    return score.sums[name] if name in score.sums else score.scores.get(name)


def table(
    answer: pb.GetScoresResponse | pb.GetSeriesResponse, by: Sequence[str] = (By.TOUCHPOINT,)
) -> Group:
    """What a person reads: nothing where nobody answered, and never a share without its n and interval."""
    shown = _table(by)
    for name in ("answered/asked", "CSAT top-2", "mean", "NPS"):
        shown.add_column(name, justify="right", no_wrap=True)
    for score in answer.scores:
        got, counts = score.scores, score.counts
        shown.add_row(
            cell(score.group),
            f"{counts['answered']:,}/{counts['asked']:,}",
            f"{got['top2']:.0%} \\[{100 * got['top2_lo']:.0f}…{100 * got['top2_hi']:.0f}]"
            if "top2" in got
            else NOBODY,
            f"{got['csat_mean']:.2f}" if "csat_mean" in got else NOBODY,
            f"{got['nps']:+.0f} \\[{got['nps_lo']:+.0f}…{got['nps_hi']:+.0f}]"
            if "nps" in got
            else NOBODY,
        )
    return Group(shown, _of_the_whole(answer))


def named_table(
    answer: pb.GetScoresResponse | pb.GetSeriesResponse, by: Sequence[str], names: Sequence[str]
) -> Group:
    """A line for each group and name, the first of a group with the counts that its scores are made of."""
    shown = _table(by)
    shown.add_column("score", overflow="fold")
    shown.add_column("value", justify="right", no_wrap=True)
    shown.add_column("made of", overflow="fold")
    for score in answer.scores:
        counts = [name for name in score.counts if name not in {*BASE, *names}]
        first = cell(score.group), ", ".join(f"{n} {score.counts[n]:,}" for n in sorted(counts))
        for name in dict.fromkeys(names):
            shown.add_row(first[0], name, _value(score, name), first[1])
            first = "", ""
    return Group(shown, _of_the_whole(answer))


def _value(score: pb.Score, name: str) -> str:
    if name in score.counts:
        return f"{score.counts[name]:,}"
    if name in score.sums:
        return score.sums[name]
    if name not in score.scores:
        return NOBODY
    ends = [score.scores.get(f"{name}_{end}") for end in ("lo", "hi")]
    interval = f" \\[{ends[0]:.4g}…{ends[1]:.4g}]" if None not in ends else ""
    return f"{score.scores[name]:.4g}{interval}"


def _of_the_whole(answer: pb.GetScoresResponse | pb.GetSeriesResponse) -> Text:
    as_of = f"as of position {answer.as_of_position.number:,}, intervals of 95 %"
    return Text(f"{as_of}\n{freshness(answer.freshness)}\n{answer.formula_version}")


def _table(by: Sequence[str]) -> Table:
    # 80 columns are what many terminals have.
    shown = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    shown.add_column(" | ".join(by), no_wrap=True)
    return shown


# Shown where nobody answered: a score of nothing is nothing, not 0.
NOBODY = "–"
