"""Watermelon teams: green outside, where managers look, and red inside, where customers are.

* Green: of the assessments that say whether the service level was kept, it was in 90 % or more.
* Red: the upper bound of the mean CSAT answer about the whole is below 60 of 100 points (3.4 of 1 to 5), so
  that no team is red by bad luck. The mean, and not the share of bad answers: it uses all that was answered,
  and fewer answers are enough.

A team is that of the member of staff in the interaction that was judged, at that time; where none is known,
that of the member whom the event names. What is of no known team is in no row. Ranks are among the teams that
have both figures and no reason to keep them back: 1 is best, and teams that are equal share the mean of their
places, as Spearman 1904 has it.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.metric import Column

GREEN_PERCENT = 90
RED_POINTS = 60

EVIDENCE = """
SELECT s.staff_group, s.source, s.staff, a.within_sla, NULL::numeric AS points, NULL::text AS person,
       array_remove(ARRAY[a.event_position, s.interaction_position, s.profile_position], NULL) AS events
  FROM known_assessment a
  JOIN served_by s ON s.event_position = a.event_position
 WHERE a.signal_index = 0 AND a.within_sla IS NOT NULL AND s.staff_group <> 'unspecified'
UNION ALL
SELECT s.staff_group, s.source, s.staff, NULL, f.points, f.person,
       array_remove(ARRAY[f.event_position, s.interaction_position, s.profile_position], NULL)
  FROM csat_answer f
  JOIN served_by s ON s.event_position = f.event_position
 WHERE s.staff_group <> 'unspecified'
"""
# Sums of each team, what may be told of them, and the ranks.
TEAMS = f"""
SELECT *,
       CASE WHEN ranked THEN rank() OVER (PARTITION BY ranked ORDER BY sla_share DESC)
                             + (count(*) OVER (PARTITION BY ranked, sla_share) - 1) / 2::double precision
       END AS kpi_rank,
       CASE WHEN ranked THEN rank() OVER (PARTITION BY ranked ORDER BY csat_mean DESC)
                             + (count(*) OVER (PARTITION BY ranked, csat_mean) - 1) / 2::double precision
       END AS customer_rank
  FROM (SELECT *, NOT too_few AND sla_looked_at > 0 AND csat_answers > 0 AS ranked,
               within::double precision / NULLIF(sla_looked_at, 0) AS sla_share,
               -- Teams with the same mean are equal, however many digits the division gives.
               round(total / NULLIF(csat_answers, 0), 12) AS csat_mean
          FROM (SELECT staff_group, count(within_sla) AS sla_looked_at,
                       count(*) FILTER (WHERE within_sla) AS within,
                       count(points) AS csat_answers, sum(points) AS total,
                       sum(points * points) AS squares,
                       count(within_sla) > 0
                       AND count(DISTINCT (source, staff)) FILTER (WHERE within_sla IS NOT NULL) < {K}
                       OR count(points) > 0
                       AND (count(DISTINCT (source, staff)) FILTER (WHERE points IS NOT NULL) < {K}
                            OR count(DISTINCT person) < {K}) AS too_few
                  FROM evidence
                 GROUP BY staff_group) AS summed) AS scored
"""  # noqa: S608  # a constant of this package

watermelon = Figure(
    name="watermelon",
    version=1,
    question="Which teams keep their service level and leave their customers dissatisfied?",
    keys={"staff_group": Column("text", "The team.")},
    columns={
        "too_few": Column(
            "boolean",
            f"Assessments or answers are of fewer than {K} members of staff, or of customers: all but their"
            " number is kept back.",
        ),
        "sla_looked_at": Column(
            "bigint", "Assessments that say whether the service level was kept."
        ),
        "sla_share": Column("double precision", "Those in which it was, 0 to 1."),
        "sla_share_lo": Column(
            "double precision", "Lower bound of sla_share: score interval, 95 % (Wilson 1927)."
        ),
        "sla_share_hi": Column(
            "double precision", "Upper bound of sla_share: score interval, 95 % (Wilson 1927)."
        ),
        "sla_green": Column("boolean", f"sla_share is {GREEN_PERCENT} % or more."),
        "csat_answers": Column("bigint", "CSAT answers about the whole, of customers of the team."),
        "csat_points": Column("double precision", "Their mean, 0 to 100 points (ISO 10004)."),
        "csat_points_lo": Column(
            "double precision", "Lower bound of csat_points: t interval, 95 % (Student 1908)."
        ),
        "csat_points_hi": Column(
            "double precision", "Upper bound of csat_points: t interval, 95 % (Student 1908)."
        ),
        "customer_red": Column("boolean", f"csat_points_hi is below {RED_POINTS} points."),
        "watermelon": Column("boolean", "sla_green and customer_red."),
        "kpi_rank": Column("double precision", "Place among the teams by sla_share, 1 is best."),
        "customer_rank": Column("double precision", "Place among them by csat_points, 1 is best."),
    },
    evidence=EVIDENCE,
    sql=f"""
SELECT staff_group, too_few, sla_looked_at, csat_answers, kpi_rank, customer_rank,
       {kept_back("sla_share")},
       {kept_back("sla_share_lo", "wilson_lower(within, sla_looked_at)")},
       {kept_back("sla_share_hi", "wilson_upper(within, sla_looked_at)")},
       {kept_back("sla_green", "green")},
       {kept_back("csat_points", "csat_mean")},
       {kept_back("csat_points_lo", "mean_bound(total, squares, csat_answers, -1, 0)")},
       {kept_back("csat_points_hi", "csat_hi")},
       {kept_back("customer_red", f"csat_hi < {RED_POINTS}")},
       {kept_back("watermelon", f"green AND csat_hi < {RED_POINTS}")}
  FROM (SELECT *, 100 * within >= {GREEN_PERCENT} * NULLIF(sla_looked_at, 0) AS green,
               mean_bound(total, squares, csat_answers, 1, 100) AS csat_hi
          FROM ({TEAMS}) AS teams) AS told
""",  # noqa: S608
)
