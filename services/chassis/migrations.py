"""Brings the service's database to the schema of this release: numbered SQL files, forward only.

Files are named NNNN_what.sql and run in order, each in a transaction of its own together with its row in
schema_migration. An advisory lock lets one process migrate at a time; the others wait and find it done.
"""

import hashlib
import re
from pathlib import Path

import structlog

from services.chassis.postgres import Connection, Pool, Unsuitable

log = structlog.get_logger()

# Any number that nothing else in the database locks.
LOCK = 7_310_114_001
# A migration may rewrite a table; ordinary statements must not take this long.
TIMEOUT_SECONDS = 3600.0

CREATE = """
CREATE TABLE IF NOT EXISTS public.schema_migration (
    number     integer     PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
APPLIED = "SELECT number, name, checksum FROM public.schema_migration ORDER BY number"
RECORD = "INSERT INTO public.schema_migration (number, name, checksum) VALUES ($1, $2, $3)"


async def migrate(pool: Pool, folder: Path) -> None:
    """Runs the files of the folder that have not run yet. Ends the process on a schema that does not fit."""
    files = {int(path.name[:4]): path for path in sorted(folder.glob("[0-9]" * 4 + "_*.sql"))}
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=TIMEOUT_SECONDS)
        try:
            await _migrate(connection, files)
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def _migrate(connection: Connection, files: dict[int, Path]) -> None:
    await connection.execute(CREATE)
    applied = {row["number"]: row for row in await connection.fetch(APPLIED)}
    for number, row in applied.items():
        if number not in files:
            raise Unsuitable(
                f"schema: got migration {number} ({row['name']}), want at most {max(files)}: "
                "the database belongs to a newer release"
            )
        if row["checksum"] != _checksum(files[number]):
            raise Unsuitable(f"schema: {files[number].name} was edited after it was applied")
    for number, path in files.items():
        if number in applied:
            continue
        async with connection.transaction():
            # Better to fail and be started again than to queue every query behind a waiting lock.
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute(path.read_text(), timeout=TIMEOUT_SECONDS)
            await connection.execute(RECORD, number, path.name, _checksum(path))
        log.info("migrated", file=path.name)


def _checksum(path: Path) -> str:
    # Comments and white space may be mended later.
    sql = re.sub(r"--[^\n]*", "", path.read_text())
    return hashlib.sha256(" ".join(sql.split()).encode()).hexdigest()
