"""The owner says how good a touchpoint is: do customers say so, too?

One row for each touchpoint and dimension that a claim was made of; the last claim by occurred_at counts. It
stands against the mean of all answers at the touchpoint of the same kind, scale, direction and dimension,
whoever gave them and whenever. Both are rescaled to points of 0 to 100 in the good direction, as in csat/2.
A claim is refuted when the whole interval of the customers' mean lies below it.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, Score, mean
from services.scoring.metrics.csat_rescaled import RESCALED

SCORES = {
    **mean(
        *("customer_score", "total", "squares", "n"),
        "Mean answer of customers of the same kind, scale and dimension, 0 to 100 points"
        " (arithmetic mean)",
        scale=("0", "100"),
    ),
    "claim_gap": Score(
        "(claimed - total / NULLIF(n, 0))::double precision",
        "Claimed minus customer_score, points (own formula); above 0 is claimed too much.",
    ),
}

claim = Figure(
    name="claim",
    version=1,
    question="Do customers say of each touchpoint what its owner claims?",
    keys={
        "touchpoint": Column("text", "What the claim is about."),
        "dimension": Column("text", "What is claimed to be so good; NULL is the whole."),
    },
    columns={
        "metric": Column("text", "Kind of answer: csat, nps, ces, rating, thumbs or sentiment."),
        "claimed": Column("numeric", "The claimed mean answer, 0 to 100 points."),
        "claimed_at": Column("timestamptz", "When the claim was made."),
        "n": Column("bigint", "Answers of customers that the claim stands against (count)."),
        **columns(SCORES),
        "refuted": Column(
            "boolean",
            "The whole interval of customer_score lies below the claim; NULL while fewer than two answered.",
        ),
    },
    evidence=f"""
WITH last_claim AS (
  SELECT DISTINCT ON (touchpoint, dimension) *, {RESCALED} AS claimed
    FROM known_service_claim
   ORDER BY touchpoint, dimension, occurred_at DESC, event_position DESC
)
SELECT c.touchpoint, c.dimension, c.metric, c.claimed, c.occurred_at AS claimed_at, f.points,
       array_remove(ARRAY[c.event_position, f.event_position], NULL) AS events
  FROM last_claim c
  -- OFFSET: the planner expects hardly any answer to a question of five columns, and would find each one's
  -- person on its own.
  LEFT JOIN (SELECT *, {RESCALED} AS points FROM known_feedback OFFSET 0) AS f
         ON f.touchpoint = c.touchpoint AND f.metric = c.metric
        AND f.scale_min = c.scale_min AND f.scale_max = c.scale_max
        AND f.higher_is_better = c.higher_is_better
        AND f.dimension IS NOT DISTINCT FROM c.dimension
""",  # noqa: S608  # literals of this package, as in the other figures
    sql=f"""
SELECT *, customer_score_hi < claimed AS refuted
  FROM (SELECT *, {selected(SCORES)}
          FROM (SELECT touchpoint, dimension, metric, claimed, claimed_at, count(points) AS n,
                       sum(points) AS total, sum(points * points) AS squares
                  FROM evidence
                 GROUP BY touchpoint, dimension, metric, claimed, claimed_at) AS sums) AS scored
""",  # noqa: S608
)
