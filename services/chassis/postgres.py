"""Connections to the service's own PostgreSQL database, once it is one that can keep the promises."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import structlog

from services.chassis import statements
from services.chassis.errors import DATABASE_AWAY
from services.chassis.settings import DatabaseSettings
from services.chassis.telemetry import measured

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

log = structlog.get_logger()

# PostgreSQL 18 is the first with keys declared NOT ENFORCED, which the star schema is built on.
VERSION_MIN = 180000
CONNECT_TIMEOUT_SECONDS = 5.0
# One statement of a service takes milliseconds; one that takes this long hangs.
COMMAND_TIMEOUT_SECONDS = 30.0
# What a process that stops gives its connections; those of a database that does not answer are cut then.
CLOSE_SECONDS_MAX = 2.0
# Longer statements would be planned again at each use; one that says all sums of all metrics has some 30 KB.
STATEMENT_BYTES_MAX = 256 * 1024
# With any of these off, a commit is not durable and RECORDED would be a lie.
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")


class Unsuitable(SystemExit):
    """The database can't be used; the process ends with this one line."""


@asynccontextmanager
async def open_pool(
    settings: DatabaseSettings,
    *,
    name: str,
    size_max: int,
    lock_timeout: str = "0",
    search_path: str = "public",
) -> AsyncIterator[Pool]:
    """A pool of at most size_max connections. Waits for a server that is starting; refuses an old one."""
    url = settings.database_url.get_secret_value()
    deadline = asyncio.get_running_loop().time() + settings.database_wait_seconds
    while True:
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=size_max,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                max_cacheable_statement_size=STATEMENT_BYTES_MAX,
                # What measures statements is in nobody's way where nobody is told.
                connection_class=statements.Connection if measured() else asyncpg.Connection,
                reset=_leave_as_it_is,
                server_settings={
                    "application_name": f"touchledger-{name}",
                    # No result depends on the zone of a session.
                    "timezone": "UTC",
                    # A transaction that its process forgot must not hold a lock for ever.
                    "idle_in_transaction_session_timeout": "60s",
                    "lock_timeout": lock_timeout,
                    "search_path": search_path,
                    # Statements of milliseconds with a hundred expressions: compiling them takes longer.
                    "jit": "off",
                },
            )
            break
        except ValueError:
            # Its text may quote the URL with its password.
            raise Unsuitable(f"{name}: can't use the database: bad database URL") from None
        except asyncpg.InvalidCatalogNameError as error:
            raise Unsuitable(f"{name}: can't use the database: {error}") from None
        except DATABASE_AWAY as error:
            if asyncio.get_running_loop().time() > deadline:
                raise Unsuitable(
                    f"{name}: the database did not answer within "
                    f"{settings.database_wait_seconds:.0f} s ({type(error).__name__})"
                ) from None
            log.info("waiting for the database", error=type(error).__name__)
            await asyncio.sleep(0.2)
        except asyncpg.PostgresError as error:
            # A wrong password, say: waiting does not mend it.
            raise Unsuitable(f"{name}: can't use the database: {error}") from None
    try:
        version = await pool.fetchval("SELECT current_setting('server_version_num')::int")
        if version < VERSION_MIN:
            shown = await pool.fetchval("SHOW server_version")
            raise Unsuitable(f"{name}: PostgreSQL server: got version {shown}, want 18 or newer")
        yield pool
    finally:
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await pool.close()
        except TimeoutError:
            log.warning("connections to the database are cut", seconds=CLOSE_SECONDS_MAX)


async def _leave_as_it_is(_: Connection) -> None:
    """What a session may set, services set for a transaction alone: putting it back costs a round trip.

    A transaction that was left open is rolled back before this is called.
    """


async def durability_gaps(pool: Pool) -> list[str]:
    """The settings of the server that make an acknowledged commit unsafe, such as "fsync=off"."""
    rows = await pool.fetch(
        "SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(DURABILITY)
    )
    return [f"{row['name']}={row['setting']}" for row in rows if row["setting"] == "off"]


def refuse_unsafe_library_mode() -> None:
    """The eventsourcing library loses events in this mode: its insert function takes no table lock."""
    if os.environ.get("POSTGRES_ENABLE_DB_FUNCTIONS"):
        raise Unsuitable(
            "POSTGRES_ENABLE_DB_FUNCTIONS: got a value, want it unset: it loses events"
        )
