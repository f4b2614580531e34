"""Brings the scoring service's database to this release and ends: python -m services.scoring.migrate."""

from pathlib import Path

from services.chassis.migration_job import run_job
from services.chassis.migrations import migrate
from services.chassis.postgres import Pool
from services.chassis.settings import DatabaseSettings
from services.scoring.models import LIVE


class Settings(DatabaseSettings, env_prefix="TOUCHLEDGER_SCORING_"):
    """Of the service's variables, those that a migration needs."""


async def prepare(pool: Pool) -> None:
    """The read models are not among it: the service makes them, from the journal, when it starts."""
    await migrate(pool, Path(__file__).parent / "sql")


if __name__ == "__main__":
    run_job("scoring", Settings, prepare, search_path=LIVE.search_path)
