"""What a person is told of each process of `up --cluster`: where it is, and whether it can do its work."""

from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich import box
from rich.markup import escape
from rich.table import Table

from services.cli.data_folder import Part

# On this machine; one that hangs is told as such.
ASK_SECONDS_MAX = 2.0


def shown(parts: Iterable[Part]) -> Table:
    table = Table(box=box.SIMPLE)
    for title in ("part", "address", "process", "", ""):
        table.add_column(title)
    for part in parts:
        pid = "–" if part.pid is None else str(part.pid)
        table.add_row(part.name, part.address, pid, state(part), escape(part.doing))
    return table


def state(part: Part) -> str:
    if part.pid is None:
        return "dead"
    if part.kind == "postgres":
        return "lives"
    return "ready" if (_nats if part.kind == "nats" else _service)(part) else "not ready"


def _service(part: Part) -> bool:
    # A proxy of the environment does not know our loopback.
    with grpc.insecure_channel(part.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=ASK_SECONDS_MAX)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _nats(part: Part) -> bool:
    return False
