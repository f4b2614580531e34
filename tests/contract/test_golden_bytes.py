"""Bytes on the wire and in the journal mean what they meant."""

from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import get_topic
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.touchpoint.decisions.listing import KINDS
from services.touchpoint.decisions.stored import MAPPER
from tests.contract import golden_bytes
from touchledger.v1.events_pb2 import Event

WIRE = golden_bytes.read("wire")
STORED = golden_bytes.read("stored")
DECISIONS = golden_bytes.read("decisions")


def test_every_message_is_written_down() -> None:
    assert golden_bytes.with_new_versions(WIRE, golden_bytes.wire()) == WIRE
    assert list(dict(golden_bytes.wire())) == [name for name in WIRE if "#" not in name]


def test_every_body_is_written_down_as_it_is_stored() -> None:
    assert golden_bytes.with_new_versions(STORED, golden_bytes.stored()) == STORED
    assert list(dict(golden_bytes.stored())) == [name for name in STORED if "#" not in name]


@pytest.mark.parametrize("name", WIRE)
def test_wire_bytes_read_as_they_did(name: str) -> None:
    message = name.partition("#")[0]
    descriptor = descriptor_pool.Default().FindMessageTypeByName(message.partition("/")[0])
    read = message_factory.GetMessageClass(descriptor).FromString(bytes.fromhex(WIRE[name]))
    assert_part_of(dict(golden_bytes.messages())[message], read)


def assert_part_of(whole: Message, part: Message) -> None:
    """Each field that is set in the part, which may be older, is the same in the whole."""
    assert not len(UnknownFieldSet(part)), part
    for field, got in part.ListFields():
        want = getattr(whole, field.name)
        if field.enum_type and not field.is_repeated:
            # The last value that there was.
            assert 0 < got <= want
        elif field.message_type is None or field.message_type.GetOptions().map_entry:
            assert want == got
        elif field.is_repeated:
            for each_want, each_got in zip(want, got, strict=True):
                assert_part_of(each_want, each_got)
        else:
            assert_part_of(want, got)


@pytest.mark.parametrize("name", dict(golden_bytes.wire()))
def test_wire_bytes_are_written_as_they_were(name: str) -> None:
    # The last version's are those of all fields that there are.
    assert WIRE[golden_bytes.versions(name, WIRE)[-1]] == dict(golden_bytes.wire())[name]


@pytest.mark.parametrize("kind", dict(golden_bytes.stored()))
def test_an_event_is_stored_as_it_was(kind: str) -> None:
    # The last version's is that of all fields that there are.
    assert STORED[golden_bytes.versions(kind, STORED)[-1]] == dict(golden_bytes.stored())[kind]


@pytest.mark.parametrize("name", STORED)
def test_a_stored_event_reads_as_it_did(name: str) -> None:
    written, now = STORED[name], dict(golden_bytes.stored())[name.partition("#")[0]]
    assert (now["originator_id"], now["topic"]) == (written["originator_id"], written["topic"])
    assert_part_of(
        Event.FromString(bytes.fromhex(now["state"])),
        Event.FromString(bytes.fromhex(written["state"])),
    )


def test_every_decision_is_written_down_as_it_is_stored() -> None:
    defined = {
        get_topic(each)
        for kind in KINDS
        for each in vars(kind).values()
        if isinstance(each, type) and issubclass(each, kind.Event) and each is not kind.Event
    }
    assert defined == set(DECISIONS)


@pytest.mark.parametrize("topic", DECISIONS)
def test_a_decision_is_stored_as_it_was(topic: str) -> None:
    assert DECISIONS[topic] == dict(golden_bytes.decisions())[topic]


@pytest.mark.parametrize("topic", DECISIONS)
def test_a_decision_is_read_as_it_was_meant(topic: str) -> None:
    written = DECISIONS[topic]
    stored = StoredEvent(
        UUID(written["originator_id"]),
        int(written["originator_version"]),
        topic,
        written["state"].encode(),
    )
    meant = golden_bytes.decided_events()[topic]
    assert meant == MAPPER.to_domain_event(stored)


def test_what_is_stored_names_no_customer() -> None:
    for kind, entry in STORED.items():
        assert b"customer 17" not in bytes.fromhex(entry["state"]), kind
