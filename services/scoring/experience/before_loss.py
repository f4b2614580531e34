"""Which touchpoint, where it was the worst of the journey, comes before the loss of a customer?

The cases of retention with an answer, by the touchpoint of the lowest one. They are ranked by the lower bound
of the lost share, so that one loss out of one never comes before 180 out of 200. That a touchpoint comes
before losses is no proof that it is the cause.
"""

from services.scoring.experience.figure import Figure, K
from services.scoring.experience.retention import CASES
from services.scoring.experience.score_columns import columns, selected
from services.scoring.metric import Column, share

SCORES = share(
    *("lost_share", "lost_90d", "settled"),
    "Share of the customers whose 90 days are over who did not buy again within them",
)

before_loss = Figure(
    name="before_loss",
    version=1,
    question="Which touchpoint did customers like least before they were lost?",
    keys={"touchpoint": Column("text", "Where the lowest answer on the journey was about.")},
    columns={
        "customers": Column("bigint", "Customers who bought and answered, pending ones included."),
        "pending": Column("bigint", "Those whose 90 days are not over yet, in no share."),
        "lost_90d": Column("bigint", "Of the others, those who did not buy again within 90 days."),
        **columns(SCORES),
        "loss_rank": Column("bigint", "1 is where lost_share_lo is highest; equals share a rank."),
        "too_few": Column(
            "boolean",
            f"The 90 days of fewer than {K} customers are over: what they did is not told, nor ranked.",
        ),
    },
    evidence=f"""
SELECT lowest_touchpoint AS touchpoint, fate, events
  FROM ({CASES}) AS cases
 WHERE lowest_touchpoint <> 'unspecified'
""",  # noqa: S608  # literals, here and below
    sql=f"""
WITH of_touchpoint AS (
  SELECT touchpoint, count(*) AS customers, count(*) FILTER (WHERE fate = 'pending') AS pending
    FROM evidence
   GROUP BY touchpoint
), told AS (
  SELECT touchpoint, count(*) AS settled, count(*) FILTER (WHERE fate = 'lost') AS lost_90d
    FROM evidence
   WHERE fate <> 'pending'
   GROUP BY touchpoint
  HAVING count(*) >= {K}
), scored AS (
  SELECT touchpoint, lost_90d, {selected(SCORES)} FROM told
)
SELECT touchpoint, customers, pending, lost_90d, {", ".join(SCORES)}, loss_rank, lost_90d IS NULL AS too_few
  FROM of_touchpoint
  LEFT JOIN (SELECT *, rank() OVER (ORDER BY lost_share_lo DESC) AS loss_rank FROM scored) AS ranked
      USING (touchpoint)
""",  # noqa: S608
    order=("loss_rank",),
)
