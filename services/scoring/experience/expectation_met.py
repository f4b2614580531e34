"""Was what customers got as good as what they had been told, or told us, to expect (Oliver 1980)?

One row for each touchpoint and each thing that an expectation rests on. Expectations count that were stated
before the experience:

* An expected answer stands against the customer's answer of the same kind, scale and direction about the
  whole: met when it is as good, exceeded when it is better, just met when it is the same. The gap is
  perceived minus expected in points of 0 to 100. Difference scores are disputed (Cronin and Taylor 1992), so
  what was perceived stands beside on its own.
* A time (due_at or within) is met when the customer was served at the touchpoint by then: an interaction that
  did not end abandoned, transferred, failed or returned, a remedy, or a closing that was not refused. It is
  exceeded when that took half of the promised time or less. It is pending until its moment has passed by the
  horizon, even when it is fulfilled already: to count the early ones alone would flatter.

The basis `standard` is what the owner declares in the catalogue: each answer about the whole on the
standard's scale, and each measured wait, stands against the one that was in force when the experience began,
and exceeds it when strictly better. What was experienced before any was declared stands against none.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, mean, share

SCORES = {
    **share("met_share", "met", "compared", "Share of expectations that were met (Oliver 1980)"),
    **share(
        *("exceeded_share", "exceeded", "compared"),
        "Share of expectations that were exceeded (Oliver 1980)",
    ),
    **share(
        *("just_met_share", "just_met", "compared"),
        "Share of expectations that were met and no more (Oliver 1980)",
    ),
    **mean(
        *("gap_mean", "gap_sum", "gap_squares", "answers_compared"),
        "Mean of perceived minus expected, -100 to 100 points; NULL where only times were compared"
        " (Oliver 1980)",
        scale=("-100", "100"),
    ),
    **mean(
        *("perceived_mean", "perceived_sum", "perceived_squares", "answers_compared"),
        "Mean of what was perceived where there was an expectation, 0 to 100 points"
        " (SERVPERF, Cronin and Taylor 1992)",
        scale=("0", "100"),
    ),
}

expectation_met = Figure(
    name="expectation_met",
    version=1,
    question="At each touchpoint, how many expectations were missed, just met, exceeded?",
    keys={
        "touchpoint": Column("text", "Where the experience was."),
        "basis": Column(
            "text",
            "What the expectation rests on: survey (the customer said it), promise, sla, standard (the owner"
            " declares it) or unspecified.",
        ),
    },
    columns={
        "compared": Column("bigint", "Expectations with an experience to compare (count)."),
        "met": Column("bigint", "Those that were met, exceeded or not (count)."),
        "exceeded": Column("bigint", "Those that were exceeded (count)."),
        "just_met": Column("bigint", "Those that were met and no more (count)."),
        "pending": Column(
            "bigint", "Times that had not passed by the horizon, in no share (count)."
        ),
        "answers_compared": Column(
            "bigint", "Of those compared, answers; the others are times (count)."
        ),
        **columns(SCORES),
    },
    evidence="""
SELECT touchpoint, basis, met, exceeded, gap, perceived_points, false AS pending,
       ARRAY[expectation_position, answer_position] AS events
  FROM answered_expectation WHERE dimension IS NULL
UNION ALL
SELECT touchpoint, basis, coalesce(done_at <= due, false), coalesce(early, false),
       NULL, NULL, due >= horizon,
       array_remove(ARRAY[expectation_position, done_position], NULL)
  FROM timed_expectation CROSS JOIN moments
UNION ALL
SELECT touchpoint, 'standard',
       CASE WHEN higher_is_better THEN f.value >= s.value ELSE f.value <= s.value END,
       CASE WHEN higher_is_better THEN f.value > s.value ELSE f.value < s.value END,
       round(100 * CASE WHEN higher_is_better THEN f.value - s.value ELSE s.value - f.value END
                 / (scale_max - scale_min), 6),
       f.points, false, ARRAY[s.position, f.event_position]
  FROM experienced_answer f
  JOIN known_standard s USING (tenant, touchpoint, metric, scale_min, scale_max, higher_is_better)
 WHERE f.dimension IS NULL AND s.dimension = 'overall' AND s.declared_at < f.experienced_at
   AND (s.declared_until IS NULL OR s.declared_until >= f.experienced_at)
UNION ALL
SELECT touchpoint, 'standard', i.wait_seconds <= t.wait_seconds_max, i.wait_seconds < t.wait_seconds_max,
       NULL, NULL, false, ARRAY[t.standard_position, i.event_position]
  FROM (SELECT *, occurred_at - make_interval(secs => wait_seconds::double precision) AS began_at
          FROM known_interaction WHERE wait_seconds IS NOT NULL) AS i
  JOIN known_declaration t USING (tenant, touchpoint)
 WHERE t.wait_seconds_max IS NOT NULL AND t.declared_at < i.began_at
   AND (t.declared_until IS NULL OR t.declared_until >= i.began_at)
""",
    sql=f"""
SELECT *, {selected(SCORES)}
  FROM (SELECT touchpoint, basis,
               count(*) FILTER (WHERE NOT pending) AS compared,
               count(*) FILTER (WHERE NOT pending AND met) AS met,
               count(*) FILTER (WHERE NOT pending AND exceeded) AS exceeded,
               count(*) FILTER (WHERE NOT pending AND met AND NOT exceeded) AS just_met,
               count(*) FILTER (WHERE pending) AS pending,
               count(gap) AS answers_compared, sum(gap) AS gap_sum, sum(gap * gap) AS gap_squares,
               sum(perceived_points) AS perceived_sum,
               sum(perceived_points * perceived_points) AS perceived_squares
          FROM evidence GROUP BY touchpoint, basis) AS sums
""",  # noqa: S608
)
