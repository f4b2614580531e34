"""How much of a year's revenue is with customers who are dissatisfied and still wait for a recovery?

One row for each currency that was paid in. A customer is at risk whose last rating of the whole (csat or
rating, at any touchpoint) is in the bottom two boxes (25 of 100 points or less: 1 and 2 of 1 to 5) and of
whom a recovery is open, as in open_recovery: by the case where there is one, which people and events close.
Revenue is what was paid, less what went back, in the 365 days (8,760 hours) before the horizon. It is what is
at stake, not what will be lost: that would take the odds of leaving, which are not observed.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.metric import Column

revenue_at_risk = Figure(
    name="revenue_at_risk",
    version=1,
    question="How much revenue is with dissatisfied customers whose recovery is open?",
    keys={"currency": Column("text", "ISO 4217 code of the revenue.")},
    columns={
        "customers": Column("bigint", "Customers at risk who paid in that year (count)."),
        "customers_all": Column("bigint", "All customers who paid in that year (count)."),
        "revenue": Column("numeric", "What customers at risk paid in that year, exact."),
        "revenue_all": Column("numeric", "What everybody paid in that year, known or not, exact."),
        "revenue_share": Column(
            "double precision",
            "revenue of revenue_all; no share of cases, so without bounds. NULL where revenue_all is not"
            " above 0.",
        ),
        "too_few": Column(
            "boolean",
            f"1 to {K - 1} customers at risk, or fewer than {K} in all, whose money would be told: revenue,"
            " revenue_all and revenue_share are NULL.",
        ),
    },
    evidence="""
WITH last_rating AS (
  SELECT DISTINCT ON (person) person, event_position,
         4 * CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END
           <= scale_max - scale_min AS bottom2
    FROM known_feedback
   WHERE metric IN ('csat', 'rating') AND dimension IS NULL AND person IS NOT NULL
   ORDER BY person, occurred_at DESC, event_position DESC, signal_index DESC
), waiting AS (
  SELECT person, array_agg(position) AS positions
    FROM open_recovery_item CROSS JOIN unnest(positions) AS position
   WHERE person IS NOT NULL
   GROUP BY person
)
SELECT p.currency, p.person, p.amount, w.person IS NOT NULL AND r.bottom2 AS at_risk,
       CASE WHEN w.person IS NOT NULL AND r.bottom2
            THEN ARRAY[p.event_position, r.event_position] || w.positions
            ELSE ARRAY[p.event_position] END AS events
  FROM paid_in_year p
  LEFT JOIN last_rating r ON r.person = p.person
  LEFT JOIN waiting w ON w.person = p.person
""",
    sql=f"""
SELECT currency, customers, customers_all, too_few,
       {kept_back("revenue")},
       {kept_back("revenue_all")},
       {kept_back("revenue_share", "(revenue / NULLIF(greatest(revenue_all, 0), 0))::double precision")}
  FROM (SELECT *, customers BETWEEN 1 AND {K - 1} OR customers_all < {K} AS too_few
          FROM (SELECT currency,
                       count(DISTINCT person) FILTER (WHERE at_risk) AS customers,
                       count(DISTINCT person) AS customers_all,
                       coalesce(sum(amount) FILTER (WHERE at_risk), 0) AS revenue,
                       sum(amount) AS revenue_all
                  FROM evidence GROUP BY currency) AS sums) AS judged
""",  # noqa: S608  # a constant of this package
)
