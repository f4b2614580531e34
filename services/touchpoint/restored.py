"""Declares a restored journal to be one: python -m services.touchpoint.restored, while no service runs on it.

It gets a new id, so that nobody takes the positions that it draws anew for those that were lost. Where it
left the journal before is kept: a reader that was not ahead goes on (`Lineage`), one that was ahead is
refused and told which positions are lost. Repeating it changes nothing but the id.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from services.chassis import logs, settings
from services.chassis.errors import Conflict
from services.chassis.migrations import migrate
from services.chassis.postgres import Connection, Pool, open_pool
from services.touchpoint.appender import LOCK
from services.touchpoint.checkpoint import Refused, read_all, read_public_key
from services.touchpoint.settings import Settings

EXIT_REFUSED = 1
EXIT_USAGE = 2
NAME = "restored"

SERVICES_CONNECTED = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'touchledger-touchpoint'
"""
RENAME = """
UPDATE journal.head AS now SET journal_id = gen_random_uuid()
  FROM journal.head AS before
RETURNING before.journal_id AS before, now.journal_id, now.position, now.recorded_at
"""
NOTE = """
INSERT INTO journal.restored (journal_id, position, restored_at) VALUES ($1, $2, clock_timestamp())
"""
RESTORED = "SELECT journal_id::text, position FROM journal.restored ORDER BY number"
# What is kept beside the events in the same database. It is ahead where tables were restored one by one.
AHEAD = """
SELECT 'recovery process' AS who, position FROM journal.recovery_progress WHERE position > $1
 UNION ALL
SELECT format('library projection %s of tenant %s', projection, tenant), notification_id
  FROM journal.library_tracking WHERE notification_id > $1
 ORDER BY who
"""
PUT_BACK = (
    "UPDATE journal.recovery_progress SET position = $1 WHERE position > $1",
    "UPDATE journal.library_tracking SET notification_id = $1 WHERE notification_id > $1",
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Up to which position the journals that this one was restored from are the same."""

    common: Mapping[str, int]

    @classmethod
    async def of(cls, database: Pool | Connection) -> "Lineage":
        common = dict[str, int]()
        for row in await database.fetch(RESTORED):
            common[row["journal_id"]] = row["position"]
            # A later restore to an earlier position takes from all before.
            for journal_id, position in common.items():
                common[journal_id] = min(position, row["position"])
        return cls(common)

    def here(self, journal_id: str, number: int) -> int | None:
        """The same position; None where it is of a journal that this one does not come from."""
        last = self.common.get(journal_id)
        if last is None:
            return None
        if number > last:
            raise Conflict(
                f"at most {last}: the journal was restored to there, "
                f"and positions {last + 1} to {number} of {journal_id} are lost",
                code="POSITIONS_LOST",
                field="after.number",
                got=str(number),
            )
        return number


@dataclass(frozen=True, slots=True)
class Ahead:
    """Somebody who knows positions that the restored journal has not."""

    who: str
    position: int


@dataclass(frozen=True, slots=True)
class Restored:
    before: str
    journal_id: str
    position: int
    recorded_at: datetime
    # By the id of a journal before, the last position that both have.
    common: Mapping[str, int]
    ahead: list[Ahead] = field(default_factory=list)


async def declare(pool: Pool, *, signed: list[Ahead]) -> Restored:
    """In one transaction. `signed`: exported checkpoints, which may name positions that are lost."""
    async with pool.acquire() as tx, tx.transaction():
        await tx.execute(LOCK)
        if connected := await tx.fetchval(SERVICES_CONNECTED):
            raise Conflict(
                "no touchpoint service on it: stop them first", got=f"{connected} connections"
            )
        head = await tx.fetchrow(RENAME)
        assert head is not None, "0001_journal.sql inserts the row"
        position = head["position"]
        ahead = [Ahead(row["who"], row["position"]) for row in await tx.fetch(AHEAD, position)]
        for statement in PUT_BACK:
            await tx.execute(statement, position)
        await tx.execute(NOTE, head["before"], position)
        lineage = await Lineage.of(tx)
    return Restored(
        str(head["before"]),
        str(head["journal_id"]),
        position,
        head["recorded_at"].astimezone(UTC),
        lineage.common,
        [*ahead, *(each for each in signed if each.position > position)],
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m services.touchpoint.{NAME}")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE|FOLDER")
    parser.add_argument("--public-key", type=Path, metavar="FILE")
    options = parser.parse_args()
    if (options.checkpoint is None) != (options.public_key is None):
        parser.error("want --checkpoint and --public-key, or neither")
    configured = settings.load(Settings)
    logs.configure(NAME)
    try:
        restored = uvloop.run(_run(configured, options))
    except Refused as error:
        _stop(str(error), EXIT_USAGE)
    except (Conflict, asyncpg.PostgresError) as error:
        _stop(f"the journal can't be declared restored: {error}", EXIT_REFUSED)
    if options.json:
        print(json.dumps(_shown(restored)))
        return
    print(f"journal {restored.before} is now {restored.journal_id}")
    print(f"it ends at position {restored.position:,}, recorded at {restored.recorded_at}")
    for each in restored.ahead:
        first = restored.position + 1
        print(f"lost: positions {first:,} to {each.position:,}, which {each.who} knew")


async def _run(configured: Settings, options: argparse.Namespace) -> Restored:
    signed = list[Ahead]()
    if options.checkpoint:
        known = read_all(options.checkpoint, read_public_key(options.public_key))
        signed = [Ahead(f"signed checkpoint {each.name}", each.position) for each in known]
    async with open_pool(configured, name=NAME, size_max=1) as pool:
        # A backup of an earlier release has no table to note it in.
        await migrate(pool, Path(__file__).parent / "sql")
        return await declare(pool, signed=signed[-1:])


def _shown(restored: Restored) -> dict[str, Any]:
    return {**asdict(restored), "recorded_at": restored.recorded_at.isoformat()}


def _stop(message: str, exit_code: int) -> None:
    print(f"touchledger: {message}", file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
