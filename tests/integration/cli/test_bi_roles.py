"""BI roles are made whole or not at all, see one tenant, are kept apart, and are gone when removed."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from services.chassis.migrations import migrate
from services.chassis.postgres import Connection
from services.cli.data_folder import LaunchError, LogFile
from services.cli.databases import (
    BI_READERS,
    BI_ROLE,
    OWNERS,
    ROLES,
    add_bi_role,
    list_bi_roles,
    prepare_databases,
    remove_bi_role,
    role_url,
)
from services.cli.embedded_postgres import EmbeddedPostgres
from services.scoring import bi_role
from services.scoring.models import LIVE
from services.scoring.scoreboard import Scoreboard
from tests.support.up import wait_for

SCORING = Path(__file__).parent.parent.parent.parent / "services" / "scoring"
PASSWORDS = {role: f"clear-{role}" for role in ROLES}
PASSWORD = "bi"
MADE = ("acme_bi", "zebra_bi")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    folder = tmp_path_factory.mktemp("cluster")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = EmbeddedPostgres(
        folder / "postgres", log=LogFile(folder / "log"), password="admins", port=port
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["superuser", "landlord"])
def prepared(server: EmbeddedPostgres, request: pytest.FixtureRequest) -> str:
    """An admin's, superuser or not, of a server whose scoring service has started, with two tenants."""
    return asyncio.run(prepare(server.admin_url, request.param))


async def prepare(superuser_url: str, admin: str) -> str:
    async with connected(superuser_url) as superuser:
        for database in OWNERS:
            await superuser.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        for role in (*ROLES, BI_READERS, "landlord"):
            await superuser.execute(f"DROP ROLE IF EXISTS {role}")
        await superuser.execute(
            "CREATE ROLE landlord LOGIN PASSWORD 'landlords' CREATEDB CREATEROLE"
        )
    url = superuser_url
    if admin == "landlord":
        url = role_url(url, role="landlord", password="landlords", database="postgres")
    await prepare_databases(url, PASSWORDS)
    owner = OWNERS["scoring"]
    path = {"search_path": LIVE.search_path}
    async with asyncpg.create_pool(
        role_url(url, role=owner, password=PASSWORDS[owner], database="scoring"),
        min_size=1,
        max_size=2,
        server_settings=path,
    ) as pool:
        await migrate(pool, SCORING / "sql")
        await Scoreboard(pool).install()
        await pool.execute("INSERT INTO tenant VALUES ('acme', 'UTC'), ('zebra', 'UTC')")
        await bi_role.admit(pool, role=BI_ROLE, tenant="default")
    return url


@pytest.fixture
async def admin_url(server: EmbeddedPostgres, prepared: str) -> AsyncIterator[str]:
    """Without the roles of another test."""
    yield prepared
    async with connected(server.admin_url.replace("/postgres?", "/scoring?")) as superuser:
        await superuser.execute(f"DELETE FROM scoring.bi_role WHERE role_name <> '{BI_ROLE}'")
        for role in MADE:
            await superuser.execute(f"DROP ROLE IF EXISTS {role}")


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def url_of(admin_url: str, role: str) -> str:
    return role_url(admin_url, role=role, password=PASSWORD, database="scoring")


async def add(admin_url: str, role: str = "acme_bi", tenant: str = "acme") -> None:
    await add_bi_role(admin_url, role=role, tenant=tenant, password=PASSWORD)


async def test_an_added_role_reads_the_rows_of_its_tenant_at_once(admin_url: str) -> None:
    await add(admin_url)
    await add(admin_url, "zebra_bi", "zebra")

    for role, tenant in (("acme_bi", "acme"), ("zebra_bi", "zebra")):
        async with connected(url_of(admin_url, role)) as bi:
            assert [(tenant,)] == [tuple(r) for r in await bi.fetch("SELECT tenant FROM bi.tenant")]


async def test_an_added_role_is_limited_in_time_and_connections(admin_url: str) -> None:
    await add_bi_role(
        admin_url,
        role="acme_bi",
        tenant="acme",
        password=PASSWORD,
        connections_max=2,
        statement_seconds_max=7,
    )

    async with (
        connected(url_of(admin_url, "acme_bi")) as bi,
        connected(url_of(admin_url, "acme_bi")),
    ):
        assert "7s" == await bi.fetchval("SHOW statement_timeout")
        assert "on" == await bi.fetchval("SHOW default_transaction_read_only")
        assert "1min" == await bi.fetchval("SHOW idle_in_transaction_session_timeout")
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(url_of(admin_url, "acme_bi"))


@pytest.mark.parametrize("prepared", ["superuser"], indirect=True)
async def test_no_session_may_fill_the_disk_with_what_it_sorts(admin_url: str) -> None:
    await add(admin_url)

    for url in (
        url_of(admin_url, "acme_bi"),
        role_url(admin_url, role=BI_ROLE, password=PASSWORDS[BI_ROLE], database="scoring"),
    ):
        async with connected(url) as bi:
            assert "2GB" == await bi.fetchval("SHOW temp_file_limit")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await bi.execute("SET temp_file_limit = -1")


async def test_an_added_role_may_not_write_even_after_it_has_turned_read_only_off(
    admin_url: str,
) -> None:
    await add(admin_url)

    async with connected(url_of(admin_url, "acme_bi")) as bi:
        await bi.execute("SET default_transaction_read_only = off")
        for command in (
            "INSERT INTO bi.tenant VALUES ('mine', 'UTC')",
            "CREATE TABLE public.mine (id int)",
            "CREATE TABLE bi.mine (id int)",
            "CREATE TEMP TABLE mine (id int)",
            "UPDATE scoring.bi_role SET tenant = 'zebra'",
            f"SET ROLE {BI_READERS}",
            f"GRANT {BI_READERS} TO zebra_bi",
        ):
            with pytest.raises(asyncpg.PostgresError, match=r"permission denied|does not exist"):
                await bi.execute(command)


async def test_it_gets_into_scoring_alone(admin_url: str) -> None:
    await add(admin_url)

    for database in ("touchpoint", "gateway"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(
                role_url(admin_url, role="acme_bi", password=PASSWORD, database=database)
            )


async def test_roles_neither_see_nor_end_the_queries_of_each_other(admin_url: str) -> None:
    await add(admin_url)
    await add(admin_url, "zebra_bi", "zebra")

    async with (
        connected(url_of(admin_url, "acme_bi")) as acme,
        connected(url_of(admin_url, "zebra_bi")) as zebra,
    ):
        await acme.execute("SELECT 'the question of acme'")
        pid = await acme.fetchval("SELECT pg_backend_pid()")
        shown = await zebra.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await zebra.fetchval("SELECT pg_terminate_backend($1)", pid)

    assert shown == "<insufficient privilege>"


async def test_a_role_that_exists_is_refused_and_keeps_its_password(admin_url: str) -> None:
    await add(admin_url)

    with pytest.raises(LaunchError, match="role acme_bi: exists, want a new one"):
        await add_bi_role(admin_url, role="acme_bi", tenant="zebra", password="another")

    async with connected(url_of(admin_url, "acme_bi")) as bi:
        assert "acme" == await bi.fetchval("SELECT bi.current_tenant()")


async def test_what_fails_half_way_leaves_no_role(server: EmbeddedPostgres, admin_url: str) -> None:
    # Its binding is left of one that somebody has dropped by hand.
    async with connected(server.admin_url.replace("/postgres?", "/scoring?")) as admin:
        await admin.execute("INSERT INTO scoring.bi_role VALUES ('acme_bi', 'zebra')")

    with pytest.raises(LaunchError, match="duplicate key"):
        await add(admin_url)

    async with connected(server.admin_url) as admin:
        assert not await admin.fetchval("SELECT to_regrole('acme_bi') IS NOT NULL")


async def test_a_list_shows_each_role_with_its_tenant_and_what_is_wrong(
    server: EmbeddedPostgres, admin_url: str
) -> None:
    await add(admin_url)
    async with connected(server.admin_url.replace("/postgres?", "/scoring?")) as admin:
        await admin.execute("INSERT INTO scoring.bi_role VALUES ('gone_bi', 'zebra')")

    async with connected(url_of(admin_url, "acme_bi")):
        roles = await list_bi_roles(admin_url)

    assert [
        ("acme_bi", "acme", True, True, 20, 1),
        (BI_ROLE, "default", True, True, 20, 0),
        ("gone_bi", "zebra", False, False, 0, 0),
    ] == [(r.role, r.tenant, r.exists, r.may_log_in, r.connections, r.connected) for r in roles]


async def test_a_removed_role_is_gone_with_its_sessions(admin_url: str) -> None:
    await add(admin_url)

    session = await asyncpg.connect(url_of(admin_url, "acme_bi"))
    await remove_bi_role(admin_url, "acme_bi")

    await asyncio.to_thread(wait_for, session.is_closed, "end of the session")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url_of(admin_url, "acme_bi"))
    assert [BI_ROLE] == [each.role for each in await list_bi_roles(admin_url)]


async def test_a_role_that_was_made_by_hand_is_removed_too(
    server: EmbeddedPostgres, admin_url: str
) -> None:
    """As docs/bi.md has it: bound, let into the database, and granted the tables at the next start."""
    async with connected(admin_url) as admin:
        await admin.execute(f"CREATE ROLE acme_bi LOGIN PASSWORD '{PASSWORD}'")
    async with connected(server.admin_url.replace("/postgres?", "/scoring?")) as superuser:
        await superuser.execute("GRANT CONNECT ON DATABASE scoring TO acme_bi")
        async with superuser.transaction():
            await superuser.execute("SET LOCAL ROLE touchledger_scoring")
            await superuser.execute("INSERT INTO scoring.bi_role VALUES ('acme_bi', 'acme')")
            await bi_role.grant_all(superuser, "bi")
            # A schema that is renamed keeps the grants on its tables.
            await superuser.execute("CREATE SCHEMA bi_previous CREATE TABLE event (n integer)")
            await superuser.execute("GRANT SELECT ON bi_previous.event TO acme_bi")
    async with connected(url_of(admin_url, "acme_bi")) as bi:
        assert ["acme"] == [row["tenant"] for row in await bi.fetch("SELECT tenant FROM bi.tenant")]

    await remove_bi_role(admin_url, "acme_bi")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url_of(admin_url, "acme_bi"))
    async with connected(server.admin_url.replace("/postgres?", "/scoring?")) as superuser:
        await superuser.execute("DROP SCHEMA bi_previous CASCADE")
        assert not await superuser.fetchval(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'acme_bi')"
        )


async def test_a_removal_that_was_cut_off_can_be_repeated(
    server: EmbeddedPostgres, admin_url: str
) -> None:
    await add(admin_url)
    async with connected(server.admin_url.replace("/postgres?", "/scoring?")) as admin:
        await admin.execute("DELETE FROM scoring.bi_role WHERE role_name = 'acme_bi'")
    [unbound] = [r for r in await list_bi_roles(admin_url) if r.role == "acme_bi"]

    await remove_bi_role(admin_url, "acme_bi")

    assert unbound.tenant == ""
    assert [BI_ROLE] == [each.role for each in await list_bi_roles(admin_url)]


async def test_a_role_that_is_gone_already_leaves_its_binding_by_removal(
    server: EmbeddedPostgres, admin_url: str
) -> None:
    async with connected(server.admin_url.replace("/postgres?", "/scoring?")) as admin:
        await admin.execute("INSERT INTO scoring.bi_role VALUES ('gone_bi', 'zebra')")

    await remove_bi_role(admin_url, "gone_bi")

    assert [BI_ROLE] == [each.role for each in await list_bi_roles(admin_url)]


@pytest.mark.parametrize(
    ("role", "told"),
    [
        (BI_ROLE, "every start makes it"),
        ("nobody_bi", "unknown"),
        # Of the system, and none of BI's.
        ("touchledger_scoring", "unknown"),
    ],
)
async def test_no_other_role_is_removed(admin_url: str, role: str, told: str) -> None:
    with pytest.raises(LaunchError, match=told):
        await remove_bi_role(admin_url, role)


async def test_a_server_without_the_scoring_database_is_told(
    server: EmbeddedPostgres, admin_url: str
) -> None:
    async with connected(server.admin_url) as superuser:
        await superuser.execute("ALTER DATABASE scoring RENAME TO scored")
    try:
        with pytest.raises(LaunchError, match="database scoring: missing"):
            await list_bi_roles(admin_url)
    finally:
        async with connected(server.admin_url) as superuser:
            await superuser.execute("ALTER DATABASE scored RENAME TO scoring")
