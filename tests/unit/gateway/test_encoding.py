"""What of an event is stored, and what the gateway notes about it when it takes it in."""

from dataclasses import replace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.access import Caller
from services.gateway.checks import Good, checked, encodings_of, good
from services.gateway.encoding import Shared, append_request
from services.gateway.keyring import Keyring
from services.gateway.shallow import encodings_in, shallow_events
from tests.support.events import event, of_every_body
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.ingest_pb2 import PublishBatchRequest, PublishStreamRequest
from touchledger.v1.journal_pb2 import AppendEntry, AppendRequest

CALLER = Caller("acme", "till", frozenset(), trust=pb.TRUST_SOURCE)
KEYRING = Keyring(bytes(range(32)))
MINUTE, HOUR = 60, 3600


def at(seconds: float) -> Timestamp:
    """So many seconds after the events of the tests happened."""
    moment = Timestamp()
    moment.FromNanoseconds(event().occurred_at.ToNanoseconds() + round(seconds * 1e9))
    return moment


def encoded(
    given: pb.Event,
    *,
    caller: Caller = CALLER,
    received: float = 0,
    sent: float | None = None,
    adapter: str = "",
) -> AppendEntry:
    sent_at = None if sent is None else at(sent)
    [entry] = batch(
        [given], caller=caller, received_at=at(received), sent_at=sent_at, adapter=adapter
    )
    return entry


def batch(
    events: list[pb.Event],
    *,
    caller: Caller = CALLER,
    received_at: Timestamp,
    sent_at: Timestamp | None,
    adapter: str = "",
) -> list[AppendEntry]:
    shared = Shared(
        caller.tenant,
        caller.source,
        caller.trust,
        adapter,
        received_at.ToNanoseconds(),
        sent_at.ToNanoseconds() if sent_at else None,
        "",
    )
    encodings = encodings_of(events)
    some = good(encodings) if encodings else None
    checked_events = some or Good.joined(good_one(each) for each in events)
    encoded = b"".join(append_request(shared, checked_events, KEYRING))
    return list(AppendRequest.FromString(encoded).entries)


def good_one(event: pb.Event) -> Good:
    found = checked(event)
    assert isinstance(found, Good), found
    return found


def stored(entry: AppendEntry) -> pb.Event:
    return pb.Event.FromString(entry.event)


def intake(received: float, sent: float | None = None) -> pb.Intake:
    return stored(encoded(event(), received=received, sent=sent)).intake


@pytest.mark.parametrize("kind", of_every_body())
def test_all_is_stored_but_the_customer_and_what_is_personal(kind: str) -> None:
    given = of_every_body()[kind]
    entry = encoded(of_every_body()[kind])
    read = stored(entry)
    assert f"touchledger.{kind}.v1" == entry.topic
    assert given.event_id == entry.event_id
    assert KEYRING.pseudonym("acme", given.customer) == read.customer
    assert (given.personal, 0) == (
        pb.PersonalData.FromString(read.sealed_personal.data),
        read.sealed_personal.key_id,
    )
    assert pb.Intake(trust=pb.TRUST_SOURCE) == read.intake
    if kind == "identity":
        # The other reference is of a customer, too.
        assert KEYRING.pseudonym("acme", given.identity.same_as) == read.identity.same_as
        given.identity.same_as = read.identity.same_as
    for name in ("customer", "personal", "sealed_personal", "intake"):
        given.ClearField(name)
        read.ClearField(name)
    assert given == read


def test_an_event_without_customer_gets_no_pseudonym() -> None:
    assert not stored(encoded(event())).customer
    assert not stored(encoded(event())).HasField("sealed_personal")


def test_a_repeat_with_other_trust_clock_or_format_is_the_same_event() -> None:
    first = encoded(event())
    again = encoded(
        event(),
        caller=replace(CALLER, trust=pb.TRUST_OPEN),
        received=90_000,
        sent=-HOUR,
        adapter="square.v1",
    )
    assert first.event != again.event
    assert first.content_digest == again.content_digest


def test_another_customer_or_comment_is_another_content() -> None:
    digests = {
        encoded(event(**fields)).content_digest
        for fields in ({}, {"customer": "a"}, {"customer": "b"}, {"personal": {"comment": "a"}})
    }
    assert 4 == len(digests)


def test_the_order_that_attributes_came_in_changes_nothing() -> None:
    names = [f"name {number}" for number in range(20)]
    there = event(attributes=dict.fromkeys(names, "x"))
    back = event(attributes=dict.fromkeys(reversed(names), "x"))
    assert encoded(there) == encoded(back)


@pytest.mark.parametrize(
    ("trust", "adapter"),
    [(pb.TRUST_UNSPECIFIED, ""), (pb.TRUST_OPEN, ""), (pb.TRUST_AUDITED, "square.v1")],
)
def test_trust_and_format_are_noted(trust: pb.Trust, adapter: str) -> None:
    read = stored(encoded(event(), caller=replace(CALLER, trust=trust), adapter=adapter))
    assert pb.Intake(trust=trust, adapter=adapter) == read.intake
    assert bool(trust or adapter) == read.HasField("intake")


@pytest.mark.parametrize("received", [0, 24 * HOUR])
def test_an_event_is_not_late_within_24_hours(received: float) -> None:
    assert not intake(received).late


def test_an_event_is_late_after_more_than_24_hours() -> None:
    assert intake(24 * HOUR + 1e-9 * 1000).late


def test_an_event_is_of_the_future_from_more_than_five_minutes_before_it_happens() -> None:
    assert not intake(-5 * MINUTE).future
    assert intake(-5 * MINUTE - 1e-9 * 1000).future


@pytest.mark.parametrize("sent", [None, 0, -5 * MINUTE, 5 * MINUTE])
def test_a_clock_that_differs_by_no_more_than_five_minutes_is_left_alone(
    sent: float | None,
) -> None:
    assert not intake(0, sent).HasField("corrected_occurred_at")


@pytest.mark.parametrize(
    ("sent", "corrected"),
    [
        (-5 * MINUTE - 1e-6, 5 * MINUTE),
        (-7 * MINUTE, 5 * MINUTE),
        (-8 * MINUTE, 10 * MINUTE),
        (8 * MINUTE, -10 * MINUTE),
        (HOUR + 20, -HOUR),
        (-HOUR - 20, HOUR),
    ],
)
def test_a_clock_that_is_off_by_more_is_corrected_by_whole_five_minutes(
    sent: float, corrected: float
) -> None:
    read = stored(encoded(event(), sent=sent))
    assert at(corrected) == read.intake.corrected_occurred_at
    # What the source said stays.
    assert event().occurred_at == read.occurred_at


def test_the_way_of_a_message_moves_no_time() -> None:
    times = {
        stored(encoded(event(), received=HOUR + way, sent=0)).intake.corrected_occurred_at.seconds
        for way in (0.1, 2, 30, 120)
    }
    assert 1 == len(times)


def test_a_till_whose_clock_is_days_behind_is_not_late_when_it_sends_at_once() -> None:
    noted = intake(50 * HOUR, sent=0)
    assert at(50 * HOUR) == noted.corrected_occurred_at
    assert not noted.late


def test_a_clock_of_the_year_1970_is_corrected() -> None:
    given = event()
    given.occurred_at.seconds, sent = 1000, Timestamp(seconds=1030)
    received = at(0)
    [entry] = batch([given], received_at=received, sent_at=sent)
    assert abs(stored(entry).intake.corrected_occurred_at.seconds - received.seconds) <= 5 * MINUTE


@pytest.mark.parametrize("seconds", [-62_135_596_800, 253_402_300_799])
def test_no_time_is_moved_out_of_the_years_that_events_may_have(seconds: int) -> None:
    """The years 1 and 9999 are what a Timestamp can say, and what a broken clock may say."""
    given = event()
    given.occurred_at.seconds = -2_208_988_800 if seconds > 0 else 32_503_679_999
    [entry] = batch([given], received_at=at(0), sent_at=Timestamp(seconds=seconds))
    assert not stored(entry).intake.HasField("corrected_occurred_at")


def test_a_batch_is_its_events_one_by_one() -> None:
    events = list(of_every_body().values())
    together = batch([*of_every_body().values()], received_at=at(HOUR), sent_at=at(0))
    assert [encoded(each, received=HOUR, sent=0) for each in events] == together


@pytest.mark.parametrize("kind", of_every_body())
def test_a_shallow_event_is_written_as_the_whole_one(kind: str) -> None:
    whole = of_every_body()[kind]
    encoding = whole.SerializeToString(deterministic=True)
    [shallow] = shallow_events([encoding])
    assert encoding == shallow.SerializeToString(deterministic=True)
    whole.customer = shallow.customer = "another"
    assert whole.SerializeToString(deterministic=True) == shallow.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("kind", [PublishBatchRequest, PublishStreamRequest])
def test_a_request_gives_the_encodings_of_its_events(
    kind: type[PublishBatchRequest | PublishStreamRequest],
) -> None:
    events = list(of_every_body().values())
    request = kind.FromString(kind(events=events, attempt={"sent_at": at(0)}).SerializeToString())
    size, encodings = encodings_in(request)
    assert request.ByteSize() == size
    assert [each.SerializeToString(deterministic=True) for each in events] == encodings


@pytest.mark.parametrize("inside", [False, True])
def test_a_request_with_an_unknown_field_is_kept_as_it_is(inside: bool) -> None:
    unknown = b"\xf8\x3e\x01"  # field 1007, varint 1
    odd = event()
    (odd.interaction if inside else odd).MergeFromString(unknown)
    request = PublishBatchRequest(events=[event(), odd])
    size, encodings = encodings_in(request)
    assert request.ByteSize() == size
    assert [each.SerializeToString(deterministic=True) for each in (event(), odd)] == encodings
    assert [event(), odd] == list(request.events)
    assert good(encodings) is None
    assert good(encodings[:1]) is not None


def test_what_is_empty_but_there_is_kept_so() -> None:
    given = event(interaction={"wait": "0s", "amount": {}}, place={})
    given.occurred_at.seconds = given.occurred_at.nanos = 0
    [shallow] = shallow_events([given.SerializeToString(deterministic=True)])
    assert given == pb.Event.FromString(shallow.SerializeToString(deterministic=True))


def test_an_id_of_many_bytes_is_kept_whole() -> None:
    for length in (1, 63, 64, 127, 128):
        event_id = "\u20ac" * length
        assert event_id == encoded(event(event_id=event_id)).event_id
