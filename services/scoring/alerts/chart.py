"""What control charts judge, and what they say of it."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Direction(StrEnum):
    """Which way a share must not go."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Point:
    """One period of one group: `part` of `whole`, with 0 <= part <= whole and whole > 0."""

    period: date
    part: int
    whole: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A point on its chart. Between the limits, and on them, nothing is said."""

    point: Point
    # What the limits are for: the share itself, or the average that the chart keeps.
    statistic: float
    # Of the statistic, while the share is as it was.
    variance: float
    lower: float
    upper: float
    # How likely a statistic this far out is while the share is as it was.
    p_value: float
    is_alarm: bool
