"""touchledger.v1.JournalService: checks a request's shape, calls the journal, replies."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Conflict, Malformed
from services.touchpoint.identity import originator_id
from services.touchpoint.journal import Attempt, Duplicate, Entry, Journal, Page, Recorded, Result
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
        entries, attempt = _entries(request)
        results = await self._journal.append(entries, attempt)
        return journal_pb2.AppendResponse(
            results=map(_result, results), journal_id=self._journal.journal_id
        )

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


def _entries(request: journal_pb2.AppendRequest) -> tuple[list[Entry], Attempt]:
    if not 1 <= len(request.entries) <= ENTRIES_MAX:
        raise Malformed(f"1 to {ENTRIES_MAX}", field="entries", got=str(len(request.entries)))
    _check_name(request.tenant, TENANT_CHARACTERS_MAX, "tenant")
    _check_name(request.source, NAME_CHARACTERS_MAX, "source")
    for index, entry in enumerate(request.entries):
        at = f"entries[{index}]"
        _check_name(entry.event_id, NAME_CHARACTERS_MAX, f"{at}.event_id")
        _check_name(entry.topic, NAME_CHARACTERS_MAX, f"{at}.topic")
        _check_bytes(entry.event, 0, EVENT_BYTES_MAX, f"{at}.event")
        _check_bytes(entry.content_digest, DIGEST_BYTES, DIGEST_BYTES, f"{at}.content_digest")
    attempt = Attempt(
        tenant=request.tenant,
        source=request.source,
        received_at=_moment(request, "received_at"),
        sent_at=_moment(request, "sent_at"),
        traceparent=request.traceparent,
    )
    return [
        Entry(
            originator_id=originator_id(request.tenant, request.source, entry.event_id),
            originator_version=PUBLISHED_VERSION,
            topic=entry.topic,
            state=entry.event,
            content_digest=entry.content_digest,
        )
        for entry in request.entries
    ], attempt


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
    Recorded: journal_pb2.AppendResult.STATUS_RECORDED,
    Duplicate: journal_pb2.AppendResult.STATUS_DUPLICATE,
}


def _result(result: Result) -> journal_pb2.AppendResult:
    status = STATUS.get(type(result), journal_pb2.AppendResult.STATUS_CONFLICT)
    return journal_pb2.AppendResult(status=status, position=result.position)


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
