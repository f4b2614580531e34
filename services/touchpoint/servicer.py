"""touchledger.v1.JournalService: checks a request's shape, calls the journal, replies."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Conflict, Malformed
from services.touchpoint.appender import Outcome, Result
from services.touchpoint.identity import PublishedStreams
from services.touchpoint.journal import Journal, Page
from services.touchpoint.row import Attempt, Entry, Rows, encode
from touchledger.v1 import journal_pb2, journal_pb2_grpc

ENTRIES_MAX = 1000
DIGEST_BYTES = 32
TENANT_CHARACTERS_MAX = 64
NAME_CHARACTERS_MAX = 128
# Twice what the gateway takes, and small against a page: every stored event fits into one message.
EVENT_BYTES_MAX = 128 * 1024
# A published event is the first and only one of its own stream.
PUBLISHED_VERSION = 1


class JournalServicer(journal_pb2_grpc.JournalServiceServicer):
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def Append(
        self, request: journal_pb2.AppendRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendResponse:
        results = await self._journal.append(_rows(request))
        return _appended(results, self._journal.journal_id)

    async def Subscribe(
        self, request: journal_pb2.SubscribeRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[journal_pb2.SubscribeResponse]:
        after = request.after
        if after.journal_id not in ("", self._journal.journal_id):
            raise Conflict(
                f"{self._journal.journal_id}", field="after.journal_id", got=after.journal_id
            )
        async for page in self._journal.follow(after.number):
            yield _page(page, self._journal.journal_id)

    async def GetHead(
        self, request: journal_pb2.GetHeadRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.GetHeadResponse:
        number, clock = await self._journal.head_and_clock()
        return journal_pb2.GetHeadResponse(
            head=journal_pb2.Position(journal_id=self._journal.journal_id, number=number),
            clock=clock,
        )


def _rows(request: journal_pb2.AppendRequest) -> Rows:
    if not 1 <= len(request.entries) <= ENTRIES_MAX:
        raise Malformed(f"1 to {ENTRIES_MAX}", field="entries", got=str(len(request.entries)))
    _check_name(request.tenant, TENANT_CHARACTERS_MAX, "tenant")
    _check_name(request.source, NAME_CHARACTERS_MAX, "source")
    streams = PublishedStreams(request.tenant, request.source)
    entries = list[Entry]()
    for entry in request.entries:
        event_id, topic, event, digest = (
            entry.event_id,
            entry.topic,
            entry.event,
            entry.content_digest,
        )
        # In one expression: it runs for each event on the hot path.
        if not (
            0 < len(event_id) <= NAME_CHARACTERS_MAX
            and "\0" not in event_id
            and 0 < len(topic) <= NAME_CHARACTERS_MAX
            and "\0" not in topic
            and len(event) <= EVENT_BYTES_MAX
            and len(digest) == DIGEST_BYTES
        ):
            _refuse(entry, f"entries[{len(entries)}]")
        entries.append(
            Entry(streams.originator_id(event_id), PUBLISHED_VERSION, topic, event, digest)
        )
    attempt = Attempt(
        tenant=request.tenant,
        source=request.source,
        received_at=_moment(request, "received_at"),
        sent_at=_moment(request, "sent_at"),
        traceparent=request.traceparent,
    )
    return encode(attempt, entries)


def _refuse(entry: journal_pb2.AppendEntry, at: str) -> None:
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
    return moment.ToDatetime(tzinfo=UTC)


STATUS = {
    Outcome.RECORDED: journal_pb2.AppendResult.STATUS_RECORDED,
    Outcome.DUPLICATE: journal_pb2.AppendResult.STATUS_DUPLICATE,
    Outcome.ID_CONFLICT: journal_pb2.AppendResult.STATUS_CONFLICT,
}


def _appended(results: list[Result], journal_id: str) -> journal_pb2.AppendResponse:
    response = journal_pb2.AppendResponse(journal_id=journal_id)
    # In place: a list of messages made first costs twice as much.
    add = response.results.add
    for outcome, position in results:
        add(status=STATUS[outcome], position=position)
    return response


def _page(page: Page, journal_id: str) -> journal_pb2.SubscribeResponse:
    return journal_pb2.SubscribeResponse(
        journal_id=journal_id,
        head=page.head,
        events=(
            journal_pb2.RecordedEvent(
                position=row["notification_id"],
                tenant=row["tenant"],
                source=row["source"],
                topic=row["topic"],
                event=row["state"],
                recorded_at=row["recorded_at"],
                received_at=row["received_at"],
                traceparent=row["traceparent"],
            )
            for row in page.events
        ),
    )
