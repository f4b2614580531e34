"""Satisfaction per touchpoint by generation and by status: what each segment answers there.

Each CSAT answer about the whole counts once in either segmentation, rescaled to 0 to 100 points as in csat/2.
Its generation is that of the person's band of birth years by the rule that was valid when it was given
(dim_generation_rule: Pew Research Center 2015 and 2019), its status the one that was valid then. Who is not
known, or whose band crosses a boundary, is in the segment "unspecified", a group of its own. The bottom two
boxes are answers of 25 points or less: 1 and 2 of 1 to 5.

All answers of a touchpoint can be read off the other segmentation, and what is told of some segments could
be taken off them. So where those of fewer than five persons have fewer than five together, the next larger
one is kept back with them.
"""

from services.scoring.experience.figure import Figure, K, mean_columns, persons, share_columns
from services.scoring.metric import Column

EVIDENCE = """
SELECT a.touchpoint, 'generation' AS segmentation, coalesce(g.generation, 'unspecified') AS segment,
       a.person, a.points, a.bottom2, array_remove(ARRAY[a.event_position, g.event_position], NULL) AS events
  FROM csat_answer a
  LEFT JOIN person_generation g ON g.person = a.person AND g.valid_from <= a.occurred_at
                               AND (g.valid_to IS NULL OR g.valid_to > a.occurred_at)
UNION ALL
SELECT a.touchpoint, 'status', coalesce(s.value, 'unspecified'),
       a.person, a.points, a.bottom2, array_remove(ARRAY[a.event_position, s.event_position], NULL)
  FROM csat_answer a
  LEFT JOIN person_segment s ON s.person = a.person AND s.segment = 'status' AND s.valid_from <= a.occurred_at
                            AND (s.valid_to IS NULL OR s.valid_to > a.occurred_at)
"""

score_by_segment = Figure(
    name="score_by_segment",
    version=1,
    question="How satisfied is each generation, and each status, at each touchpoint?",
    keys={
        "touchpoint": Column("text", "Where customer and company met."),
        "segmentation": Column("text", "generation or status: what customers are sorted by."),
        "segment": Column("text", "The customers, such as boomer or gold; unspecified: not known."),
    },
    columns={
        "n": Column("bigint", "CSAT answers about the whole, on any scale."),
        "persons": Column(
            "bigint", "Persons who gave them; an answer of nobody known is one of its own."
        ),
        "too_few": Column(
            "boolean",
            f"They are fewer than {K} persons, or with the segments kept back would give these away: nothing"
            " is told of their answers.",
        ),
        **mean_columns(
            "csat_points", "Mean of these answers, each rescaled to 0 to 100 points (ISO 10004)"
        ),
        **share_columns(
            "bottom2_share", "Share of these answers of 25 points or less: 1 and 2 of 1 to 5"
        ),
    },
    evidence=EVIDENCE,
    sql=f"""
SELECT touchpoint, segmentation, segment, n, persons, told IS NULL AS too_few,
       (total / told)::double precision AS csat_points,
       mean_bound(total, squares, told, -1, 0) AS csat_points_lo,
       mean_bound(total, squares, told, 1, 100) AS csat_points_hi,
       bottom2::double precision / told AS bottom2_share,
       wilson_lower(bottom2, told) AS bottom2_share_lo,
       wilson_upper(bottom2, told) AS bottom2_share_hi
  FROM (SELECT *, CASE WHEN persons >= {K} AND (persons_of_fewer BETWEEN 1 AND {K - 1}) IS NOT TRUE
                       THEN n END AS told
          FROM (SELECT *, sum(persons) OVER (PARTITION BY touchpoint, segmentation ORDER BY persons, segment
                                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                          AS persons_of_fewer
                  FROM (SELECT touchpoint, segmentation, segment, count(*) AS n, {persons()} AS persons,
                               sum(points) AS total, sum(points * points) AS squares,
                               count(*) FILTER (WHERE bottom2) AS bottom2
                          FROM evidence
                         GROUP BY touchpoint, segmentation, segment) AS counted) AS ordered) AS segments
""",  # noqa: S608  # literals of this module
)
