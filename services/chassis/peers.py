"""What services on one machine show each other: a secret in a file that other users can't read.

Loopback lets every user of a machine in. Beyond loopback the certificates of both sides do this work.
"""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from services.chassis.errors import HEALTH, Unauthenticated
from services.chassis.postgres import Unsuitable

METADATA = "touchledger-peer"


def read_secret(file: Path) -> str:
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unsuitable(
            f"peers_secret_file {file}: {type(error).__name__}, want a secret"
        ) from None
    if not secret.isascii() or not secret:
        raise Unsuitable(f"peers_secret_file {file}: got nothing, want a secret in ASCII")
    return secret


class Guard(grpc.aio.ServerInterceptor):
    """Lets in who shows the secret. Stands inside the interceptor that makes statuses of errors."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        shown = dict(handler_call_details.invocation_metadata).get(METADATA, "")
        if (
            handler is None
            # Probes show nothing, and health tells nothing that is worth hiding.
            or handler_call_details.method.startswith(HEALTH)
            or hmac.compare_digest(shown.encode(), self._secret.encode())
        ):
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _refuse_stream, handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _refuse, handler.request_deserializer, handler.response_serializer
        )


async def _refuse(request: Any, context: grpc.aio.ServicerContext) -> None:
    raise Unauthenticated("what services show each other", field=METADATA, got="none or another")


async def _refuse_stream(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
    await _refuse(request, context)
    yield


class _Shows:
    def __init__(self, secret: str) -> None:
        self._secret = secret

    def _with_secret(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata[METADATA] = self._secret
        return details._replace(metadata=metadata)


class ShowsOnCalls(_Shows, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._with_secret(client_call_details), request)


class ShowsOnStreams(_Shows, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._with_secret(client_call_details), request)
