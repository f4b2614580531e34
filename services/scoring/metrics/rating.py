"""Stars, 1 to 5. Ratings on other scales are counted and stay out."""

from services.scoring.metric import Metric, Sum, mean

WHOLE = "metric = 'rating' AND dimension IS NULL"
ON_SCALE = f"{WHOLE} AND scale_min = 1 AND scale_max = 5 AND higher_is_better"

rating = Metric(
    name="rating",
    version=1,
    facts="fact_feedback",
    sums={
        "rating_answered": Sum(f"count(*) FILTER (WHERE {ON_SCALE})", "Ratings of 1 to 5 stars."),
        "rating_sum": Sum(
            f"coalesce(sum(value) FILTER (WHERE {ON_SCALE}), 0)", "Sum of these stars.", "numeric"
        ),
        "rating_squares": Sum(
            f"coalesce(sum(value * value) FILTER (WHERE {ON_SCALE}), 0)",
            "Sum of the squares of these stars.",
            "numeric",
        ),
        "rating_other_scale": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND NOT (scale_min = 1 AND scale_max = 5 AND higher_is_better))",
            "Ratings on other scales, in no score.",
        ),
    },
    scores=mean(
        *("rating_mean", "rating_sum", "rating_squares", "rating_answered"),
        "Mean rating, 1 to 5 stars (arithmetic mean)",
        scale=("1", "5"),
    ),
)
