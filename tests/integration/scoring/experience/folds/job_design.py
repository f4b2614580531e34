from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from tests.integration.scoring.experience.folds.expectation_gap_by_generation import meetings
from tests.integration.scoring.experience.folds.score_by_segment import (
    K,
    Profiles,
    csat_answers,
    mean,
)
from tests.integration.scoring.experience.folds.service_mode import SOLVED
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    history = sorted(events, key=lambda each: each.order)
    profiles = Profiles(events)
    designs = defaultdict[tuple[str, str], list[tuple[datetime, str]]](list)
    for each in history:
        if each.kind == "staff_profile":
            design = each.body.job_design or "unspecified"
            designs[each.source, each.envelope.staff].append((each.occurred_at, design))

    def design_of(each: Told) -> str:
        said = [
            design
            for at, design in designs[each.source, each.envelope.staff]
            if at <= each.occurred_at
        ]
        return said[-1] if said else "unspecified"

    members = defaultdict[str, set[tuple[str, str]]](set)
    answered = defaultdict[str, set[tuple[str, str]]](set)
    ended = defaultdict[str, set[tuple[str, str]]](set)
    # Of answers and of outcomes; those of nobody known are each of one of its own.
    answering = defaultdict[str, set[str]](set)
    helped = defaultdict[str, set[str]](set)
    outcomes = defaultdict[str, list[int]](list)
    points = defaultdict[str, list[Fraction]](list)
    for each in history:
        if each.kind == "interaction" and each.envelope.staff:
            members[design_of(each)].add((each.source, each.envelope.staff))
            outcomes[design_of(each)].append(each.body.outcome)
            if each.body.outcome != pb.OUTCOME_UNSPECIFIED:
                ended[design_of(each)].add((each.source, each.envelope.staff))
                helped[design_of(each)].add(profiles.person(each) or f"nobody {each.position}")
    met = meetings(history, profiles)
    for answer in csat_answers(events, profiles):
        meeting = met.get(answer.about.position)
        served = meeting if meeting and meeting.envelope.staff else answer.about
        if served.envelope.staff:
            members[design_of(served)].add((served.source, served.envelope.staff))
            points[design_of(served)].append(answer.points)
            answered[design_of(served)].add((served.source, served.envelope.staff))
            answering[design_of(served)].add(answer.person or f"nobody {answer.about.position}")
    rows = []
    for design, staff in members.items():
        known = [each for each in outcomes[design] if each != pb.OUTCOME_UNSPECIFIED]
        csat_told = min(len(answered[design]), len(answering[design])) >= K
        outcome_told = min(len(ended[design]), len(helped[design])) >= K
        rows.append(
            {
                "job_design": design,
                "staff": len(staff),
                "too_few": bool((points[design] and not csat_told) or (known and not outcome_told)),
                "interactions": len(outcomes[design]),
                "csat_n": len(points[design]),
                "csat_points": mean(points[design]) if csat_told else None,
                "outcome_n": len(known),
                "resolved_share": sum(each in SOLVED for each in known) / len(known)
                if outcome_told
                else None,
            }
        )
    return rows
