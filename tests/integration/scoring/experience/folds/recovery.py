from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any

from tests.integration.scoring.experience.folds.points import median_bounds
from tests.support.journeys import answers_of, mean, share, touches_of
from tests.support.people import people_of
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

HOUR = timedelta(hours=1)
PRAISE, REPURCHASE = timedelta(days=14), timedelta(days=90)
LEVELS = ("none", "remedy", "remedy_plus_gesture")
STEPS = {"failure", "remedy", "goodwill", "recovery_closed"}


@dataclass
class Episode:
    failure: Told
    person: str
    steps: list[Told] = field(default_factory=list)

    def at(self, kind: str) -> list[datetime]:
        return [each.occurred_at for each in self.steps if each.kind == kind]

    @property
    def closed_at(self) -> datetime | None:
        return min(self.at("recovery_closed"), default=None)

    @property
    def level(self) -> str:
        if not self.at("remedy"):
            return "none"
        return "remedy_plus_gesture" if self.at("goodwill") else "remedy"

    @property
    def ended_at(self) -> datetime | None:
        return self.closed_at or (self.failure.occurred_at if self.level == "none" else None)


def episodes_of(events: Sequence[Told]) -> list[Episode]:
    person = people_of(events)
    last = dict[str, Episode]()
    found = []
    for each in sorted(events, key=lambda each: each.order):
        if each.kind not in STEPS:
            continue
        who = person(each.envelope.customer) if each.envelope.customer else ""
        key = each.envelope.correlation_id or who
        if each.kind == "failure":
            last[key] = Episode(each, who)
            found.append(last[key])
        elif key in last:
            last[key].steps.append(each)
    return found


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    person = people_of(events)
    answers = [each for each in answers_of(events) if each.person]
    bought = [each for each in touches_of(events) if each.paid and each.person]
    praise = [
        (person(each.envelope.customer), each.occurred_at)
        for each in events
        if each.kind == "public_post"
        and each.envelope.customer
        and not each.body.by_company
        and each.body.HasField("sentiment")
        and _is_positive(each.body.sentiment)
    ]
    rows = {level: _Row(level) for level in LEVELS}
    for episode in episodes_of(events):
        row = rows[episode.level]
        row.failures += 1
        failed_at, closed_at, ended_at = (
            episode.failure.occurred_at,
            episode.closed_at,
            episode.ended_at,
        )
        who = episode.person
        if closed_at:
            row.closed.append((who or episode.failure.event_id, (closed_at - failed_at) / HOUR))
        if not who:
            continue
        felt_after = closed_at or max(episode.at("remedy"), default=failed_at)
        own = [each for each in answers if each.person == who]
        before = [each.points for each in own if each.told.occurred_at < failed_at]
        after = [each.points for each in own if each.told.occurred_at > felt_after]
        if before and after:
            row.pairs.append((who, before[-1], after[0]))
        if ended_at:
            row.praised.append(
                (
                    who,
                    ended_at + PRAISE > horizon,
                    any(
                        poster == who and ended_at <= at < ended_at + PRAISE
                        for poster, at in praise
                    ),
                )
            )
            journey = episode.failure.envelope.correlation_id
            row.bought.append(
                (
                    who,
                    ended_at + REPURCHASE > horizon,
                    any(
                        each.person == who
                        and ended_at < each.told.occurred_at < ended_at + REPURCHASE
                        and not (journey and each.correlation == journey)
                        for each in bought
                    ),
                )
            )
    return [row.told() for row in rows.values()]


@dataclass
class _Row:
    level: str
    failures: int = 0
    closed: list[tuple[str, float]] = field(default_factory=list)
    pairs: list[tuple[str, Decimal, Decimal]] = field(default_factory=list)
    # Who, whether it is pending, whether it happened.
    praised: list[tuple[str, bool, bool]] = field(default_factory=list)
    bought: list[tuple[str, bool, bool]] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        closed_told, pairs_told = _enough(self.closed), _enough(self.pairs)
        praised = [each for each in self.praised if not each[1]]
        bought = [each for each in self.bought if not each[1]]
        pairs = self.pairs if pairs_told else []
        hours = [hours for _, hours in self.closed] if closed_told else []
        lo, hi = median_bounds(hours)
        return {
            "recovery_level": self.level,
            "failures": self.failures,
            "closed": len(self.closed),
            "hours_to_close": median(hours) if hours else None,
            "hours_to_close_lo": lo,
            "hours_to_close_hi": hi,
            "answered_twice": len(self.pairs),
            "pre_csat": mean([before for _, before, _ in pairs]),
            "post_csat": mean([after for _, _, after in pairs]),
            "srp_delta": mean([after - before for _, before, after in pairs]),
            "trumpeter_14d_settled": len(praised),
            "trumpeter_14d_pending": len(self.praised) - len(praised),
            "trumpeter_14d": _share(praised),
            "repurchase_90d_settled": len(bought),
            "repurchase_90d_pending": len(self.bought) - len(bought),
            "repurchase_90d": _share(bought),
            "too_few": not all(
                not each or _enough(each) for each in (self.closed, self.pairs, praised, bought)
            ),
        }


def _enough(cases: Sequence[tuple[Any, ...]]) -> bool:
    return len({each[0] for each in cases}) >= 5


def _share(cases: list[tuple[str, bool, bool]]) -> float | None:
    return share(sum(done for *_, done in cases), len(cases)) if _enough(cases) else None


def _is_positive(signal: pb.Signal) -> bool:
    low, high, value = map(Decimal, (signal.scale_min, signal.scale_max, signal.value))
    middle = (low + high) / 2
    if signal.direction == pb.DIRECTION_LOWER_IS_BETTER:
        return value < middle
    return value > middle
