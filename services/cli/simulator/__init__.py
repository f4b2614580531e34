"""A seeded retailer's quarter as events: the demo's input and the load generator's. Pure: no clock, no I/O.

The model, from the outside in:

* retailer.py: six stores, a call centre, a web shop and public networks; the touchpoints with their usual
  quality; the jobs of the staff; what can go wrong. Two stores' tills are offline for days, one store has a
  bad August, and teams of the call centre are given the right to decide.
* customers.py: five generations that buy, answer and get on with self-service differently.
* stories.py: the journeys that they make, from the advert to the return.
* company.py: what the company does beside: pulses, trainings, visits, what it claims and assumes.
* choice.py: what advice puts before a customer, what is taken, kept and of use.
* journey.py: meetings. Each is felt on a scale from 0 to 1: the touchpoint's quality, the customer, the
  store, who serves, the wait, and luck. What was felt decides every answer, on whatever scale, every post,
  and who comes back.
* feedback.py: who is asked and who answers. recovery.py: failures, what is done about them, public posts.
* diary.py: events with ids, in the order in which the sources publish them; corrections and retractions.

The same seed gives the same events, byte for byte, in every process and Python version: the dice are used by
random(), getrandbits() and what rests on them alone, and nothing iterates over a set.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from services.cli.simulator.company import write_down
from services.cli.simulator.customers import Customer, draw_customer
from services.cli.simulator.diary import Diary
from services.cli.simulator.journey import Journey
from services.cli.simulator.retailer import (
    DAY_MS,
    HOUR_MS,
    QUARTER_END_MS,
    QUARTER_START_MS,
    STORES,
    TOUCHPOINTS,
)
from services.cli.simulator.stories import SALE_SHARE, travel
from touchledger.v1 import events_pb2 as pb

__all__ = ["CUSTOMERS", "STORES", "TOUCHPOINTS", "quarter"]

# Gives about 30,000 events; ten times as many customers give ten times as many events.
CUSTOMERS = 1_500
# Who remembers only bad comes back with the first probability, who remembers only good with the sum of both.
RETURNS_ANYWAY = 0.20
RETURNS_PLEASED = 0.65


def quarter(*, seed: int = 1, customers: int = CUSTOMERS) -> Iterator[pb.Event]:
    """Events from 2026-07-01 to 2026-09-30, in the order of publication. Memory grows with customers."""
    diary = Diary(seed)
    write_down(diary)
    people = [draw_customer(number, diary.dice) for number in range(customers)]
    # Each journey's start and customer, earliest first. Whoever comes back is put in again.
    starts = [(_first_visit_ms(diary, customer), customer.number) for customer in people]
    heapify(starts)
    while starts:
        start_ms, number = heappop(starts)
        # A journey publishes nothing before it starts, and none starts before this one.
        yield from diary.published_before(start_ms)
        journey = Journey(diary, people[number], start_ms)
        travel(journey)
        next_ms = journey.now_ms + 2 * DAY_MS + diary.dice.randrange(21 * DAY_MS)
        if _comes_back(diary, people[number]) and next_ms < QUARTER_END_MS:
            heappush(starts, (next_ms, number))
    yield from diary.published_before(QUARTER_END_MS)


def _first_visit_ms(diary: Diary, customer: Customer) -> int:
    """Some day, rather an early one: later on, others come back. Some hour (UTC), mostly in daylight."""
    if customer.reference and diary.dice.random() < SALE_SHARE:
        return QUARTER_START_MS + 7 * HOUR_MS + diary.dice.randrange(9 * HOUR_MS)
    days = (QUARTER_END_MS - QUARTER_START_MS) // DAY_MS
    day = min(diary.dice.randrange(days), diary.dice.randrange(days))
    hour = diary.dice.choices(range(24), _VISITS_BY_HOUR)[0]
    return QUARTER_START_MS + day * DAY_MS + hour * HOUR_MS + diary.dice.randrange(HOUR_MS)


_VISITS_BY_HOUR = (
    2,
    1,
    1,
    1,
    1,
    2,
    5,
    8,
    10,
    11,
    12,
    13,
    13,
    12,
    11,
    12,
    14,
    17,
    20,
    21,
    18,
    12,
    7,
    4,
)


def _comes_back(diary: Diary, customer: Customer) -> bool:
    """The lowest moment and the last one are remembered; the rest is forgotten."""
    if not customer.reference:
        return False
    remembered = (min(customer.memories) + customer.memories[-1]) / 2
    return diary.dice.random() < RETURNS_ANYWAY + RETURNS_PLEASED * remembered
