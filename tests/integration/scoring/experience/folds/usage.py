from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.integration.scoring.experience.folds.advice import follow_ups
from tests.integration.scoring.experience.folds.score_by_segment import Profiles
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    on_advice = {
        each.position
        for said in follow_ups(
            sorted(events, key=lambda each: each.order), Profiles(events)
        ).values()
        for each in said
    }
    rows = []
    for advised in (True, False):
        said = [
            each.body
            for each in events
            if each.kind == "product_follow_up" and (each.position in on_advice) == advised
        ]
        usable = [each.usable for each in said if each.HasField("usable")]
        happy = [each.happy for each in said if each.HasField("happy")]
        rows.append(
            {
                "advised": advised,
                "follow_ups": len(said),
                "usage_n": len(usable),
                "usage_ok_rate": sum(usable) / len(usable) if usable else None,
                "choice_n": len(happy),
                "regret_rate": happy.count(False) / len(happy) if happy else None,
            }
        )
    return rows
