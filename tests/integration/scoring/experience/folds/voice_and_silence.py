from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.integration.scoring.experience.folds.points import share
from tests.integration.scoring.experience.folds.touchpoints import by_touchpoint
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    rows = []
    for touchpoint, told in by_touchpoint(events).items():
        met, said = len(told["interaction"]), told["feedback_received"]
        tones = Counter(each.body.kind for each in said)
        complaints = tones[pb.FEEDBACK_KIND_COMPLAINT]
        compliments = tones[pb.FEEDBACK_KIND_COMPLIMENT]
        rows.append(
            {
                "touchpoint": touchpoint,
                "interactions": met,
                "feedback": len(said),
                "unasked": sum(not each.body.request_id for each in said),
                "silent": not said,
                "complaints": complaints,
                "compliments": compliments,
                "complaints_per_1000": 1000 * complaints / met if met else None,
                "compliments_per_1000": 1000 * compliments / met if met else None,
                "compliments_per_complaint": share(compliments, complaints),
            }
        )
    return rows
