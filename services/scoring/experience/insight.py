"""What one member of staff found out and others made use of: does it help other customers?

An insight is of the interaction that it names; where it names none, of the last one before it on the journey
of the same correlation id. It is reused where it is applied from its first capture on for another customer:
for another person, or on another journey where either customer is anonymous.

Answers are CSAT answers about the whole that are about interactions: with are those of reuse, without are all
others at the same touchpoints from the capture (or else the first reuse) on. The interval of their difference
is Welch's (1947). It was not by lot who made use of it when, so a difference is no proof.
"""

from services.scoring.experience.figure import Figure, K, kept_back, mean_columns
from services.scoring.metric import Column

# Student's t of 97.5 % by way of the beta distribution (Abramowitz and Stegun 26.5.27), as Welch's degrees of
# freedom are no whole number.
T = "sqrt(degrees * (1 - beta_quantile(0.05, degrees / 2, 0.5)) / beta_quantile(0.05, degrees / 2, 0.5))"


def _of(kind: str) -> str:
    """Answers of a kind: their number, sum, mean, and the square of the mean's standard error."""
    n, total = (
        f"count(*) FILTER (WHERE kind = '{kind}')",
        f"sum(points) FILTER (WHERE kind = '{kind}')",
    )
    squares = f"sum(points * points) FILTER (WHERE kind = '{kind}')"
    return f"""{n} AS n_{kind}, {total} / NULLIF({n}, 0) AS mean_{kind},
               (({n} * {squares} - {total} * {total})
                / NULLIF({n} * {n} * ({n} - 1), 0)::numeric)::double precision AS error_{kind},
               mean_bound({total}, {squares}, {n}, -1, 0) AS lo_{kind},
               mean_bound({total}, {squares}, {n}, 1, 100) AS hi_{kind},
               count(DISTINCT person) FILTER (WHERE kind = '{kind}') < {K} AS few_{kind}"""


insight = Figure(
    name="insight",
    version=1,
    question="Which insights of staff are reused for other customers, and do these fare better?",
    keys={"insight_id": Column("text", "The id of the insight, as the source has it.")},
    columns={
        "captured_at": Column(
            "timestamptz", "When it was first captured; NULL where that is not known."
        ),
        "captured_by": Column("text", "The team of whoever captured it, at that time."),
        "reuse_count": Column(
            "bigint", "Interactions with other customers in which it was applied."
        ),
        "too_few": Column(
            "boolean",
            f"Fewer than {K} customers answered with it, or without: the points are kept back.",
        ),
        "answers_with": Column("bigint", "CSAT answers about interactions in which it was reused."),
        **mean_columns("csat_with", "Their mean, 0 to 100 points (ISO 10004)"),
        "answers_without": Column(
            "bigint", "CSAT answers about others at the same touchpoints since the capture."
        ),
        **mean_columns("csat_without", "Their mean, 0 to 100 points (ISO 10004)"),
        "difference": Column(
            "double precision", "csat_with minus csat_without, -100 to 100 points."
        ),
        "difference_lo": Column(
            "double precision", "Lower bound of difference, 95 % (Welch 1947)."
        ),
        "difference_hi": Column(
            "double precision", "Upper bound of difference, 95 % (Welch 1947)."
        ),
    },
    evidence="""
WITH step_in AS (
  SELECT n.event_position, i.event_position AS interaction_position
    FROM known_insight n
    JOIN event e ON e.tenant = {tenant} AND e.source = coalesce(n.about_source, n.source)
                AND e.event_id = n.about_event_id
    JOIN known_interaction i ON i.event_position = e.position
  UNION ALL
  (SELECT DISTINCT ON (n.event_position) n.event_position, i.event_position
     FROM known_insight n
     JOIN known_interaction i ON i.correlation_id = n.correlation_id AND i.occurred_at <= n.occurred_at
    WHERE n.about_event_id IS NULL
    ORDER BY n.event_position, i.occurred_at DESC, i.event_position DESC)
), step AS (
  SELECT n.insight_id, n.step, n.event_position, n.occurred_at, i.event_position AS interaction_position,
         i.touchpoint, coalesce(n.person, i.person) AS person,
         coalesce(n.correlation_id, i.correlation_id) AS journey
    FROM known_insight n
    LEFT JOIN step_in s ON s.event_position = n.event_position
    LEFT JOIN known_interaction i ON i.event_position = s.interaction_position
), capture AS (
  SELECT DISTINCT ON (insight_id) *
    FROM step
   WHERE step = 'captured'
   ORDER BY insight_id, occurred_at, event_position
), reuse AS (
  SELECT a.insight_id, a.interaction_position, min(a.touchpoint) AS touchpoint,
         coalesce(min(c.occurred_at), min(a.occurred_at)) AS since, array_agg(a.event_position) AS events
    FROM step a
    LEFT JOIN capture c ON c.insight_id = a.insight_id
   WHERE a.step = 'applied' AND (a.occurred_at < c.occurred_at) IS NOT TRUE
     AND (a.interaction_position = c.interaction_position) IS NOT TRUE
     AND CASE WHEN a.person IS NULL OR c.person IS NULL THEN a.journey = c.journey
              ELSE a.person = c.person END IS NOT TRUE
   GROUP BY a.insight_id, a.interaction_position,
            CASE WHEN a.interaction_position IS NULL THEN a.event_position END
), answer AS (
  SELECT f.event_position, f.points, f.person, i.event_position AS interaction_position, i.touchpoint,
         i.occurred_at
    FROM csat_answer f
    JOIN about a ON a.feedback_position = f.event_position
    JOIN known_interaction i ON i.event_position = a.interaction_position
)
SELECT c.insight_id, 'capture' AS kind, c.occurred_at AS captured_at,
       coalesce(s.staff_group, 'unspecified') AS captured_by, NULL::numeric AS points, NULL::text AS person,
       array_remove(ARRAY[c.event_position, s.profile_position], NULL) AS events
  FROM capture c
  LEFT JOIN staff_at s ON s.event_position = c.event_position
UNION ALL
SELECT insight_id, 'reuse', NULL, NULL, NULL, NULL, array_remove(interaction_position || events, NULL)
  FROM reuse
UNION ALL
SELECT r.insight_id, 'with', NULL, NULL, a.points, a.person,
       ARRAY[a.event_position, a.interaction_position]
  FROM reuse r
  JOIN answer a ON a.interaction_position = r.interaction_position
UNION ALL
SELECT r.insight_id, 'without', NULL, NULL, a.points, a.person,
       ARRAY[a.event_position, a.interaction_position]
  FROM (SELECT insight_id, touchpoint, min(min(since)) OVER (PARTITION BY insight_id) AS since
          FROM reuse
         WHERE interaction_position IS NOT NULL
         GROUP BY insight_id, touchpoint) AS r
  JOIN answer a ON a.touchpoint = r.touchpoint AND a.occurred_at >= r.since
  LEFT JOIN (SELECT DISTINCT insight_id, interaction_position FROM step) AS s
         ON s.insight_id = r.insight_id AND s.interaction_position = a.interaction_position
 WHERE s.insight_id IS NULL
""",
    sql=f"""
SELECT insight_id, captured_at, captured_by, reuse_count, too_few,
       n_with AS answers_with, {kept_back("csat_with", "mean_with")},
       {kept_back("csat_with_lo", "lo_with")}, {kept_back("csat_with_hi", "hi_with")},
       n_without AS answers_without, {kept_back("csat_without", "mean_without")},
       {kept_back("csat_without_lo", "lo_without")}, {kept_back("csat_without_hi", "hi_without")},
       {kept_back("difference")},
       {kept_back("difference_lo", "greatest(-100, difference - margin)")},
       {kept_back("difference_hi", "least(100, difference + margin)")}
  FROM (SELECT *, {T} * sqrt(error_with + error_without) AS margin
          FROM (SELECT *, few_with OR few_without AS too_few, mean_with - mean_without AS difference,
                       (error_with + error_without) ^ 2
                       / NULLIF(error_with ^ 2 / (n_with - 1) + error_without ^ 2 / (n_without - 1), 0)
                         AS degrees
                  FROM (SELECT insight_id, min(captured_at) AS captured_at, min(captured_by) AS captured_by,
                               count(*) FILTER (WHERE kind = 'reuse') AS reuse_count,
                               {_of("with")}, {_of("without")}
                          FROM evidence
                         GROUP BY insight_id) AS summed) AS compared) AS told
""",  # noqa: S608  # a literal of this module
)
