"""What becomes of customers whom the company failed, by what it did about it: three outcomes, told apart.

One case for each failure. A step belongs to the last failure before it of the same correlation id or,
without one, of the same person; what people decided about the failure's case (remedy, gesture, closing) is
a step of that failure, at the time of the decision. Level: remedy where something was put right,
remedy_plus_gesture where there was a gesture, too, none where nothing was put right (a gesture alone puts
nothing right). It ended with the first closing or, where nothing was put right and nothing closed it, with
the failure itself.

Satisfaction: the last answer of the person before the failure and the first one after the end, or after the
remedy while it is not closed, to the survey after the recovery as to any other (CSAT or rating about the
whole, 0 to 100 points as in csat/2). Above 0, their difference is the service recovery paradox (McCollough
and Bharadwaj 1992). Praise: a public post whose sentiment is above the middle of its scale, by the
customer, within 14 days from the end on. Repurchase: a purchase (at the stage purchase, neither abandoned
nor failed) on another journey within 90 days after the end. Until these are over by the horizon a case is
pending, whatever is known of it. De Matos, Henrique and Rossi (2007) find the paradox in satisfaction and
neither in repurchase nor in word of mouth, so no outcome stands for another.

What fewer than five customers said or did is not told.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.experience.median import median_bounds, median_columns
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, mean, share

# 14 and 90 days. In hours: days would change with the session's zone where clocks are put forward.
PRAISE_WINDOW = "interval '336 hours'"
REPURCHASE_WINDOW = "interval '2160 hours'"

SATISFACTION = {
    name: score
    for measure, meaning, low in (
        ("pre_csat", "Mean of the last answer before the failure, 0 to 100 points", "0"),
        ("post_csat", "Mean of the first answer after the recovery, 0 to 100 points", "0"),
        (
            "srp_delta",
            "Mean of the answer after the recovery minus that before the failure, points of -100 to 100; "
            "above 0 is the service recovery paradox (McCollough and Bharadwaj 1992)",
            "-100",
        ),
    )
    for name, score in mean(
        *(measure, f"{measure}_sum", f"{measure}_squares", "answered_twice_told"),
        meaning,
        scale=(low, "100"),
    ).items()
}
PRAISE = share(
    *("trumpeter_14d", "praised", "trumpeter_14d_told"),
    "Share of customers who praise in public within 14 days of the end, among those whose 14 days are over",
)
REPURCHASE = share(
    *("repurchase_90d", "bought", "repurchase_90d_told"),
    "Share of customers who buy again within 90 days of the end, among those whose 90 days are over",
)

CLOSE_LO, CLOSE_HI = median_bounds("hours")
FEW_CLOSED = f"closed_customers < {K}"

recovery = Figure(
    name="recovery",
    version=1,
    question="After a failure, what do remedy and gesture do to satisfaction, public praise and repurchase?",
    keys={
        "recovery_level": Column(
            "text", "none, remedy or remedy_plus_gesture: what was done about the failure so far."
        )
    },
    columns={
        "failures": Column("bigint", "Failures that this was done about (count)."),
        "closed": Column("bigint", "Those whose recovery was closed (count)."),
        **median_columns(
            "hours_to_close", "Median hours from the failure to the closing, of those closed"
        ),
        "answered_twice": Column(
            "bigint",
            "Failures with an answer before and one after: of these are the means (count).",
        ),
        **columns(SATISFACTION),
        "trumpeter_14d_settled": Column(
            "bigint", "Ended failures of known customers whose 14 days are over (count)."
        ),
        "trumpeter_14d_pending": Column(
            "bigint", "Ended failures whose 14 days are not over yet, in no share (count)."
        ),
        **columns(PRAISE),
        "repurchase_90d_settled": Column(
            "bigint", "Ended failures of known customers whose 90 days are over (count)."
        ),
        "repurchase_90d_pending": Column(
            "bigint", "Ended failures whose 90 days are not over yet, in no share (count)."
        ),
        **columns(REPURCHASE),
        "too_few": Column(
            "boolean",
            f"Of hours, means, praise and repurchase, what rests on fewer than {K} customers is NULL.",
        ),
    },
    evidence=f"""
WITH episode AS (
  SELECT *, CASE WHEN remedied_at IS NULL THEN 'none' WHEN gesture_at IS NULL THEN 'remedy'
                 ELSE 'remedy_plus_gesture' END AS recovery_level,
         coalesce(closed_at, CASE WHEN remedied_at IS NULL THEN failed_at END) AS ended_at,
         coalesce(closed_at, remedied_at, failed_at) AS felt_after
    FROM recovery_episode
), before AS (
  SELECT DISTINCT ON (failure_position) failure_position, points, a.event_position
    FROM episode JOIN journey_answer a USING (person)
   WHERE a.occurred_at < failed_at
   ORDER BY failure_position, a.occurred_at DESC, a.event_position DESC, a.signal_index DESC
), after AS (
  SELECT DISTINCT ON (failure_position) failure_position, points, a.event_position
    FROM episode JOIN journey_answer a USING (person)
   WHERE a.occurred_at > felt_after
   ORDER BY failure_position, a.occurred_at, a.event_position, a.signal_index
), praise AS (
  SELECT DISTINCT ON (failure_position) failure_position, p.event_position
    FROM episode JOIN known_public_post p USING (person)
   WHERE p.occurred_at >= ended_at AND p.occurred_at < ended_at + {PRAISE_WINDOW} AND NOT p.by_company
     AND CASE WHEN p.higher_is_better THEN 2 * p.sentiment > p.scale_min + p.scale_max
              ELSE 2 * p.sentiment < p.scale_min + p.scale_max END
   ORDER BY failure_position, p.occurred_at, p.event_position
), purchase AS (
  SELECT DISTINCT ON (failure_position) failure_position, i.event_position
    FROM episode JOIN journey_touch i USING (person)
   WHERE i.paid AND i.occurred_at > ended_at AND i.occurred_at < ended_at + {REPURCHASE_WINDOW}
     AND (i.correlation_id = episode.correlation_id) IS NOT TRUE
   ORDER BY failure_position, i.occurred_at, i.event_position
)
SELECT e.recovery_level, coalesce(e.person, e.failure_position::text) AS customer,
       extract(epoch FROM e.closed_at - e.failed_at) / 3600 AS hours_to_close,
       before.points AS pre_csat, after.points AS post_csat, after.points - before.points AS srp_delta,
       CASE WHEN e.person IS NULL OR e.ended_at IS NULL THEN NULL
            WHEN e.ended_at + {PRAISE_WINDOW} > m.horizon THEN 'pending'
            WHEN praise.event_position IS NULL THEN 'no' ELSE 'yes' END AS praised,
       CASE WHEN e.person IS NULL OR e.ended_at IS NULL THEN NULL
            WHEN e.ended_at + {REPURCHASE_WINDOW} > m.horizon THEN 'pending'
            WHEN purchase.event_position IS NULL THEN 'no' ELSE 'yes' END AS bought,
       e.positions || array_remove(ARRAY[before.event_position, after.event_position, praise.event_position,
                                         purchase.event_position], NULL) AS events
  FROM episode e
 CROSS JOIN moments m
  LEFT JOIN before USING (failure_position)
  LEFT JOIN after USING (failure_position)
  LEFT JOIN praise USING (failure_position)
  LEFT JOIN purchase USING (failure_position)
""",  # noqa: S608  # literals of this module
    sql=f"""
WITH counted AS (
  SELECT recovery_level, count(events) AS failures, count(hours_to_close) AS closed,
         percentile_cont(0.5) WITHIN GROUP (ORDER BY hours_to_close::double precision) AS hours_to_close,
         array_agg(hours_to_close::double precision ORDER BY hours_to_close)
           FILTER (WHERE hours_to_close IS NOT NULL) AS hours,
         count(DISTINCT customer) FILTER (WHERE hours_to_close IS NOT NULL) AS closed_customers,
         count(srp_delta) AS answered_twice,
         count(DISTINCT customer) FILTER (WHERE srp_delta IS NOT NULL) AS answered_customers,
         sum(pre_csat) FILTER (WHERE srp_delta IS NOT NULL) AS pre_csat_sum,
         sum(pre_csat * pre_csat) FILTER (WHERE srp_delta IS NOT NULL) AS pre_csat_squares,
         sum(post_csat) FILTER (WHERE srp_delta IS NOT NULL) AS post_csat_sum,
         sum(post_csat * post_csat) FILTER (WHERE srp_delta IS NOT NULL) AS post_csat_squares,
         sum(srp_delta) AS srp_delta_sum, sum(srp_delta * srp_delta) AS srp_delta_squares,
         count(*) FILTER (WHERE praised IN ('yes', 'no')) AS trumpeter_14d_settled,
         count(*) FILTER (WHERE praised = 'pending') AS trumpeter_14d_pending,
         count(*) FILTER (WHERE praised = 'yes') AS praised,
         count(DISTINCT customer) FILTER (WHERE praised IN ('yes', 'no')) AS praise_customers,
         count(*) FILTER (WHERE bought IN ('yes', 'no')) AS repurchase_90d_settled,
         count(*) FILTER (WHERE bought = 'pending') AS repurchase_90d_pending,
         count(*) FILTER (WHERE bought = 'yes') AS bought,
         count(DISTINCT customer) FILTER (WHERE bought IN ('yes', 'no')) AS bought_customers
    FROM (VALUES ('none'), ('remedy'), ('remedy_plus_gesture')) AS level (recovery_level)
    LEFT JOIN evidence USING (recovery_level)
   GROUP BY recovery_level
), told AS (
  SELECT *, CASE WHEN answered_customers >= {K} THEN answered_twice END AS answered_twice_told,
         CASE WHEN praise_customers >= {K} THEN trumpeter_14d_settled END AS trumpeter_14d_told,
         CASE WHEN bought_customers >= {K} THEN repurchase_90d_settled END AS repurchase_90d_told
    FROM counted
)
SELECT recovery_level, failures, closed,
       {kept_back("hours_to_close", few=FEW_CLOSED)},
       {kept_back("hours_to_close_lo", CLOSE_LO, few=FEW_CLOSED)},
       {kept_back("hours_to_close_hi", CLOSE_HI, few=FEW_CLOSED)},
       answered_twice, {selected(SATISFACTION)},
       trumpeter_14d_settled, trumpeter_14d_pending, {selected(PRAISE)},
       repurchase_90d_settled, repurchase_90d_pending, {selected(REPURCHASE)},
       closed > 0 AND closed_customers < {K}
       OR answered_twice > 0 AND answered_customers < {K}
       OR trumpeter_14d_settled > 0 AND praise_customers < {K}
       OR repurchase_90d_settled > 0 AND bought_customers < {K} AS too_few
  FROM told
""",  # noqa: S608
)
