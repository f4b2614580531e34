"""Tails of the binomial distribution, exact but for rounding: how likely so many of n are at a share p.

Relative error below 1e-8 up to a million of n, in time of the distribution's width.
"""

import math
from functools import lru_cache

# A term that is smaller than the sum by this factor changes none of its digits, nor do those behind it.
NEGLIGIBLE = 1e-17


def at_least(count: int, n: int, p: float) -> float:
    """P(X >= count)."""
    if count <= 0:
        return 1.0
    if count > n:
        return 0.0
    # Terms fall on the far side of the mean alone; from this side it is the rest of the other tail.
    return _above(count, n, p) if count > n * p else 1 - at_most(count - 1, n, p)


def at_most(count: int, n: int, p: float) -> float:
    """P(X <= count)."""
    if count < 0:
        return 0.0
    if count >= n:
        return 1.0
    # count of n at p is n - count of n at 1 - p.
    return _above(n - count, n, 1 - p) if count < n * p else 1 - at_least(count + 1, n, p)


def probability(count: int, n: int, p: float) -> float:
    """P(X = count)."""
    if p <= 0 or p >= 1:
        return float(count == (n if p >= 1 else 0))
    return math.exp(
        math.lgamma(n + 1)
        - math.lgamma(count + 1)
        - math.lgamma(n - count + 1)
        + count * math.log(p)
        + (n - count) * math.log1p(-p)
    )


def _above(count: int, n: int, p: float) -> float:
    """P(X >= count), where count is above the mean."""
    if p >= 1:
        return 1.0
    term = total = probability(count, n, p)
    odds = p / (1 - p)
    for reached in range(count, n):
        term *= (n - reached) / (reached + 1) * odds
        total += term
        if term < total * NEGLIGIBLE:
            break
    return min(total, 1.0)


@lru_cache(maxsize=65_536)
def limits(n: int, p: float, tail: float) -> tuple[int, int]:
    """The fewest and the most of n that are no less likely than `tail`, each with all beyond it.

    P(X <= fewest - 1) <= tail < P(X <= fewest), and P(X >= most + 1) <= tail < P(X >= most).
    """
    return _fewest(n, p, tail), n - _fewest(n, 1 - p, tail)


def _fewest(n: int, p: float, tail: float) -> int:
    """The smallest count with P(X <= count) > tail, by halving: P(X <= n) is 1."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if at_most(middle, n, p) > tail:
            high = middle
        else:
            low = middle + 1
    return low
