"""How interactions ended, as shares of those whose source says how."""

from services.scoring.metric import Metric, Score, Sum, share

OUTCOMES = {
    "completed": "the customer got what it was for",
    "resolved": "it was technically solved",
    "transferred": "somebody else took over",
    "abandoned": "the customer gave up",
    "failed": "it did not work",
    "returned": "goods or money went back",
}


def _shares() -> dict[str, Score]:
    return {
        name: score
        for outcome, words in OUTCOMES.items()
        for name, score in share(
            f"{outcome}_share",
            f"outcome_{outcome}",
            "outcomes_said",
            f"Share of interactions with a known outcome that ended {outcome}: {words} (sample proportion)",
        ).items()
    }


outcome = Metric(
    name="outcome",
    version=1,
    facts="fact_interaction",
    sums={
        "outcomes_said": Sum(
            "count(*) FILTER (WHERE outcome <> 'unspecified')",
            "Interactions whose outcome is known.",
        ),
        **{
            f"outcome_{outcome}": Sum(
                f"count(*) FILTER (WHERE outcome = '{outcome}')",
                f"Interactions that ended {outcome}: {words}.",
            )
            for outcome, words in OUTCOMES.items()
        },
    },
    scores=_shares(),
)
