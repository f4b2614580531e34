"""EWMA chart of shares: an exponentially weighted moving average, which finds small shifts that last.

z[j] = weight * share[j] + (1 - weight) * z[j-1], z[0] = p0, against p0 ± width * sqrt(v[j]) with
v[j] = weight² * p0 (1 - p0) / n[j] + (1 - weight)² * v[j-1], v[0] = 0 (Roberts 1959; the variance by
recursion, since sizes differ). A period in which nobody answered is no point and changes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.scoring.alerts.chart import Direction, Judged, Point
from services.scoring.alerts.p_chart import is_beyond, normal_tail, p_value

WEIGHT = 0.2
WIDTH = 3.0


@dataclass(frozen=True, slots=True)
class Ewma:
    # Of the newest share; 1 is a p-chart with normal limits.
    weight: float = WEIGHT
    # Of the limits, in standard deviations of the average.
    width: float = WIDTH

    def judge(
        self,
        points: Sequence[Point],
        p0: float,
        direction: Direction,
        *,
        after: Judged | None = None,
    ) -> list[Judged]:
        """The points in the order of their periods: from where the chart starts, or after a point of it."""
        judged = []
        average, variance = (after.statistic, after.variance) if after else (p0, 0.0)
        for point in points:
            average = self.weight * point.part / point.whole + (1 - self.weight) * average
            variance = (
                self.weight**2 * p0 * (1 - p0) / point.whole + (1 - self.weight) ** 2 * variance
            )
            deviation = math.sqrt(variance)
            lower, upper = p0 - self.width * deviation, p0 + self.width * deviation
            z = (average - p0) / deviation
            judged.append(
                Judged(
                    point=point,
                    statistic=average,
                    variance=variance,
                    lower=max(0.0, lower),
                    upper=min(1.0, upper),
                    p_value=p_value(normal_tail(z), normal_tail(-z), direction),
                    is_alarm=is_beyond(average, lower, upper, direction),
                )
            )
        return judged
