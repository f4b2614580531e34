"""How an event lies in the journal's table: the bytes of its COPY row, and the leaf that seals it.

A leaf is SHA-256(0x00 ‖ fields), where the fields are those of SEALED in that order as PostgreSQL's binary
format has them: four bytes of length (FFFFFFFF for NULL), then text as UTF-8, numbers as eight bytes, times
as eight bytes of microseconds since 2000-01-01 UTC, big end first. The state is sealed through its digest, so
that an erased state leaves the proof whole. Position and recorded_at are sealed once for each commit
(seal.py): nothing has to be hashed again when they become known, under the append lock.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any, NamedTuple

import asyncpg

SEALED = (
    "tenant",
    "source",
    "received_at",
    "sent_at",
    "traceparent",
    "originator_id",
    "originator_version",
    "topic",
    "content_digest",
    "state_digest",
)
COLUMNS = ("notification_id", "recorded_at", *SEALED, "state")

LEAF = b"\x00"
COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER = b"\xff\xff"
FIELD_COUNT = len(COLUMNS).to_bytes(2, "big")
EIGHT = (8).to_bytes(4, "big")
SIXTEEN = (16).to_bytes(4, "big")
THIRTY_TWO = (32).to_bytes(4, "big")
NULL = b"\xff\xff\xff\xff"
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the events of one request share."""

    tenant: str
    source: str
    received_at: datetime | None
    sent_at: datetime | None
    traceparent: str


class Entry(NamedTuple):
    """One event to store. The content digest decides whether a repeated id has the same content."""

    originator_id: bytes
    originator_version: int
    topic: str
    state: bytes
    content_digest: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """The events of one request, encoded before their turn to be stored; all lists have one item an event."""

    attempt: Attempt
    originator_ids: list[bytes]
    versions: list[int]
    topics: list[str]
    states: list[bytes]
    content_digests: list[bytes]
    state_digests: list[bytes]
    leaves: list[bytes]
    # What COPY wants of each row after notification_id and recorded_at.
    bodies: list[bytes]

    def __len__(self) -> int:
        return len(self.originator_ids)


def encode(attempt: Attempt, entries: Iterable[Entry]) -> Rows:
    columns = [list(column) for column in zip(*entries, strict=True)] or [[] for _ in Entry._fields]
    return encode_columns(attempt, *columns)


def encode_columns(
    attempt: Attempt,
    originator_ids: list[bytes],
    versions: list[int],
    topics: list[str],
    states: list[bytes],
    content_digests: list[bytes],
) -> Rows:
    given = originator_ids, versions, topics, states, content_digests
    return Rows(attempt, *_columns(repeat(_before_id(attempt), len(originator_ids)), *given))


def encode_many(
    attempts: Sequence[tuple[Attempt, int]],
    originator_ids: list[bytes],
    versions: list[int],
    topics: list[str],
    states: list[bytes],
    content_digests: list[bytes],
) -> list[Rows]:
    """Of several requests. The columns hold their events one after the other: so many of each attempt."""
    before_ids = chain.from_iterable(
        repeat(_before_id(attempt), count) for attempt, count in attempts
    )
    columns = _columns(before_ids, originator_ids, versions, topics, states, content_digests)
    rows, start = list[Rows](), 0
    for attempt, count in attempts:
        part = slice(start, start + count)
        rows.append(Rows(attempt, *[column[part] for column in columns]))
        start += count
    return rows


def _columns(
    before_ids: Iterable[bytes],
    originator_ids: list[bytes],
    versions: list[int],
    topics: list[str],
    states: list[bytes],
    content_digests: list[bytes],
) -> tuple[list[Any], ...]:
    """The lists of Rows. Column by column rather than event by event: half the time, on the hot path."""
    sha256, kinds = hashlib.sha256, _Kinds()
    state_digests = [sha256(state).digest() for state in states]
    sealed = [
        b"%b%b%b%b%b%b%b"
        % (
            before_id,
            originator_id,
            kinds[kind],
            len(content_digest).to_bytes(4, "big"),
            content_digest,
            THIRTY_TWO,
            state_digest,
        )
        for before_id, originator_id, kind, content_digest, state_digest in zip(
            before_ids,
            originator_ids,
            zip(versions, topics, strict=True),
            content_digests,
            state_digests,
            strict=True,
        )
    ]
    leaves = [sha256(LEAF + each).digest() for each in sealed]
    bodies = [
        b"%b%b%b" % (each, len(state).to_bytes(4, "big"), state)
        for each, state in zip(sealed, states, strict=True)
    ]
    given = originator_ids, versions, topics, states, content_digests
    return (*given, state_digests, leaves, bodies)


def joined(parts: Sequence[Rows]) -> Rows:
    """Those of one attempt, one after the other."""
    if len(parts) == 1:
        return parts[0]
    columns = (
        [*chain.from_iterable(getattr(part, column.name) for part in parts)]
        for column in fields(Rows)
        if column.name != "attempt"
    )
    return Rows(parts[0].attempt, *columns)


class _Kinds(dict[tuple[int, str], bytes]):
    """Version and topic as they are stored: few in a request, so that each is encoded once."""

    def __missing__(self, kind: tuple[int, str]) -> bytes:
        version, topic = kind
        self[kind] = EIGHT + version.to_bytes(8, "big") + _text(topic)
        return self[kind]


def leaf(stored: asyncpg.Record) -> bytes:
    """The leaf of a stored row, from its columns by name."""
    fields = (
        _text(stored["tenant"]),
        _text(stored["source"]),
        _moment(stored["received_at"]),
        _moment(stored["sent_at"]),
        _text(stored["traceparent"]),
        _bytes(stored["originator_id"].bytes),
        _bytes(stored["originator_version"].to_bytes(8, "big", signed=True)),
        _text(stored["topic"]),
        _bytes(stored["content_digest"]),
        _bytes(stored["state_digest"]),
    )
    return hashlib.sha256(LEAF + b"".join(fields)).digest()


def copy_of(first: int, recorded_at: datetime, bodies: Iterable[bytes]) -> bytes:
    """What COPY … (FORMAT binary) takes between header and trailer: rows at positions from `first` on."""
    before = FIELD_COUNT + EIGHT
    between = EIGHT + microseconds(recorded_at)
    parts = list[bytes]()
    for position, body in enumerate(bodies, start=first):
        parts += (before, position.to_bytes(8, "big"), between, body)
    return b"".join(parts)


def microseconds(moment: datetime) -> bytes:
    """As PostgreSQL stores it: exact, since both count microseconds."""
    return ((moment - POSTGRES_EPOCH) // MICROSECOND).to_bytes(8, "big", signed=True)


def _before_id(attempt: Attempt) -> bytes:
    """What the rows of an attempt have in common."""
    return b"".join(
        (
            _text(attempt.tenant),
            _text(attempt.source),
            _moment(attempt.received_at),
            _moment(attempt.sent_at),
            _text(attempt.traceparent),
            SIXTEEN,
        )
    )


def _text(value: str) -> bytes:
    return _bytes(value.encode())


def _bytes(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _moment(value: datetime | None) -> bytes:
    return NULL if value is None else EIGHT + microseconds(value)
