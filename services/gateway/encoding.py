"""From published events to the bytes that are stored for good: deterministic, no references to people."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.wire import varint, with_length
from services.gateway.checks import SECONDS_MAX, SECONDS_MIN, Good
from services.gateway.keyring import Keyring
from touchledger.v1 import events_pb2
from touchledger.v1.journal_pb2 import AppendRequest

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
    "staff_profile": "touchledger.staff_profile.v1",
    "assessment": "touchledger.assessment.v1",
    "reason_stated": "touchledger.reason_stated.v1",
    "insight": "touchledger.insight.v1",
    "advice": "touchledger.advice.v1",
    "product_follow_up": "touchledger.product_follow_up.v1",
    "public_post_removed": "touchledger.public_post_removed.v1",
    "service_claim": "touchledger.service_claim.v1",
    "front_line": "touchledger.front_line.v1",
    "identity": "touchledger.identity.v1",
    "scenario": "touchledger.scenario.v1",
    "correction": "touchledger.correction.v1",
    "retraction": "touchledger.retraction.v1",
}
# The fields of an AppendEntry, and where it stands in an AppendRequest: number and type as on the wire.
ENTRY, TOPIC, EVENT = b"\x1a", b"\x12", b"\x1a"
CONTENT_DIGEST = b"\x22" + varint(32)
# SealedPersonalData.data. Its key id stays 0, which means that the data is clear.
SEALED_DATA = b"\x12"
TOPIC_FIELDS = {kind: with_length(TOPIC, topic.encode()) for kind, topic in TOPICS.items()}
# A clock that is off by less is left alone, and others are corrected by whole steps: what a message takes on
# its way, seconds on a bad line, must not move a time.
CLOCK_STEP_SECONDS = 300
LATE_SECONDS = 24 * 3600
FUTURE_SECONDS = 300
NANOSECONDS = 1_000_000_000
# Handled in one turn of the event loop, 2 ms.
SLICE_EVENTS = 125
# Levels of trust, formats, late or not: some dozens.
INTAKES_CACHED_MAX = 256


class Shared(NamedTuple):
    """What the events of an AppendRequest have in common."""

    tenant: str
    source: str
    trust: int
    adapter: str
    # Nanoseconds since 1970. None: when the request is made, at most coalescing.WAIT_SECONDS_MAX later.
    received_at: int | None
    sent_at: int | None
    traceparent: str


def append_request(shared: Shared, events: Good, keyring: Keyring) -> Iterator[bytes]:
    """An AppendRequest, encoded in parts: what all entries share, then the entries of a slice in each."""
    received_at = clock.now() if shared.received_at is None else moment(shared.received_at)
    sent_at = None if shared.sent_at is None else moment(shared.sent_at)
    intakes = Intakes(shared.trust, shared.adapter, received_at, sent_at)
    yield AppendRequest(
        tenant=shared.tenant,
        source=shared.source,
        received_at=received_at,
        sent_at=sent_at,
        traceparent=shared.traceparent,
    ).SerializeToString()
    for start in range(0, len(events.encodings), SLICE_EVENTS):
        some = events.part(start, start + SLICE_EVENTS)
        conceal(some, shared.tenant, keyring)
        yield entries(some, shared.tenant, keyring, intakes)


def moment(nanoseconds: int) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(nanoseconds)
    return made


def conceal(good: Good, tenant: str, keyring: Keyring) -> None:
    """The pseudonym takes the customer's place, and what is personal gets its own part."""
    others = [
        event.identity
        for event, body in zip(good.events, good.bodies, strict=True)
        if body == "identity"
    ]
    known = {*good.customers, *(each.same_as for each in others)} - {""}
    pseudonyms = dict(zip(known, keyring.pseudonyms(tenant, known), strict=True))
    for each in others:
        each.same_as = pseudonyms[each.same_as]
    for event, customer, personal in zip(good.events, good.customers, good.personal, strict=True):
        if customer:
            event.customer = pseudonyms[customer]
        if personal:
            event.sealed_personal = with_length(SEALED_DATA, personal)
            event.ClearField("personal")


def entries(good: Good, tenant: str, keyring: Keyring, intakes: "Intakes") -> bytes:
    """The entries of an AppendRequest, encoded: with their digests, and the intake added to each state.

    The digest is of the event as it was published: a repeat under another trust or clock is the same event,
    and the digest stays the same when keys for sealing change.
    """
    digests, parts = keyring.content_digests(tenant, good.encodings), list[bytes]()
    for event, encoding, body, intake, digest in zip(
        good.events, good.encodings, good.bodies, intakes.of(good), digests, strict=True
    ):
        state = event.SerializeToString(deterministic=True)
        # As the last field, whatever its number, the intake is the same for most events.
        rest = b"%b%b%b%b%b%b%b" % (
            TOPIC_FIELDS[body],
            EVENT,
            varint(len(state) + len(intake)),
            state,
            intake,
            CONTENT_DIGEST,
            digest,
        )
        event_id = _event_id_field(encoding)
        # By hand: the library would make an object of each, and copy the event twice.
        parts += (ENTRY, varint(len(event_id) + len(rest)), event_id, rest)
    return b"".join(parts)


def _event_id_field(published: bytes) -> bytes:
    """The first field of an encoded event, which an AppendEntry has under the same number."""
    size, begin = published[1], 2
    if size >= 128:
        # 128 characters have 512 bytes at most.
        size, begin = size - 128 + published[2] * 128, 3
    return published[: begin + size]


class Intakes:
    """What the gateway notes of the events of one call, each as an encoded Event that holds nothing else."""

    def __init__(
        self, trust: int, adapter: str, received_at: Timestamp, sent_at: Timestamp | None
    ) -> None:
        self._trust = trust
        self._adapter = adapter
        self._received_at = received_at.ToNanoseconds()
        self._offset_seconds = clock_offset_seconds(received_at, sent_at)
        # Within these whole seconds it is on time, as nearly all are.
        self._on_time_from = received_at.seconds - LATE_SECONDS + 1
        self._on_time_to = received_at.seconds + FUTURE_SECONDS - 1
        self._on_time = _encoded_intake(trust, adapter, False, False)

    def of(self, good: Good) -> Iterable[bytes]:
        if (
            not self._offset_seconds
            and self._on_time_from <= min(good.seconds)
            and max(good.seconds) <= self._on_time_to
        ):
            return repeat(self._on_time, len(good.seconds))
        return map(self._of, good.seconds, good.nanos)

    def _of(self, seconds: int, nanos: int) -> bytes:
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
