"""Touchpoints that stop asking their customers, as counts that rules can watch.

Silence is a fact of the calendar: whether anybody asked in the N days that follow a day, N being the rule's
grace. It can begin on each day on which the touchpoint asked somebody, and on the first day on which anything
is known of its customers, so that one which never asks is told of, too. Those days are asking_due. Those of
them after which nobody was asked for N days are asking_lapsed: one for each silence, told once, when the N
days are over. A request that occurred in the N days and is recorded later takes the alarm back, and a
touchpoint that is retired by their end owes nothing. Where clocks are put back meanwhile, they end an hour
early.
"""

# In the place of a fact table.
FACTS = "asking"
COUNTS = {
    "asking_due": (FACTS, "sum(due)"),
    "asking_lapsed": (FACTS, "sum(lapsed)"),
}
# As points.BY_OCCURRED has facts: `begins` is from where on a row counts. Of each day of a touchpoint, at
# which positions of the journal it is known that somebody was asked, or met; so what was known at any
# position comes of adding and taking away such sets.
DATED = """
WITH of_day AS (
  SELECT touchpoint, day - date '1970-01-01' AS nth, day,
         coalesce(range_agg(known) FILTER (WHERE what = 'asked'), int8multirange()) AS asked,
         coalesce(range_agg(known) FILTER (WHERE what <> 'retired'), int8multirange()) AS met,
         coalesce(range_agg(known) FILTER (WHERE what = 'retired'), int8multirange()) AS retired
    FROM (SELECT touchpoint, reporting_date AS day, int8range(from_position, to_position) AS known,
                 CASE decision WHEN 'requested' THEN 'asked' ELSE 'met' END AS what
            FROM fact_feedback_request WHERE tenant = $1
          UNION ALL
          SELECT touchpoint, reporting_date, int8range(from_position, to_position), 'met'
            FROM fact_interaction WHERE tenant = $1
          UNION ALL
          SELECT d.touchpoint, (d.declared_at AT TIME ZONE t.reporting_zone)::date,
                 int8range(d.from_position, NULL), 'retired'
            FROM touchpoint_declaration d JOIN tenant t USING (tenant)
           WHERE d.tenant = $1 AND d.retired) AS told
   GROUP BY touchpoint, day
), silence AS (
  SELECT touchpoint, day,
         asked + (met - coalesce(range_agg(met) OVER (
           PARTITION BY touchpoint ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
           int8multirange())) AS due,
         coalesce(range_agg(asked) OVER (
           PARTITION BY touchpoint ORDER BY nth RANGE BETWEEN 1 FOLLOWING AND {days} FOLLOWING),
           int8multirange())
         + coalesce(range_agg(retired) OVER (
           PARTITION BY touchpoint ORDER BY nth RANGE BETWEEN CURRENT ROW AND {days} FOLLOWING),
           int8multirange()) AS ended
    FROM of_day
)
SELECT touchpoint, '' AS stage, '' AS channel, '' AS service_mode, '' AS store, '' AS source, day,
       lower(span) AS begins, upper(span) AS to_position, due, lapsed
  FROM (SELECT touchpoint, day, unnest(due) AS span, 1 AS due, 0 AS lapsed FROM silence
        UNION ALL
        SELECT touchpoint, day, unnest(due - ended), 0, 1 FROM silence) AS counted
"""
