from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from math import log2
from typing import Any

from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    stated = defaultdict[str, Counter[str]](Counter)
    for each in events:
        if each.kind == "reason_stated":
            stated[each.body.issue_code][each.body.reason_code] += 1
    rows = []
    for issue, reasons in stated.items():
        top = max(reasons.values())
        shares = [count / reasons.total() for count in reasons.values()]
        rows.append(
            {
                "issue_code": issue,
                "stated": reasons.total(),
                "reasons": len(reasons),
                "reason_entropy": -sum(share * log2(share) for share in shares),
                "top_reason": min(each for each, count in reasons.items() if count == top),
                "top_share": top / reasons.total(),
            }
        )
    return rows
