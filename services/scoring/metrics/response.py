"""How often customers gave feedback, asked or not."""

from services.scoring.metric import Metric, Sum

response = Metric(
    name="response",
    version=1,
    facts="fact_feedback",
    sums={
        "answered": Sum(
            "count(*) FILTER (WHERE signal_index = 0)", "Times that customers answered."
        )
    },
    scores={},
)
