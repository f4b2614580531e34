"""Answers Prometheus: GET /metrics at an address of its own.

It turns with the event loop, so that a process which hangs is seen to. Imported only where somebody scrapes.
"""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from services.chassis.postgres import Unsuitable

# A scrape takes milliseconds; whoever sends half a request is hung up on.
SCRAPE_SECONDS_MAX = 5.0
HEADERS_BYTES_MAX = 8 * 1024
# One Prometheus, its double, and somebody who looks.
SCRAPES_AT_ONCE_MAX = 8


async def serve(service: str, listen: str) -> asyncio.Server:
    """Listens until it is closed. Ends the process where the port is taken."""
    host, _, port = listen.rpartition(":")
    scrapes = _Scrapes()
    try:
        return await asyncio.start_server(
            scrapes.answer, host.strip("[]"), int(port), limit=HEADERS_BYTES_MAX
        )
    except OSError:
        raise Unsuitable(
            f"{service}: metrics_listen: can't listen on {listen}, want a free port"
        ) from None


class _Scrapes:
    def __init__(self) -> None:
        self._under_way = 0
        # What is collected for one must not be told to another.
        self._collecting = asyncio.Lock()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, then the connection ends."""
        self._under_way += 1
        try:
            if self._under_way <= SCRAPES_AT_ONCE_MAX:
                async with asyncio.timeout(SCRAPE_SECONDS_MAX):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._response(head))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # Nobody is there any more, or it is no scrape.
            pass
        finally:
            self._under_way -= 1
            # Nothing where it is closed.
            writer.transport.abort()

    async def _response(self, head: bytes) -> bytes:
        request = head.split(b"\r\n", 1)[0].split(b" ")
        if request[:1] != [b"GET"] or len(request) != 3:
            return _http("405 Method Not Allowed", "text/plain", b"want GET /metrics\n")
        if request[1].split(b"?")[0] != b"/metrics":
            return _http("404 Not Found", "text/plain", b"want GET /metrics\n")
        async with self._collecting:
            text = await asyncio.to_thread(generate_latest, REGISTRY)
        return _http("200 OK", CONTENT_TYPE_LATEST, text)


def _http(status: str, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body
