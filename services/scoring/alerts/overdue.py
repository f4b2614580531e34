"""Failures that were not put right in time, as counts that rules can watch.

In time is within the rule's grace: by when a failure's day is judged, each failure of that day has had as
long. A remedy or a closing puts right that occurred from the failure on, of the same correlation id (where
the failure has none, of the same customer's reference), or that people decided about the failure's
recovery case. One that came too late changes nothing; one that occurred in time and is recorded later takes
the alarm back.
"""

# In the place of a fact table.
FACTS = "failures"
COUNTS = {
    "recovery_failures": (FACTS, "sum(failed)"),
    "recovery_overdue": (FACTS, "sum(overdue)"),
}
# As points.BY_OCCURRED has facts: `begins` is from where on a row counts. A failure is overdue but for the
# positions at which something is known that put it right: of several such spans of positions, their union.
#
# Of steps that stand, only the one that was known first matters: for each failure the least position among
# the steps from it up to its grace, without a look at each pair of them. A grace long, this stretch of time
# begins in one block of that length and ends in the next one: the least is the lesser of the one of the first
# block's rest and of the next one's begin, and each of these runs along with the time. Only steps that were
# taken back (or moved to another time) are joined one by one, as far as they were known before.
DATED = """
WITH failure AS MATERIALIZED (
  SELECT event_position, from_position, to_position, occurred_at,
         coalesce(correlation_id, customer) AS episode
    FROM fact_recovery
   WHERE tenant = $1 AND step = 'failure'
), step AS MATERIALIZED (
  SELECT episode, occurred_at, lower(span) AS from_position, upper(span) AS to_position
    FROM (SELECT coalesce(correlation_id, customer) AS episode, occurred_at,
                 unnest(range_agg(int8range(from_position, to_position))) AS span
            FROM fact_recovery
           WHERE tenant = $1 AND step IN ('remedy', 'closed')
             AND coalesce(correlation_id, customer) IS NOT NULL
           GROUP BY 1, event_position, occurred_at) AS known
), standing AS MATERIALIZED (
  SELECT event_position, from_position, min(known_from) AS known_from
    FROM (SELECT event_position, from_position, part,
                 CASE part WHEN 'rest' THEN min(known_from) OVER (PARTITION BY episode, block
                                                                      ORDER BY occurred_at DESC)
                           WHEN 'begin' THEN min(known_from) OVER (PARTITION BY episode, block
                                                                       ORDER BY occurred_at) END AS known_from
            FROM (SELECT *, floor(extract(epoch FROM occurred_at) / {seconds}) AS block
                    FROM (SELECT NULL AS part, episode, occurred_at, from_position AS known_from,
                                 NULL::bigint AS event_position, NULL::bigint AS from_position
                            FROM step
                           WHERE to_position IS NULL
                          UNION ALL
                          SELECT 'rest', episode, occurred_at, NULL, event_position, from_position
                            FROM failure
                          UNION ALL
                          SELECT 'begin', episode, occurred_at + make_interval(secs => {seconds}), NULL,
                                 event_position, from_position
                            FROM failure) AS told) AS in_blocks) AS least
   WHERE part IS NOT NULL
   GROUP BY event_position, from_position
), put_right AS (
  SELECT event_position, from_position, known_from, NULL::bigint AS known_to
    FROM standing
   WHERE known_from IS NOT NULL
  UNION ALL
  SELECT f.event_position, f.from_position, s.from_position, s.to_position
    FROM failure f
    JOIN standing USING (event_position, from_position)
    JOIN step s USING (episode)
   WHERE s.to_position IS NOT NULL AND s.occurred_at >= f.occurred_at
     AND s.occurred_at <= f.occurred_at + make_interval(secs => {seconds})
     AND (s.from_position < standing.known_from) IS NOT FALSE
  UNION ALL
  SELECT f.event_position, f.from_position, d.position, NULL
    FROM failure f
    JOIN event e ON e.tenant = $1 AND e.position = f.event_position
    JOIN case_decision o ON o.tenant = e.tenant AND o.failure_source = e.source
                        AND o.failure_event_id = e.event_id AND o.decision = 'opened'
    JOIN case_decision d ON d.tenant = o.tenant AND d.case_id = o.case_id
                        AND d.decision IN ('remedied', 'closed') AND NOT d.of_event
   WHERE d.decided_at >= f.occurred_at
     AND d.decided_at <= f.occurred_at + make_interval(secs => {seconds})
)
SELECT touchpoint, stage, channel, service_mode, store, source, reporting_date AS day,
       from_position AS begins, to_position, 1 AS failed, 1 AS overdue
  FROM fact_recovery
 WHERE tenant = $1 AND step = 'failure'
UNION ALL
SELECT f.touchpoint, f.stage, f.channel, f.service_mode, f.store, f.source, f.reporting_date,
       lower(span), upper(span), 0, -1
  FROM fact_recovery f
  JOIN (SELECT f.event_position, f.from_position,
               range_agg(int8range(greatest(f.from_position, p.known_from),
                                   least(f.to_position, p.known_to))) AS known
          FROM failure f
          JOIN put_right p USING (event_position, from_position)
         WHERE (least(f.to_position, p.known_to) > greatest(f.from_position, p.known_from)) IS NOT FALSE
         GROUP BY f.event_position, f.from_position) AS in_time
    ON in_time.event_position = f.event_position AND in_time.from_position = f.from_position
 CROSS JOIN LATERAL unnest(in_time.known) AS span
 WHERE f.tenant = $1 AND f.step = 'failure'
"""
