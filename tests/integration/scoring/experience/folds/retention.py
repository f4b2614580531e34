from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.support.journeys import Answer, Touch, answers_of, share, touches_of
from tests.support.told import Told

NINETY_DAYS = timedelta(days=90)


def cases(events: Sequence[Told], horizon: datetime) -> list[tuple[str, str]]:
    """Of each customer who ever bought, the lowest touchpoint and the fate."""
    bought = dict[str, list[Touch]]()
    for touch in touches_of(events):
        if touch.paid and touch.person:
            bought.setdefault(touch.person, []).append(touch)
    said = dict[str, list[Answer]]()
    for answer in answers_of(events):
        said.setdefault(answer.person, []).append(answer)
    return [_case(all_of, said.get(person, []), horizon) for person, all_of in bought.items()]


def _case(bought: list[Touch], said: list[Answer], horizon: datetime) -> tuple[str, str]:
    first = bought[0]
    end = first.told.occurred_at + NINETY_DAYS
    again = [
        touch.told.occurred_at
        for touch in bought[1:]
        if touch.told.occurred_at < end
        and not (touch.correlation and touch.correlation == first.correlation)
    ]
    told_by = min(again, default=end)
    lowest, where = None, "unspecified"
    for answer in said:
        elsewhere = len({answer.correlation, first.correlation} - {""}) > 1
        if answer.told.occurred_at >= told_by or elsewhere:
            continue
        if lowest is None or answer.points <= lowest:
            lowest, where = answer.points, answer.touchpoint
    return where, "pending" if end > horizon else "back" if again else "lost"


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    found = dict[str, list[str]]()
    for where, fate in cases(events, horizon):
        found.setdefault(where, []).append(fate)
    rows = []
    for where, fates in found.items():
        back, lost, pending = (fates.count(fate) for fate in ("back", "lost", "pending"))
        told = back + lost >= 5
        rows.append(
            {
                "lowest_touchpoint": where,
                "customers": len(fates),
                "pending": pending,
                "repeat_90d": back if told else None,
                "lost_90d": lost if told else None,
                "repeat_share": share(back, back + lost) if told else None,
                "too_few": not told,
            }
        )
    return rows
