"""The simulated customers: generations that differ, and what the model knows of one customer."""

from dataclasses import dataclass, field
from random import Random

from services.cli.simulator.retailer import STORE_WEIGHTS, STORES, Store


@dataclass(frozen=True, slots=True)
class Generation:
    name: str
    # The band of birth years that a profile states.
    birth_years: tuple[int, int]
    share: float
    # How willingly it answers, times the touchpoint's own rate.
    answers: float
    # What serving oneself, and being advised, adds to satisfaction.
    self_service: float
    advice: float
    # Shares: buys in a store, uses the self-checkout there, and turns to chat rather than the phone.
    in_store: float
    self_checkout: float
    chat: float


GENERATIONS: tuple[Generation, ...] = (
    Generation("Z", (1997, 2012), 0.20, 0.60, 0.06, -0.02, 0.42, 0.75, 0.75),
    Generation("Y", (1981, 1996), 0.27, 0.80, 0.05, 0.00, 0.47, 0.65, 0.65),
    Generation("X", (1965, 1980), 0.25, 1.00, -0.04, 0.02, 0.56, 0.45, 0.40),
    Generation("boomer", (1946, 1964), 0.20, 1.30, -0.16, 0.05, 0.68, 0.20, 0.15),
    Generation("silent", (1928, 1945), 0.08, 1.40, -0.24, 0.07, 0.80, 0.08, 0.03),
)
_SHARES = [generation.share for generation in GENERATIONS]

# Shares of customers who never said when they were born, who never want to be asked, and who have no card: of
# these the retailer knows nothing, not even that they come back.
AGE_UNKNOWN_SHARE = 0.08
OPTED_OUT_SHARE = 0.06
ANONYMOUS_SHARE = 0.05
KINDS, KIND_WEIGHTS = ("external", "internal", "partner"), (90, 6, 4)


@dataclass(slots=True)
class Customer:
    number: int
    # The source's reference; empty for the anonymous.
    reference: str
    generation: Generation
    home_store: Store
    age_known: bool
    opted_out: bool
    # Some people are easier to please than others: -0.08 to 0.08 on the scale of satisfaction.
    disposition: float
    # Most buy for themselves, some for a partner company, some work here.
    kind: str
    status: str = "basic"
    # When the customer was last asked for feedback; 0 for never.
    asked_ms: int = 0
    # Whether the profile has been published.
    known: bool = False
    # What was felt in the latest journey; it decides who comes back.
    memories: list[float] = field(default_factory=list)


def draw_customer(number: int, dice: Random) -> Customer:
    anonymous = dice.random() < ANONYMOUS_SHARE
    return Customer(
        number=number,
        reference="" if anonymous else f"card-{number:07d}",
        generation=dice.choices(GENERATIONS, _SHARES)[0],
        home_store=dice.choices(STORES, STORE_WEIGHTS)[0],
        age_known=dice.random() >= AGE_UNKNOWN_SHARE,
        opted_out=dice.random() < OPTED_OUT_SHARE,
        disposition=(dice.random() - 0.5) * 0.16,
        kind=dice.choices(KINDS, KIND_WEIGHTS)[0],
    )
