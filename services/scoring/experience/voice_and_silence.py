"""Do customers complain, praise, or say nothing at all?

One row for each touchpoint where customers were met, asked or heard, or that the catalogue defines, so that
silence is told as silence. A customer may complain twice about one interaction, or about none that was
recorded: complaints and compliments are told per thousand interactions as rates of counts, whose interval is
that of a Poisson rate.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, Score
from services.scoring.metrics.voice import voice

SCORES = {
    **voice.scores,
    "compliments_per_complaint": Score(
        "compliments::double precision / NULLIF(complaints, 0)",
        "Compliments for each complaint (ratio); NULL where nobody complained.",
    ),
}

voice_and_silence = Figure(
    name="voice_and_silence",
    version=1,
    question="At each touchpoint, do customers complain, praise, or say nothing at all?",
    keys={"touchpoint": Column("text", "Where the experience was.")},
    columns={
        "interactions": Column("bigint", "Meetings with customers (count)."),
        "feedback": Column("bigint", "Times that customers said something, asked or not (count)."),
        "unasked": Column("bigint", "Those that name no request (count)."),
        "silent": Column("boolean", "There is no feedback at all, which is not satisfaction."),
        "complaints": Column("bigint", "Complaints (count)."),
        "compliments": Column("bigint", "Compliments (count)."),
        **columns(SCORES),
    },
    evidence="""
SELECT touchpoint, 'interaction' AS kind, NULL AS request_id, ARRAY[event_position] AS events
  FROM known_interaction
UNION ALL
SELECT touchpoint, kind, request_id, ARRAY[event_position] FROM known_feedback WHERE signal_index = 0
""",
    sql=f"""
SELECT *, {selected(SCORES)}, feedback = 0 AS silent
  FROM (SELECT touchpoint,
               count(*) FILTER (WHERE kind = 'interaction') AS interactions,
               count(*) FILTER (WHERE kind <> 'interaction') AS feedback,
               count(*) FILTER (WHERE kind <> 'interaction' AND request_id IS NULL) AS unasked,
               count(*) FILTER (WHERE kind = 'complaint') AS complaints,
               count(*) FILTER (WHERE kind = 'compliment') AS compliments
          FROM known_touchpoint LEFT JOIN evidence USING (touchpoint)
         GROUP BY touchpoint) AS sums
""",  # noqa: S608  # literals of this package, as in the other figures
)
