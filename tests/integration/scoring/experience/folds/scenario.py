from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.people import people_of
from tests.support.told import Told

YEAR = timedelta(days=365)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    rows = []
    for said, currency, revenue, few in revenues(events, horizon):
        loss = Decimal(said.loss_percent)
        gained = Decimal(said.competitor_percent or "100")
        lost = revenue * loss / 100
        money = {
            "revenue_year": revenue,
            "revenue_lost": -lost,
            "competitor_gain": lost * gained / 100,
            "net_gap": lost + lost * gained / 100,
        }
        rows.append(
            {
                "scenario": said.name,
                "currency": currency,
                "observed": not said.HasField("revenue"),
                "loss_percent": loss,
                "competitor_percent": gained,
                "too_few": few,
                **(dict.fromkeys(money) if few else money),
            }
        )
    return rows


def revenues(
    events: Sequence[Told], horizon: datetime
) -> list[tuple[Any, str | None, Decimal, bool]]:
    """Of each scenario and currency the revenue, and whether it is observed of fewer than five payers."""
    person = people_of(events)
    observed = defaultdict[str, Decimal](Decimal)
    payers = defaultdict[str, set[str]](set)
    for each in paid_in_year(events, horizon):
        currency, who = each.body.amount.currency, each.envelope.customer
        observed[currency] += Decimal(each.body.amount.amount)
        payers[currency].add(person(who) if who else f"nobody {each.position}")
    found = list[tuple[Any, str | None, Decimal, bool]]()
    for said in last_scenarios(events):
        if said.HasField("revenue"):
            found.append((said, said.revenue.currency, Decimal(said.revenue.amount), False))
        else:
            found += [(said, name, paid, len(payers[name]) < 5) for name, paid in observed.items()]
    return found


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
