from collections.abc import Sequence
from datetime import datetime
from math import hypot
from typing import Any

from tests.integration.scoring.experience.folds.remarkable import Met, few, met_of
from tests.support.told import Told

Z = 1.959963984540054


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    by_script = dict[str, list[Met]]()
    for script, every in met_of(events, horizon).items():
        met = [one for one in every if not one.pending]
        if met and script != "none":
            by_script[script] = met
    if not by_script:
        return []
    baseline = min(by_script, key=lambda name: (name != "OK", -len(by_script[name]), name))
    return [
        told(script, met, baseline, by_script[baseline], events)
        for script, met in by_script.items()
        if script != baseline
    ]


def told(
    script: str, met: list[Met], baseline: str, usual: list[Met], events: Sequence[Told]
) -> dict[str, Any]:
    k, k2 = (sum(bool(one.remarks) for one in each) for each in (met, usual))
    share, share2 = k / len(met), k2 / len(usual)
    (lo, hi), (lo2, hi2) = wilson(k, len(met)), wilson(k2, len(usual))
    difference = share - share2
    lower = difference - hypot(share - lo, hi2 - share2)
    upper = difference + hypot(hi - share, share2 - lo2)
    row: dict[str, Any] = {
        "remarked": k,
        "remarked_per_1000": 1000 * share,
        "remarked_per_1000_lo": 1000 * lo,
        "remarked_per_1000_hi": 1000 * hi,
        "baseline_remarked": k2,
        "baseline_remarked_per_1000": 1000 * share2,
        "baseline_remarked_per_1000_lo": 1000 * lo2,
        "baseline_remarked_per_1000_hi": 1000 * hi2,
        "difference_per_1000": 1000 * difference,
        "difference_per_1000_lo": 1000 * lower,
        "difference_per_1000_hi": 1000 * upper,
        "wallpaper": lower <= 0 <= upper,
    }
    too_few = few(met, events) or few(usual, events)
    return {
        "script": script,
        "baseline": baseline,
        "interactions": len(met),
        "baseline_interactions": len(usual),
        "too_few": too_few,
    } | (dict.fromkeys(row) if too_few else row)


def wilson(k: int, n: int) -> tuple[float, float]:
    share, square = k / n, Z * Z / n
    spread = Z * (share * (1 - share) / n + square / (4 * n)) ** 0.5
    low, high = ((share + square / 2 + side) / (1 + square) for side in (-spread, spread))
    return max(0.0, low), min(1.0, high)
