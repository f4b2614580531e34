"""`make bench/outage`: how soon the services notice that their database is gone, and that it is back.

How it measures is told in bench/README.md.
"""

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench import command, report
from bench.command import count_of, say
from bench.place import Place
from bench.report import Goal
from bench.running import started, until_ready
from services.cli.data_folder import LogFile
from services.cli.embedded_postgres import EmbeddedPostgres
from services.cli.service_process import ServiceProcess
from tests.support.events import event
from tests.support.stack import free_port
from touchledger.v1 import ingest_pb2, ingest_pb2_grpc

ROUNDS = 5
NAMES = ("touchpoint", "scoring", "gateway")
# Long enough that every pool and stream has met it.
AWAY_SECONDS = 3.0
# A change that takes longer ends the bench.
CHANGE_SECONDS_MAX = 60.0
# What is wanted of a recovery, from the moment when PostgreSQL takes connections.
RECOVERY_SECONDS_MAX = 10.0
PROBE_SECONDS = 0.02
PROBE_SECONDS_MAX = 2.0
CALL_SECONDS_MAX = 5.0
SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of outage; seconds are medians, and the longest of all rounds."""

    outage: str
    noticed_seconds: float
    noticed_seconds_max: float
    ready_seconds: float
    ready_seconds_max: float
    recorded_seconds: float
    recorded_seconds_max: float
    liveness_checks: int
    liveness_failures: int
    restarts: int


@dataclass
class Measured:
    """Of each round."""

    noticed: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    checks: int = 0
    failures: int = 0


class System:
    """The three services on a PostgreSQL of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = EmbeddedPostgres(
            folder / "data",
            log=LogFile(folder / "postgres.log"),
            password="bench",  # noqa: S106  # of a server that lives as long as the bench
            port=free_port(),
        )
        self._addresses = {name: f"127.0.0.1:{free_port()}" for name in NAMES}
        self.services: list[ServiceProcess] = []
        self._stubs: dict[str, health_pb2_grpc.HealthStub] = {}
        self._numbers = iter(range(1, 10**9))

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)
        secret = self._folder / "gateway.key"
        secret.write_text("17" * 32)
        url = self.server.admin_url
        for name in NAMES:
            admin = await asyncpg.connect(url, timeout=CALL_SECONDS_MAX)
            await admin.execute(f"CREATE DATABASE {name}")
            await admin.close()
            environment = {
                "DATABASE_URL": url.replace("/postgres?", f"/{name}?"),
                "LISTEN": self._addresses[name],
                "JOURNAL_TARGET": self._addresses["touchpoint"],
                "TOUCHPOINT_TARGET": self._addresses["touchpoint"],
                "SCORING_TARGET": self._addresses["scoring"],
                "HTTP_LISTEN": f"127.0.0.1:{free_port()}",
                "SECRET_KEY_FILE": str(secret),
                "LOCAL_KEY_FILE": str(self._folder / "local.key"),
            }
            self.services.append(started(self._folder, name, environment))
        for service in self.services:
            await until_ready(service)
        for name, address in self._addresses.items():
            self._stubs[name] = health_pb2_grpc.HealthStub(grpc.insecure_channel(address))
        self._ingest = ingest_pb2_grpc.IngestServiceStub(
            grpc.insecure_channel(self._addresses["gateway"])
        )
        key = (self._folder / "local.key").read_text().strip()
        self._metadata = (("authorization", f"Bearer {key}"),)

    def stop(self) -> None:
        for service in reversed(self.services):
            service.stop(CHANGE_SECONDS_MAX)
        self.server.stop()

    def crash(self) -> None:
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        psutil.Process(pid).kill()
        self.server.stop()

    def serves(self, name: str, what: str = "") -> bool:
        request = health_pb2.HealthCheckRequest(service=what)
        try:
            answer = self._stubs[name].Check(request, timeout=PROBE_SECONDS_MAX)
        except grpc.RpcError:
            return False
        return bool(answer.status == SERVING)

    def records(self) -> bool:
        new = event(event_id=f"outage-{next(self._numbers)}")
        try:
            answer = self._ingest.Publish(
                ingest_pb2.PublishRequest(event=new),
                metadata=self._metadata,
                timeout=CALL_SECONDS_MAX,
            )
        except grpc.RpcError:
            return False
        return bool(answer.result.disposition == ingest_pb2.DISPOSITION_RECORDED)

    @contextmanager
    def alive(self, measured: Measured) -> Iterator[None]:
        """Asks every service all along whether it lives."""
        stop = threading.Event()

        def ask() -> None:
            while not stop.wait(PROBE_SECONDS):
                for name in NAMES:
                    measured.checks += 1
                    measured.failures += not self.serves(name, "liveness")

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            yield
        finally:
            stop.set()
            asking.join()


def outage(system: System, end: Callable[[], None], measured: Measured) -> None:
    assert system.records()
    with system.alive(measured):
        began = time.monotonic()
        end()
        until(lambda: not any(system.serves(name) for name in NAMES), "no service ready")
        measured.noticed.append(time.monotonic() - began)
        time.sleep(AWAY_SECONDS)
        system.server.start()
        back = time.monotonic()
        # Whoever publishes all along gets an answer before the probes have looked again.
        until(system.records, "an event recorded")
        measured.recorded.append(time.monotonic() - back)
        until(lambda: all(system.serves(name) for name in NAMES), "all services ready")
        measured.ready.append(time.monotonic() - back)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + CHANGE_SECONDS_MAX
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {CHANGE_SECONDS_MAX:.0f} s: {what}")
        time.sleep(PROBE_SECONDS)


async def bench(here: Place, rounds: int) -> tuple[list[Row], list[Goal]]:
    folder = here.folder / "outage"
    folder.mkdir()
    system = System(folder)
    try:
        await system.start()
        outages = {"stopped": system.server.stop, "kill -9": system.crash}
        measured = {name: Measured() for name in outages}
        for number in range(1, rounds + 1):
            for name, end in outages.items():
                say(f"round {number}: {name}")
                await asyncio.to_thread(outage, system, end, measured[name])
        restarts = sum(service.failure() is not None for service in system.services)
    finally:
        await asyncio.to_thread(system.stop)
    rows = [_row(name, each, restarts) for name, each in measured.items()]
    return rows, goals(rows)


def _row(name: str, measured: Measured, restarts: int) -> Row:
    return Row(
        outage=name,
        noticed_seconds=round(statistics.median(measured.noticed), 2),
        noticed_seconds_max=round(max(measured.noticed), 2),
        ready_seconds=round(statistics.median(measured.ready), 2),
        ready_seconds_max=round(max(measured.ready), 2),
        recorded_seconds=round(statistics.median(measured.recorded), 2),
        recorded_seconds_max=round(max(measured.recorded), 2),
        liveness_checks=measured.checks,
        liveness_failures=measured.failures,
        restarts=restarts,
    )


def goals(rows: list[Row]) -> list[Goal]:
    found = []
    for row in rows:
        answered = report.quotient(row.liveness_checks - row.liveness_failures, row.liveness_checks)
        found += [
            Goal(f"{row.outage}: share of liveness checks that said alive", 1.0, answered),
            Goal(
                f"{row.outage}: {RECOVERY_SECONDS_MAX:.0f} s / the longest until all were ready again",
                1.0,
                report.quotient(RECOVERY_SECONDS_MAX, row.ready_seconds_max),
            ),
        ]
    return found


def _table(rows: list[Row]) -> str:
    head = (
        "PostgreSQL",
        "not ready after s",
        "max",
        "recorded again after s",
        "max",
        "all ready after s",
        "max",
        "liveness checks",
        "failed",
        "restarts",
    )
    return report.table(
        head,
        [
            (
                row.outage,
                *(f"{row.noticed_seconds:.2f}", f"{row.noticed_seconds_max:.2f}"),
                *(f"{row.recorded_seconds:.2f}", f"{row.recorded_seconds_max:.2f}"),
                *(f"{row.ready_seconds:.2f}", f"{row.ready_seconds_max:.2f}"),
                *(f"{row.liveness_checks:,}", f"{row.liveness_failures}", f"{row.restarts}"),
            )
            for row in rows
        ],
    )


def main() -> None:
    parser = command.parser("bench/outage", __doc__)
    parser.add_argument(
        "--rounds", type=count_of, default=ROUNDS, help="of each kind (%(default)s)"
    )
    options: argparse.Namespace = parser.parse_args()
    command.run(options, lambda here: bench(here, options.rounds), _table)


if __name__ == "__main__":
    main()
