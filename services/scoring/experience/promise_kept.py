"""Was what customers were told to expect by a moment done by then? Counted from events alone, per touchpoint.

Promises are those of derived/promise.py: expectations with a moment, or a time from when they were stated, of
customers whom the source names. One is fulfilled by the person's first interaction at its touchpoint from
when it was stated on, on the same journey where it names one, that did not end abandoned, transferred, failed
or returned. One whose moment the horizon has not passed is pending, even if it is fulfilled already.
"""

from services.scoring.experience.figure import Figure
from services.scoring.metric import Column

promise_kept = Figure(
    name="promise_kept",
    version=1,
    question="Which promises with a moment are kept, and which are broken?",
    keys={
        "touchpoint": Column("text", "Where it was to be done."),
        "basis": Column("text", "What customers rely on: survey, promise, sla or unspecified."),
    },
    columns={
        "promises": Column("bigint", "Promises whose moment has passed."),
        "kept": Column("bigint", "Those that were fulfilled by then."),
        "broken": Column("bigint", "Those that were not: kept and broken add up to promises."),
        "late": Column("bigint", "Those of the broken that were fulfilled later."),
        "pending": Column("bigint", "Promises whose moment is still to come, in no share yet."),
        "promise_kept_rate": Column(
            "double precision", "Share of kept in promises, 0 to 1; NULL while none has passed."
        ),
        "promise_kept_rate_lo": Column(
            "double precision", "Lower bound of it: score interval, 95 % (Wilson 1927)."
        ),
        "promise_kept_rate_hi": Column(
            "double precision", "Upper bound of it: score interval, 95 % (Wilson 1927)."
        ),
    },
    evidence="""
WITH promised AS (
  SELECT event_position, person, touchpoint, basis, correlation_id, occurred_at,
         coalesce(due_at, occurred_at + make_interval(secs => within_seconds::double precision)) AS due
    FROM known_expectation
   WHERE person IS NOT NULL AND (due_at IS NOT NULL OR within_seconds IS NOT NULL)
), fulfilled AS (
  SELECT DISTINCT ON (p.event_position) p.event_position, i.event_position AS interaction_position,
         i.occurred_at
    FROM promised p
    JOIN known_interaction i ON i.person = p.person AND i.touchpoint = p.touchpoint
                            AND i.occurred_at >= p.occurred_at
                            AND (p.correlation_id IS NULL OR i.correlation_id = p.correlation_id)
   WHERE i.outcome NOT IN ('abandoned', 'transferred', 'failed', 'returned')
   ORDER BY p.event_position, i.occurred_at, i.event_position
)
SELECT p.touchpoint, p.basis,
       CASE WHEN NOT p.due < m.horizon THEN 'pending' WHEN f.occurred_at <= p.due THEN 'kept'
            WHEN f.occurred_at IS NOT NULL THEN 'late' ELSE 'never' END AS came,
       array_remove(ARRAY[p.event_position, f.interaction_position], NULL) AS events
  FROM promised p
 CROSS JOIN moments m
  LEFT JOIN fulfilled f USING (event_position)
""",
    sql="""
SELECT touchpoint, basis, promises, kept, promises - kept AS broken, late, pending,
       kept::double precision / NULLIF(promises, 0) AS promise_kept_rate,
       wilson_lower(kept, promises) AS promise_kept_rate_lo,
       wilson_upper(kept, promises) AS promise_kept_rate_hi
  FROM (SELECT touchpoint, basis, count(*) FILTER (WHERE came <> 'pending') AS promises,
               count(*) FILTER (WHERE came = 'kept') AS kept,
               count(*) FILTER (WHERE came = 'late') AS late,
               count(*) FILTER (WHERE came = 'pending') AS pending
          FROM evidence
         GROUP BY touchpoint, basis) AS counted
""",
)
