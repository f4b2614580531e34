"""touchledger.v1.ExperienceService: whose question it is, and to the module that answers it."""

import grpc

from services.scoring.answers import Answers
from services.scoring.experience.told import get_figure, get_figure_events, list_figures
from services.scoring.servicer import tenant_of
from touchledger.v1 import experience_pb2 as pb
from touchledger.v1 import experience_pb2_grpc


class ExperienceServicer(experience_pb2_grpc.ExperienceServiceServicer):
    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def ListFigures(
        self, request: pb.ListFiguresRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListFiguresResponse:
        return list_figures()

    async def GetFigure(
        self, request: pb.GetFigureRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetFigureResponse:
        return await get_figure(self._answers, tenant_of(context), request)

    async def GetFigureEvents(
        self, request: pb.GetFigureEventsRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetFigureEventsResponse:
        return await get_figure_events(self._answers, tenant_of(context), request)
