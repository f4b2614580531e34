"""What is accepted the quick way is what the table finds nothing in, and nobody can tell the ways apart."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import assume, given
from hypothesis import strategies as st

from services.chassis.wire import varint, with_length
from services.gateway import checks
from services.gateway.checks import SECONDS_MAX, SECONDS_MIN, Good, problem_of, problems_of
from services.gateway.shallow import shallow_events
from tests.support.events import event, of_every_body
from tests.unit.gateway.test_checks import REFUSED
from touchledger.v1 import events_pb2 as pb

Mutation = Callable[[pb.Event], object]

TEXTS = (
    *("", "x", "store checkout", "Zoë", "a\u00a0b", "\u200d", "\U0001f600", "٤", "a" + "\u0301"),
    *("\0", "a\0b", "a\nb", "\t", "\x1b[0m", "\x7f", "\x85", "\u2028"),
    *("x" * length for length in (64, 65, 127, 128, 129, 256, 257, 512, 513, 1024, 1025)),
    *("x" * length for length in (16_384, 16_385, 64 * 1024)),
    *("0", "1", "4", "-0.5", "5", "5.000001", "10", "11", "1e3", "NaN", "1" * 16, "1.1234567"),
    *("EUR", "eur", "EURO", "2026-08-03", "2026-02-30", "20260803", "4012345000009"),
    *("4012345000001", "Europe/Berlin", "Mars/Olympus", "UTC"),
)
NUMBERS = (0, 1, 2, 3, 5, 6, 7, 99, 1899, 1900, 1984, 2100, 2101, 2**31 - 1)
SECONDS = (0, 1, 366 * 86_400, 366 * 86_400 + 1, SECONDS_MIN, SECONDS_MAX, -1, SECONDS_MAX + 1)
NANOS = (0, 1, 999_999_999, 1_000_000_000, -1)
MAPS: tuple[dict[str, str], ...] = (
    *({}, {"": "x"}, {"a": ""}, {"a": "b\nc"}, {"a": "b\0c"}, {"a\0": "b"}, {"a\nb": "c"}),
    *({"k" * 64: "x"}, {"k" * 65: "x"}, {"a": "x" * 128}, {"a": "x" * 129}),
    *({"a": "x" * 1024}, {"a": "x" * 1025}),
    {str(number): "" for number in range(64)},
    {str(number): "" for number in range(65)},
)
UNKNOWN = b"\xf8\x3e\x01"  # field 1007, varint 1


def mutations(kind: Any, at: Callable[[pb.Event], Any]) -> Iterator[Mutation]:
    """All that can be done to one field of a message and of those in it; of new fields, too."""
    yield lambda event: at(event).MergeFromString(UNKNOWN)
    for field in kind.fields:
        yield from _of_field(field, at)


def _of_field(field: Any, at: Callable[[pb.Event], Any]) -> Iterator[Mutation]:
    name = field.name
    yield lambda event: at(event).ClearField(name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        yield from (_filled(at, name, entries) for entries in MAPS)
    elif field.message_type and field.is_repeated:
        yield lambda event: getattr(at(event), name).add()
        yield lambda event: getattr(at(event), name).extend(getattr(at(event), name)[:1] * 51)
        yield from mutations(field.message_type, lambda event: _first(getattr(at(event), name)))
    elif field.message_type:
        yield lambda event: getattr(at(event), name).SetInParent()
        yield from mutations(field.message_type, lambda event: getattr(at(event), name))
    else:
        yield from (_set(at, name, value) for value in _values(field))


def _first(values: Any) -> Any:
    return values[0] if values else values.add()


def _filled(at: Callable[[pb.Event], Any], name: str, entries: dict[str, str]) -> Mutation:
    return lambda event: getattr(at(event), name).update(entries)


def _set(at: Callable[[pb.Event], Any], name: str, value: object) -> Mutation:
    return lambda event: setattr(at(event), name, value)


def _values(field: Any) -> tuple[object, ...]:
    if field.enum_type:
        return (*NUMBERS, -1)
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS
    if field.type == FieldDescriptor.TYPE_BYTES:
        return (b"", b"\0")
    if field.type == FieldDescriptor.TYPE_BOOL:
        return (False, True)
    return {"seconds": SECONDS, "nanos": NANOS}.get(field.name, NUMBERS)


BODIES = pb.Event.DESCRIPTOR.oneofs_by_name["body"].fields
KINDS = sorted(of_every_body())
ENVELOPE = [
    mutation
    for field in pb.Event.DESCRIPTOR.fields
    if field not in BODIES
    for mutation in _of_field(field, lambda event: event)
]
OF_BODY = {field.name: [*_of_field(field, lambda event: event)] for field in BODIES}


def changed_by(kind: str) -> st.SearchStrategy[pb.Event]:
    changes = st.sampled_from([*ENVELOPE, *OF_BODY[kind]])
    return st.lists(changes, max_size=3).map(lambda each: changed(of_every_body()[kind], each))


events = st.sampled_from(KINDS).flatmap(changed_by)


def changed(event: pb.Event, changes: list[Mutation]) -> pb.Event:
    for change in changes:
        change(event)
    return event


def copy(event: pb.Event) -> pb.Event:
    made = pb.Event()
    made.CopyFrom(event)
    return made


def good(*events: pb.Event) -> Good | None:
    """By the quick way alone."""
    encodings = checks.encodings_of(events)
    return checks.good(encodings) if encodings else None


# A field again, of each type that the wire has: a number, eight bytes, text, a group and four bytes.
AGAIN: dict[int, tuple[bytes, ...]] = {
    0: (b"\x00", b"\x01", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    1: (bytes(8),),
    2: tuple(with_length(b"", text) for text in (b"", b"\x03", b"\x03\x04", b"\xff", b"\x08\x01")),
    3: (),
    5: (bytes(4),),
}


def added(fields: Any, path: tuple[int, ...] = ()) -> Iterator[bytes]:
    """What can follow an encoded event: a field more at any place, known there or not."""
    for number in [*(field.number for field in fields), 1007]:
        for type_, values in AGAIN.items():
            tag, end = varint(number << 3 | type_), varint(number << 3 | 4)
            for value in values or (end, b"\x08\x01" + end):
                yield inside(path, tag + value)
    for field in fields:
        if field.message_type:
            yield from added(field.message_type.fields, (*path, field.number))


def inside(path: tuple[int, ...], encoded: bytes) -> bytes:
    for number in reversed(path):
        encoded = with_length(varint(number << 3 | 2), encoded)
    return encoded


@pytest.mark.parametrize("kind", sorted(checks.BODIES))
def test_a_field_more_of_any_wire_type_has_the_verdict_of_the_table(kind: str) -> None:
    """Such as text where a number is: columns would read it as packed numbers, or could not be read."""
    full = of_every_body()[kind].SerializeToString(deterministic=True)
    fields = [
        each for each in pb.Event.DESCRIPTOR.fields if each not in BODIES or each.name == kind
    ]
    given = list[pb.Event]()
    for more in added(fields):
        with contextlib.suppress(DecodeError):
            given.append(pb.Event.FromString(full + more))
    assert len(given) > len(fields)
    for each in given:
        assert [problem_of(copy(each))] == problems_of([each])


@given(events)
def test_nothing_is_accepted_the_quick_way_that_the_table_refuses(event: pb.Event) -> None:
    found = problem_of(copy(event))
    assert not good(copy(event)) or found is None
    assert [found] == problems_of([copy(event)])


@given(events, st.sampled_from(["", "another"]))
def test_a_shallow_event_is_written_as_the_library_writes_the_whole_one(
    event: pb.Event, customer: str
) -> None:
    encodings = checks.encodings_of([event])
    assume(encodings is not None)
    assert encodings is not None
    [shallow] = shallow_events(encodings)
    event.customer = shallow.customer = customer
    if event.personal == pb.PersonalData():
        # Says nothing, and is left out.
        event.ClearField("personal")
    written = shallow.SerializeToString(deterministic=True)
    assert event.SerializeToString(deterministic=True) == written


@given(st.lists(events, min_size=1, max_size=4))
def test_what_stands_beside_an_event_changes_no_verdict(given: list[pb.Event]) -> None:
    expected = [problem_of(copy(event)) for event in given]
    assert expected == problems_of([copy(event) for event in given])


@given(st.lists(events, min_size=1, max_size=5))
def test_events_that_are_looked_at_together_are_found_as_each_alone(given: list[pb.Event]) -> None:
    alone = [good(copy(event)) for event in given]
    together = good(*map(copy, given))
    assert (None not in alone) == (together is not None)
    if together is not None:
        expected = Good.joined(filter(None, alone))
        assert expected[1:] == tuple(map(list, together[1:]))
        written = [each.SerializeToString(deterministic=True) for each in expected.events]
        assert written == [each.SerializeToString(deterministic=True) for each in together.events]


def test_entries_are_counted_for_each_event() -> None:
    """Of two that have as many together, one may have too many."""
    most = event(attributes={str(number): "" for number in range(10, 74)})
    assert good(most, most)
    more = event(attributes={str(number): "" for number in range(10, 75)})
    assert good(more, event()) is None
    # The smallest that there are.
    least = event(attributes={chr(number): "" for number in range(33, 98)})
    assert good(event(), least, event()) is None


def test_entries_of_a_body_are_counted_for_each_event() -> None:
    most, more = (of_every_body()["customer_profile"] for _ in range(2))
    most.customer_profile.segments.clear()
    most.customer_profile.segments.update({chr(number): "" for number in range(33, 97)})
    more.CopyFrom(most)
    more.customer_profile.segments["~"] = ""
    assert good(most, most)
    assert good(most, more) is None


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"correction"}))
def test_any_change_of_one_field_has_the_verdict_of_the_table(kind: str) -> None:
    good = of_every_body()[kind]
    for change in OF_BODY[kind]:
        event = changed(copy(good), [change])
        assert [problem_of(copy(event))] == problems_of([event])


def test_any_change_of_the_envelope_has_the_verdict_of_the_table() -> None:
    good = of_every_body()["recovery_closed"]
    for change in ENVELOPE:
        event = changed(copy(good), [change])
        assert [problem_of(copy(event))] == problems_of([event])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_among_good_ones_in_the_same_words(name: str) -> None:
    bad = REFUSED[name][0]
    expected = [None, problem_of(copy(bad)), None]
    assert expected == problems_of([event(), copy(bad), event()])


# Amendments, and what needs one field of the envelope or another, are rare.
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"correction", "retraction", "front_line"}))
def test_full_events_of_common_bodies_take_the_quick_way(kind: str) -> None:
    given = of_every_body()[kind]
    found = good(given)
    assert found
    assert [given.SerializeToString(deterministic=True)] == found.encodings
    assert ([kind], [given.customer]) == ([*found.bodies], [*found.customers])


def test_what_is_remembered_of_good_events_is_short() -> None:
    """Hostile texts of any length would fill the memory."""
    caches = checks.CACHES
    before = [each.cache_info().currsize for each in caches]
    for text in ("x" * (1 << 20), "\u0100" * (1 << 20)):
        long = event()
        long.touchpoint = long.place.store = long.interaction.amount.amount = text
        long.interaction.amount.currency = long.attributes[text] = text
        assert good(long) is None
        answer = of_every_body()["feedback_received"]
        answer.feedback_received.signals[0].question = text
        assert good(answer) is None
    assert before == [each.cache_info().currsize for each in caches]
