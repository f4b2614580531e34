"""Bytes on the wire and in the journal mean what they meant."""

import pytest
from google.protobuf import descriptor_pool, message_factory

from tests.contract import golden_bytes

WIRE = golden_bytes.read("wire")
STORED = golden_bytes.read("stored")


def test_every_message_is_written_down() -> None:
    assert list(dict(golden_bytes.wire())) == list(WIRE)


def test_every_body_is_written_down_as_it_is_stored() -> None:
    assert list(dict(golden_bytes.stored())) == list(STORED)


@pytest.mark.parametrize("name", WIRE)
def test_wire_bytes_read_as_they_did(name: str) -> None:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name.partition("/")[0])
    read = message_factory.GetMessageClass(descriptor).FromString(bytes.fromhex(WIRE[name]))
    assert dict(golden_bytes.messages())[name] == read


@pytest.mark.parametrize("name", WIRE)
def test_wire_bytes_are_written_as_they_were(name: str) -> None:
    assert WIRE[name] == dict(golden_bytes.wire())[name]


@pytest.mark.parametrize("kind", STORED)
def test_an_event_is_stored_as_it_was(kind: str) -> None:
    assert STORED[kind] == dict(golden_bytes.stored())[kind]


def test_what_is_stored_names_no_customer() -> None:
    for kind, entry in STORED.items():
        assert b"customer 17" not in bytes.fromhex(entry["state"]), kind
