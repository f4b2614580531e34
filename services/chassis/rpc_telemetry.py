"""A span and a duration of each gRPC call, served and made, streams too, by the current conventions.

Our own, because the published interceptors still write the names of older ones, and no durations. Health
checks are left out: probes come each second or so and would bury the rest.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import grpc
from opentelemetry import context as otel
from opentelemetry import trace

from services.chassis import telemetry
from services.chassis.errors import HEALTH

served = telemetry.duration_histogram(
    "rpc.server.call.duration", "How long calls took that were served."
)
made = telemetry.duration_histogram("rpc.client.call.duration", "How long calls took that we made.")

OK = grpc.StatusCode.OK
# What of the rest is the caller's fault is no error of the server, say the conventions.
SERVER_ERRORS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
CLIENT_ERRORS = frozenset(grpc.StatusCode) - {OK}


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """The outermost: it sees the status that others turn errors into."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(HEALTH):
            return handler
        metadata = dict(handler_call_details.invocation_metadata)
        if telemetry.measured():
            return _observed(handler, method, metadata)
        if "traceparent" in metadata and not handler.response_streaming:
            return _passing_on(handler, metadata)
        return handler


def _passing_on(
    handler: grpc.RpcMethodHandler, metadata: Mapping[str, str | bytes]
) -> grpc.RpcMethodHandler:
    """With the caller's trace context as the current one."""
    behind = handler.stream_unary or handler.unary_unary

    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        with telemetry.received(metadata):
            return await behind(request, context)

    return _same_kind(handler, call)


def _observed(
    handler: grpc.RpcMethodHandler, method: str, metadata: Mapping[str, str | bytes]
) -> grpc.RpcMethodHandler:
    if handler.response_streaming:
        answering = handler.stream_stream or handler.unary_stream

        async def stream(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            with _served(method, metadata, context) as span:
                # It is the parent of calls made for it, but what it does at every turn, which may be for
                # days, is no part of it. The task is gRPC's, for this call alone: nothing is to be detached.
                otel.attach(
                    trace.set_span_in_context(trace.NonRecordingSpan(span.get_span_context()))
                )
                async with contextlib.aclosing(answering(request, context)) as answers:
                    async for answer in answers:
                        yield answer

        return _same_kind(handler, stream)
    behind = handler.stream_unary or handler.unary_unary

    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        with _served(method, metadata, context) as span, trace.use_span(span, False, False, False):
            return await behind(request, context)

    return _same_kind(handler, call)


def _same_kind(handler: grpc.RpcMethodHandler, behavior: Any) -> grpc.RpcMethodHandler:
    """The inner interceptors parse requests themselves."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(behavior, handler.request_deserializer, handler.response_serializer)


@contextlib.contextmanager
def _served(
    method: str, metadata: Mapping[str, str | bytes], context: grpc.aio.ServicerContext
) -> Iterator[trace.Span]:
    began = time.perf_counter()
    within = telemetry.sent_context(metadata)
    # The caller's, where none are made here.
    span = trace.get_current_span(within)
    if telemetry.traced():
        span = telemetry.tracer.start_span(
            method[1:],
            context=within,
            kind=trace.SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method[1:]},
        )
    code = OK
    try:
        yield span
        code = _code(context)
    except grpc.aio.AbortError:
        code = _code(context)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        code = grpc.StatusCode.CANCELLED
        raise
    except Exception:
        # gRPC's own word for what nobody turned into a status.
        code = grpc.StatusCode.UNKNOWN
        raise
    finally:
        _end(span, method, code, SERVER_ERRORS)
        served.record(time.perf_counter() - began, _attributes(method, code, SERVER_ERRORS))


def _code(context: grpc.aio.ServicerContext) -> grpc.StatusCode:
    told = context.code()
    # gRPC says a status only where the servicer has set one.
    return told if isinstance(told, grpc.StatusCode) else OK


def _end(
    span: trace.Span, method: str, code: grpc.StatusCode, errors: frozenset[grpc.StatusCode]
) -> None:
    if not span.is_recording():
        return
    span.set_attribute("rpc.response.status_code", code.name)
    if code in errors:
        span.set_attribute("error.type", code.name)
        span.set_status(trace.StatusCode.ERROR)
    span.end()


def _attributes(
    method: str, code: grpc.StatusCode, errors: frozenset[grpc.StatusCode]
) -> dict[str, str]:
    told = {
        "rpc.system.name": "grpc",
        "rpc.method": method[1:],
        "rpc.response.status_code": code.name,
    }
    return told | {"error.type": code.name} if code in errors else told


class _Client:
    def __init__(self, target: str) -> None:
        """target: as the channel was opened to."""
        self._server = _server(target)
        # gRPC keeps no task for us.
        self._waiting = set[asyncio.Task[None]]()

    def _begin(self, method: str) -> trace.Span:
        if not telemetry.traced():
            return trace.INVALID_SPAN
        return telemetry.tracer.start_span(
            method[1:],
            kind=trace.SpanKind.CLIENT,
            attributes={"rpc.system.name": "grpc", "rpc.method": method[1:], **self._server},
        )

    def _ended(self, span: trace.Span, method: str, code: grpc.StatusCode, began: float) -> None:
        _end(span, method, code, CLIENT_ERRORS)
        attributes = _attributes(method, code, CLIENT_ERRORS) | self._server
        made.record(time.perf_counter() - began, attributes)


class CallsObserved(_Client, grpc.aio.UnaryUnaryClientInterceptor):
    """Each call has the current trace context in its metadata."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        method = _method(client_call_details)
        if not telemetry.measured() or method.startswith(HEALTH):
            return await continuation(_with(client_call_details, telemetry.traceparent()), request)
        began = time.perf_counter()
        span = self._begin(method)
        code = grpc.StatusCode.CANCELLED
        try:
            call = await continuation(_continued(client_call_details, span), request)
            try:
                code = await call.code()
            except asyncio.CancelledError:
                # Its caller has given up; gRPC by itself would go on with the call up to its deadline.
                call.cancel()
                raise
            return call
        finally:
            self._ended(span, method, code, began)


class StreamsObserved(_Client, grpc.aio.UnaryStreamClientInterceptor):
    """The same for streams of answers, which last until somebody ends them; for who measures."""

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        method, began = _method(client_call_details), time.perf_counter()
        span = self._begin(method)
        call = await continuation(_continued(client_call_details, span), request)

        async def until_its_end() -> None:
            code = grpc.StatusCode.CANCELLED
            try:
                code = await call.code()
            finally:
                self._ended(span, method, code, began)

        waiting = asyncio.create_task(until_its_end(), name="a stream's end")
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)
        return call


def interceptors(target: str) -> list[grpc.aio.ClientInterceptor]:
    """gRPC knows each by one kind of calls alone."""
    # Each message of a stream would go through one that observes nothing.
    streams = [StreamsObserved(target)] if telemetry.measured() else []
    return [CallsObserved(target), *streams]


def _method(call: grpc.aio.ClientCallDetails) -> str:
    return call.method.decode() if isinstance(call.method, bytes) else str(call.method)


def _continued(call: grpc.aio.ClientCallDetails, span: trace.Span) -> grpc.aio.ClientCallDetails:
    """Where no span was made, what came from the caller is passed on."""
    if not span.get_span_context().is_valid:
        return _with(call, telemetry.traceparent())
    with trace.use_span(span, False, False, False):
        return _with(call, telemetry.traceparent())


def _with(call: grpc.aio.ClientCallDetails, traceparent: str) -> grpc.aio.ClientCallDetails:
    if not traceparent:
        return call
    metadata = grpc.aio.Metadata(*(call.metadata or ()))
    metadata["traceparent"] = traceparent
    return call._replace(metadata=metadata)


def _server(target: str) -> dict[str, str | int]:
    """Of one "HOST:PORT" or "dns:///NAME:PORT" the two parts; of several the whole."""
    name = target.rpartition("/")[2] if "://" in target else target.partition("ipv4:")[2] or target
    host, _, port = name.rpartition(":")
    if not port.isdecimal() or "," in name:
        return {"server.address": target}
    return {"server.address": host.strip("[]"), "server.port": int(port)}
