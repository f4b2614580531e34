"""One service as a child process: started, asked whether it can do its work, stopped.

When to do which, and what its environment says, is left to the launcher.
"""

import contextlib
import http.client
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.child import becoming
from services.cli.data_folder import LogFile

HEALTH_SECONDS_MAX = 2.0


def healthy(address: str) -> bool:
    """What /healthz says."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=HEALTH_SECONDS_MAX)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class ServiceProcess:
    """Runs from its making on. Its output goes to its log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        address: str,
        log: LogFile,
        environment: Mapping[str, str],
        http_address: str = "",
    ) -> None:
        """http_address: one that answers /healthz, of a process that speaks no gRPC."""
        self.name = name
        self.log = log
        self.address = address
        self.http_address = http_address
        self._command = command
        self._environment = environment
        self._process = self._run()

    def _run(self) -> subprocess.Popen[bytes]:
        with self.log.open() as output:
            return subprocess.Popen(
                becoming(self._command, dies_by=signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                # A terminal's Ctrl-C goes to its whole process group; the launcher keeps the order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """None when it has ended."""
        return self._process.pid if self._process.poll() is None else None

    def start_again(self) -> None:
        """After it has ended."""
        self._process = self._run()

    def failure(self) -> str | None:
        if (code := self._process.poll()) is None:
            return None
        return self.log.exit_report(self.name, code)

    def unready(self, seconds: float) -> str:
        return (
            f"{self.name}: not ready at {self.address} after {seconds:.0f} s, "
            f"the end of {self.log.path}:\n{self.log.last_lines()}"
        )

    @contextlib.contextmanager
    def health(self) -> Iterator[Callable[[], bool]]:
        """Asks over one channel whether the service can do its work."""
        if self.http_address:
            yield lambda: healthy(self.http_address)
            return
        options = [
            ("grpc.enable_http_proxy", 0),  # a proxy of the environment does not know our loopback
            # The defaults wait a second and more between two attempts.
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
        ]
        with grpc.insecure_channel(self.address, options=options) as channel:
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
