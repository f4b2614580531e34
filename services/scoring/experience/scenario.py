"""What if a share of the customers left, and what if competitors got their money?

One row for each scenario and currency. A scenario is assumed, never observed: the last one of a name by
occurred_at counts, and nothing but this figure and customer_value reads it. Of its revenue R, loss_percent is
lost, and competitor_percent of that goes to competitors, so that the gap between them and us moves by both:
15 % of 1,000,000 is -150,000, +150,000 and a gap of 300,000. Where the scenario names no revenue, R is what
was paid, less what went back, in the 365 days (8,760 hours) before the horizon. All of it is exact.
"""

from services.scoring.experience.figure import Figure
from services.scoring.metric import Column

scenario = Figure(
    name="scenario",
    version=1,
    question="What would be lost, and gained by competitors, if customers left as each scenario assumes?",
    keys={
        "scenario": Column("text", "Name of the scenario."),
        "currency": Column(
            "text", "ISO 4217 code; NULL where nothing was paid and nothing is assumed."
        ),
    },
    columns={
        "observed": Column("boolean", "revenue_year was observed; otherwise it is assumed."),
        "revenue_year": Column(
            "numeric", "Revenue of a year: assumed, or of the 365 days before the horizon."
        ),
        "loss_percent": Column("numeric", "How many of every hundred customers leave (assumed)."),
        "competitor_percent": Column(
            "numeric", "How much of what they spent goes to competitors, in percent (assumed)."
        ),
        "revenue_lost": Column("numeric", "Minus loss_percent of revenue_year, exact."),
        "competitor_gain": Column("numeric", "competitor_percent of what is lost, exact."),
        "net_gap": Column("numeric", "competitor_gain minus revenue_lost, exact."),
    },
    evidence="""
SELECT s.scenario, coalesce(s.currency, p.currency) AS currency, s.revenue IS NULL AS observed,
       coalesce(s.revenue, p.amount) AS amount, s.loss_percent, s.competitor_percent,
       array_remove(ARRAY[s.event_position, p.event_position], NULL) AS events
  FROM last_scenario s
  LEFT JOIN paid_in_year p ON s.revenue IS NULL
""",
    # A product is exact, a quotient need not be.
    sql="""
SELECT scenario, currency, observed, revenue_year, loss_percent, competitor_percent, -lost AS revenue_lost,
       lost * competitor_percent * 0.01 AS competitor_gain,
       lost + lost * competitor_percent * 0.01 AS net_gap
  FROM (SELECT scenario, currency, observed, loss_percent, competitor_percent,
               sum(amount) AS revenue_year, sum(amount) * loss_percent * 0.01 AS lost
          FROM evidence
         GROUP BY scenario, currency, observed, loss_percent, competitor_percent) AS sums
""",
)
