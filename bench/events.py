"""Events of some 300 bytes, as a shop's tills and surveys send them: the same ones for every contender.

Their ids are UUIDv7 in the order of time, their customers 100,000 at random, and a third of them
carries an answer with a comment. Made from templates, since a million are wanted in a few seconds.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from google.protobuf.json_format import MessageToJson

from services.touchpoint.identity import originator_ids
from services.touchpoint.row import Attempt, Entry
from touchledger.v1 import events_pb2 as pb

CUSTOMERS = 100_000
TOUCHPOINTS = 20
# One in so many is an answer to a survey.
ANSWERS_ONE_IN = 3
# So many share a millisecond: 10,000 a second is a busy retailer's evening.
EVENTS_PER_MILLISECOND = 10
START = datetime(2026, 8, 3, 10, tzinfo=UTC)
START_MILLISECONDS = int(START.timestamp()) * 1000
# Stand in the templates where each event has its own; of the same length, since protobuf has lengths.
EVENT_ID = "00000000-0000-7000-8000-000000000000"
CUSTOMER = "customer" * 4
COMMENT = "The lady at the counter took her time, yet I waited twenty minutes before it was my turn at all."
TENANT, SOURCE = "acme", "till"
ATTEMPT = Attempt(
    tenant=TENANT,
    source=SOURCE,
    received_at=START,
    sent_at=START,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


class Template(NamedTuple):
    topic: str
    touchpoint: str
    # The encoded event around its id and its customer.
    parts: tuple[bytes, bytes, bytes]
    json: str


class Event(NamedTuple):
    id: str
    customer: str
    template: Template
    state: bytes
    content_digest: bytes

    @property
    def json(self) -> str:
        return self.template.json.replace(EVENT_ID, self.id).replace(CUSTOMER, self.customer)


def made(numbers: Iterable[int]) -> list[Event]:
    """The events with these numbers: other numbers, other ids; the same numbers, the same bytes."""
    sha256, events = hashlib.sha256, list[Event]()
    for number in numbers:
        chance = sha256(number.to_bytes(8, "big")).hexdigest()
        time = f"{START_MILLISECONDS + number // EVENTS_PER_MILLISECOND:012x}"
        event_id = f"{time[:8]}-{time[8:]}-7{chance[:3]}-a{chance[3:6]}-{chance[6:18]}"
        customer = f"{int(chance[18:34], 16) % CUSTOMERS:032d}"
        template = TEMPLATES[number % len(TEMPLATES)]
        first, second, third = template.parts
        state = b"".join((first, event_id.encode(), second, customer.encode(), third))
        events.append(Event(event_id, customer, template, state, sha256(state).digest()))
    return events


def entries(events: Sequence[Event]) -> list[Entry]:
    """As the touchpoint service hands them to the journal."""
    ids = originator_ids(TENANT, SOURCE, [event.id for event in events])
    return [
        Entry(originator_id, 1, event.template.topic, event.state, event.content_digest)
        for originator_id, event in zip(ids, events, strict=True)
    ]


def _template(number: int) -> Template:
    touchpoint = f"store.checkout.{number % TOUCHPOINTS:02d}"
    event = pb.Event(
        event_id=EVENT_ID,
        touchpoint=touchpoint,
        customer=CUSTOMER,
        correlation_id=f"journey-{number:06d}",
        staff=f"staff-{number % 40:03d}",
        place=pb.Place(
            store=f"cologne-{number % TOUCHPOINTS:02d}",
            device=f"till-{number % 7}",
            business_date="2026-08-03",
            time_zone="Europe/Berlin",
        ),
        attributes={"campaign": "summer", "aisle": f"{number % 30}"},
    )
    event.occurred_at.FromDatetime(START)
    if number % ANSWERS_ONE_IN:
        topic = "touchledger.interaction.v1"
        event.interaction.stage = pb.STAGE_PURCHASE
        event.interaction.channel = pb.CHANNEL_STORE
        event.interaction.outcome = pb.OUTCOME_COMPLETED
        event.interaction.duration.FromSeconds(30 + number)
        event.interaction.amount.amount = f"{20 + number}.90"
        event.interaction.amount.currency = "EUR"
        event.interaction.options_presented = 3
    else:
        topic = "touchledger.feedback_received.v1"
        event.feedback_received.stage = pb.STAGE_PURCHASE
        event.feedback_received.channel = pb.CHANNEL_STORE
        event.feedback_received.survey = "after-sale/2"
        event.feedback_received.signals.add(
            metric=pb.METRIC_CSAT,
            # None so low that it opens a recovery case: what is stored is counted.
            value=f"{3 + number % 3}",
            scale_min="1",
            scale_max="5",
            direction=pb.DIRECTION_HIGHER_IS_BETTER,
        )
        event.sealed_personal.data = pb.PersonalData(comment=COMMENT).SerializeToString()
    state = event.SerializeToString(deterministic=True)
    first, rest = state.split(EVENT_ID.encode())
    second, third = rest.split(CUSTOMER.encode())
    return Template(topic, touchpoint, (first, second, third), MessageToJson(event, indent=None))


TEMPLATES = [_template(number) for number in range(TOUCHPOINTS * ANSWERS_ONE_IN)]
