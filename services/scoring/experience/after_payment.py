"""Does the company meet its customers once they have paid?

One row. A journey has paid with its first interaction at the stage purchase that was neither abandoned nor
failed. It went on if it has a later interaction, by occurrence, that is no further payment: whatever stage
that one names. Of journeys see journey_stages.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, share

SCORES = share(
    *("after_share", "journeys_after", "journeys_paid"),
    "Share of the journeys that paid that have an interaction after payment",
)

after_payment = Figure(
    name="after_payment",
    version=1,
    question="Of the journeys on which customers paid, how many go on afterwards?",
    keys={},
    columns={
        "journeys_paid": Column("bigint", "Journeys on which something was bought."),
        "journeys_after": Column("bigint", "Those with an interaction after payment."),
        **columns(SCORES),
    },
    evidence="""
SELECT journey, bool_or(NOT paid) AS goes_on, array_agg(event_position) AS events
  FROM (SELECT *, bool_or(paid) OVER (PARTITION BY journey ORDER BY occurred_at, event_position) AS since_paid
          FROM journey_touch) AS touch
 WHERE since_paid
 GROUP BY journey
""",
    sql=f"""
SELECT journeys_paid, journeys_after, {selected(SCORES)}
  FROM (SELECT count(*) AS journeys_paid, count(*) FILTER (WHERE goes_on) AS journeys_after
          FROM evidence) AS counted
""",  # noqa: S608  # literals of this module
)
