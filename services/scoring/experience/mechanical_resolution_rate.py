"""How many of the cases that were resolved let their customer down, per touchpoint.

Cases, resolved and let down are those of mechanical_resolution. The rate is let down among resolved.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.mechanical_resolution import EVIDENCE
from services.scoring.metric import Column

mechanical_resolution_rate = Figure(
    name="mechanical_resolution_rate",
    version=1,
    question="Where are cases resolved by the book, with customers who feel let down?",
    keys={"touchpoint": Column("text", "Where the case was.")},
    columns={
        "cases": Column("bigint", "Interactions at stage service with an answer about them."),
        "resolved": Column("bigint", "Those that ended resolved or completed."),
        "let_down": Column("bigint", "Those of the resolved whose customer was let down."),
        "mechanical_resolution_rate": Column(
            "double precision",
            "Share of let_down in resolved, 0 to 1; NULL where nothing was resolved.",
        ),
        "mechanical_resolution_rate_lo": Column(
            "double precision", "Lower bound of it: score interval, 95 % (Wilson 1927)."
        ),
        "mechanical_resolution_rate_hi": Column(
            "double precision", "Upper bound of it: score interval, 95 % (Wilson 1927)."
        ),
    },
    evidence=EVIDENCE,
    sql="""
SELECT touchpoint, cases, resolved, let_down,
       let_down::double precision / NULLIF(resolved, 0) AS mechanical_resolution_rate,
       wilson_lower(let_down, resolved) AS mechanical_resolution_rate_lo,
       wilson_upper(let_down, resolved) AS mechanical_resolution_rate_hi
  FROM (SELECT touchpoint, count(*) AS cases, count(*) FILTER (WHERE resolved) AS resolved,
               count(*) FILTER (WHERE resolved AND felt = 'let down') AS let_down
          FROM evidence
         GROUP BY touchpoint) AS counted
""",
)
