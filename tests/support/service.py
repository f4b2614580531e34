"""Who worked where, which interaction feedback is about, and how it was taken: found by plain walks."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

MICRO = Decimal("0.000001")


def jobs_of(
    events: Sequence[Told],
) -> dict[tuple[str, str], list[tuple[datetime, pb.StaffProfile]]]:
    """Of each source's member of staff: from when on which profile holds."""
    jobs = defaultdict[tuple[str, str], list[tuple[datetime, pb.StaffProfile]]](list)
    for each in sorted(events, key=lambda each: each.order):
        if each.kind == "staff_profile":
            found = jobs[each.source, each.envelope.staff]
            if found and found[-1][0] == each.occurred_at:
                found.pop()
            found.append((each.occurred_at, each.body))
    return jobs


def group_of(events: Sequence[Told]) -> Callable[[Told], str]:
    """The team of the member of staff that an event names, at the time of the event."""
    jobs = jobs_of(events)

    def group(each: Told) -> str:
        profiles = jobs.get((each.source, each.envelope.staff), [])
        number = bisect_right([since for since, _ in profiles], each.occurred_at)
        return (profiles[number - 1][1].group if number else "") or "unspecified"

    return group


def about_of(events: Sequence[Told]) -> dict[int, Told]:
    """The interaction that the feedback at a position is about, of feedback of which it is known."""
    person = people_of(events)
    by_id = {(each.source, each.event_id): each for each in events if each.kind == "interaction"}
    before = defaultdict[tuple[str, str], list[Told]](list)
    about = dict[int, Told]()
    # Interactions first at equal moments: feedback may be about one of the same moment.
    for each in sorted(events, key=lambda each: (each.occurred_at, each.kind != "interaction")):
        key = (person(each.envelope.customer), each.envelope.touchpoint)
        if each.kind == "interaction":
            before[key].append(each)
        elif each.kind == "feedback_received":
            if each.body.HasField("about"):
                named = each.body.about
                found = by_id.get((named.source or each.source, named.event_id))
            else:
                journeys = ("", each.envelope.correlation_id)
                met = before[key] if each.envelope.customer else []
                if each.envelope.correlation_id:
                    met = [one for one in met if one.envelope.correlation_id in journeys]
                found = max(met, key=lambda one: one.order, default=None)
            if found:
                about[each.position] = found
    return about


@dataclass(frozen=True)
class Taken:
    """How a customer took what a member of staff did, the last time that he was heard on it."""

    answer: Told
    # The interaction, or the answer where no interaction is known.
    service: Told
    # Where the staff is named.
    served: Told
    points: Decimal
    # Of the customer; empty where not known.
    person: str


def taken_of(events: Sequence[Told]) -> list[Taken]:
    """Satisfaction as a whole with the service of members of staff: one for each interaction."""
    person = people_of(events)
    about = about_of(events)
    last = dict[int, Taken]()
    for each in sorted(events, key=lambda each: each.order):
        if each.kind != "feedback_received":
            continue
        service = about.get(each.position, each)
        served = service if service.envelope.staff else each
        customer = each.envelope.customer or service.envelope.customer
        for signal in each.body.signals:
            if signal.metric == pb.METRIC_CSAT and not signal.dimension and served.envelope.staff:
                last[service.position] = Taken(
                    each, service, served, points(signal), person(customer) if customer else ""
                )
    return list(last.values())


def points(signal: pb.Signal) -> Decimal:
    """0 is bad, 100 is good."""
    value, low, high = map(Decimal, (signal.value, signal.scale_min, signal.scale_max))
    good = value - low if signal.direction == pb.DIRECTION_HIGHER_IS_BETTER else high - value
    return (100 * good / (high - low)).quantize(MICRO, ROUND_HALF_UP)
