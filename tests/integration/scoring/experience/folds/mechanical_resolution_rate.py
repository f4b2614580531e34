from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.integration.scoring.experience.folds.mechanical_resolution import cases
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    found = cases(events)
    rows = []
    for touchpoint in {each.touchpoint for each in found}:
        there = [each for each in found if each.touchpoint == touchpoint]
        resolved = [each for each in there if each.resolved]
        let_down = sum(each.let_down for each in resolved)
        rows.append(
            {
                "touchpoint": touchpoint,
                "cases": len(there),
                "resolved": len(resolved),
                "let_down": let_down,
                "mechanical_resolution_rate": let_down / len(resolved) if resolved else None,
            }
        )
    return rows
