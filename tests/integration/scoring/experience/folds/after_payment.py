from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.support.journeys import share, touches_of
from tests.support.told import Told

MONTH = timedelta(hours=720)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    # By journey, when it was first paid, and whether anything but a payment came within a month after that.
    paid_at, goes_on = dict[str, datetime](), set[str]()
    for touch in touches_of(events):
        journey, at = touch.journey, touch.told.occurred_at
        if journey and touch.paid:
            paid_at.setdefault(journey, at)
        elif journey in paid_at and at - paid_at[journey] < MONTH:
            goes_on.add(journey)
    settled = {journey for journey, at in paid_at.items() if horizon - at >= MONTH}
    after = len(settled & goes_on)
    return [
        {
            "journeys_paid": len(paid_at),
            "journeys_pending": len(paid_at) - len(settled),
            "journeys_after": after,
            "after_share": share(after, len(settled)),
        }
    ]
