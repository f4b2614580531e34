from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from math import sqrt
from typing import Any, TypeVar

from tests.support.service import taken_of
from tests.support.told import Told

FEW = 5
TOP = 75
Z = 1.959963984540054
Group = TypeVar("Group", bound=Hashable)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    def member(each: Told) -> tuple[str, str]:
        return each.source, each.envelope.staff

    return [
        {"source": source, "staff": staff} | row
        for (source, staff), row in tallied(events, member, few_staff=0).items()
    ]


def tallied(
    events: Sequence[Told], group_of: Callable[[Told], Group], *, few_staff: int
) -> dict[Group, dict[str, Any]]:
    """By the group of whoever served, or was recognised; of fewer members than few_staff nothing is told."""
    answers = defaultdict[Group, list[Any]](list)
    customers_of = defaultdict[tuple[str, str], set[str]](set)
    for taken in taken_of(events):
        answers[group_of(taken.served)].append(taken)
        customers_of[served_by(taken)] |= {taken.person} - {""}
    met = {
        (each.source, each.event_id, each.envelope.staff)
        for each in events
        if each.kind == "interaction"
    }
    founded = defaultdict[Group, list[str]](list)
    unfounded = defaultdict[Group, int](int)
    for each in events:
        if each.kind == "recognition":
            if (each.source, each.body.interaction_id, each.envelope.staff) in met:
                founded[group_of(each)].append(each.body.given_by)
            else:
                unfounded[group_of(each)] += 1
    rows = dict[Group, dict[str, Any]]()
    for group in {*answers, *founded, *unfounded}:
        given = founded[group]
        customers = {taken.person for taken in answers[group] if taken.person}
        staff = {served_by(taken) for taken in answers[group]}
        untold = [each for each in answers[group] if len(customers_of[served_by(each)]) < FEW]
        answered = len(answers[group])
        top = sum(taken.points >= TOP for taken in answers[group])
        told = len(customers) >= FEW and len(staff) >= few_staff
        if few_staff and untold:
            told = told and len({each.person for each in untold} - {""}) >= FEW
        rows[group] = {
            "answered": answered,
            "customers": len(customers),
            "top": top if told else None,
            "top_share": top / answered if told else None,
            "top_share_lo": certain(top, answered) if told else None,
            "recognitions": len(given),
            "by_customer": given.count("customer"),
            "by_colleague": given.count("colleague"),
            "by_manager": given.count("manager"),
            "recognitions_unfounded": unfounded[group],
            "too_few": not told,
        }
    bounds = [row["top_share_lo"] for row in rows.values() if not row["too_few"]]
    for row in rows.values():
        bound = row["top_share_lo"]
        row["rank"] = None if bound is None else 1 + sum(each > bound for each in bounds)
    return rows


def served_by(taken: Any) -> tuple[str, str]:
    return taken.served.source, taken.served.envelope.staff


def certain(top: int, answered: int) -> float:
    """Wilson's lower bound, as the formula has it."""
    share, square = top / answered, Z * Z / answered
    spread = Z * sqrt(share * (1 - share) / answered + square / (4 * answered))
    return max(0.0, (share + square / 2 - spread) / (1 + square))
