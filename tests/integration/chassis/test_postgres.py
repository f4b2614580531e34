"""A database that can't be used ends a service with one line that says why and shows no password."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from services.chassis import errors, postgres, settings
from services.chassis.postgres import Pool, durability_gaps, open_pool
from services.touchpoint.settings import Settings
from tests.support.stack import free_port

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 20
SERVICES = ("touchpoint", "scoring", "gateway")
# What a session holds beyond a statement.
STATE = """
SELECT pg_backend_pid(), current_setting('lock_timeout'), to_regclass('mine'),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
"""
PASSWORD = "correct-horse-battery-staple"


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a service on a database URL until it ends."""

    def run(service: str, url: str, **others: str) -> subprocess.CompletedProcess[str]:
        secret = tmp_path / "gateway.key"
        secret.write_text("17" * 32)
        variables = {
            "DATABASE_URL": url,
            "LISTEN": f"127.0.0.1:{free_port()}",
            "HTTP_LISTEN": f"127.0.0.1:{free_port()}",
            "SECRET_KEY_FILE": str(secret),
            **others,
        }
        prefix = f"TOUCHLEDGER_{service.upper()}_"
        return subprocess.run(
            [sys.executable, "-m", f"services.{service}"],
            cwd=ROOT,
            env=os.environ | {f"{prefix}{name}": value for name, value in variables.items()},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    return run


Start = Callable[..., subprocess.CompletedProcess[str]]


def changed(
    url: str,
    *,
    password: str = PASSWORD,
    database: str = "postgres",
    user: str | None = None,
    port: int | None = None,
) -> str:
    parts = urlsplit(url)
    place = f"{user or parts.username}:{password}@{parts.hostname}:{port or parts.port}"
    return urlunsplit(parts._replace(netloc=place, path=f"/{database}"))


def assert_refused(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    """With one line for a person; lines in JSON, of waiting, may stand before it."""
    assert ended.returncode == 1, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, ended.stderr
    for word in words:
        assert word in lines[0]
    assert PASSWORD not in ended.stdout + ended.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_wrong_password_ends_the_service_with_one_line(
    service: str, admin_url: str, start: Start
) -> None:
    ended = start(service, changed(admin_url))
    assert_refused(ended, f"{service}: can't use the database: ", "password authentication failed")


def test_a_missing_database_ends_the_service_with_one_line(admin_url: str, start: Start) -> None:
    """Also where it is waited for, since somebody may be about to create it."""
    password = urlsplit(admin_url).password
    assert password
    url = changed(admin_url, password=password, database="nowhere")
    ended = start("touchpoint", url, DATABASE_WAIT_SECONDS="1")
    assert_refused(ended, "touchpoint: ", "database")
    assert url not in ended.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_server_that_stays_away_is_waited_for_and_then_given_up_with_one_line(
    service: str, admin_url: str, start: Start
) -> None:
    nobody = changed(admin_url, port=free_port())
    ended = start(service, nobody, DATABASE_WAIT_SECONDS="1")
    assert_refused(ended, f"{service}: the database did not answer within 1 s")
    assert '"event": "waiting for the database"' in ended.stderr


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"postgresql://touchledger:{PASSWORD}@127.0.0.1:not-a-port/x", id="port"),
        pytest.param(f"mysql://touchledger:{PASSWORD}@127.0.0.1:5432/x", id="another scheme"),
        pytest.param(f"touchledger:{PASSWORD}@127.0.0.1/x", id="no scheme"),
        pytest.param(
            f"postgresql://touchledger:{PASSWORD}@127.0.0.1/x?sslmode=perhaps", id="option"
        ),
    ],
)
def test_a_url_that_can_t_be_read_ends_the_service_at_once_with_one_line(
    url: str, start: Start
) -> None:
    ended = start("touchpoint", url, DATABASE_WAIT_SECONDS="1")
    assert_refused(ended, "touchpoint: can't use the database: bad database URL")
    assert "waiting for the database" not in ended.stderr, "waiting mends no URL"


def test_a_missing_url_is_named(start: Start) -> None:
    ended = start("touchpoint", "")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == ["TOUCHLEDGER_TOUCHPOINT_DATABASE_URL: Field required"]


async def test_a_server_that_comes_up_late_is_waited_for(
    admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay stands for the server: nothing listens on its port until a first try has failed."""
    server = urlsplit(admin_url)
    port = free_port()
    monkeypatch.setenv(
        "TOUCHLEDGER_TOUCHPOINT_DATABASE_URL",
        changed(admin_url, password=str(server.password), port=port),
    )
    waited = asyncio.Event()

    class Log:
        def info(self, event: str, **_: object) -> None:
            assert event == "waiting for the database"
            waited.set()

    monkeypatch.setattr(postgres, "log", Log())

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection(server.hostname, server.port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))

    async def listen() -> asyncio.Server:
        await waited.wait()
        return await asyncio.start_server(relay, "127.0.0.1", port)

    listening = asyncio.create_task(listen())
    configured = settings.load(Settings)
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        open_pool(configured, name="touchpoint", size_max=2) as pool,
    ):
        assert await pool.fetchval("SHOW timezone") == "UTC"
    (await listening).close()


async def test_a_connection_that_the_server_ends_is_the_database_away_whatever_the_driver_calls_it(
    journal_pool: Pool, admin_url: str
) -> None:
    """As in a restart or a failover. What the driver raises depends on which packet it has read by then."""
    url = changed(
        admin_url,
        password=str(urlsplit(admin_url).password),
        database=await journal_pool.fetchval("SELECT current_database()"),
    )
    unknown = set()
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        asyncpg.create_pool(url, min_size=1, max_size=1) as pool,
    ):
        for _ in range(100):
            process = await pool.fetchval("SELECT pg_backend_pid()")
            await journal_pool.execute("SELECT pg_terminate_backend($1)", process)
            try:
                while await pool.fetchval("SELECT pg_backend_pid()") == process:
                    pass
            except Exception as error:
                if not isinstance(errors.translate(error, method="a test"), errors.Unavailable):
                    unknown.add(f"{type(error).__name__}: {error}")
    assert not unknown


async def test_a_transaction_that_was_given_up_leaves_nothing_on_its_connection(
    journal_pool: Pool, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody puts a session back, so what a caller set or locked must end with the transaction."""
    database = await journal_pool.fetchval("SELECT current_database()")
    url = changed(admin_url, password=str(urlsplit(admin_url).password), database=database)
    monkeypatch.setenv("TOUCHLEDGER_TOUCHPOINT_DATABASE_URL", url)
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        open_pool(settings.load(Settings), name="touchpoint", size_max=1) as pool,
    ):
        before = await pool.fetch(STATE)
        locked = asyncio.Event()

        async def transact() -> None:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(1)")
                await connection.execute("SET LOCAL lock_timeout = '1s'")
                await connection.execute("CREATE TEMPORARY TABLE mine ON COMMIT DROP AS SELECT 1")
                locked.set()
                await connection.execute("SELECT pg_sleep(60)")

        task = asyncio.create_task(transact())
        await locked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert before == await pool.fetch(STATE)


async def test_a_server_that_says_nothing_hides_no_other_one_of_the_same_url(
    admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(admin_url)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]},{parts.hostname}:{parts.port}"
        netloc = f"{parts.username}:{parts.password}@{servers}"
        url = urlunsplit(parts._replace(netloc=netloc, query="target_session_attrs=primary"))
        monkeypatch.setenv("TOUCHLEDGER_TOUCHPOINT_DATABASE_URL", url)
        configured = settings.load(Settings)
        async with open_pool(configured, name="touchpoint", size_max=2) as pool:
            assert await pool.fetchval("SELECT NOT pg_is_in_recovery()")
            began = time.monotonic()
            async with pool.acquire(), pool.acquire() as second:
                assert await second.fetchval("SELECT 1")
            # Which one answers is known by now.
            assert time.monotonic() - began < postgres.CONNECT_TIMEOUT_SECONDS / 2


async def test_the_session_s_server_is_durable(journal_pool: Pool) -> None:
    assert await durability_gaps(journal_pool) == []


@pytest.mark.parametrize("setting", ["synchronous_commit"])
async def test_what_makes_a_commit_unsafe_is_named(journal_pool: Pool, setting: str) -> None:
    """The settings that are the whole server's are switched off in tests/acceptance/test_lifecycle.py."""
    database = await journal_pool.fetchval("SELECT current_database()")
    await journal_pool.execute(f"ALTER DATABASE {database} SET {setting} = off")
    await journal_pool.expire_connections()
    assert await durability_gaps(journal_pool) == [f"{setting}=off"]
