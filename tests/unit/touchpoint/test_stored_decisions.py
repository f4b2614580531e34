"""Decisions as bytes: nothing of the code's names in them, and older ones are read as newer ones."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.domain import Aggregate

from services.chassis.errors import Corrupt
from services.touchpoint.decisions.decided import Command, Decided
from services.touchpoint.decisions.decisions import stream_id
from services.touchpoint.decisions.stored import entries, fold
from services.touchpoint.identity import originator_ids
from tests.contract.golden_bytes import decided

AT = datetime(2026, 8, 3, 10, 15, 30, 250_000, tzinfo=UTC)


class Shelf(Decided):
    """Has events as they were before a field was added, and as they are after."""

    TOPIC = "test.shelf.v1"
    KIND = "shelf"
    NAME_FIELD = "shelf"
    DECISIONS_MAX = 9

    class Event(Decided.Event):
        pass

    class Created(Event, Aggregate.Created):
        TOPIC = "test.shelf.put_up.v1"
        class_version = 3
        label: str
        width_mm: int
        colour: str

        def apply(self, aggregate: "Shelf") -> None:
            super().apply(aggregate)
            aggregate.name, aggregate.status = self.label, "up"

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["width_mm"] = 10 * state.pop("width_cm")

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            state["colour"] = ""


# As the first and the second version of the class had written it.
PUT_UP_V1 = (
    b'{"decided_by":"staff-7","label":"left","originator_topic":"test.shelf.v1","request_id":"r-1",'
    b'"timestamp":{"_data_":"2026-08-03T10:15:30.250000+00:00","_type_":"datetime_iso"},"width_cm":80}'
)
PUT_UP_V2 = (
    b'{"class_version":2,"decided_by":"staff-7","label":"left","originator_topic":"test.shelf.v1",'
    b'"request_id":"r-1","timestamp":{"_data_":"2026-08-03T10:15:30.250000+00:00",'
    b'"_type_":"datetime_iso"},"width_mm":800}'
)
PUT_UP_V3 = (
    b'{"class_version":3,"colour":"","decided_by":"staff-7","label":"left",'
    b'"originator_topic":"test.shelf.v1","request_id":"r-1",'
    b'"timestamp":{"_data_":"2026-08-03T10:15:30.250000+00:00","_type_":"datetime_iso"},"width_mm":800}'
)


def row(topic: str, state: bytes) -> Any:
    return {
        "originator_id": UUID(int=1),
        "originator_version": 1,
        "topic": topic,
        "state": state,
    }


@pytest.mark.parametrize("state", [PUT_UP_V1, PUT_UP_V2, PUT_UP_V3])
def test_an_older_version_of_a_decision_is_read_as_the_newest(state: bytes) -> None:
    shelf = fold(Shelf, [row("test.shelf.put_up.v1", state)])
    assert shelf is not None
    assert {
        "label": "left",
        "width_mm": 800,
        "colour": "",
        "decided_by": "staff-7",
    } == shelf.last.content()
    assert AT == shelf.created_on


@pytest.mark.parametrize("state", [PUT_UP_V1, PUT_UP_V2])
def test_a_command_stored_in_an_older_version_is_known_again_when_it_is_repeated(
    state: bytes,
) -> None:
    shelf = fold(Shelf, [row("test.shelf.put_up.v1", state)])
    assert shelf is not None
    command = Command("r-1", "staff-7", AT)
    content: dict[str, Any] = {"label": "left", "width_mm": 800, "colour": ""}
    assert 1 == shelf.decide(Shelf.Created, command, only_in=(), **content)


def test_a_decision_is_written_in_its_newest_version() -> None:
    shelf = fold(Shelf, [row("test.shelf.put_up.v1", PUT_UP_V1)])
    assert shelf is not None
    [entry] = entries([shelf.last])
    assert PUT_UP_V3 == entry.state


def test_a_topic_that_a_later_release_has_written_is_named() -> None:
    with pytest.raises(Corrupt) as refused:
        fold(Shelf, [row("test.shelf.painted.v1", b"{}")])
    assert "test.shelf.painted.v1" == refused.value.problem.got


@pytest.mark.parametrize("name", decided())
def test_what_is_stored_of_a_decision_holds_no_name_of_the_code_and_no_float(name: str) -> None:
    def no_float(text: str) -> None:
        raise AssertionError(f"{text} in {name}")

    entry = decided()[name]
    assert entry.topic.startswith("touchledger.")
    for word in (b"services", b"decisions", b"Created", b"RecoveryCase", b"TouchpointDefinition"):
        assert word not in entry.state
    state = json.loads(entry.state, parse_float=no_float)
    assert (
        entry.state
        == json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


def test_no_two_streams_of_decisions_have_one_id() -> None:
    parts = [
        ("acme", "recovery_case", "a"),
        ("acme", "touchpoint_definition", "a"),
        ("acm", "erecovery_case", "a"),
        ("acme", "recovery_cas", "ea"),
        ("other", "recovery_case", "a"),
        ("acme", "recovery_case", "b"),
    ]
    ids = {stream_id(*each) for each in parts}
    assert len(parts) == len(ids)
    assert {(8, "specified in RFC 4122")} == {(each.version, each.variant) for each in ids}
    published = {
        UUID(bytes=originator_ids(tenant, source, [event_id])[0])
        for tenant, source, event_id in parts
    }
    assert not ids & published
