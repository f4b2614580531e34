"""From AppendRequests to rows: checks a request's shape, and encodes what is stored before its turn comes."""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Malformed
from services.touchpoint.decisions.decisions import SOURCE
from services.touchpoint.identity import originator_ids, originator_ids_of, publisher
from services.touchpoint.row import Attempt, Rows, encode_columns, encode_many, joined
from touchledger.v1 import journal_pb2

ENTRIES_MAX = 1000
# Encoded in one turn of the event loop, half a millisecond.
SLICE_EVENTS = 125
DIGEST_BYTES = 32
TENANT_CHARACTERS_MAX = 64
NAME_CHARACTERS_MAX = 128
# Twice what the gateway takes, and small against a page: every stored event fits into one message.
EVENT_BYTES_MAX = 128 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS = 1_000_000_000
# A published event is the first and only one of its own stream.
PUBLISHED_VERSION = 1


async def encoded_one(request: journal_pb2.AppendRequest) -> Rows:
    attempt, slices = _attempt(request), []
    for start in range(0, len(request.entries), SLICE_EVENTS):
        if start:
            await asyncio.sleep(0)
        slices.append(_rows(attempt, request.entries[start : start + SLICE_EVENTS], start))
    return joined(slices)


async def encoded_many(
    requests: Sequence[journal_pb2.AppendRequest],
) -> list[Rows | Exception]:
    """Slice by slice: those of a slice together, unless something is wrong with one of them."""
    encoded, start = list[Rows | Exception](), 0
    while start < len(requests):
        if start:
            await asyncio.sleep(0)
        end, events = start + 1, len(requests[start].entries)
        while end < len(requests) and events + len(requests[end].entries) <= SLICE_EVENTS:
            events += max(1, len(requests[end].entries))
            end += 1
        some, start = requests[start:end], end
        if len(some) > 1:
            with contextlib.suppress(Exception):
                encoded += _encoded_together(some)
                continue
        encoded += [await _outcome(each) for each in some]
    return encoded


def _encoded_together(requests: Sequence[journal_pb2.AppendRequest]) -> list[Rows]:
    """Raises where one of them can't be taken."""
    attempts = [_attempt(request) for request in requests]
    counts = [len(request.entries) for request in requests]
    event_ids, topics, events, digests = _columns(
        [entry for request in requests for entry in request.entries], 0
    )
    publishers = [
        each
        for attempt, count in zip(attempts, counts, strict=True)
        for each in [publisher(attempt.tenant, attempt.source)] * count
    ]
    streams = originator_ids_of(publishers, event_ids)
    versions = [PUBLISHED_VERSION] * len(streams)
    given = streams, versions, topics, events, digests
    return encode_many([*zip(attempts, counts, strict=True)], *given)


async def _outcome(request: journal_pb2.AppendRequest) -> Rows | Exception:
    try:
        return await encoded_one(request)
    except Exception as error:
        # Whatever it is, it must not stop the others.
        return error


def _attempt(request: journal_pb2.AppendRequest) -> Attempt:
    if not 1 <= len(request.entries) <= ENTRIES_MAX:
        raise Malformed(f"1 to {ENTRIES_MAX}", field="entries", got=str(len(request.entries)))
    check_name(request.tenant, TENANT_CHARACTERS_MAX, "tenant")
    check_name(request.source, NAME_CHARACTERS_MAX, "source")
    if request.source == SOURCE:
        raise Malformed("another source: decisions are of this one", field="source", got=SOURCE)
    if len(request.traceparent) > NAME_CHARACTERS_MAX or "\0" in request.traceparent:
        raise Malformed(
            f"at most {NAME_CHARACTERS_MAX} characters without NUL",
            field="traceparent",
            got=f"{len(request.traceparent)}",
        )
    return Attempt(
        tenant=request.tenant,
        source=request.source,
        received_at=_moment(request, "received_at"),
        sent_at=_moment(request, "sent_at"),
        traceparent=request.traceparent,
    )


def _rows(attempt: Attempt, given: Sequence[journal_pb2.AppendEntry], start: int) -> Rows:
    """`start`: the place of the first one in its request."""
    event_ids, topics, events, digests = _columns(given, start)
    streams = originator_ids(attempt.tenant, attempt.source, event_ids)
    versions = [PUBLISHED_VERSION] * len(given)
    return encode_columns(attempt, streams, versions, topics, events, digests)


def _columns(
    given: Sequence[journal_pb2.AppendEntry], start: int
) -> tuple[list[str], list[str], list[bytes], list[bytes]]:
    event_ids = [entry.event_id for entry in given]
    topics = [entry.topic for entry in given]
    events = [entry.event for entry in given]
    digests = [entry.content_digest for entry in given]
    # Whole columns at once: this is the hot path.
    if not (
        _are_names(event_ids)
        and _are_names(set(topics))
        and max(map(len, events)) <= EVENT_BYTES_MAX
        and set(map(len, digests)) == {DIGEST_BYTES}
    ):
        for index, entry in enumerate(given, start):
            _check_entry(entry, f"entries[{index}]")
    return event_ids, topics, events, digests


def _are_names(names: Collection[str]) -> bool:
    lengths = set(map(len, names))
    return min(lengths) > 0 and max(lengths) <= NAME_CHARACTERS_MAX and "\0" not in "".join(names)


def _check_entry(entry: journal_pb2.AppendEntry, at: str) -> None:
    check_name(entry.event_id, NAME_CHARACTERS_MAX, f"{at}.event_id")
    check_name(entry.topic, NAME_CHARACTERS_MAX, f"{at}.topic")
    check_bytes(entry.event, 0, EVENT_BYTES_MAX, f"{at}.event")
    check_bytes(entry.content_digest, DIGEST_BYTES, DIGEST_BYTES, f"{at}.content_digest")


def check_name(name: str, longest: int, field: str) -> None:
    if not 1 <= len(name) <= longest or "\0" in name:
        raise Malformed(f"1 to {longest} characters without NUL", field=field, got=f"{len(name)}")


def check_bytes(given: bytes, least: int, most: int, field: str) -> None:
    if not least <= len(given) <= most:
        raise Malformed(f"{least} to {most} bytes", field=field, got=f"{len(given)}")


def _moment(request: journal_pb2.AppendRequest, field: str) -> datetime | None:
    if not request.HasField(field):
        return None
    moment: Timestamp = getattr(request, field)
    try:
        if not 0 <= moment.nanos < NANOSECONDS:
            raise ValueError
        # Not by ToDatetime, which takes four times as long: a single event has one, too.
        return EPOCH + timedelta(seconds=moment.seconds, microseconds=moment.nanos // 1000)
    except (ValueError, OverflowError):
        raise Malformed("a time in the years 1 to 9999", field=field, got="another") from None
