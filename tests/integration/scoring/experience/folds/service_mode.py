from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.integration.scoring.experience.folds.score_by_segment import (
    Profiles,
    csat_answers,
    mean,
)
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

SOLVED = (pb.OUTCOME_COMPLETED, pb.OUTCOME_RESOLVED)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    answers = list(csat_answers(events, Profiles(events)))
    rows = []
    for name, mode in pb.ServiceMode.items():
        met = [
            each.body.outcome
            for each in events
            if each.kind == "interaction" and each.body.service_mode == mode
        ]
        said = [outcome for outcome in met if outcome != pb.OUTCOME_UNSPECIFIED]
        points = [each.points for each in answers if each.about.body.service_mode == mode]
        rows.append(
            {
                "service_mode": name.removeprefix("SERVICE_MODE_").lower(),
                "interactions": len(met),
                "csat_n": len(points),
                "csat_points": mean(points) if points else None,
                "outcome_n": len(said),
                "resolved_share": sum(each in SOLVED for each in said) / len(said)
                if said
                else None,
            }
        )
    return rows
