"""Puts read models right that know more than a restored journal: python -m services.scoring.restored.

Run it while no scoring service runs. A model that is ahead of what the restored journal has in common with
the one that it was filled from is emptied, and the next start fills it from position 1. One that is not ahead
keeps its rows and goes on. Rules, alerts, BI roles and reporting zones stay. Safe to repeat.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from services.chassis import logs, settings
from services.chassis.errors import Conflict
from services.chassis.migrations import migrate
from services.chassis.postgres import Pool, open_pool
from services.scoring import models
from services.scoring.projections import NAMES
from services.scoring.scoreboard import LOCK_MODELS
from services.scoring.settings import Settings

EXIT_REFUSED = 1
NAME = "restored"

SERVICES_CONNECTED = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'touchledger-scoring'
"""
CHECKPOINTS = {
    name: f"SELECT journal_id, position FROM {model.bi}.freshness WHERE projection = 'scoreboard'"  # noqa: S608  # a constant's
    for name, model in NAMES.items()
}
GO_ON = {
    name: f"UPDATE {model.bi}.freshness SET journal_id = $1 WHERE projection = 'scoreboard'"  # noqa: S608  # a constant's
    for name, model in NAMES.items()
}


@dataclass(frozen=True, slots=True)
class Journal:
    """The restored one: its id, where it ends, and up to where the ones before are the same by their ids."""

    journal_id: str
    position: int
    common: dict[str, int]

    @classmethod
    def told(cls, text: str) -> "Journal":
        """What `python -m services.touchpoint.restored --json` printed. Raises ValueError."""
        said = json.loads(text)
        try:
            common = {str(name): int(last) for name, last in said["common"].items()}
            return cls(str(said["journal_id"]), int(said["position"]), common)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no {error} in it") from error

    def has(self, journal_id: str, position: int) -> bool:
        if journal_id in ("", self.journal_id):
            return position <= self.position
        return position <= self.common.get(journal_id, -1)


@dataclass(frozen=True, slots=True)
class Mended:
    model: str
    journal_id: str
    checkpoint: int
    # Lost positions that it knew, first and last; None where it was of a journal that is nothing to this one.
    first: int | None
    last: int | None


async def mend(pool: Pool, journal: Journal) -> list[Mended]:
    """Empties the models that are ahead, in one transaction, and tells which."""
    mended = list[Mended]()
    async with pool.acquire() as tx, tx.transaction():
        await tx.execute(LOCK_MODELS)
        if connected := await tx.fetchval(SERVICES_CONNECTED):
            raise Conflict(
                "no scoring service on it: stop them first", got=f"{connected} connections"
            )
        for name, model in NAMES.items():
            if not await models.exists(tx, model):
                continue
            checkpoint = await tx.fetchrow(CHECKPOINTS[name])
            assert checkpoint is not None, "model/bi.sql inserts the row"
            known, position = checkpoint["journal_id"], checkpoint["position"]
            if journal.has(known, position):
                if known:
                    await tx.execute(GO_ON[name], journal.journal_id)
                continue
            same = known in ("", journal.journal_id)
            last = journal.position if same else journal.common.get(known)
            await models.make_anew(tx, model)
            lost = (None, None) if last is None else (last + 1, position)
            mended.append(Mended(name, known, position, *lost))
    return mended


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m services.scoring.{NAME}")
    parser.add_argument(
        "--journal",
        required=True,
        metavar="JSON",
        help="what `python -m services.touchpoint.restored --json` printed",
    )
    parser.add_argument("--json", action="store_true", help="one JSON array on stdout")
    options = parser.parse_args()
    try:
        journal = Journal.told(options.journal)
    except ValueError as error:
        parser.error(f"--journal: {error}")
    configured = settings.load(Settings)
    logs.configure(NAME)
    try:
        mended = uvloop.run(_run(configured, journal))
    except (Conflict, asyncpg.PostgresError) as error:
        print(f"touchledger: the read models can't be put right: {error}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)
    if options.json:
        shown: list[dict[str, Any]] = [asdict(each) for each in mended]
        print(json.dumps(shown))
        return
    for each in mended:
        what = "another journal's"
        if each.first is not None and each.last is not None:
            what = f"with positions {each.first:,} to {each.last:,}, which are lost"
        print(f"the {each.model} read models were {what}: the next start fills them anew")
    if not mended:
        print("no read model is ahead of the journal")


async def _run(configured: Settings, journal: Journal) -> list[Mended]:
    async with open_pool(configured, name=NAME, size_max=1) as pool:
        await migrate(pool, Path(__file__).parent / "sql")
        return await mend(pool, journal)


if __name__ == "__main__":
    main()
