"""Of events alone: the quarter has no decisions, which tests of their own have."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.integration.scoring.experience.folds.recovery import Episode, episodes_of
from tests.support.told import Told

ALLOWED = timedelta(hours=72)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    by_touchpoint = dict[str, list[Episode]]()
    for episode in episodes_of(events):
        by_touchpoint.setdefault(episode.failure.envelope.touchpoint, []).append(episode)
    rows = []
    for touchpoint, episodes in by_touchpoint.items():
        going_on = [each for each in episodes if each.closed_at is None]
        since = [each.failure.occurred_at for each in going_on]
        waiting = [each for each in going_on if each.level == "none"]
        rows.append(
            {
                "touchpoint": touchpoint,
                "open": len(going_on),
                "remedied": len(going_on) - len(waiting),
                "overdue": sum(each.failure.occurred_at + ALLOWED < horizon for each in waiting),
                "oldest_at": min(since, default=None),
                "allowed_hours": Decimal(72),
            }
        )
    return rows
