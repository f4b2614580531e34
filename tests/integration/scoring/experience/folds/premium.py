from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.integration.scoring.experience.folds.points import share
from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person = people_of(events)
    last = {
        person(each.envelope.customer): Decimal(signal.value)
        for each in sorted(events, key=lambda each: each.order)
        if each.kind == "feedback_received" and each.envelope.customer
        for signal in each.body.signals
        if signal.metric == pb.METRIC_PREMIUM and not signal.dimension
    }
    rows = []
    for percent in (5, 10, 15):
        ok = sum(value >= percent for value in last.values())
        rows.append(
            {
                "percent": percent,
                "customers": len(last),
                "ok": ok,
                "premium_ok_rate": share(ok, len(last)),
            }
        )
    return rows
