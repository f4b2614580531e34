"""Customer satisfaction on the scale 1 to 5 (ISO 10004): mean, and shares of the two top and bottom boxes.

Answers about one dimension (empathy, speed …) are no answers about the whole and stay out. Answers on another
scale are counted and stay out too, 4 of 5 and 4 of 10 have no mean: csat_rescaled.py reads them.
"""

from services.scoring.metric import Metric, Sum, mean, share

WHOLE = "metric = 'csat' AND dimension IS NULL"
ON_SCALE = f"{WHOLE} AND scale_min = 1 AND scale_max = 5 AND higher_is_better"

csat = Metric(
    name="csat",
    version=1,
    facts="fact_feedback",
    sums={
        "csat_answered": Sum(
            f"count(*) FILTER (WHERE {ON_SCALE})", "CSAT answers on the scale 1 to 5."
        ),
        "csat_sum": Sum(
            f"coalesce(sum(value) FILTER (WHERE {ON_SCALE}), 0)", "Sum of these answers.", "numeric"
        ),
        "csat_top2": Sum(f"count(*) FILTER (WHERE {ON_SCALE} AND value >= 4)", "Those of 4 or 5."),
        "csat_bottom2": Sum(
            f"count(*) FILTER (WHERE {ON_SCALE} AND value <= 2)", "Those of 1 or 2."
        ),
        "csat_other_scale": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND NOT (scale_min = 1 AND scale_max = 5 AND higher_is_better))",
            "CSAT answers on other scales, which only csat version 2 reads.",
        ),
        "csat_squares": Sum(
            f"coalesce(sum(value * value) FILTER (WHERE {ON_SCALE}), 0)",
            "Sum of the squares of the CSAT answers on the scale 1 to 5.",
            "numeric",
        ),
    },
    scores={
        **mean(
            *("csat_mean", "csat_sum", "csat_squares", "csat_answered"),
            "Mean CSAT answer, 1 to 5 (ISO 10004)",
            scale=("1", "5"),
        ),
        **share(
            "top2", "csat_top2", "csat_answered", "Share of CSAT answers of 4 or 5 (top-2-box)"
        ),
        **share(
            *("bottom2", "csat_bottom2", "csat_answered"),
            "Share of CSAT answers of 1 or 2 (bottom-2-box)",
        ),
    },
)
