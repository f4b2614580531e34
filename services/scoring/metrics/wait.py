"""How long customers waited before an interaction began, where somebody measured it."""

from services.scoring.metric import Metric, Sum, mean

wait = Metric(
    name="wait",
    version=1,
    facts="fact_interaction",
    sums={
        "waits_known": Sum("count(wait_seconds)", "Interactions whose wait is known."),
        "wait_sum": Sum(
            "coalesce(sum(wait_seconds), 0)", "Sum of these waits, seconds.", "numeric"
        ),
        "wait_squares": Sum(
            "coalesce(sum(wait_seconds * wait_seconds), 0)",
            "Sum of the squares of these waits, square seconds.",
            "numeric",
        ),
    },
    scores=mean(
        *("wait_mean", "wait_sum", "wait_squares", "waits_known"),
        "Mean wait, seconds (arithmetic mean)",
        scale=("0", "'Infinity'"),
    ),
)
