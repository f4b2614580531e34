"""Failures that were not put right in time, as counts that rules can watch.

In time is within the rule's grace: by when a failure's day is judged, each failure of that day has had as
long. A remedy or a closing puts right that occurred from the failure on, of the same correlation id (where
the failure has none, of the same customer's reference), or that was decided about the failure's recovery
case. One that came too late changes nothing; one that occurred in time and is recorded later takes the
alarm back.
"""

# In the place of a fact table.
FACTS = "failures"
COUNTS = {
    "recovery_failures": (FACTS, "sum(failed)"),
    "recovery_overdue": (FACTS, "sum(overdue)"),
}
# As points.BY_OCCURRED has facts: `begins` is from where on a row counts. A failure is overdue but for the
# positions at which something is known that put it right: of several such spans of positions, their union.
DATED = """
SELECT touchpoint, stage, channel, service_mode, store, source, reporting_date AS day,
       from_position AS begins, to_position, 1 AS failed, 1 AS overdue
  FROM fact_recovery
 WHERE tenant = $1 AND step = 'failure'
UNION ALL
SELECT f.touchpoint, f.stage, f.channel, f.service_mode, f.store, f.source, f.reporting_date,
       lower(span), upper(span), 0, -1
  FROM fact_recovery f
  JOIN (SELECT f.event_position, f.from_position,
               range_agg(int8range(greatest(f.from_position, d.from_position),
                                   least(f.to_position, d.to_position))) AS known
          FROM fact_recovery f
          JOIN (SELECT r.event_position AS failure_position, d.occurred_at, d.from_position, d.to_position
                  FROM fact_recovery r
                  JOIN fact_recovery d ON d.tenant = r.tenant
                                      AND coalesce(d.correlation_id, d.customer)
                                        = coalesce(r.correlation_id, r.customer)
                 WHERE r.tenant = $1 AND r.step = 'failure' AND d.step IN ('remedy', 'closed')
                UNION ALL
                SELECT e.position, d.decided_at, d.position, NULL
                  FROM case_decision o
                  JOIN event e ON e.tenant = o.tenant AND e.source = o.failure_source
                              AND e.event_id = o.failure_event_id
                  JOIN case_decision d ON d.tenant = o.tenant AND d.case_id = o.case_id
                 WHERE o.tenant = $1 AND o.decision = 'opened' AND d.decision IN ('remedied', 'closed')
               ) AS d ON d.failure_position = f.event_position
         WHERE f.tenant = $1 AND f.step = 'failure' AND d.occurred_at >= f.occurred_at
           AND d.occurred_at <= f.occurred_at + make_interval(secs => {seconds})
           AND (least(f.to_position, d.to_position) > greatest(f.from_position, d.from_position))
               IS NOT FALSE
         GROUP BY f.event_position, f.from_position) AS in_time
    ON in_time.event_position = f.event_position AND in_time.from_position = f.from_position
 CROSS JOIN LATERAL unnest(in_time.known) AS span
 WHERE f.tenant = $1
"""
