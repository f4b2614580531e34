from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.integration.scoring.experience.folds.recognition import FEW, tallied
from tests.support.service import group_of, taken_of
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    group = group_of(events)
    served = [taken.served for taken in taken_of(events)]
    return [
        {
            "staff_group": team,
            "staff": len({(t.source, t.envelope.staff) for t in served if group(t) == team}),
        }
        | row
        for team, row in tallied(events, group, few_staff=FEW).items()
    ]
