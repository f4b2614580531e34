"""Migrations run once, in order, wholly or not at all, and only on a schema that is of this release."""

import asyncio
import itertools
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from services.chassis.migrations import migrate
from services.chassis.postgres import Pool, Unsuitable
from tests.support.stack import free_port

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 20
FIRST = "CREATE TABLE drawer (label text NOT NULL); INSERT INTO drawer VALUES ('first');"
SECOND = "INSERT INTO drawer VALUES ('second');"
# No release is left whose code would need what it took away.
BEFORE_THE_RULE = {"0002_models.sql"}
APPLIED = "SELECT name FROM public.schema_migration ORDER BY number"

numbers = itertools.count(1)

Write = Callable[..., Path]


@pytest.fixture
async def empty_url(admin_url: str) -> str:
    """The URL of a database without anything in it."""
    name = f"empty_{next(numbers)}"
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return f"{admin_url.rpartition('/')[0]}/{name}"


@pytest.fixture
async def pools(empty_url: str) -> AsyncIterator[list[Pool]]:
    """As several processes have them."""
    async with (
        asyncpg.create_pool(empty_url, min_size=1, max_size=2) as one,
        asyncpg.create_pool(empty_url, min_size=1, max_size=2) as two,
        asyncpg.create_pool(empty_url, min_size=1, max_size=2) as three,
    ):
        yield [one, two, three]


@pytest.fixture
def pool(pools: list[Pool]) -> Pool:
    return pools[0]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes migrations into a folder that holds nothing else."""

    def files(**named: str) -> Path:
        folder = tmp_path / "sql"
        folder.mkdir(exist_ok=True)
        for name, sql in named.items():
            (folder / f"{name.removeprefix('n')}.sql").write_text(sql)
        return folder

    return files


async def labels(pool: Pool) -> list[str]:
    return [row["label"] for row in await pool.fetch("SELECT label FROM drawer")]


async def applied(pool: Pool) -> list[str]:
    return [row["name"] for row in await pool.fetch(APPLIED)]


async def test_migrations_run_in_the_order_of_their_numbers(pool: Pool, write: Write) -> None:
    await migrate(pool, write(n0010_b=SECOND, n0002_a=FIRST))
    assert await labels(pool) == ["first", "second"]
    assert await applied(pool) == ["0002_a.sql", "0010_b.sql"]


async def test_what_has_run_does_not_run_again_and_what_is_new_does(
    pool: Pool, write: Write
) -> None:
    await migrate(pool, write(n0001_a=FIRST))
    await migrate(pool, write(n0001_a=FIRST))
    await migrate(pool, write(n0001_a=FIRST, n0002_b=SECOND))
    assert await labels(pool) == ["first", "second"]


async def test_of_several_migrators_at_once_one_migrates_and_the_others_find_it_done(
    pools: list[Pool], write: Write
) -> None:
    slow = FIRST + "SELECT pg_sleep(0.3);"
    folder = write(n0001_a=slow, n0002_b=SECOND)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*(migrate(pool, folder) for pool in pools))
    assert await labels(pools[0]) == ["first", "second"]
    assert await applied(pools[0]) == ["0001_a.sql", "0002_b.sql"]


async def test_a_migration_that_was_edited_after_it_ran_is_refused(
    pool: Pool, write: Write
) -> None:
    await migrate(pool, write(n0001_a=FIRST))
    edited = write(n0001_a=FIRST.replace("first", "other"), n0002_b=SECOND)
    with pytest.raises(Unsuitable, match=r"0001_a\.sql was edited"):
        await migrate(pool, edited)
    assert await labels(pool) == ["first"]


async def test_comments_and_white_space_may_be_mended(pool: Pool, write: Write) -> None:
    await migrate(pool, write(n0001_a=FIRST))
    await migrate(pool, write(n0001_a=f"-- What this is for.\n{FIRST.replace(' ', '  ')}\n"))
    assert await labels(pool) == ["first"]


async def test_a_schema_of_a_newer_release_is_refused(pool: Pool, write: Write) -> None:
    folder = write(**{"n0001_a": FIRST, "n0002_b.contract": SECOND})
    await migrate(pool, folder)
    (folder / "0002_b.contract.sql").unlink()
    with pytest.raises(
        Unsuitable, match=r"got migration 2 \(0002_b\.contract\.sql\), want at most 1"
    ):
        await migrate(pool, folder)


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param("SELECT 1 / 0;", id="an error"),
        pytest.param("CREATE TABLE drawer (label text);", id="a table that exists"),
        pytest.param("SELEC 1;", id="a misspelt word"),
    ],
)
async def test_a_failing_migration_leaves_nothing_half_done(
    pool: Pool, write: Write, failing: str
) -> None:
    half = f"CREATE TABLE half (done text); {SECOND} {failing}"
    with pytest.raises(asyncpg.PostgresError):
        await migrate(pool, write(n0001_a=FIRST, n0002_b=half, n0003_c=SECOND))
    assert await pool.fetchval("SELECT to_regclass('half')") is None
    assert await labels(pool) == ["first"]
    assert await applied(pool) == ["0001_a.sql"]


async def test_a_failed_migration_runs_once_it_is_mended(pools: list[Pool], write: Write) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await migrate(pools[0], write(n0001_a=FIRST, n0002_b="SELECT 1 / 0;"))
    # By another process, while the one that failed still lives: the lock is free again.
    async with asyncio.timeout(DEADLINE_SECONDS):
        await migrate(pools[1], write(n0002_b=SECOND))
    assert await labels(pools[0]) == ["first", "second"]


async def test_a_migration_that_can_t_get_a_lock_fails_rather_than_queue_everybody_behind_it(
    pools: list[Pool], write: Write
) -> None:
    await migrate(pools[0], write(n0001_a=FIRST))
    shown = write(n0002_b="INSERT INTO drawer SELECT current_setting('lock_timeout');")
    await migrate(pools[0], shown)
    assert await labels(pools[0]) == ["first", "10s"]
    # And only that transaction has it.
    assert await pools[0].fetchval("SHOW lock_timeout") == "0"


async def test_what_a_later_release_has_added_stops_nobody_and_what_it_has_taken_away_does(
    pools: list[Pool], write: Write
) -> None:
    known = write(n0001_a=FIRST)
    await migrate(pools[0], known)
    note = "INSERT INTO public.schema_migration (number, name, checksum) VALUES ($1, $2, '')"
    await pools[0].execute(note, 2, "0002_b.sql")
    await migrate(pools[0], known)
    assert ["0001_a.sql", "0002_b.sql"] == await applied(pools[0])
    await pools[0].execute(note, 3, "0003_c.contract.sql")
    with pytest.raises(Unsuitable, match="got migration 3"):
        await migrate(pools[0], known)


@pytest.mark.parametrize("service", ["touchpoint", "scoring", "gateway"])
def test_a_file_that_takes_something_away_is_named_so(service: str) -> None:
    takes = re.compile(
        r"\bDROP (TABLE|COLUMN|FUNCTION|SCHEMA|VIEW)\b|\bRENAME\b|\bSET NOT NULL\b", re.IGNORECASE
    )
    files = sorted((ROOT / "services" / service / "sql").glob("*.sql"))
    assert files
    taking = {path.name for path in files if takes.search(path.read_text())}
    assert set() == {name for name in taking if ".contract" not in name} - BEFORE_THE_RULE


async def test_a_service_refuses_the_schema_of_a_newer_release_in_one_line(
    new_database: Callable[[str], str],
) -> None:
    url = await asyncio.to_thread(new_database, "touchpoint")
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO public.schema_migration (number, name, checksum) "
        "VALUES (9999, '9999_x.contract.sql', '')"
    )
    await connection.close()
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.touchpoint"],
        cwd=ROOT,
        env=os.environ
        | {
            "TOUCHLEDGER_TOUCHPOINT_DATABASE_URL": url,
            "TOUCHLEDGER_TOUCHPOINT_LISTEN": f"127.0.0.1:{free_port()}",
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "the database belongs to a newer release" in line
