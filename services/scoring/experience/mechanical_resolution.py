"""Technically resolved, yet let down: what the customer felt when an interaction of service was over.

A case is an interaction at stage service with an answer about it: to the whole (CSAT), or of the dimension
"empathy" (CSAT or rating). It is resolved when its outcome is resolved or completed. A customer was let down
when any of these answers is in the bottom quarter of its scale, 25 of 100 points or less: 1 or 2 of 1 to 5.
The four cells add up to all cases.
"""

from services.scoring.experience.figure import Figure
from services.scoring.metric import Column

# Multiplied out, so that no rounding decides.
LET_DOWN = (
    "4 * CASE WHEN f.higher_is_better THEN f.value - f.scale_min ELSE f.scale_max - f.value END"
    " <= f.scale_max - f.scale_min"
)
# LEFT: what an inner join with about finds the planner takes for one row, and then compares each
# answer with each interaction.
EVIDENCE = f"""
WITH felt AS (
  SELECT a.interaction_position, bool_or({LET_DOWN}) AS let_down,
         array_agg(DISTINCT f.event_position) AS events
    FROM known_feedback f
    LEFT JOIN about a ON a.feedback_position = f.event_position
   WHERE f.dimension IS NULL AND f.metric = 'csat'
      OR f.dimension = 'empathy' AND f.metric IN ('csat', 'rating')
   GROUP BY a.interaction_position
)
SELECT i.outcome IN ('resolved', 'completed') AS resolved,
       CASE WHEN felt.let_down THEN 'let down' ELSE 'cared for' END AS felt,
       i.touchpoint, i.event_position || felt.events AS events
  FROM known_interaction i
  JOIN felt ON felt.interaction_position = i.event_position
 WHERE i.stage = 'service'
"""  # noqa: S608  # a literal of this module

mechanical_resolution = Figure(
    name="mechanical_resolution",
    version=1,
    question="When a case of service was resolved or not, did its customer feel cared for or let down?",
    keys={
        "resolved": Column("boolean", "The interaction ended resolved or completed."),
        "felt": Column(
            "text",
            "let down: an answer about it is in the bottom quarter of its scale; or cared for.",
        ),
    },
    columns={
        "cases": Column(
            "bigint",
            "Interactions at stage service in this cell; the four add up to all with an answer.",
        ),
        "share": Column(
            "double precision", "Of all these cases, 0 to 1; NULL where there is none."
        ),
        "share_lo": Column(
            "double precision", "Lower bound of share: score interval, 95 % (Wilson 1927)."
        ),
        "share_hi": Column(
            "double precision", "Upper bound of share: score interval, 95 % (Wilson 1927)."
        ),
    },
    evidence=EVIDENCE,
    sql="""
SELECT resolved, felt, count(events) AS cases,
       count(events)::double precision / NULLIF(sum(count(events)) OVER (), 0) AS share,
       wilson_lower(count(events), (sum(count(events)) OVER ())::bigint) AS share_lo,
       wilson_upper(count(events), (sum(count(events)) OVER ())::bigint) AS share_hi
  FROM (VALUES (false), (true)) AS r (resolved)
 CROSS JOIN (VALUES ('cared for'), ('let down')) AS f (felt)
  LEFT JOIN evidence USING (resolved, felt)
 GROUP BY resolved, felt
""",
)
