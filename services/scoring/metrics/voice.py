"""Complaints and compliments, asked for or not, per thousand interactions.

A customer may complain twice about one interaction, or about none that was recorded: these are rates of
counts, not shares, and their interval is that of a Poisson rate.
"""

from services.scoring.metric import Metric, Score, Sum

INTERVAL = "score interval of a Poisson rate, 95 % (Barker 2002)"


def _rate(name: str, count: str, what: str) -> dict[str, Score]:
    return {
        name: Score(
            f"1000 * {count}::double precision / NULLIF(interactions, 0)",
            f"{what} per thousand interactions (rate of counts).",
        ),
        f"{name}_lo": Score(
            f"1000 * poisson_lower({count}, interactions)", f"Lower bound of {name}: {INTERVAL}."
        ),
        f"{name}_hi": Score(
            f"1000 * poisson_upper({count}, interactions)", f"Upper bound of {name}: {INTERVAL}."
        ),
    }


voice = Metric(
    name="voice",
    version=1,
    facts="fact_feedback",
    sums={
        "complaints": Sum(
            "count(*) FILTER (WHERE signal_index = 0 AND kind = 'complaint')", "Complaints."
        ),
        "compliments": Sum(
            "count(*) FILTER (WHERE signal_index = 0 AND kind = 'compliment')", "Compliments."
        ),
    },
    scores={
        **_rate("complaints_per_1000", "complaints", "Complaints"),
        **_rate("compliments_per_1000", "compliments", "Compliments"),
    },
)
