"""Stored events as the journal's answers carry them, encoded by hand: a sixth of what the library takes.

A page is a thousand events of a few commits and requests, so that most of an event's fields are those of the
one before.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

import asyncpg

from services.chassis.wire import varint, with_length
from touchledger.v1.journal_pb2 import RecordedEvent

# Field `events` of SubscribeResponse, ReadRangeResponse and ReadStreamResponse.
EVENTS = b"\x12"
# Fields of RecordedEvent.
POSITION, EVENT, STREAM_ID, STREAM_VERSION = b"\x08", b"\x2a", b"\x4a", b"\x50"
# Combinations of topic, source, commit and request: those of some pages.
KEPT_VALUES = 1024


def recorded(rows: Iterable[asyncpg.Record]) -> bytes:
    """The field `events` of an answer, which stands beside what the library makes of the others."""
    return b"".join([with_length(EVENTS, _recorded(row)) for row in rows])


def _recorded(row: asyncpg.Record) -> bytes:
    return b"%b%b%b%b%b%b%b" % (
        _shared(
            row["tenant"],
            row["source"],
            row["topic"],
            row["recorded_at"],
            row["received_at"],
            row["traceparent"],
        ),
        POSITION,
        varint(row["notification_id"]),
        # A state that was erased is NULL.
        with_length(EVENT, row["state"] or b""),
        with_length(STREAM_ID, row["originator_id"].bytes),
        STREAM_VERSION,
        varint(row["originator_version"]),
    )


@lru_cache(KEPT_VALUES)
def _shared(
    tenant: str,
    source: str,
    topic: str,
    recorded_at: datetime,
    received_at: datetime | None,
    traceparent: str,
) -> bytes:
    return RecordedEvent(
        tenant=tenant,
        source=source,
        topic=topic,
        recorded_at=recorded_at,
        received_at=received_at,
        traceparent=traceparent,
    ).SerializeToString()
