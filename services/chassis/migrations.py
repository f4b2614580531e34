"""Brings the service's database to the schema of this release: numbered SQL files, forward only.

Files are named NNNN_what.sql and run in order, each in a transaction of its own together with its row in
schema_migration. A lock on that table lets one process migrate at a time; the others wait and find it done.
(An advisory lock would be anybody's to take who can connect, BI tools among them.)

A file adds and fills: code of the release before goes on, and starts, on what it makes. What takes something
away is named NNNN_what.contract.sql and comes a release after the code that does without it: code that does
not know such a file refuses to start.
"""

import contextlib
import hashlib
import re
from pathlib import Path

import asyncpg
import structlog

from services.chassis.postgres import Connection, Pool, Unsuitable

log = structlog.get_logger()

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
# How PostgreSQL tells the second of two processes that make the table at once, by how far the first one is.
MADE_BY_ANOTHER = (
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateTableError,
    asyncpg.DuplicateObjectError,
)
LOCK = "LOCK TABLE public.schema_migration IN EXCLUSIVE MODE"
APPLIED = "SELECT number, name, checksum FROM public.schema_migration ORDER BY number"
CONTRACT = ".contract.sql"
RECORD = "INSERT INTO public.schema_migration (number, name, checksum) VALUES ($1, $2, $3)"


async def migrate(pool: Pool, folder: Path) -> None:
    """Runs the files of the folder that have not run yet. Ends the process on a schema that does not fit."""
    files = {int(path.name[:4]): path for path in sorted(folder.glob("[0-9]" * 4 + "_*.sql"))}
    async with pool.acquire() as connection:
        with contextlib.suppress(*MADE_BY_ANOTHER):
            await connection.execute(CREATE)
        while (path := await _next(connection, files)) is not None:
            log.info("migrated", file=path.name)


async def _next(connection: Connection, files: dict[int, Path]) -> Path | None:
    """Runs the first file that has not run yet; None when all have."""
    async with connection.transaction():
        await connection.execute(LOCK, timeout=TIMEOUT_SECONDS)
        applied = {row["number"]: row for row in await connection.fetch(APPLIED)}
        for number, row in applied.items():
            if number not in files and number > max(files) and CONTRACT not in row["name"]:
                continue
            if number not in files:
                raise Unsuitable(
                    f"schema: got migration {number} ({row['name']}), want at most {max(files)}: "
                    "the database belongs to a newer release, which has taken away what this one needs"
                )
            if row["checksum"] != _checksum(files[number]):
                raise Unsuitable(f"schema: {files[number].name} was edited after it was applied")
        for number, path in files.items():
            if number not in applied:
                # Better to fail and be started again than to queue every query behind a waiting lock.
                await connection.execute("SET LOCAL lock_timeout = '10s'")
                await connection.execute(path.read_text(), timeout=TIMEOUT_SECONDS)
                await connection.execute(RECORD, number, path.name, _checksum(path))
                return path
    return None


def _checksum(path: Path) -> str:
    # Comments and white space may be mended later.
    sql = re.sub(r"--[^\n]*", "", path.read_text())
    return hashlib.sha256(" ".join(sql.split()).encode()).hexdigest()
