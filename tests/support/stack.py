"""Starts and kills the real services, each one a process of its own, against the session's PostgreSQL."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

READY_SECONDS_MAX = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass
class Service:
    """One process of a service. It can be killed and started again on the same address."""

    name: str
    environment: Mapping[str, str]
    log: Path
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    process: subprocess.Popen[bytes] | None = None
    # Another release's, with the folder of its code.
    python: str = sys.executable
    code: Path | None = None

    def start(self) -> None:
        listen = {f"TOUCHLEDGER_{self.name.upper()}_LISTEN": self.address}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", f"services.{self.name}"],
                cwd=self.code,
                env={**os.environ, **self.environment, **listen},
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        with grpc.insecure_channel(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                assert self.process is not None
                code = self.process.poll()
                assert code is None, f"{self.name} ended with {code}: {self.log.read_text()}"
                with contextlib.suppress(grpc.RpcError):
                    answer = stub.Check(
                        health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True
                    )
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                assert time.monotonic() < deadline, f"{self.name}: {self.log.read_text()}"

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 20) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@dataclass
class Stack:
    """Two touchpoint processes on one journal, a scoring service and a gateway in front of both."""

    touchpoints: list[Service]
    scoring: Service
    gateway: Service
    key_file: Path
    http_address: str
    urls: dict[str, str]

    @property
    def key(self) -> str:
        return self.key_file.read_text().strip()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.key}"),)

    @property
    def services(self) -> list[Service]:
        return [*self.touchpoints, self.scoring, self.gateway]


@contextlib.contextmanager
def running_stack(
    folder: Path,
    urls: dict[str, str],
    *,
    touchpoints: int = 1,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Stack]:
    """The services on the databases at `urls` (touchpoint, scoring, gateway), ready; all ended after."""
    extra = environment or {}
    secret = folder / "gateway.key"
    secret.write_text("17" * 32)
    journals = [
        Service(
            "touchpoint",
            {**extra, "TOUCHLEDGER_TOUCHPOINT_DATABASE_URL": urls["touchpoint"]},
            folder / f"touchpoint-{index}.log",
        )
        for index in range(touchpoints)
    ]
    target = "ipv4:" + ",".join(each.address for each in journals)
    scoring = Service(
        "scoring",
        {
            "TOUCHLEDGER_SCORING_DATABASE_URL": urls["scoring"],
            "TOUCHLEDGER_SCORING_JOURNAL_TARGET": target,
            **extra,
        },
        folder / "scoring.log",
    )
    http_address = f"127.0.0.1:{free_port()}"
    gateway = Service(
        "gateway",
        {
            "TOUCHLEDGER_GATEWAY_DATABASE_URL": urls["gateway"],
            "TOUCHLEDGER_GATEWAY_TOUCHPOINT_TARGET": target,
            "TOUCHLEDGER_GATEWAY_SCORING_TARGET": scoring.address,
            "TOUCHLEDGER_GATEWAY_HTTP_LISTEN": http_address,
            "TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE": str(secret),
            "TOUCHLEDGER_GATEWAY_LOCAL_KEY_FILE": str(folder / "local.key"),
            **extra,
        },
        folder / "gateway.log",
    )
    stack = Stack(journals, scoring, gateway, folder / "local.key", http_address, urls)
    try:
        for service in stack.services:
            service.start()
        for service in stack.services:
            service.wait_until_ready()
        yield stack
    finally:
        for service in stack.services:
            if service.process is not None and service.process.poll() is None:
                service.kill()
