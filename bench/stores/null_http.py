"""The limit of HTTP: a server of our kind whose handler answers at once.

`python -m bench.stores.null_http PORT`. It reads bodies whole and answers with one short text; nothing is
parsed, checked or stored.
"""

import asyncio
import contextlib
import signal
import sys
from typing import Any

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

HEADERS = [("content-type", "application/json")]
ANSWER = b'{"results": []}'


async def answer(scope: Any, protocol: Any) -> None:
    await protocol()
    protocol.response_bytes(200, HEADERS, ANSWER)


async def serve(port: int) -> None:
    server = Server(
        answer,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.RSGI,
        websockets=False,
        log_enabled=False,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
