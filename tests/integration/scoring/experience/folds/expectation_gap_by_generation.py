from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from itertools import product
from typing import Any

from tests.integration.scoring.experience.folds.score_by_segment import (
    RULES,
    K,
    Profiles,
    good,
    hundred,
    mean,
)
from tests.support.told import Told

SERVQUAL = {"tangibles", "reliability", "responsiveness", "assurance", "empathy"}


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    profiles = Profiles(events)
    history = sorted(events, key=lambda each: each.order)
    stated = defaultdict[str, list[Told]](list)
    for each in history:
        if each.kind == "expectation" and each.body.HasField("signal"):
            stated[profiles.person(each)].append(each)
    met_at = meetings(history, profiles)
    cells = defaultdict[tuple[str, str], list[tuple[str, Fraction, Fraction]]](list)
    for answer in history:
        person = profiles.person(answer)
        if answer.kind != "feedback_received" or not person:
            continue
        meeting = met_at.get(answer.position)
        began = meeting.occurred_at if meeting else answer.occurred_at
        for signal in answer.body.signals:
            expected = [
                each.body.signal
                for each in stated[person]
                if each.envelope.touchpoint == answer.envelope.touchpoint
                and each.envelope.correlation_id in ("", answer.envelope.correlation_id)
                and each.body.dimension == signal.dimension
                and _question(each.body.signal) == _question(signal)
                and each.occurred_at < began
            ]
            if signal.dimension and expected:
                generation = profiles.generation(person, answer.occurred_at)
                pair = (person, good(signal), good(expected[-1]))
                cells[signal.dimension, generation].append(pair)
    generations = {name for _, firsts in RULES for _, name in firsts} | {"unspecified"}
    dimensions = SERVQUAL | {dimension for dimension, _ in cells}
    return [
        _row(dimension, generation, cells[dimension, generation])
        for dimension, generation in product(dimensions, generations)
    ]


def _question(signal: Any) -> tuple[Any, ...]:
    scale = (Fraction(signal.scale_min), Fraction(signal.scale_max))
    return signal.metric, *scale, signal.direction


def meetings(history: Sequence[Told], profiles: Profiles) -> dict[int, Told]:
    """By the position of feedback, the interaction that it is about; history is in the order of time."""
    by_id = {(each.source, each.event_id): each for each in history if each.kind == "interaction"}
    of_person = defaultdict[tuple[str, str], list[Told]](list)
    for each in by_id.values():
        of_person[profiles.person(each), each.envelope.touchpoint].append(each)
    found = {}
    for answer in history:
        if answer.kind != "feedback_received":
            continue
        named = answer.body.about
        person = profiles.person(answer)
        if named.event_id:
            key = (named.source or answer.source, named.event_id)
            possible = [by_id[key]] if key in by_id else []
        else:
            possible = [
                each
                for each in of_person[person, answer.envelope.touchpoint]
                if person
                and each.occurred_at <= answer.occurred_at
                and len({each.envelope.correlation_id, answer.envelope.correlation_id} - {""}) < 2
            ]
        if possible:
            found[answer.position] = possible[-1]
    return found


def _row(
    dimension: str, generation: str, found: Sequence[tuple[str, Fraction, Fraction]]
) -> dict[str, Any]:
    persons = len({person for person, _, _ in found})
    told = persons >= K
    return {
        "dimension": dimension,
        "generation": generation,
        "n": len(found),
        "persons": persons,
        "too_few": bool(found) and not told,
        "gap_mean": mean([hundred(got - wanted) for _, got, wanted in found]) if told else None,
        "met_share": sum(got >= wanted for _, got, wanted in found) / len(found) if told else None,
        "perceived_mean": mean([hundred(got) for _, got, _ in found]) if told else None,
    }
