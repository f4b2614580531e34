"""Touchpoint health, version 1: one number from 0 to 100 out of satisfaction, ease and reliability.

health = Σ weight × part / Σ weight, over the parts that have any answers. Each part is 100 × a share, shrunk
towards the whole tenant's by a prior of 20 answers, so that few answers neither damn nor crown a touchpoint:

* satisfaction, weight 0.50: CSAT answers of 75 or more on any scale rescaled to 0 to 100 (satisfied_v2);
* ease, weight 0.25: CES 2.0 answers of 5 to 7, or, where there is none, CES 1.0 answers of 1 or 2;
* reliability, weight 0.25: interactions with a known outcome that neither failed nor were abandoned.

What customers say counts three quarters and what was seen to happen one quarter, as the question is how
customers fare; satisfaction is asked most and weighs most. The weights are a convention, not a finding. The
response rate is no part: it says how well a touchpoint is known, not how well it does, and stands beside. The
interval takes the parts for independent: the variance is that of their Beta posteriors, weighted.
"""

from dataclasses import dataclass

from services.scoring.metric import Metric, Score, Z


@dataclass(frozen=True, slots=True)
class Part:
    weight: float
    successes: str
    answered: str
    prior: str
    meaning: str

    @property
    def given(self) -> str:
        return f"{self.successes}, {self.answered}, {self.prior}"


_OF_2 = "CASE WHEN ces2_answered > 0 THEN"

PARTS = {
    "satisfaction": Part(
        *(0.5, "csat_satisfied_v2", "csat_answered_v2"),
        "prior_mean(parent_csat_satisfied_v2, parent_csat_answered_v2)",
        "CSAT answers of 75 or more on any scale rescaled to 0 to 100",
    ),
    "ease": Part(
        *(0.25, f"{_OF_2} ces2_easy ELSE ces1_low_effort END"),
        f"({_OF_2} ces2_answered ELSE ces1_answered END)",
        f"{_OF_2} prior_mean(parent_ces2_easy, parent_ces2_answered)"
        " ELSE prior_mean(parent_ces1_low_effort, parent_ces1_answered) END",
        "CES 2.0 answers of 5 to 7, or without any CES 1.0 answers of 1 or 2",
    ),
    "reliability": Part(
        *(0.25, "(outcomes_said - outcome_failed - outcome_abandoned)", "outcomes_said"),
        "prior_mean(parent_outcomes_said - parent_outcome_failed - parent_outcome_abandoned,"
        " parent_outcomes_said)",
        "interactions of known outcome that neither failed nor were abandoned",
    ),
}

WEIGHT = " + ".join(
    f"CASE WHEN {part.answered} > 0 THEN {part.weight} ELSE 0 END" for part in PARTS.values()
)
WEIGHED = " + ".join(
    f"coalesce({part.weight} * shrunken({part.given}), 0)" for part in PARTS.values()
)
VARIANCE = " + ".join(
    f"coalesce({part.weight * part.weight} * shrunken_variance({part.given}), 0)"
    for part in PARTS.values()
)
HEALTH = f"100 * ({WEIGHED})::double precision / NULLIF({WEIGHT}, 0)"
HALF = f"100 * {Z} * sqrt({VARIANCE}) / NULLIF({WEIGHT}, 0)"
INTERVAL = "normal, 95 %, from the variances of the parts, within 0 to 100 (own formula, version 1)"

health = Metric(
    name="health",
    version=1,
    facts="fact_feedback",
    sums={},
    scores={
        "health": Score(
            HEALTH,
            "Health of the touchpoint, 0 to 100: 0.50 satisfaction, 0.25 ease and 0.25 reliability, those"
            " without answers left out (own formula, version 1).",
        ),
        # NULL when there is no part: greatest and least skip NULL.
        "health_lo": Score(
            f"CASE WHEN {WEIGHT} > 0 THEN greatest(0, {HEALTH} - {HALF}) END",
            f"Lower bound of health: {INTERVAL}.",
        ),
        "health_hi": Score(
            f"CASE WHEN {WEIGHT} > 0 THEN least(100, {HEALTH} + {HALF}) END",
            f"Upper bound of health: {INTERVAL}.",
        ),
        "health_n": Score(
            f"({' + '.join(part.answered for part in PARTS.values())})::double precision",
            "Answers and outcomes that health rests on (count).",
        ),
        "health_weight": Score(
            f"NULLIF({WEIGHT}, 0)::double precision",
            "Weight of the parts of health that have answers, 0.25 to 1; 1 is all of them (own formula,"
            " version 1).",
        ),
        **{
            f"health_{name}": Score(
                f"100 * shrunken({part.given})",
                f"Part of health: share of {part.meaning}, shrunk towards the whole tenant, 0 to 100"
                " (Efron and Morris 1975).",
            )
            for name, part in PARTS.items()
        },
    },
)
