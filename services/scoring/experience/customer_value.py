"""What is a customer worth, by what was observed and what each scenario assumes?

One row for each scenario and each currency that customers paid in, or the scenario's own where it names one.
Observed, in the 365 days (8,760 hours) before the horizon, of customers who are known:

* an order is a payment above 0; the mean order value is all that they paid, less what went back, per order;
* orders a year are those per customer, scaled from the days that have been observed to 365. From fewer than
  90 days nothing is scaled;
* retention is the share of customers who ordered again within 90 days (2,160 hours) of their first order in
  that time, among those of whom these 90 days have passed by the horizon; the others are pending. It is
  taken for the share of customers who stay from one year to the next: an assumption, too.

The yearly margin m is margin_percent of orders a year times the mean order value; r is retention and d the
discount. clv is the sum of m r^t / (1 + d)^t over t = 1 to `years`, or, where years is 0, over all t, which
is m r / (1 + d - r) (Gupta and Lehmann 2003, J. Interactive Marketing 17(1)). It leaves out what it costs to
win a customer, and takes all customers for alike.
"""

from services.scoring.experience.figure import Figure, K
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, share

RETENTION = share(
    *("retention", "returned", "retention_n"),
    "Share of customers who ordered again within 90 days of their first order of that year, taken for"
    " yearly retention (sample proportion)",
)
# Hours: days would change with the session's zone where clocks are put forward.
WINDOW = "interval '2160 hours'"
# What would tell of fewer than K customers is not told.
TOLD = ", ".join(
    f"CASE WHEN {of} >= {K} THEN {name} END AS {name}"
    for of, names in {
        "customers": ("order_value_mean", "orders_per_year", "yearly_value"),
        "retention_n": (*RETENTION, "clv"),
    }.items()
    for name in names
)

customer_value = Figure(
    name="customer_value",
    version=1,
    question="What is a customer worth, by what was observed and what each scenario assumes?",
    keys={
        "scenario": Column("text", "Name of the scenario that the assumptions are of."),
        "currency": Column("text", "ISO 4217 code; NULL where nothing was paid."),
    },
    columns={
        "margin_percent": Column(
            "numeric",
            "What is left of revenue after costs, in percent (assumed); NULL for nothing.",
        ),
        "discount_percent": Column(
            "numeric", "What next year's money is worth less, in percent (assumed)."
        ),
        "years": Column("integer", "Years that are reckoned; 0 is until the customer leaves."),
        "customers": Column("bigint", "Customers who ordered in that year (count)."),
        "orders": Column("bigint", "Their orders in that year (count)."),
        "observed_days": Column(
            "numeric", "Days of 24 hours from the first of these orders to the horizon, to 365."
        ),
        "order_value_mean": Column(
            "double precision", "What they paid, less what went back, per order (mean)."
        ),
        "orders_per_year": Column(
            "double precision",
            "Orders per customer, scaled to 365 days; NULL of fewer than 90 days.",
        ),
        "retention_n": Column("bigint", "Customers of whom 90 days have passed (count)."),
        "retention_pending": Column(
            "bigint", "Customers of whom they have not, in no share (count)."
        ),
        **columns(RETENTION),
        "yearly_value": Column(
            "double precision",
            "orders_per_year times order_value_mean: what a customer pays in a year.",
        ),
        "clv": Column(
            "double precision",
            "Customer lifetime value (Gupta and Lehmann 2003); NULL where no margin is assumed, or where"
            " nobody ever leaves and nothing is discounted.",
        ),
        "too_few": Column(
            "boolean",
            f"Fewer than {K} customers, or 1 to {K - 1} of whom 90 days have passed: what would tell of"
            " them is NULL.",
        ),
    },
    evidence="""
SELECT s.scenario, coalesce(s.currency, p.currency) AS currency, s.margin_percent, s.discount_percent,
       s.years, p.person, p.amount, p.occurred_at,
       array_remove(ARRAY[s.event_position, p.event_position], NULL) AS events
  FROM last_scenario s
  LEFT JOIN (SELECT p.*
               FROM (SELECT *, bool_or(amount > 0) OVER (PARTITION BY person, currency) AS ordered
                       FROM paid_in_year WHERE person IS NOT NULL) AS p
              WHERE ordered) AS p
         ON s.currency IS NULL OR s.currency = p.currency
""",
    sql=f"""
WITH numbered AS (
  SELECT *, row_number() OVER (PARTITION BY scenario, currency, person, amount > 0
                                   ORDER BY occurred_at, events) AS place
    FROM evidence
), of_person AS (
  SELECT scenario, currency, margin_percent, discount_percent, years, person, sum(amount) AS paid,
         count(*) FILTER (WHERE amount > 0) AS orders,
         min(occurred_at) FILTER (WHERE amount > 0) AS first_at,
         min(occurred_at) FILTER (WHERE amount > 0 AND place = 2) AS second_at
    FROM numbered
   GROUP BY scenario, currency, margin_percent, discount_percent, years, person
), observed AS (
  SELECT scenario, currency, margin_percent, discount_percent, years, count(person) AS customers,
         coalesce(sum(orders), 0) AS orders, sum(paid) AS paid,
         round(extract(epoch FROM min(horizon) - min(first_at)) / 86400, 6) AS observed_days,
         count(*) FILTER (WHERE first_at + {WINDOW} <= horizon) AS retention_n,
         count(*) FILTER (WHERE first_at + {WINDOW} > horizon) AS retention_pending,
         count(*) FILTER (WHERE first_at + {WINDOW} <= horizon AND second_at < first_at + {WINDOW})
           AS returned
    FROM of_person CROSS JOIN moments
   GROUP BY scenario, currency, margin_percent, discount_percent, years
), scored AS (
  SELECT *, {selected(RETENTION)}, (paid / NULLIF(orders, 0))::double precision AS order_value_mean,
         CASE WHEN observed_days >= 90
              THEN (orders * 365 / (customers * observed_days))::double precision END AS orders_per_year,
         CASE WHEN observed_days >= 90
              THEN (paid * 365 / (customers * observed_days))::double precision END AS yearly_value
    FROM observed
), yearly AS (
  SELECT *, (margin_percent / 100)::double precision * yearly_value AS m,
         retention / (1 + discount_percent / 100)::double precision AS q
    FROM scored
), valued AS (
  SELECT *, m * CASE WHEN years = 0 THEN q / NULLIF(1 - q, 0)
                     WHEN q = 1 THEN years
                     -- 1 - power(q, years) is 1 then, and PostgreSQL refuses a power that is smaller than
                     -- a number can be.
                     WHEN q < 0.001 AND years > 10 THEN q / (1 - q)
                     ELSE q * (1 - power(q, years)) / (1 - q) END AS clv
    FROM yearly
)
SELECT scenario, currency, margin_percent, discount_percent, years, customers, orders, observed_days,
       retention_n, retention_pending,
       customers < {K} OR retention_n BETWEEN 1 AND {K - 1} AS too_few,
       {TOLD}
  FROM valued
""",  # noqa: S608  # literals of this package
)
