"""What answers are about, whose work that was, and how good: for folds, found by plain loops over events."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


class Job(NamedTuple):
    source: str
    staff: str
    group: str
    cohort: str


def points_of(signal: pb.Signal) -> Decimal:
    """0 to 100, where 100 is good; six decimals."""
    low, high, value = map(Decimal, (signal.scale_min, signal.scale_max, signal.value))
    good = value - low if signal.direction == pb.DIRECTION_HIGHER_IS_BETTER else high - value
    return (100 * good / (high - low)).quantize(Decimal("0.000001"), ROUND_HALF_UP)


def satisfaction(each: Told) -> list[Decimal]:
    """The answers of this feedback about the whole, in points."""
    return [
        points_of(signal)
        for signal in each.body.signals
        if signal.metric == pb.METRIC_CSAT and not signal.dimension
    ]


def abouts(events: Sequence[Told]) -> Mapping[int, Told]:
    """The interactions that feedback, assessments and insights are about, by the positions of these."""
    person = people_of(events)
    by_id = {(each.source, each.event_id): each for each in events if each.kind == "interaction"}
    met = defaultdict[tuple[str, str], list[Told]](list)
    for each in sorted(by_id.values(), key=lambda each: each.order):
        if each.envelope.customer:
            met[person(each.envelope.customer), each.envelope.touchpoint].append(each)
    found = dict[int, Told]()
    for each in events:
        if each.kind not in ("feedback_received", "assessment", "insight"):
            continue
        if each.body.HasField("about"):
            named = (each.body.about.source or each.source, each.body.about.event_id)
            if named in by_id:
                found[each.position] = by_id[named]
        elif each.kind == "feedback_received" and each.envelope.customer:
            of = each.envelope
            before = [
                one
                for one in met[person(of.customer), of.touchpoint]
                if one.occurred_at <= each.occurred_at and _one_journey(one.envelope, of)
            ]
            if before:
                found[each.position] = before[-1]
    return found


def _one_journey(one: pb.Event, other: pb.Event) -> bool:
    both = {one.correlation_id, other.correlation_id}
    return "" in both or len(both) == 1


def jobs(events: Sequence[Told]) -> Callable[[Told], Job | None]:
    """Where the member of staff whom an event names worked at that time; None where it names nobody."""
    profiles = defaultdict[tuple[str, str], list[Told]](list)
    for each in sorted(events, key=lambda each: each.order):
        if each.kind == "staff_profile":
            profiles[each.source, each.envelope.staff].append(each)

    def job(each: Told) -> Job | None:
        who = (each.source, each.envelope.staff)
        if not who[1]:
            return None
        held = [one for one in profiles[who] if one.occurred_at <= each.occurred_at]
        if not held:
            return Job(*who, "unspecified", "unspecified")
        last = held[-1].body
        return Job(*who, last.group or "unspecified", last.cohort or "unspecified")

    return job


def served_by(events: Sequence[Told]) -> Callable[[Told], Job | None]:
    """Who served what feedback or an assessment is about: the interaction says so, else the event itself."""
    about, job = abouts(events), jobs(events)

    def served(each: Told) -> Job | None:
        interaction = about.get(each.position)
        return (job(interaction) if interaction else None) or job(each)

    return served
