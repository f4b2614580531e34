"""Refuses, before it is read, what nobody known asks for, and a batch of a tenant that has its share running.

Taking in a batch of 500 and reading it costs as much as refusing four: in an overload that would be most of
what this process does. Whoever is let through is admitted and counted as ever, by the servicer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from services.chassis import telemetry
from services.chassis.errors import Exhausted
from services.gateway.access import METHODS, Access
from services.gateway.limits import Limits

PUBLISH_BATCH = "/touchledger.v1.IngestService/PublishBatch"
# Health, and reflection on loopback, which tell nothing of anybody's data.
NEEDS_NO_KEY = "/grpc."


class EarlyRefusal(grpc.aio.ServerInterceptor):
    """Stands inside the interceptor that makes statuses of errors. What is not in METHODS is not served."""

    def __init__(self, access: Access, limits: Limits) -> None:
        self._access = access
        self._limits = limits

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
            return _refusing(error, handler_call_details)
        return await continuation(handler_call_details)


def _refusing(error: Exception, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
    """Of a stream of requests gRPC reads none that is not asked for; on the wire all kinds are one."""

    async def refuse(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> None:
        with telemetry.call_span(call.method, dict(call.invocation_metadata)):
            raise error

    return grpc.stream_stream_rpc_method_handler(refuse)
