"""Do teams that keep their service level satisfy their customers? The correlation of both ranks.

Spearman 1904: the correlation of kpi_rank and customer_rank over the teams that watermelon ranks. 1: the
statistics of managers put the teams in the same order as customers do; -1: in the opposite one. Its interval
is that of Bonett and Wright 2000 (Psychometrika 65(1)): tanh(atanh(r) ± z √((1 + r²/2) / (teams - 3))). There
is none where teams are fewer than four, nor where the two orders are exactly the same or the opposite.
"""

from services.scoring.experience.figure import Figure
from services.scoring.experience.watermelon import EVIDENCE, TEAMS
from services.scoring.metric import Column, Z

TEAMS_MIN = 4
# Where the orders agree, rounding may leave r a bit short of 1.
CERTAIN = "abs(r) > 1 - 1e-9"


def _bound(sign: str) -> str:
    spread = f"{Z}::double precision * sqrt((1 + r * r / 2) / (teams - 3))"
    return f"CASE WHEN NOT {CERTAIN} THEN tanh(atanh(r) {sign} {spread}) END"


watermelon_correlation = Figure(
    name="watermelon_correlation",
    version=1,
    question="Do the statistics of managers put teams in the same order as their customers do?",
    keys={},
    columns={
        "teams": Column("bigint", "Teams that watermelon ranks."),
        "spearman": Column(
            "double precision",
            "Correlation of kpi_rank and customer_rank, -1 to 1 (Spearman 1904); NULL under 4 teams.",
        ),
        "spearman_lo": Column(
            "double precision", "Lower bound of spearman, 95 % (Bonett and Wright 2000)."
        ),
        "spearman_hi": Column(
            "double precision", "Upper bound of spearman, 95 % (Bonett and Wright 2000)."
        ),
    },
    evidence=EVIDENCE,
    sql=f"""
SELECT teams, r AS spearman, {_bound("-")} AS spearman_lo, {_bound("+")} AS spearman_hi
  FROM (SELECT teams, CASE WHEN teams >= {TEAMS_MIN} THEN r END AS r
          FROM (SELECT count(*) FILTER (WHERE ranked) AS teams,
                       corr(kpi_rank, customer_rank ORDER BY staff_group) AS r
                  FROM ({TEAMS}) AS teams) AS correlated) AS told
""",  # noqa: S608  # literals of this package
)
