"""How often customers were asked, and deliberately not: without it no share of answers means anything."""

from services.scoring.metric import Metric, Sum

request = Metric(
    name="request",
    version=1,
    facts="fact_feedback_request",
    sums={
        "asked": Sum(
            "count(*) FILTER (WHERE decision = 'requested')", "Times that customers were asked."
        ),
        "suppressed": Sum(
            "count(*) FILTER (WHERE decision = 'suppressed')",
            "Times that customers were deliberately not asked.",
        ),
    },
    scores={},
)
