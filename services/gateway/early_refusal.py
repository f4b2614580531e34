"""Refuses, before it is read, what nobody known asks for, and a batch of a tenant that has its share running.

Taking in a batch of 500 and reading it costs as much as refusing four: in an overload that would be most of
what this process does. Whoever is let through is admitted and counted as ever, by the servicer.

A request is read here too, since gRPC by itself takes in all that anybody half sends and waits for the rest
for ever. What nobody reads yet waits at its sender, but for server.UNREAD_BYTES_MAX.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from services.chassis.errors import Exhausted, Malformed, parse
from services.chassis.server import CONCURRENT_CALLS_MAX
from services.gateway.access import METHODS, Access, Caller
from services.gateway.limits import Limits

# Requests read at the same time: each may hold server.MESSAGE_BYTES_MAX, so 256 MiB together. Others wait for
# their turn, which is some 0.1 ms away unless a sender is slow.
READS_MAX = 32
READS_OF_TENANT_MAX = READS_MAX // 2
READS_OF_KEY_MAX = READS_OF_TENANT_MAX // 2
# Requests that are read or wait for it. Two tenants would be needed to keep all others out.
ARRIVING_OF_TENANT_MAX = CONCURRENT_CALLS_MAX // 2
ARRIVING_OF_KEY_MAX = ARRIVING_OF_TENANT_MAX // 2
# From its headers to its last byte: 8 MiB in it are 3.4 Mbit/s.
REQUEST_SECONDS_MAX = 20.0
PUBLISH_BATCH = "/touchledger.v1.IngestService/PublishBatch"
# Health, and reflection on loopback, which tell nothing of anybody's data.
NEEDS_NO_KEY = "/grpc."


class EarlyRefusal(grpc.aio.ServerInterceptor):
    """Stands inside the interceptor that makes statuses of errors. What is not in METHODS is not served."""

    def __init__(self, access: Access, limits: Limits) -> None:
        self._access = access
        self._limits = limits
        self._arrivals = Arrivals()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        if method.startswith(NEEDS_NO_KEY):
            return await continuation(handler_call_details)
        scope = METHODS.get(method)
        if scope is None:
            return None
        try:
            caller = await self._access.admit(handler_call_details.invocation_metadata, scope)
            if method == PUBLISH_BATCH and self._limits.is_full(caller):
                raise Exhausted("fewer events of this tenant at once", code="BUSY")
        except Exception as error:
            return _refusing(error)
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            # The servicer of a stream takes a place for it before it reads.
            return handler
        if handler.response_streaming:
            return self._reading_of_stream(handler, caller)
        return self._reading(handler, caller)

    def _reading(self, handler: grpc.RpcMethodHandler, caller: Caller) -> grpc.RpcMethodHandler:
        """On the wire it is the same, but what reads the request is ours."""

        async def call(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> Any:
            request = parse(handler, await self._arrivals.read(caller, context))
            return await handler.unary_unary(request, context)

        return grpc.stream_unary_rpc_method_handler(
            call, response_serializer=handler.response_serializer
        )

    def _reading_of_stream(
        self, handler: grpc.RpcMethodHandler, caller: Caller
    ) -> grpc.RpcMethodHandler:
        """The same where the answer is a stream, which its servicer writes to the context."""

        async def call(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
            request = parse(handler, await self._arrivals.read(caller, context))
            await handler.unary_stream(request, context)

        return grpc.stream_stream_rpc_method_handler(
            call, response_serializer=handler.response_serializer
        )


class _Arriving:
    """Of a key or a tenant."""

    __slots__ = ("calls", "reads")

    def __init__(self, reads_max: int) -> None:
        self.calls = 0
        self.reads = asyncio.Semaphore(reads_max)


class Arrivals:
    """Requests that are not whole yet: so many are read at once, so many wait, and none for long."""

    def __init__(self) -> None:
        # While they have any.
        self._keys: dict[str, _Arriving] = {}
        self._tenants: dict[str, _Arriving] = {}
        self._reads = asyncio.Semaphore(READS_MAX)

    async def read(self, caller: Caller, context: grpc.aio.ServicerContext) -> bytes:
        key = self._keys.get(caller.key_id) or _Arriving(READS_OF_KEY_MAX)
        tenant = self._tenants.get(caller.tenant) or _Arriving(READS_OF_TENANT_MAX)
        for name, one, calls_max in (
            ("key", key, ARRIVING_OF_KEY_MAX),
            ("tenant", tenant, ARRIVING_OF_TENANT_MAX),
        ):
            if one.calls >= calls_max:
                raise Exhausted(
                    f"at most {calls_max} requests of this {name} that are not whole yet",
                    code="CONCURRENCY_LIMITED",
                    got=f"{one.calls} under way",
                )
        self._keys[caller.key_id], self._tenants[caller.tenant] = key, tenant
        key.calls += 1
        tenant.calls += 1
        try:
            async with asyncio.timeout(REQUEST_SECONDS_MAX), key.reads, tenant.reads, self._reads:
                raw = await context.read()
        except TimeoutError:
            raise Exhausted(
                f"a request that is whole within {REQUEST_SECONDS_MAX:g} s", code="SLOW_REQUEST"
            ) from None
        finally:
            key.calls -= 1
            tenant.calls -= 1
            if not key.calls:
                del self._keys[caller.key_id]
            if not tenant.calls:
                del self._tenants[caller.tenant]
        if raw is grpc.aio.EOF:
            raise Malformed("a request message", got="none")
        return bytes(raw)


def _refusing(error: Exception) -> grpc.RpcMethodHandler:
    """Of a stream of requests gRPC reads none that is not asked for; on the wire all kinds are one."""

    async def refuse(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> None:
        raise error

    return grpc.stream_stream_rpc_method_handler(refuse)
