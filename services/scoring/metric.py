"""What a metric is: sums over facts, and scores over sums, both said in SQL and said once.

The same expressions fill the rollup, make the views of schema bi and answer GetScores as of any position, so
that no two of them can disagree. Another metric is a file in services/scoring/metrics and a line in METRICS.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sum:
    """Something that can be added up over any grouping of the facts."""

    # An aggregate over the columns of the fact table.
    sql: str
    meaning: str
    # bigint or numeric; never a float, so that adding and taking out leaves nothing behind.
    type: str = "bigint"


@dataclass(frozen=True, slots=True)
class Score:
    """A number for people, over the sums of all metrics; NULL when nobody answered, never 0."""

    sql: str
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
