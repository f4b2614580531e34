from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

UNSERVED = (
    pb.OUTCOME_ABANDONED,
    pb.OUTCOME_TRANSFERRED,
    pb.OUTCOME_FAILED,
    pb.OUTCOME_RETURNED,
)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person = people_of(events)
    served = defaultdict[tuple[str, str], list[Told]](list)
    for each in events:
        customer = each.envelope.customer
        if each.kind == "interaction" and customer and each.body.outcome not in UNSERVED:
            served[person(customer), each.envelope.touchpoint].append(each)
    found = defaultdict[tuple[str, str], Counter[str]](Counter)
    for each in events:
        if each.kind != "expectation" or not each.envelope.customer:
            continue
        said = each.body.WhichOneof("expected")
        if said not in ("due_at", "within"):
            continue
        of = each.envelope
        within = timedelta(
            seconds=each.body.within.seconds, microseconds=each.body.within.nanos // 1000
        )
        due = (
            each.body.due_at.ToDatetime(tzinfo=UTC)
            if said == "due_at"
            else each.occurred_at + within
        )
        times = [
            one.occurred_at
            for one in served[person(of.customer), of.touchpoint]
            if one.occurred_at >= each.occurred_at
            and of.correlation_id in ("", one.envelope.correlation_id)
        ]
        basis = pb.ExpectationBasis.Name(each.body.basis).removeprefix("EXPECTATION_BASIS_").lower()
        counts = found[of.touchpoint, basis]
        if due >= horizon:
            counts["pending"] += 1
            continue
        counts["promises"] += 1
        counts["kept"] += bool(times) and min(times) <= due
        counts["late"] += bool(times) and min(times) > due
    return [
        {
            "touchpoint": touchpoint,
            "basis": basis,
            "promises": counts["promises"],
            "kept": counts["kept"],
            "broken": counts["promises"] - counts["kept"],
            "late": counts["late"],
            "pending": counts["pending"],
            "promise_kept_rate": counts["kept"] / counts["promises"]
            if counts["promises"]
            else None,
        }
        for (touchpoint, basis), counts in found.items()
    ]
