from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.integration.scoring.experience.folds import premium
from tests.integration.scoring.experience.folds.scenario import revenues
from tests.integration.scoring.experience.folds.script_difference import wilson
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    rows = []
    for said, currency, revenue, few_paid in revenues(events, horizon):
        for point in premium.fold(events, horizon):
            percent, asked, ok = point["percent"], point["customers"], point["ok"]
            values = dict.fromkeys(
                f"{name}{end}"
                for name in ("premium_ok_rate", "gain_if_offered", "gain_if_raised")
                for end in ("", "_lo", "_hi")
            ) | {"revenue_year": revenue}
            too_few = few_paid or 0 < asked < 5
            if too_few:
                values["revenue_year"] = None
            elif asked:
                for end, share in zip(
                    ("", "_lo", "_hi"), (ok / asked, *wilson(ok, asked)), strict=True
                ):
                    values[f"premium_ok_rate{end}"] = share
                    values[f"gain_if_offered{end}"] = float(revenue) * share * percent / 100
                    raised = share * (1 + percent / 100) - 1
                    values[f"gain_if_raised{end}"] = float(revenue) * raised
            rows.append(
                {
                    "scenario": said.name,
                    "currency": currency,
                    "percent": percent,
                    "observed": not said.HasField("revenue"),
                    "customers": asked,
                    "too_few": too_few,
                    **values,
                }
            )
    return rows
