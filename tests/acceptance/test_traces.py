"""One trace leads from the publisher's span through the services to the page that scored the event."""

import secrets
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.acceptance.test_torture import eventually, rows, status
from tests.support.events import event
from tests.support.stack import Stack, running_stack
from touchledger import event_json
from touchledger.v1 import ingest_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub

DEADLINE_SECONDS = 20
# An exporter that waits for its collector takes ten, its own timeout.
STOP_SECONDS_MAX = 9
# Of BatchSpanProcessor; each publish makes one in the gateway at least.
SPANS_WAITING_MAX = 2048
AT_ONCE = 128
# A start and a stop, and the exporters' complaints, each once in a while.
LOG_LINES_MAX = 60
SERVER, CLIENT = trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Span.SPAN_KIND_CLIENT


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps each span with the name of the service that sent it."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, trace_pb2.Span]] = []
        self._came = threading.Condition()

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._came:
            for of_service in request.resource_spans:
                attributes = {a.key: a.value.string_value for a in of_service.resource.attributes}
                self.spans += [
                    (attributes["service.name"], span)
                    for scope in of_service.scope_spans
                    for span in scope.spans
                ]
            self._came.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def wait_for(self, wanted: Callable[[str, trace_pb2.Span], bool]) -> trace_pb2.Span:
        """The first span that is wanted, once it came."""

        def found() -> trace_pb2.Span | None:
            return next((span for service, span in self.spans if wanted(service, span)), None)

        with self._came:
            span = self._came.wait_for(found, DEADLINE_SECONDS)
            assert span, sorted({f"{service}: {span.name}" for service, span in self.spans})
        return span

    def wait_for_parent(self, child: trace_pb2.Span) -> trace_pb2.Span:
        return self.wait_for(lambda _, span: span.span_id == child.parent_span_id)


@pytest.fixture
def collector() -> Iterator[tuple[Collector, int]]:
    """A collector that listens, and its port."""
    servicer = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]  # generated
        servicer, server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, port
    server.stop(None).wait()


def exporting_to(port: int) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }


def publish(stack: Stack, event_id: str, traceparent: str) -> ingest_pb2.PublishResult:
    with grpc.insecure_channel(stack.gateway.address) as channel:
        answer: ingest_pb2.PublishResponse = IngestServiceStub(channel).Publish(
            ingest_pb2.PublishRequest(event=event(event_id=event_id)),
            metadata=(*stack.metadata, ("traceparent", traceparent)),
            timeout=DEADLINE_SECONDS,
        )
    return answer.result


def new_traceparent() -> tuple[str, str, str]:
    """A publisher's trace, its span, and both as they travel."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, f"00-{trace}-{span}-01"


def test_a_publish_is_one_trace_from_the_publisher_to_the_journal_and_scoring_links_to_it(
    tmp_path: Path,
    new_database: Callable[[str], str],
    collector: tuple[Collector, int],
) -> None:
    spans, port = collector
    urls = {name: new_database(name) for name in ("touchpoint", "scoring", "gateway")}
    with running_stack(tmp_path, urls, environment=exporting_to(port)) as stack:
        trace, publisher, traceparent = new_traceparent()
        result = publish(stack, "event-1", traceparent)
        assert result.disposition == ingest_pb2.DISPOSITION_RECORDED

        def in_trace(service: str, kind: trace_pb2.Span.SpanKind.ValueType) -> trace_pb2.Span:
            return spans.wait_for(
                lambda name, span: (
                    (name, span.kind, span.trace_id.hex())
                    == (f"touchledger-{service}", kind, trace)
                )
            )

        at_gateway = in_trace("gateway", SERVER)
        assert at_gateway.name == "touchledger.v1.IngestService/Publish"
        assert at_gateway.parent_span_id.hex() == publisher
        call = in_trace("gateway", CLIENT)
        assert call.parent_span_id == at_gateway.span_id
        at_touchpoint = in_trace("touchpoint", SERVER)
        assert at_touchpoint.name == "touchledger.v1.JournalService/AppendMany"
        assert at_touchpoint.parent_span_id == call.span_id

        commit = spans.wait_for(
            lambda name, span: (
                (name, span.name, span.parent_span_id)
                == ("touchledger-touchpoint", "commit", at_touchpoint.span_id)
            )
        )
        assert commit.trace_id.hex() == trace
        statement = spans.wait_for(lambda _, span: span.parent_span_id == commit.span_id)
        assert (statement.name, statement.kind) == ("touchpoint.appender.CALL", CLIENT)
        assert {each.key: each.value.string_value for each in statement.attributes} == {
            "db.system.name": "postgresql",
            "db.query.summary": "touchpoint.appender.CALL",
        }

        [(stored,)] = rows(urls["touchpoint"], "SELECT traceparent FROM journal.stored_events")
        assert stored == f"00-{trace}-{at_gateway.span_id.hex()}-01"
        page = spans.wait_for(lambda name, span: span.name == "project page")
        assert page.trace_id.hex() != trace
        assert [(link.trace_id.hex(), link.span_id) for link in page.links] == [
            (trace, at_gateway.span_id)
        ]
        spans.wait_for(
            lambda _, span: (
                (span.name, span.parent_span_id) == ("scoring.scoreboard.ADVANCE", page.span_id)
            )
        )
        assert_refusals_are_traced_without_what_was_published(stack, spans)
        assert_a_publish_over_http_is_traced(stack, spans)
        assert_a_stream_and_each_of_its_requests_are_traced(stack, spans)
        assert_what_is_done_for_nobody_in_particular_makes_no_spans(spans)


def assert_a_stream_and_each_of_its_requests_are_traced(stack: Stack, spans: Collector) -> None:
    trace, publisher, traceparent = new_traceparent()
    requests = [
        ingest_pb2.PublishStreamRequest(sequence=number, events=[event(event_id=f"{number}")])
        for number in (1, 2)
    ]
    with grpc.insecure_channel(stack.gateway.address) as channel:
        answers = IngestServiceStub(channel).PublishStream(
            iter(requests),
            metadata=(*stack.metadata, ("traceparent", traceparent)),
            timeout=DEADLINE_SECONDS,
        )
        assert len([*answers]) >= len(requests)
    # It ends last.
    stream = spans.wait_for(
        lambda _, span: span.name == "touchledger.v1.IngestService/PublishStream"
    )
    assert (stream.trace_id.hex(), stream.parent_span_id.hex()) == (trace, publisher)
    parts = [span for _, span in spans.spans if span.parent_span_id == stream.span_id]
    assert {part.name for part in parts} == {"publish of a stream"}
    assert len(parts) == len(requests)


def assert_what_is_done_for_nobody_in_particular_makes_no_spans(spans: Collector) -> None:
    """The journal is looked at each 0.1 s, readiness each second, the lease each second."""
    looks = {"touchpoint.journal.HEAD", "scoring.lease.RENEW"}
    for _, look in [(service, span) for service, span in spans.spans if span.name in looks]:
        assert look.parent_span_id, look.name
        # A page is told of after what it asked for.
        assert (spans.wait_for_parent(look).name, look.name) == (
            "project page",
            "scoring.lease.RENEW",
        )
    assert not any(span.name.startswith("grpc.health") for _, span in spans.spans)


def assert_a_publish_over_http_is_traced(stack: Stack, spans: Collector) -> None:
    trace, publisher, traceparent = new_traceparent()
    request = urllib.request.Request(
        f"http://{stack.http_address}/v1/events",
        data=event_json.to_json(event(event_id="over http")).encode(),
        headers={"authorization": f"Bearer {stack.key}", "traceparent": traceparent},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
        assert answer.status == 200
    span = spans.wait_for(lambda _, span: span.name == "POST /v1/events")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (trace, publisher)
    [(stored,)] = rows(
        stack.urls["touchpoint"],
        "SELECT traceparent FROM journal.stored_events ORDER BY notification_id DESC LIMIT 1",
    )
    assert stored == f"00-{trace}-{span.span_id.hex()}-01"


def assert_refusals_are_traced_without_what_was_published(stack: Stack, spans: Collector) -> None:
    trace, _, traceparent = new_traceparent()
    with grpc.insecure_channel(stack.gateway.address) as channel:
        call = IngestServiceStub(channel).Publish.future(
            ingest_pb2.PublishRequest(event=event(event_id="someone@example.com")),
            metadata=(("authorization", "Bearer hunter2"), ("traceparent", traceparent)),
            timeout=DEADLINE_SECONDS,
        )
        assert call.code() is grpc.StatusCode.UNAUTHENTICATED
    refused = spans.wait_for(lambda _, span: span.trace_id.hex() == trace)
    # The caller's fault is no error of the server, say the conventions.
    assert refused.status.code == trace_pb2.Status.STATUS_CODE_UNSET
    told = {each.key: each.value.string_value for each in refused.attributes}
    assert told == {
        "rpc.system.name": "grpc",
        "rpc.method": "touchledger.v1.IngestService/Publish",
        "rpc.response.status_code": "UNAUTHENTICATED",
    }
    everything = b"".join(span.SerializeToString() for _, span in spans.spans)
    assert b"hunter2" not in everything
    assert b"someone@example.com" not in everything


@pytest.fixture(scope="module", params=["refuses", "is silent"])
def untraced(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[[str], str],
) -> Iterator[Stack]:
    """A system whose collector is gone, or takes connections and never says a word."""
    urls = {name: new_database(name) for name in ("touchpoint", "scoring", "gateway")}
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if request.param == "is silent":
            silent.listen()
        environment = exporting_to(silent.getsockname()[1])
        folder = tmp_path_factory.mktemp("untraced")
        with running_stack(folder, urls, environment=environment) as stack:
            yield stack


def test_a_collector_that_is_away_changes_no_ack(untraced: Stack) -> None:
    for number in range(1, 21):
        _, _, traceparent = new_traceparent()
        result = publish(untraced, f"event-{number}", traceparent)
        assert result.disposition == ingest_pb2.DISPOSITION_RECORDED
        assert result.position.number == number
    eventually("it is scored", lambda: status(untraced).checkpoint.number == 20, DEADLINE_SECONDS)


def test_a_collector_that_is_away_costs_spans_and_neither_acks_nor_a_flood_of_logs(
    untraced: Stack,
) -> None:
    """More than wait for a collector at most: the rest is dropped."""
    outcomes = set[object]()
    with grpc.insecure_channel(untraced.gateway.address) as channel:
        stub = IngestServiceStub(channel)
        for wave in range(0, SPANS_WAITING_MAX, AT_ONCE):
            calls = [
                stub.Publish.future(
                    ingest_pb2.PublishRequest(event=event(event_id=f"one of many {number}")),
                    metadata=untraced.metadata,
                    timeout=DEADLINE_SECONDS,
                )
                for number in range(wave, wave + AT_ONCE)
            ]
            outcomes |= {call.result().result.disposition for call in calls}
    assert outcomes == {ingest_pb2.DISPOSITION_RECORDED}
    for service in untraced.services:
        assert len(service.log.read_text().splitlines()) < LOG_LINES_MAX


def test_a_collector_that_is_away_does_not_hold_up_a_stop(untraced: Stack) -> None:
    """Spans that can't be sent are given up: a process that lingers is one that gets killed."""
    with futures.ThreadPoolExecutor() as threads:
        began = time.monotonic()
        stops = [
            threads.submit(lambda each: (each.stop(60), time.monotonic() - began), service)
            for service in untraced.services
        ]
        ended = {
            service.name: stop.result()
            for service, stop in zip(untraced.services, stops, strict=True)
        }
    assert {code for code, _ in ended.values()} == {0}
    assert max(took for _, took in ended.values()) < STOP_SECONDS_MAX, ended
