"""OpenTelemetry's SDK and what takes spans and measures out of the process.

Imported only where something is exported (telemetry.py).
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# What a stop waits for the collector to take the last spans.
LAST_SPANS_SECONDS_MAX = 2.0


@contextmanager
def exporting(service: str, *, pushed: bool, scraped: bool) -> Iterator[None]:
    """pushed: by OTLP, as the variables of OpenTelemetry say. scraped: by Prometheus (scrape.py)."""
    resource = Resource.create({"service.name": f"touchledger-{service}"})
    readers, shut_down = list[MetricReader](), list[Callable[[], object]]()
    if pushed:
        # Not at the top, here and below: who wants the one needs not the other.
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        # It would be shut down a second time, without a bound.
        spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        # Its queue has a bound, and drops what is beyond: nobody waits for a collector but its own thread.
        spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(spans)
        shut_down.append(spans.shutdown)
        # For collectors that take traces alone, as the specification has it.
        if os.environ.get("OTEL_METRICS_EXPORTER", "otlp") == "otlp":
            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    if scraped:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader

        readers.append(
            PrometheusMetricReader(
                scope_info_enabled=False,
                # So that what is asked of measures does not depend on how somebody names scrape jobs.
                resource_attribute_filter=lambda name: name == "service.name",
            )
        )
    meters = MeterProvider(resource=resource, metric_readers=readers, shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    shut_down.append(meters.shutdown)
    try:
        yield
    finally:
        # The exporters wait for a collector that is away for longer than a stop may take.
        last = [
            threading.Thread(target=each, name="send the last", daemon=True) for each in shut_down
        ]
        for thread in last:
            thread.start()
        deadline = time.monotonic() + LAST_SPANS_SECONDS_MAX
        for thread in last:
            thread.join(max(0.0, deadline - time.monotonic()))
