"""Those who began together, month by month of their service: is the culture passed on from batch to batch?

Interactions that name who served, by the member's cohort at that time and by the whole months of 30 days (720
hours) since the member began: since the first profile or the first interaction, whichever is earlier. Answers
are the CSAT answers about the whole that are about these interactions.

The chart is Shewhart's for means (1931) with limits that vary with n: the center line is the mean of all
answers of all rows that are told (of the others it would give away what is kept back), the limits are three
standard errors away, s/√n with s the standard deviation of all these answers and n those of the row. By
chance a mean is beyond them once in 370 times.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.metric import Column

MONTH = "interval '720 hours'"

cohort = Figure(
    name="cohort",
    version=1,
    question="Do customers of each batch of newcomers fare as well as those of the batches before?",
    keys={
        "cohort": Column("text", "Those who began together; unspecified where it is not known."),
        "tenure_month": Column(
            "bigint", "Whole months of 30 days since the member of staff began, from 0."
        ),
    },
    columns={
        "interactions": Column("bigint", "Interactions of members of the cohort in that month."),
        "staff": Column("bigint", "Members of staff who had them."),
        "answers": Column("bigint", "CSAT answers about the whole that are about them."),
        "too_few": Column(
            "boolean",
            f"The answers are of fewer than {K} members of staff, or of customers: what they come to is kept"
            " back.",
        ),
        "csat_points": Column(
            "double precision", "Mean of the answers, 0 to 100 points (ISO 10004)."
        ),
        "csat_points_lo": Column(
            "double precision", "Lower bound of csat_points: t interval, 95 % (Student 1908)."
        ),
        "csat_points_hi": Column(
            "double precision", "Upper bound of csat_points: t interval, 95 % (Student 1908)."
        ),
        "center_line": Column(
            "double precision", "Mean of all answers of all rows that are told, points."
        ),
        "lower_limit": Column(
            "double precision", "Center line minus three standard errors, points (Shewhart 1931)."
        ),
        "upper_limit": Column(
            "double precision", "Center line plus three standard errors, points (Shewhart 1931)."
        ),
        "out_of_control": Column(
            "boolean", "csat_points is below lower_limit or above upper_limit."
        ),
    },
    evidence=f"""
WITH served AS (
  SELECT i.event_position, i.occurred_at, i.source, i.staff, s.cohort,
         array_remove(s.profile_position || b.positions, NULL) AS profiles,
         least(min(i.occurred_at) OVER (PARTITION BY i.source, i.staff), b.began_at) AS began_at
    FROM known_interaction i
    JOIN staff_at s ON s.event_position = i.event_position
    LEFT JOIN (SELECT source, staff, min(valid_from) AS began_at,
                      (array_agg(event_position ORDER BY valid_from))[1:1] AS positions
                 FROM known_staff
                GROUP BY source, staff) AS b
           ON b.source = i.source AND b.staff = i.staff
), answered AS (
  SELECT a.interaction_position, count(*) AS answers, sum(f.points) AS total,
         sum(f.points * f.points) AS squares, min(f.person) AS person,
         array_agg(DISTINCT f.event_position) AS events
    FROM csat_answer f
    JOIN about a ON a.feedback_position = f.event_position
   GROUP BY a.interaction_position
)
SELECT s.cohort,
       floor(extract(epoch FROM s.occurred_at - s.began_at) / extract(epoch FROM {MONTH}))::bigint
         AS tenure_month,
       s.source, s.staff, coalesce(a.answers, 0) AS answers, a.total, a.squares, a.person,
       s.event_position || s.profiles || a.events AS events
  FROM served s
  LEFT JOIN answered a ON a.interaction_position = s.event_position
""",  # noqa: S608  # a literal of this module
    sql=f"""
SELECT cohort, tenure_month, interactions, staff, answers, too_few,
       {kept_back("csat_points", "mean")},
       {kept_back("csat_points_lo", "mean_bound(total, squares, answers, -1, 0)")},
       {kept_back("csat_points_hi", "mean_bound(total, squares, answers, 1, 100)")},
       {kept_back("center_line", "center")},
       {kept_back("lower_limit", "center - spread")},
       {kept_back("upper_limit", "center + spread")},
       {kept_back("out_of_control", "mean < center - spread OR mean > center + spread")}
  FROM (SELECT *, total / NULLIF(answers, 0) AS mean, all_total / NULLIF(all_answers, 0) AS center,
               3 * sqrt((all_answers * all_squares - all_total * all_total)
                        / NULLIF(all_answers * (all_answers - 1) * answers, 0)) AS spread
          FROM (SELECT *, sum(answers) FILTER (WHERE NOT too_few) OVER () AS all_answers,
                       sum(total) FILTER (WHERE NOT too_few) OVER () AS all_total,
                       sum(squares) FILTER (WHERE NOT too_few) OVER () AS all_squares
                  FROM (SELECT cohort, tenure_month, count(*) AS interactions,
                               count(DISTINCT (source, staff)) AS staff, sum(answers)::bigint AS answers,
                               count(DISTINCT (source, staff)) FILTER (WHERE answers > 0) < {K}
                               OR count(DISTINCT person) < {K} AS too_few,
                               sum(total) AS total, sum(squares) AS squares
                          FROM evidence
                         GROUP BY cohort, tenure_month) AS summed) AS told) AS charted
""",  # noqa: S608  # a constant of this package
)
