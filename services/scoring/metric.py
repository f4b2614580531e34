"""What a metric is: sums over facts, and scores over sums, both said in SQL and said once.

The same expressions fill the rollups, make the views of the read models and answer questions as of any
position, so that no two of them can disagree. Another metric is a file in services/scoring/metrics and a line
in METRICS.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# The normal quantile of 97.5 %: all intervals are of 95 %.
Z = "1.959963984540054"


@dataclass(frozen=True, slots=True)
class Sum:
    """Something that can be added up over any grouping of the facts."""

    # An aggregate over the columns of the fact table.
    sql: str
    # One sentence with the unit, without quotation marks.
    meaning: str
    # bigint or numeric; never a float, so that adding and taking out leaves nothing behind.
    type: str = "bigint"


@dataclass(frozen=True, slots=True)
class Score:
    """A number for people, in double precision; NULL when nobody answered, never 0.

    Over the sums of all metrics, and over parent_<sum>: that sum over everything that the tenant has,
    whatever the grouping and the filter, as of the same position and in the same range of time.
    """

    sql: str
    # One sentence with the unit and the formula's source, without quotation marks.
    meaning: str


@dataclass(frozen=True, slots=True)
class Metric:
    """Another version for another meaning, so that a published number says which formula it is of."""

    name: str
    version: int
    # The fact table that the sums read.
    facts: str
    sums: Mapping[str, Sum]
    scores: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Column:
    """Of a derived fact."""

    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Derived:
    """Facts made of several facts of one person, which no sum over one fact table can say.

    Its sums may use, beside the columns, the moments horizon and occurred_before (derived/__init__.py).
    """

    name: str
    version: int
    # A query: $1 tenant, $2 as known at this position. It may read moments, too. The same arguments give the
    # same rows whenever they are asked for. It gives the columns that facts share, from
    # tenant and event_position to correlation_id, without positions from and to, and those below.
    sql: str
    columns: Mapping[str, Column]
    # What one row is. One sentence, without quotation marks.
    meaning: str
    sums: Mapping[str, Sum]
    scores: Mapping[str, Score]


def share(name: str, successes: str, answered: str, meaning: str) -> dict[str, Score]:
    """The share of answers that a sum counts, 0 to 1, with its interval."""
    return {
        name: Score(
            f"{successes}::double precision / NULLIF({answered}, 0)", f"{meaning}, 0 to 1."
        ),
        f"{name}_lo": Score(
            f"wilson_lower({successes}, {answered})",
            f"Lower bound of {name}: score interval, 95 % (Wilson 1927).",
        ),
        f"{name}_hi": Score(
            f"wilson_upper({successes}, {answered})",
            f"Upper bound of {name}: score interval, 95 % (Wilson 1927).",
        ),
    }


def mean(
    name: str, total: str, squares: str, answered: str, meaning: str, *, scale: tuple[str, str]
) -> dict[str, Score]:
    """The mean of answers on one scale, with its interval."""
    arguments = f"{total}, {squares}, {answered}"
    said = "t interval, 95 % (Student 1908), within the scale; NULL for a single answer"
    return {
        name: Score(f"({total} / NULLIF({answered}, 0))::double precision", f"{meaning}."),
        f"{name}_lo": Score(
            f"mean_bound({arguments}, -1, {scale[0]})", f"Lower bound of {name}: {said}."
        ),
        f"{name}_hi": Score(
            f"mean_bound({arguments}, 1, {scale[1]})", f"Upper bound of {name}: {said}."
        ),
    }
