"""A gateway that answers as it is told, for what a real one seldom says, over a real connection."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc, problem_pb2

WAIT_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Refusal(Exception):
    """Instead of an answer, this status."""

    code: grpc.StatusCode
    problem: problem_pb2.Problem | None = None
    retry_after_seconds: float = 0.0

    def status(self) -> grpc.Status:
        details: list[Message] = [self.problem] if self.problem else []
        if self.retry_after_seconds:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(self.retry_after_seconds * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=self.code.value[0], message="as the test has it")
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return rpc_status.to_status(status)


@dataclass(frozen=True)
class Call:
    """One that came, and when."""

    request: ingest_pb2.PublishBatchRequest
    at: float
    authorization: str
    peer: str

    @property
    def event_ids(self) -> list[str]:
        return [each.event_id for each in self.request.events]


Say = Callable[[ingest_pb2.PublishBatchRequest], list[ingest_pb2.PublishResult]]


def result(disposition: int, **fields: object) -> ingest_pb2.PublishResult:
    return ingest_pb2.PublishResult(disposition=disposition, **fields)  # type: ignore[arg-type]  # fields are of many types


@dataclass
class ScriptedGateway(ingest_pb2_grpc.IngestServiceServicer):
    """Says the script's words, one for each call, and after them records everything, each event once."""

    script: list[Say] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    recorded: dict[str, events_pb2.Event] = field(default_factory=dict)
    # Set at the end, so that a call that hangs ends.
    ended: threading.Event = field(default_factory=threading.Event)
    _came: threading.Condition = field(default_factory=threading.Condition)

    async def GetOutcomes(
        self, request: ingest_pb2.GetOutcomesRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.GetOutcomesResponse:
        raise NotImplementedError

    def __post_init__(self) -> None:
        # It takes more than the real one, so that what is too large is seen.
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(self, self._server)

    def start(self, credentials: grpc.ServerCredentials | None = None) -> str:
        """Its address."""
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("localhost:0", credentials)
        self._server.start()
        return f"{'127.0.0.1' if credentials is None else 'localhost'}:{port}"

    def stop(self) -> None:
        self.ended.set()
        self._server.stop(None).wait()

    def PublishBatch(
        self, request: ingest_pb2.PublishBatchRequest, context: grpc.ServicerContext
    ) -> ingest_pb2.PublishBatchResponse:
        told = dict(context.invocation_metadata())
        with self._came:
            self.calls.append(
                Call(request, time.monotonic(), str(told["authorization"]), context.peer())
            )
            say = self.script.pop(0) if self.script else self.record
            self._came.notify_all()
        try:
            return ingest_pb2.PublishBatchResponse(results=say(request))
        except Refusal as refusal:
            context.abort_with_status(refusal.status())
            raise

    def Publish(
        self, request: ingest_pb2.PublishRequest, context: grpc.ServicerContext
    ) -> ingest_pb2.PublishResponse:
        raise NotImplementedError

    def PublishStream(
        self,
        request_iterator: Iterator[ingest_pb2.PublishStreamRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[ingest_pb2.PublishStreamResponse]:
        raise NotImplementedError

    def record(self, request: ingest_pb2.PublishBatchRequest) -> list[ingest_pb2.PublishResult]:
        """As the real one: what it has already is a duplicate."""
        results = []
        for each in request.events:
            known = each.event_id in self.recorded
            self.recorded.setdefault(each.event_id, each)
            results.append(
                result(
                    ingest_pb2.DISPOSITION_DUPLICATE if known else ingest_pb2.DISPOSITION_RECORDED
                )
            )
        return results

    def hang(self, request: ingest_pb2.PublishBatchRequest) -> list[ingest_pb2.PublishResult]:
        self.ended.wait(WAIT_SECONDS_MAX)
        raise Refusal(grpc.StatusCode.UNAVAILABLE)

    async def wait_for_calls(self, count: int) -> Sequence[Call]:
        return await asyncio.to_thread(self._wait_for_calls, count)

    def _wait_for_calls(self, count: int) -> Sequence[Call]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.calls) >= count, WAIT_SECONDS_MAX), (
                self.calls
            )
        return self.calls


def refusing(
    code: grpc.StatusCode,
    problem: problem_pb2.Problem | None = None,
    *,
    retry_after_seconds: float = 0.0,
) -> Say:
    def say(request: ingest_pb2.PublishBatchRequest) -> list[ingest_pb2.PublishResult]:
        raise Refusal(code, problem, retry_after_seconds)

    return say
