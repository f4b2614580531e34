"""Runs the real `touchledger up` and the other commands as processes, as a user does in a terminal."""

import contextlib
import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import psutil
import psycopg

from services.cli import embedded_postgres
from services.cli.data_folder import PROCESS_MARK, DataFolder
from services.cli.databases import role_url
from services.gateway.access import PUBLISH, QUERY
from services.gateway.keyring import Keyring
from touchledger.v1 import ingest_pb2_grpc, scoring_pb2, scoring_pb2_grpc

FREE_PORTS = (
    *("--grpc-port", "0", "--http-port", "0", "--sql-port", "0"),
    *("--touchpoint-port", "0", "--scoring-port", "0"),
)
# The first start makes a cluster and three databases: 7 s on two cores, more when they are shared.
READY_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 60.0
COMMAND_SECONDS_MAX = 90.0
CALL_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02

Found = TypeVar("Found")
numbers = itertools.count(1)


def wait_for(look: Callable[[], Found | None], what: str, *, seconds_max: float = 30.0) -> Found:
    """What `look` gives once it gives something; another process is only known by looking."""
    deadline = time.monotonic() + seconds_max
    while not (found := look()):
        assert time.monotonic() < deadline, f"no {what} within {seconds_max:.0f} s"
        time.sleep(POLL_SECONDS)
    return found


def environment(**variables: str) -> dict[str, str]:
    """This process's, without what a developer has set for the system or for PostgreSQL's clients."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TOUCHLEDGER_", "PG"))}
    return inherited | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"} | variables


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "services.cli", *map(str, arguments)]


def touchledger(
    *arguments: object, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command, run to its end in the folder."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )


def processes_of(folder: Path) -> list[str]:
    """Whatever lives and was started for the data folder: by command line, working folder or mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            told = [*process.cmdline(), process.cwd(), process.environ().get(PROCESS_MARK, "")]
            if any(str(folder) in each for each in told):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


@dataclass(frozen=True, slots=True)
class Key:
    """An API key and the tenant that it opens, which is nobody else's."""

    text: str = field(repr=False)
    key_id: str
    tenant: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.text}"),)


class Up:
    """A running `touchledger up`."""

    def __init__(self, folder: Path, options: Sequence[str], variables: Mapping[str, str]) -> None:
        self.data = folder / "data"
        self.output = folder / "up.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command("up", "--data", self.data, *FREE_PORTS, *options),
                cwd=folder,
                env=environment(**variables),
                stdout=output,
                stderr=output,
            )

    def wait_until_ready(self) -> None:
        def told() -> bool:
            code = self.process.poll()
            assert code is None, f"up ended with {code}: {self.output.read_text()}"
            return self.system_file.exists() and "Ctrl-C" in self.output.read_text()

        wait_for(told, "system.json", seconds_max=READY_SECONDS_MAX)

    def stop(self) -> None:
        """SIGTERM; all that is promised of it."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS_MAX)
        told = self.output.read_text()
        assert (code, told.splitlines()[-1]) == (0, "Stopped"), told
        assert not self.system_file.exists()
        assert processes_of(self.data) == []

    @property
    def system_file(self) -> Path:
        return self.data / "system.json"

    @property
    def addresses(self) -> dict[str, str]:
        addresses: dict[str, str] = json.loads(self.system_file.read_text())
        return addresses

    @property
    def printed_sql(self) -> str:
        """The DSN for BI tools, as it stands on the terminal."""
        lines = self.output.read_text().splitlines()
        return next(line.split()[1] for line in lines if line.split()[:1] == ["SQL"])

    def database_url(self, database: str) -> str:
        """As the embedded server's superuser."""
        admin = embedded_postgres.ADMIN
        password = DataFolder(self.data).password(admin, must_exist=True)
        return role_url(self.addresses["sql"], role=admin, password=password, database=database)

    def rows(self, database: str, query: str, *parameters: object) -> list[Any]:
        """What a superuser reads, in the order of the query."""
        with psycopg.connect(self.database_url(database), autocommit=True) as connection:
            return connection.execute(query.encode(), parameters or None).fetchall()

    def listen_address(self, service: str) -> str:
        """Where a service listens that `up` does not tell of, as its log says."""
        lines = (self.data / "logs" / f"{service}.log").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return next(str(each["address"]) for each in events if each["event"] == "listening")

    def new_key(
        self, *, tenant: str = "", source: str = "till", scopes: Sequence[str] = (PUBLISH, QUERY)
    ) -> Key:
        """A key of a tenant that nobody else has, unless one is named."""
        tenant = tenant or f"tenant-{next(numbers)}"
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        digest = Keyring.read(DataFolder(self.data).gateway_key).secret_digest(secret)
        with psycopg.connect(self.database_url("gateway"), autocommit=True) as connection:
            connection.execute(
                "INSERT INTO gateway.api_key (key_id, secret_digest, tenant, source, scopes) "
                "VALUES (%s, %s, %s, %s, %s)",
                (key_id, digest, tenant, source, list(scopes)),
            )
        return Key(f"tl_{key_id}_{secret}", key_id, tenant)

    @contextlib.contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        options = [("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(self.addresses["grpc"], options=options) as channel:
            yield channel

    @contextlib.contextmanager
    def ingest(self) -> Iterator[ingest_pb2_grpc.IngestServiceStub]:
        with self.channel() as channel:
            yield ingest_pb2_grpc.IngestServiceStub(channel)

    def caught_up(self) -> int:
        """The last position, once the read models hold everything that was recorded before the call."""
        [[head]] = self.rows("touchpoint", "SELECT position FROM journal.head")
        key = Path(self.addresses["key_file"]).read_text().strip()
        with self.channel() as channel:
            stub = scoring_pb2_grpc.ScoringServiceStub(channel)

            def projected() -> bool:
                status: scoring_pb2.GetStatusResponse = stub.GetStatus(
                    scoring_pb2.GetStatusRequest(),
                    metadata=(("authorization", f"Bearer {key}"),),
                    timeout=CALL_SECONDS_MAX,
                )
                return bool(status.checkpoint.number >= head)

            wait_for(projected, f"projection of position {head}")
        return int(head)

    def scores(self, *options: object, key: Key | None = None) -> list[dict[str, Any]]:
        """`touchledger scores --json`, once everything that was recorded is in it."""
        self.caught_up()
        named = ("--target", self.addresses["grpc"], "--key", key.text) if key else ()
        run = touchledger("scores", "--json", "--data", self.data, *named, *options)
        assert run.returncode == 0, run.stderr
        rows: list[dict[str, Any]] = json.loads(run.stdout)
        return rows


@contextlib.contextmanager
def running_up(folder: Path, *options: str, **variables: str) -> Iterator[Up]:
    """A system of its own in the folder, ready; stopped after, which must go well."""
    up = Up(folder, options, variables)
    try:
        up.wait_until_ready()
        yield up
        up.stop()
    finally:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()
