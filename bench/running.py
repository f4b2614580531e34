"""Waits for a service that a contender has started as a process of its own."""

import asyncio
from time import monotonic

from services.cli.service_process import ServiceProcess

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05


async def until_ready(service: ServiceProcess) -> None:
    deadline = monotonic() + START_SECONDS_MAX
    with service.health() as ready:
        while not await asyncio.to_thread(ready):
            if why := service.failure():
                raise RuntimeError(why)
            if monotonic() > deadline:
                raise RuntimeError(service.unready(START_SECONDS_MAX))
            await asyncio.sleep(POLL_SECONDS)
