"""Among alarms of many charts in one period, those that keep the share of false ones down.

Two hundred charts with limits of three standard deviations give a false alarm every other period, for sure.
Benjamini and Hochberg (1995): of m charts, the alarms with the i smallest p-values stay, for the largest i
with p[i] <= rate * i / m. So at most `rate` of those that stay are false in the mean, where charts are
independent or depend on each other positively. Only alarms are looked at: no chart gives more than alone.
"""

from collections.abc import Mapping


def kept(alarms: Mapping[str, float], *, charts: int, rate: float) -> set[str]:
    """alarms: p-value by group. charts: how many were judged in the period, alarms or not."""
    ordered = sorted(alarms, key=lambda group: (alarms[group], group))
    most = 0
    for place, group in enumerate(ordered, start=1):
        if alarms[group] <= rate * place / charts:
            most = place
    return set(ordered[:most])
