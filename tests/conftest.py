"""What many tests stand on: one real PostgreSQL for the session, a fresh set of databases for each asker."""

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from services.chassis.migrations import migrate
from services.chassis.postgres import STATEMENT_BYTES_MAX, Pool
from services.cli.data_folder import LogFile
from services.cli.embedded_postgres import EmbeddedPostgres
from services.scoring.models import LIVE
from services.scoring.scoreboard import Scoreboard
from tests.support.stack import Stack, free_port, running_stack

ROOT = Path(__file__).parent.parent
SERVICES = ("touchpoint", "scoring", "gateway")
# Of the scoring service alone; the others name their schemas.
SEARCH_PATH = {"search_path": LIVE.search_path}
# Memory as a folder, where there is one. A run makes a thousand databases of some 300 files each: on a disk
# that, and the checkpoint that each of them is, takes up to half of the time of tests that ask for one.
MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of its own is made in it)
# What the server may hold at once, with ample room: its log, and the databases of the tests that run.
MEMORY_BYTES_MIN = 4 * 1024**3
# The server's alone: what `up` starts has the settings that users have.
SERVER_SETTINGS = {
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    # A database that is made goes through the log, and compressing it takes longer than writing it.
    "wal_compression": "off",
}
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def admin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the session's PostgreSQL 18, as its superuser."""
    log = LogFile(tmp_path_factory.mktemp("postgres") / "postgres.log")
    with _server_folder(tmp_path_factory) as folder:
        server = EmbeddedPostgres(folder / "data", log=log, password="test", port=free_port())
        server.start()
        try:
            asyncio.run(_set_up(server.admin_url))
            yield server.admin_url
        finally:
            server.stop()


@contextlib.contextmanager
def _server_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES_MIN:
        yield tmp_path_factory.mktemp("server")
        return
    prefix = "touchledger-tests-"
    for left in MEMORY.glob(f"{prefix}*"):
        # Of a run that was killed. Others may be removing it, too.
        if not psutil.pid_exists(int(left.name.removeprefix(prefix))):
            shutil.rmtree(left, ignore_errors=True)
    folder = MEMORY / f"{prefix}{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


async def _set_up(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url)
    try:
        for name, value in SERVER_SETTINGS.items():
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def new_database(admin_url: str) -> Callable[[str], str]:
    """Gives the URL of a fresh database with the migrations of a service in it."""

    async def create(name: str, template: str) -> None:
        connection = await asyncpg.connect(admin_url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        finally:
            await connection.close()

    async def prepare(service: str) -> None:
        await create(f"template_{service}", "template1")
        async with asyncpg.create_pool(
            _beside(admin_url, f"template_{service}"), server_settings=SEARCH_PATH
        ) as pool:
            await migrate(pool, ROOT / "services" / service / "sql")
            if service == "scoring":
                await Scoreboard(pool).install()

    templates = set[str]()

    def new(service: str) -> str:
        # Cloning a template costs a tenth of migrating again.
        if service not in templates:
            asyncio.run(prepare(service))
            templates.add(service)
        name = f"{service}_{next(numbers)}"
        asyncio.run(create(name, f"template_{service}"))
        return _beside(admin_url, name)

    return new


def _beside(admin_url: str, database: str) -> str:
    return f"{admin_url.rpartition('/')[0]}/{database}"


@pytest.fixture
async def journal_pool(admin_url: str, new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "touchpoint")
    async with asyncpg.create_pool(url, min_size=1, max_size=8) as pool:
        yield pool
    await _drop(admin_url, url)


@pytest.fixture
async def scoring_pool(admin_url: str, new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "scoring")
    async with asyncpg.create_pool(
        url,
        min_size=1,
        max_size=8,
        server_settings=SEARCH_PATH,
        max_cacheable_statement_size=STATEMENT_BYTES_MAX,
    ) as pool:
        yield pool
    await _drop(admin_url, url)


@pytest.fixture
def stack(tmp_path: Path, admin_url: str, new_database: Callable[[str], str]) -> Iterator[Stack]:
    """The three services as processes, on databases of their own."""
    urls = {name: new_database(name) for name in SERVICES}
    with running_stack(tmp_path, urls) as running:
        yield running
    asyncio.run(_drop(admin_url, *urls.values()))


async def _drop(admin_url: str, *urls: str) -> None:
    """At 13 MB each, those of a whole run would fill a disk."""
    connection = await asyncpg.connect(admin_url)
    try:
        for url in urls:
            await connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
    finally:
        await connection.close()
