"""Customer satisfaction on every scale: version 2 of csat, over answers rescaled to 0 to 100.

The end that is bad becomes 0 and the end that is good 100: 4 of 1 to 5 is 75, and so is 2 of 1 to 5 where
less is better. Three quarters of the way up is satisfied: 4 and 5 of 1 to 5, 6 and 7 of 1 to 7, 8 to 10 of
0 to 10. A rescaled answer is rounded to six decimals before it is added, so that sums stay exact.
"""

from services.scoring.metric import Metric, Sum, mean, share

WHOLE = "metric = 'csat' AND dimension IS NULL"
RESCALED = (
    "round(100 * CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END"
    " / (scale_max - scale_min), 6)"
)
# Multiplied out, so that no rounding decides who is satisfied.
SATISFIED = (
    "4 * CASE WHEN higher_is_better THEN value - scale_min ELSE scale_max - value END"
    " >= 3 * (scale_max - scale_min)"
)

csat_rescaled = Metric(
    name="csat",
    version=2,
    facts="fact_feedback",
    sums={
        "csat_answered_v2": Sum(
            f"count(*) FILTER (WHERE {WHOLE})", "CSAT answers on scales of every kind."
        ),
        "csat_sum_v2": Sum(
            f"coalesce(sum({RESCALED}) FILTER (WHERE {WHOLE}), 0)",
            "Sum of these answers, rescaled to 0 to 100.",
            "numeric",
        ),
        "csat_squares_v2": Sum(
            f"coalesce(sum({RESCALED} * {RESCALED}) FILTER (WHERE {WHOLE}), 0)",
            "Sum of the squares of these answers, rescaled to 0 to 100.",
            "numeric",
        ),
        "csat_satisfied_v2": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND {SATISFIED})", "Those of 75 or more when rescaled."
        ),
    },
    scores={
        **mean(
            *("csat_mean_v2", "csat_sum_v2", "csat_squares_v2", "csat_answered_v2"),
            "Mean CSAT answer of all scales, each rescaled to 0 to 100 (ISO 10004)",
            scale=("0", "100"),
        ),
        **share(
            *("satisfied_v2", "csat_satisfied_v2", "csat_answered_v2"),
            "Share of CSAT answers of 75 or more when rescaled to 0 to 100 (top-2-box of 1 to 5)",
        ),
    },
)
