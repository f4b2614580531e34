"""Questions to read models that a test has projected by hand: no journal is reached, and none is needed."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from services.chassis.postgres import Pool
from services.scoring.answers import Answers, Snapshot
from services.scoring.bridge import get_bridge
from services.scoring.journey import get_journey
from services.scoring.lineage import get_lineage
from services.scoring.score_query import Way
from services.scoring.scores import get_scores
from services.scoring.series import get_series
from services.scoring.source import Source
from touchledger.v1 import scoring_pb2 as pb


class Asking:
    """Each question is the request's fields, as JSON has them."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    async def scores(self, tenant: str = "default", **asked: Any) -> pb.GetScoresResponse:
        request = json_format.ParseDict(asked, pb.GetScoresRequest())
        return await get_scores(self.answers, tenant, request)

    async def series(self, tenant: str = "default", **asked: Any) -> pb.GetSeriesResponse:
        request = json_format.ParseDict(asked, pb.GetSeriesRequest())
        return await get_series(self.answers, tenant, request)

    async def journey(self, tenant: str = "default", **asked: Any) -> pb.GetJourneyResponse:
        request = json_format.ParseDict(asked, pb.GetJourneyRequest())
        return await get_journey(self.answers, tenant, request)

    async def bridge(self, tenant: str = "default", **asked: Any) -> pb.GetBridgeResponse:
        request = json_format.ParseDict(asked, pb.GetBridgeRequest())
        return await get_bridge(self.answers, tenant, request)

    async def lineage(self, tenant: str = "default", **asked: Any) -> pb.GetLineageResponse:
        request = json_format.ParseDict(asked, pb.GetLineageRequest())
        return await get_lineage(self.answers, tenant, request)

    async def by_group(self, tenant: str = "default", **asked: Any) -> dict[str, pb.Score]:
        return {each.group: each for each in (await self.scores(tenant, **asked)).scores}


@contextlib.asynccontextmanager
async def asking(pool: Pool) -> AsyncIterator[Asking]:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nowhere:
        yield Asking(Answers(pool, Source(nowhere)))


def at(position: int) -> dict[str, Any]:
    """The position in a request."""
    return {"number": str(position)}


@contextlib.contextmanager
def by_the(way: Way | None) -> Iterator[None]:
    """As if another way were never the cheapest."""
    chosen = Snapshot._way

    async def always(self: Snapshot, *question: Any) -> Way:
        return way or await chosen(self, *question)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshot, "_way", always)
        yield
