"""Net promoter score: share of 9-10 minus share of 0-6, on answers with a 0-10 scale (Reichheld 2003)."""

from services.scoring.metric import Metric, Score, Sum

WHOLE = "metric = 'nps' AND dimension IS NULL"

nps = Metric(
    name="nps",
    version=1,
    facts="fact_feedback",
    sums={
        "nps_answered": Sum(f"count(*) FILTER (WHERE {WHOLE})", "NPS answers."),
        "nps_promoters": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND value >= 9)", "Those of 9 or 10."
        ),
        "nps_detractors": Sum(
            f"count(*) FILTER (WHERE {WHOLE} AND value <= 6)", "Those of 0 to 6."
        ),
    },
    scores={
        "nps": Score(
            "100 * (nps_promoters - nps_detractors)::double precision / NULLIF(nps_answered, 0)",
            "Net promoter score, -100 to 100.",
        ),
        "nps_lo": Score(
            "bi.nps_bound(nps_promoters, nps_detractors, nps_answered, -1.959963984540054)",
            "Lower bound of nps, adjusted Wald 95 %.",
        ),
        "nps_hi": Score(
            "bi.nps_bound(nps_promoters, nps_detractors, nps_answered, 1.959963984540054)",
            "Upper bound of nps, adjusted Wald 95 %.",
        ),
    },
)
