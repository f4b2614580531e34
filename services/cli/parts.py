"""What a person is told of each process of `up --cluster`: where it is, and whether it can do its work."""

import http.client
import json
from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich import box
from rich.markup import escape
from rich.table import Table

from services.cli.data_folder import Part

# On this machine; one that hangs is told as such.
ASK_SECONDS_MAX = 2.0
STREAMS = "/jsz?accounts=true&streams=true"


def shown(parts: Iterable[Part]) -> Table:
    table = Table(box=box.SIMPLE)
    for title in ("part", "address", "process", ""):
        table.add_column(title, no_wrap=True)
    for part in parts:
        pid = "–" if part.pid is None else str(part.pid)
        table.add_row(part.name, part.address, pid, escape(state(part)))
    return table


def state(part: Part) -> str:
    """In words; it begins with "ready" where the part can do its work."""
    if part.pid is None:
        return "dead"
    if part.kind == "postgres":
        return part.doing
    if part.kind == "nats":
        return _nats(part)
    return _service(part)


def _service(part: Part) -> str:
    # A proxy of the environment does not know our loopback.
    with grpc.insecure_channel(part.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=ASK_SECONDS_MAX)
        except grpc.RpcError:
            return "not ready"
    return "ready" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not ready"


def _nats(part: Part) -> str:
    host, _, port = part.http.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=ASK_SECONDS_MAX)
    try:
        connection.request("GET", "/healthz")
        with connection.getresponse() as answer:
            answer.read()
            if answer.status != http.HTTPStatus.OK:
                return "not ready"
        connection.request("GET", STREAMS)
        with connection.getresponse() as answer:
            accounts = json.loads(answer.read()).get("account_details") or []
    except (OSError, ValueError, http.client.HTTPException):
        return "not ready"
    finally:
        connection.close()
    streams = [each for account in accounts for each in account.get("stream_detail") or []]
    leads = any(each.get("cluster", {}).get("leader") == part.name for each in streams)
    return "ready, leads the stream" if leads else "ready"
