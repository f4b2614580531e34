"""How do customers fare with each variant of the job's design? Nobody's age is known, nor anything else
personal.

Interactions that name a member of staff, by how the work was cut for that member at the time. A CSAT answer
about the whole, rescaled to 0 to 100 points as in csat/2, belongs to whoever served in the interaction that
it is about, as the job was cut then; where that is not known, to the member of staff that the answer itself
names. Members are told apart by source and reference.
"""

from services.scoring.experience.figure import Figure, K, mean_columns, persons, share_columns
from services.scoring.metric import Column

job_design = Figure(
    name="job_design",
    version=2,
    question="With which design of the job are customers most satisfied, and most often helped?",
    keys={
        "job_design": Column(
            "text", "Variant of the job's design; unspecified where no profile says it."
        )
    },
    columns={
        "staff": Column("bigint", "Members of staff who worked so."),
        "too_few": Column(
            "boolean",
            f"Of the means and shares, what is of fewer than {K} members of staff, or of customers, is NULL.",
        ),
        "interactions": Column("bigint", "Interactions with them."),
        "csat_n": Column("bigint", "CSAT answers about the whole, on any scale."),
        **mean_columns("csat_points", "Mean of these answers, 0 to 100 points (ISO 10004)"),
        "outcome_n": Column("bigint", "Interactions whose outcome is known."),
        **share_columns(
            "resolved_share",
            "Share of interactions with a known outcome that ended completed or resolved",
        ),
    },
    evidence="""
SELECT s.job_design, s.source, s.staff, i.outcome, NULL::numeric AS points, i.person,
       array_remove(ARRAY[i.event_position, s.profile_position], NULL) AS events
  FROM staff_at s
  JOIN known_interaction i ON i.event_position = s.event_position
 WHERE s.kind = 'interaction'
UNION ALL
SELECT s.job_design, s.source, s.staff, NULL, a.points, a.person,
       array_remove(ARRAY[a.event_position, s.interaction_position, s.profile_position], NULL)
  FROM served_by s
  JOIN csat_answer a ON a.event_position = s.event_position
 WHERE s.kind = 'feedback'
""",
    sql=f"""
WITH counted AS (
  SELECT job_design, count(DISTINCT (source, staff)) AS staff, count(outcome) AS interactions,
         count(DISTINCT (source, staff)) FILTER (WHERE points IS NOT NULL) AS csat_staff,
         {persons("points IS NOT NULL")} AS csat_customers,
         count(DISTINCT (source, staff)) FILTER (WHERE outcome <> 'unspecified') AS outcome_staff,
         {persons("outcome <> 'unspecified'")} AS outcome_customers,
         count(points) AS csat_n, sum(points) AS total, sum(points * points) AS squares,
         count(*) FILTER (WHERE outcome <> 'unspecified') AS outcome_n,
         count(*) FILTER (WHERE outcome IN ('completed', 'resolved')) AS resolved
    FROM evidence
   GROUP BY job_design
), told AS (
  SELECT *, CASE WHEN least(csat_staff, csat_customers) >= {K} THEN csat_n END AS csat_told,
         CASE WHEN least(outcome_staff, outcome_customers) >= {K} THEN outcome_n END AS outcome_told
    FROM counted
)
SELECT job_design, staff,
       csat_n > 0 AND csat_told IS NULL OR outcome_n > 0 AND outcome_told IS NULL AS too_few,
       interactions, csat_n, outcome_n,
       (total / csat_told)::double precision AS csat_points,
       mean_bound(total, squares, csat_told, -1, 0) AS csat_points_lo,
       mean_bound(total, squares, csat_told, 1, 100) AS csat_points_hi,
       resolved::double precision / outcome_told AS resolved_share,
       wilson_lower(resolved, outcome_told) AS resolved_share_lo,
       wilson_upper(resolved, outcome_told) AS resolved_share_hi
  FROM told
""",  # noqa: S608  # a constant of this module
)
