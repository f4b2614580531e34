"""Left alone, assisted or advised: how satisfied are customers, and is what they came for done?

Interactions and CSAT answers about the whole by who did the work, as their sources say it; answers are
rescaled to 0 to 100 points as in csat/2. Solved is what ended completed or resolved, among interactions whose
outcome is known.
"""

from services.scoring.experience.figure import Figure, mean_columns, share_columns
from services.scoring.metric import Column

service_mode = Figure(
    name="service_mode",
    version=1,
    question="How do customers fare who serve themselves, are assisted, or are advised?",
    keys={
        "service_mode": Column("text", "Who did the work: self, assisted, advised or unspecified.")
    },
    columns={
        "interactions": Column("bigint", "Interactions of this mode."),
        "csat_n": Column("bigint", "CSAT answers about the whole, on any scale."),
        **mean_columns("csat_points", "Mean of these answers, 0 to 100 points (ISO 10004)"),
        "outcome_n": Column("bigint", "Interactions whose outcome is known."),
        **share_columns(
            "resolved_share",
            "Share of interactions with a known outcome that ended completed or resolved",
        ),
    },
    evidence="""
SELECT service_mode, outcome, NULL::numeric AS points, ARRAY[event_position] AS events
  FROM known_interaction
UNION ALL
SELECT service_mode, NULL, points, ARRAY[event_position]
  FROM csat_answer
""",
    sql="""
SELECT service_mode, interactions, csat_n, outcome_n,
       (total / NULLIF(csat_n, 0))::double precision AS csat_points,
       mean_bound(total, squares, csat_n, -1, 0) AS csat_points_lo,
       mean_bound(total, squares, csat_n, 1, 100) AS csat_points_hi,
       resolved::double precision / NULLIF(outcome_n, 0) AS resolved_share,
       wilson_lower(resolved, outcome_n) AS resolved_share_lo,
       wilson_upper(resolved, outcome_n) AS resolved_share_hi
  FROM (SELECT service_mode, count(outcome) AS interactions, count(points) AS csat_n,
               sum(points) AS total, sum(points * points) AS squares,
               count(*) FILTER (WHERE outcome <> 'unspecified') AS outcome_n,
               count(*) FILTER (WHERE outcome IN ('completed', 'resolved')) AS resolved
          FROM (VALUES ('self'), ('assisted'), ('advised'), ('unspecified')) AS mode (service_mode)
          LEFT JOIN evidence USING (service_mode)
         GROUP BY service_mode) AS modes
""",
)
