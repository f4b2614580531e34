"""Migrates a service's database in a process of its own, which ends when it is done: 0 if the schema fits.

The services do the same when they start. A job that did it before them keeps the time that it takes out of
their start, and stops a release whose migration fails before any of its pods is there.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.chassis import logs, settings
from services.chassis.postgres import Pool, open_pool
from services.chassis.server import run_process
from services.chassis.settings import DatabaseSettings

log = structlog.get_logger()


def run_job(
    name: str,
    kind: type[DatabaseSettings],
    prepare: Callable[[Pool], Awaitable[None]],
    *,
    search_path: str = "public",
) -> None:
    """`prepare` brings the database to this release."""

    async def main() -> None:
        configured = settings.load(kind)
        logs.configure(f"{name}-migrate")
        try:
            async with open_pool(
                configured, name=f"{name}-migrate", size_max=1, search_path=search_path
            ) as pool:
                await prepare(pool)
        except asyncio.CancelledError:
            # A service that is stopped ends well; a job that is stopped must not count as done.
            raise SystemExit(f"{name}: stopped before the schema was of this release") from None
        log.info("the schema is of this release")

    run_process(main)
