from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.integration.scoring.experience.folds.points import points
from tests.integration.scoring.experience.folds.recovery import episodes_of
from tests.integration.scoring.experience.folds.scenario import paid_in_year
from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

RATED = (pb.METRIC_CSAT, pb.METRIC_RATING)
FEW = 5


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person = people_of(events)
    last = dict[str, Decimal]()
    waiting = {
        person(each.failure.envelope.customer)
        for each in episodes_of(events)
        if each.closed_at is None and each.failure.envelope.customer
    }
    for each in sorted(events, key=lambda each: each.order):
        customer = each.envelope.customer and person(each.envelope.customer)
        if each.kind == "feedback_received" and customer:
            for signal in each.body.signals:
                if signal.metric in RATED and not signal.dimension:
                    last[customer] = points(signal)
    at_risk = {name for name in waiting if last.get(name, 100) <= 25}
    money = defaultdict[str, list[tuple[str, Decimal]]](list)
    for each in paid_in_year(events, horizon):
        customer = each.envelope.customer and person(each.envelope.customer)
        amount = each.body.amount
        money[amount.currency].append((customer, Decimal(amount.amount)))
    rows = []
    for currency, paid in money.items():
        names = {name for name, _ in paid if name}
        risked = sum((amount for name, amount in paid if name in at_risk), Decimal())
        everything = sum((amount for _, amount in paid), Decimal())
        too_few = 0 < len(names & at_risk) < FEW or len(names) < FEW
        rows.append(
            {
                "currency": currency,
                "customers": len(names & at_risk),
                "customers_all": len(names),
                "revenue": None if too_few else risked,
                "revenue_all": None if too_few else everything,
                "revenue_share": None if too_few or everything <= 0 else float(risked / everything),
                "too_few": too_few,
            }
        )
    return rows
