"""Each journey step by step, with what the customer said of each step.

One row for each interaction of a journey (see journey_stages), numbered by occurrence; of two at the same
moment the one recorded first comes first. A step ends when its duration is over, or, where that is not known,
when the next one begins. The answer is the last CSAT answer about the whole of this interaction: the
interaction that the feedback names, or else the person's last one at the touchpoint before it.
"""

from services.scoring.experience.figure import Figure
from services.scoring.metric import Column

journey_step = Figure(
    name="journey_step",
    version=1,
    question="Which way did each journey take, and how was each step of it?",
    keys={
        "journey": Column("text", "The correlation id, or the person where there is none."),
        "step_no": Column("bigint", "1 is the journey's first interaction."),
    },
    columns={
        "stage": Column("text", "Where on the journey, as the source says."),
        "touchpoint": Column("text", "Where customer and company met."),
        "channel": Column("text", "Through what."),
        "entered_at": Column("timestamptz", "When the interaction began."),
        "exited_at": Column(
            "timestamptz", "When it ended, or else the next began; NULL while neither is known."
        ),
        "csat_points": Column(
            "numeric(9, 6)",
            "The CSAT answer about it, rescaled to 0 to 100 points as in csat/2; NULL without an answer.",
        ),
    },
    evidence="""
WITH answer AS (
  SELECT DISTINCT ON (a.interaction_position) a.interaction_position, f.event_position, f.points
    FROM journey_answer f
    JOIN about a ON a.feedback_position = f.event_position
   WHERE f.metric = 'csat'
   ORDER BY a.interaction_position, f.occurred_at DESC, f.event_position DESC, f.signal_index DESC
)
SELECT t.journey, row_number() OVER of_journey AS step_no, t.stage, t.touchpoint, t.channel,
       t.occurred_at AS entered_at,
       coalesce(t.occurred_at + make_interval(secs => t.duration_seconds::double precision),
                lead(t.occurred_at) OVER of_journey) AS exited_at,
       answer.points AS csat_points,
       array_remove(ARRAY[t.event_position, answer.event_position], NULL) AS events
  FROM journey_touch t
  LEFT JOIN answer ON answer.interaction_position = t.event_position
WINDOW of_journey AS (PARTITION BY t.journey ORDER BY t.occurred_at, t.event_position)
""",
    sql="""
SELECT journey, step_no, stage, touchpoint, channel, entered_at, exited_at, csat_points FROM evidence
""",
)
