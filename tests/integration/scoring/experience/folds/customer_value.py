from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.integration.scoring.experience.folds.asking import days
from tests.integration.scoring.experience.folds.points import share
from tests.integration.scoring.experience.folds.scenario import last_scenarios, paid_in_year
from tests.support.people import people_of
from tests.support.told import Told

WINDOW = timedelta(days=90)
FEW = 5


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person = people_of(events)
    paid = defaultdict[str, dict[str, list[Told]]](lambda: defaultdict(list))
    for each in paid_in_year(events, horizon):
        if each.envelope.customer:
            paid[each.body.amount.currency][person(each.envelope.customer)].append(each)
    rows = []
    for said in last_scenarios(events):
        own = said.revenue.currency if said.HasField("revenue") else None
        for currency, of_person in paid.items():
            if own in (None, currency):
                rows.append(_row(said, currency, list(of_person.values()), horizon))
    return rows


def _row(
    said: Any, currency: str, customers: list[list[Told]], horizon: datetime
) -> dict[str, Any]:
    total, orders, firsts, settled, returned = Fraction(), 0, list[datetime](), 0, 0
    for payments in customers:
        bought = [each.occurred_at for each in payments if Decimal(each.body.amount.amount) > 0]
        if not bought:
            continue
        total += sum(Fraction(each.body.amount.amount) for each in payments)
        orders += len(bought)
        firsts.append(bought[0])
        if bought[0] + WINDOW <= horizon:
            settled += 1
            returned += len(bought) > 1 and bought[1] < bought[0] + WINDOW
    observed = days(min(firsts), horizon)
    row: dict[str, Any] = {
        "scenario": said.name,
        "currency": currency,
        "margin_percent": Decimal(said.margin_percent) if said.margin_percent else None,
        "discount_percent": Decimal(said.discount_percent or "0"),
        "years": said.years,
        "customers": len(firsts),
        "orders": orders,
        "observed_days": observed,
        "retention_n": settled,
        "retention_pending": len(firsts) - settled,
        "too_few": len(firsts) < FEW or 0 < settled < FEW,
    }
    yearly = None
    if len(firsts) >= FEW:
        row["order_value_mean"] = float(total / orders)
        if observed >= 90:
            years = Fraction(observed) / 365
            row["orders_per_year"] = float(orders / (len(firsts) * years))
            yearly = total / (len(firsts) * years)
            row["yearly_value"] = float(yearly)
    if settled >= FEW:
        row["retention"] = share(returned, settled)
        row["clv"] = yearly and _worth(said, yearly, Fraction(returned, settled))
    return row


def _worth(said: Any, yearly: Fraction, retention: Fraction) -> float | None:
    if not said.margin_percent:
        return None
    margin = yearly * Fraction(said.margin_percent) / 100
    kept = retention / (1 + Fraction(said.discount_percent or "0") / 100)
    if said.years:
        return float(sum(margin * kept**year for year in range(1, said.years + 1)))
    return float(margin * kept / (1 - kept)) if kept != 1 else None
