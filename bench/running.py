"""Services that a contender starts, each as a process of its own."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

from services.cli.data_folder import LogFile
from services.cli.service_process import ServiceProcess

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05


def started(folder: Path, name: str, environment: Mapping[str, str]) -> ServiceProcess:
    """environment: variables without the service's prefix, LISTEN among them."""
    prefix = f"TOUCHLEDGER_{name.upper()}_"
    return ServiceProcess(
        name,
        [sys.executable, "-m", f"services.{name}"],
        address=environment["LISTEN"],
        log=LogFile(folder / f"{name}.log"),
        environment=os.environ | {f"{prefix}{key}": value for key, value in environment.items()},
    )


async def until_ready(service: ServiceProcess) -> None:
    deadline = monotonic() + START_SECONDS_MAX
    with service.health() as ready:
        while not await asyncio.to_thread(ready):
            if why := service.failure():
                raise RuntimeError(why)
            if monotonic() > deadline:
                raise RuntimeError(service.unready(START_SECONDS_MAX))
            await asyncio.sleep(POLL_SECONDS)
