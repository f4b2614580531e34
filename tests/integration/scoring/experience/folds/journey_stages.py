from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.support.journeys import answers_of, mean, share, touches_of
from tests.support.told import Told

STAGES = (
    *("unspecified", "awareness", "consideration", "selection", "purchase"),
    *("delivery", "use", "service", "loyalty"),
)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    touches = [touch for touch in touches_of(events) if touch.journey]
    answers = [answer for answer in answers_of(events) if answer.metric == "csat"]
    all_journeys = {touch.journey for touch in touches}
    rows = []
    for place, stage in enumerate(STAGES):
        here = [touch for touch in touches if touch.stage == stage]
        said = [answer.points for answer in answers if answer.stage == stage]
        journeys = {touch.journey for touch in here}
        if place or here or said:
            rows.append(
                {
                    "stage": stage,
                    "place": place,
                    "journeys": len(journeys),
                    "journey_share": share(len(journeys), len(all_journeys)),
                    "touches": len(here),
                    "touchpoints": len({touch.touchpoint for touch in here}),
                    "csat_n": len(said),
                    "csat_points": mean(said),
                }
            )
    return rows
