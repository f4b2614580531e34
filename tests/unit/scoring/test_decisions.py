"""Decisions in the journal, and events of applications, are none that a metric could read."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.scoring.binary_copy import NULL
from services.scoring.facts import columns
from tests.contract.golden_bytes import decided
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent


def recorded(topic: str, state: bytes) -> RecordedEvent:
    return RecordedEvent(
        position=17,
        tenant="acme",
        source="touchledger",
        topic=topic,
        event=state,
        recorded_at=Timestamp(seconds=1_785_000_000),
    )


def assert_only_in_lineage(event: RecordedEvent) -> None:
    facts = columns([event], {})
    [row] = facts.events
    assert ("acme", "touchledger", "decision at 17", 17, event.topic) == row[:5]
    # No occurred_at, causation, device and trading day.
    assert 4 == row[5].count(NULL)
    assert {} == facts.touchpoints
    assert [] == facts.amendments
    assert not any(facts.rows.values())


@pytest.mark.parametrize("topic", decided())
def test_a_decision_has_its_row_among_all_events_and_no_fact(topic: str) -> None:
    assert_only_in_lineage(recorded(topic, decided()[topic].state))


def test_a_decision_whose_bytes_could_be_read_as_an_event_is_not_read() -> None:
    event = pb.Event(event_id="event-1", touchpoint="store.checkout", interaction=pb.Interaction())
    for topic in (*decided(), "Dog.TrickAdded", "application:touchledger.interaction.v1"):
        assert_only_in_lineage(recorded(topic, event.SerializeToString()))
