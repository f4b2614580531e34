"""Top-2 share for ranking: pulled towards the tenant's own share, the more so the fewer the answers.

The prior is as good as twenty answers of which as many are 4 or 5 as among all answers that the tenant has
(empirical Bayes, Efron and Morris 1975). The strength is a constant of this version, in the SQL functions:
with twenty answers of its own a touchpoint speaks half for itself. Rank by the lower bound: 1 of 1 does not
come before 180 of 200.
"""

from services.scoring.metric import Metric, Score

ARGUMENTS = "csat_top2, csat_answered, prior_mean(parent_csat_top2, parent_csat_answered)"
INTERVAL = "quantile of the Beta posterior, 95 % (Efron and Morris 1975)"

shrunken = Metric(
    name="shrunken",
    version=1,
    facts="fact_feedback",
    sums={},
    scores={
        "top2_shrunken": Score(
            f"shrunken({ARGUMENTS})",
            "top2 shrunk towards that of the whole tenant by a prior of 20 answers, 0 to 1"
            " (Efron and Morris 1975).",
        ),
        "top2_shrunken_lo": Score(
            f"shrunken_lower({ARGUMENTS})", f"Lower bound of top2_shrunken, to rank by: {INTERVAL}."
        ),
        "top2_shrunken_hi": Score(
            f"shrunken_upper({ARGUMENTS})", f"Upper bound of top2_shrunken: {INTERVAL}."
        ),
    },
)
