"""Customer effort score 2.0: share of 5 to 7 on 1 to 7, where HIGH is good ("made it easy", CEB 2013).

It is told from CES 1.0 by scale and direction; the two are never one series.
"""

from services.scoring.metric import Metric, Sum, share

WHOLE = "metric = 'ces' AND dimension IS NULL"
ON_SCALE = f"{WHOLE} AND scale_min = 1 AND scale_max = 7 AND higher_is_better"

ces2 = Metric(
    name="ces2",
    version=1,
    facts="fact_feedback",
    sums={
        "ces2_answered": Sum(
            f"count(*) FILTER (WHERE {ON_SCALE})",
            "CES 2.0 answers: ease on the scale 1 to 7, more is better.",
        ),
        "ces2_easy": Sum(f"count(*) FILTER (WHERE {ON_SCALE} AND value >= 5)", "Those of 5 to 7."),
        "ces_other_scale": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND NOT (scale_min = 1 AND"
            " (scale_max = 5 AND NOT higher_is_better OR scale_max = 7 AND higher_is_better)))",
            "CES answers that are neither CES 1.0 nor 2.0, in no score.",
        ),
    },
    scores=share(
        *("ces2", "ces2_easy", "ces2_answered"),
        "Share of answers of 5 to 7 that it was easy, where more is better (CES 2.0, CEB 2013)",
    ),
)
