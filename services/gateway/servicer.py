"""touchledger.v1.IngestService, and ScoringService passed on: who calls, how much, one call behind, reply."""

import grpc

from services.chassis.errors import Malformed
from services.gateway.access import PUBLISH, QUERY, Access
from services.gateway.upstream import Upstream
from touchledger.v1 import ingest_pb2, ingest_pb2_grpc, scoring_pb2, scoring_pb2_grpc

BATCH_EVENTS_MAX = 500
# The transport takes 8 MiB, so that what is over this limit is told so.
BATCH_BYTES_MAX = 4 * 1024 * 1024
QUERY_DEADLINE_SECONDS = 30.0


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    def __init__(self, access: Access, upstream: Upstream) -> None:
        self._access = access
        self._upstream = upstream

    async def Publish(
        self, request: ingest_pb2.PublishRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.PublishResponse:
        caller = await self._access.admit(context.invocation_metadata(), PUBLISH)
        if not request.HasField("event"):
            raise Malformed("an event", field="event", got="nothing")
        check_size(request.ByteSize())
        check_attempt(request.attempt)
        [result] = await self._upstream.publish(caller, [request.event], request.attempt)
        return ingest_pb2.PublishResponse(result=result)

    async def PublishBatch(
        self, request: ingest_pb2.PublishBatchRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.PublishBatchResponse:
        caller = await self._access.admit(context.invocation_metadata(), PUBLISH)
        check_size(request.ByteSize())
        check_count(len(request.events))
        check_attempt(request.attempt)
        results = await self._upstream.publish(caller, request.events, request.attempt)
        return ingest_pb2.PublishBatchResponse(results=results)


def check_size(size: int) -> None:
    if size > BATCH_BYTES_MAX:
        raise Malformed(
            f"at most {BATCH_BYTES_MAX} bytes",
            code="TOO_LARGE",
            field="request",
            got=f"{size} bytes",
        )


def check_count(count: int) -> None:
    if not 1 <= count <= BATCH_EVENTS_MAX:
        raise Malformed(
            f"1 to {BATCH_EVENTS_MAX}", code="BATCH_SIZE", field="events", got=f"{count}"
        )


def check_attempt(attempt: ingest_pb2.Attempt) -> None:
    try:
        attempt.sent_at.ToDatetime()
    except (ValueError, OverflowError):
        raise Malformed(
            "a moment in the years 1 to 9999", field="attempt.sent_at", got="another"
        ) from None


class ScoringServicer(scoring_pb2_grpc.ScoringServiceServicer):
    """Passes questions on; the tenant goes with them as the credential says."""

    def __init__(self, access: Access, channel: grpc.aio.Channel) -> None:
        self._access = access
        self._scoring = scoring_pb2_grpc.ScoringServiceStub(channel)

    async def GetScores(
        self, request: scoring_pb2.GetScoresRequest, context: grpc.aio.ServicerContext
    ) -> scoring_pb2.GetScoresResponse:
        answer: scoring_pb2.GetScoresResponse = await self._scoring.GetScores(
            request, metadata=await self._tenant(context), timeout=QUERY_DEADLINE_SECONDS
        )
        return answer

    async def GetStatus(
        self, request: scoring_pb2.GetStatusRequest, context: grpc.aio.ServicerContext
    ) -> scoring_pb2.GetStatusResponse:
        answer: scoring_pb2.GetStatusResponse = await self._scoring.GetStatus(
            request, metadata=await self._tenant(context), timeout=QUERY_DEADLINE_SECONDS
        )
        return answer

    async def _tenant(self, context: grpc.aio.ServicerContext) -> tuple[tuple[str, str], ...]:
        caller = await self._access.admit(context.invocation_metadata(), QUERY)
        return (("touchledger-tenant", caller.tenant),)
