from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import mean, stdev
from typing import Any

from tests.support.people import people_of
from tests.support.serving import abouts, jobs, satisfaction
from tests.support.told import Told

MONTH = timedelta(hours=720)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person, about, job = people_of(events), abouts(events), jobs(events)
    began = dict[tuple[str, str], datetime]()
    served = list[Told]()
    for each in events:
        who = (each.source, each.envelope.staff)
        if who[1] and each.kind in ("interaction", "staff_profile"):
            began[who] = min(began.get(who, each.occurred_at), each.occurred_at)
            served += [each] if each.kind == "interaction" else []
    answers = defaultdict[int, list[tuple[Decimal, str]]](list)
    for each in events:
        met = about.get(each.position)
        if each.kind == "feedback_received" and met:
            customer = each.envelope.customer and person(each.envelope.customer)
            answers[met.position] += [(points, customer) for points in satisfaction(each)]
    cells = defaultdict[tuple[str, int], list[Told]](list)
    for each in served:
        held = job(each)
        assert held
        tenure = (each.occurred_at - began[held.source, held.staff]) // MONTH
        cells[held.cohort, tenure].append(each)
    told = [cell for cell in cells.values() if not _too_few(cell, answers)]
    whole = [points for cell in told for each in cell for points, _ in answers[each.position]]
    return [_row(*key, cell, answers, whole) for key, cell in cells.items()]


def _too_few(cell: list[Told], answers: dict[int, list[tuple[Decimal, str]]]) -> bool:
    answering = {(each.source, each.envelope.staff) for each in cell if answers[each.position]}
    customers = {who for each in cell for _, who in answers[each.position]} - {""}
    return len(answering) < 5 or len(customers) < 5


def _row(
    cohort: str,
    tenure: int,
    cell: list[Told],
    answers: dict[int, list[tuple[Decimal, str]]],
    whole: list[Decimal],
) -> dict[str, Any]:
    staff = {(each.source, each.envelope.staff) for each in cell}
    said = [answer for each in cell for answer in answers[each.position]]
    row: dict[str, Any] = {
        "cohort": cohort,
        "tenure_month": tenure,
        "interactions": len(cell),
        "staff": len(staff),
        "answers": len(said),
        "too_few": _too_few(cell, answers),
        "csat_points": None,
        "center_line": None,
        "lower_limit": None,
        "upper_limit": None,
        "out_of_control": None,
    }
    if not row["too_few"]:
        points, center = float(mean(points for points, _ in said)), float(mean(whole))
        spread = 3 * float(stdev(whole)) / len(said) ** 0.5
        row |= {
            "csat_points": points,
            "center_line": center,
            "lower_limit": center - spread,
            "upper_limit": center + spread,
            "out_of_control": abs(points - center) > spread,
        }
    return row
