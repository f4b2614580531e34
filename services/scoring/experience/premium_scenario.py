"""What would better service be worth, if customers paid what the premium curve says that they would?

One row for each scenario, currency and premium of the curve (figure premium), of which the share s of
customers who agree is taken, as known at the same position and of the same time. It is assumed, not observed,
and in no other table. Of the revenue R of the scenario, as in figure scenario, and a premium of p percent:

* If the better service is offered and nobody has to take it, those who agree pay p more and all others what
  they pay now: R s p / 100 comes in beside R.
* If the price rises for all, those who agree pay p more and all others leave: R (s (1 + p / 100) - 1) is
  gained, or lost below 0. It takes more than 87 of 100 who agree to 15 % to gain.

It takes what customers say for what they do, those who were not asked to be like those who answered, and
those who agree to spend as much as the others. The bounds are those of s (Wilson 1927): the assumptions have
none. What the better service costs is not in it.
"""

from services.scoring.experience.figure import Figure, K, kept_back, share_columns
from services.scoring.experience.premium import LAST_SAID
from services.scoring.experience.scenario import MONEY, TOO_FEW
from services.scoring.metric import Column

ASSUMPTION = (
    "Customers do as they say, those not asked are like those who answered, and those who agree spend as"
    " much as others"
)


def _money(name: str, meaning: str) -> dict[str, Column]:
    said = f"bound of {name}: that of premium_ok_rate in its place."
    return {
        name: Column("double precision", meaning),
        f"{name}_lo": Column("double precision", f"Lower {said}"),
        f"{name}_hi": Column("double precision", f"Upper {said}"),
    }


def _told(name: str, sql: str) -> str:
    """With its bounds; {share} stands for the share and for either bound of it."""
    return ",\n       ".join(
        kept_back(name + end, f"({sql})::double precision".format(share=f"premium_ok_rate{end}"))
        for end in ("", "_lo", "_hi")
    )


premium_scenario = Figure(
    name="premium_scenario",
    version=1,
    question="What would be gained or lost if customers paid what they say that they would pay more?",
    keys={
        "scenario": Column("text", "Name of the scenario."),
        "currency": Column(
            "text", "ISO 4217 code; NULL where nothing was paid and nothing is assumed."
        ),
        "percent": Column("integer", "5, 10 or 15: how much more, in percent."),
    },
    columns={
        "observed": Column("boolean", "revenue_year was observed; otherwise it is assumed."),
        "revenue_year": Column(
            "numeric", "Revenue of a year: assumed, or of the 365 days before the horizon."
        ),
        "customers": Column("bigint", "Customers who said how much more they would pay (count)."),
        **share_columns(
            "premium_ok_rate", "Share of these who would pay at least that much more, as in premium"
        ),
        **_money(
            "gain_if_offered",
            "Gained in a year where only those pay the premium who agree (assumed).",
        ),
        **_money(
            "gain_if_raised",
            "Gained in a year, or lost below 0, where all prices rise and those leave who do not agree"
            " (assumed).",
        ),
        "assumption": Column("text", "What else both rest on."),
        "too_few": Column(
            "boolean",
            f"Fewer than {K} customers said it, or paid an observed revenue: all but counts is NULL.",
        ),
    },
    evidence=f"""
WITH money AS ({MONEY}), percents AS (
  SELECT percent FROM (VALUES (5), (10), (15)) AS asked (percent)
)
SELECT scenario, currency, percent, observed, amount, person, NULL::boolean AS ok, events
  FROM money CROSS JOIN percents
UNION ALL
SELECT m.scenario, m.currency, p.percent, m.observed, NULL, NULL, said.value >= p.percent,
       ARRAY[said.event_position]
  FROM (SELECT DISTINCT scenario, currency, observed FROM money) AS m
 CROSS JOIN percents p
 CROSS JOIN ({LAST_SAID}) AS said
""",  # noqa: S608  # literals of this package
    sql=f"""
WITH revenue AS (
  SELECT scenario, currency, percent, observed, sum(amount) AS revenue_year, {TOO_FEW} AS few_paid
    FROM evidence
   WHERE ok IS NULL
   GROUP BY scenario, currency, percent, observed
), agreed AS (
  SELECT scenario, currency, percent, count(*) AS customers, count(*) FILTER (WHERE ok) AS ok
    FROM evidence
   WHERE ok IS NOT NULL
   GROUP BY scenario, currency, percent
), both_of AS (
  SELECT r.*, coalesce(a.customers, 0) AS customers,
         few_paid OR a.customers < {K} IS TRUE AS too_few,
         a.ok::numeric / a.customers AS premium_ok_rate,
         wilson_lower(a.ok, a.customers)::numeric AS premium_ok_rate_lo,
         wilson_upper(a.ok, a.customers)::numeric AS premium_ok_rate_hi
    FROM revenue r
    LEFT JOIN agreed a ON a.scenario = r.scenario AND a.currency IS NOT DISTINCT FROM r.currency
                      AND a.percent = r.percent
)
SELECT scenario, currency, percent, observed, customers, too_few, '{ASSUMPTION}' AS assumption,
       {kept_back("revenue_year")},
       {kept_back("premium_ok_rate")},
       {kept_back("premium_ok_rate_lo")},
       {kept_back("premium_ok_rate_hi")},
       {_told("gain_if_offered", "revenue_year * {share} * percent / 100")},
       {_told("gain_if_raised", "revenue_year * ({share} * (1 + percent / 100.0) - 1)")}
  FROM both_of
""",  # noqa: S608
)
