"""Traces and measures from the edge to the read model, by OpenTelemetry's own conventions.

Spans leave the process where OTEL_EXPORTER_OTLP_ENDPOINT is set; measures do there, and where metrics_listen
is, for whoever scrapes. Where neither is, none are made, which would cost as much as publishing an event
does, and no exporter is imported: the caller's trace context is passed on, and stored, as it came. A dead or
slow collector costs spans and nothing else, since what waits for it is bounded and dropped.

Of what people publish nothing is told: no text of an exception, no parameter, no tenant, no path as it came.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import context, metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.settings import ServiceSettings

tracer = trace.get_tracer("touchledger")
meter = metrics.get_meter("touchledger")
propagator = TraceContextTextMapPropagator()

# A span of the SDK keeps at most this many links.
LINKS_MAX = 128
# In seconds. A single publish takes 2 ms; the conventions' own, which begin at 5 ms, would not tell it from
# one that waits for two commits.
DURATION_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
# Of events.
SIZE_BUCKETS = (
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1000.0,
    2000.0,
    5000.0,
    20_000.0,
)


class _Exported:
    """What leaves the process at present."""

    spans = False
    measures = False


def traced() -> bool:
    """Whether spans go anywhere."""
    return _Exported.spans


def measured() -> bool:
    """Whether anybody is told what is measured."""
    return _Exported.measures


@contextmanager
def configured(service: str, settings: ServiceSettings) -> Iterator[None]:
    """Traces and measures as the service until the end of the block, then sends what is left."""
    pushed = bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    if not pushed and settings.metrics_listen is None:
        yield
        return
    # Not before it is known that they are wanted: they take half a second and 20 MB.
    from services.chassis import certificates
    from services.chassis.exporters import exporting

    with exporting(service, pushed=pushed, scraped=settings.metrics_listen is not None):
        _Exported.spans, _Exported.measures = pushed, True
        certificates.measure(settings)
        try:
            yield
        finally:
            _Exported.spans = _Exported.measures = False


def duration_histogram(name: str, description: str) -> metrics.Histogram:
    """Of seconds."""
    return meter.create_histogram(
        name,
        unit="s",
        description=description,
        explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
    )


def sum_gauge(
    name: str, unit: str, description: str, values: Callable[[], Iterable[float]]
) -> None:
    """values: asked from another thread, when somebody wants to know."""

    def observe(_: metrics.CallbackOptions) -> list[metrics.Observation]:
        return [metrics.Observation(sum(values()))]

    meter.create_observable_gauge(name, [observe], unit=unit, description=description)


def traceparent() -> str:
    """The W3C trace context of the current span; empty outside of one."""
    # Not by the propagator, which takes four times as long: this is on the way of each publish.
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def links(traceparents: Iterable[str]) -> list[trace.Link]:
    """Links to the spans that stored these contexts; what can't be read as one is left out."""
    spans = (
        trace.get_current_span(propagator.extract({"traceparent": value})).get_span_context()
        for value in sorted(traceparents)
    )
    return [trace.Link(span) for span in spans if span.is_valid]


def current_span() -> trace.Span:
    """For `shared_span`. Cheap where no spans are made."""
    return trace.get_current_span() if _Exported.spans else trace.INVALID_SPAN


@contextmanager
def span(
    name: str,
    *,
    within: context.Context | None = None,
    kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    links: Sequence[trace.Link] = (),
    attributes: Mapping[str, str | int] | None = None,
) -> Iterator[trace.Span]:
    """The current span for as long as the block lasts, failed where an error ends it.

    within: the context whose span it is a child of, if not the current one; an empty one makes it a root.
    """
    with tracer.start_as_current_span(
        name,
        context=within,
        kind=kind,
        links=links,
        attributes=attributes,
        # The text of an exception may quote a payload.
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except Exception as error:
            made.set_status(trace.StatusCode.ERROR)
            made.set_attribute("error.type", type(error).__name__)
            raise


@contextmanager
def shared_span(name: str, of: Iterable[trace.Span]) -> Iterator[None]:
    """Around work that is done for several spans at once: within the only one, or a trace of its own.

    The latter and each of them are linked both ways, so that either is found from the other. Of none it is
    none, and what is current here is not taken for one.
    """
    if not _Exported.spans:
        yield
        return
    given = {each.get_span_context().span_id: each for each in of}
    given.pop(trace.INVALID_SPAN_ID, None)
    spans = [*given.values()][:LINKS_MAX]
    if not spans:
        token = context.attach(context.Context())
        try:
            yield
        finally:
            context.detach(token)
        return
    if len(spans) == 1:
        within, linked = trace.set_span_in_context(spans[0], context.Context()), []
    else:
        within = context.Context()
        linked = [trace.Link(each.get_span_context()) for each in spans]
    with span(name, within=within, links=linked) as made:
        for each in spans if linked else ():
            # A caller that has given up has ended its own.
            if each.is_recording():
                each.add_link(made.get_span_context())
        yield


@contextmanager
def server_span(
    name: str, headers: Mapping[str, str | bytes], attributes: Mapping[str, str | int] | None = None
) -> Iterator[trace.Span]:
    """A server span, child of the caller's by its headers; where none are exported, the caller's."""
    if not _Exported.spans:
        with received(headers):
            yield trace.get_current_span()
        return
    with span(
        name, within=sent_context(headers), kind=trace.SpanKind.SERVER, attributes=attributes
    ) as made:
        yield made


@contextmanager
def part_span(name: str, headers: Mapping[str, str | bytes]) -> Iterator[None]:
    """Around one request of a stream, child of the stream's span; where none are exported, the caller's."""
    with span(name) if _Exported.spans else received(headers):
        yield


def sent_context(headers: Mapping[str, str | bytes]) -> context.Context:
    """What a caller sent of its trace, and nothing of what is current here."""
    return propagator.extract(headers, context=context.Context())


@contextmanager
def received(headers: Mapping[str, str | bytes]) -> Iterator[None]:
    """The caller's trace context is the current one."""
    if "traceparent" not in headers:
        yield
        return
    token = context.attach(sent_context(headers))
    try:
        yield
    finally:
        context.detach(token)
