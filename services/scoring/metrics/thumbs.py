"""Thumbs: the share of those that are up. Their scale is 0 to 1."""

from services.scoring.metric import Metric, Sum, share

WHOLE = "metric = 'thumbs' AND dimension IS NULL"

thumbs = Metric(
    name="thumbs",
    version=1,
    facts="fact_feedback",
    sums={
        "thumbs_answered": Sum(f"count(*) FILTER (WHERE {WHOLE})", "Thumbs, up or down."),
        "thumbs_up": Sum(f"count(*) FILTER (WHERE {WHOLE} AND value = 1)", "Thumbs up."),
    },
    scores=share(
        "up_share",
        "thumbs_up",
        "thumbs_answered",
        "Share of thumbs that are up (sample proportion)",
    ),
)
