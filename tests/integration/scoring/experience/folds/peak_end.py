from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.support.journeys import SIX_PLACES, Answer, answers_of, mean
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    journeys = dict[str, list[Answer]]()
    for answer in answers_of(events):
        if answer.journey:
            journeys.setdefault(answer.journey, []).append(answer)
    by_stage = dict[str, list[tuple[bool, Decimal, Decimal, Decimal]]]()
    for answers in journeys.values():
        if len(answers) < 2:
            continue
        answers.sort(key=_experienced)
        marked = [answer for answer in answers if _is_moment_of_truth(answer)]
        peak = answers[0]
        for answer in marked or answers:
            if marked and not _is_moment_of_truth(peak):
                peak = answer
            if abs(answer.points - 50) >= abs(peak.points - 50):
                peak = answer
        total = sum((answer.points for answer in answers), Decimal(0))
        average = (total / len(answers)).quantize(SIX_PLACES, ROUND_HALF_UP)
        end = answers[-1]
        by_stage.setdefault(end.stage, []).append((bool(marked), peak.points, end.points, average))
    return [
        {
            "end_stage": stage,
            "journeys": len(found),
            "moments_of_truth": sum(marked for marked, *_ in found),
            "peak_points": mean([peak for _, peak, _, _ in found]),
            "end_points": mean([end for _, _, end, _ in found]),
            "peak_end": mean([(peak + end) / 2 for _, peak, end, _ in found]),
            "mean_points": mean([average for *_, average in found]),
            "difference": mean([(peak + end) / 2 - average for _, peak, end, average in found]),
        }
        for stage, found in by_stage.items()
    ]


def _experienced(answer: Answer) -> tuple[datetime, int, int]:
    told = answer.about.told if answer.about else answer.told
    return told.occurred_at, answer.told.position, answer.signal_index


def _is_moment_of_truth(answer: Answer) -> bool:
    return bool(answer.about and answer.about.told.body.moment_of_truth)
