"""Publishing: checks events, sends the good ones on, keeps the mendable ones, says what became of each."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock, telemetry
from services.chassis.errors import Forbidden, Unauthenticated, Unavailable, from_rpc, translate
from services.gateway.access import Caller
from services.gateway.checks import MENDABLE, checked
from services.gateway.coalescing import Coalescing, is_small
from services.gateway.encoding import encode_batch
from services.gateway.keyring import Keyring
from services.gateway.quarantine import Bad, Quarantine
from touchledger.v1 import events_pb2, ingest_pb2, journal_pb2, journal_pb2_grpc
from touchledger.v1.problem_pb2 import Problem

# Others get a turn in between: the largest event takes most of a millisecond to check.
SLICE_EVENTS = 50
# A batch commits in milliseconds; a caller is better told to repeat than kept waiting for longer.
APPEND_DEADLINE_SECONDS = 10.0
# Quarantine.Bad.format of what came as a protobuf Event.
EVENT = "event"

QUARANTINED = ingest_pb2.DISPOSITION_QUARANTINED
STORED = {
    journal_pb2.AppendResult.STATUS_RECORDED: ingest_pb2.DISPOSITION_RECORDED,
    journal_pb2.AppendResult.STATUS_DUPLICATE: ingest_pb2.DISPOSITION_DUPLICATE,
}


class Content(NamedTuple):
    """What was sent, for the quarantine, where it was no protobuf Event."""

    data: bytes
    # "event_json", or an adapter's name.
    format: str
    # Where a Problem stands in place of the event: the event id, as far as it could be read.
    event_id: str = ""


class Upstream:
    """Applies no limits: its callers do, with `limits.call`."""

    def __init__(self, channel: grpc.aio.Channel, keyring: Keyring, quarantine: Quarantine) -> None:
        self._journal = journal_pb2_grpc.JournalServiceStub(channel)
        self._coalescing = Coalescing(self._journal)
        self._keyring = keyring
        self._quarantine = quarantine

    async def publish(
        self,
        caller: Caller,
        events: Sequence[events_pb2.Event | Problem],
        attempt: ingest_pb2.Attempt,
        *,
        validate_only: bool = False,
        adapter: str = "",
        contents: Sequence[Content | None] | None = None,
        received_at: Timestamp | None = None,
    ) -> list[ingest_pb2.PublishResult]:
        """One result for each event, in order, once the good ones and the mendable ones are durable.

        A Problem stands in place of an event that could not be read. The events are changed. `contents` has
        an item for each of them; where that is None, the event itself is what was sent. `received_at` is for
        what was stored on its way: by it, and not by the time of this call, an event is late.
        """
        answer = await self.answer(
            caller,
            events,
            attempt,
            validate_only=validate_only,
            adapter=adapter,
            contents=contents,
            received_at=received_at,
        )
        return list(answer.results)

    async def answer(
        self,
        caller: Caller,
        events: Sequence[events_pb2.Event | Problem],
        attempt: ingest_pb2.Attempt,
        *,
        validate_only: bool = False,
        adapter: str = "",
        contents: Sequence[Content | None] | None = None,
        received_at: Timestamp | None = None,
    ) -> ingest_pb2.PublishBatchResponse:
        """The same in the message that carries it: results that are not copied into it cost half."""
        found = await _checked(events)
        # What is set aside, whole or as a problem alone; None where the event is good.
        bad = [
            _bad(event, each, content, adapter) if isinstance(each, Problem) else None
            for event, each, content in zip(
                events, found, contents or [None] * len(events), strict=True
            )
        ]
        answer = ingest_pb2.PublishBatchResponse()
        if validate_only:
            answer.results.extend(map(_would_be, bad))
            return answer
        good = [
            (event, each)
            for event, each in zip(events, found, strict=True)
            if isinstance(event, events_pb2.Event) and isinstance(each, bytes)
        ]
        stored = journal_pb2.AppendResponse()
        if good:
            stored = await self._append(caller, good, attempt, adapter, received_at or clock.now())
        if len(good) == len(events):
            _tell(stored.results, stored.journal_id, answer)
            return answer
        refused = iter(
            await self._refuse(
                caller, [each for each in bad if each is not None], attempt, received_at
            )
        )
        results = iter(stored.results)
        for each in bad:
            if each is None:
                _tell([next(results)], stored.journal_id, answer)
            else:
                answer.results.append(next(refused))
        return answer

    async def _append(
        self,
        caller: Caller,
        good: Sequence[tuple[events_pb2.Event, bytes]],
        attempt: ingest_pb2.Attempt,
        adapter: str,
        received_at: Timestamp,
    ) -> journal_pb2.AppendResponse:
        sent_at = attempt.sent_at if attempt.HasField("sent_at") else None
        request = journal_pb2.AppendRequest(
            tenant=caller.tenant,
            source=caller.source,
            received_at=received_at,
            sent_at=sent_at,
            traceparent=telemetry.traceparent(),
        )
        for start in range(0, len(good), SLICE_EVENTS):
            if start:
                await asyncio.sleep(0)
            encode_batch(
                good[start : start + SLICE_EVENTS],
                caller,
                self._keyring,
                received_at=received_at,
                sent_at=sent_at,
                adapter=adapter,
                into=request.entries,
            )
        if is_small(request):
            answer = await self._coalescing.append(request)
        else:
            try:
                answer = await self._journal.Append(request, timeout=APPEND_DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                told = from_rpc(error)
                if isinstance(told, (Unauthenticated, Forbidden)):
                    # Between our own services; the publisher's key is good.
                    raise Unavailable("a journal that takes this gateway's appends") from error
                raise told from error
        if len(answer.results) != len(good):
            raise Unavailable("a result for each event", got=f"{len(answer.results)}")
        return answer

    async def _refuse(
        self,
        caller: Caller,
        bad: Sequence[Bad | Problem],
        attempt: ingest_pb2.Attempt,
        received_at: Timestamp | None,
    ) -> list[ingest_pb2.PublishResult]:
        """Keeps what is given whole, rejects the rest."""
        given = [each for each in bad if isinstance(each, Bad)]
        sent_at = attempt.sent_at if attempt.HasField("sent_at") else None
        keep = self._quarantine.keep
        try:
            ids = iter(
                await keep(caller, given, received_at=received_at, sent_at=sent_at) if given else ()
            )
        except Exception as error:
            # The good ones of the batch are recorded, and their publisher is to know.
            told = translate(error, method="quarantine")
            if told is None or not told.retryable:
                raise
            retry = ingest_pb2.PublishResult(
                disposition=ingest_pb2.DISPOSITION_RETRY, problem=told.problem
            )
            return [retry if isinstance(each, Bad) else _rejected(each) for each in bad]
        return [
            _kept(each.problem, next(ids)) if isinstance(each, Bad) else _rejected(each)
            for each in bad
        ]


async def _checked(
    events: Sequence[events_pb2.Event | Problem],
) -> list[bytes | Problem]:
    """The encoding of each, or why it is refused."""
    found = list[bytes | Problem]()
    for start in range(0, len(events), SLICE_EVENTS):
        if start:
            await asyncio.sleep(0)
        part = events[start : start + SLICE_EVENTS]
        read = iter(checked([each for each in part if isinstance(each, events_pb2.Event)]))
        found += [each if isinstance(each, Problem) else next(read) for each in part]
    return found


def _bad(
    event: events_pb2.Event | Problem, problem: Problem, content: Content | None, adapter: str
) -> Bad | Problem:
    """Whole, where it can be mended; else the problem alone."""
    # An event that is sent again under another id, or without one, is another event.
    if problem.code not in MENDABLE or problem.field == "event_id":
        return problem
    if isinstance(event, events_pb2.Event):
        content = content or Content(event.SerializeToString(deterministic=True), EVENT)
        return Bad(event.event_id, content.data, content.format, problem)
    # A vendor doesn't send it again, so that its id may wait for the mapping to be mended.
    if content is not None and (content.event_id or adapter):
        return Bad(content.event_id, content.data, content.format, problem)
    return problem


def _would_be(bad: Bad | Problem | None) -> ingest_pb2.PublishResult:
    if bad is None:
        return ingest_pb2.PublishResult(disposition=ingest_pb2.DISPOSITION_VALID)
    if isinstance(bad, Bad):
        return ingest_pb2.PublishResult(disposition=QUARANTINED, problem=bad.problem)
    return _rejected(bad)


def _kept(problem: Problem, quarantine_id: str) -> ingest_pb2.PublishResult:
    if not quarantine_id:
        # There was no room.
        return _rejected(problem)
    return ingest_pb2.PublishResult(
        disposition=QUARANTINED, problem=problem, quarantine_id=quarantine_id
    )


def _rejected(problem: Problem) -> ingest_pb2.PublishResult:
    return ingest_pb2.PublishResult(disposition=ingest_pb2.DISPOSITION_REJECTED, problem=problem)


def _tell(
    results: Iterable[journal_pb2.AppendResult],
    journal_id: str,
    answer: ingest_pb2.PublishBatchResponse,
) -> None:
    # In place: it runs for each event on the hot path.
    add = answer.results.add
    for each in results:
        number, disposition = each.position, STORED.get(each.status)
        if disposition is None:
            answer.results.append(_rejected(_id_conflict(number)))
            continue
        position = add(disposition=disposition).position
        position.journal_id = journal_id
        position.number = number


def _id_conflict(position: int) -> Problem:
    return Problem(
        code="EVENT_ID_CONFLICT",
        field="event_id",
        got=f"other content than at position {position}",
        want="the same content, or another id",
    )
