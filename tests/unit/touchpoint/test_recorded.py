"""Stored events that are encoded by hand are read as those that the library would have written."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from services.touchpoint.recorded import recorded
from touchledger.v1.journal_pb2 import (
    ReadRangeResponse,
    ReadStreamResponse,
    RecordedEvent,
    SubscribeResponse,
)

# A machine that is busy with the other tests is no finding.
unhurried = settings(deadline=None)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BIGINT_MAX = 2**63 - 1
NUMBERS = st.sampled_from([0, 1, 127, 128, 16_383, 16_384, BIGINT_MAX]) | st.integers(0, BIGINT_MAX)
# Without surrogates, which a database has not either.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.sampled_from(
    [
        EPOCH,
        EPOCH - timedelta(microseconds=1),
        EPOCH - timedelta(seconds=1),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ]
)
STATES = (
    st.none() | st.binary(max_size=200) | st.sampled_from([bytes(127), bytes(128), bytes(20_000)])
)


def rows_of(texts: st.SearchStrategy[str], moments: st.SearchStrategy[datetime]) -> Any:
    return st.lists(
        st.fixed_dictionaries(
            {
                "notification_id": NUMBERS,
                "tenant": texts,
                "source": texts,
                "topic": texts,
                "state": STATES,
                "recorded_at": moments,
                "received_at": st.none() | moments,
                "traceparent": texts,
                "originator_id": st.uuids(),
                "originator_version": NUMBERS,
            }
        ),
        max_size=8,
    )


# Two of each: rows that have some fields in common, and differ in one.
FEW = rows_of(st.sampled_from(["", "a"]), st.sampled_from([EPOCH, EPOCH - timedelta(days=1)]))


def by_hand(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return recorded(cast(Sequence[asyncpg.Record], rows))


def moment(value: datetime) -> Timestamp:
    microseconds = (value - EPOCH) // timedelta(microseconds=1)
    seconds, rest = divmod(microseconds, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def by_the_library(row: Mapping[str, Any]) -> RecordedEvent:
    event = RecordedEvent(
        position=row["notification_id"],
        tenant=row["tenant"],
        source=row["source"],
        topic=row["topic"],
        event=row["state"] or b"",
        recorded_at=moment(row["recorded_at"]),
        traceparent=row["traceparent"],
        stream_id=row["originator_id"].bytes,
        stream_version=row["originator_version"],
    )
    if row["received_at"] is not None:
        event.received_at.CopyFrom(moment(row["received_at"]))
    return event


@unhurried
@given(rows_of(TEXTS, MOMENTS) | FEW)
def test_stored_events_are_read_as_what_the_library_writes(rows: list[dict[str, Any]]) -> None:
    library = SubscribeResponse(events=map(by_the_library, rows))
    read = SubscribeResponse.FromString(by_hand(rows))
    assert read.SerializeToString(deterministic=True) == library.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("answer", [SubscribeResponse, ReadRangeResponse, ReadStreamResponse])
def test_events_have_the_same_number_in_every_answer(answer: Any) -> None:
    fields, of_subscribe = (kind.DESCRIPTOR.fields_by_name for kind in (answer, SubscribeResponse))
    assert fields["events"].number == of_subscribe["events"].number


def test_every_field_of_a_recorded_event_is_written() -> None:
    row = {
        "notification_id": 1,
        "tenant": "acme",
        "source": "till",
        "topic": "touchledger.interaction.v1",
        "state": b"state",
        "recorded_at": EPOCH,
        "received_at": EPOCH,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "originator_id": UUID(int=1),
        "originator_version": 1,
    }
    [event] = SubscribeResponse.FromString(by_hand([row])).events
    assert {field.name for field, _ in event.ListFields()} == set(
        RecordedEvent.DESCRIPTOR.fields_by_name
    )
