from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.support.people import people_of
from tests.support.serving import Job, points_of, served_by
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

HEARD = ("understood", "acknowledged")


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person, served = people_of(events), served_by(events)
    judged = defaultdict[tuple[str, str], list[tuple[Job, str, dict[str, Decimal]]]](list)
    for each in events:
        if each.kind == "feedback_received":
            assessor = "customer"
        elif each.kind == "assessment" and each.body.assessor != "customer":
            assessor = each.body.assessor
        else:
            continue
        said = dict[str, Decimal]()
        for signal in each.body.signals:
            if signal.dimension in HEARD and signal.metric in (pb.METRIC_CSAT, pb.METRIC_RATING):
                said.setdefault(signal.dimension, points_of(signal))
        job = served(each)
        if said and job and job.group != "unspecified":
            customer = each.envelope.customer
            who = person(customer) if customer else ""
            judged[job.group, assessor].append((job, who, said))
    return [_row(*key, told) for key, told in judged.items()]


def _row(
    group: str, assessor: str, told: list[tuple[Job, str, dict[str, Decimal]]]
) -> dict[str, Any]:
    by_kind = dict[str, list[tuple[Job, str, Decimal]]](understood=[], acknowledged=[], gap=[])
    for job, who, said in told:
        for kind, answer in said.items():
            by_kind[kind].append((job, who, answer))
        if len(said) == 2:
            by_kind["gap"].append((job, who, said["understood"] - said["acknowledged"]))
    few, mean = dict[str, bool](), dict[str, float | None]()
    for kind, answers in by_kind.items():
        staff = {(job.source, job.staff) for job, _, _ in answers}
        customers = {who for _, who, _ in answers if who}
        few[kind] = bool(answers) and (
            len(staff) < 5 or (assessor == "customer" and len(customers) < 5)
        )
        points = [each for *_, each in answers]
        mean[kind] = float(sum(points) / len(points)) if points and not few[kind] else None
    return {
        "staff_group": group,
        "assessor": assessor,
        "too_few": any(few.values()),
        "understood_answers": len(by_kind["understood"]),
        "understood_points": mean["understood"],
        "acknowledged_answers": len(by_kind["acknowledged"]),
        "acknowledged_points": mean["acknowledged"],
        "pairs": len(by_kind["gap"]),
        "empathy_gap": mean["gap"],
    }
