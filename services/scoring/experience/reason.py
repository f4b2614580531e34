"""Customers have reasons of their own for the same issue: how many are there, and how widely do they spread?

The reasons that customers stated, per issue code. The spread is Shannon's entropy (1948) in bits: 0 where all
have the same reason, 1 where two are equally frequent, 2 where four are.
"""

from services.scoring.experience.figure import Figure
from services.scoring.metric import Column

reason = Figure(
    name="reason",
    version=1,
    question="How many different reasons are behind the same issue, and does one of them prevail?",
    keys={"issue_code": Column("text", "The code of the issue, as the source has it.")},
    columns={
        "stated": Column("bigint", "Statements of a reason behind it."),
        "reasons": Column("bigint", "Different reasons."),
        "reason_entropy": Column(
            "double precision", "How widely they spread, bits (Shannon 1948); 0 is one reason."
        ),
        "top_reason": Column(
            "text", "The most frequent one; the first by name of those equally frequent."
        ),
        "top_share": Column("double precision", "Its share of all statements, 0 to 1."),
        "top_share_lo": Column(
            "double precision", "Lower bound of top_share: score interval, 95 % (Wilson 1927)."
        ),
        "top_share_hi": Column(
            "double precision", "Upper bound of top_share: score interval, 95 % (Wilson 1927)."
        ),
    },
    evidence="""
SELECT issue_code, reason_code, ARRAY[event_position] AS events FROM known_reason
""",
    sql="""
SELECT issue_code, stated, reasons, reason_entropy, top_reason,
       top::double precision / stated AS top_share,
       wilson_lower(top, stated) AS top_share_lo, wilson_upper(top, stated) AS top_share_hi
  FROM (SELECT issue_code, max(whole)::bigint AS stated, count(*) AS reasons, max(stated) AS top,
               (array_agg(reason_code ORDER BY stated DESC, reason_code))[1] AS top_reason,
               -- In one order, so that the sum is the same to the last bit whenever it is asked for.
               sum(stated / whole * ln(whole / stated) ORDER BY reason_code) / ln(2::double precision)
                 AS reason_entropy
          FROM (SELECT issue_code, reason_code, count(*) AS stated,
                       (sum(count(*)) OVER (PARTITION BY issue_code))::double precision AS whole
                  FROM evidence
                 GROUP BY issue_code, reason_code) AS counted
         GROUP BY issue_code) AS spread
""",
)
