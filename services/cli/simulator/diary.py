"""Writes down what happens as events, and hands them out in the order in which the sources publish them."""

from collections.abc import Iterator
from heapq import heappop, heappush
from random import Random
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from services.cli.simulator.retailer import (
    DAY_MS,
    HOUR_MS,
    QUARTER_END_MS,
    SECOND_MS,
    Store,
    Touchpoint,
)
from touchledger.v1 import events_pb2 as pb

# Shares of events that turn out wrong. While tills are offline people book by hand: so many times as many.
CORRECTED_SHARE = 0.008
RETRACTED_SHARE = 0.004
AMENDED_WHEN_OFFLINE = 40.0


def timestamp(at_ms: int) -> Timestamp:
    return Timestamp(seconds=at_ms // SECOND_MS, nanos=at_ms % SECOND_MS * 1_000_000)


def uuid7(at_ms: int, dice: Random) -> str:
    """RFC 9562: 48 bits of milliseconds, version 7, variant 2, and 74 bits out of the seeded dice."""
    chance = dice.getrandbits(74)
    tail = (0x8 << 60) | (chance & ((1 << 62) - 1))
    text = f"{at_ms:012x}7{chance >> 62:03x}{tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def hundredths(value: int) -> str:
    """An exact decimal string with two places."""
    whole, part = divmod(abs(value), 100)
    return f"{'-' if value < 0 else ''}{whole}.{part:02d}"


def money(cents: int) -> pb.Money:
    return pb.Money(amount=hundredths(cents), currency="EUR")


class Diary:
    def __init__(self, seed: int) -> None:
        # Only random(), getrandbits() and what rests on them: these give the same numbers in every Python.
        self.dice = Random(seed)  # noqa: S311  # repeatable is what is wanted here
        self._unpublished: list[tuple[int, int, pb.Event]] = []
        self._written = 0
        # One post in a quarter does.
        self.went_viral = False

    def write(
        self,
        *,
        at_ms: int,
        touchpoint: Touchpoint | None = None,
        customer: str = "",
        correlation: str = "",
        cause: str = "",
        store: Store | None = None,
        device: str = "",
        staff: str = "",
        comment: str = "",
        contact: str = "",
        attributes: dict[str, str] | None = None,
        amendable: bool = False,
        **body: Any,
    ) -> pb.Event:
        """Writes one event. With a device it happened at a till, which may be offline."""
        event = pb.Event(
            event_id=uuid7(at_ms, self.dice),
            occurred_at=timestamp(at_ms),
            touchpoint=touchpoint.name if touchpoint else "",
            customer=customer,
            correlation_id=correlation,
            causation_id=cause,
            staff=staff,
            attributes=attributes,
            **body,
        )
        published_ms = at_ms
        if store is not None:
            event.place.store = store.name
            event.place.gln = store.gln
            event.place.business_date = store.business_date(at_ms)
            event.place.time_zone = store.time_zone
            if device:
                event.place.device = device
                published_ms = store.back_online_ms(at_ms)
        if comment:
            event.personal.comment = comment
        if contact:
            event.personal.contact = contact
        self._publish(published_ms, event)
        if amendable and published_ms < QUARTER_END_MS:
            self._amend(event, at_ms, AMENDED_WHEN_OFFLINE if published_ms > at_ms else 1.0)
        return event

    def published_before(self, at_ms: int) -> Iterator[pb.Event]:
        """Hands out what the sources publish before at_ms, and forgets it."""
        while self._unpublished and self._unpublished[0][0] < at_ms:
            yield heappop(self._unpublished)[2]

    def _publish(self, published_ms: int, event: pb.Event) -> None:
        # What would be published after the quarter has not happened yet.
        if published_ms < QUARTER_END_MS:
            self._written += 1  # breaks ties, so that events themselves are never compared
            heappush(self._unpublished, (published_ms, self._written, event))

    def _amend(self, event: pb.Event, at_ms: int, factor: float) -> None:
        """The office finds some mistakes hours to days later, and publishes on a line of its own."""
        chance = self.dice.random() / factor
        if chance >= CORRECTED_SHARE + RETRACTED_SHARE:
            return
        luck = self.dice.random()
        noticed_ms = at_ms + HOUR_MS + int(luck * luck * 4 * DAY_MS)
        if chance < RETRACTED_SHARE:
            self._retract(event, noticed_ms)
        else:
            # It replaces all of its target, the moment included: only its publication is later.
            self._publish(noticed_ms, self._correction(event, at_ms))

    def _retract(self, event: pb.Event, noticed_ms: int) -> None:
        retraction = pb.Event(
            event_id=uuid7(noticed_ms, self.dice),
            occurred_at=timestamp(noticed_ms),
            touchpoint=event.touchpoint,
            correlation_id=event.correlation_id,
            amends=pb.EventReference(event_id=event.event_id),
            retraction=pb.Retraction(reason=self.dice.choice(("test transaction", "sent twice"))),
        )
        self._publish(noticed_ms, retraction)

    def _correction(self, event: pb.Event, at_ms: int) -> pb.Event:
        right = pb.Event()
        right.CopyFrom(event)
        right.event_id = uuid7(at_ms, self.dice)
        right.amends.event_id = event.event_id
        if event.HasField("interaction"):
            interaction = right.interaction
            reason = "wrong duration"
            interaction.duration.seconds += 60
            if interaction.HasField("amount"):
                reason = "wrong amount"
                # Ten cents off: the price label won over the till.
                interaction.amount.CopyFrom(money(_cents(interaction.amount) - 10))
            right.correction.CopyFrom(pb.Correction(reason=reason, interaction=interaction))
        else:
            answer = right.feedback_received
            reason = "wrong kind of feedback"
            if answer.signals:
                reason = "answer misheard"
                first = answer.signals[0]
                step = -1 if first.value != first.scale_min else 1
                first.value = str(int(first.value) + step)
            else:
                answer.kind = pb.FEEDBACK_KIND_COMMENT
            right.correction.CopyFrom(pb.Correction(reason=reason, feedback_received=answer))
        return right


def _cents(amount: pb.Money) -> int:
    return int(amount.amount.replace(".", ""))
