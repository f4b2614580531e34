"""Net promoter score: share of 9-10 minus share of 0-6, on answers with a 0-10 scale (Reichheld 2003).

The plain standard error is 0 when all answers agree, so the interval is the adjusted one. Its centre is
nearer to 0 than nps, so that where few answers all agree nps lies outside of it.
"""

from services.scoring.metric import Metric, Score, Sum, Z

WHOLE = "metric = 'nps' AND dimension IS NULL"
ADJUSTED = "adjusted Wald, 95 % (Rocks 2016), within the scale"

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
            "Net promoter score, -100 to 100 points (Reichheld 2003).",
        ),
        "nps_lo": Score(
            f"nps_bound(nps_promoters, nps_detractors, nps_answered, -{Z})",
            f"Lower bound of nps: {ADJUSTED}.",
        ),
        "nps_hi": Score(
            f"nps_bound(nps_promoters, nps_detractors, nps_answered, {Z})",
            f"Upper bound of nps: {ADJUSTED}.",
        ),
        "nps_variance": Score(
            "nps_variance(nps_promoters, nps_detractors, nps_answered)",
            "Variance of one answer that counts 1, 0 or -1 for promoter, passive or detractor"
            " (p + d - (p - d)², multinomial).",
        ),
        "nps_se": Score(
            "100 * sqrt(nps_variance(nps_promoters, nps_detractors, nps_answered)"
            " / NULLIF(nps_answered, 0))",
            "Plain standard error of nps in points, 0 when all answers agree (multinomial).",
        ),
    },
)
