"""UmaDB: the server and the client of its wheel, with the server's defaults.

It does not check ids. Its tags are what it indexes: none, the touchpoint, touchpoint
and event id. The id is what a duplicate would be found by there.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

from bench.contender import Contender, NotRun, Run
from bench.events import Event
from bench.journal_goals import UMADB
from bench.place import Place, free_port
from bench.timing import by_threads
from services.cli.child import becoming

if TYPE_CHECKING:
    from umadb import Event as UmaEvent

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class UmaDb:
    url: str
    tags: int

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        # Not installed where nothing is compared.
        from umadb import Client

        work = [[_event(event, self.tags) for event in batch] for batch in batches]
        clients = [Client(self.url) for _ in range(callers)]
        before = clients[0].head() or 0
        timing = await by_threads(work, [client.append for client in clients])
        return Run(timing, (clients[0].head() or 0) - before)


def _event(event: Event, tags: int) -> "UmaEvent":
    from umadb import Event as UmaEvent

    return UmaEvent(
        event_type=event.template.topic,
        data=event.state,
        tags=[event.template.touchpoint, event.id][:tags],
        uuid=UUID(event.id),
    )


def _import_quietly() -> None:
    """Its import takes SIGINT over, with which the bench is to stop."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        import umadb  # noqa: F401  (for its effect on what comes after)
    except ImportError:
        raise NotRun("the wheel umadb is not installed here") from None
    finally:
        signal.signal(signal.SIGINT, handler)


def _started(program: str, address: str, path: Path, log_path: Path) -> "subprocess.Popen[bytes]":
    with log_path.open("ab") as log:
        return subprocess.Popen(
            becoming(
                [program, "--listen", address, "--db-path", str(path)], dies_by=signal.SIGTERM
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("UMADB_")},
        )


async def _until_ready(server: "subprocess.Popen[bytes]", url: str) -> None:
    from umadb import Client, TransportError

    deadline = monotonic() + START_SECONDS_MAX
    while True:
        try:
            Client(url).head()
        except TransportError as error:
            if server.poll() is not None or monotonic() > deadline:
                raise NotRun(f"the server of the wheel umadb does not start: {error}") from None
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


@asynccontextmanager
async def opened(place: Place, *, tags: int) -> AsyncIterator[UmaDb]:
    _import_quietly()
    program = shutil.which("umadb", path=sysconfig.get_path("scripts"))
    if program is None:
        raise NotRun("the wheel umadb has no server here")
    folder = place.folder / f"umadb-{tags}"
    folder.mkdir()
    address = f"127.0.0.1:{free_port()}"
    server = _started(program, address, folder / "events", place.folder / "umadb.log")
    try:
        await _until_ready(server, f"http://{address}")
        yield UmaDb(f"http://{address}", tags)
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        # Each round has an empty one.
        shutil.rmtree(folder, ignore_errors=True)


def contender(tags: int) -> Contender:
    return Contender(f"umadb-{tags}", UMADB[tags], partial(opened, tags=tags))


CONTENDERS = tuple(map(contender, range(3)))
