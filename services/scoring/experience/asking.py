"""When did we last ask, whom did we not ask and why, and who answered?

One row for each touchpoint where customers were met, asked or heard, or that the catalogue defines. A
touchpoint that never asked is a row too, with never_asked, not a row that is missing. A request is answered
when feedback of the same source names it, whenever that came: requests of the last days may still be.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, share

SCORES = share(
    *("response_rate", "answered", "asked"),
    "Share of requests that were answered by the horizon (sample proportion)",
)

asking = Figure(
    name="asking",
    version=1,
    question="At each touchpoint, when were customers last asked, who was not asked and why, who answered?",
    keys={"touchpoint": Column("text", "Where the experience was.")},
    columns={
        "interactions": Column("bigint", "Meetings with customers (count)."),
        "asked": Column("bigint", "Times that customers were asked (count)."),
        "answered": Column("bigint", "Those that at least one feedback names (count)."),
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
    evidence="""
WITH answer AS (
  SELECT e.position AS request_position, array_agg(f.event_position) AS positions
    FROM known_feedback f
    JOIN event e ON e.tenant = f.tenant AND e.source = f.source AND e.event_id = f.request_id
   WHERE f.signal_index = 0
   GROUP BY e.position
)
SELECT touchpoint, 'interaction' AS step, occurred_at, false AS answered, ARRAY[event_position] AS events
  FROM known_interaction
UNION ALL
SELECT r.touchpoint, coalesce(r.reason, 'requested'), r.occurred_at, a.positions IS NOT NULL,
       r.event_position || a.positions
  FROM known_feedback_request r
  LEFT JOIN answer a ON a.request_position = r.event_position AND r.decision = 'requested'
""",
    sql=f"""
SELECT *, {selected(SCORES)}, asked = 0 AS never_asked,
       round(CASE WHEN last_asked_at < horizon THEN extract(epoch FROM horizon - last_asked_at) / 86400
                  WHEN asked > 0 THEN 0 END, 6) AS days_since_asked
  FROM (SELECT touchpoint,
               count(*) FILTER (WHERE step = 'interaction') AS interactions,
               count(*) FILTER (WHERE step = 'requested') AS asked,
               count(*) FILTER (WHERE answered) AS answered,
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
