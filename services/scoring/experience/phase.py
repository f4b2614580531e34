"""Before, during and after a purchase: how satisfied are customers with each?

The order of events decides, not the stage that a source names. On a journey with a correlation id, whoever
took part in it, what comes before its first purchase is before, what comes after its last one is after, and
the rest is during. Elsewhere a purchase is during itself, everything later of the same person is after, and
everything else before; what tells neither person nor journey is unspecified. A purchase is an interaction at
the stage purchase that was neither abandoned nor failed. An answer is in the phase of the interaction that it
is about, so that one which comes late still tells of the experience; where none is known, in its own.

GetJourney tells the phases of one person, by the same rule over what that person alone did: where two persons
took part in a journey, a purchase of the other one is none of it there, and is one here.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, mean, share

SCORES = {
    **mean(
        *("csat_points", "points", "squares", "answers"),
        "Mean CSAT answer, rescaled to 0 to 100 points as in csat/2 (ISO 10004)",
        scale=("0", "100"),
    ),
    **share(
        *("top2_share", "top2", "answers"),
        "Share of answers of 75 or more points (top-2-box of 1 to 5)",
    ),
    **share(
        *("bottom2_share", "bottom2", "answers"),
        "Share of answers of 25 points or less (bottom-2-box of 1 to 5)",
    ),
}

phase = Figure(
    name="phase",
    version=1,
    question="How satisfied are customers before, during and after a purchase?",
    keys={"phase": Column("text", "before, during, after; unspecified where it can not be told.")},
    columns={
        "touches": Column("bigint", "Interactions in the phase."),
        "answers": Column("bigint", "CSAT answers about the whole of an experience in the phase."),
        **columns(SCORES),
    },
    evidence="""
WITH answer AS (
  SELECT f.*, a.interaction_position
    FROM journey_answer f
    LEFT JOIN about a ON a.feedback_position = f.event_position
   WHERE f.metric = 'csat'
), fact AS (
  SELECT event_position, occurred_at, person, correlation_id,
         stage = 'purchase' AND outcome NOT IN ('abandoned', 'failed') AS paid
    FROM known_interaction
  UNION
  SELECT event_position, occurred_at, person, correlation_id, false
    FROM answer
   WHERE interaction_position IS NULL
), placed AS (
  SELECT *, row_number() OVER (ORDER BY occurred_at, event_position) AS place FROM fact
), framed AS (
  SELECT *, min(place) FILTER (WHERE paid) OVER of_journey AS first_paid,
         max(place) FILTER (WHERE paid) OVER of_journey AS last_paid,
         min(place) FILTER (WHERE paid) OVER (PARTITION BY person) AS first_paid_ever
    FROM placed
  WINDOW of_journey AS (PARTITION BY correlation_id)
), phased AS (
  SELECT event_position,
         CASE WHEN paid THEN 'during'
              WHEN correlation_id IS NULL AND person IS NULL THEN 'unspecified'
              WHEN correlation_id IS NOT NULL AND first_paid IS NOT NULL
              THEN CASE WHEN place < first_paid THEN 'before'
                        WHEN place > last_paid THEN 'after'
                        ELSE 'during' END
              WHEN person IS NOT NULL AND place > first_paid_ever THEN 'after'
              ELSE 'before' END AS phase
    FROM framed
)
SELECT p.phase, NULL AS points, false AS satisfied, false AS dissatisfied, ARRAY[i.event_position] AS events
  FROM known_interaction i
  JOIN phased p USING (event_position)
UNION ALL
SELECT p.phase, a.points, a.satisfied, a.dissatisfied, ARRAY[a.event_position]
  FROM answer a
  JOIN phased p ON p.event_position = coalesce(a.interaction_position, a.event_position)
""",
    sql=f"""
SELECT phase, touches, answers, {selected(SCORES)}
  FROM (SELECT phase, count(*) FILTER (WHERE events IS NOT NULL AND points IS NULL) AS touches,
               count(points) AS answers, sum(points) AS points, sum(points * points) AS squares,
               count(*) FILTER (WHERE satisfied) AS top2, count(*) FILTER (WHERE dissatisfied) AS bottom2
          FROM (VALUES ('before'), ('during'), ('after')) AS always (phase)
          FULL JOIN evidence USING (phase)
         GROUP BY phase) AS counted
""",  # noqa: S608  # literals of this module
)
