"""Publishing: checks events, sends the good ones on, keeps the mendable ones, says what became of each."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from typing import NamedTuple

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import telemetry
from services.chassis.errors import Forbidden, Unauthenticated, Unavailable, from_rpc, translate
from services.gateway.access import Caller
from services.gateway.buffer import Buffer, Parcel
from services.gateway.checks import MENDABLE, Good, checked, encodings_of, good
from services.gateway.coalescing import Coalescing, Queued, Stored, is_small
from services.gateway.encoding import SLICE_EVENTS, Shared, append_request
from services.gateway.keyring import Keyring
from services.gateway.quarantine import Bad, Quarantine
from touchledger.v1 import events_pb2, ingest_pb2, journal_pb2
from touchledger.v1.problem_pb2 import Problem

# Looked at one by one before others get a turn: the largest takes most of a millisecond.
ODD_SLICE_EVENTS = 50
# A batch commits in milliseconds; a caller is better told to repeat than kept waiting for longer.
APPEND_DEADLINE_SECONDS = 10.0
APPEND = "/touchledger.v1.JournalService/Append"
# Quarantine.Bad.format of what came as a protobuf Event.
EVENT = "event"

NOTHING = Stored("", ())
QUARANTINED = ingest_pb2.DISPOSITION_QUARANTINED
STORED = {
    journal_pb2.AppendResult.STATUS_RECORDED: ingest_pb2.DISPOSITION_RECORDED,
    journal_pb2.AppendResult.STATUS_DUPLICATE: ingest_pb2.DISPOSITION_DUPLICATE,
}
# What people read: "recorded" of DISPOSITION_RECORDED.
DISPOSITION = {
    number: name.removeprefix("DISPOSITION_").lower()
    for name, number in ingest_pb2.Disposition.items()
}
published = telemetry.meter.create_counter(
    "touchledger.publish.events",
    unit="{event}",
    description="Published events by what became of them, and by the code of the problem.",
)


class Content(NamedTuple):
    """What was sent, for the quarantine, where it was no protobuf Event."""

    data: bytes
    # "event_json", or an adapter's name.
    format: str
    # Where a Problem stands in place of the event: the event id, as far as it could be read.
    event_id: str = ""


class Upstream:
    """Applies no limits: its callers do, with `limits.call`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        keyring: Keyring,
        quarantine: Quarantine,
        buffer: Buffer | None = None,
    ) -> None:
        """buffer: where good events go; without one they go to the journal, over the channel."""
        self._buffer = buffer
        self._append_one = channel.unary_unary(
            APPEND, response_deserializer=journal_pb2.AppendResponse.FromString
        )
        self._coalescing = Coalescing(channel, keyring, buffer)
        self._keyring = keyring
        self._quarantine = quarantine
        self._turn = asyncio.Lock()

    async def publish(
        self,
        caller: Caller,
        given: Sequence[events_pb2.Event | Problem],
        attempt: ingest_pb2.Attempt,
        *,
        encodings: Sequence[bytes] | None = None,
        validate_only: bool = False,
        adapter: str = "",
        contents: Sequence[Content | None] | None = None,
        received_at: Timestamp | None = None,
    ) -> list[ingest_pb2.PublishResult]:
        """One result for each given event, in order, once the good ones and the mendable ones are durable.

        A Problem stands in place of an event that could not be read. `encodings` are of all of them, from
        who has them. `contents` has an item for each; where that is None, the event itself is what was sent.
        `received_at` is for what was stored on its way: by it, and not by the time of this call, an event is
        late.
        """
        answer = await self.answer(
            caller,
            given,
            attempt,
            encodings=encodings,
            validate_only=validate_only,
            adapter=adapter,
            contents=contents,
            received_at=received_at,
        )
        return list(answer.results)

    async def answer(
        self,
        caller: Caller,
        given: Sequence[events_pb2.Event | Problem],
        attempt: ingest_pb2.Attempt,
        *,
        encodings: Sequence[bytes] | None = None,
        validate_only: bool = False,
        adapter: str = "",
        contents: Sequence[Content | None] | None = None,
        received_at: Timestamp | None = None,
    ) -> ingest_pb2.PublishBatchResponse:
        """The same in the message that carries it: results that are not copied into it cost half."""
        shared = Shared(
            tenant=caller.tenant,
            source=caller.source,
            trust=caller.trust,
            adapter=adapter,
            received_at=received_at.ToNanoseconds() if received_at else None,
            sent_at=attempt.sent_at.ToNanoseconds() if attempt.HasField("sent_at") else None,
            traceparent=telemetry.traceparent(),
        )
        encodings = encodings or encodings_of(given)
        if encodings and not validate_only and is_small(encodings):
            small = await self._coalescing.append(shared, encodings)
            if small:
                return _counted(_told(small))
        some, storing = list[Good | None](), None
        if encodings:
            # One after the other, and slice by slice: of those that are handled at the same time all are
            # done at the end, and the journal, which could be storing the first, waits till then.
            async with self._turn:
                some = await _at_first_sight(encodings)
                if not validate_only and all(some):
                    storing = await self._encoded(shared, filter(None, some))
        if storing:
            return _counted(_told(await storing))
        found = await _checked(given, some, source=caller.source)
        accepted = [each for each in found if isinstance(each, Good)]
        stored: Stored | Queued = NOTHING
        if accepted and not validate_only:
            stored = await (await self._encoded(shared, accepted))
        # What is set aside, whole or as a problem alone; None where the event is good.
        bad = _set_aside(given, found, contents, adapter)
        answer = ingest_pb2.PublishBatchResponse()
        if validate_only:
            answer.results.extend(map(_would_be, bad))
            return answer
        refused = iter(
            await self._refuse(
                caller, [each for each in bad if each is not None], attempt, received_at
            )
        )
        told = iter(_told(stored).results)
        answer.results.extend(next(told if each is None else refused) for each in bad)
        return _counted(answer)

    async def _encoded(
        self, shared: Shared, some: Iterable[Good]
    ) -> Coroutine[None, None, Stored | Queued]:
        """What is to be awaited for the events, now encoded, to be stored or queued."""
        events = Good.joined(some)
        if self._buffer is not None:
            return _queued(await self._buffer.put(shared, events))
        parts = list[bytes]()
        for part in append_request(shared, events, self._keyring):
            parts.append(part)
            await asyncio.sleep(0)
        return self._append(b"".join(parts), len(events.encodings))

    async def append_as_it_is(self, request: bytes) -> ingest_pb2.PublishResult:
        """An AppendRequest with one entry, which the journal has refused before, once more."""
        [result] = _told(await self._append(request, 1)).results
        return result

    async def _append(self, request: bytes, events: int) -> Stored:
        """What became of so many events, by a call of their own."""
        try:
            answer = await self._append_one(request, timeout=APPEND_DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            told = from_rpc(error)
            if isinstance(told, (Unauthenticated, Forbidden)):
                # Between our own services; the publisher's key is good.
                raise Unavailable("a journal that takes this gateway's appends") from error
            raise told from error
        if len(answer.results) != events:
            raise Unavailable("a result for each event", got=f"{len(answer.results)}")
        return Stored(answer.journal_id, answer.results)

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


async def _queued(parcel: Parcel) -> Queued:
    return Queued(await parcel.results())


async def _at_first_sight(encodings: Sequence[bytes]) -> list[Good | None]:
    """Of each slice its events, where all of them are good."""
    found = list[Good | None]()
    for start in range(0, len(encodings), SLICE_EVENTS):
        if start:
            await asyncio.sleep(0)
        found.append(good(encodings[start : start + SLICE_EVENTS]))
    return found


async def _checked(
    given: Sequence[events_pb2.Event | Problem], some: Sequence[Good | None], *, source: str
) -> list[Good | Problem]:
    """The events in order; `some` as they were found at first sight, if they were looked at."""
    found = list[Good | Problem]()
    for number, start in enumerate(range(0, len(given), SLICE_EVENTS)):
        seen = some[number] if some else None
        if seen is not None:
            found.append(seen)
        else:
            found += await _one_by_one(given[start : start + SLICE_EVENTS], source=source)
    return found


async def _one_by_one(
    events: Sequence[events_pb2.Event | Problem], *, source: str
) -> list[Good | Problem]:
    found = list[Good | Problem]()
    for start in range(0, len(events), ODD_SLICE_EVENTS):
        await asyncio.sleep(0)
        found += [
            each if isinstance(each, Problem) else checked(each, source=source)
            for each in events[start : start + ODD_SLICE_EVENTS]
        ]
    return found


def _set_aside(
    events: Sequence[events_pb2.Event | Problem],
    found: Sequence[Good | Problem],
    contents: Sequence[Content | None] | None,
    adapter: str,
) -> list[Bad | Problem | None]:
    bad = list[Bad | Problem | None]()
    for each in found:
        if isinstance(each, Good):
            bad += [None] * len(each.events)
        else:
            at = len(bad)
            bad.append(_bad(events[at], each, contents[at] if contents else None, adapter))
    return bad


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


def _counted(answer: ingest_pb2.PublishBatchResponse) -> ingest_pb2.PublishBatchResponse:
    if telemetry.measured():
        found = Counter((each.disposition, each.problem.code) for each in answer.results)
        for (disposition, code), events in found.items():
            published.add(events, {"disposition": DISPOSITION[disposition], "code": code})
    return answer


def _told(stored: Stored | Queued) -> ingest_pb2.PublishBatchResponse:
    """What became of events that were all good."""
    answer = ingest_pb2.PublishBatchResponse()
    if isinstance(stored, Queued):
        answer.results.extend(stored.results)
        return answer
    # In place: results that are copied into it cost twice as much.
    add = answer.results.add
    for each in stored.results:
        number, disposition = each.position, STORED.get(each.status)
        if disposition is None:
            answer.results.append(_rejected(id_conflict(number)))
            continue
        position = add(disposition=disposition).position
        position.journal_id = stored.journal_id
        position.number = number
    return answer


def id_conflict(position: int) -> Problem:
    return Problem(
        code="EVENT_ID_CONFLICT",
        field="event_id",
        got=f"other content than at position {position}",
        want="the same content, or another id",
    )
