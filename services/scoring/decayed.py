"""CSAT of late: answers weigh half as much for every 30 days of age, and it says how many answers that is
worth.

Weight w = 2^(-age / 30 days); mean Σw·x / Σw; n_eff = (Σw)² / Σw² (Kish 1965). Age is measured in days of
the tenant's reporting zone from the day that is asked for, never from now. Weights are numerics of 20
decimals, the sums of them are exact, so the same question has the same answer to the last bit.
"""

from services.scoring.metric import Z

HALF_LIFE_DAYS = 30
# Sixty half-lives: what is older weighs less than 1e-18 of an answer of the day.
AGE_DAYS_MAX = 60 * HALF_LIFE_DAYS

# Or another relation with tenant, reporting_date, the group and the sums of csat, as of a position, say.
ROLLUP = "rollup_touchpoint_day"


def decayed(group: str = "touchpoint", daily: str = ROLLUP) -> str:
    """A query: $1 tenant, $2 the day (date), $3 one group or NULL for all. Later days do not count.

    csat_decayed_lo and _hi: normal interval with n_eff in the place of n, 95 %, within 1 to 5; NULL unless it
    is more than one answer's worth.
    """
    return f"""
WITH daily AS (
  SELECT {group} AS grp, $2::date - reporting_date AS age,
         sum(csat_answered) AS n, sum(csat_sum) AS total, sum(csat_squares) AS squares
    FROM {daily} AS given
   WHERE tenant = $1 AND reporting_date <= $2::date AND reporting_date > $2::date - {AGE_DAYS_MAX}
     AND csat_answered > 0 AND ($3::text IS NULL OR {group} = $3)
   GROUP BY 1, 2
), weights AS (
  SELECT age, round(power(2::numeric, -age::numeric / {HALF_LIFE_DAYS}), 20) AS w
    FROM (SELECT DISTINCT age FROM daily) AS ages
), sums AS (
  SELECT grp, sum(n)::bigint AS answered, sum(w * n) AS weight, sum(w * w * n) AS weight_squares,
         sum(w * total) AS total, sum(w * squares) AS squares
    FROM daily JOIN weights USING (age)
   GROUP BY grp
), scores AS (
  SELECT grp, answered, (total / weight)::double precision AS mean,
         (weight * weight / weight_squares)::double precision AS n_eff,
         -- Exact: Σw·Σwx² - (Σwx)² is never below 0.
         sqrt((weight * squares - total * total)::double precision) / weight::double precision AS deviation
    FROM sums
)
SELECT grp, answered AS csat_answered, mean AS csat_decayed, n_eff AS csat_decayed_n_eff,
       CASE WHEN n_eff > 1 THEN greatest(1, mean - {Z} * deviation / sqrt(n_eff - 1)) END AS csat_decayed_lo,
       CASE WHEN n_eff > 1 THEN least(5, mean + {Z} * deviation / sqrt(n_eff - 1)) END AS csat_decayed_hi
  FROM scores
 ORDER BY grp COLLATE "C"
"""  # noqa: S608  # names of columns and relations of this package
