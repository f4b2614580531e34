"""Each service's migrations run as a process of their own, which says by its exit code whether it is done."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import asyncpg
import pytest

from tests.support.stack import free_port

SERVICES = ("touchpoint", "scoring", "gateway")
SECONDS_MAX = 30
APPLIED = "SELECT number, name, checksum FROM public.schema_migration ORDER BY number"
# Which of somebody's locks the job waits for.
WAITING = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
# The read models are made by the service itself.
COLUMNS = """
SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
 WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
 ORDER BY 1, 2, 3
"""
numbers = itertools.count(1)


def environment(service: str, url: str) -> dict[str, str]:
    """The database's URL and nothing else: no key, no certificate, no other service."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TOUCHLEDGER_")}
    return inherited | {f"TOUCHLEDGER_{service.upper()}_DATABASE_URL": url}


def job(service: str) -> list[str]:
    return [sys.executable, "-m", f"services.{service}.migrate"]


def run(service: str, url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        job(service),
        env=environment(service, url) | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


async def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


@pytest.fixture
async def empty_url(admin_url: str) -> str:
    name = f"unmigrated_{next(numbers)}"
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return f"{admin_url.rpartition('/')[0]}/{name}"


@pytest.mark.parametrize("service", SERVICES)
async def test_a_job_makes_of_an_empty_database_what_the_service_makes_of_it(
    service: str, empty_url: str, new_database: Callable[[str], str]
) -> None:
    migrated = await asyncio.to_thread(new_database, service)

    done = await asyncio.to_thread(run, service, empty_url)

    assert 0 == done.returncode, done.stderr
    assert await fetch(migrated, APPLIED) == await fetch(empty_url, APPLIED)
    made, want = await fetch(empty_url, COLUMNS), await fetch(migrated, COLUMNS)
    assert made
    assert set(made) <= set(want)
    assert service == "scoring" or made == want


async def test_a_job_that_finds_nothing_to_do_is_done(new_database: Callable[[str], str]) -> None:
    url = await asyncio.to_thread(new_database, "touchpoint")

    done = await asyncio.to_thread(run, "touchpoint", url)

    assert 0 == done.returncode, done.stderr
    assert "the schema is of this release" in done.stderr


def test_a_job_without_a_database_fails_and_says_so() -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"

    done = run("gateway", url, TOUCHLEDGER_GATEWAY_DATABASE_WAIT_SECONDS="0.1")

    assert 1 == done.returncode
    assert "gateway-migrate: the database did not answer within" in done.stderr


def test_a_job_without_a_url_names_the_variable() -> None:
    done = run("scoring", "")

    assert 2 == done.returncode
    assert "TOUCHLEDGER_SCORING_DATABASE_URL" in done.stderr


async def test_a_job_that_is_stopped_does_not_count_as_done(
    new_database: Callable[[str], str],
) -> None:
    url = await asyncio.to_thread(new_database, "gateway")
    holder = await asyncpg.connect(url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE public.schema_migration IN EXCLUSIVE MODE")
        process = await asyncio.create_subprocess_exec(
            *job("gateway"), env=environment("gateway", url), stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(SECONDS_MAX):
            while await fetch(url, WAITING) == [(0,)]:
                assert process.returncode is None
            process.send_signal(signal.SIGTERM)
            told = (await process.communicate())[1].decode()
    await holder.close()

    assert 1 == process.returncode, told
    assert "stopped before the schema was of this release" in told
