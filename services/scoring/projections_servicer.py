"""touchledger.v1.ProjectionService: tells of the models, and changes which one answers."""

import contextlib
from collections.abc import AsyncIterator

import grpc

from services.chassis.errors import Malformed
from services.scoring.projections import Compared, Comparison, Projections, Standing
from services.scoring.servicer import TENANT_METADATA
from services.scoring.source import Source
from touchledger.v1 import projections_pb2 as pb
from touchledger.v1 import projections_pb2_grpc
from touchledger.v1.journal_pb2 import Position

ROWS_DEFAULT, ROWS_MAX = 5, 100


class ProjectionServicer(projections_pb2_grpc.ProjectionServiceServicer):
    def __init__(self, projections: Projections, source: Source) -> None:
        self._projections = projections
        self._source = source

    async def GetProjections(
        self, request: pb.GetProjectionsRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetProjectionsResponse:
        # The checkpoints first: a head read before them could lie behind.
        standings = await self._projections.standings()
        head = (await self._source.head()).head
        comparison = await self._projections.comparison()
        return pb.GetProjectionsResponse(
            projections=[_projection(each, head) for each in standings],
            head=head,
            comparison=_comparison(comparison) if comparison else None,
        )

    async def RebuildProjection(
        self, request: pb.RebuildProjectionRequest, context: grpc.aio.ServicerContext
    ) -> pb.RebuildProjectionResponse:
        await self._projections.rebuild(replace=request.replace)
        return pb.RebuildProjectionResponse()

    async def DiffProjection(
        self, request: pb.DiffProjectionRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.DiffProjectionResponse]:
        if request.rows_max > ROWS_MAX:
            raise Malformed(f"at most {ROWS_MAX}", field="rows_max", got=f"{request.rows_max}")
        comparing = self._projections.compare(
            tenant=_tenant(context), rows_max=request.rows_max or ROWS_DEFAULT
        )
        async with contextlib.aclosing(comparing):
            async for found in comparing:
                if isinstance(found, Compared):
                    yield pb.DiffProjectionResponse(table=_table(found))
                else:
                    yield pb.DiffProjectionResponse(result=_comparison(found))

    async def SwitchProjection(
        self, request: pb.SwitchProjectionRequest, context: grpc.aio.ServicerContext
    ) -> pb.SwitchProjectionResponse:
        position = await self._projections.switch(even_if_different=request.even_if_different)
        return pb.SwitchProjectionResponse(position=position)

    async def RollBackProjection(
        self, request: pb.RollBackProjectionRequest, context: grpc.aio.ServicerContext
    ) -> pb.RollBackProjectionResponse:
        return pb.RollBackProjectionResponse(position=await self._projections.roll_back())


def _tenant(context: grpc.aio.ServicerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == TENANT_METADATA and value:
            return str(value)
    raise Malformed("the tenant that the gateway sets", field=TENANT_METADATA, got="nothing")


def _projection(standing: Standing, head: Position) -> pb.Projection:
    return pb.Projection(
        name=standing.name,
        checkpoint=standing.checkpoint,
        lag=max(0, head.number - standing.checkpoint.number),
        checkpoint_recorded_at=standing.recorded_at,
        missing_positions=standing.missing,
        parked_events=standing.parked,
        owner=standing.owner,
        owned_since=standing.owned_since,
    )


def _comparison(comparison: Comparison) -> pb.Comparison:
    return pb.Comparison(
        position=comparison.position,
        differing_rows=comparison.differing_rows,
        compared_at=comparison.compared_at,
    )


def _table(compared: Compared) -> pb.TableComparison:
    return pb.TableComparison(
        table=compared.table,
        live_rows=compared.live_rows,
        next_rows=compared.next_rows,
        only_live_rows=compared.only_live,
        only_next_rows=compared.only_next,
        differing=[
            pb.DifferingRow(only_in=each.only_in, copies=each.copies, json=each.row)
            for each in compared.differences
        ],
        uncompared_columns=compared.uncompared,
    )
