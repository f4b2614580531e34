"""What many tests stand on: one real PostgreSQL for the session, a fresh set of databases for each asker."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
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
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def admin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the session's PostgreSQL 18, as its superuser."""
    folder = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(
        folder / "data", log=LogFile(folder / "postgres.log"), password="test", port=free_port()
    )
    server.start()
    try:
        yield server.admin_url
    finally:
        server.stop()


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
async def journal_pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "touchpoint")
    async with asyncpg.create_pool(url, min_size=1, max_size=8) as pool:
        yield pool


@pytest.fixture
async def scoring_pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "scoring")
    async with asyncpg.create_pool(
        url,
        min_size=1,
        max_size=8,
        server_settings=SEARCH_PATH,
        max_cacheable_statement_size=STATEMENT_BYTES_MAX,
    ) as pool:
        yield pool


@pytest.fixture
def stack(tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Stack]:
    """The three services as processes, on databases of their own."""
    with running_stack(tmp_path, {name: new_database(name) for name in SERVICES}) as running:
        yield running
