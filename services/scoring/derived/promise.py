"""Promises with a moment: was what a customer was told to expect by then done by then?

One row for each expectation with a moment (due_at) or a time from when it was stated (within_seconds). It is
fulfilled by the person's first interaction at its touchpoint from when it was stated on, about the same
journey where the expectation names one, that did not end abandoned, transferred, failed or returned.

A promise counts once its moment has passed by the horizon; until then it is pending, even if it is fulfilled
already: to count those that were fulfilled early, and leave out those that are still open, would flatter.
"""

from services.scoring.identity import WITH_PEOPLE
from services.scoring.metric import Column, Derived, Sum, share

SQL = f"""
{WITH_PEOPLE}, stated AS (
  SELECT f.*, coalesce(p.person, f.customer) AS person,
         coalesce(f.due_at,
                  f.occurred_at + make_interval(secs => f.within_seconds::double precision)) AS due
    FROM fact_expectation f
    LEFT JOIN people p ON p.customer = f.customer
   WHERE f.tenant = $1 AND f.from_position <= $2 AND (f.to_position IS NULL OR f.to_position > $2)
     AND f.customer IS NOT NULL AND (f.due_at IS NOT NULL OR f.within_seconds IS NOT NULL)
), done AS (
  SELECT coalesce(p.person, i.customer) AS person, i.touchpoint, i.correlation_id, i.occurred_at
    FROM fact_interaction i
    LEFT JOIN people p ON p.customer = i.customer
   WHERE i.tenant = $1 AND i.from_position <= $2 AND (i.to_position IS NULL OR i.to_position > $2)
     AND i.outcome NOT IN ('abandoned', 'transferred', 'failed', 'returned')
), fulfilled AS (
  SELECT s.event_position, min(d.occurred_at) AS at
    FROM stated s
    JOIN done d ON d.person = s.person AND d.touchpoint = s.touchpoint AND d.occurred_at >= s.occurred_at
               AND (s.correlation_id IS NULL OR d.correlation_id = s.correlation_id)
   GROUP BY s.event_position
)
SELECT s.tenant, s.event_position, s.occurred_at, s.occurred_date, s.reporting_date, s.touchpoint, s.stage,
       s.channel, s.service_mode, s.store, s.source, s.staff, s.customer, s.correlation_id,
       s.basis, s.dimension, s.due AS due_at, f.at AS fulfilled_at
  FROM stated s
  LEFT JOIN fulfilled f USING (event_position)
"""  # noqa: S608  # a literal

promise = Derived(
    name="promise",
    version=1,
    sql=SQL,
    columns={
        "basis": Column("text", "survey, promise, sla or unspecified."),
        "dimension": Column("text", "What is expected; NULL is the whole."),
        "due_at": Column("timestamptz", "Done by this moment, it is kept."),
        "fulfilled_at": Column(
            "timestamptz", "When it was done; NULL while it is not known to be."
        ),
    },
    meaning="What a customer was told to expect by a moment, and when it was done.",
    sums={
        "promises": Sum(
            "count(*) FILTER (WHERE due_at < horizon)", "Promises whose moment has passed."
        ),
        "promises_kept": Sum(
            "count(*) FILTER (WHERE due_at < horizon AND fulfilled_at <= due_at)",
            "Those that were fulfilled by then.",
        ),
        "promises_late": Sum(
            "count(*) FILTER (WHERE due_at < horizon AND fulfilled_at > due_at"
            " AND fulfilled_at < occurred_before)",
            "Those that were fulfilled later.",
        ),
        "promises_pending": Sum(
            "count(*) FILTER (WHERE NOT due_at < horizon)",
            "Promises whose moment is still to come, in no score yet.",
        ),
    },
    scores=share(
        *("promise_kept_share", "promises_kept", "promises"),
        "Share of promises that were fulfilled in time, among those whose moment has passed (sample"
        " proportion)",
    ),
)
