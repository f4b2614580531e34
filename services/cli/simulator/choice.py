"""Choosing and living with it: what advice puts before a customer, what is taken, kept and of use."""

from services.cli.simulator.journey import OPTIONS_MAX, Journey
from services.cli.simulator.retailer import DAY_MS, Touchpoint
from touchledger.v1 import events_pb2 as pb

ITEMS = tuple(f"item-{number:03d}" for number in range(1, 61))
# The place in the list that is taken: mostly the first.
TAKEN = (62, 22, 9, 4, 2, 1, 1)
# Who is asked how it goes, four weeks later, and who is able to use the thing.
FOLLOWED_UP_SHARE = 0.5
FOLLOWED_UP_MS = (22 * DAY_MS, 29 * DAY_MS)
USABLE_SHARE = 0.82
USABLE_AFTER_ADVICE_SHARE = 0.95
# Who was shown too many options doubts the choice more often.
HAPPY_SHARE = 0.88
HAPPY_AFTER_TOO_MANY_SHARE = 0.6


def put_before(journey: Journey, touchpoint: Touchpoint, options: int) -> None:
    """The options that the adviser, or the product finder, has put before the customer."""
    dice = journey.dice
    first = dice.randrange(len(ITEMS))
    items = [ITEMS[(first + number) % len(ITEMS)] for number in range(options)]
    journey.item = dice.choices(items, TAKEN[:options])[0]
    journey.advised_options = options
    advice = pb.Advice(options=[pb.AdviceOption(item=item) for item in items], chosen=journey.item)
    journey.write(touchpoint, journey.now_ms, cause=journey.cause, advice=advice)


def follow_up(journey: Journey, touchpoint: Touchpoint, *, broken: bool) -> None:
    """Some weeks later somebody asks how it goes. Nothing of it belongs to the journey's own time."""
    if not journey.customer.reference or not journey.chance(FOLLOWED_UP_SHARE):
        return
    item = journey.item or journey.dice.choice(ITEMS)
    shortest_ms, longest_ms = FOLLOWED_UP_MS
    at_ms = journey.bought_ms + shortest_ms + journey.dice.randrange(longest_ms - shortest_ms)
    too_many = journey.advised_options > OPTIONS_MAX
    usable = journey.chance(USABLE_AFTER_ADVICE_SHARE if journey.advised else USABLE_SHARE)
    happy = journey.chance(HAPPY_AFTER_TOO_MANY_SHARE if too_many else HAPPY_SHARE)
    said = pb.ProductFollowUp(
        item=item,
        kept=not journey.given_back,
        usable=usable and not broken,
        happy=happy and not broken,
    )
    journey.write(touchpoint, max(at_ms, journey.now_ms), product_follow_up=said)
