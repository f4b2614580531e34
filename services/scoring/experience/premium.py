"""How many would pay more for better service?

One row for each of three premiums. A customer's last answer about the whole counts, wherever it was given,
and agrees to every premium up to itself, so that the curve never rises. Answers of nobody in particular can
not be told from each other and stay out.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, share

SCORES = share(
    *("premium_ok_rate", "ok", "customers"),
    "Share of customers who would pay at least that much more (sample proportion)",
)

LAST_SAID = """
SELECT DISTINCT ON (person) person, value, event_position
  FROM known_feedback
 WHERE metric = 'premium' AND dimension IS NULL AND person IS NOT NULL
 ORDER BY person, occurred_at DESC, event_position DESC, signal_index DESC
"""

premium = Figure(
    name="premium",
    version=1,
    question="How many customers would pay 5, 10 and 15 percent more for better service?",
    keys={"percent": Column("integer", "5, 10 or 15: how much more, in percent.")},
    columns={
        "customers": Column("bigint", "Customers who said how much more they would pay (count)."),
        "ok": Column("bigint", "Those who would pay at least that much more (count)."),
        **columns(SCORES),
    },
    evidence=f"""
SELECT asked.percent, said.value >= asked.percent AS ok, ARRAY[said.event_position] AS events
  FROM ({LAST_SAID}) AS said
 CROSS JOIN (VALUES (5), (10), (15)) AS asked (percent)
""",  # noqa: S608  # a literal of this module
    sql=f"""
SELECT *, {selected(SCORES)}
  FROM (SELECT percent, count(ok) AS customers, count(*) FILTER (WHERE ok) AS ok
          FROM (VALUES (5), (10), (15)) AS asked (percent) LEFT JOIN evidence USING (percent)
         GROUP BY percent) AS sums
""",  # noqa: S608  # literals of this package, as in the other figures
)
