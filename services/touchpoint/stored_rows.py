"""Stored rows as PostgreSQL sends them (COPY binary): what a leaf is made of, byte for byte, not decoded.

The fields of a leaf (row.py) stand in a COPY row as they are hashed, so that checking costs a tenth of a
decoding, and a value that no client could decode, such as a time before the year 1, is one like any other.
"""

import struct
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

from services.chassis.postgres import Connection
from services.touchpoint.row import COPY_HEADER

# The sealed columns last and in the order of row.SEALED; how long they are together, with four bytes of
# length each, tells where the next row begins. It need not be trusted: a wrong one makes another leaf. No
# time stands for one that was deleted, so that the first fields keep their places.
ROWS = """
SELECT notification_id, coalesce(recorded_at, 'infinity'),
       40 + coalesce(octet_length(tenant), 0) + coalesce(octet_length(source), 0)
          + coalesce(pg_column_size(received_at), 0) + coalesce(pg_column_size(sent_at), 0)
          + coalesce(octet_length(traceparent), 0) + coalesce(pg_column_size(originator_id), 0)
          + coalesce(pg_column_size(originator_version), 0) + coalesce(octet_length(topic), 0)
          + coalesce(octet_length(content_digest), 0) + coalesce(octet_length(state_digest), 0),
       state,
       tenant, source, received_at, sent_at, traceparent,
       originator_id, originator_version, topic, content_digest, state_digest
  FROM journal.stored_events
 WHERE notification_id > $1 AND notification_id <= $2
 ORDER BY notification_id
"""
# 20 000 rows come within a second; what takes this long hangs.
ROWS_SECONDS_MAX = 120.0
# Number of fields, then length and content of the first three, then the length of the state.
START = struct.Struct(">hiqi8siii")


class StoredRow(NamedTuple):
    position: int
    # As row.microseconds gives it.
    recorded_at: bytes
    # None is NULL.
    state: bytes | None
    # The bytes of the leaf after its first.
    sealed: bytes


async def read(
    connection: Connection,
    after: int,
    last: int,
    output: Callable[[bytes], Coroutine[Any, Any, None]],
) -> None:
    """Gives the rows of these positions to `output` as they come, for StoredRows.feed."""
    await connection.copy_from_query(
        ROWS, after, last, output=output, format="binary", timeout=ROWS_SECONDS_MAX
    )


class StoredRows:
    """Cuts what comes into rows."""

    def __init__(self) -> None:
        self._begun = b""
        self._header_is_due = True

    def feed(self, data: bytes) -> Iterator[StoredRow]:
        data = self._begun + data
        at = 0
        if self._header_is_due and len(data) >= len(COPY_HEADER):
            at = len(COPY_HEADER)
            self._header_is_due = False
        # What is not there yet ends the loop: a row that has begun, or the two bytes of the trailer.
        while not self._header_is_due and at + START.size <= len(data):
            _, _, position, _, recorded_at, _, sealed_length, state_length = START.unpack_from(
                data, at
            )
            state_at = at + START.size
            sealed_at = state_at + max(state_length, 0)
            end = sealed_at + sealed_length
            if end > len(data):
                break
            state = data[state_at:sealed_at] if state_length >= 0 else None
            yield StoredRow(position, recorded_at, state, data[sealed_at:end])
            at = end
        self._begun = data[at:]
