"""How far the read models are leaves the process as metrics, to a collector on a socket."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)

from tests.support.events import event
from tests.support.stack import Stack, running_stack
from touchledger.v1 import ingest_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub

DEADLINE_SECONDS = 30


class Collector(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps the last value of each metric of the scoring service's live model."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self._came = threading.Condition()

    def Export(
        self,
        request: metrics_service_pb2.ExportMetricsServiceRequest,
        context: grpc.ServicerContext,
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        with self._came:
            for of_service in request.resource_metrics:
                for metric in (
                    each for scope in of_service.scope_metrics for each in scope.metrics
                ):
                    for point in metric.gauge.data_points:
                        told = {a.key: a.value.string_value for a in point.attributes}
                        if {"projection": "live"} == told:
                            self.values[metric.name] = point.as_double or point.as_int
                    for histogram in metric.histogram.data_points:
                        self.values[metric.name] = histogram.sum
            self._came.notify_all()
        return metrics_service_pb2.ExportMetricsServiceResponse()

    def wait_for(self, wanted: dict[str, float]) -> None:
        with self._came:
            assert self._came.wait_for(
                lambda: wanted.items() <= self.values.items(), DEADLINE_SECONDS
            ), self.values


@pytest.fixture
def collector() -> Iterator[tuple[Collector, int]]:
    servicer = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(  # type: ignore[no-untyped-call]  # generated
        servicer, server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, port
    server.stop(None).wait()


def publish(stack: Stack, count: int) -> None:
    events = [event(event_id=f"visit {number}") for number in range(count)]
    with grpc.insecure_channel(stack.gateway.address) as channel:
        IngestServiceStub(channel).PublishBatch(
            ingest_pb2.PublishBatchRequest(events=events),
            metadata=stack.metadata,
            timeout=DEADLINE_SECONDS,
        )


def test_lag_missing_and_parked_positions_and_the_size_of_pages_are_told(
    tmp_path: Path, new_database: Callable[[str], str], collector: tuple[Collector, int]
) -> None:
    told, port = collector
    urls = {name: new_database(name) for name in ("touchpoint", "scoring", "gateway")}
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }
    with running_stack(tmp_path, urls, environment=environment) as stack:
        publish(stack, 30)
        told.wait_for(
            {
                "touchledger.projection.lag": 0,
                "touchledger.projection.lag.time": 0,
                "touchledger.projection.missing": 0,
                "touchledger.projection.parked": 0,
                "touchledger.projection.page.size": 30,
            }
        )
