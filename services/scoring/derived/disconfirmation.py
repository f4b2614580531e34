"""Expectation and experience: was what a customer got as good as what the customer expected (Oliver 1980)?

One row for each answer that an expectation stands against. They belong together when person, touchpoint,
kind of answer, dimension and scale are the same, and when an expectation about one journey meets an answer
about that journey. Of several expectations the last one counts that was stated before the experience: before
the customer's last interaction at the touchpoint that the answer can be about, or, where none was recorded,
before the answer. What is "expected" only afterwards is no expectation.

Differences are in the direction that is good, rescaled to points of a scale of 0 to 100, and rounded to six
decimals before they are added. Difference scores are disputed (Cronin and Taylor 1992): a falling gap may be
a rising expectation, so what was perceived stands beside on its own.
"""

from services.scoring.identity import WITH_PEOPLE
from services.scoring.metric import Column, Derived, Sum, mean, share

SQL = f"""
{WITH_PEOPLE}, expectation AS MATERIALIZED (
  -- A row for each reference that an answer may come under.
  SELECT f.*, coalesce(p.known_as, ARRAY[f.customer]) AS known_as,
         unnest(coalesce(p.known_as, ARRAY[f.customer])) AS reference
    FROM fact_expectation f
    LEFT JOIN people p ON p.customer = f.customer
   WHERE f.tenant = $1 AND f.from_position <= $2 AND (f.to_position IS NULL OR f.to_position > $2)
     AND f.customer IS NOT NULL AND f.metric IS NOT NULL
), answer AS MATERIALIZED (
  SELECT f.*
    FROM fact_feedback f
   WHERE f.tenant = $1 AND f.from_position <= $2 AND (f.to_position IS NULL OR f.to_position > $2)
     AND f.customer = ANY (ARRAY(SELECT reference FROM expectation)) AND f.metric IS NOT NULL
), compared AS (
  SELECT a.*, e.event_position AS expectation_position, e.occurred_at AS expected_at, e.value AS expected,
         coalesce(
           (SELECT max(i.occurred_at)
              FROM fact_interaction i
             WHERE i.tenant = a.tenant AND i.customer = ANY (e.known_as) AND i.touchpoint = a.touchpoint
               AND i.occurred_at <= a.occurred_at
               AND (i.correlation_id = a.correlation_id
                    OR i.correlation_id IS NULL OR a.correlation_id IS NULL)
               AND i.from_position <= $2 AND (i.to_position IS NULL OR i.to_position > $2)),
           a.occurred_at) AS experienced_at
    FROM answer a
    JOIN expectation e ON e.reference = a.customer AND e.touchpoint = a.touchpoint AND e.metric = a.metric
                      AND e.dimension IS NOT DISTINCT FROM a.dimension
                      AND e.scale_min = a.scale_min AND e.scale_max = a.scale_max
                      AND e.higher_is_better = a.higher_is_better
                      AND (e.correlation_id IS NULL OR e.correlation_id = a.correlation_id)
)
SELECT DISTINCT ON (event_position, signal_index)
       tenant, event_position, occurred_at, occurred_date, reporting_date, touchpoint, stage, channel,
       service_mode, store, source, staff, customer, correlation_id,
       signal_index, expectation_position, experienced_at, metric, dimension, expected, value AS perceived,
       scale_min, scale_max, higher_is_better,
       round(100 * CASE WHEN higher_is_better THEN value - expected ELSE expected - value END
                 / (scale_max - scale_min), 6) AS gap,
       round(100 * CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END
                 / (scale_max - scale_min), 6) AS perceived_points,
       CASE WHEN higher_is_better THEN value >= expected ELSE value <= expected END AS met,
       CASE WHEN higher_is_better THEN value > expected ELSE value < expected END AS exceeded
  FROM compared
 WHERE expected_at < experienced_at
 ORDER BY event_position, signal_index, expected_at DESC, expectation_position DESC
"""  # noqa: S608  # a literal
# Answers about one dimension are no answers about the whole, as in the other metrics.
WHOLE = "dimension IS NULL"

disconfirmation = Derived(
    name="disconfirmation",
    version=1,
    sql=SQL,
    columns={
        "signal_index": Column("integer", "Which answer of the feedback at event_position."),
        "expectation_position": Column(
            "bigint", "Position of the expectation that it stands against."
        ),
        "experienced_at": Column(
            "timestamptz", "The experience that the answer is about was then."
        ),
        "metric": Column("text", "Kind of answer: csat, nps, ces, rating, thumbs or sentiment."),
        "dimension": Column("text", "What was judged; NULL is the whole."),
        "expected": Column("numeric(21, 6)", "The expected answer, on its own scale."),
        "perceived": Column("numeric(21, 6)", "The answer, on the same scale."),
        "scale_min": Column("numeric(21, 6)", "The lowest answer of the scale."),
        "scale_max": Column("numeric(21, 6)", "The highest answer of the scale."),
        "higher_is_better": Column("boolean", "Which end of the scale is good."),
        "gap": Column(
            "numeric(9, 6)", "Perceived minus expected, -100 to 100 points, above 0 is better."
        ),
        "perceived_points": Column("numeric(9, 6)", "Perceived, rescaled to 0 to 100 points."),
        "met": Column("boolean", "The answer is as good as expected, or better."),
        "exceeded": Column("boolean", "The answer is better than expected."),
    },
    meaning="An answer that an expectation stands against, which was stated before the experience.",
    sums={
        "expectations_compared": Sum(
            f"count(*) FILTER (WHERE {WHOLE})", "Answers that an expectation stands against."
        ),
        "expectations_met": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND met)",
            "Those that are as good as expected, or better.",
        ),
        "expectations_exceeded": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND exceeded)", "Those that are better than expected."
        ),
        "expectations_just_met": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND met AND NOT exceeded)",
            "Those that are exactly as expected.",
        ),
        "expectation_gap_sum": Sum(
            f"coalesce(sum(gap) FILTER (WHERE {WHOLE}), 0)",
            "Sum of perceived minus expected, points of a scale of 0 to 100.",
            "numeric",
        ),
        "expectation_gap_squares": Sum(
            f"coalesce(sum(gap * gap) FILTER (WHERE {WHOLE}), 0)",
            "Sum of the squares of these gaps, square points.",
            "numeric",
        ),
        "perceived_sum": Sum(
            f"coalesce(sum(perceived_points) FILTER (WHERE {WHOLE}), 0)",
            "Sum of what was perceived where there was an expectation, points of 0 to 100.",
            "numeric",
        ),
        "perceived_squares": Sum(
            f"coalesce(sum(perceived_points * perceived_points) FILTER (WHERE {WHOLE}), 0)",
            "Sum of the squares of what was perceived, square points.",
            "numeric",
        ),
    },
    scores={
        **share(
            *("expectation_met_share", "expectations_met", "expectations_compared"),
            "Share of answers as good as the customer expected before, or better (Oliver 1980)",
        ),
        **share(
            *("expectation_exceeded_share", "expectations_exceeded", "expectations_compared"),
            "Share of answers better than the customer expected before (Oliver 1980)",
        ),
        **share(
            *("expectation_just_met_share", "expectations_just_met", "expectations_compared"),
            "Share of answers exactly as the customer expected before (Oliver 1980)",
        ),
        **mean(
            *("expectation_gap_mean", "expectation_gap_sum", "expectation_gap_squares"),
            "expectations_compared",
            "Mean of perceived minus expected, -100 to 100 points (Oliver 1980)",
            scale=("-100", "100"),
        ),
        **mean(
            *("perceived_mean", "perceived_sum", "perceived_squares", "expectations_compared"),
            "Mean of what was perceived where there was an expectation, 0 to 100 points"
            " (SERVPERF, Cronin and Taylor 1992)",
            scale=("0", "100"),
        ),
    },
)
