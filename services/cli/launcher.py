"""The whole system as one context: inside it everything runs and is ready, after it nothing is left.

    with Launcher(folder, options) as system:
        ...            # SIGINT, SIGTERM and SIGHUP raise StopRequested here, which ends the context
        system.wait()  # serves until one of them comes

As a cluster it has two of each service and two PostgreSQL servers; then a child that dies ends nothing, and
is started again. What each child does is its own business; the launcher starts, watches and stops it. To
be used in the main thread: signals arrive there, and the kernel ties the children to the thread that
started them.
"""

import asyncio
import atexit
import collections
import contextlib
import errno
import os
import signal
import socket
import sys
import time
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import psutil

from services.cli import databases, embedded_postgres, nats_cluster, postgres_pair
from services.cli.backup_folder import BackupFolder
from services.cli.data_folder import PROCESS_MARK, DataFolder, LaunchError, Part, RunningSystem
from services.cli.embedded_postgres import EmbeddedPostgres
from services.cli.nats_cluster import NatsCluster
from services.cli.postgres_pair import PostgresPair
from services.cli.service_process import ServiceProcess

# Passed on: it is what a launcher raises.
from services.cli.stop_signals import StopRequested as StopRequested
from services.cli.stop_signals import StopSignals
from services.cli.wal_archive import WalArchive

LOOPBACK = "127.0.0.1"
# Every service waits for what it needs itself, so all start at once and stop from the edge inwards:
# whoever still calls a service is gone when its turn comes.
START_ORDER = ("touchpoint", "scoring", "gateway")
# The first start migrates three databases; on a slow machine that is seconds, not a minute.
READY_SECONDS_MAX = 60.0
# Twice the ten seconds that a service grants the calls under way.
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.1
# A service of a cluster that has died is started again after this: whoever killed it can see what it means.
RESTART_SECONDS = 2.0
# Of each service in a cluster.
REPLICAS = 2
# SIGKILL needs no cooperation; what is still there after this hangs in the kernel.
KILL_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherOptions:
    """Ports are on loopback; 0 picks a free one."""

    grpc_port: int = 50051
    http_port: int = 8080
    sql_port: int = 54320
    touchpoint_port: int = 50052
    scoring_port: int = 50053
    # An IANA name; days and weeks of reports begin at midnight there.
    # Empty: as it was declared before.
    reporting_zone: str = ""
    # An admin's URL with CREATEDB and CREATEROLE; empty starts the embedded server.
    database_url: str = field(default="", repr=False)
    # Where the embedded server's log is streamed to; None streams it nowhere.
    backup_folder: Path | None = None
    # How each service is started. -P: a folder `services` in the user's own is not ours.
    commands: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {
            name: (sys.executable, "-P", "-m", f"services.{name}") for name in START_ORDER
        }
    )
    # Two of each service and a standby of PostgreSQL; the second ones listen on free ports.
    cluster: bool = False
    # Of a cluster: three NATS servers, in which the gateways queue.
    buffer: bool = False
    ready_seconds_max: float = READY_SECONDS_MAX
    stop_seconds_max: float = STOP_SECONDS_MAX


class Launcher:
    """`say` gets a line for a person at every step. Raises LaunchError for whatever goes wrong."""

    def __init__(
        self,
        folder: DataFolder,
        options: LauncherOptions,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folder = folder
        self._options = options
        self._tell = say
        self._signals = StopSignals()
        self._postgres: EmbeddedPostgres | None = None
        self._pair: PostgresPair | None = None
        self._nats: NatsCluster | None = None
        self._archive: WalArchive | None = None
        self._services: list[ServiceProcess] = []
        # When those that have died are started again.
        self._restart_at: dict[ServiceProcess, float] = {}
        self._stack = contextlib.ExitStack()
        self._running: RunningSystem | None = None
        self._places: dict[str, list[_Place]] = {}

    @property
    def running(self) -> RunningSystem:
        """Addresses, with the ports that were picked."""
        assert self._running is not None, "the launcher has not been entered"
        return self._running

    def __enter__(self) -> "Launcher":
        # Whatever is interrupted or fails in here, the stack undoes what was done, last thing first.
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._signals)
            self._start(stack)
            self._signals.pause(0)
            self._stack = stack.pop_all()
        # For a signal that comes between two statements, where no `with` catches it yet or any more.
        atexit.register(self._stop)
        self._signals.raise_at_once = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._stop()
        return isinstance(error, StopRequested)

    def wait(self) -> None:
        """Returns when a stop is asked for; raises LaunchError when a child ends before that."""
        self._signals.raise_at_once = False
        with contextlib.suppress(StopRequested):
            while True:
                if self._options.cluster:
                    self._tend()
                else:
                    self.check()
                self._signals.pause(POLL_SECONDS)

    def check(self) -> None:
        """Raises LaunchError if a child has ended."""
        if self._postgres and (failure := self._postgres.failure()):
            raise LaunchError(failure)
        for service in self._services:
            if failure := service.failure():
                raise LaunchError(failure)
        if self._archive:
            self._archive.keep_going()

    def _tend(self) -> None:
        """Starts again what has died, and writes down what has changed."""
        self._tend_services()
        assert self._pair is not None
        self._pair.tend(self._pause)
        if self._archive:
            self._archive.keep_going()
        parts = self._parts()
        if parts != self.running.parts:
            self._running = replace(self.running, parts=parts)
            self._folder.write_running(self._running)

    def _tend_services(self) -> None:
        now = time.monotonic()
        for service in self._services:
            if service.pid:
                continue
            if service not in self._restart_at:
                self._say(
                    f"{service.name} has died; it is started again in {RESTART_SECONDS:.0f} s"
                )
                self._restart_at[service] = now + RESTART_SECONDS
            elif now >= self._restart_at[service]:
                del self._restart_at[service]
                service.start_again()
                self._say(f"{service.name} is started again, process {service.pid}")

    def _pause(self, seconds: float) -> None:
        """For what takes seconds, such as a copy of the database."""
        self._tend_services()
        self._signals.pause(seconds)

    def _stop(self) -> None:
        # From here on a second Ctrl-C changes nothing: stopping is bounded and must be finished.
        self._signals.raise_at_once = False
        self._stack.close()
        atexit.unregister(self._stop)

    def _start(self, stack: contextlib.ExitStack) -> None:
        _check_zone(self._options.reporting_zone)
        self._check_kind()
        self._folder.create()
        stack.enter_context(self._folder.locked())
        self._folder.remove_running()
        self._end_leftovers("a killed launcher", seconds=self._options.stop_seconds_max)
        self._options = options = _with_free_ports(self._options)
        self._places = _places(options)

        if options.backup_folder and options.database_url:
            raise LaunchError(
                "--backup-folder: got it with --database-url, want one of them: "
                "the log of that server is for its own tools to archive",
                exit_code=2,
            )
        if options.backup_folder:
            backups = BackupFolder(options.backup_folder)
            backups.check_apart(self._folder.path)
            self._archive = WalArchive(
                backups,
                log=self._folder.log("wal-archive"),
                say=self._say,
            )
            # Before the server's own, and so after it: the server stops once all of its log is streamed.
            stack.callback(self._archive.stop)
        if options.cluster:
            admin_url = self._start_pair(stack)
        else:
            admin_url = options.database_url or self._start_postgres(stack)
        passwords = asyncio.run(self._signals.watch(self._prepare_databases(admin_url)))
        if self._archive:
            asyncio.run(self._signals.watch(self._archive.prepare(admin_url)))
            self._archive.start()

        # Also what a service that had to be killed left behind, such as its own workers.
        stack.callback(self._end_leftovers, "a service", seconds=0)
        if self._options.cluster and self._wants_nats():
            self._start_nats(stack)
        environment = self._environment(admin_url, passwords)
        self._say("Starting the services")
        for name in START_ORDER:
            for place in self._places[name]:
                service = ServiceProcess(
                    place.name,
                    options.commands[name],
                    address=place.address,
                    log=self._folder.log(place.name),
                    environment=environment | self._environment_of(name, place),
                )
                self._services.append(service)
                stack.callback(self._stop_service, service)
        for service in self._services:
            self._wait_until_ready(service)
        self._running = self._addresses(admin_url, passwords[databases.BI_ROLE])
        stack.callback(self._folder.remove_running)
        self._folder.write_running(self._running)

    def _start_postgres(self, stack: contextlib.ExitStack) -> str:
        existing = self._folder.postgres.exists()
        postgres = EmbeddedPostgres(
            self._folder.postgres,
            log=self._folder.log("postgres"),
            password=self._folder.password(embedded_postgres.ADMIN, must_exist=existing),
            port=self._options.sql_port,
        )
        self._say("Starting PostgreSQL" if existing else "Making a PostgreSQL cluster")
        postgres.start(self._signals.pause)
        self._postgres = postgres
        stack.callback(self._stop_postgres, postgres)
        return postgres.admin_url

    def _start_pair(self, stack: contextlib.ExitStack) -> str:
        pair = PostgresPair(
            self._folder,
            ports=[each.port for each in self._places["postgres"]],
            say=self._say,
        )
        self._say("Starting PostgreSQL" if pair.exists else "Making a PostgreSQL cluster")
        pair.start(self._signals.pause)
        self._pair = pair
        stack.callback(self._stop_postgres, pair)
        return pair.admin_url

    def _wants_nats(self) -> bool:
        """Also without gateways that queue, where some did: what is there is still to be recorded."""
        return self._options.buffer or (self._folder.path / nats_cluster.NAMES[0]).exists()

    def _start_nats(self, stack: contextlib.ExitStack) -> None:
        self._nats = NatsCluster(self._folder)
        self._say("Starting NATS")
        for server in self._nats.start():
            self._services.append(server)
            stack.callback(self._stop_service, server)

    def _check_kind(self) -> None:
        """One server's folder is not taken for one of two, whose other one may have what it lacks."""
        options, path = self._options, self._folder.path
        if options.cluster and options.database_url:
            raise LaunchError(
                "--cluster: got it with --database-url, want one of them: "
                "its PostgreSQL servers are its own",
                exit_code=2,
            )
        if options.cluster and options.backup_folder:
            raise LaunchError(
                "--backup-folder: got it with --cluster, want one of them: its log goes to its "
                "standby",
                exit_code=2,
            )
        pair = [path / name for name in postgres_pair.NAMES if (path / name).exists()]
        if options.cluster and self._folder.postgres.exists():
            raise LaunchError(
                f"{self._folder.postgres}: one server's, want a folder of `up --cluster`: give another "
                f"--data, or, with nothing running, rename it to {path / postgres_pair.NAMES[0]}"
            )
        if pair and not (options.cluster or options.database_url):
            raise LaunchError(f"{pair[0]}: one of two servers, want `up --cluster` on this folder")

    async def _prepare_databases(self, admin_url: str) -> dict[str, str]:
        """Gives the password of each role."""
        existing = await databases.existing_databases(admin_url)
        # First, since it refuses: with another key nothing that is stored would be recognised again,
        # and another launcher's roles would lose the passwords that its services use.
        self._folder.ensure_gateway_key(must_exist=bool(existing))
        if existing and "touchpoint" not in existing:
            # A new journal would start at 1, under read models and keys that belong to the lost one.
            others = ", ".join(sorted(existing))
            raise LaunchError(
                f"PostgreSQL database touchpoint: missing, want the journal that {others} belong to: "
                "restore it, or drop them too and start anew"
            )
        self._folder.ensure_peers_secret()
        passwords = {role: self._folder.password(role) for role in databases.ROLES}
        await databases.prepare_databases(admin_url, passwords)
        if not self._options.database_url:
            await databases.close_server(admin_url)
        return passwords

    def _environment(self, admin_url: str, passwords: Mapping[str, str]) -> dict[str, str]:
        options = self._options
        # The rest is passed on, OTEL_* above all; the admin's URL is for the launcher alone.
        inherited = {k: v for k, v in os.environ.items() if k != "TOUCHLEDGER_DATABASE_URL"}
        # A proxy for gRPC would be asked to reach loopback, too.
        direct = inherited.get("no_grpc_proxy") or inherited.get("no_proxy")
        urls = databases.service_urls(admin_url, passwords)
        peers = str(self._folder.peers_secret)
        touchpoint, scoring = self._target("touchpoint"), self._target("scoring")
        return {
            **inherited,
            PROCESS_MARK: self._folder.mark,
            **{f"TOUCHLEDGER_{name.upper()}_DATABASE_URL": url for name, url in urls.items()},
            "no_grpc_proxy": ",".join(filter(None, (direct, LOOPBACK))),
            "PYTHONUNBUFFERED": "1",  # the last lines before a crash are the ones that are wanted
            **{f"TOUCHLEDGER_{name.upper()}_PEERS_SECRET_FILE": peers for name in urls},
            "TOUCHLEDGER_SCORING_JOURNAL_TARGET": touchpoint,
            "TOUCHLEDGER_SCORING_REPORTING_ZONE": options.reporting_zone,
            "TOUCHLEDGER_SCORING_BI_ROLE": databases.BI_ROLE,
            "TOUCHLEDGER_GATEWAY_TOUCHPOINT_TARGET": touchpoint,
            "TOUCHLEDGER_GATEWAY_SCORING_TARGET": scoring,
            "TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE": str(self._folder.gateway_key),
            **self._buffer_environment(),
        }

    def _buffer_environment(self) -> dict[str, str]:
        if self._nats is None:
            return {}
        services = ("gateway", "touchpoint") if self._options.buffer else ("touchpoint",)
        told = {}
        for service in services:
            prefix = f"TOUCHLEDGER_{service.upper()}_BUFFER"
            told[prefix] = self._nats.url(service)
            told[f"{prefix}_REPLICAS"] = f"{len(nats_cluster.NAMES)}"
        return told

    def _environment_of(self, name: str, place: "_Place") -> dict[str, str]:
        """What replicas of one service are told differently."""
        own = {f"TOUCHLEDGER_{name.upper()}_LISTEN": place.address}
        if name == "gateway":
            own["TOUCHLEDGER_GATEWAY_HTTP_LISTEN"] = place.http_address
            # One of them makes it: two at once would make two.
            if place is self._places[name][0]:
                own["TOUCHLEDGER_GATEWAY_LOCAL_KEY_FILE"] = str(self._folder.local_key)
        return own

    def _target(self, name: str) -> str:
        """Of all replicas of a service."""
        addresses = [place.address for place in self._places[name]]
        return addresses[0] if len(addresses) == 1 else f"ipv4:{','.join(addresses)}"

    def _wait_until_ready(self, service: ServiceProcess) -> None:
        deadline = time.monotonic() + self._options.ready_seconds_max
        with service.health() as ready:
            while not ready():
                self.check()
                if time.monotonic() > deadline:
                    raise LaunchError(service.unready(self._options.ready_seconds_max))
                self._signals.pause(POLL_SECONDS)

    def _addresses(self, admin_url: str, bi_password: str) -> RunningSystem:
        if not self._options.database_url:
            # The option is for our own clients; a BI tool may not know it.
            admin_url = admin_url.replace("sslmode=disable&", "").partition("?sslmode")[0]
        return RunningSystem(
            pid=os.getpid(),
            grpc=self._target("gateway"),
            http=f"http://{LOOPBACK}:{self._options.http_port}",
            sql=databases.role_url(
                admin_url,
                role=databases.BI_ROLE,
                password=bi_password,
                database=databases.BI_DATABASE,
            ),
            key_file=str(self._folder.local_key),
            parts=self._parts(),
        )

    def _parts(self) -> tuple[Part, ...]:
        if self._pair is None:
            return ()
        http = {place.name: place.http_address for place in self._places["gateway"]}
        services = [
            Part(
                name=service.name,
                kind=service.name.partition("-")[0],
                address=service.address,
                pid=service.pid,
                log=str(service.log.path),
                http=service.http_address or http.get(service.name, ""),
            )
            for service in sorted(self._services, key=lambda each: each.name)
        ]
        return (*services, *self._pair.parts())

    def _stop_service(self, service: ServiceProcess) -> None:
        self._say(f"Stopping {service.name}")
        if not service.stop(self._options.stop_seconds_max):
            self._say(
                f"{service.name} did not stop within {self._options.stop_seconds_max:.0f} s "
                f"and was killed, see {service.log.path}"
            )

    def _stop_postgres(self, postgres: EmbeddedPostgres | PostgresPair) -> None:
        self._say("Stopping PostgreSQL")
        postgres.stop()

    def _end_leftovers(self, origin: str, *, seconds: float) -> None:
        """Ends what was started on this folder, which is ours alone by its lock."""
        left = self._folder.processes()
        if left:
            self._say(f"Ending {len(left)} process(es) that {origin} left behind")
        for order, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, KILL_SECONDS_MAX)):
            deadline = time.monotonic() + patience
            for process in left if patience else ():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(order)
            # Until it is wholly gone: a process that ends loses its environment before its ports.
            while (left := [each for each in left if _lives(each)]) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)

    def _say(self, line: str) -> None:
        # The terminal may be gone, which is no reason to leave the rest running.
        with contextlib.suppress(OSError):
            self._tell(line)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a process is to listen."""

    name: str
    port: int
    http_port: int = 0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def http_address(self) -> str:
        return f"{LOOPBACK}:{self.http_port}"


def _places(options: LauncherOptions) -> dict[str, list[_Place]]:
    """By service. In a cluster the first of each has the port of the options, the others free ones."""
    firsts = {
        "touchpoint": (options.touchpoint_port, 0),
        "scoring": (options.scoring_port, 0),
        "gateway": (options.grpc_port, options.http_port),
    }
    if not options.cluster:
        return {name: [_Place(name, *ports)] for name, ports in firsts.items()}
    firsts["postgres"] = options.sql_port, 0
    places = {name: [_Place(f"{name}-1", *ports)] for name, ports in firsts.items()}
    with contextlib.ExitStack() as held:

        def free() -> int:
            listener = held.enter_context(socket.create_server((LOOPBACK, 0)))
            return int(listener.getsockname()[1])

        for name, found in places.items():
            for number in range(2, REPLICAS + 1):
                found.append(_Place(f"{name}-{number}", free(), free() if name == "gateway" else 0))
    return places


def _check_zone(name: str) -> None:
    try:
        if name:
            zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise LaunchError(
            f"reporting zone {name!r}: unknown, want an IANA name such as Europe/Berlin",
            exit_code=2,
        ) from e


def _with_free_ports(options: LauncherOptions) -> LauncherOptions:
    """Checks every port before anything is started, and puts free ones in place of 0."""
    wanted = {
        "grpc": ("gRPC", options.grpc_port),
        "http": ("HTTP", options.http_port),
        "touchpoint": ("touchpoint service", options.touchpoint_port),
        "scoring": ("scoring service", options.scoring_port),
    }
    if not options.database_url:
        wanted["sql"] = ("SQL", options.sql_port)
    fixed = collections.Counter(port for _, port in wanted.values() if port)
    for port, count in fixed.items():
        if count > 1:
            names = ", ".join(f"--{flag}-port" for flag in wanted if wanted[flag][1] == port)
            raise LaunchError(
                f"port {port}: given {count} times ({names}), want one each", exit_code=2
            )
    found: dict[str, int] = {"sql": options.sql_port}
    with contextlib.ExitStack() as held:
        # All are held until the last is found: a released one could be picked twice.
        for flag, (name, port) in wanted.items():
            listener = held.enter_context(socket.socket())
            # Connections of an earlier run, waiting out their last minute, are no hindrance.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, port))
                listener.listen(1)
            except OSError as e:
                reason = "is in use" if e.errno == errno.EADDRINUSE else f"is closed ({e.strerror})"
                raise LaunchError(
                    f"port {port} ({name}) {reason}, want a free one: --{flag}-port N"
                ) from e
            found[flag] = listener.getsockname()[1]
    return replace(
        options,
        grpc_port=found["grpc"],
        http_port=found["http"],
        touchpoint_port=found["touchpoint"],
        scoring_port=found["scoring"],
        sql_port=found["sql"],
    )


def _lives(process: psutil.Process) -> bool:
    try:
        # A killed process is a zombie once its first thread is gone; the others still hold its ports.
        return process.status() != psutil.STATUS_ZOMBIE or int(process.num_threads()) > 1
    except psutil.NoSuchProcess:
        return False
