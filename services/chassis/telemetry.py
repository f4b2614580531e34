"""Traces from the edge to the read model, by OpenTelemetry: spans of gRPC calls, their context on the wire.

Spans, and the metrics that a service keeps, leave the process only where OTEL_EXPORTER_OTLP_ENDPOINT is set;
a dead or slow collector costs spans and nothing else, since the exporter's queue is bounded and drops. Where
it is not set none are made, which would cost as much as publishing an event does: the caller's trace context
is passed on, and stored, as it came. The interceptors are our own because the published ones still write the
names of older conventions.
"""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry import context, metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.errors import HEALTH

tracer = trace.get_tracer("touchledger")
propagator = TraceContextTextMapPropagator()

# What a stop waits for the collector to take the last spans.
LAST_SPANS_SECONDS_MAX = 2.0


def exported() -> bool:
    """Whether spans go anywhere."""
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


@contextmanager
def configured(service: str) -> Iterator[None]:
    """Traces and measures as the service until the end of the block, then sends what is left."""
    resource = Resource.create({"service.name": f"touchledger-{service}"})
    # They would be shut down a second time, without a bound.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    readers = [PeriodicExportingMetricReader(OTLPMetricExporter())] if exported() else []
    meters = MeterProvider(resource=resource, metric_readers=readers, shutdown_on_exit=False)
    if exported():
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(meters)
    try:
        yield
    finally:
        # The exporters wait for a collector that is away for longer than a stop may take.
        last = [
            threading.Thread(target=each.shutdown, name="send the last", daemon=True)
            for each in (provider, meters)
        ]
        for thread in last:
            thread.start()
        deadline = time.monotonic() + LAST_SPANS_SECONDS_MAX
        for thread in last:
            thread.join(max(0.0, deadline - time.monotonic()))


def traceparent() -> str:
    """The W3C trace context of the current span; empty outside of one."""
    # Not by the propagator, which takes four times as long: this is on the way of each publish.
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def links(traceparents: set[str]) -> list[trace.Link]:
    """Links to the spans that stored these contexts; what can't be read as one is left out."""
    spans = (
        trace.get_current_span(propagator.extract({"traceparent": value})).get_span_context()
        for value in sorted(traceparents)
    )
    return [trace.Link(span) for span in spans if span.is_valid]


@contextmanager
def server_span(name: str, headers: dict[str, str]) -> Iterator[trace.Span]:
    """A server span, child of the caller's by its headers; where none are exported, the caller's."""
    if not exported():
        with _within(headers):
            yield trace.get_current_span()
        return
    with tracer.start_as_current_span(
        name,
        context=propagator.extract(headers),
        kind=trace.SpanKind.SERVER,
        # The text of an exception may quote a payload.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


@contextmanager
def _within(headers: dict[str, str]) -> Iterator[None]:
    """The caller's trace context is the current one."""
    if "traceparent" not in headers:
        yield
        return
    token = context.attach(propagator.extract(headers))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def call_span(method: str, metadata: dict[str, str]) -> Iterator[None]:
    """A server span around a call of "/package.Service/Method", failed where that ends with an error."""
    with server_span(method.lstrip("/"), metadata) as span:
        span.set_attributes(_attributes(method))
        try:
            yield
        except BaseException as error:
            span.set_status(trace.StatusCode.ERROR)
            span.set_attribute("error.type", type(error).__name__)
            raise


def _attributes(method: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": method.lstrip("/")}


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """A server span around each call, child of the caller's."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        # A stream lives as long as its reader, so a span of it would tell nothing; calls of probes come every
        # second or so and would bury the rest.
        if handler is None or handler.unary_unary is None or method.startswith(HEALTH):
            return handler
        metadata = dict(handler_call_details.invocation_metadata)

        if not exported() and "traceparent" not in metadata:
            return handler

        async def call(request: bytes, context: grpc.aio.ServicerContext) -> Any:
            with call_span(method, metadata):
                return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            call, response_serializer=handler.response_serializer
        )


class ClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """A client span around each call, its context in the call's metadata."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        method = client_call_details.method
        method = method.decode() if isinstance(method, bytes) else method
        if not exported():
            return await continuation(_traced(client_call_details), request)
        with tracer.start_as_current_span(
            method.lstrip("/"),
            kind=trace.SpanKind.CLIENT,
            attributes=_attributes(method),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            call = await continuation(_traced(client_call_details), request)
            try:
                code = await call.code()
            except asyncio.CancelledError:
                # Its caller has given up; gRPC by itself would go on with the call up to its deadline.
                call.cancel()
                raise
            span.set_attribute("rpc.response.status_code", code.name)
            if code is not grpc.StatusCode.OK:
                span.set_status(trace.StatusCode.ERROR)
            return call


def _traced(call: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
    """With the current trace context in its metadata, where there is one."""
    current = traceparent()
    if not current:
        return call
    metadata = grpc.aio.Metadata(*(call.metadata or ()))
    metadata["traceparent"] = current
    return call._replace(metadata=metadata)
