"""Customer effort score 1.0: how much effort it took, 1 to 5, LOW is good (Dixon, Freeman, Toman 2010)."""

from services.scoring.metric import Metric, Sum, mean

ON_SCALE = (
    "metric = 'ces' AND dimension IS NULL"
    " AND scale_min = 1 AND scale_max = 5 AND NOT higher_is_better"
)

ces1 = Metric(
    name="ces1",
    version=1,
    facts="fact_feedback",
    sums={
        "ces1_answered": Sum(
            f"count(*) FILTER (WHERE {ON_SCALE})",
            "CES 1.0 answers: effort on the scale 1 to 5, less is better.",
        ),
        "ces1_sum": Sum(
            f"coalesce(sum(value) FILTER (WHERE {ON_SCALE}), 0)", "Sum of these answers.", "numeric"
        ),
        "ces1_squares": Sum(
            f"coalesce(sum(value * value) FILTER (WHERE {ON_SCALE}), 0)",
            "Sum of the squares of these answers.",
            "numeric",
        ),
        "ces1_low_effort": Sum(
            f"count(*) FILTER (WHERE {ON_SCALE} AND value <= 2)", "CES 1.0 answers of 1 or 2."
        ),
    },
    scores=mean(
        *("ces1_mean", "ces1_sum", "ces1_squares", "ces1_answered"),
        "Mean effort, 1 to 5, where less is better (CES 1.0, Dixon, Freeman, Toman 2010)",
        scale=("1", "5"),
    ),
)
