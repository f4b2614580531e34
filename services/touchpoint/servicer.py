"""touchledger.v1.JournalService: checks a request's shape, calls the journal, replies."""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Exhausted, Malformed, outcome_of
from services.touchpoint.appender import Outcome, Result
from services.touchpoint.decisions.decisions import SOURCE
from services.touchpoint.identity import originator_ids, originator_ids_of, publisher
from services.touchpoint.journal import PAGE_EVENTS_MAX, Filter, Journal, Page
from services.touchpoint.recorded import recorded
from services.touchpoint.row import Attempt, Rows, encode_columns, encode_many, joined
from touchledger.v1 import journal_pb2, journal_pb2_grpc

ENTRIES_MAX = 1000
# Of one AppendMany.
REQUESTS_MAX = 256
# Encoded in one turn of the event loop, half a millisecond.
SLICE_EVENTS = 125
DIGEST_BYTES = 32
TENANT_CHARACTERS_MAX = 64
NAME_CHARACTERS_MAX = 128
# Twice what the gateway takes, and small against a page: every stored event fits into one message.
EVENT_BYTES_MAX = 128 * 1024
STREAM_ID_BYTES = 16
FILTER_TOPICS_MAX = 32
# Each may hold a page and what the transport has buffered of it for a reader that takes nothing.
SUBSCRIBERS_MAX = 64
# Longer than a reader's own database is away for when it fails over; gRPC has taken some MiB ahead of it.
SLOW_SUBSCRIBER_SECONDS = 60.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS = 1_000_000_000
# A published event is the first and only one of its own stream.
PUBLISHED_VERSION = 1


class JournalServicer(journal_pb2_grpc.JournalServiceServicer):
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._subscribers = 0
        self._encoding = asyncio.Lock()

    async def Append(
        self, request: journal_pb2.AppendRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendResponse:
        # One request at a time and slice by slice: the commit under way, which is many short turns of the
        # event loop, would wait at each of them for whole requests to be encoded, 4 ms each.
        async with self._encoding:
            rows = await _encoded(request)
        results = await self._journal.append(rows)
        return _appended(results, self._journal.journal_id)

    async def AppendMany(
        self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendManyResponse:
        _check_many(request.requests)
        # Not after the large ones that wait to be encoded: these take a turn or a few of the event loop.
        encoded = await _encoded_many(request.requests)
        good = [each for each in encoded if isinstance(each, Rows)]
        results = iter(await self._journal.append_many(good))
        answer = journal_pb2.AppendManyResponse()
        for each in encoded:
            outcome = next(results) if isinstance(each, Rows) else each
            _tell(outcome, self._journal.journal_id, answer.outcomes.add())
        return answer

    async def Subscribe(  # type: ignore[override]  # it writes to the context, as only so it sees that nobody reads
        self, request: journal_pb2.SubscribeRequest, context: grpc.aio.ServicerContext
    ) -> None:
        after, wanted = self._after(request.after), _filter(request.filter)
        with self._place_for_subscriber():
            async for page in self._journal.follow(after, wanted=wanted):
                if not await _send(context, _subscribed(page, self._journal.journal_id)):
                    return

    async def ReadRange(
        self, request: journal_pb2.ReadRangeRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ReadRangeResponse:
        after, wanted = self._after(request.after), _filter(request.filter)
        _check_limit(request.limit)
        if 0 < request.to < after:
            raise Malformed("0, or a position not before after", field="to", got=f"{request.to}")
        page = await self._journal.read(after, to=request.to, limit=request.limit, wanted=wanted)
        return journal_pb2.ReadRangeResponse(
            journal_id=self._journal.journal_id,
            events=_recorded(page.events),
            head=page.head,
            scanned_to=page.scanned_to,
        )

    async def ReadStream(
        self, request: journal_pb2.ReadStreamRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ReadStreamResponse:
        _check_limit(request.limit)
        page = await self._journal.read_stream(
            _stream(request), from_version=request.from_version, limit=request.limit
        )
        return journal_pb2.ReadStreamResponse(
            journal_id=self._journal.journal_id,
            events=_recorded(page.events),
            head=page.head,
            last_version=page.last_version,
        )

    async def GetHead(
        self, request: journal_pb2.GetHeadRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.GetHeadResponse:
        number, clock = await self._journal.head_and_clock()
        return journal_pb2.GetHeadResponse(
            head=journal_pb2.Position(journal_id=self._journal.journal_id, number=number),
            clock=clock,
        )

    def _after(self, position: journal_pb2.Position) -> int:
        return self._journal.here(position.journal_id, position.number)

    @contextmanager
    def _place_for_subscriber(self) -> Iterator[None]:
        if self._subscribers >= SUBSCRIBERS_MAX:
            raise Exhausted(f"at most {SUBSCRIBERS_MAX} subscribers of one process")
        self._subscribers += 1
        try:
            yield
        finally:
            self._subscribers -= 1


async def _encoded(request: journal_pb2.AppendRequest) -> Rows:
    attempt, slices = _attempt(request), []
    for start in range(0, len(request.entries), SLICE_EVENTS):
        if start:
            await asyncio.sleep(0)
        slices.append(_rows(attempt, request.entries[start : start + SLICE_EVENTS], start))
    return joined(slices)


def _check_many(requests: Sequence[journal_pb2.AppendRequest]) -> None:
    if not 1 <= len(requests) <= REQUESTS_MAX:
        raise Malformed(f"1 to {REQUESTS_MAX}", field="requests", got=str(len(requests)))
    events = sum(len(each.entries) for each in requests)
    if events > ENTRIES_MAX:
        raise Malformed(
            f"at most {ENTRIES_MAX} together", field="requests.entries", got=f"{events}"
        )


async def _encoded_many(
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
        return await _encoded(request)
    except Exception as error:
        # Whatever it is, it must not stop the others.
        return error


def _tell(
    outcome: list[Result] | Exception, journal_id: str, into: journal_pb2.AppendOutcome
) -> None:
    if isinstance(outcome, Exception):
        into.problem.CopyFrom(outcome_of(outcome, method="AppendMany"))
    else:
        _fill(into.response, outcome, journal_id)


def _attempt(request: journal_pb2.AppendRequest) -> Attempt:
    if not 1 <= len(request.entries) <= ENTRIES_MAX:
        raise Malformed(f"1 to {ENTRIES_MAX}", field="entries", got=str(len(request.entries)))
    _check_name(request.tenant, TENANT_CHARACTERS_MAX, "tenant")
    _check_name(request.source, NAME_CHARACTERS_MAX, "source")
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
    _check_name(entry.event_id, NAME_CHARACTERS_MAX, f"{at}.event_id")
    _check_name(entry.topic, NAME_CHARACTERS_MAX, f"{at}.topic")
    _check_bytes(entry.event, 0, EVENT_BYTES_MAX, f"{at}.event")
    _check_bytes(entry.content_digest, DIGEST_BYTES, DIGEST_BYTES, f"{at}.content_digest")


def _check_name(name: str, longest: int, field: str) -> None:
    if not 1 <= len(name) <= longest or "\0" in name:
        raise Malformed(f"1 to {longest} characters without NUL", field=field, got=f"{len(name)}")


def _check_bytes(given: bytes, least: int, most: int, field: str) -> None:
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


RECORDED = journal_pb2.AppendResult.STATUS_RECORDED
DUPLICATE = journal_pb2.AppendResult.STATUS_DUPLICATE
CONFLICT = journal_pb2.AppendResult.STATUS_CONFLICT


def _appended(results: list[Result], journal_id: str) -> journal_pb2.AppendResponse:
    response = journal_pb2.AppendResponse()
    _fill(response, results, journal_id)
    return response


def _fill(response: journal_pb2.AppendResponse, results: list[Result], journal_id: str) -> None:
    response.journal_id = journal_id
    # In place, and without a look-up, since an enumeration's hash is slow: half the time.
    add, recorded, duplicate = response.results.add, Outcome.RECORDED, Outcome.DUPLICATE
    for outcome, position in results:
        not_new = DUPLICATE if outcome is duplicate else CONFLICT
        add(status=RECORDED if outcome is recorded else not_new, position=position)


def _filter(given: journal_pb2.Filter) -> Filter:
    if len(given.topics) > FILTER_TOPICS_MAX:
        raise Malformed(
            f"at most {FILTER_TOPICS_MAX}", field="filter.topics", got=f"{len(given.topics)}"
        )
    for index, topic in enumerate(given.topics):
        _check_name(topic, NAME_CHARACTERS_MAX, f"filter.topics[{index}]")
    if given.tenant:
        _check_name(given.tenant, TENANT_CHARACTERS_MAX, "filter.tenant")
    if given.source:
        _check_name(given.source, NAME_CHARACTERS_MAX, "filter.source")
    return Filter(tuple(given.topics), given.tenant, given.source)


def _check_limit(limit: int) -> None:
    if limit > PAGE_EVENTS_MAX:
        raise Malformed(f"at most {PAGE_EVENTS_MAX}", field="limit", got=f"{limit}")


def _stream(request: journal_pb2.ReadStreamRequest) -> UUID:
    match request.WhichOneof("stream"):
        case "stream_id":
            _check_bytes(request.stream_id, STREAM_ID_BYTES, STREAM_ID_BYTES, "stream_id")
            return UUID(bytes=request.stream_id)
        case "published":
            published = request.published
            _check_name(published.tenant, TENANT_CHARACTERS_MAX, "published.tenant")
            _check_name(published.source, NAME_CHARACTERS_MAX, "published.source")
            _check_name(published.event_id, NAME_CHARACTERS_MAX, "published.event_id")
            [stream] = originator_ids(published.tenant, published.source, [published.event_id])
            return UUID(bytes=stream)
        case _:
            raise Malformed("published or stream_id", field="stream", got="neither")


async def _send(context: grpc.aio.ServicerContext, response: journal_pb2.SubscribeResponse) -> bool:
    """False when nobody is there any more. gRPC takes no more once its window of some MiB is full."""
    try:
        async with asyncio.timeout(SLOW_SUBSCRIBER_SECONDS):
            await context.write(response)
    except TimeoutError:
        # What was written already is still delivered, and this after it.
        raise Exhausted(
            f"a reader that takes a message within {SLOW_SUBSCRIBER_SECONDS:g} s; "
            f"go on after position {response.scanned_to}",
            code="SLOW_SUBSCRIBER",
        ) from None
    except grpc.aio.InternalError:
        # The transport's word for a connection that has ended under the write.
        return False
    return True


def _subscribed(page: Page, journal_id: str) -> journal_pb2.SubscribeResponse:
    response = journal_pb2.SubscribeResponse.FromString(recorded(page.events))
    response.journal_id = journal_id
    response.head = page.head
    response.scanned_to = page.scanned_to
    if page.caught_up:
        response.caught_up.position.journal_id = journal_id
        response.caught_up.position.number = page.head
    return response


def _recorded(rows: Iterable[asyncpg.Record]) -> Sequence[journal_pb2.RecordedEvent]:
    return journal_pb2.SubscribeResponse.FromString(recorded(rows)).events
