from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.support.journeys import share, touches_of
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    # By journey, whether anything but a payment came after the first payment.
    goes_on = dict[str, bool]()
    for touch in touches_of(events):
        if touch.journey and touch.paid:
            goes_on.setdefault(touch.journey, False)
        elif touch.journey in goes_on:
            goes_on[touch.journey] = True
    paid, after = len(goes_on), sum(goes_on.values())
    return [{"journeys_paid": paid, "journeys_after": after, "after_share": share(after, paid)}]
