"""Brings the journal to this release and ends: python -m services.touchpoint.migrate."""

from pathlib import Path

from services.chassis.migration_job import run_job
from services.chassis.migrations import migrate
from services.chassis.postgres import Pool
from services.chassis.settings import DatabaseSettings
from services.touchpoint.unsealed import seal_unsealed


class Settings(DatabaseSettings, env_prefix="TOUCHLEDGER_TOUCHPOINT_"):
    """Of the service's variables, those that a migration needs."""


async def prepare(pool: Pool) -> None:
    await migrate(pool, Path(__file__).parent / "sql")
    await seal_unsealed(pool)


if __name__ == "__main__":
    run_job("touchpoint", Settings, prepare)
