"""When did we last ask, whom did we not ask and why, and who answered?

One row for each touchpoint where customers were met, asked or heard, or that the catalogue defines. A
touchpoint that never asked is a row too, with never_asked, not a row that is missing.

A request is answered when feedback of the same source names it that came within 14 days (336 hours). Until
these are over by the horizon it is pending, answered or not, and in no rate: an invitation of yesterday is no
refusal yet, and to count the quick answers alone would flatter. A response rate is of a field period that is
over (AAPOR, Standard Definitions); that it is of 14 days is a choice of this version. What comes later is an
answer everywhere but here.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, share

# In hours: days would change with the session's zone where clocks are put forward.
WINDOW = "interval '336 hours'"
SCORES = share(
    *("response_rate", "answered", "settled"),
    "Share of requests whose 14 days are over that were answered within them (AAPOR)",
)

asking = Figure(
    name="asking",
    version=2,
    question="At each touchpoint, when were customers last asked, who was not asked and why, who answered?",
    keys={"touchpoint": Column("text", "Where the experience was.")},
    columns={
        "interactions": Column("bigint", "Meetings with customers (count)."),
        "asked": Column("bigint", "Times that customers were asked (count)."),
        "pending": Column(
            "bigint", "Those whose 14 days are not over by the horizon, in no rate (count)."
        ),
        "answered": Column(
            "bigint",
            "Of the others, those that at least one feedback within 14 days names (count).",
        ),
        **columns(SCORES),
        "last_asked_at": Column("timestamptz", "When a customer was last asked; NULL for never."),
        "days_since_asked": Column(
            "numeric",
            "Days of 24 hours from then to the horizon, 0 where that is before it; NULL for never.",
        ),
        "never_asked": Column("boolean", "Nobody was ever asked."),
        "suppressed": Column("bigint", "Times that customers were deliberately not asked (count)."),
        "suppressed_opt_out": Column("bigint", "Those because the customer does not want to be."),
        "suppressed_sampling": Column("bigint", "Those because only a sample is asked (count)."),
        "suppressed_asked_lately": Column("bigint", "Those because he was asked lately (count)."),
        "suppressed_other": Column("bigint", "Those for any other reason (count)."),
    },
    # An answer is tied to its request by the id that the request's source gave it.
    evidence=f"""
WITH answer AS (
  SELECT r.event_position AS request_position, array_agg(f.event_position) AS positions
    FROM known_feedback f
    JOIN event e ON e.tenant = f.tenant AND e.source = f.source AND e.event_id = f.request_id
    JOIN known_feedback_request r ON r.event_position = e.position
   WHERE f.signal_index = 0 AND r.decision = 'requested' AND f.occurred_at < r.occurred_at + {WINDOW}
   GROUP BY r.event_position
)
SELECT touchpoint, 'interaction' AS step, occurred_at, false AS pending, false AS answered,
       ARRAY[event_position] AS events
  FROM known_interaction
UNION ALL
SELECT r.touchpoint, coalesce(r.reason, 'requested'), r.occurred_at, r.occurred_at + {WINDOW} > m.horizon,
       a.positions IS NOT NULL, r.event_position || a.positions
  FROM known_feedback_request r
 CROSS JOIN moments m
  LEFT JOIN answer a ON a.request_position = r.event_position
""",  # noqa: S608  # a literal of this module
    sql=f"""
SELECT *, {selected(SCORES)}, asked = 0 AS never_asked,
       round(CASE WHEN last_asked_at < horizon THEN extract(epoch FROM horizon - last_asked_at) / 86400
                  WHEN asked > 0 THEN 0 END, 6) AS days_since_asked
  FROM (SELECT touchpoint,
               count(*) FILTER (WHERE step = 'interaction') AS interactions,
               count(*) FILTER (WHERE step = 'requested') AS asked,
               count(*) FILTER (WHERE step = 'requested' AND pending) AS pending,
               count(*) FILTER (WHERE step = 'requested' AND NOT pending) AS settled,
               count(*) FILTER (WHERE answered AND NOT pending) AS answered,
               max(occurred_at) FILTER (WHERE step = 'requested') AS last_asked_at,
               count(*) FILTER (WHERE step NOT IN ('interaction', 'requested')) AS suppressed,
               count(*) FILTER (WHERE step = 'opt_out') AS suppressed_opt_out,
               count(*) FILTER (WHERE step = 'sampling') AS suppressed_sampling,
               count(*) FILTER (WHERE step = 'asked_lately') AS suppressed_asked_lately,
               count(*) FILTER (WHERE step NOT IN ('interaction', 'requested', 'opt_out', 'sampling',
                                                   'asked_lately')) AS suppressed_other
          FROM known_touchpoint LEFT JOIN evidence USING (touchpoint)
         GROUP BY touchpoint) AS sums
 CROSS JOIN moments
""",  # noqa: S608  # literals of this package, as in the other figures
)
