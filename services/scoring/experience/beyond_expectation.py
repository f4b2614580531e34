"""Acceptable is not enough: how many got more than they expected, and how do we compare with others?

One row for each touchpoint where customers had an expectation that can be compared (all that expectation_met
compares, save the owner's own standard), or compared us with competitors. Met but not exceeded is acceptable:
it stands on its own, as it is easily taken for success (Oliver 1980). Comparisons are answers about the whole
from -3 (much worse than competitors) to 3 (much better).
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, mean, share

SCORES = {
    **share(
        *("acceptable_rate", "acceptable", "compared"),
        "Share of expectations that were met and no more (Oliver 1980)",
    ),
    **share(
        *("exceeded_rate", "exceeded", "compared"),
        "Share of expectations that were exceeded (Oliver 1980)",
    ),
    **mean(
        *("vs_competitor_avg", "comparison_sum", "comparison_squares", "comparisons"),
        "Mean comparison with competitors, -3 to 3 (arithmetic mean)",
        scale=("-3", "3"),
    ),
}

beyond_expectation = Figure(
    name="beyond_expectation",
    version=1,
    question="At each touchpoint, how many got more than they expected, and how do we compare with others?",
    keys={"touchpoint": Column("text", "Where the experience was.")},
    columns={
        "compared": Column("bigint", "Expectations with an experience to compare (count)."),
        "acceptable": Column("bigint", "Those that were met and no more (count)."),
        "exceeded": Column("bigint", "Those that were exceeded (count)."),
        "comparisons": Column("bigint", "Answers that compare us with competitors (count)."),
        **columns(SCORES),
    },
    evidence="""
SELECT touchpoint, met, exceeded, NULL::numeric AS comparison,
       ARRAY[expectation_position, answer_position] AS events
  FROM answered_expectation WHERE dimension IS NULL
UNION ALL
SELECT touchpoint, coalesce(done_at <= due, false), coalesce(early, false), NULL,
       array_remove(ARRAY[expectation_position, done_position], NULL)
  FROM timed_expectation CROSS JOIN moments WHERE due < horizon
UNION ALL
SELECT touchpoint, NULL, NULL, CASE WHEN higher_is_better THEN value ELSE -value END,
       ARRAY[event_position]
  FROM known_feedback WHERE metric = 'comparison' AND dimension IS NULL
""",
    sql=f"""
SELECT *, {selected(SCORES)}
  FROM (SELECT touchpoint,
               count(met) AS compared,
               count(*) FILTER (WHERE met AND NOT exceeded) AS acceptable,
               count(*) FILTER (WHERE exceeded) AS exceeded,
               count(comparison) AS comparisons, sum(comparison) AS comparison_sum,
               sum(comparison * comparison) AS comparison_squares
          FROM evidence GROUP BY touchpoint) AS sums
""",  # noqa: S608  # literals of this package, as in the other figures
)
