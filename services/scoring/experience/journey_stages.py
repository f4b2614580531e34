"""The whole journey, from the first advert to what comes after the sale: who is met where on it?

One row for each stage, also where nobody was ever met: a service that ends at payment has empty stages after
it. A touch is an interaction. It belongs to the journey of its correlation id, across all sources, or else to
the person's; what has neither belongs to none.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, mean, share

SCORES = {
    **share(
        *("journey_share", "journeys", "all_journeys"),
        "Share of all journeys that have an interaction at the stage",
    ),
    **mean(
        *("csat_points", "points", "squares", "csat_n"),
        "Mean CSAT answer about the stage, rescaled to 0 to 100 points as in csat/2 (ISO 10004)",
        scale=("0", "100"),
    ),
}

journey_stages = Figure(
    name="journey_stages",
    version=1,
    question="Where on their whole journey are customers met, and how satisfied are they there?",
    keys={"stage": Column("text", "Where on the journey: a key of dim_stage.")},
    columns={
        "place": Column("bigint", "Its place on the journey, 1 to 8; 0 is unspecified."),
        "journeys": Column("bigint", "Journeys that have an interaction at the stage."),
        "touches": Column("bigint", "Interactions at the stage that belong to a journey."),
        "touchpoints": Column("bigint", "Touchpoints at which these were."),
        "csat_n": Column("bigint", "CSAT answers about the whole of an experience at the stage."),
        **columns(SCORES),
    },
    evidence="""
SELECT stage, journey, touchpoint, NULL AS points, ARRAY[event_position] AS events FROM journey_touch
UNION ALL
SELECT stage, NULL, NULL, points, ARRAY[event_position] FROM journey_answer WHERE metric = 'csat'
""",
    sql=f"""
WITH of_stage AS (
  SELECT s.stage, s.place, count(DISTINCT e.journey) AS journeys, count(e.journey) AS touches,
         count(DISTINCT e.touchpoint) AS touchpoints, count(e.points) AS csat_n, sum(e.points) AS points,
         sum(e.points * e.points) AS squares
    FROM dim_stage s
    LEFT JOIN evidence e USING (stage)
   GROUP BY s.stage, s.place
  HAVING s.place > 0 OR count(e.events) > 0
), whole AS (
  SELECT count(DISTINCT journey) AS all_journeys FROM evidence
)
SELECT stage, place, journeys, touches, touchpoints, csat_n, {selected(SCORES)}
  FROM of_stage
 CROSS JOIN whole
""",  # noqa: S608  # literals of this module
    order=("place",),
)
