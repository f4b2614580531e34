"""Does self-service serve, or does it leak to staff? One row for each touchpoint where customers serve
themselves.

A use is an interaction with service mode "self". It is contained when the same person has no contact with
staff within 24 hours after its beginning: no interaction, of any source, with service mode "assisted" or
"advised" through phone, chat or store. A use that the customer gave up (abandoned) or that failed leaks when
there is one. What happens in the 24 hours is known once they have passed by the horizon; until then a use is
pending and in no share, whatever is known before. Of whom nobody knows who it was, nobody knows who called:
such a use is in no share either.

Satisfaction with what customers did by themselves stands beside that with what staff did (assisted, advised)
on the same stages of the journey; CSAT answers about the whole, rescaled to 0 to 100 points as in csat/2.
"""

from services.scoring.experience.figure import Figure, mean_columns, share_columns
from services.scoring.metric import Column

# In hours: days would change with the session's zone where clocks are put forward.
WINDOW = "interval '24 hours'"

self_service = Figure(
    name="self_service",
    version=1,
    question="Where do customers serve themselves to the end, and where do they turn to staff?",
    keys={"touchpoint": Column("text", "Where customers serve themselves.")},
    columns={
        "started": Column("bigint", "Interactions where the customer alone did the work: uses."),
        "completed": Column("bigint", "Uses that ended completed or resolved."),
        "returned": Column("bigint", "Uses that ended with goods or money going back."),
        "abandoned": Column("bigint", "Uses that the customer gave up."),
        "failed": Column("bigint", "Uses that did not work."),
        "anonymous": Column("bigint", "Uses of nobody knows whom, in no share."),
        "pending": Column(
            "bigint", "Uses of known persons less than 24 hours before the horizon, in no share."
        ),
        "settled": Column("bigint", "Uses of known persons whose 24 hours are over."),
        "contained": Column("bigint", "Those without a contact with staff within the 24 hours."),
        **share_columns(
            "containment_rate", "Share of settled uses without a contact with staff within 24 hours"
        ),
        "given_up": Column("bigint", "Settled uses that were abandoned or failed."),
        "leak_24h": Column("bigint", "Those with a contact with staff within the 24 hours."),
        **share_columns(
            "leak_rate",
            "Share of settled abandoned or failed uses with a contact with staff within 24 hours",
        ),
        "csat_n": Column("bigint", "CSAT answers about self-service at the touchpoint."),
        **mean_columns("csat_points", "Mean of these answers, 0 to 100 points (ISO 10004)"),
        "staff_csat_n": Column(
            "bigint", "CSAT answers about assisted or advised service on the same stages."
        ),
        **mean_columns("staff_csat_points", "Mean of these answers, 0 to 100 points (ISO 10004)"),
    },
    evidence=f"""
WITH contact AS (
  SELECT person, occurred_at, min(event_position) AS event_position
    FROM known_interaction
   WHERE service_mode IN ('assisted', 'advised') AND channel IN ('phone', 'chat', 'store')
     AND person IS NOT NULL
   GROUP BY person, occurred_at
), met AS (
  SELECT event_position, person, occurred_at, NULL::timestamptz AS contact_at
    FROM known_interaction
   WHERE service_mode = 'self' AND person IS NOT NULL
  UNION ALL
  SELECT NULL, person, occurred_at, occurred_at FROM contact
), followed AS (
  -- The first contact of all that come later: backwards, so that each row adds one.
  SELECT event_position, person,
         min(contact_at) OVER (PARTITION BY person ORDER BY occurred_at DESC
                               RANGE BETWEEN UNBOUNDED PRECEDING AND interval '1 microsecond' PRECEDING)
             AS contact_at
    FROM met
), self_stage AS (
  SELECT DISTINCT touchpoint, stage FROM known_interaction WHERE service_mode = 'self'
)
SELECT i.touchpoint, 'use' AS kind, i.outcome, i.person IS NOT NULL AS identified,
       i.occurred_at + {WINDOW} <= m.horizon AS settled, c.event_position IS NOT NULL AS leaked,
       NULL::numeric AS points, array_remove(ARRAY[i.event_position, c.event_position], NULL) AS events
  FROM known_interaction i
 CROSS JOIN moments m
  LEFT JOIN followed f ON f.event_position = i.event_position
  LEFT JOIN contact c ON c.person = f.person AND c.occurred_at = f.contact_at
                     AND c.occurred_at < i.occurred_at + {WINDOW}
 WHERE i.service_mode = 'self'
UNION ALL
SELECT touchpoint, 'self', NULL, NULL, NULL, NULL, points, ARRAY[event_position]
  FROM csat_answer
 WHERE service_mode = 'self' AND touchpoint IN (SELECT touchpoint FROM self_stage)
UNION ALL
SELECT s.touchpoint, 'staff', NULL, NULL, NULL, NULL, a.points, ARRAY[a.event_position]
  FROM csat_answer a
  JOIN self_stage s ON s.stage = a.stage
 WHERE a.service_mode IN ('assisted', 'advised')
""",  # noqa: S608  # a constant of this module
    sql="""
WITH counted AS (
  SELECT touchpoint, count(*) FILTER (WHERE kind = 'use') AS started,
         count(*) FILTER (WHERE outcome IN ('completed', 'resolved')) AS completed,
         count(*) FILTER (WHERE outcome = 'returned') AS returned,
         count(*) FILTER (WHERE outcome = 'abandoned') AS abandoned,
         count(*) FILTER (WHERE outcome = 'failed') AS failed,
         count(*) FILTER (WHERE NOT identified) AS anonymous,
         count(*) FILTER (WHERE identified AND NOT settled) AS pending,
         count(*) FILTER (WHERE identified AND settled) AS settled,
         count(*) FILTER (WHERE identified AND settled AND NOT leaked) AS contained,
         count(*) FILTER (WHERE identified AND settled AND outcome IN ('abandoned', 'failed')) AS given_up,
         count(*) FILTER (WHERE identified AND settled AND outcome IN ('abandoned', 'failed') AND leaked)
             AS leak_24h,
         count(*) FILTER (WHERE kind = 'self') AS csat_n,
         sum(points) FILTER (WHERE kind = 'self') AS csat_total,
         sum(points * points) FILTER (WHERE kind = 'self') AS csat_squares,
         count(*) FILTER (WHERE kind = 'staff') AS staff_csat_n,
         sum(points) FILTER (WHERE kind = 'staff') AS staff_csat_total,
         sum(points * points) FILTER (WHERE kind = 'staff') AS staff_csat_squares
    FROM evidence
   GROUP BY touchpoint
)
SELECT *, contained::double precision / NULLIF(settled, 0) AS containment_rate,
       wilson_lower(contained, settled) AS containment_rate_lo,
       wilson_upper(contained, settled) AS containment_rate_hi,
       leak_24h::double precision / NULLIF(given_up, 0) AS leak_rate,
       wilson_lower(leak_24h, given_up) AS leak_rate_lo,
       wilson_upper(leak_24h, given_up) AS leak_rate_hi,
       (csat_total / csat_n)::double precision AS csat_points,
       mean_bound(csat_total, csat_squares, csat_n, -1, 0) AS csat_points_lo,
       mean_bound(csat_total, csat_squares, csat_n, 1, 100) AS csat_points_hi,
       (staff_csat_total / staff_csat_n)::double precision AS staff_csat_points,
       mean_bound(staff_csat_total, staff_csat_squares, staff_csat_n, -1, 0) AS staff_csat_points_lo,
       mean_bound(staff_csat_total, staff_csat_squares, staff_csat_n, 1, 100) AS staff_csat_points_hi
  FROM counted
""",
)
