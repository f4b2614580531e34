"""What Prometheus scrapes of three processes, and whether rules and dashboard ask for what there is."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.acceptance.test_torture import eventually
from tests.support.events import event
from tests.support.stack import Stack, free_port, running_stack
from touchledger.v1 import ingest_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "deploy" / "observability"
DEADLINE_SECONDS = 30
SERVICES = ("touchpoint", "scoring", "gateway")
# Of a family's samples: what comes after its name.
SUFFIX = re.compile(r"_(bucket|count|sum)$")
NAME = re.compile(r"\b(?:touchledger|rpc|http|db|process)_[a-z_]+")


@pytest.fixture(scope="module")
def scraped(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[tuple[Stack, dict[str, str]]]:
    """A system, and where each of its services is scraped."""
    urls = {name: new_database(name) for name in SERVICES}
    ports = {name: f"{free_port()}" for name in SERVICES}
    # A port alone is on loopback.
    environment = {
        f"TOUCHLEDGER_{name.upper()}_METRICS_LISTEN": port for name, port in ports.items()
    }
    folder = tmp_path_factory.mktemp("scraped")
    with running_stack(folder, urls, environment=environment) as stack:
        publish(stack)
        yield stack, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


def publish(stack: Stack) -> None:
    """One that is recorded, again, and one that breaks a rule that a person can mend."""
    bad = event(event_id="visit 2")
    bad.ClearField("occurred_at")
    with grpc.insecure_channel(stack.gateway.address) as channel:
        for each in (event(event_id="visit 1"), event(event_id="visit 1"), bad):
            answer = IngestServiceStub(channel).Publish(
                ingest_pb2.PublishRequest(event=each),
                metadata=stack.metadata,
                timeout=DEADLINE_SECONDS,
            )
            assert answer.HasField("result")


def scrape(base: str) -> str:
    with urllib.request.urlopen(f"{base}/metrics", timeout=DEADLINE_SECONDS) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=")
        text: str = answer.read().decode()
    return text


def samples(text: str) -> dict[str, float]:
    """By name and labels as they stand in the text."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def gauge(bases: dict[str, str], service: str, name: str) -> float | None:
    """Of a family without labels of its own; None where nothing is told."""
    key = f'{name}{{service_name="touchledger-{service}"}}'
    return samples(scrape(bases[service])).get(key)


def test_what_became_of_events_is_counted(scraped: tuple[Stack, dict[str, str]]) -> None:
    _, bases = scraped
    found = samples(scrape(bases["gateway"]))
    counted = {name: value for name, value in found.items() if "publish_events_total" in name}
    prefix = "touchledger_publish_events_total"
    service = 'service_name="touchledger-gateway"'
    assert counted == {
        f'{prefix}{{code="",disposition="recorded",{service}}}': 1,
        f'{prefix}{{code="",disposition="duplicate",{service}}}': 1,
        f'{prefix}{{code="MISSING",disposition="quarantined",{service}}}': 1,
    }


def test_calls_are_measured_by_method_and_status_streams_too(
    scraped: tuple[Stack, dict[str, str]],
) -> None:
    stack, bases = scraped
    with grpc.insecure_channel(stack.gateway.address) as channel:
        stream = IngestServiceStub(channel).PublishStream(
            iter([ingest_pb2.PublishStreamRequest(sequence=1, events=[event(event_id="visit 3")])]),
            metadata=stack.metadata,
            timeout=DEADLINE_SECONDS,
        )
        assert len([*stream]) > 0
        refused = IngestServiceStub(channel).Publish.future(
            ingest_pb2.PublishRequest(event=event()), timeout=DEADLINE_SECONDS
        )
        assert refused.code() is grpc.StatusCode.UNAUTHENTICATED

    def count(method: str, code: str) -> float:
        calls = samples(scrape(bases["gateway"]))
        return sum(
            value
            for name, value in calls.items()
            if name.startswith("rpc_server_call_duration_seconds_count")
            and f'rpc_method="touchledger.v1.IngestService/{method}"' in name
            and f'rpc_response_status_code="{code}"' in name
        )

    assert count("Publish", "OK") == 3
    eventually("the stream's end is told", lambda: count("PublishStream", "OK") == 1, 5)
    eventually("the refusal is told", lambda: count("Publish", "UNAUTHENTICATED") == 1, 5)


def test_both_checks_of_the_projection_are_told_as_health_and_as_measures(
    scraped: tuple[Stack, dict[str, str]],
) -> None:
    stack, bases = scraped
    with grpc.insecure_channel(stack.scoring.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def holds(check: str) -> bool:
            asked = health_pb2.HealthCheckRequest(service=check)
            try:
                answer = stub.Check(asked, timeout=DEADLINE_SECONDS)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        for check in ("projection.lag", "projection.head"):
            eventually(f"{check} holds", lambda check=check: holds(check), DEADLINE_SECONDS)  # type: ignore[misc]  # mypy sees no default
            told = samples(scrape(bases["scoring"]))
            name = "touchledger_projection_healthy"
            assert told[f'{name}{{check="{check}",service_name="touchledger-scoring"}}'] == 1


def test_rules_and_dashboard_ask_for_what_the_services_tell(
    scraped: tuple[Stack, dict[str, str]],
) -> None:
    stack, bases = scraped
    name = "touchledger_quarantine_age_seconds"
    eventually(
        "it is looked at", lambda: gauge(bases, "gateway", name) is not None, DEADLINE_SECONDS
    )
    docs = f"http://{stack.http_address}/docs"
    with urllib.request.urlopen(docs, timeout=DEADLINE_SECONDS) as page:
        assert page.status == 200
    told = {
        SUFFIX.sub("", re.split(r"[{ ]", line)[0])
        for base in bases.values()
        for line in samples(scrape(base))
    }
    asked = {SUFFIX.sub("", each) for each in NAME.findall(asked_of_prometheus())}
    # Told with the first step of a recovery case; touchpoint/recovery/process.py has its name. Told where
    # there are certificates; tests/integration/gateway/test_tls.py asks.
    unused = {"touchledger_recovery_steps_total", "touchledger_certificate_expiry_seconds"}
    assert asked - told == unused


def asked_of_prometheus() -> str:
    """All expressions of rules and dashboard."""
    rules = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())
    panels = json.loads((OBSERVABILITY / "dashboard.json").read_text())["panels"]
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    expressions += [target["expr"] for panel in panels for target in panel.get("targets", [])]
    # What they group by are labels.
    return re.sub(r"by \([a-z_, ]*\)", "", re.sub(r"\{[^}]*\}", "", "\n".join(expressions)))


def test_no_tenant_no_event_and_no_secret_is_told(scraped: tuple[Stack, dict[str, str]]) -> None:
    stack, bases = scraped
    everything = "".join(scrape(base) for base in bases.values())
    for secret in ("default", "visit 1", stack.key, "store.checkout", "postgresql://"):
        assert secret not in everything


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET /other HTTP/1.1", "404"), ("POST /metrics HTTP/1.1", "405"), ("nonsense", "405")],
)
def test_what_is_no_scrape_is_refused(
    scraped: tuple[Stack, dict[str, str]], request_line: str, status: str
) -> None:
    host, _, port = scraped[1]["touchpoint"].rpartition("/")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(f"{request_line}\r\nhost: x\r\n\r\n".encode())
        assert connection.recv(1024).split(b" ")[1] == status.encode()


def test_a_port_that_is_taken_ends_the_process_with_one_line(
    scraped: tuple[Stack, dict[str, str]],
) -> None:
    stack, bases = scraped
    port = bases["scoring"].rpartition(":")[2]
    ended = subprocess.run(
        [sys.executable, "-m", "services.touchpoint"],
        env=os.environ
        | {
            "TOUCHLEDGER_TOUCHPOINT_DATABASE_URL": stack.urls["touchpoint"],
            "TOUCHLEDGER_TOUCHPOINT_LISTEN": f"127.0.0.1:{free_port()}",
            "TOUCHLEDGER_TOUCHPOINT_METRICS_LISTEN": port,
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        f"touchpoint: metrics_listen: can't listen on 127.0.0.1:{port}, want a free port"
    )
