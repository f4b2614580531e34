"""Does generation or status explain more of how satisfied customers are? One row for each, per touchpoint.

Of the CSAT answers at a touchpoint, in points of 0 to 100 and sorted as in score_by_segment: with S the sum
of squared differences from the mean of all, and B the part of it that is between the means of the groups,

    eta_squared = B / S                                        (Fisher 1925)
    epsilon_squared = (B - (groups - 1) (S - B) / (n - groups)) / S      (Kelley 1935)

The first grows with every further group, be it drawn by lot. The second takes off what chance gives, so that
it is 0 on average where a segmentation explains nothing, and may be below; what explains more is decided by
it. Both describe and prove no cause.
"""

from services.scoring.experience.figure import Figure, K, persons
from services.scoring.experience.score_by_segment import EVIDENCE
from services.scoring.metric import Column

segment_power = Figure(
    name="segment_power",
    version=1,
    question="Which segmentation of customers explains more of how satisfied they are?",
    keys={
        "touchpoint": Column("text", "Where customer and company met."),
        "segmentation": Column("text", "generation or status: what customers are sorted by."),
    },
    columns={
        "n": Column("bigint", "CSAT answers about the whole, on any scale."),
        "groups": Column(
            "bigint", "Segments with an answer; customers of whom it is not known are one."
        ),
        "too_few": Column(
            "boolean", f"Fewer than {K} persons answered, so that nothing is told of their answers."
        ),
        "eta_squared": Column(
            "double precision",
            "Share of the variance of the answers that the segmentation explains, 0 to 1 (Fisher"
            " 1925); NULL where all answer alike.",
        ),
        "epsilon_squared": Column(
            "double precision",
            "The same without what chance explains, at most 1 (Kelley 1935); NULL also where each"
            " answer is a group of its own.",
        ),
        "explains_more": Column(
            "boolean",
            "Its epsilon_squared is above that of the other segmentation; NULL where one has none.",
        ),
    },
    evidence=EVIDENCE,
    sql=f"""
WITH of_segment AS (
  SELECT touchpoint, segmentation, count(*) AS n, sum(points) AS total, sum(points * points) AS squares
    FROM evidence
   GROUP BY touchpoint, segmentation, segment
), answered AS (
  SELECT touchpoint, segmentation, {persons()} >= {K} AS enough
    FROM evidence
   GROUP BY touchpoint, segmentation
), of_touchpoint AS (
  SELECT touchpoint, segmentation, sum(n) AS n, count(*) AS groups,
         -- Without answers that differ there is nothing to explain.
         NULLIF(sum(squares) - sum(total) * sum(total) / sum(n), 0) AS whole,
         greatest(sum(total * total / n) - sum(total) * sum(total) / sum(n), 0) AS explained
    FROM of_segment
   GROUP BY touchpoint, segmentation
), power AS (
  SELECT touchpoint, segmentation, n, groups, enough,
         CASE WHEN enough THEN explained / whole END AS eta_squared,
         CASE WHEN enough
              THEN (explained - (groups - 1) * (whole - explained) / NULLIF(n - groups, 0)) / whole
         END AS epsilon_squared
    FROM of_touchpoint
    JOIN answered USING (touchpoint, segmentation)
)
SELECT touchpoint, segmentation, n, groups, NOT enough AS too_few, eta_squared, epsilon_squared,
       epsilon_squared > coalesce(lag(epsilon_squared) OVER both_of, lead(epsilon_squared) OVER both_of)
           AS explains_more
  FROM power
WINDOW both_of AS (PARTITION BY touchpoint ORDER BY segmentation)
""",  # noqa: S608  # literals of this module
)
