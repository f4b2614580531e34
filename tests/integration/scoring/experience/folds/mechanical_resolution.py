from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import product
from typing import Any, NamedTuple

from tests.support.serving import abouts, points_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


class Case(NamedTuple):
    touchpoint: str
    resolved: bool
    let_down: bool


def cases(events: Sequence[Told]) -> list[Case]:
    about = abouts(events)
    answers = defaultdict[int, list[bool]](list)
    interactions = dict[int, Told]()
    for each in events:
        met = about.get(each.position)
        if each.kind != "feedback_received" or met is None:
            continue
        if met.body.stage != pb.STAGE_SERVICE:
            continue
        for signal in each.body.signals:
            whole = signal.metric == pb.METRIC_CSAT and not signal.dimension
            empathy = (
                signal.metric in (pb.METRIC_CSAT, pb.METRIC_RATING)
                and signal.dimension == "empathy"
            )
            if whole or empathy:
                interactions[met.position] = met
                answers[met.position].append(points_of(signal) <= 25)
    solved = (pb.OUTCOME_RESOLVED, pb.OUTCOME_COMPLETED)
    return [
        Case(met.envelope.touchpoint, met.body.outcome in solved, any(answers[position]))
        for position, met in interactions.items()
    ]


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    found = Counter((each.resolved, each.let_down) for each in cases(events))
    return [
        {
            "resolved": resolved,
            "felt": "let down" if let_down else "cared for",
            "cases": found[resolved, let_down],
            "share": found[resolved, let_down] / found.total() if found else None,
        }
        for resolved, let_down in product((False, True), repeat=2)
    ]
