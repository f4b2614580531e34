"""What became of events that were queued, asked for by their ids: of the journal, and of the stream."""

from collections.abc import Sequence

import grpc

from services.chassis.errors import Malformed, from_rpc
from services.gateway.access import Caller
from services.gateway.buffer import Buffer
from services.gateway.keyring import Keyring
from services.gateway.upstream import id_conflict
from touchledger.v1 import ingest_pb2, journal_pb2, journal_pb2_grpc

IDS_MAX = 500
ID_CHARACTERS_MAX = 128
FIND_DEADLINE_SECONDS = 5.0

RECORDED, REJECTED = ingest_pb2.DISPOSITION_RECORDED, ingest_pb2.DISPOSITION_REJECTED
QUARANTINED = ingest_pb2.DISPOSITION_QUARANTINED
QUEUED, UNKNOWN = ingest_pb2.DISPOSITION_QUEUED, ingest_pb2.DISPOSITION_UNKNOWN
CONFLICT = "EVENT_ID_CONFLICT"


class Outcomes:
    def __init__(
        self, journal: grpc.aio.Channel, keyring: Keyring, buffer: Buffer | None = None
    ) -> None:
        self._journal = journal_pb2_grpc.JournalServiceStub(journal)
        self._keyring = keyring
        self._buffer = buffer

    def digests(self, caller: Caller, encodings: Sequence[bytes]) -> list[bytes]:
        """Of the contents of events as they were published, for `settled`."""
        return self._keyring.content_digests(caller.tenant, encodings)

    async def of(self, caller: Caller, event_ids: Sequence[str]) -> ingest_pb2.GetOutcomesResponse:
        """One for each id. Raises Malformed and Unavailable."""
        _check(event_ids)
        # Before the journal is asked: what leaves the stream after this is found there.
        under_way = None
        if self._buffer is not None:
            under_way = await self._buffer.oldest_of(caller.tenant)
        found = await self._find(caller, event_ids)
        missing = QUEUED if under_way else UNKNOWN
        answer = ingest_pb2.GetOutcomesResponse(
            outcomes=[
                _outcome(event_id, each, found.journal_id, missing)
                for event_id, each in zip(event_ids, found.events, strict=True)
            ]
        )
        if under_way and any(each.result.disposition == QUEUED for each in answer.outcomes):
            answer.settled_to.CopyFrom(under_way)
        return answer

    async def settled(
        self, caller: Caller, queued: Sequence[tuple[str, bytes]]
    ) -> list[ingest_pb2.EventOutcome | None]:
        """Of events with the digests of their contents; None where it is not known yet."""
        found = await self._find(caller, [event_id for event_id, _ in queued])
        return [
            _settled(event_id, digest, each, found.journal_id)
            for (event_id, digest), each in zip(queued, found.events, strict=True)
        ]

    async def _find(
        self, caller: Caller, event_ids: Sequence[str]
    ) -> journal_pb2.FindEventsResponse:
        asked = journal_pb2.FindEventsRequest(
            tenant=caller.tenant, source=caller.source, event_ids=event_ids
        )
        try:
            found: journal_pb2.FindEventsResponse = await self._journal.FindEvents(
                asked, timeout=FIND_DEADLINE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        return found


def _check(event_ids: Sequence[str]) -> None:
    if not 1 <= len(event_ids) <= IDS_MAX:
        raise Malformed(f"1 to {IDS_MAX}", field="event_ids", got=f"{len(event_ids)}")
    for index, event_id in enumerate(event_ids):
        if not 1 <= len(event_id) <= ID_CHARACTERS_MAX or "\0" in event_id:
            raise Malformed(
                f"1 to {ID_CHARACTERS_MAX} characters without NUL",
                field=f"event_ids[{index}]",
                got=f"{len(event_id)}",
            )


def _outcome(
    event_id: str, found: journal_pb2.FoundEvent, journal_id: str, missing: ingest_pb2.Disposition
) -> ingest_pb2.EventOutcome:
    outcome = ingest_pb2.EventOutcome(event_id=event_id)
    conflict = next((each for each in found.refused if each.problem.code == CONFLICT), None)
    if conflict:
        outcome.conflict.CopyFrom(conflict.problem)
    refused = next((each for each in found.refused if each.problem.code != CONFLICT), None)
    if found.position:
        outcome.result.CopyFrom(_recorded(found, journal_id))
    elif refused:
        outcome.result.CopyFrom(_refused(refused))
    else:
        outcome.result.disposition = missing
    return outcome


def _settled(
    event_id: str, digest: bytes, found: journal_pb2.FoundEvent, journal_id: str
) -> ingest_pb2.EventOutcome | None:
    outcome = ingest_pb2.EventOutcome(event_id=event_id)
    refused = next((each for each in found.refused if each.content_digest == digest), None)
    if found.position and found.content_digest == digest:
        outcome.result.CopyFrom(_recorded(found, journal_id))
    elif found.position:
        problem = id_conflict(found.position)
        outcome.result.CopyFrom(ingest_pb2.PublishResult(disposition=REJECTED, problem=problem))
    elif refused:
        outcome.result.CopyFrom(_refused(refused))
    else:
        return None
    return outcome


def _recorded(found: journal_pb2.FoundEvent, journal_id: str) -> ingest_pb2.PublishResult:
    position = journal_pb2.Position(journal_id=journal_id, number=found.position)
    return ingest_pb2.PublishResult(disposition=RECORDED, position=position)


def _refused(found: journal_pb2.RefusedEvent) -> ingest_pb2.PublishResult:
    """Until a gateway has put it into quarantine, it has no id there."""
    return ingest_pb2.PublishResult(
        disposition=QUARANTINED, problem=found.problem, quarantine_id=found.quarantine_id
    )
