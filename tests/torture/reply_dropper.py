"""Stands between clients and a service, and loses the service's answers when it is told to."""

import asyncio
import contextlib

from tests.support.stack import free_port

CHUNK_BYTES = 64 * 1024


class ReplyDropper:
    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._own_port = free_port()
        self.address = f"127.0.0.1:{self._own_port}"
        self._dropping = False
        self._open = set[asyncio.StreamWriter]()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._own_port)

    def stop(self) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()

    def drop_replies(self) -> None:
        """From now on requests come through and answers don't."""
        self._dropping = True

    def cut(self) -> None:
        """Ends the connections that lost answers; new ones work."""
        for writer in self._open:
            writer.transport.abort()
        self._dropping = False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, requests = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, requests}
        self._open |= both
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, requests, both, answers=False))
                tasks.create_task(self._pump(answers, writer, both, answers=True))
        finally:
            self._open -= both

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter],
        *,
        answers: bool,
    ) -> None:
        """Until either side ends."""
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                if answers and self._dropping:
                    continue
                sink.write(data)
                await sink.drain()
        for each in both:
            each.transport.abort()
