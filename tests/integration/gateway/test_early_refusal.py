"""A batch of a tenant that has all under way that it may is refused before it is read."""

import asyncio
import contextlib
import dataclasses
import http.client
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

import asyncpg
import grpc
import psycopg
import pytest

from services.chassis.errors import (
    ErrorInterceptor,
    Exhausted,
    Malformed,
    ServiceError,
    Unauthenticated,
    from_rpc,
)
from services.gateway import limits as module
from services.gateway.access import PUBLISH, Access, Caller
from services.gateway.early_refusal import PUBLISH_BATCH, EarlyRefusal
from services.gateway.http_events import EARLY_BYTES_MIN
from services.gateway.limits import Limits
from services.gateway.servicer import IngestServicer
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream
from tests.support.events import event
from tests.support.gateway_keys import KEYRING, add_key, bearer, key_of
from tests.support.stack import Stack
from touchledger import event_json
from touchledger.v1 import ingest_pb2_grpc

# Whoever reads it finds out that it is no batch.
UNREADABLE = b"\xff\xff"
CALL_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Gateway:
    channel: grpc.aio.Channel
    access: Access
    limits: Limits
    key: str

    async def caller(self) -> Caller:
        return await self.access.admit_key(self.key, PUBLISH)

    async def refusal(self, *, key: str = "") -> ServiceError:
        """Of a batch that can't be read."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.channel.unary_unary(PUBLISH_BATCH)(
                UNREADABLE,
                metadata=bearer(key or self.key),
                timeout=CALL_SECONDS_MAX,
            )
        return from_rpc(refused.value)


@pytest.fixture
async def gateway(new_database: Callable[[str], str]) -> AsyncIterator[Gateway]:
    url = await asyncio.to_thread(new_database, "gateway")
    settings = Settings.model_validate({"database_url": url, "secret_key_file": "nowhere"})
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        key = await add_key(url, "acme", [PUBLISH])
        access, limits = Access(pool, KEYRING), Limits(settings, pool)
        server = grpc.aio.server(
            interceptors=[ErrorInterceptor(calls_max=10), EarlyRefusal(access, limits)]
        )
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(
            IngestServicer(access, limits, cast(Upstream, None)), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield Gateway(channel, access, limits, key)
        finally:
            await server.stop(None)


async def test_a_batch_of_a_full_tenant_is_refused_unread_with_a_hint(gateway: Gateway) -> None:
    with gateway.limits.call(await gateway.caller(), events=module.WORK_ALONE_MAX, size=0):
        refused = await gateway.refusal()
    assert isinstance(refused, Exhausted)
    assert "BUSY" == refused.problem.code
    assert refused.problem.retry_after.ToNanoseconds() > 0


async def test_with_room_for_more_it_is_read(gateway: Gateway) -> None:
    under_way = int(module.WORK_ALONE_MAX * module.FULL_SHARE) - 1
    with gateway.limits.call(await gateway.caller(), events=under_way, size=0):
        assert isinstance(await gateway.refusal(), Malformed)
    assert isinstance(await gateway.refusal(), Malformed)


async def test_another_tenants_work_refuses_nobody(gateway: Gateway) -> None:
    other = Caller("other", "till", frozenset({PUBLISH}), key_id="b" * 12)
    with gateway.limits.call(other, events=module.WORK_ALONE_MAX, size=0):
        assert isinstance(await gateway.refusal(), Malformed)


async def test_a_stranger_does_not_learn_that_a_tenant_is_busy(gateway: Gateway) -> None:
    with gateway.limits.call(await gateway.caller(), events=module.WORK_ALONE_MAX, size=0):
        refused = await gateway.refusal(key=gateway.key[:-1] + "?")
    assert isinstance(refused, Unauthenticated)


async def test_an_early_refusal_says_what_the_call_would_and_takes_nothing(
    gateway: Gateway,
) -> None:
    caller = dataclasses.replace(
        await gateway.caller(), events_per_second=10, burst_events=10, bytes_per_second=1000
    )
    before = gateway.limits.state(caller)
    for _ in range(20):
        gateway.limits.refuse_early(caller, size=1000)
    assert before == gateway.limits.state(caller)
    with gateway.limits.call(caller, events=10, size=2000):
        pass
    with pytest.raises(Exhausted) as refused:
        gateway.limits.refuse_early(caller, size=1)
    assert "RATE_LIMITED" == refused.value.problem.code


def test_over_http_a_batch_is_refused_before_it_is_parsed(stack: Stack) -> None:
    key = asyncio.run(key_of(stack, "acme", PUBLISH))
    with psycopg.connect(stack.urls["gateway"], autocommit=True) as connection:
        connection.execute(
            "UPDATE gateway.api_key SET events_per_second = 1, burst_events = 1 "
            "WHERE tenant = 'acme'"
        )
    with contextlib.closing(http.client.HTTPConnection(stack.http_address)) as connected:

        def status_of(body: bytes, *, path: str = "events", kind: str = "json") -> int:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": f"application/{kind}"}
            connected.request("POST", f"/v1/{path}", body, headers)
            answer = connected.getresponse()
            answer.read()
            return answer.status

        assert 200 == status_of(event_json.to_json(event()).encode())
        large = b"[" * EARLY_BYTES_MIN
        assert 429 == status_of(large)
        assert 429 == status_of(large, path="cloudevents", kind="cloudevents-batch+json")
        # A small one is parsed first, and would be refused after.
        assert 400 == status_of(b"[")
