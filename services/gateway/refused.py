"""Brings what was queued and then refused into quarantine: the journal says what, the gateway seals it."""

import asyncio

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import ServiceError, from_rpc
from services.gateway.access import Caller
from services.gateway.quarantine import Bad, Quarantine
from touchledger.v1 import journal_pb2, journal_pb2_grpc

log = structlog.get_logger()

# It comes from a fault of a program, not of a day's work: nobody waits for it.
LOOK_EVERY_SECONDS = 1.0
ASK_DEADLINE_SECONDS = 5.0
# RefusedEvent.format of an AppendRequest with one entry.
ENTRY = "entry"


class RefusedEvents:
    def __init__(self, journal: grpc.aio.Channel, quarantine: Quarantine) -> None:
        self._journal = journal_pb2_grpc.JournalServiceStub(journal)
        self._quarantine = quarantine

    async def run(self) -> None:
        """Until cancelled. Every gateway may: the same event has one id in quarantine."""
        while True:
            try:
                while await self.turn():
                    pass
            except grpc.aio.AioRpcError as error:
                log.info("refused events wait", error=type(from_rpc(error)).__name__)
            except ServiceError as error:
                log.info("refused events wait", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def turn(self) -> bool:
        """Whether there may be more."""
        refused = await self._journal.ListRefused(
            journal_pb2.ListRefusedRequest(), timeout=ASK_DEADLINE_SECONDS
        )
        for each in refused.events:
            caller = Caller(each.tenant, each.source, frozenset())
            bad = Bad(each.event_id, each.content, each.format, each.problem)
            # "" where the tenant's quarantine takes no more, as with what is refused at once.
            [quarantine_id] = await self._quarantine.keep(
                caller, [bad], received_at=received_at(each)
            )
            await self._journal.SettleRefused(
                journal_pb2.SettleRefusedRequest(number=each.number, quarantine_id=quarantine_id),
                timeout=ASK_DEADLINE_SECONDS,
            )
        return bool(refused.events)


def received_at(refused: journal_pb2.RefusedEvent) -> Timestamp:
    """When a gateway had received it, where that can be read."""
    if refused.format == ENTRY:
        try:
            request = journal_pb2.AppendRequest.FromString(refused.content)
        except DecodeError:
            return refused.refused_at
        if request.HasField("received_at"):
            return request.received_at
    return refused.refused_at
