"""The whole system as one context: inside it everything runs and is ready, after it nothing is left.

    with Launcher(folder, options) as system:
        ...            # SIGINT, SIGTERM and SIGHUP raise StopRequested here, which ends the context
        system.wait()  # serves until one of them comes

What each child does is its own business; the launcher starts, watches and stops it. To be used in the
main thread: signals arrive there, and the kernel ties the children to the thread that started them.
"""

import asyncio
import atexit
import collections
import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType, TracebackType

import grpc
import psutil  # type: ignore[import-untyped]  # its stubs are a package that is not locked
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli import databases, embedded_postgres
from services.cli.data_folder import PROCESS_MARK, DataFolder, LaunchError, RunningSystem
from services.cli.embedded_postgres import EmbeddedPostgres, dying_with_parent

LOOPBACK = "127.0.0.1"
# Every service waits for what it needs itself, so all start at once and stop from the edge inwards:
# whoever still calls a service is gone when its turn comes.
START_ORDER = ("touchpoint", "scoring", "gateway")
# The first start migrates three databases; on a slow machine that is seconds, not a minute.
READY_SECONDS_MAX = 60.0
HEALTH_SECONDS_MAX = 2.0
# Twice the ten seconds that a service grants the calls under way.
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.1
# SIGKILL needs no cooperation; what is still there after this hangs in the kernel.
KILL_SECONDS_MAX = 5.0


class StopRequested(KeyboardInterrupt):
    """The user, or the system, asks for the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherOptions:
    """Ports are on loopback; 0 picks a free one."""

    grpc_port: int = 50051
    http_port: int = 8080
    sql_port: int = 54320
    touchpoint_port: int = 50052
    scoring_port: int = 50053
    # An IANA name; days and weeks of reports begin at midnight there.
    reporting_zone: str = "UTC"
    # An admin's URL with CREATEDB and CREATEROLE; empty starts the embedded server.
    database_url: str = field(default="", repr=False)
    # How each service is started. -P: a folder `services` in the user's own is not ours.
    commands: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {
            name: (sys.executable, "-P", "-m", f"services.{name}") for name in START_ORDER
        }
    )
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
        self._signals = _Signals()
        self._postgres: EmbeddedPostgres | None = None
        self._services: list[_Service] = []
        self._stack = contextlib.ExitStack()
        self._running: RunningSystem | None = None

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
                self.check()
                self._signals.pause(POLL_SECONDS)

    def check(self) -> None:
        """Raises LaunchError if a child has ended."""
        if self._postgres and (failure := self._postgres.failure()):
            raise LaunchError(failure)
        for service in self._services:
            if failure := service.failure():
                raise LaunchError(failure)

    def _stop(self) -> None:
        # From here on a second Ctrl-C changes nothing: stopping is bounded and must be finished.
        self._signals.raise_at_once = False
        self._stack.close()
        atexit.unregister(self._stop)

    def _start(self, stack: contextlib.ExitStack) -> None:
        _check_zone(self._options.reporting_zone)
        self._folder.create()
        stack.enter_context(self._folder.locked())
        self._folder.remove_running()
        self._end_leftovers("a killed launcher", seconds=self._options.stop_seconds_max)
        self._options = options = _with_free_ports(self._options)

        admin_url = options.database_url or self._start_postgres(stack)
        passwords = asyncio.run(self._prepare_databases(admin_url))

        # Also what a service that had to be killed left behind, such as its own workers.
        stack.callback(self._end_leftovers, "a service", seconds=0)
        environment = self._environment(admin_url, passwords)
        self._say("Starting the services")
        for name in START_ORDER:
            service = _Service(name, self._folder, options, environment)
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

    async def _prepare_databases(self, admin_url: str) -> dict[str, str]:
        """Gives the password of each role."""
        task = asyncio.ensure_future(self._make_databases(admin_url))
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            loop.remove_reader(self._signals.wakeup)
            task.cancel()

        # A server that does not answer must not hold up a Ctrl-C.
        loop.add_reader(self._signals.wakeup, cancel)
        try:
            return await task
        except asyncio.CancelledError:
            raise StopRequested from None

    async def _make_databases(self, admin_url: str) -> dict[str, str]:
        existing = await databases.existing_databases(admin_url)
        # First, since it refuses: without its key the gateway could not read what it has stored,
        # and another launcher's roles would lose the passwords that its services use.
        self._folder.ensure_gateway_key(must_exist="gateway" in existing)
        passwords = {role: self._folder.password(role) for role in databases.ROLES}
        await databases.prepare_databases(admin_url, passwords)
        return passwords

    def _environment(self, admin_url: str, passwords: Mapping[str, str]) -> dict[str, str]:
        options = self._options
        # The rest is passed on, OTEL_* above all; the admin's URL is for the launcher alone.
        inherited = {k: v for k, v in os.environ.items() if k != "TOUCHLEDGER_DATABASE_URL"}
        # A proxy for gRPC would be asked to reach loopback, too.
        direct = inherited.get("no_grpc_proxy") or inherited.get("no_proxy")
        urls = databases.service_urls(admin_url, passwords)
        touchpoint = f"{LOOPBACK}:{options.touchpoint_port}"
        scoring = f"{LOOPBACK}:{options.scoring_port}"
        return {
            **inherited,
            PROCESS_MARK: self._folder.mark,
            **{f"TOUCHLEDGER_{name.upper()}_DATABASE_URL": url for name, url in urls.items()},
            "no_grpc_proxy": ",".join(filter(None, (direct, LOOPBACK))),
            "PYTHONUNBUFFERED": "1",  # the last lines before a crash are the ones that are wanted
            "TOUCHLEDGER_TOUCHPOINT_LISTEN": touchpoint,
            "TOUCHLEDGER_SCORING_LISTEN": scoring,
            "TOUCHLEDGER_SCORING_JOURNAL_TARGET": touchpoint,
            "TOUCHLEDGER_SCORING_REPORTING_ZONE": options.reporting_zone,
            "TOUCHLEDGER_SCORING_BI_ROLE": databases.BI_ROLE,
            "TOUCHLEDGER_GATEWAY_LISTEN": f"{LOOPBACK}:{options.grpc_port}",
            "TOUCHLEDGER_GATEWAY_HTTP_LISTEN": f"{LOOPBACK}:{options.http_port}",
            "TOUCHLEDGER_GATEWAY_TOUCHPOINT_TARGET": touchpoint,
            "TOUCHLEDGER_GATEWAY_SCORING_TARGET": scoring,
            "TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE": str(self._folder.gateway_key),
            "TOUCHLEDGER_GATEWAY_LOCAL_KEY_FILE": str(self._folder.local_key),
        }

    def _wait_until_ready(self, service: "_Service") -> None:
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
            admin_url = admin_url.partition("?")[0]
        return RunningSystem(
            pid=os.getpid(),
            grpc=f"{LOOPBACK}:{self._options.grpc_port}",
            http=f"http://{LOOPBACK}:{self._options.http_port}",
            sql=databases.role_url(
                admin_url,
                role=databases.BI_ROLE,
                password=bi_password,
                database=databases.BI_DATABASE,
            ),
            key_file=str(self._folder.local_key),
        )

    def _stop_service(self, service: "_Service") -> None:
        self._say(f"Stopping {service.name}")
        if not service.stop(self._options.stop_seconds_max):
            self._say(
                f"{service.name} did not stop within {self._options.stop_seconds_max:.0f} s "
                f"and was killed, see {service.log.path}"
            )

    def _stop_postgres(self, postgres: EmbeddedPostgres) -> None:
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


class _Service:
    """One child process. Its output goes to its log file."""

    def __init__(
        self,
        name: str,
        folder: DataFolder,
        options: LauncherOptions,
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self.log = folder.log(name)
        self._address = environment[f"TOUCHLEDGER_{name.upper()}_LISTEN"]
        with self.log.open() as log:
            self._process = subprocess.Popen(
                options.commands[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                # A terminal's Ctrl-C goes to its whole process group; the launcher keeps the order.
                start_new_session=True,
                preexec_fn=dying_with_parent(signal.SIGTERM),
            )

    def failure(self) -> str | None:
        if (code := self._process.poll()) is None:
            return None
        return self.log.exit_report(self.name, code)

    def unready(self, seconds: float) -> str:
        return (
            f"{self.name}: not ready at {self._address} after {seconds:.0f} s, "
            f"the end of {self.log.path}:\n{self.log.last_lines()}"
        )

    @contextlib.contextmanager
    def health(self) -> Iterator[Callable[[], bool]]:
        """Asks over one channel whether the service can do its work."""
        options = [
            ("grpc.enable_http_proxy", 0),  # a proxy of the environment does not know our loopback
            # The defaults wait a second and more between two attempts.
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
        ]
        with grpc.insecure_channel(self._address, options=options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            def ready() -> bool:
                request = health_pb2.HealthCheckRequest()
                try:
                    answer = stub.Check(request, timeout=HEALTH_SECONDS_MAX)
                except grpc.RpcError:
                    return False
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            yield ready

    def stop(self, seconds: float) -> bool:
        """False if it had to be killed."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True


class _Signals:
    """Requests to stop: noted while the launcher works, which looks at every pause; raised elsewhere."""

    def __init__(self) -> None:
        self._asked = False
        self.raise_at_once = False

    def __enter__(self) -> None:
        self.wakeup, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        kinds = [signal.SIGINT, signal.SIGTERM]
        # Under nohup a closed terminal is no reason to stop.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            kinds.append(signal.SIGHUP)
        self._previous = {kind: signal.signal(kind, self._note) for kind in kinds}

    def __exit__(self, *_: object) -> None:
        for kind, handler in self._previous.items():
            signal.signal(kind, handler)
        os.close(self.wakeup)
        os.close(self._waker)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        # A full pipe has been noticed or will be.
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"!")
        if self.raise_at_once:
            raise StopRequested

    def pause(self, seconds: float) -> None:
        select.select([self.wakeup], [], [], seconds)
        if self._asked:
            raise StopRequested


def _check_zone(name: str) -> None:
    try:
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
