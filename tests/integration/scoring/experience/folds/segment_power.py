from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from tests.integration.scoring.experience.folds.score_by_segment import (
    Answer,
    K,
    persons_of,
    segments,
)
from tests.support.told import Told


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    by_segment = segments(events)
    rows = []
    for touchpoint in sorted({touchpoint for touchpoint, _, _ in by_segment}):
        power = {
            each: [
                answers
                for (at, segmentation, _), answers in by_segment.items()
                if (at, segmentation) == (touchpoint, each)
            ]
            for each in ("generation", "status")
        }
        less_biased = {each: _epsilon_squared(groups) for each, groups in power.items()}
        for segmentation, groups in power.items():
            answers = [answer for group in groups for answer in group]
            mine = less_biased.pop(segmentation)
            [other] = less_biased.values()
            less_biased[segmentation] = mine
            rows.append(
                {
                    "touchpoint": touchpoint,
                    "segmentation": segmentation,
                    "n": len(answers),
                    "groups": len(groups),
                    "too_few": persons_of(answers) < K,
                    "eta_squared": _eta_squared(groups),
                    "epsilon_squared": mine,
                    "explains_more": None if mine is None or other is None else mine > other,
                }
            )
    return rows


def _spread(answers: Sequence[Answer]) -> Fraction:
    """Squared differences from their own mean, added up."""
    middle = sum((each.points for each in answers), Fraction()) / len(answers)
    return sum(((each.points - middle) ** 2 for each in answers), Fraction())


def _eta_squared(groups: Sequence[Sequence[Answer]]) -> float | None:
    answers = [answer for group in groups for answer in group]
    if persons_of(answers) < K or not _spread(answers):
        return None
    return float(1 - sum(map(_spread, groups)) / _spread(answers))


def _epsilon_squared(groups: Sequence[Sequence[Answer]]) -> float | None:
    """As the adjusted share: variances, rather than sums of squares, within and of all."""
    answers = [answer for group in groups for answer in group]
    if _eta_squared(groups) is None or len(answers) == len(groups):
        return None
    within = sum(map(_spread, groups)) / (len(answers) - len(groups))
    return float(1 - within / (_spread(answers) / (len(answers) - 1)))
