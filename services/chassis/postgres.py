"""Connections to the service's own PostgreSQL database, once it is one that can keep the promises."""

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

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
# How long what was sent to a server may stay without its system's word that it came; asked for when idle.
SILENCE_SECONDS_MAX = 5
KEEPALIVE_SECONDS = 2
# One statement of a service takes milliseconds; one that takes this long hangs.
COMMAND_TIMEOUT_SECONDS = 30.0
# What a process that stops gives its connections; those of a database that does not answer are cut then.
CLOSE_SECONDS_MAX = 2.0
# Longer statements would be planned again at each use; one that says all sums of all metrics has some 30 KB.
STATEMENT_BYTES_MAX = 256 * 1024
# With any of these off, a commit is not durable and RECORDED would be a lie.
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
# A commit whose wait for the synchronous standby is cut off, by a timeout or a crash, is there for all to
# read and may be on one disk alone: the next promotion would lose it. This commits after it, and so returns
# once the standby has both. It asks nobody where no standby is wanted.
CONFIRM = """
SELECT CASE WHEN current_setting('synchronous_standby_names') <> ''
            THEN pg_logical_emit_message(true, 'touchledger', '') END
"""


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
                connect=_Hosts(url).connect,
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


class _Hosts:
    """The servers of a URL such as postgresql://USER@HOST,HOST/DATABASE?target_session_attrs=primary.

    Each has a deadline of its own: with one for all of them, as asyncpg has it, a server that is there and
    does not answer would hide the one behind it, which was promoted meanwhile.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        self._urls = deque(
            urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(",")
        )

    async def connect(
        self, dsn: str | None = None, **options: Any
    ) -> "asyncpg.Connection[asyncpg.Record]":
        for left in reversed(range(len(self._urls))):
            try:
                connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
                    self._urls[0], timeout=CONNECT_TIMEOUT_SECONDS / len(self._urls), **options
                )
                # There is no public way to it.
                _end_in_silence(connection._transport)  # type: ignore[attr-defined]  # it has one
                return connection
            except DATABASE_AWAY:
                # The next connection begins where this one ends.
                self._urls.rotate(-1)
                if not left:
                    raise
        raise AssertionError("a URL has one host at least")


def _end_in_silence(transport: asyncio.BaseTransport) -> None:
    """Has the system end a connection whose other end is gone without a word, as when a machine is lost.

    By itself TCP tries for a quarter of an hour. A timeout of a statement does not help: what is given up is
    cancelled first, over a connection to the same machine, and that is waited for.
    """
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":
            for option, seconds in (
                (socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS),
                (socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS),
                (socket.TCP_USER_TIMEOUT, SILENCE_SECONDS_MAX * 1000),
            ):
                duplicate.setsockopt(socket.IPPROTO_TCP, option, seconds)


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


async def confirm(connection: Pool | Connection) -> None:
    """Returns once all that was read before is as durable as a commit that was answered."""
    await connection.execute(CONFIRM)


def refuse_unsafe_library_mode() -> None:
    """The eventsourcing library loses events in this mode: its insert function takes no table lock."""
    if os.environ.get("POSTGRES_ENABLE_DB_FUNCTIONS"):
        raise Unsuitable(
            "POSTGRES_ENABLE_DB_FUNCTIONS: got a value, want it unset: it loses events"
        )
