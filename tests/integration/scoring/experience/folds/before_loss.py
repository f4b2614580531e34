from collections.abc import Sequence
from datetime import datetime
from math import sqrt
from typing import Any

from tests.integration.scoring.experience.folds.retention import cases
from tests.support.told import Told

Z = 1.959963984540054


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    found = dict[str, list[str]]()
    for where, fate in cases(events, horizon):
        if where != "unspecified":
            found.setdefault(where, []).append(fate)
    told = dict[str, tuple[int, int]]()
    for where, fates in found.items():
        settled = len(fates) - fates.count("pending")
        if settled >= 5:
            told[where] = fates.count("lost"), settled
    bounds = {where: wilson_lower(*counts) for where, counts in told.items()}
    return [
        {
            "touchpoint": where,
            "customers": len(fates),
            "pending": fates.count("pending"),
            "lost_90d": told[where][0] if where in told else None,
            "lost_share": told[where][0] / told[where][1] if where in told else None,
            "loss_rank": 1 + sum(bound > bounds[where] + 1e-12 for bound in bounds.values())
            if where in told
            else None,
            "too_few": where not in told,
        }
        for where, fates in found.items()
    ]


def wilson_lower(part: int, whole: int) -> float:
    p = part / whole
    middle = p + Z * Z / (2 * whole)
    spread = Z * sqrt(p * (1 - p) / whole + Z * Z / (4 * whole * whole))
    return (middle - spread) / (1 + Z * Z / whole)
