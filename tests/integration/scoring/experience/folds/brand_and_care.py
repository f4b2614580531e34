from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Any

from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

HIGH = Decimal("0.75")


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person = people_of(events)
    last: dict[tuple[str, str], bool] = {}
    for each in sorted(events, key=lambda each: each.order):
        if each.kind != "feedback_received" or not each.envelope.customer:
            continue
        for signal in each.body.signals:
            if signal.metric not in (pb.METRIC_CSAT, pb.METRIC_RATING):
                continue
            low, high, value = map(Decimal, (signal.scale_min, signal.scale_max, signal.value))
            good = (value - low) / (high - low)
            if signal.direction == pb.DIRECTION_LOWER_IS_BETTER:
                good = 1 - good
            last[person(each.envelope.customer), signal.dimension] = good >= HIGH
    who = {customer for customer, _ in last}
    found = Counter(
        (last[each, "brand"], last[each, "care"])
        for each in who
        if (each, "brand") in last and (each, "care") in last
    )
    words = {True: "high", False: "low"}
    return [
        {
            "brand": words[brand],
            "care": words[care],
            "customers": found[brand, care],
            "share": found[brand, care] / found.total() if found else None,
        }
        for brand, care in product((True, False), repeat=2)
    ]
