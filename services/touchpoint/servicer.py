"""touchledger.v1.JournalService: checks a request's shape, calls the journal, replies."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import asyncpg
import grpc

from services.chassis.errors import Exhausted, Malformed, outcome_of
from services.touchpoint.append_request import (
    ENTRIES_MAX,
    NAME_CHARACTERS_MAX,
    TENANT_CHARACTERS_MAX,
    check_bytes,
    check_name,
    encoded_many,
    encoded_one,
)
from services.touchpoint.appender import Outcome, Result
from services.touchpoint.identity import originator_ids
from services.touchpoint.journal import PAGE_EVENTS_MAX, Filter, Journal, Page
from services.touchpoint.recorded import recorded
from services.touchpoint.row import Rows
from touchledger.v1 import journal_pb2, journal_pb2_grpc

# Of one AppendMany.
REQUESTS_MAX = 256
# As many as a publisher sends in a batch.
FOUND_MAX = 500
STREAM_ID_BYTES = 16
FILTER_TOPICS_MAX = 32
# Each may hold a page and what the transport has buffered of it for a reader that takes nothing.
SUBSCRIBERS_MAX = 64
# Longer than a reader's own database is away for when it fails over; gRPC has taken some MiB ahead of it.
SLOW_SUBSCRIBER_SECONDS = 60.0


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
            rows = await encoded_one(request)
        results = await self._journal.append(rows)
        return _appended(results, self._journal.journal_id)

    async def AppendMany(
        self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendManyResponse:
        _check_many(request.requests)
        # Not after the large ones that wait to be encoded: these take a turn or a few of the event loop.
        encoded = await encoded_many(request.requests)
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

    async def FindEvents(
        self, request: journal_pb2.FindEventsRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.FindEventsResponse:
        check_name(request.tenant, TENANT_CHARACTERS_MAX, "tenant")
        check_name(request.source, NAME_CHARACTERS_MAX, "source")
        if not 1 <= len(request.event_ids) <= FOUND_MAX:
            got = f"{len(request.event_ids)}"
            raise Malformed(f"1 to {FOUND_MAX}", field="event_ids", got=got)
        for index, event_id in enumerate(request.event_ids):
            check_name(event_id, NAME_CHARACTERS_MAX, f"event_ids[{index}]")
        return await self._found(request.tenant, request.source, request.event_ids)

    async def ListRefused(
        self, request: journal_pb2.ListRefusedRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ListRefusedResponse:
        return journal_pb2.ListRefusedResponse(events=await self._journal.refused.unsettled())

    async def SettleRefused(
        self, request: journal_pb2.SettleRefusedRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.SettleRefusedResponse:
        check_bytes(request.quarantine_id.encode(), 0, NAME_CHARACTERS_MAX, "quarantine_id")
        await self._journal.refused.settle(request.number, request.quarantine_id)
        return journal_pb2.SettleRefusedResponse()

    async def _found(
        self, tenant: str, source: str, event_ids: Sequence[str]
    ) -> journal_pb2.FindEventsResponse:
        # The refused ones first: what is replayed from quarantine meanwhile is then found stored.
        refused = await self._journal.refused.of_events(tenant, source, event_ids)
        streams = originator_ids(tenant, source, event_ids)
        stored = await self._journal.positions(streams)
        found = journal_pb2.FindEventsResponse(journal_id=self._journal.journal_id)
        for stream, event_id in zip(streams, event_ids, strict=True):
            position, digest = stored.get(stream, (0, b""))
            found.events.add(
                position=position, content_digest=digest, refused=refused.get(event_id, ())
            )
        return found

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


def _check_many(requests: Sequence[journal_pb2.AppendRequest]) -> None:
    if not 1 <= len(requests) <= REQUESTS_MAX:
        raise Malformed(f"1 to {REQUESTS_MAX}", field="requests", got=str(len(requests)))
    events = sum(len(each.entries) for each in requests)
    if events > ENTRIES_MAX:
        raise Malformed(
            f"at most {ENTRIES_MAX} together", field="requests.entries", got=f"{events}"
        )


def _tell(
    outcome: list[Result] | Exception, journal_id: str, into: journal_pb2.AppendOutcome
) -> None:
    if isinstance(outcome, Exception):
        into.problem.CopyFrom(outcome_of(outcome, method="AppendMany"))
    else:
        _fill(into.response, outcome, journal_id)


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
        check_name(topic, NAME_CHARACTERS_MAX, f"filter.topics[{index}]")
    if given.tenant:
        check_name(given.tenant, TENANT_CHARACTERS_MAX, "filter.tenant")
    if given.source:
        check_name(given.source, NAME_CHARACTERS_MAX, "filter.source")
    return Filter(tuple(given.topics), given.tenant, given.source)


def _check_limit(limit: int) -> None:
    if limit > PAGE_EVENTS_MAX:
        raise Malformed(f"at most {PAGE_EVENTS_MAX}", field="limit", got=f"{limit}")


def _stream(request: journal_pb2.ReadStreamRequest) -> UUID:
    match request.WhichOneof("stream"):
        case "stream_id":
            check_bytes(request.stream_id, STREAM_ID_BYTES, STREAM_ID_BYTES, "stream_id")
            return UUID(bytes=request.stream_id)
        case "published":
            published = request.published
            check_name(published.tenant, TENANT_CHARACTERS_MAX, "published.tenant")
            check_name(published.source, NAME_CHARACTERS_MAX, "published.source")
            check_name(published.event_id, NAME_CHARACTERS_MAX, "published.event_id")
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
