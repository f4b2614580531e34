"""A load client for HTTP that costs next to nothing: prepared bytes out, the answer's status and body in.

It knows of HTTP/1.1 what our servers send: a status line, Content-Length, connections that are kept.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

LENGTH = b"content-length: "


def post(path: str, body: bytes, *headers: tuple[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        assert self._transport is not None, "connected"
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's has the methods, and is no subclass.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0 or self._answer is None:
            return
        at = self._received[:head].lower().index(LENGTH) + len(LENGTH)
        length = int(self._received[at:head].partition(b"\r\n")[0])
        if len(self._received) < head + 4 + length:
            return
        status, body = int(self._received[9:12]), bytes(self._received[head + 4 :])
        self._received.clear()
        if not self._answer.done():
            self._answer.set_result((status, body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed without an answer"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def connections(address: str, count: int) -> AsyncIterator[list[Connection]]:
    host, _, port = address.rpartition(":")
    loop, opened = asyncio.get_running_loop(), list[Connection]()
    try:
        for _ in range(count):
            _, connection = await loop.create_connection(Connection, host, int(port))
            opened.append(connection)
        yield opened
    finally:
        for connection in opened:
            connection.close()
