"""Who comes back, by what was worst on the journey: the goal that service is a means to.

One case for each person: the first purchase (an interaction at the stage purchase that was neither abandoned
nor failed). Who buys again within 90 days, on another journey where both purchases name one, came back; who
does not is lost. Until the 90 days are over by the horizon the case is pending, whatever is known of it, and
in no share: to count those who are back already would flatter.

The lowest touchpoint is that of the lowest answer of satisfaction (CSAT or rating, rescaled to 0 to 100
points as in csat/2) on the journey of the purchase, where it and the answer both name one, that was given
before the next purchase and within the 90 days; of equal ones the last. That it comes before a loss is no
proof that it is the cause.
"""

from services.scoring.experience.figure import Figure, K
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, share

# 90 days. In hours: days would change with the session's zone where clocks are put forward.
WINDOW = "interval '2160 hours'"

CASES = f"""
WITH purchase AS (
  SELECT person, correlation_id, occurred_at, event_position,
         row_number() OVER (PARTITION BY person ORDER BY occurred_at, event_position) AS place
    FROM journey_touch
   WHERE paid AND person IS NOT NULL
), further AS (
  SELECT DISTINCT ON (person) p.person, p.occurred_at, p.event_position
    FROM purchase AS first
    JOIN purchase AS p USING (person)
   WHERE first.place = 1 AND p.place > 1 AND p.occurred_at < first.occurred_at + {WINDOW}
     AND (p.correlation_id = first.correlation_id) IS NOT TRUE
   ORDER BY person, p.place
), bought AS (
  SELECT first.person, first.correlation_id, first.event_position,
         further.event_position AS further_position,
         coalesce(further.occurred_at, first.occurred_at + {WINDOW}) AS told_by,
         CASE WHEN first.occurred_at + {WINDOW} > m.horizon THEN 'pending'
              WHEN further.person IS NULL THEN 'lost'
              ELSE 'back' END AS fate
    FROM purchase AS first
   CROSS JOIN moments AS m
    LEFT JOIN further USING (person)
   WHERE first.place = 1
), lowest AS (
  SELECT DISTINCT ON (person) person, f.touchpoint, f.event_position
    FROM bought
    JOIN journey_answer AS f USING (person)
   WHERE (f.correlation_id = bought.correlation_id) IS NOT FALSE AND f.occurred_at < bought.told_by
   ORDER BY person, f.points, f.occurred_at DESC, f.event_position DESC, f.signal_index DESC
)
SELECT coalesce(lowest.touchpoint, 'unspecified') AS lowest_touchpoint, bought.fate,
       array_remove(ARRAY[bought.event_position, further_position, lowest.event_position], NULL) AS events
  FROM bought
  LEFT JOIN lowest USING (person)
"""  # noqa: S608  # a literal of this module
SCORES = share(
    *("repeat_share", "repeat_90d", "settled"),
    "Share of customers who bought again within 90 days, among those whose 90 days are over",
)

retention = Figure(
    name="retention",
    version=1,
    question="How many customers buy again, by the touchpoint that they liked least?",
    keys={
        "lowest_touchpoint": Column(
            "text", "Where the lowest answer on the journey was about; unspecified without answers."
        )
    },
    columns={
        "customers": Column("bigint", "Customers who ever bought, pending ones included."),
        "pending": Column("bigint", "Those whose 90 days are not over yet, in no share."),
        "repeat_90d": Column("bigint", "Of the others, those who bought again within 90 days."),
        "lost_90d": Column("bigint", "Of the others, those who did not."),
        **columns(SCORES),
        "too_few": Column(
            "boolean",
            f"The 90 days of fewer than {K} customers are over: what they did is not told.",
        ),
    },
    evidence=CASES,
    sql=f"""
WITH of_touchpoint AS (
  SELECT lowest_touchpoint, count(*) AS customers, count(*) FILTER (WHERE fate = 'pending') AS pending
    FROM evidence
   GROUP BY lowest_touchpoint
), told AS (
  SELECT lowest_touchpoint, count(*) AS settled, count(*) FILTER (WHERE fate = 'back') AS repeat_90d,
         count(*) FILTER (WHERE fate = 'lost') AS lost_90d
    FROM evidence
   WHERE fate <> 'pending'
   GROUP BY lowest_touchpoint
  HAVING count(*) >= {K}
)
SELECT lowest_touchpoint, customers, pending, repeat_90d, lost_90d, {selected(SCORES)},
       settled IS NULL AS too_few
  FROM of_touchpoint
  LEFT JOIN told USING (lowest_touchpoint)
""",  # noqa: S608  # literals of this module
)
