"""What a transport alone can do: servers of our kinds that answer at once, each a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from bench import http_client
from bench.place import Place, free_port
from bench.running import POLL_SECONDS, START_SECONDS_MAX, STOP_SECONDS_MAX, until_ready
from bench.stores.gateway import OverGrpc, OverHttp
from services.cli.data_folder import LogFile
from services.cli.service_process import ServiceProcess

NO_KEY = "none"


@asynccontextmanager
async def opened_grpc(place: Place) -> AsyncIterator[OverGrpc]:
    service, address = _started(place, "null_grpc")
    try:
        await until_ready(service)
        yield OverGrpc(address, NO_KEY)
    finally:
        service.stop(STOP_SECONDS_MAX)


@asynccontextmanager
async def opened_http(place: Place) -> AsyncIterator[OverHttp]:
    service, address = _started(place, "null_http")
    try:
        await _until_connected(service, address)
        yield OverHttp(address, NO_KEY)
    finally:
        service.stop(STOP_SECONDS_MAX)


def _started(place: Place, name: str) -> tuple[ServiceProcess, str]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    service = ServiceProcess(
        name,
        [sys.executable, "-m", f"bench.stores.{name}", str(port)],
        address=address,
        log=LogFile(place.folder / f"{name}.log"),
        environment=os.environ,
    )
    return service, address


async def _until_connected(service: ServiceProcess, address: str) -> None:
    deadline = monotonic() + START_SECONDS_MAX
    while True:
        with suppress(OSError):
            async with http_client.connections(address, 1):
                return
        if why := service.failure():
            raise RuntimeError(why)
        if monotonic() > deadline:
            raise RuntimeError(service.unready(START_SECONDS_MAX))
        await asyncio.sleep(POLL_SECONDS)
