from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

K = 5
# First years of birth, by the moment from which they are valid.
RULES = [
    (
        datetime(1900, 1, 1, tzinfo=UTC),
        [
            *((1900, "greatest"), (1928, "silent"), (1946, "boomer"), (1965, "x")),
            *((1981, "millennial"), (1998, "z"), (2013, "alpha")),
        ],
    ),
    (
        datetime(2019, 1, 17, tzinfo=UTC),
        [
            *((1900, "greatest"), (1928, "silent"), (1946, "boomer"), (1965, "x")),
            *((1981, "millennial"), (1997, "z"), (2013, "alpha")),
        ],
    ),
]


@dataclass(frozen=True)
class Answer:
    """A CSAT answer about the whole."""

    about: Told
    person: str
    points: Fraction
    bottom2: bool


class Profiles:
    """What was said of persons, in the order of time."""

    def __init__(self, events: Sequence[Told]) -> None:
        self._person = people_of(events)
        self._bands = dict[str, tuple[int, int]]()
        self._statuses = defaultdict[str, list[tuple[datetime, str]]](list)
        for each in sorted(events, key=lambda each: each.order):
            if each.kind != "customer_profile":
                continue
            person = self.person(each)
            if each.body.birth_year_from:
                self._bands[person] = (each.body.birth_year_from, each.body.birth_year_to)
            if "status" in each.body.segments:
                self._statuses[person].append((each.occurred_at, each.body.segments["status"]))

    def person(self, each: Told) -> str:
        return self._person(each.envelope.customer) if each.envelope.customer else ""

    def generation(self, person: str, at: datetime) -> str:
        if person not in self._bands:
            return "unspecified"
        names = {named(year, at) for year in self._bands[person]}
        return names.pop() if len(names) == 1 else "unspecified"

    def status(self, person: str, at: datetime) -> str:
        said = [status for moment, status in self._statuses[person] if moment <= at]
        return said[-1] if said else "unspecified"


def named(year: int, at: datetime) -> str:
    """The generation of a year of birth, by the rule of that moment."""
    [*_, firsts] = [firsts for moment, firsts in RULES if moment <= at]
    [*_, name] = [name for first, name in firsts if first <= year]
    return name


def good(signal: Any) -> Fraction:
    """How far up the scale it is, from the end that is bad: 0 to 1."""
    low, high, value = map(Fraction, (signal.scale_min, signal.scale_max, signal.value))
    up = signal.direction == pb.DIRECTION_HIGHER_IS_BETTER
    return (value - low if up else high - value) / (high - low)


def hundred(share: Fraction) -> Fraction:
    """In points with six decimals; what is halfway goes away from 0, as in PostgreSQL."""
    size = Fraction((abs(share) * 10**8 + Fraction(1, 2)) // 1, 10**6)
    return size if share > 0 else -size


def csat_answers(events: Sequence[Told], profiles: Profiles) -> Iterator[Answer]:
    for each in events:
        if each.kind != "feedback_received":
            continue
        for signal in each.body.signals:
            if signal.metric == pb.METRIC_CSAT and not signal.dimension:
                found = good(signal)
                person = profiles.person(each)
                yield Answer(each, person, hundred(found), found <= Fraction(1, 4))


def segments(events: Sequence[Told]) -> dict[tuple[str, str, str], list[Answer]]:
    """By touchpoint, segmentation and segment."""
    profiles = Profiles(events)
    found = defaultdict[tuple[str, str, str], list[Answer]](list)
    for answer in csat_answers(events, profiles):
        at, touchpoint = answer.about.occurred_at, answer.about.envelope.touchpoint
        generation = profiles.generation(answer.person, at)
        found[touchpoint, "generation", generation].append(answer)
        found[touchpoint, "status", profiles.status(answer.person, at)].append(answer)
    return found


def persons_of(answers: Sequence[Answer]) -> int:
    """Nobody known is another one each time."""
    return len({each.person for each in answers if each.person}) + sum(
        not each.person for each in answers
    )


def mean(values: Sequence[Fraction]) -> float:
    return float(sum(values) / len(values))


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    rows = []
    found = segments(events)
    persons_by = {key: persons_of(answers) for key, answers in found.items()}
    for (touchpoint, segmentation, segment), answers in found.items():
        persons = persons_by[touchpoint, segmentation, segment]
        fewer = sum(
            others
            for (*of, other), others in persons_by.items()
            if of == [touchpoint, segmentation] and (others, other) < (persons, segment)
        )
        enough = persons >= K and not 0 < fewer < K
        rows.append(
            {
                "touchpoint": touchpoint,
                "segmentation": segmentation,
                "segment": segment,
                "n": len(answers),
                "persons": persons,
                "too_few": not enough,
                "csat_points": mean([each.points for each in answers]) if enough else None,
                "bottom2_share": sum(each.bottom2 for each in answers) / len(answers)
                if enough
                else None,
            }
        )
    return rows
