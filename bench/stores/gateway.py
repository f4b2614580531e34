"""Our gateway and our touchpoint service, each a process of its own, published to over gRPC and over HTTP."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import psutil

from bench import http_client
from bench.contender import Run
from bench.events import Event
from bench.place import Place, free_port
from bench.published import as_json, batch_as_protobuf, one_as_protobuf
from bench.running import STOP_SECONDS_MAX, started, until_ready
from bench.timing import Timing, by_tasks
from touchledger.v1 import ingest_pb2

PUBLISH = "/touchledger.v1.IngestService/Publish"
PUBLISH_BATCH = "/touchledger.v1.IngestService/PublishBatch"
PUBLISH_SECONDS_MAX = 20.0
SECRET = "17" * 32
# No limit of a caller is what is measured.
WITHOUT_LIMITS = """
UPDATE gateway.api_key
   SET events_per_second = 1e12, burst_events = 1e12, bytes_per_second = 1e12, concurrent_calls = 1e6
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    grpc_address: str
    http_address: str
    key: str
    # Where the events end up.
    place: Place
    journal_url: str
    # The touchpoint service behind it.
    touchpoint: str

    async def position(self) -> int:
        return await self.place.journal_position(self.journal_url)

    @staticmethod
    def cpu_seconds() -> float:
        """What the gateway's process has used so far."""
        for child in psutil.Process().children():
            if "services.gateway" in child.cmdline():
                times = child.cpu_times()
                return float(times.user + times.system)
        raise RuntimeError("the gateway has ended")


@dataclass(frozen=True, slots=True)
class OverGrpc:
    """Batches by PublishBatch, single events by Publish. Bytes are prepared, and read after the time."""

    address: str
    key: str
    # None of a server that stores nothing.
    gateway: Gateway | None = None

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        single = len(batches[0]) == 1
        requests = [
            one_as_protobuf(each[0]) if single else batch_as_protobuf(each) for each in batches
        ]
        metadata = (("authorization", f"Bearer {self.key}"),)
        answers = list[bytes]()
        async with grpc.aio.insecure_channel(self.address) as channel:
            publish = channel.unary_unary(PUBLISH if single else PUBLISH_BATCH)

            async def call(request: bytes) -> None:
                answers.append(
                    await publish(request, metadata=metadata, timeout=PUBLISH_SECONDS_MAX)
                )

            before = await self.gateway.position() if self.gateway else 0
            timing = await by_tasks(requests, [call] * callers)
        recorded = _recorded(answers, single)
        stored = await self.gateway.position() - before if self.gateway else recorded
        if recorded != stored:
            raise RuntimeError(f"gRPC: {recorded} were answered RECORDED, but {stored} are stored")
        return Run(timing, stored)


def _recorded(answers: Sequence[bytes], single: bool) -> int:
    if single:
        results = [ingest_pb2.PublishResponse.FromString(each).result for each in answers]
    else:
        parsed = (ingest_pb2.PublishBatchResponse.FromString(each) for each in answers)
        results = [result for each in parsed for result in each.results]
    found = Counter(result.disposition for result in results)
    if found.keys() != {ingest_pb2.DISPOSITION_RECORDED}:
        raise RuntimeError(f"gRPC: got dispositions {found}, want RECORDED alone")
    return found.total()


@dataclass(frozen=True, slots=True)
class OverHttp:
    """Single events as objects, batches as arrays, to POST /v1/events."""

    address: str
    key: str
    gateway: Gateway | None = None

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        before = await self.gateway.position() if self.gateway else 0
        timing = await self.send([self._post(batch) for batch in batches], callers, status=200)
        done = sum(map(len, batches[: timing.appends]))
        return Run(timing, await self.gateway.position() - before if self.gateway else done)

    async def send(self, requests: Sequence[bytes], callers: int, *, status: int) -> Timing:
        """Whatever the requests are: each is to be answered with this status."""
        answers = list[tuple[int, bytes]]()

        def caller(connection: http_client.Connection) -> Callable[[bytes], Awaitable[None]]:
            async def call(request: bytes) -> None:
                answers.append(await connection.send(request))

            return call

        async with http_client.connections(self.address, callers) as connections:
            timing = await by_tasks(requests, [caller(each) for each in connections])
        if other := [answer for answer in answers if answer[0] != status]:
            raise RuntimeError(f"HTTP: {len(other)} of {len(answers)} answers like {other[0]}")
        return timing

    def _post(self, batch: Sequence[Event]) -> bytes:
        told = [as_json(event) for event in batch]
        return http_client.post(
            "/v1/events",
            (told[0] if len(told) == 1 else f"[{','.join(told)}]").encode(),
            ("Authorization", f"Bearer {self.key}"),
            ("Content-Type", "application/json"),
        )


@asynccontextmanager
async def opened(place: Place, *, buffer: str = "") -> AsyncIterator[Gateway]:
    """buffer: the NATS server in which the gateway queues, where it does."""
    async with place.journal("journal_of_gateway") as journal, place.database("gateway") as keys:
        touchpoint, grpc_, http = (f"127.0.0.1:{free_port()}" for _ in range(3))
        secret, key = place.folder / "gateway.key", place.folder / "local.key"
        secret.write_text(SECRET)
        environments = {
            "touchpoint": {"DATABASE_URL": journal, "LISTEN": touchpoint},
            "gateway": {
                "DATABASE_URL": keys,
                "LISTEN": grpc_,
                "HTTP_LISTEN": http,
                "TOUCHPOINT_TARGET": touchpoint,
                "SECRET_KEY_FILE": str(secret),
                "LOCAL_KEY_FILE": str(key),
            },
        }
        for environment in environments.values() if buffer else ():
            environment["BUFFER"] = buffer
        services = [
            started(place.folder, name, environment) for name, environment in environments.items()
        ]
        try:
            for service in services:
                await until_ready(service)
            async with place.connection(keys) as connection:
                await connection.execute(WITHOUT_LIMITS)
            yield Gateway(grpc_, http, key.read_text().strip(), place, journal, touchpoint)
        finally:
            for service in reversed(services):
                service.stop(STOP_SECONDS_MAX)
            # The next round's gateway has another database, and makes itself another key.
            key.unlink(missing_ok=True)
