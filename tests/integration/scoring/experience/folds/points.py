"""Answers on any scale as points of 0 to 100, where 100 is good, to six decimals."""

from decimal import ROUND_HALF_UP, Decimal
from math import comb

from touchledger.v1 import events_pb2 as pb

SIX_PLACES = Decimal("0.000001")


def points(signal: pb.Signal) -> Decimal:
    low, high, value = map(Decimal, (signal.scale_min, signal.scale_max, signal.value))
    good = high - value if signal.direction == pb.DIRECTION_LOWER_IS_BETTER else value - low
    return (100 * good / (high - low)).quantize(SIX_PLACES, ROUND_HALF_UP)


def same_question(one: pb.Signal, other: pb.Signal) -> bool:
    """Of one kind, on one scale, in one direction, about the same."""

    def asked(signal: pb.Signal) -> tuple[object, ...]:
        ends = Decimal(signal.scale_min), Decimal(signal.scale_max)
        return signal.metric, *ends, signal.direction, signal.dimension

    return asked(one) == asked(other)


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def median_bounds(values: list[float]) -> tuple[float, float] | tuple[None, None]:
    """The largest j-th value from below and above that chance leaves the median outside of in 5 % at most."""
    ordered, n = sorted(values), len(values)
    below = [sum(comb(n, i) for i in range(j)) for j in range(n // 2 + 1)]
    j = max(j for j, ways in enumerate(below) if 40 * ways <= 2**n)
    return (ordered[j - 1], ordered[n - j]) if j else (None, None)


def mean(values: list[Decimal]) -> float | None:
    return float(sum(values) / len(values)) if values else None
