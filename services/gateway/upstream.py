"""Publishing: checks each event, sends the good ones on in one Append, says what became of each."""

import asyncio
from collections.abc import Sequence

import grpc

from services.chassis import clock, telemetry
from services.chassis.errors import Unavailable
from services.gateway.access import Caller
from services.gateway.checks import problem_of
from services.gateway.encoding import encode
from services.gateway.keyring import Keyring
from touchledger.v1 import events_pb2, ingest_pb2, journal_pb2, journal_pb2_grpc
from touchledger.v1.problem_pb2 import Problem

# Others get a turn in between: the largest event takes most of a millisecond to check.
EVENTS_WITHOUT_PAUSE_MAX = 50
# A batch commits in milliseconds; a caller is better told to repeat than kept waiting for longer.
APPEND_DEADLINE_SECONDS = 10.0


class Upstream:
    def __init__(self, channel: grpc.aio.Channel, keyring: Keyring) -> None:
        self._journal = journal_pb2_grpc.JournalServiceStub(channel)
        self._keyring = keyring

    async def publish(
        self, caller: Caller, events: Sequence[events_pb2.Event], attempt: ingest_pb2.Attempt
    ) -> list[ingest_pb2.PublishResult]:
        """One result for each event, in order, once the good ones are durable."""
        problems = []
        for index, event in enumerate(events, start=1):
            problems.append(problem_of(event))
            if index % EVENTS_WITHOUT_PAUSE_MAX == 0:
                await asyncio.sleep(0)
        good = [event for event, found in zip(events, problems, strict=True) if found is None]
        recorded = iter(await self._append(caller, good, attempt) if good else ())
        return [next(recorded) if found is None else _rejected(found) for found in problems]

    async def _append(
        self, caller: Caller, events: list[events_pb2.Event], attempt: ingest_pb2.Attempt
    ) -> list[ingest_pb2.PublishResult]:
        request = journal_pb2.AppendRequest(
            tenant=caller.tenant,
            source=caller.source,
            entries=[encode(event, caller, self._keyring) for event in events],
            received_at=clock.now(),
            sent_at=attempt.sent_at if attempt.HasField("sent_at") else None,
            traceparent=telemetry.traceparent(),
        )
        answer = await self._journal.Append(request, timeout=APPEND_DEADLINE_SECONDS)
        if len(answer.results) != len(events):
            raise Unavailable("a result for each event", got=f"{len(answer.results)}")
        return [_result(each, answer.journal_id) for each in answer.results]


def _rejected(problem: Problem) -> ingest_pb2.PublishResult:
    return ingest_pb2.PublishResult(disposition=ingest_pb2.DISPOSITION_REJECTED, problem=problem)


def _result(result: journal_pb2.AppendResult, journal_id: str) -> ingest_pb2.PublishResult:
    position = journal_pb2.Position(journal_id=journal_id, number=result.position)
    match result.status:
        case journal_pb2.AppendResult.STATUS_RECORDED:
            disposition = ingest_pb2.DISPOSITION_RECORDED
        case journal_pb2.AppendResult.STATUS_DUPLICATE:
            disposition = ingest_pb2.DISPOSITION_DUPLICATE
        case _:
            return _rejected(
                Problem(
                    code="EVENT_ID_CONFLICT",
                    field="event_id",
                    got=f"other content than at position {result.position}",
                    want="the same content, or another id",
                )
            )
    return ingest_pb2.PublishResult(disposition=disposition, position=position)
