"""touchledger.v1.ScoringService: whose question it is, and to the module that answers it."""

import grpc

from services.chassis.errors import Conflict, Malformed
from services.scoring import formulas
from services.scoring.answers import Answers
from services.scoring.bridge import get_bridge
from services.scoring.journey import get_journey
from services.scoring.kept_scores import KeptScores
from services.scoring.lineage import get_lineage
from services.scoring.series import get_series
from services.scoring.source import Source
from services.scoring.watch import Watches
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1 import scoring_pb2_grpc
from touchledger.v1.journal_pb2 import Position

# The gateway sets it from the caller's credential; nobody else can reach this service.
TENANT_METADATA = "touchledger-tenant"


class ScoringServicer(scoring_pb2_grpc.ScoringServiceServicer):
    def __init__(self, answers: Answers, source: Source, watches: Watches) -> None:
        self._answers = answers
        self._scores = KeptScores(answers)
        self._source = source
        self._watches = watches

    async def GetScores(
        self, request: pb.GetScoresRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetScoresResponse:
        return await self._scores.get_scores(tenant_of(context), request)

    async def GetSeries(
        self, request: pb.GetSeriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetSeriesResponse:
        return await get_series(self._answers, tenant_of(context), request)

    async def GetJourney(
        self, request: pb.GetJourneyRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetJourneyResponse:
        return await get_journey(self._answers, tenant_of(context), request)

    async def GetBridge(
        self, request: pb.GetBridgeRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetBridgeResponse:
        return await get_bridge(self._answers, tenant_of(context), request)

    async def GetLineage(
        self, request: pb.GetLineageRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetLineageResponse:
        return await get_lineage(self._answers, tenant_of(context), request)

    async def WatchScores(  # type: ignore[override]  # it writes to the context, as only so it sees that nobody reads
        self, request: pb.WatchScoresRequest, context: grpc.aio.ServicerContext
    ) -> None:
        await self._watches.watch(tenant_of(context), request, context)

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetStatusResponse:
        # The checkpoint first: a head read before it could lie behind it.
        status = await self._answers.status(tenant_of(context))
        freshness, owner = status.checkpoint, status.projected_by
        head = (await self._source.head()).head
        if freshness["journal_id"] not in ("", head.journal_id):
            raise Conflict(
                head.journal_id, field="checkpoint.journal_id", got=freshness["journal_id"]
            )
        return pb.GetStatusResponse(
            head=head,
            checkpoint=Position(journal_id=freshness["journal_id"], number=freshness["position"]),
            lag=head.number - freshness["position"],
            missing_positions=freshness["position"] - freshness["events"],
            checkpoint_recorded_at=freshness["recorded_at"],
            events=status.events,
            waiting_amendments=status.waiting,
            parked_events=status.parked,
            formula_version=formulas.VERSION,
            reporting_zone=status.zone,
            projected_by=owner["owner"] if owner else "",
            projected_by_since=owner["took_at"] if owner else None,
        )


def tenant_of(context: grpc.aio.ServicerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == TENANT_METADATA and value:
            return str(value)
    raise Malformed("the tenant that the gateway sets", field=TENANT_METADATA, got="nothing")
