"""Shewhart's p-chart: each period's share against limits that vary with its size.

Limits of three standard deviations (Shewhart 1931; Montgomery, Introduction to Statistical Quality Control)
suit shares of many. Where fewer than five are expected, the normal distribution is a bad stand-in: limits
are then counts of the binomial distribution itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.scoring.alerts import binomial
from services.scoring.alerts.chart import Direction, Judged, Point

SIGMAS = 3.0
# P(Z > 3) of the normal distribution, rounded as every textbook has it.
TAIL = 0.00135
# Where fewer are expected on either side, limits are exact.
EXPECTED_MIN = 5.0


class Limits(StrEnum):
    NORMAL = "normal"
    EXACT = "exact"
    # Exact where fewer than EXPECTED_MIN are expected, normal elsewhere.
    BY_SIZE = "by_size"


@dataclass(frozen=True, slots=True)
class PChart:
    limits: Limits = Limits.BY_SIZE
    # Of normal limits.
    sigmas: float = SIGMAS
    # Of exact limits: the probability beyond each of them is at most this.
    tail: float = TAIL

    def is_exact(self, n: int, p0: float) -> bool:
        expected = n * min(p0, 1 - p0)
        return self.limits is Limits.EXACT or (
            self.limits is Limits.BY_SIZE and expected < EXPECTED_MIN
        )

    def judge(
        self,
        points: Sequence[Point],
        p0: float,
        direction: Direction,
        *,
        after: Judged | None = None,
    ) -> list[Judged]:
        """Each point for itself, whatever came before."""
        return [self._judge(point, p0, direction) for point in points]

    def bounds(self, n: int, p0: float) -> tuple[float, float]:
        """The smallest and the largest share that say nothing."""
        if self.is_exact(n, p0):
            fewest, most = binomial.limits(n, p0, self.tail)
            return fewest / n, most / n
        width = self.sigmas * math.sqrt(p0 * (1 - p0) / n)
        return max(0.0, p0 - width), min(1.0, p0 + width)

    def alarm_probability(self, n: int, p0: float, direction: Direction) -> float:
        """How likely a point of this size is an alarm while the share is p0: exact, whatever the limits."""
        lower, upper = self.bounds(n, p0)
        above = below = 0.0
        if direction is not Direction.DOWN:
            above = binomial.at_least(_first_above(upper, n), n, p0)
        if direction is not Direction.UP:
            below = binomial.at_most(_last_below(lower, n), n, p0)
        return above + below

    def _judge(self, point: Point, p0: float, direction: Direction) -> Judged:
        n, count = point.whole, point.part
        share = count / n
        variance = p0 * (1 - p0) / n
        lower, upper = self.bounds(n, p0)
        if self.is_exact(n, p0):
            above, below = binomial.at_least(count, n, p0), binomial.at_most(count, n, p0)
        else:
            z = (share - p0) / math.sqrt(variance)
            above, below = normal_tail(z), normal_tail(-z)
        return Judged(
            point=point,
            statistic=share,
            variance=variance,
            lower=lower,
            upper=upper,
            p_value=p_value(above, below, direction),
            is_alarm=is_beyond(share, lower, upper, direction),
        )


def is_beyond(statistic: float, lower: float, upper: float, direction: Direction) -> bool:
    match direction:
        case Direction.UP:
            return statistic > upper
        case Direction.DOWN:
            return statistic < lower
    return statistic > upper or statistic < lower


def p_value(above: float, below: float, direction: Direction) -> float:
    """Of the tails from the statistic on, the one that the direction asks for."""
    match direction:
        case Direction.UP:
            return above
        case Direction.DOWN:
            return below
    return min(1.0, 2 * min(above, below))


def normal_tail(z: float) -> float:
    """P(Z >= z)."""
    return math.erfc(z / math.sqrt(2)) / 2


def _first_above(upper: float, n: int) -> int:
    """The smallest count whose share is beyond the limit, by the same comparison that judges points."""
    count = max(0, math.floor(upper * n) - 1)
    while count <= n and not count / n > upper:
        count += 1
    return count


def _last_below(lower: float, n: int) -> int:
    count = min(n, math.ceil(lower * n) + 1)
    while count >= 0 and not count / n < lower:
        count -= 1
    return count
