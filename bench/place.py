"""Where all contenders work: one PostgreSQL, set as `touchledger up` sets it, and one folder on a disk."""

import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil

from services.chassis.migrations import migrate
from services.cli.data_folder import LogFile
from services.cli.embedded_postgres import SETTINGS, EmbeddedPostgres

SQL = Path(__file__).parent.parent / "services" / "touchpoint" / "sql"
JOURNAL_TEMPLATE = "template_journal"
# What makes a commit durable. With one of them off the comparison would be of nothing.
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
# A contender may leave sessions behind that hang.
DROP = "DROP DATABASE {} WITH (FORCE)"
COMMAND_SECONDS_MAX = 60.0
# New segments of the log are written twice, old ones are used again: a GB of them is made before the start,
# as a server that runs for a day has them.
WARM_UP_MESSAGE = "SELECT pg_logical_emit_message(false, 'bench', repeat('x', $1))"
WARM_UP_BYTES = 8 * 1024 * 1024
WARM_UP_MESSAGES = 128


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    admin_url: str

    def url(self, database: str) -> str:
        """Of a database beside the admin's."""
        return urlsplit(self.admin_url)._replace(path=f"/{database}").geturl()

    @contextlib.asynccontextmanager
    async def database(self, name: str, *, template: str = "template1") -> AsyncIterator[str]:
        """The URL of a fresh one, gone afterwards."""
        async with self.connection() as admin:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            async with self.connection() as admin:
                await admin.execute(DROP.format(name))

    @contextlib.asynccontextmanager
    async def journal(self, name: str) -> AsyncIterator[str]:
        """The URL of a fresh database with the touchpoint service's tables."""
        async with self.database(name, template=JOURNAL_TEMPLATE) as url:
            yield url

    async def journal_position(self, url: str) -> int:
        async with self.connection(url) as connection:
            return int(await connection.fetchval("SELECT position FROM journal.head"))

    @contextlib.asynccontextmanager
    async def connection(
        self, url: str | None = None
    ) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        connection = await asyncpg.connect(
            url or self.admin_url, command_timeout=COMMAND_SECONDS_MAX
        )
        try:
            yield connection
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def connections(
        self, url: str, count: int
    ) -> "AsyncIterator[Sequence[asyncpg.Connection[asyncpg.Record]]]":
        async with contextlib.AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self.connection(url)) for _ in range(count)]

    async def prepare(self, *, share: float = 1.0) -> str:
        """Makes the journal's template and warms the server up; tells what the figures were taken on.

        A run of a share of the usual events needs that share of the log.
        """
        async with self.connection() as admin:
            await admin.execute(f"CREATE DATABASE {JOURNAL_TEMPLATE}")
            for _ in range(max(round(WARM_UP_MESSAGES * share), 1)):
                await admin.execute(WARM_UP_MESSAGE, WARM_UP_BYTES)
            await admin.execute("CHECKPOINT")
            shown = {name: await admin.fetchval(f"SHOW {name}") for name in DURABILITY}
            version = await admin.fetchval("SHOW server_version")
        if set(shown.values()) != {"on"}:
            raise SystemExit(f"PostgreSQL: got {shown}, want all of them on")
        async with asyncpg.create_pool(self.url(JOURNAL_TEMPLATE), min_size=1, max_size=1) as pool:
            await migrate(pool, SQL)
        durable = ", ".join(f"{name}={value}" for name, value in shown.items())
        return f"PostgreSQL {version}, {durable}, {', '.join(SETTINGS)}; {self._machine()}"

    def _machine(self) -> str:
        disks = [
            disk
            for disk in psutil.disk_partitions(all=True)
            if self.folder.is_relative_to(disk.mountpoint)
        ]
        system = max(disks, key=lambda disk: len(disk.mountpoint)).fstype if disks else "unknown"
        return f"{psutil.cpu_count()} CPUs, file system {system}, load client on the same machine"


@contextlib.contextmanager
def place(folder: Path, pause: Callable[[float], None] = time.sleep) -> Iterator[Place]:
    server = EmbeddedPostgres(
        folder / "postgres",
        log=LogFile(folder / "postgres.log"),
        password=secrets.token_urlsafe(),
        port=free_port(),
    )
    server.start(pause)
    try:
        yield Place(folder, server.admin_url)
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
