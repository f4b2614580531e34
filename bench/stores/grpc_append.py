"""Our gRPC Append: the touchpoint service as a process of its own, called as the gateway calls it."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.contender import Contender, Run
from bench.events import ATTEMPT, Event
from bench.journal_goals import GRPC
from bench.place import Place, free_port
from bench.running import START_SECONDS_MAX, STOP_SECONDS_MAX, until_ready
from bench.timing import by_tasks
from services.chassis.client import open_channel
from services.cli.data_folder import LogFile
from services.cli.service_process import ServiceProcess
from touchledger.v1 import journal_pb2, journal_pb2_grpc

APPEND_SECONDS_MAX = 20.0
RECORDED = journal_pb2.AppendResult.STATUS_RECORDED
DUPLICATE = journal_pb2.AppendResult.STATUS_DUPLICATE


class GrpcAppend:
    def __init__(self, place: Place, url: str) -> None:
        self._place = place
        self._url = url
        self._address = f"127.0.0.1:{free_port()}"
        self._service = self._started()

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        requests = [_request(batch) for batch in batches]
        responses = list[journal_pb2.AppendResponse]()
        before = await self._place.journal_position(self._url)
        async with open_channel(self._address) as channel:
            stub = journal_pb2_grpc.JournalServiceStub(channel)

            async def append(request: journal_pb2.AppendRequest) -> None:
                responses.append(await stub.Append(request, timeout=APPEND_SECONDS_MAX))

            async with asyncio.timeout(START_SECONDS_MAX):
                await channel.channel_ready()
            timing = await by_tasks(requests, [append] * callers)
        stored = await self._place.journal_position(self._url) - before
        answers = Counter(result.status for each in responses for result in each.results)
        if answers[RECORDED] != stored or answers.keys() - {RECORDED, DUPLICATE}:
            raise RuntimeError(f"gRPC Append answered {answers}, but {stored} are stored")
        return Run(timing, stored)

    async def until_ready(self) -> None:
        await until_ready(self._service)

    async def restart(self) -> None:
        """The new process knows no recent ids."""
        self.stop()
        self._service = self._started()
        await self.until_ready()

    def stop(self) -> None:
        self._service.stop(STOP_SECONDS_MAX)

    def _started(self) -> ServiceProcess:
        return ServiceProcess(
            "touchpoint",
            [sys.executable, "-m", "services.touchpoint"],
            address=self._address,
            log=LogFile(self._place.folder / "touchpoint.log"),
            environment=os.environ
            | {
                "TOUCHLEDGER_TOUCHPOINT_DATABASE_URL": self._url,
                "TOUCHLEDGER_TOUCHPOINT_LISTEN": self._address,
            },
        )


def _request(batch: Sequence[Event]) -> journal_pb2.AppendRequest:
    request = journal_pb2.AppendRequest(
        tenant=ATTEMPT.tenant,
        source=ATTEMPT.source,
        received_at=ATTEMPT.received_at,
        sent_at=ATTEMPT.sent_at,
        traceparent=ATTEMPT.traceparent,
    )
    for event in batch:
        request.entries.add(
            event_id=event.id,
            topic=event.template.topic,
            event=event.state,
            content_digest=event.content_digest,
        )
    return request


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[GrpcAppend]:
    async with place.journal("grpc_append") as url:
        store = GrpcAppend(place, url)
        try:
            await store.until_ready()
            yield store
        finally:
            store.stop()


CONTENDER = Contender("grpc", GRPC, opened)
