"""What a synchronous standby does not have yet is not acknowledged, whoever asks and however often."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.chassis.migrations import migrate
from services.chassis.postgres import Pool, confirm
from services.cli.data_folder import LogFile
from services.cli.embedded_postgres import EmbeddedPostgres
from services.touchpoint.journal import Journal
from tests.conftest import ROOT
from tests.support.entries import append, duplicate, entry
from tests.support.stack import free_port

# A commit without a standby to wait for takes milliseconds.
STATEMENT_SECONDS_MAX = 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Of its own, since what it waits for holds for all of its databases."""
    folder = tmp_path_factory.mktemp("server")
    made = EmbeddedPostgres(
        folder / "data", log=LogFile(folder / "log"), password="test", port=free_port()
    )
    made.start()
    yield made
    made.stop()


@asynccontextmanager
async def pool_of(server: EmbeddedPostgres) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(
        server.admin_url, min_size=1, max_size=4, command_timeout=STATEMENT_SECONDS_MAX
    ) as pool:
        yield pool


async def want_standby(pool: Pool, name: str) -> None:
    await pool.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    await pool.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(10):
        while await pool.fetchval("SHOW synchronous_standby_names") != name:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_repeat_of_what_the_standby_lacks_is_not_a_duplicate_until_it_has_it(
    server: EmbeddedPostgres,
) -> None:
    async with asyncpg.create_pool(server.admin_url, min_size=1, max_size=1) as patient:
        await migrate(patient, ROOT / "services" / "touchpoint" / "sql")
    async with pool_of(server) as pool:
        journal = await Journal.open(pool, stopping=asyncio.Event())
        await want_standby(pool, "gone")
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await append(journal, entry("event-1"))
        # It is there for all to read since the first one's wait was cut off.
        assert await pool.fetchval("SELECT count(*) FROM journal.stored_events") == 1

        another = await Journal.open(pool, stopping=asyncio.Event())
        with pytest.raises(TimeoutError):
            await append(another, entry("event-1"))
        with pytest.raises(TimeoutError):
            await another.positions([entry("event-1").originator_id])
        await want_standby(pool, "")
        for each in (journal, another):
            assert [duplicate(1)] == await append(each, entry("event-1"))


async def test_that_no_commit_can_be_answered_is_seen_before_there_is_one(
    server: EmbeddedPostgres,
) -> None:
    async with pool_of(server) as pool:
        await confirm(pool)
        await want_standby(pool, "gone")
        with pytest.raises(TimeoutError):
            await confirm(pool)
        await want_standby(pool, "")
        await confirm(pool)
