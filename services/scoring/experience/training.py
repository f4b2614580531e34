"""What a training does to what customers say: difference in differences (Ashenfelter and Card 1985).

Of each course, members of staff who completed it are compared with controls: members of the same teams, at
the median moment of these trainings (the earlier of two), who have not completed it at all. Satisfaction with
what each did in the 30 days (720 hours) before and after the first completion, in points as in csat/2, makes
two means; controls have theirs around the median moment. What the controls' mean changed by would have
happened to the trained as well, so it is taken off what theirs changed by.

An interaction counts once, when it was, by what its customer said last of it (rated_service of known.py).
Trainings whose 30 days are not over by the horizon are pending and count in nothing else. A mean of fewer
than five answers, of fewer than five known customers, or about fewer than five members, refuses all values of
its course. The interval is the
normal one, from the variances of the four means; it takes answers for independent: too narrow where members
differ.
"""

from services.scoring.experience.figure import Figure, K
from services.scoring.metric import Column, Z

CELLS = {
    "trained_pre": "members who were trained, in the 30 days before",
    "trained_post": "members who were trained, in the 30 days after",
    "controls_pre": "controls, in the 30 days before the median training",
    "controls_post": "controls, in the 30 days after the median training",
}

MEANS = {
    name: column
    for cell, whom in CELLS.items()
    for name, column in {
        f"{cell}_n": Column("bigint", f"Answers about {whom}."),
        cell: Column("double precision", f"Mean answer about {whom}: 0 to 100 points."),
        f"{cell}_lo": Column(
            "double precision", f"Lower bound of {cell}: t interval, 95 % (Student 1908)."
        ),
        f"{cell}_hi": Column(
            "double precision", f"Upper bound of {cell}: t interval, 95 % (Student 1908)."
        ),
    }.items()
}
# Out of the rows of cell, one for each mean.
PIVOTED = ", ".join(
    f"coalesce(max(n) FILTER (WHERE cell = '{cell}'), 0) AS {cell}_n,"
    f" max(mean) FILTER (WHERE cell = '{cell}' AND NOT too_few) AS {cell},"
    f" max(mean_lo) FILTER (WHERE cell = '{cell}' AND NOT too_few) AS {cell}_lo,"
    f" max(mean_hi) FILTER (WHERE cell = '{cell}' AND NOT too_few) AS {cell}_hi"
    for cell in CELLS
)

training = Figure(
    name="training",
    version=2,
    question="By how much does each course change what customers say of those who completed it?",
    keys={"course": Column("text", "The course; unspecified where it has no name.")},
    columns={
        "trained": Column("bigint", "Members who completed it, whose 30 days after it are over."),
        "pending": Column(
            "bigint", "Members who completed it, whose 30 days after it are not over."
        ),
        "controls": Column(
            "bigint",
            "Members of the same teams at the median moment of training, without the course.",
        ),
        **MEANS,
        "did_estimate": Column(
            "double precision",
            "Difference in differences, in points: trained_post less trained_pre, less the same of controls.",
        ),
        "did_estimate_lo": Column(
            "double precision",
            "Lower bound of did_estimate: normal interval of the four means, 95 %.",
        ),
        "did_estimate_hi": Column(
            "double precision",
            "Upper bound of did_estimate: normal interval of the four means, 95 %.",
        ),
        "too_few": Column(
            "boolean",
            "One of the four means is of fewer than 5 answers, known customers or members: all values are"
            " NULL.",
        ),
    },
    evidence="""
WITH first_training AS (
  SELECT DISTINCT ON (coalesce(f.kind, 'unspecified'), f.source, f.staff)
         coalesce(f.kind, 'unspecified') AS course, f.source, f.staff, f.event_position,
         f.occurred_at AS trained_at, s.staff_group, s.profile_position,
         f.occurred_at + interval '720 hours' > m.horizon AS pending
    FROM known_front_line f
    JOIN staff_at s ON s.kind = 'front_line' AND s.event_position = f.event_position
   CROSS JOIN moments m
   WHERE f.step = 'training'
   ORDER BY coalesce(f.kind, 'unspecified'), f.source, f.staff, f.occurred_at, f.event_position
), median AS (
  SELECT course, percentile_disc(0.5) WITHIN GROUP (ORDER BY trained_at) AS trained_at
    FROM first_training
   WHERE NOT pending
   GROUP BY course
), control AS (
  SELECT DISTINCT m.course, s.source, s.staff, m.trained_at, s.event_position AS profile_position
    FROM median m
    JOIN (SELECT DISTINCT course, staff_group FROM first_training
           WHERE NOT pending AND staff_group <> 'unspecified') AS g USING (course)
    JOIN known_staff s ON s.staff_group = g.staff_group AND s.valid_from <= m.trained_at
                      AND (s.valid_to IS NULL OR s.valid_to > m.trained_at)
    LEFT JOIN first_training t ON t.course = m.course AND t.source = s.source AND t.staff = s.staff
   WHERE t.course IS NULL
), member AS (
  SELECT course, 'trained' AS side, source, staff, trained_at, pending,
         array_remove(ARRAY[event_position, profile_position], NULL) AS events
    FROM first_training
  UNION ALL
  SELECT course, 'controls', source, staff, trained_at, false, ARRAY[profile_position] FROM control
)
SELECT course, side, source, staff, pending, NULL AS cell, NULL::numeric AS points, NULL::text AS person,
       events
  FROM member
UNION ALL
SELECT m.course, m.side, m.source, m.staff, false,
       m.side || CASE WHEN s.served_at < m.trained_at THEN '_pre' ELSE '_post' END, s.points, s.person,
       array_remove(ARRAY[s.interaction_position, s.feedback_position], NULL)
  FROM member m
  JOIN rated_service s ON s.source = m.source AND s.staff = m.staff
                      AND s.served_at >= m.trained_at - interval '720 hours'
                      AND s.served_at < m.trained_at + interval '720 hours'
 WHERE NOT m.pending
""",
    sql=f"""
WITH mean AS (
  SELECT course, cell, count(*) AS n, count(DISTINCT (source, staff)) AS staff,
         count(DISTINCT person) AS customers, sum(points) AS total, sum(points * points) AS squares
    FROM evidence
   WHERE cell IS NOT NULL
   GROUP BY course, cell
), cell AS (
  SELECT course, cell, n, (total / n)::double precision AS mean,
         mean_bound(total, squares, n, -1, 0) AS mean_lo, mean_bound(total, squares, n, 1, 100) AS mean_hi,
         (n * squares - total * total)::double precision
           / NULLIF(n::double precision * n * (n - 1), 0) AS variance,
         count(*) FILTER (WHERE least(n, staff, customers) >= {K}) OVER (PARTITION BY course)
           < {len(CELLS)} AS too_few
    FROM mean
), members AS (
  SELECT course, count(*) FILTER (WHERE side = 'trained' AND NOT pending) AS trained,
         count(*) FILTER (WHERE pending) AS pending, count(*) FILTER (WHERE side = 'controls') AS controls
    FROM evidence
   WHERE cell IS NULL
   GROUP BY course
), told AS (
  SELECT course, trained, pending, controls, {PIVOTED}, coalesce(bool_or(too_few), true) AS too_few,
         -- In one order, so that the sum is the same to the last bit whenever it is asked for.
         sqrt(sum(variance ORDER BY cell) FILTER (WHERE NOT too_few)) AS error
    FROM members LEFT JOIN cell USING (course)
   GROUP BY course, trained, pending, controls
)
SELECT told.*, did_estimate, did_estimate - {Z} * error AS did_estimate_lo,
       did_estimate + {Z} * error AS did_estimate_hi
  FROM told
 CROSS JOIN LATERAL (VALUES (trained_post - trained_pre - (controls_post - controls_pre)))
                 AS compared (did_estimate)
""",  # noqa: S608  # literals
)
