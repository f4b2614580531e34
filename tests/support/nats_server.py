"""A real nats-server with JetStream on a port of its own, to kill, to stop and to wipe."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.stack import free_port

READY_SECONDS_MAX = 20.0
PROGRAM = Path(sys.executable).with_name("nats-server")


class NatsServer:
    """One server, which syncs always, as deploy/k8s/components/nats has it."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self._folder = folder
        self.port = port or free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        (folder / "nats.conf").write_text(
            f"""
            server_name: test
            listen: 127.0.0.1:{self.port}
            max_payload: 8MiB
            jetstream {{ store_dir: "{folder}/store", max_file_store: 20GiB, sync_interval: always }}
            """
        )

    def start(self) -> None:
        with (self._folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "--config", self._folder / "nats.conf"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            assert self._process.poll() is None, (self._folder / "nats.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """All that it has kept is lost; call it between kill and start."""
        shutil.rmtree(self._folder / "store")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[NatsServer]:
    server = NatsServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
