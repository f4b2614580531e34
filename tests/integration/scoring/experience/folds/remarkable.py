from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.integration.scoring.experience.folds.public_post_trace import mood
from tests.support.people import people_of
from tests.support.service import about_of, points
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

SOON = timedelta(hours=72)
FEW = 5


@dataclass
class Met:
    told: Told
    pending: bool
    # What is said of each remark: above 0 is praise, below 0 complaint.
    remarks: list[float] = field(default_factory=list)


def met_of(events: Sequence[Told], horizon: datetime) -> dict[str, list[Met]]:
    """Interactions by script, with what was said of each."""
    person = people_of(events)
    about = about_of(events)
    met = {
        each.position: Met(each, each.occurred_at + SOON > horizon)
        for each in events
        if each.kind == "interaction"
    }
    of_person = defaultdict[str, list[Told]](list)
    for one in met.values():
        if one.told.envelope.customer:
            of_person[person(one.told.envelope.customer)].append(one.told)
    for each in events:
        tone = tone_of(each)
        if tone is None:
            continue
        found = about.get(each.position)
        named = each.kind == "feedback_received" and each.body.HasField("about")
        if found is None and not named and each.envelope.customer:
            before = [
                one
                for one in of_person[person(each.envelope.customer)]
                if one.occurred_at <= each.occurred_at
            ]
            found = max(before, key=lambda one: one.order, default=None)
        if found and each.occurred_at - found.occurred_at <= SOON:
            met[found.position].remarks.append(tone)
    by_script = defaultdict[str, list[Met]](list)
    for one in met.values():
        by_script[one.told.body.script or "none"].append(one)
    return by_script


def tone_of(each: Told) -> float | None:
    """Nothing where it is no remark."""
    if each.kind == "public_post" and not each.body.by_company:
        return float(mood(each.body) or 0)
    if each.kind != "feedback_received" or each.body.request_id:
        return None
    moods = [s for s in each.body.signals if s.metric == pb.METRIC_SENTIMENT]
    if each.body.kind != pb.FEEDBACK_KIND_UNSPECIFIED:
        kinds = {pb.FEEDBACK_KIND_COMPLIMENT: 1.0, pb.FEEDBACK_KIND_COMPLAINT: -1.0}
        return kinds.get(each.body.kind, 0.0)
    if moods or not each.body.signals:
        return float(sum(points(signal) - 50 for signal in moods))
    return None


def few(met: list[Met], events: Sequence[Told]) -> bool:
    person = people_of(events)
    customers = {person(one.told.envelope.customer) for one in met if one.told.envelope.customer}
    staff = {(one.told.source, one.told.envelope.staff) for one in met if one.told.envelope.staff}
    return len(customers) < FEW or 0 < len(staff) < FEW


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    rows = []
    for script, every in met_of(events, horizon).items():
        met = [one for one in every if not one.pending]
        remarks = [tone for one in met for tone in one.remarks]
        row: dict[str, Any] = {
            "remarks": len(remarks),
            "remarked": sum(bool(one.remarks) for one in met),
            "positive": sum(tone > 0 for tone in remarks),
            "negative": sum(tone < 0 for tone in remarks),
            "remark_rate_per_1000": 1000 * len(remarks) / len(met) if met else None,
        }
        if few(met, events):
            row = dict.fromkeys(row)
        rows.append(
            {
                "script": script,
                "interactions": len(met),
                "pending": len(every) - len(met),
                "too_few": few(met, events),
            }
            | row
        )
    return rows
