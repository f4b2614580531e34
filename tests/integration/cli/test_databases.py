"""Each service gets its database and role, BI a role that can only read, on any server new enough."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from services.cli import databases
from services.cli.data_folder import LaunchError, LogFile
from services.cli.databases import BI_ROLE, OWNERS, ROLES, prepare_databases, role_url
from services.cli.embedded_postgres import EmbeddedPostgres
from tests.support.up import FREE_PORTS, touchledger

PASSWORDS = {role: f"clear-{role}" for role in ROLES}
ADMINS, LANDLORDS, WRONG, ODD = "admins", "landlords", "guess", "p@ss/word"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    folder = tmp_path_factory.mktemp("cluster")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = EmbeddedPostgres(
        folder / "postgres", log=LogFile(folder / "log"), password=ADMINS, port=port
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def admin_url(server: EmbeddedPostgres) -> str:
    """A superuser's, on a server without a trace of Touchledger."""
    async with connected(server.admin_url) as admin:
        for database in OWNERS:
            await admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        for role in (*ROLES, databases.BI_READERS, "landlord"):
            await admin.execute(f"DROP ROLE IF EXISTS {role}")
    return server.admin_url


@pytest.fixture
async def landlord_url(admin_url: str) -> str:
    """Such as a managed server gives: may make roles and databases, and is no superuser."""
    return await let_in(admin_url, "landlord", "CREATEDB CREATEROLE")


async def let_in(admin_url: str, role: str, rights: str) -> str:
    async with connected(admin_url) as admin:
        await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{LANDLORDS}' {rights}")
    return role_url(admin_url, role=role, password=LANDLORDS, database="postgres")


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def url_of(admin_url: str, role: str, database: str) -> str:
    return role_url(admin_url, role=role, password=PASSWORDS[role], database=database)


@pytest.mark.parametrize("database", OWNERS)
async def test_every_service_can_make_tables_in_its_own_database(
    admin_url: str, database: str
) -> None:
    await prepare_databases(admin_url, PASSWORDS)

    async with connected(url_of(admin_url, OWNERS[database], database)) as service:
        await service.execute("CREATE TABLE public.fact (id int); CREATE SCHEMA bi")


@pytest.mark.parametrize("database", OWNERS)
async def test_no_service_gets_into_the_database_of_another(admin_url: str, database: str) -> None:
    await prepare_databases(admin_url, PASSWORDS)

    for stranger in set(OWNERS.values()) - {OWNERS[database]}:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(url_of(admin_url, stranger, database))


async def test_bi_gets_into_scoring_alone(admin_url: str) -> None:
    await prepare_databases(admin_url, PASSWORDS)

    async with connected(url_of(admin_url, BI_ROLE, "scoring")) as bi:
        assert await bi.fetchval("SELECT current_user") == BI_ROLE
    for database in ("touchpoint", "gateway"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(url_of(admin_url, BI_ROLE, database))


async def test_bi_cannot_write_even_after_it_has_turned_read_only_off(admin_url: str) -> None:
    await prepare_databases(admin_url, PASSWORDS)

    async with connected(url_of(admin_url, BI_ROLE, "scoring")) as bi:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await bi.execute("CREATE TABLE public.mine (id int)")
        await bi.execute("SET default_transaction_read_only = off")
        for command in ("CREATE TABLE public.mine (id int)", "CREATE TEMP TABLE mine (id int)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await bi.execute(command)


async def test_bi_is_limited_in_time_and_connections(admin_url: str) -> None:
    await prepare_databases(admin_url, PASSWORDS)

    async with connected(url_of(admin_url, BI_ROLE, "scoring")) as bi:
        limits = await bi.fetchrow(
            "SELECT current_setting('statement_timeout'), rolconnlimit FROM pg_roles"
            " WHERE rolname = current_user"
        )

    assert tuple(limits or ()) == ("1min", 20)


async def test_texts_sort_alike_on_every_server(admin_url: str) -> None:
    await prepare_databases(admin_url, PASSWORDS)

    async with connected(admin_url) as admin:
        rows = await admin.fetch(
            "SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale FROM pg_database"
            " WHERE datname = ANY($1)",
            list(OWNERS),
        )

    assert {tuple(row) for row in rows} == {("UTF8", b"b", "C.UTF-8")}


async def test_a_repetition_keeps_the_data_and_takes_new_passwords(admin_url: str) -> None:
    await prepare_databases(admin_url, PASSWORDS)
    owner = OWNERS["touchpoint"]
    async with connected(url_of(admin_url, owner, "touchpoint")) as service:
        await service.execute("CREATE TABLE public.journal AS SELECT 7 AS position")
    renewed = {role: f"new-{role}" for role in ROLES}

    await prepare_databases(admin_url, renewed)

    url = role_url(admin_url, role=owner, password=renewed[owner], database="touchpoint")
    async with connected(url) as service:
        assert await service.fetchval("SELECT position FROM public.journal") == 7
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url_of(admin_url, owner, "touchpoint"))


async def test_an_admin_without_superuser_rights_will_do_and_may_repeat_it(
    landlord_url: str,
) -> None:
    await prepare_databases(landlord_url, PASSWORDS)
    await prepare_databases(landlord_url, PASSWORDS)

    assert await databases.existing_databases(landlord_url) == frozenset(OWNERS)


@pytest.mark.parametrize("rights", ["CREATEDB", "CREATEROLE"])
async def test_an_admin_without_the_rights_is_told_so_before_anything_is_made(
    admin_url: str, rights: str
) -> None:
    url = await let_in(admin_url, "landlord", rights)

    with pytest.raises(LaunchError, match=r"landlord may not .* want CREATEDB and CREATEROLE"):
        await prepare_databases(url, PASSWORDS)

    async with connected(admin_url) as admin:
        made = await admin.fetch("SELECT FROM pg_roles WHERE rolname = ANY($1)", list(ROLES))
    assert made == []


async def test_a_database_of_somebody_else_is_refused_and_not_closed(admin_url: str) -> None:
    async with connected(admin_url) as admin:
        await admin.execute("CREATE DATABASE gateway")

    with pytest.raises(LaunchError, match=r"gateway: belongs to role .*, want touchledger_gateway"):
        await prepare_databases(admin_url, PASSWORDS)

    async with connected(admin_url) as admin:
        assert (
            await admin.fetchval("SELECT datacl FROM pg_database WHERE datname = 'gateway'") is None
        )


async def test_no_password_stands_in_a_server_log_that_shows_every_statement(
    server: EmbeddedPostgres, admin_url: str
) -> None:
    async with connected(admin_url) as admin:
        await admin.execute("ALTER DATABASE postgres SET log_statement = 'all'")
    try:
        await prepare_databases(admin_url, PASSWORDS)
    finally:
        async with connected(admin_url) as admin:
            await admin.execute("ALTER DATABASE postgres RESET log_statement")

    log = server._log.path.read_text()
    assert "ALTER ROLE touchledger_gateway LOGIN PASSWORD" in log
    assert [password for password in PASSWORDS.values() if password in log] == []


async def test_an_older_server_is_refused(admin_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The wheel's other server is 16; raising what is wanted shows the same without a second cluster.
    monkeypatch.setattr(databases, "VERSION_MIN", 990000)

    with pytest.raises(LaunchError, match=r"version 18\.\d+, want 99 or newer"):
        await databases.existing_databases(admin_url)


async def test_a_wrong_password_is_told_without_showing_it(admin_url: str) -> None:
    url = role_url(admin_url, role="touchledger_admin", password=WRONG, database="postgres")

    with pytest.raises(LaunchError, match="password authentication failed") as refusal:
        await prepare_databases(url, PASSWORDS)

    assert WRONG not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://admin:se/cret@127.0.0.1:5432/postgres",  # unescaped: "se" looks like a port
        "mysql://admin:secret@127.0.0.1/postgres",
        "host=127.0.0.1 password=secret",
        "secret",
    ],
)
async def test_a_url_that_makes_no_sense_is_a_usage_error_that_does_not_quote_it(url: str) -> None:
    with pytest.raises(LaunchError, match="TOUCHLEDGER_DATABASE_URL: not readable") as refusal:
        await databases.existing_databases(url)

    assert refusal.value.exit_code == 2
    assert "cret" not in str(refusal.value)


async def test_a_server_that_is_not_there_is_one_line(admin_url: str) -> None:
    with socket.socket() as bound:  # and not listening, so that nobody else can
        bound.bind(("127.0.0.1", 0))
        url = f"postgresql://admin@127.0.0.1:{bound.getsockname()[1]}/postgres"

        with pytest.raises(LaunchError, match="cannot be reached") as refusal:
            await databases.existing_databases(url)

    assert "\n" not in str(refusal.value)


def test_a_role_url_keeps_the_servers_address_and_options_and_drops_the_admin() -> None:
    admin_url = "postgresql://admin:pw@db.example:6432/postgres?sslmode=require&user=a&password=b"

    url = role_url(admin_url, role="bi", password=ODD, database="scoring")

    assert url == "postgresql://bi:p%40ss%2Fword@db.example:6432/scoring?sslmode=require"
    assert urlsplit(url).hostname == "db.example"


def test_a_role_url_reaches_a_server_behind_a_unix_socket() -> None:
    url = role_url("postgresql:///postgres?host=/run/pg", role="bi", password=ODD, database="s")

    assert url == "postgresql://bi:p%40ss%2Fword@/s?host=%2Frun%2Fpg"


async def test_a_journal_that_is_lost_is_not_replaced_by_an_empty_one(
    admin_url: str, tmp_path: Path
) -> None:
    async with connected(admin_url) as admin:
        await admin.execute("CREATE DATABASE scoring")
    folder = tmp_path / "data"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "gateway.key").write_text("17" * 32)

    run = await asyncio.to_thread(
        touchledger, "up", "--data", folder, *FREE_PORTS, TOUCHLEDGER_DATABASE_URL=admin_url
    )

    assert run.returncode == 1
    assert "database touchpoint: missing, want the journal that scoring belong to" in run.stderr
    assert "touchpoint" not in await databases.existing_databases(admin_url)
