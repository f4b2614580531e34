"""Do expectations differ by generation, and where are they missed? A heat map, generation by dimension.

Each answer about a dimension that an expectation of the same person, touchpoint, question and scale stands
against counts once, with the last expectation that was stated before the experience (Oliver 1980), as in
bi.disconfirmation. The gap is perceived minus expected in the good direction, in points of a scale of 0 to
100; above 0 is better than expected. The five dimensions of SERVQUAL (Parasuraman, Zeithaml and Berry 1988)
always have their rows, and so has whatever else sources name; answers about the whole have none. A difference
hides a rising expectation (Cronin and Taylor 1992), so what was perceived stands beside it on its own.
Generations are those of score_by_segment.
"""

from services.scoring.experience.figure import Figure, K, mean_columns, share_columns
from services.scoring.metric import Column

expectation_gap_by_generation = Figure(
    name="expectation_gap_by_generation",
    version=1,
    question="In what does each generation get more, or less, than it expected?",
    keys={
        "dimension": Column(
            "text",
            "What was expected and judged: tangibles, reliability, responsiveness, assurance,"
            " empathy, or another that sources name.",
        ),
        "generation": Column(
            "text", "Generation by the rule that was valid then; unspecified: not known."
        ),
    },
    columns={
        "n": Column("bigint", "Answers that an expectation stands against."),
        "persons": Column("bigint", "Persons who gave them."),
        "too_few": Column(
            "boolean",
            f"They are fewer than {K} persons, so that nothing is told of their answers; false where"
            " nobody answered.",
        ),
        **mean_columns(
            "gap_mean",
            "Mean of perceived minus expected, -100 to 100 points, above 0 is better (Oliver 1980)",
        ),
        **share_columns("met_share", "Share of answers as good as was expected, or better"),
        **mean_columns(
            "perceived_mean",
            "Mean of what was perceived, 0 to 100 points (SERVPERF, Cronin and Taylor 1992)",
        ),
    },
    evidence="""
SELECT e.dimension, coalesce(g.generation, 'unspecified') AS generation, e.person, e.gap, e.met,
       e.perceived_points,
       array_remove(ARRAY[e.expectation_position, e.answer_position, g.event_position], NULL) AS events
  FROM answered_expectation e
  LEFT JOIN person_generation g ON g.person = e.person AND g.valid_from <= e.occurred_at
                               AND (g.valid_to IS NULL OR g.valid_to > e.occurred_at)
 WHERE e.dimension IS NOT NULL
""",
    sql=f"""
SELECT dimension, generation, n, persons, n > 0 AND told IS NULL AS too_few,
       (gap / told)::double precision AS gap_mean,
       mean_bound(gap, gap_squares, told, -1, -100) AS gap_mean_lo,
       mean_bound(gap, gap_squares, told, 1, 100) AS gap_mean_hi,
       met::double precision / told AS met_share,
       wilson_lower(met, told) AS met_share_lo,
       wilson_upper(met, told) AS met_share_hi,
       (perceived / told)::double precision AS perceived_mean,
       mean_bound(perceived, perceived_squares, told, -1, 0) AS perceived_mean_lo,
       mean_bound(perceived, perceived_squares, told, 1, 100) AS perceived_mean_hi
  FROM (SELECT dimension, generation, count(person) AS n, count(DISTINCT person) AS persons,
               CASE WHEN count(DISTINCT person) >= {K} THEN count(person) END AS told,
               sum(gap) AS gap, sum(gap * gap) AS gap_squares, count(*) FILTER (WHERE met) AS met,
               sum(perceived_points) AS perceived,
               sum(perceived_points * perceived_points) AS perceived_squares
          FROM (SELECT 'tangibles' AS dimension
                UNION SELECT 'reliability'
                UNION SELECT 'responsiveness'
                UNION SELECT 'assurance'
                UNION SELECT 'empathy'
                UNION SELECT dimension FROM evidence) AS dimensions
         CROSS JOIN (SELECT generation FROM dim_generation) AS generations
          LEFT JOIN evidence USING (dimension, generation)
         GROUP BY dimension, generation) AS cells
""",  # noqa: S608  # literals of this module
)
