from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.support.journeys import Order, Touch, answers_of, mean, share, touches_of
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    touches = touches_of(events)
    on_journey = dict[str, list[Order]]()
    of_person = dict[str, list[Order]]()
    for touch in touches:
        if touch.paid:
            on_journey.setdefault(touch.correlation, []).append(touch.told.order)
            of_person.setdefault(touch.person, []).append(touch.told.order)

    def phase(touch: Touch) -> str:
        order = touch.told.order
        payments = on_journey.get(touch.correlation, [])
        if touch.paid:
            return "during"
        if not touch.journey:
            return "unspecified"
        if touch.correlation and payments:
            return (
                "before" if order < payments[0] else "after" if order > payments[-1] else "during"
            )
        return (
            "after"
            if touch.person and min(of_person.get(touch.person, [order])) < order
            else "before"
        )

    found: dict[str, list[Any]] = {"before": [], "during": [], "after": []}
    said: dict[str, list[Any]] = {}
    for touch in touches:
        found.setdefault(phase(touch), []).append(touch)
    for answer in answers_of(events):
        if answer.metric == "csat":
            name = phase(answer.about or answer)
            found.setdefault(name, [])
            said.setdefault(name, []).append(answer.points)
    return [
        {
            "phase": name,
            "touches": len(here),
            "answers": len(answers),
            "csat_points": mean(answers),
            "top2_share": share(sum(each >= 75 for each in answers), len(answers)),
            "bottom2_share": share(sum(each <= 25 for each in answers), len(answers)),
        }
        for name, here in found.items()
        for answers in [said.get(name, [])]
    ]
