"""What folds of journeys start from: touches and answers, in order, found from events by plain loops."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

SIX_PLACES = Decimal("0.000001")
Order = tuple[datetime, int]


@dataclass(frozen=True)
class Touch:
    """An interaction; person is empty for nobody."""

    told: Told
    person: str

    @property
    def correlation(self) -> str:
        return self.told.envelope.correlation_id

    @property
    def journey(self) -> str:
        return self.correlation or self.person

    @property
    def touchpoint(self) -> str:
        return self.told.envelope.touchpoint or "unspecified"

    @property
    def stage(self) -> str:
        return word(pb.Stage.Name(self.told.body.stage), "STAGE_")

    @property
    def paid(self) -> bool:
        came_to_nothing = (pb.OUTCOME_ABANDONED, pb.OUTCOME_FAILED)
        return (
            self.told.body.stage == pb.STAGE_PURCHASE
            and self.told.body.outcome not in came_to_nothing
        )


@dataclass(frozen=True)
class Answer(Touch):
    """An answer of satisfaction with the whole; about: the interaction, where it is known."""

    metric: str
    points: Decimal
    signal_index: int
    about: Touch | None

    @property
    def paid(self) -> bool:
        return False

    @property
    def place(self) -> tuple[datetime, int, int]:
        return (*self.told.order, self.signal_index)


def word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def touches_of(events: Sequence[Told]) -> list[Touch]:
    """In order."""
    person = people_of(events)
    found = [
        Touch(each, person(each.envelope.customer) if each.envelope.customer else "")
        for each in events
        if each.kind == "interaction"
    ]
    return sorted(found, key=lambda touch: touch.told.order)


def answers_of(events: Sequence[Told]) -> list[Answer]:
    """In order."""
    person = people_of(events)
    about = _about(touches_of(events))
    found = []
    for each in events:
        if each.kind != "feedback_received":
            continue
        who = person(each.envelope.customer) if each.envelope.customer else ""
        for index, signal in enumerate(each.body.signals):
            if signal.metric in (pb.METRIC_CSAT, pb.METRIC_RATING) and not signal.dimension:
                metric = word(pb.Metric.Name(signal.metric), "METRIC_")
                found.append(
                    Answer(each, who, metric, points(signal), index, about(Touch(each, who)))
                )
    return sorted(found, key=lambda answer: answer.place)


def points(signal: pb.Signal) -> Decimal:
    """0 is the bad end of the scale, 100 the good one."""
    low, high, value = map(Decimal, (signal.scale_min, signal.scale_max, signal.value))
    good = value - low if signal.direction == pb.DIRECTION_HIGHER_IS_BETTER else high - value
    return (100 * good / (high - low)).quantize(SIX_PLACES, ROUND_HALF_UP)


def mean(values: Sequence[Decimal]) -> float | None:
    return float(sum(values) / len(values)) if values else None


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _about(touches: Sequence[Touch]) -> Callable[[Touch], Touch | None]:
    """Finds what feedback is about."""
    by_id = {(touch.told.source, touch.told.event_id): touch for touch in touches}
    by_place = dict[tuple[str, str], list[Touch]]()
    for touch in touches:
        by_place.setdefault((touch.person, touch.touchpoint), []).append(touch)

    def find(feedback: Touch) -> Touch | None:
        body = feedback.told.body
        if body.HasField("about"):
            return by_id.get((body.about.source or feedback.told.source, body.about.event_id))
        if not feedback.person:
            return None
        for touch in reversed(by_place.get((feedback.person, feedback.touchpoint), [])):
            both = {touch.correlation, feedback.correlation} - {""}
            if touch.told.occurred_at <= feedback.told.occurred_at and len(both) < 2:
                return touch
        return None

    return find
