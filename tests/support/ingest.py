"""A journal and a gateway in front of it, on sockets of the test's own process, to count, hold and break."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.chassis.client import open_channel
from services.chassis.errors import ErrorInterceptor
from services.chassis.postgres import Pool
from services.chassis.server import MESSAGE_BYTES_MAX
from services.gateway import access
from services.gateway.access import PUBLISH, Access
from services.gateway.buffer import Buffer
from services.gateway.keyring import Keyring
from services.gateway.limits import Limits
from services.gateway.outcomes import Outcomes
from services.gateway.quarantine import Quarantine
from services.gateway.servicer import IngestServicer
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream
from services.touchpoint.servicer import JournalServicer
from touchledger.v1 import ingest_pb2_grpc, journal_pb2_grpc
from touchledger.v1.problem_pb2 import Problem

KEYRING = Keyring(bytes(32))
SECRET = "s" * 43


class Calls(grpc.aio.ServerInterceptor):
    """Counts calls by the name of their RPC."""

    def __init__(self) -> None:
        self.begun = Counter[str]()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        self.begun[handler_call_details.method.rpartition("/")[2]] += 1
        return await continuation(handler_call_details)


@contextlib.asynccontextmanager
async def journal_server(
    servicer: JournalServicer,
    *interceptors: grpc.aio.ServerInterceptor,
    address: str = "127.0.0.1:0",
) -> AsyncIterator[str]:
    """Its address."""
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=1000), *interceptors])
    serving = health.aio.HealthServicer()
    await serving.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(serving, server)
    journal_pb2_grpc.add_JournalServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@dataclass(frozen=True)
class Gateway:
    """A gateway that serves IngestService to the keys that `add_key` makes."""

    address: str
    stub: ingest_pb2_grpc.IngestServiceStub
    pool: Pool
    upstream: Upstream
    errors: ErrorInterceptor

    async def add_key(
        self, tenant: str, source: str, scopes: Sequence[str] = (PUBLISH,)
    ) -> tuple[tuple[str, str], ...]:
        """What a call shows of it."""
        count = await self.pool.fetchval("SELECT count(*) FROM gateway.api_key")
        key_id = f"{count:012}"
        await self.pool.execute(
            access.STORE, key_id, KEYRING.secret_digest(SECRET), tenant, source, [*scopes]
        )
        return (("authorization", f"Bearer tl_{key_id}_{SECRET}"),)


@contextlib.asynccontextmanager
async def gateway(
    pool: Pool, journal_address: str, *, buffer: Buffer | None = None, **settings: object
) -> AsyncIterator[Gateway]:
    configured = Settings.model_validate(
        {"database_url": "postgresql://of.the/pool", "secret_key_file": "in the test", **settings}
    )
    errors = ErrorInterceptor(calls_max=1000)
    async with open_channel(journal_address) as journal:
        upstream = Upstream(journal, KEYRING, Quarantine(pool, KEYRING), buffer)
        # As chassis/server.py has it: what is too large is told so by its handler.
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        server = grpc.aio.server(interceptors=[errors], options=options)
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(
            IngestServicer(
                Access(pool, KEYRING),
                Limits(configured, pool),
                upstream,
                Outcomes(journal, KEYRING, buffer),
            ),
            server,
        )
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                stub = ingest_pb2_grpc.IngestServiceStub(channel)
                yield Gateway(address, stub, pool, upstream, errors)
        finally:
            await server.stop(None)


def told(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, Problem, float | None]:
    """The status, its Problem, and the seconds after which it says to repeat."""
    problem, repeat_after = Problem(), None
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Is(Problem.DESCRIPTOR):
            detail.Unpack(problem)
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            info = error_details_pb2.RetryInfo()
            detail.Unpack(info)
            repeat_after = info.retry_delay.ToNanoseconds() / 1e9
    return error.code(), problem, repeat_after
