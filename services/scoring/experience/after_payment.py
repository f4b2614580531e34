"""Does the company meet its customers once they have paid?

One row. A journey has paid with its first interaction at the stage purchase that was neither abandoned nor
failed. It went on if it has a later interaction, by occurrence, that is no further payment: whatever stage
that one names, within 30 days (720 hours) of the payment. Until these are over by the horizon the journey is
pending, whatever is known of it, and in no share: who paid yesterday is not yet one who was never met again
(right-censoring, Kaplan and Meier 1958), and to count those alone who were met already would flatter. The 30
days are a choice of this version, as for the follow-ups of figure advice. Of journeys see journey_stages.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, share

# In hours: days would change with the session's zone where clocks are put forward.
WINDOW = "interval '720 hours'"
SCORES = share(
    *("after_share", "journeys_after", "settled"),
    "Share of the journeys that paid and whose 30 days are over that have an interaction after payment",
)

after_payment = Figure(
    name="after_payment",
    version=2,
    question="Of the journeys on which customers paid, how many go on afterwards?",
    keys={},
    columns={
        "journeys_paid": Column("bigint", "Journeys on which something was bought."),
        "journeys_pending": Column(
            "bigint", "Those whose 30 days are not over by the horizon, in no share."
        ),
        "journeys_after": Column(
            "bigint", "Of the others, those with an interaction within 30 days after payment."
        ),
        **columns(SCORES),
    },
    evidence=f"""
SELECT journey, bool_or(NOT paid) AS goes_on, paid_at + {WINDOW} > horizon AS pending,
       array_agg(event_position) AS events
  FROM (SELECT *, min(occurred_at) FILTER (WHERE paid)
                    OVER (PARTITION BY journey ORDER BY occurred_at, event_position) AS paid_at
          FROM journey_touch) AS touch
 CROSS JOIN moments
 WHERE touch.occurred_at < paid_at + {WINDOW}
 GROUP BY journey, paid_at, horizon
""",  # noqa: S608  # a literal of this module
    sql=f"""
SELECT journeys_paid, journeys_pending, journeys_after, {selected(SCORES)}
  FROM (SELECT count(*) AS journeys_paid, count(*) FILTER (WHERE pending) AS journeys_pending,
               count(*) FILTER (WHERE NOT pending) AS settled,
               count(*) FILTER (WHERE NOT pending AND goes_on) AS journeys_after
          FROM evidence) AS counted
""",  # noqa: S608  # literals of this module
)
