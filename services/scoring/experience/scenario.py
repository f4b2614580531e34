"""What if a share of the customers left, and what if competitors got their money?

One row for each scenario and currency. A scenario is assumed, never observed: the last one of a name by
occurred_at counts, and nothing but this figure, premium_scenario and customer_value reads it. Of its revenue
R, loss_percent is lost, and competitor_percent of that goes to competitors, so that the gap between them and
us moves by both: 15 % of 1,000,000 is -150,000, +150,000 and a gap of 300,000. Where the scenario names no
revenue, R is what was paid, less what went back, in the 365 days (8,760 hours) before the horizon. All of it
is exact.
"""

from services.scoring.experience.figure import Figure, K, kept_back, persons
from services.scoring.metric import Column

# What each scenario reckons with, payment by payment.
MONEY = """
SELECT s.scenario, coalesce(s.currency, p.currency) AS currency, s.revenue IS NULL AS observed,
       coalesce(s.revenue, p.amount) AS amount, p.person, s.loss_percent, s.competitor_percent,
       array_remove(ARRAY[s.event_position, p.event_position], NULL) AS events
  FROM last_scenario s
  LEFT JOIN paid_in_year p ON s.revenue IS NULL
"""
# Revenue that nobody has paid yet tells of nobody.
TOO_FEW = f"observed AND count(amount) > 0 AND {persons()} < {K}"

scenario = Figure(
    name="scenario",
    version=2,
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
        "too_few": Column(
            "boolean",
            f"An observed revenue was paid by fewer than {K} customers, a payment of nobody known being one"
            " of its own: it, and what is reckoned from it, is NULL.",
        ),
    },
    evidence=MONEY,
    # A product is exact, a quotient need not be.
    sql=f"""
SELECT scenario, currency, observed, loss_percent, competitor_percent, too_few, {kept_back("revenue_year")},
       {kept_back("revenue_lost", "-lost")},
       {kept_back("competitor_gain", "lost * competitor_percent * 0.01")},
       {kept_back("net_gap", "lost + lost * competitor_percent * 0.01")}
  FROM (SELECT scenario, currency, observed, loss_percent, competitor_percent, {TOO_FEW} AS too_few,
               sum(amount) AS revenue_year, sum(amount) * loss_percent * 0.01 AS lost
          FROM evidence
         GROUP BY scenario, currency, observed, loss_percent, competitor_percent) AS sums
""",  # noqa: S608  # literals of this package
)
