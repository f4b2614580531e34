"""From published events to the bytes that are stored for good: deterministic, no references to people."""

from collections.abc import Sequence
from functools import lru_cache

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.access import Caller
from services.gateway.checks import SECONDS_MAX, SECONDS_MIN
from services.gateway.keyring import Keyring
from touchledger.v1 import events_pb2
from touchledger.v1.journal_pb2 import AppendEntry

# Literal and versioned: a rename of a field or a class changes no stored byte.
TOPICS = {
    "interaction": "touchledger.interaction.v1",
    "feedback_requested": "touchledger.feedback_requested.v1",
    "feedback_suppressed": "touchledger.feedback_suppressed.v1",
    "feedback_received": "touchledger.feedback_received.v1",
    "expectation": "touchledger.expectation.v1",
    "public_post": "touchledger.public_post.v1",
    "failure": "touchledger.failure.v1",
    "remedy": "touchledger.remedy.v1",
    "goodwill": "touchledger.goodwill.v1",
    "recovery_closed": "touchledger.recovery_closed.v1",
    "recognition": "touchledger.recognition.v1",
    "customer_profile": "touchledger.customer_profile.v1",
    "correction": "touchledger.correction.v1",
    "retraction": "touchledger.retraction.v1",
}
# A clock that is off by less is left alone, and others are corrected by whole steps: what a message takes on
# its way, seconds on a bad line, must not move a time.
CLOCK_STEP_SECONDS = 300
LATE_SECONDS = 24 * 3600
FUTURE_SECONDS = 300
NANOSECONDS = 1_000_000_000
# Levels of trust, formats, late or not: some dozens.
INTAKES_CACHED_MAX = 256


def encode_batch(
    events: Sequence[tuple[events_pb2.Event, bytes]],
    caller: Caller,
    keyring: Keyring,
    *,
    received_at: Timestamp,
    sent_at: Timestamp | None,
    adapter: str = "",
    into: RepeatedCompositeFieldContainer[AppendEntry],
) -> None:
    """Adds the entries for the journal of events that were checked, with their encodings. Changes the events.

    The pseudonym takes the customer's place, personal data get their own part, and the intake is added. The
    digest is of the event as it was published: a repeat under another trust or clock is the same event, and
    the digest stays the same when keys for sealing change.
    """
    tenant, add = caller.tenant, into.add
    intakes = _Intakes(caller.trust, adapter, received_at, sent_at)
    digests = keyring.content_digests(tenant, [published for _, published in events])
    customers = {event.customer for event, _ in events}
    pseudonyms = dict(zip(customers, keyring.pseudonyms(tenant, customers), strict=True))
    for (event, _), content_digest in zip(events, digests, strict=True):
        if customer := event.customer:
            event.customer = pseudonyms[customer]
        if event.HasField("personal"):
            # Its key id stays 0, which means that it is clear.
            event.sealed_personal.data = event.personal.SerializeToString(deterministic=True)
            event.ClearField("personal")
        add(
            event_id=event.event_id,
            topic=TOPICS[event.WhichOneof("body") or ""],
            # As the last field, whatever its number: it is the same for most events.
            event=event.SerializeToString(deterministic=True) + intakes.of(event.occurred_at),
            content_digest=content_digest,
        )


class _Intakes:
    """What the gateway notes of the events of one call, each as an encoded Event that holds nothing else."""

    def __init__(
        self, trust: int, adapter: str, received_at: Timestamp, sent_at: Timestamp | None
    ) -> None:
        self._trust = trust
        self._adapter = adapter
        self._received_at = received_at.ToNanoseconds()
        self._offset_seconds = clock_offset_seconds(received_at, sent_at)

    def of(self, occurred_at: Timestamp) -> bytes:
        seconds, nanos = occurred_at.seconds, occurred_at.nanos
        age = self._received_at - seconds * NANOSECONDS - nanos
        future = -age > FUTURE_SECONDS * NANOSECONDS
        corrected = seconds + self._offset_seconds
        if not self._offset_seconds or not SECONDS_MIN <= corrected <= SECONDS_MAX:
            late = age > LATE_SECONDS * NANOSECONDS
            return _encoded_intake(self._trust, self._adapter, late, future)
        # By the better clock: a till that is days behind and sends at once is not late.
        late = age - self._offset_seconds * NANOSECONDS > LATE_SECONDS * NANOSECONDS
        moment = Timestamp(seconds=corrected, nanos=nanos)
        intake = events_pb2.Intake(
            trust=self._trust,  # type: ignore[arg-type]  # a number is what the database has
            corrected_occurred_at=moment,
            late=late,
            future=future,
            adapter=self._adapter,
        )
        return events_pb2.Event(intake=intake).SerializeToString(deterministic=True)


@lru_cache(INTAKES_CACHED_MAX)
def _encoded_intake(trust: int, adapter: str, late: bool, future: bool) -> bytes:
    intake = events_pb2.Intake(
        trust=trust,  # type: ignore[arg-type]  # a number is what the database has
        late=late,
        future=future,
        adapter=adapter,
    )
    event = events_pb2.Event(intake=intake if intake.ByteSize() else None)
    return event.SerializeToString(deterministic=True)


def clock_offset_seconds(received_at: Timestamp, sent_at: Timestamp | None) -> int:
    """What has to be added to the source's clock, in whole steps; 0 for one that is right or unknown."""
    if sent_at is None:
        return 0
    ahead = received_at.ToNanoseconds() - sent_at.ToNanoseconds()
    step = CLOCK_STEP_SECONDS * NANOSECONDS
    if abs(ahead) <= step:
        return 0
    return (ahead + step // 2) // step * CLOCK_STEP_SECONDS
