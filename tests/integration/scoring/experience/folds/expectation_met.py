from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.integration.scoring.experience.folds.points import (
    SIX_PLACES,
    mean,
    points,
    same_question,
    share,
)
from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

UNSERVED = {
    *(pb.OUTCOME_ABANDONED, pb.OUTCOME_TRANSFERRED, pb.OUTCOME_FAILED, pb.OUTCOME_RETURNED),
}


@dataclass
class Case:
    touchpoint: str
    basis: str
    # None while it is pending.
    met: bool | None
    exceeded: bool = False
    gap: Decimal | None = None
    perceived: Decimal | None = None


@dataclass
class Customer:
    """What is told of one person at one touchpoint, in the order of happening."""

    expectations: list[Told] = field(default_factory=list)
    interactions: list[Told] = field(default_factory=list)
    feedback: list[Told] = field(default_factory=list)
    served: list[Told] = field(default_factory=list)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    grouped = defaultdict[tuple[str, str], list[Case]](list)
    for case in cases(events, horizon):
        grouped[case.touchpoint, case.basis].append(case)
    return [
        {"touchpoint": touchpoint, "basis": basis, **counted(found)}
        for (touchpoint, basis), found in grouped.items()
    ]


def counted(found: list[Case]) -> dict[str, Any]:
    compared = [each for each in found if each.met is not None]
    met = sum(bool(each.met) for each in compared)
    exceeded = sum(each.exceeded for each in compared)
    gaps = [each.gap for each in compared if each.gap is not None]
    return {
        "compared": len(compared),
        "met": met,
        "exceeded": exceeded,
        "just_met": met - exceeded,
        "pending": len(found) - len(compared),
        "answers_compared": len(gaps),
        "met_share": share(met, len(compared)),
        "exceeded_share": share(exceeded, len(compared)),
        "just_met_share": share(met - exceeded, len(compared)),
        "gap_mean": mean(gaps),
        "perceived_mean": mean([each.perceived for each in compared if each.perceived is not None]),
    }


def cases(events: Sequence[Told], horizon: datetime) -> Iterator[Case]:
    person = people_of(events)
    customers = defaultdict[tuple[str, str], Customer](Customer)
    by_id = {(each.source, each.event_id): each for each in events}
    for each in sorted(events, key=lambda each: each.order):
        if not each.envelope.customer:
            continue
        customer = customers[person(each.envelope.customer), each.envelope.touchpoint]
        match each.kind:
            case "expectation":
                customer.expectations.append(each)
            case "feedback_received":
                customer.feedback.append(each)
            case "interaction":
                customer.interactions.append(each)
                if each.body.outcome not in UNSERVED:
                    customer.served.append(each)
            case "remedy":
                customer.served.append(each)
            case "recovery_closed" if each.body.result != pb.RECOVERY_RESULT_REFUSED:
                customer.served.append(each)
    for customer in customers.values():
        yield from _answered(customer, by_id)
        yield from _timed(customer, horizon)


def _basis(expectation: Told) -> str:
    return pb.ExpectationBasis.Name(expectation.body.basis).split("_")[-1].lower()


def _answered(customer: Customer, by_id: dict[tuple[str, str], Told]) -> Iterator[Case]:
    for feedback in customer.feedback:
        experienced_at = _experienced_at(feedback, customer, by_id)
        for signal in feedback.body.signals:
            before = [
                each
                for each in customer.expectations
                if each.body.HasField("signal")
                and same_question(each.body.signal, signal)
                and each.body.dimension in ("", signal.dimension)
                and each.occurred_at < experienced_at
                and _of_journey(each, feedback)
            ]
            if before and not signal.dimension:
                expected = before[-1].body.signal
                gap = Decimal(signal.value) - Decimal(expected.value)
                gap /= Decimal(signal.scale_max) - Decimal(signal.scale_min)
                if signal.direction == pb.DIRECTION_LOWER_IS_BETTER:
                    gap = -gap
                yield Case(
                    feedback.envelope.touchpoint,
                    _basis(before[-1]),
                    gap >= 0,
                    gap > 0,
                    (100 * gap).quantize(SIX_PLACES, ROUND_HALF_UP),
                    points(signal),
                )


def _of_journey(expectation: Told, other: Told) -> bool:
    journey = expectation.envelope.correlation_id
    return journey in ("", other.envelope.correlation_id)


def _experienced_at(
    feedback: Told, customer: Customer, by_id: dict[tuple[str, str], Told]
) -> datetime:
    if feedback.body.HasField("about"):
        about = feedback.body.about
        named = by_id.get((about.source or feedback.source, about.event_id))
        known = named is not None and named.kind == "interaction"
        return named.occurred_at if named and known else feedback.occurred_at
    journeys = ("", feedback.envelope.correlation_id)
    before = [
        each.occurred_at
        for each in customer.interactions
        if each.occurred_at <= feedback.occurred_at
        and (not feedback.envelope.correlation_id or each.envelope.correlation_id in journeys)
    ]
    return before[-1] if before else feedback.occurred_at


def _timed(customer: Customer, horizon: datetime) -> Iterator[Case]:
    for each in customer.expectations:
        match each.body.WhichOneof("expected"):
            case "due_at":
                due = each.body.due_at.ToDatetime(tzinfo=UTC)
            case "within":
                due = each.occurred_at + each.body.within.ToTimedelta()
            case _:
                continue
        served = [
            later.occurred_at - each.occurred_at
            for later in customer.served
            if later.occurred_at >= each.occurred_at and _of_journey(each, later)
        ]
        took = min(served, default=timedelta.max)
        given = due - each.occurred_at
        met = None if due >= horizon else took <= given
        exceeded = bool(met) and took + took <= given
        yield Case(each.envelope.touchpoint, _basis(each), met, exceeded)
