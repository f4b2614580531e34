"""The reasons behind each issue: how often each was stated, and how satisfied those customers were.

To a statement belongs one CSAT answer about the whole at most: the first one of the same person, from when
the reason was stated on, on the journey of the same correlation id; where the statement names no journey, at
its touchpoint. A failure belongs to it that has the same issue code, person and journey (or touchpoint),
whenever it was. Answers of anonymous customers belong to statements of the same journey alone.
"""

from services.scoring.experience.figure import Figure, K, kept_back
from services.scoring.metric import Column

reason_behind_issue = Figure(
    name="reason_behind_issue",
    version=1,
    question="Which reasons are behind the same issue, and how satisfied are those who have them?",
    keys={
        "issue_code": Column("text", "The code of the issue, as the source has it."),
        "reason_code": Column("text", "The code of the reason, as the source has it."),
    },
    columns={
        "stated": Column("bigint", "Statements of this reason behind the issue."),
        "share": Column("double precision", "Of all statements of a reason behind it, 0 to 1."),
        "share_lo": Column(
            "double precision", "Lower bound of share: score interval, 95 % (Wilson 1927)."
        ),
        "share_hi": Column(
            "double precision", "Upper bound of share: score interval, 95 % (Wilson 1927)."
        ),
        "failures": Column("bigint", "Statements to which a recorded failure belongs."),
        "csat_answers": Column("bigint", "Statements to which a CSAT answer belongs."),
        "too_few": Column(
            "boolean", f"Of fewer than {K} customers: what they answered is kept back."
        ),
        "csat_points": Column(
            "double precision", "Mean of these answers, 0 to 100 points (ISO 10004)."
        ),
        "csat_points_lo": Column(
            "double precision", "Lower bound of csat_points: t interval, 95 % (Student 1908)."
        ),
        "csat_points_hi": Column(
            "double precision", "Upper bound of csat_points: t interval, 95 % (Student 1908)."
        ),
    },
    evidence="""
WITH answer_to AS (
  SELECT DISTINCT ON (r.event_position) r.event_position, f.event_position AS answer_position, f.points
    FROM known_reason r
    JOIN csat_answer f ON f.correlation_id = r.correlation_id
     AND coalesce(f.person, '') = coalesce(r.person, '') AND f.occurred_at >= r.occurred_at
   ORDER BY r.event_position, f.occurred_at, f.event_position, f.signal_index
), answer_there AS (
  SELECT DISTINCT ON (r.event_position) r.event_position, f.event_position AS answer_position, f.points
    FROM known_reason r
    JOIN csat_answer f ON f.person = r.person AND f.touchpoint = r.touchpoint
                      AND f.occurred_at >= r.occurred_at
   WHERE r.correlation_id IS NULL
   ORDER BY r.event_position, f.occurred_at, f.event_position, f.signal_index
), failed AS (
  SELECT event_position, array_agg(failure_position) AS events
    FROM (SELECT r.event_position, f.event_position AS failure_position
            FROM known_reason r
            JOIN known_recovery f ON f.correlation_id = r.correlation_id AND f.issue_code = r.issue_code
                                 AND coalesce(f.person, '') = coalesce(r.person, '')
           WHERE f.step = 'failure'
          UNION ALL
          SELECT r.event_position, f.event_position
            FROM known_reason r
            JOIN known_recovery f ON f.person = r.person AND f.touchpoint = r.touchpoint
                                 AND f.issue_code = r.issue_code
           WHERE r.correlation_id IS NULL AND f.step = 'failure') AS of_both
   GROUP BY event_position
)
SELECT r.issue_code, r.reason_code, r.person, a.points, f.events IS NOT NULL AS has_failed,
       array_remove(ARRAY[r.event_position, a.answer_position], NULL) || f.events AS events
  FROM known_reason r
  LEFT JOIN (SELECT * FROM answer_to UNION ALL SELECT * FROM answer_there) AS a USING (event_position)
  LEFT JOIN failed f USING (event_position)
""",
    sql=f"""
SELECT issue_code, reason_code, stated, stated / whole AS share,
       wilson_lower(stated, whole::bigint) AS share_lo, wilson_upper(stated, whole::bigint) AS share_hi,
       failures, csat_answers, too_few,
       {kept_back("csat_points", "total / NULLIF(csat_answers, 0)")},
       {kept_back("csat_points_lo", "mean_bound(total, squares, csat_answers, -1, 0)")},
       {kept_back("csat_points_hi", "mean_bound(total, squares, csat_answers, 1, 100)")}
  FROM (SELECT issue_code, reason_code, count(*) AS stated,
               (sum(count(*)) OVER (PARTITION BY issue_code))::double precision AS whole,
               count(*) FILTER (WHERE has_failed) AS failures, count(points) AS csat_answers,
               sum(points) AS total, sum(points * points) AS squares,
               count(DISTINCT person) FILTER (WHERE points IS NOT NULL) < {K} AS too_few
          FROM evidence
         GROUP BY issue_code, reason_code) AS counted
""",  # noqa: S608  # a constant of this package
)
