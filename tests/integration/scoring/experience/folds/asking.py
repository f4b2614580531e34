from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.integration.scoring.experience.folds.points import SIX_PLACES, share
from tests.integration.scoring.experience.folds.touchpoints import by_touchpoint
from tests.support.told import Told

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
FIELD_PERIOD = timedelta(hours=336)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    answered_at = dict[tuple[str, str], datetime]()
    for each in events:
        if each.kind == "feedback_received" and each.body.request_id:
            key = each.source, each.body.request_id
            answered_at[key] = min(each.occurred_at, answered_at.get(key, each.occurred_at))
    rows = []
    for touchpoint, told in by_touchpoint(events).items():
        asked = told["feedback_requested"]
        settled = [each for each in asked if horizon - each.occurred_at >= FIELD_PERIOD]
        waits = [
            answered_at[each.source, each.event_id] - each.occurred_at
            for each in settled
            if (each.source, each.event_id) in answered_at
        ]
        answered = sum(wait < FIELD_PERIOD for wait in waits)
        last = max((each.occurred_at for each in asked), default=None)
        reasons = Counter(each.body.reason for each in told["feedback_suppressed"])
        known = {name: reasons[name] for name in ("opt_out", "sampling", "asked_lately")}
        rows.append(
            {
                "touchpoint": touchpoint,
                "interactions": len(told["interaction"]),
                "asked": len(asked),
                "answered": answered,
                "pending": len(asked) - len(settled),
                "response_rate": share(answered, len(settled)),
                "last_asked_at": last,
                "days_since_asked": None if last is None else days(last, horizon),
                "never_asked": not asked,
                "suppressed": reasons.total(),
                **{f"suppressed_{name}": count for name, count in known.items()},
                "suppressed_other": reasons.total() - sum(known.values()),
            }
        )
    return rows


def days(since: datetime, until: datetime) -> Decimal:
    passed = max(until - since, timedelta())
    exact = Decimal(passed // MICROSECOND) / Decimal(DAY // MICROSECOND)
    return exact.quantize(SIX_PLACES, ROUND_HALF_UP)
