"""touchledger.v1.IngestService: who calls, how much, one call behind, reply."""

from collections.abc import AsyncIterator

import grpc

from services.chassis import telemetry
from services.chassis.errors import (
    Forbidden,
    Malformed,
    Unauthenticated,
    translate,
)
from services.gateway.access import PUBLISH, Access
from services.gateway.later_outcomes import LaterOutcomes
from services.gateway.limits import Limits
from services.gateway.outcomes import Outcomes
from services.gateway.publish_stream import PublishStream
from services.gateway.shallow import encodings_in
from services.gateway.streams import Places
from services.gateway.upstream import Upstream
from touchledger.v1 import ingest_pb2, ingest_pb2_grpc

BATCH_EVENTS_MAX = 500
# The transport takes 8 MiB, so that what is over this limit is told so.
BATCH_BYTES_MAX = 4 * 1024 * 1024
# Each may hold publish_stream.BYTES_IN_FLIGHT_MAX and one batch more.
STREAMS_MAX = 64
# So that nobody holds all of them, however many keys a tenant has.
STREAMS_OF_TENANT_MAX = STREAMS_MAX // 2
STREAMS_OF_KEY_MAX = 16
PUBLISH_STREAM = "/touchledger.v1.IngestService/PublishStream"


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    def __init__(
        self, access: Access, limits: Limits, upstream: Upstream, outcomes: Outcomes
    ) -> None:
        self._access = access
        self._limits = limits
        self._upstream = upstream
        self._outcomes = outcomes
        self._streams = Places()

    async def Publish(
        self, request: ingest_pb2.PublishRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.PublishResponse:
        caller = await self._access.admit(context.invocation_metadata(), PUBLISH)
        if not request.HasField("event"):
            raise Malformed("an event", field="event", got="nothing")
        size = check_size(request.ByteSize())
        check_attempt(request.attempt)
        with self._limits.call(caller, events=1, size=size):
            [result] = await self._upstream.publish(
                caller, [request.event], request.attempt, validate_only=request.validate_only
            )
        return ingest_pb2.PublishResponse(result=result)

    async def PublishBatch(
        self, request: ingest_pb2.PublishBatchRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.PublishBatchResponse:
        caller = await self._access.admit(context.invocation_metadata(), PUBLISH)
        size, encodings = encodings_in(request)
        events = _check_request(request, size)
        with self._limits.call(caller, events=events, size=size):
            return await self._upstream.answer(
                caller,
                request.events,
                request.attempt,
                encodings=encodings,
                validate_only=request.validate_only,
            )

    async def GetOutcomes(
        self, request: ingest_pb2.GetOutcomesRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.GetOutcomesResponse:
        caller = await self._access.admit(context.invocation_metadata(), PUBLISH)
        with self._limits.question(caller):
            return await self._outcomes.of(caller, request.event_ids)

    async def PublishStream(  # type: ignore[override]  # it writes to the context, as only so it sees that nobody reads
        self,
        request_iterator: AsyncIterator[ingest_pb2.PublishStreamRequest],
        context: grpc.aio.ServicerContext,
    ) -> None:
        metadata = dict(context.invocation_metadata() or ())
        caller = await self._access.admit(metadata.items(), PUBLISH)
        later = LaterOutcomes(self._outcomes, caller)

        async def publish(
            request: ingest_pb2.PublishStreamRequest,
        ) -> ingest_pb2.PublishStreamResponse:
            if request.sequence == 1:
                later.wanted = request.want_outcomes
            with telemetry.part_span("publish of a stream", metadata):
                return await self._publish_of_stream(request, metadata, later)

        with self._streams.held(
            caller,
            gateway_max=STREAMS_MAX,
            tenant_max=STREAMS_OF_TENANT_MAX,
            key_max=STREAMS_OF_KEY_MAX,
        ):
            await PublishStream(context, publish, later).run(request_iterator)

    async def _publish_of_stream(
        self,
        request: ingest_pb2.PublishStreamRequest,
        metadata: dict[str, str | bytes],
        later: LaterOutcomes,
    ) -> ingest_pb2.PublishStreamResponse:
        answer = ingest_pb2.PublishStreamResponse(sequence=request.sequence, credits=1)
        try:
            # Again for each batch: a key is revoked within seconds, and a stream lives longer.
            caller = await self._access.admit(metadata.items(), PUBLISH)
            size, encodings = encodings_in(request)
            events = _check_request(request, size)
            with self._limits.call(caller, events=events, size=size):
                results = await self._upstream.publish(
                    caller, request.events, request.attempt, encodings=encodings
                )
                answer.results.extend(results)
            later.batch(request, encodings, results)
        except Exception as error:
            told = translate(error, method=PUBLISH_STREAM)
            if told is None or isinstance(told, (Unauthenticated, Forbidden)):
                raise
            answer.problem.CopyFrom(told.problem)
        return answer


def _check_request(
    request: ingest_pb2.PublishBatchRequest | ingest_pb2.PublishStreamRequest, size: int
) -> int:
    """How many events it has."""
    check_size(size)
    events = check_count(len(request.events))
    check_attempt(request.attempt)
    return events


def check_size(size: int) -> int:
    if size > BATCH_BYTES_MAX:
        raise Malformed(
            f"at most {BATCH_BYTES_MAX} bytes",
            code="TOO_LARGE",
            field="request",
            got=f"{size} bytes",
        )
    return size


def check_count(count: int) -> int:
    if not 1 <= count <= BATCH_EVENTS_MAX:
        raise Malformed(
            f"1 to {BATCH_EVENTS_MAX}", code="BATCH_SIZE", field="events", got=f"{count}"
        )
    return count


def check_attempt(attempt: ingest_pb2.Attempt) -> None:
    try:
        attempt.sent_at.ToDatetime()
    except (ValueError, OverflowError):
        raise Malformed(
            "a moment in the years 1 to 9999", field="attempt.sent_at", got="another"
        ) from None
