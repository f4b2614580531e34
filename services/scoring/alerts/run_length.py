"""How long a chart runs until its first false alarm while nothing changes: its in-control run length.

A rule without this number can't be judged: three standard deviations are promised to be wrong once in 741
points upwards, and on counts of a dozen they are wrong far oftener.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scoring.alerts import binomial
from services.scoring.alerts.chart import Direction
from services.scoring.alerts.ewma import Ewma
from services.scoring.alerts.p_chart import PChart

# Cells that the chain has between the limits, or from 6 standard deviations below on where none is there.
# Twice as many change the length by less than 2 %.
CELLS = 120
OPEN_SIDE_DEVIATIONS = 6.0
# Likelier counts than this alone are followed.
PROBABILITY_MIN = 1e-12
# What a point adds to the average is told apart so far, and no further than half a cell.
MOVES_MAX = 128
# Limits widen from the first point on. Where their variance is this near to its end, they stand still.
SETTLED = 1e-3
# Where no cell is likelier to end the run, there is no false alarm.
CHANCE_MIN = 1e-12

P_CHART_METHOD = "exact binomial probability beyond the limits, mean over the sizes of the periods"
EWMA_METHOD = "Markov chain of 120 cells (Brook and Evans 1972) at the harmonic mean of the sizes"


@dataclass(frozen=True, slots=True)
class RunLength:
    # Points until the first false alarm, in the mean; infinite where there can be none.
    points: float
    method: str


def of_p_chart(chart: PChart, sizes: Sequence[int], p0: float, direction: Direction) -> RunLength:
    chances = {n: chart.alarm_probability(n, p0, direction) for n in set(sizes)}
    mean = sum(chances[n] for n in sizes) / len(sizes)
    return RunLength(1 / mean if mean else float("inf"), P_CHART_METHOD)


def of_ewma(chart: Ewma, sizes: Sequence[int], p0: float, direction: Direction) -> RunLength:
    # Variances go by 1 / n, so this mean has the variance of the whole.
    n = max(1, round(len(sizes) / sum(1 / size for size in sizes)))
    return RunLength(_chain(chart, n, p0, direction), EWMA_METHOD)


def _chain(chart: Ewma, n: int, p0: float, direction: Direction) -> float:
    """The mean run length from p0 on: followed point by point until the limits have settled, then solved for.

    The average moves in cells; what falls between the middles of two is shared out among them so that its
    mean stays as it is.
    """
    end = chart.weight / (2 - chart.weight) * p0 * (1 - p0) / n
    below = OPEN_SIDE_DEVIATIONS if direction is Direction.UP else chart.width
    above = OPEN_SIDE_DEVIATIONS if direction is Direction.DOWN else chart.width
    low = max(0.0, p0 - below * end**0.5)
    step = (min(1.0, p0 + above * end**0.5) - low) / (CELLS - 1)
    middles = [low + cell * step for cell in range(CELLS)]
    moves = _moves(chart, n, p0, step)

    def moved(middle: float, weight: float, width: float, into: list[float]) -> None:
        """Adds where the average goes from there, but for what goes beyond the limits."""
        lower = p0 - width if direction is not Direction.UP else -1.0
        upper = p0 + width if direction is not Direction.DOWN else 2.0
        kept = (1 - chart.weight) * middle
        for move, probability in moves:
            average = kept + move
            if lower <= average <= upper:
                place = min(max((average - low) / step, 0.0), CELLS - 1.0)
                cell = min(int(place), CELLS - 2)
                part = (place - cell) * weight * probability
                into[cell] += weight * probability - part
                into[cell + 1] += part

    alive = [0.0] * CELLS
    place = (p0 - low) / step
    alive[int(place)], alive[int(place) + 1] = 1 - place % 1, place % 1
    length = variance = 0.0
    while variance < end * (1 - SETTLED):
        length += sum(alive)
        variance = chart.weight**2 * p0 * (1 - p0) / n + (1 - chart.weight) ** 2 * variance
        after = [0.0] * CELLS
        for middle, weight in zip(middles, alive, strict=True):
            if weight > PROBABILITY_MIN:
                moved(middle, weight, chart.width * variance**0.5, after)
        alive = after
    rows = []
    for middle in middles:
        row = [0.0] * CELLS
        moved(middle, 1.0, chart.width * end**0.5, row)
        rows.append(row)
    if max(1 - sum(row) for row in rows) < CHANCE_MIN:
        return float("inf")
    lengths = _lengths(rows)
    return length + sum(weight * left for weight, left in zip(alive, lengths, strict=True))


def _moves(chart: Ewma, n: int, p0: float, step: float) -> list[tuple[float, float]]:
    """What a point adds to the average, with its probability. step: from the middle of a cell to the next."""
    fewest, most = binomial.limits(n, p0, PROBABILITY_MIN)
    together = max(-(-(most - fewest + 1) // MOVES_MAX), int(step * n / chart.weight / 2))
    moves = []
    for first in range(fewest, most + 1, together):
        counts = range(first, min(first + together, most + 1))
        likely = [binomial.probability(count, n, p0) for count in counts]
        mean = sum(count * each for count, each in zip(counts, likely, strict=True)) / sum(likely)
        moves.append((chart.weight * mean / n, sum(likely)))
    # Sharing out among two cells adds a sixth of the step's square to the variance, in the mean: for a weight
    # of 0.01 the run would be shorter by a sixth. Counts together take some away.
    center = chart.weight * p0
    wanted = chart.weight**2 * p0 * (1 - p0) / n - step**2 / 6
    found = sum((move - center) ** 2 * probability for move, probability in moves)
    narrower = (wanted / found) ** 0.5
    return [(center + (move - center) * narrower, probability) for move, probability in moves]


def _lengths(moves: list[list[float]]) -> list[float]:
    """From each cell: 1 + the mean of the lengths from where it goes. Elimination; rows sum up to below 1."""
    rows = [
        [*(float(at == to) - chance for to, chance in enumerate(row)), 1.0]
        for at, row in enumerate(moves)
    ]
    for at, row in enumerate(rows):
        for below in rows[at + 1 :]:
            factor = below[at] / row[at]
            if factor:
                below[at:] = [
                    one - factor * other for one, other in zip(below[at:], row[at:], strict=True)
                ]
    lengths = [0.0] * len(rows)
    for at in range(len(rows) - 1, -1, -1):
        row = rows[at]
        known = sum(row[to] * lengths[to] for to in range(at + 1, len(rows)))
        lengths[at] = (row[-1] - known) / row[at]
    return lengths
