from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.told import Told

YEAR = timedelta(days=365)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    observed = defaultdict[str | None, Decimal](Decimal)
    for each in paid_in_year(events, horizon):
        observed[each.body.amount.currency] += Decimal(each.body.amount.amount)
    rows = []
    for said in last_scenarios(events):
        assumed = said.HasField("revenue")
        revenues: dict[str | None, Decimal] = dict(observed)
        if assumed:
            revenues = {said.revenue.currency: Decimal(said.revenue.amount)}
        loss = Decimal(said.loss_percent)
        gained = Decimal(said.competitor_percent or "100")
        for currency, revenue in revenues.items():
            lost = revenue * loss / 100
            rows.append(
                {
                    "scenario": said.name,
                    "currency": currency,
                    "observed": not assumed,
                    "revenue_year": revenue,
                    "loss_percent": loss,
                    "competitor_percent": gained,
                    "revenue_lost": -lost,
                    "competitor_gain": lost * gained / 100,
                    "net_gap": lost + lost * gained / 100,
                }
            )
    return rows


def last_scenarios(events: Sequence[Told]) -> list[Any]:
    ordered = sorted(events, key=lambda each: each.order)
    return list({each.body.name: each.body for each in ordered if each.kind == "scenario"}.values())


def paid_in_year(events: Sequence[Told], horizon: datetime) -> list[Told]:
    """Interactions with an amount in the 365 days before the horizon, in the order of happening."""
    return [
        each
        for each in sorted(events, key=lambda each: each.order)
        if each.kind == "interaction"
        and each.body.HasField("amount")
        and horizon - YEAR <= each.occurred_at < horizon
    ]
