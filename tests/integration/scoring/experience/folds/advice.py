from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.integration.scoring.experience.folds.score_by_segment import Profiles
from tests.support.told import Told

KEPT = timedelta(hours=720)
BELONGS = timedelta(hours=24)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    profiles = Profiles(events)
    history = sorted(events, key=lambda each: each.order)
    given = [each for each in history if each.kind == "advice"]
    followed = follow_ups(history, profiles)
    at_touchpoint = defaultdict[str, list[Told]](list)
    for each in given:
        at_touchpoint[each.envelope.touchpoint].append(each)
    counted = [
        each
        for each in history
        if each.kind == "interaction"
        and each.body.options_presented
        and not any(
            _belongs(each, other, profiles) for other in at_touchpoint[each.envelope.touchpoint]
        )
    ]
    return [
        _row(
            band,
            [each for each in given if (len(each.body.options) > 3) == over],
            [each for each in counted if (each.body.options_presented > 3) == over],
            {position: said for position, said in followed.items() if said},
            profiles,
            horizon,
        )
        for band, over in (("up to 3", False), ("more than 3", True))
    ]


def follow_ups(history: Sequence[Told], profiles: Profiles) -> dict[int, list[Told]]:
    """By the position of an advice, what followed on it; history is in the order of time."""
    taken = defaultdict[tuple[str, str], list[Told]](list)
    found: dict[int, list[Told]] = {}
    # At one moment, advice comes before what follows on it.
    for each in sorted(history, key=lambda each: (each.occurred_at, each.kind != "advice")):
        person = profiles.person(each)
        if each.kind == "advice" and each.body.chosen and person:
            taken[person, each.body.chosen].append(each)
        elif each.kind == "product_follow_up" and taken[person, each.body.item]:
            last = taken[person, each.body.item][-1]
            found.setdefault(last.position, []).append(each)
    return found


def _belongs(meeting: Told, advice: Told, profiles: Profiles) -> bool:
    """The advice is that of the meeting, at the same touchpoint."""
    journeys = [meeting.envelope.correlation_id, advice.envelope.correlation_id]
    person = profiles.person(meeting)
    if person != profiles.person(advice) or not (person or all(journeys)):
        return False
    same_journey = journeys[0] == journeys[1] or not all(journeys)
    later = advice.occurred_at - meeting.occurred_at
    return same_journey and timedelta() <= later < BELONGS


def _row(
    band: str,
    given: Sequence[Told],
    counted: Sequence[Told],
    followed: dict[int, list[Told]],
    profiles: Profiles,
    horizon: datetime,
) -> dict[str, Any]:
    options = [len(each.body.options) for each in given]
    options += [each.body.options_presented for each in counted]
    ranks = [
        [option.item for option in each.body.options].index(each.body.chosen) + 1
        for each in given
        if each.body.chosen
    ]
    taken = [each for each in given if each.body.chosen and profiles.person(each)]
    settled = [each for each in taken if each.occurred_at + KEPT <= horizon]
    heard = [
        [
            said.body
            for said in followed.get(each.position, [])
            if said.occurred_at < each.occurred_at + KEPT
        ]
        for each in settled
    ]
    kept = [
        all(said.kept for said in bodies if said.HasField("kept"))
        for bodies in heard
        if any(said.HasField("kept") for said in bodies)
    ]
    happy = [
        [said.happy for said in bodies if said.HasField("happy")][-1]
        for bodies in heard
        if any(said.HasField("happy") for said in bodies)
    ]
    return {
        "options_band": band,
        "over_three": band == "more than 3",
        "advices": len(options),
        "options_mean": _mean(options),
        "choice_n": len(given),
        "chosen": len(ranks),
        "chosen_share": _mean([bool(each.body.chosen) for each in given]),
        "chosen_rank_mean": _mean(ranks),
        "pending": len(taken) - len(settled),
        "unheard": len(settled) - len(kept),
        "kept_n": len(kept),
        "kept_30d_rate": _mean(kept),
        "happy_n": len(happy),
        "happy_rate": _mean(happy),
    }


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None
