from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.service import group_of, jobs_of, taken_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

AROUND = timedelta(hours=720)
FEW = 5
Member = tuple[str, str]
# Who served, how it was, and whose answer it is.
Answer = tuple[Member, Decimal, str]


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    group, jobs = group_of(events), jobs_of(events)
    first = defaultdict[str, dict[Member, Told]](dict)
    for each in sorted(events, key=lambda each: each.order):
        if (
            each.kind == "front_line"
            and each.body.step == pb.FRONT_LINE_STEP_TRAINING
            and each.envelope.staff
        ):
            first[each.body.kind or "unspecified"].setdefault(member(each), each)
    rows = []
    for course, trainings in first.items():
        over = {who: t for who, t in trainings.items() if t.occurred_at + AROUND <= horizon}
        moments = {who: t.occurred_at for who, t in over.items()}
        controls = dict[Member, datetime]()
        if moments:
            median = sorted(moments.values())[(len(moments) - 1) // 2]
            teams = {group(t) for t in over.values()} - {"unspecified"}
            controls = {
                who: median
                for who in jobs
                if who not in trainings and team_at(jobs[who], median) in teams
            }
        cells = answers(events, "trained", moments) | answers(events, "controls", controls)
        rows.append(
            {
                "course": course,
                "trained": len(over),
                "pending": len(trainings) - len(over),
                "controls": len(controls),
            }
            | compared(cells)
        )
    return rows


def member(each: Told) -> Member:
    return each.source, each.envelope.staff


def team_at(jobs: Sequence[tuple[datetime, Any]], at: datetime) -> str:
    held = [profile.group for since, profile in jobs if since <= at]
    return (held[-1] if held else "") or "unspecified"


def answers(
    events: Sequence[Told], side: str, moments: dict[Member, datetime]
) -> dict[str, list[Answer]]:
    pre, post = list[Answer](), list[Answer]()
    for taken in taken_of(events):
        who = member(taken.served)
        if who in moments:
            apart = taken.service.occurred_at - moments[who]
            if -AROUND <= apart < AROUND:
                (pre if apart < timedelta() else post).append((who, taken.points, taken.person))
    return {f"{side}_pre": pre, f"{side}_post": post}


def compared(cells: dict[str, list[Answer]]) -> dict[str, Any]:
    told = all(
        len({who for who, *_ in cell}) >= FEW
        and len({person for *_, person in cell if person}) >= FEW
        for cell in cells.values()
    )
    row: dict[str, Any] = {f"{name}_n": len(cell) for name, cell in cells.items()}
    row |= dict.fromkeys((*cells, "did_estimate", "did_estimate_lo", "did_estimate_hi")) | {
        "too_few": not told
    }
    if told:
        means = {
            name: float(sum(p for _, p, _ in cell) / len(cell)) for name, cell in cells.items()
        }
        variance = sum(
            sum((float(p) - means[name]) ** 2 for _, p, _ in cell) / (len(cell) - 1) / len(cell)
            for name, cell in cells.items()
        )
        did = means["trained_post"] - means["trained_pre"]
        did -= means["controls_post"] - means["controls_pre"]
        half = 1.959963984540054 * variance**0.5
        row |= means | {
            "did_estimate": did,
            "did_estimate_lo": did - half,
            "did_estimate_hi": did + half,
        }
    return row
