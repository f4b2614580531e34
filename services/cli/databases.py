"""Every service finds its own database and role, and BI tools a role that can only read.

May be repeated at every start, by a superuser or by an admin with CREATEDB and CREATEROLE. Tables are
left to the services, each of which migrates its own database.
"""

import base64
import contextlib
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

from services.cli.data_folder import LaunchError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

# Database by name, with the role that owns it.
OWNERS = {
    "touchpoint": "touchledger_touchpoint",
    "scoring": "touchledger_scoring",
    "gateway": "touchledger_gateway",
}
BI_DATABASE = "scoring"
BI_ROLE = "touchledger_bi"
ROLES = (*OWNERS.values(), BI_ROLE)
# What schema bi is granted to. It can't log in; every BI role is a member, so that a table has one grantee
# however many roles there are. If it could, its members would see its queries and might end them.
# services/scoring/bi_role.py knows it by this name, too.
BI_READERS = "touchledger_bi_readers"
BI_CONNECTIONS_MAX = 20
BI_STATEMENT_SECONDS_MAX = 60
# Keys declared NOT ENFORCED, which the star schema has, came with 18.
VERSION_MIN = 180000
# A server that does not answer by then is not there; CREATE DATABASE copies files, which takes a while.
CONNECT_SECONDS_MAX = 10.0
COMMAND_SECONDS_MAX = 60.0
CLOSE_SECONDS_MAX = 5.0
# PostgreSQL's own number of rounds. A random password of 256 bits needs none; a client must do them.
SCRAM_ITERATIONS = 4096
# Two launchers on one server would race for CREATE ROLE. Any number that no service locks.
BOOTSTRAP_LOCK = 0x746C_626F_6F74

ADMIN_MAY = """
SELECT rolsuper AS everything, rolcreatedb AS databases, rolcreaterole AS roles
FROM pg_roles WHERE rolname = current_user
"""

# Names and passwords cannot be parameters of such commands: the server quotes them into the text.
CREATE_ROLE = """
SELECT format('CREATE ROLE %I', $1::text)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1::text)
"""
LET_ROLE_IN = "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)"
# An admin who is no superuser makes a database for a role only if it may become that role, and
# having created the role does not include that (PostgreSQL 16 and later).
JOIN_ROLE = """
SELECT format('GRANT %I TO CURRENT_USER WITH INHERIT FALSE, SET TRUE', $1::text)
WHERE NOT pg_has_role(current_user, $1::text, 'SET')
"""
CREATE_DATABASE = """
SELECT format(
    'CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8'' '
    -- The same order of texts on every server, whatever C library it has.
    'LOCALE_PROVIDER builtin BUILTIN_LOCALE ''C.UTF-8'' LOCALE ''C''',
    $1::text, $2::text
)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = $1::text)
"""
OWNER_OF = """
SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1::text
"""
# What a role may touch is decided by grants; of the settings a BI tool's user may change all but the last.
LIMIT_CONNECTIONS = "SELECT format('ALTER ROLE %I CONNECTION LIMIT %s', $1::text, $2::text)"
LIMIT_STATEMENTS = "SELECT format('ALTER ROLE %I SET statement_timeout = %L', $1::text, $2::text)"
DEFAULTS_OF_BI = (
    "SELECT format('ALTER ROLE %I SET default_transaction_read_only = on', $1::text)",
    # A forgotten transaction would hold up an upgrade.
    "SELECT format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', $1::text, '60s')",
    # A careless join would fill the disk that the journal is on. Only a superuser may set it.
    """
    SELECT format('ALTER ROLE %I SET temp_file_limit = %L', $1::text, '2GB')
    FROM pg_roles WHERE rolname = current_user AND rolsuper
    """,
)
# PostgreSQL lets every role into every new database; here each has its own.
CLOSE_DATABASE = "SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database())"
CLOSE_SCHEMA = "REVOKE ALL ON SCHEMA public FROM PUBLIC"
# On a server of others these are not ours to change.
CLOSE_SERVER = {
    "postgres": [
        "REVOKE ALL ON DATABASE postgres FROM PUBLIC",
        "REVOKE ALL ON DATABASE template1 FROM PUBLIC",
    ],
    # Large objects belong to no schema: a role that can write nothing else could fill the disk with them.
    "scoring": [
        "REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC"
    ],
}
ADMIT_BI = "GRANT CONNECT ON DATABASE scoring TO touchledger_bi_readers"
MAKE_READER = """
SELECT format('GRANT touchledger_bi_readers TO %I WITH INHERIT TRUE, SET FALSE', $1::text)
"""

BECOME = "SELECT format('SET ROLE %I', $1::text)"
# An admin who is no superuser is not let into a database that is closed to everybody.
LET_ADMIN_IN = """
SELECT format('GRANT CONNECT ON DATABASE scoring TO %I', session_user)
WHERE NOT has_database_privilege(session_user, 'scoring', 'CONNECT')
"""
LOCK_BI_ROLES = "LOCK TABLE scoring.bi_role IN EXCLUSIVE MODE"
# What the service does at each start (services/scoring/bi_role.py), for readers that have just been made.
GRANT_READERS = """
SELECT 'GRANT USAGE ON SCHEMA bi TO touchledger_bi_readers;'
       'GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA bi TO touchledger_bi_readers'
WHERE NOT has_schema_privilege('touchledger_bi_readers', 'bi', 'USAGE')
"""
BIND_BI_ROLE = "INSERT INTO scoring.bi_role (role_name, tenant) VALUES ($1, $2)"
UNBIND_BI_ROLE = "DELETE FROM scoring.bi_role WHERE role_name = $1"
# What the service has granted to a role that an operator made by hand, which can't be dropped with it.
SHUT_OUT = """
SELECT string_agg(format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I;'
                         'REVOKE ALL ON SCHEMA %I FROM %I;', nspname, $1::text, nspname, $1::text), '')
       || format('REVOKE ALL ON DATABASE scoring FROM %I', $1::text)
  FROM pg_namespace WHERE nspname IN ('bi', 'bi_next', 'bi_previous')
HAVING EXISTS (SELECT FROM pg_roles WHERE rolname = $1::text)
"""
ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
# Bound ones, and such as a removal left half-way.
BI_ROLES = """
SELECT coalesce(b.role_name, r.rolname) AS role, coalesce(b.tenant, '') AS tenant,
       r.rolname IS NOT NULL AS exists, coalesce(r.rolcanlogin, false) AS may_log_in,
       coalesce(r.rolconnlimit, 0) AS connections,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid) AS connected
  FROM scoring.bi_role b
  FULL JOIN (SELECT r.oid, r.rolname, r.rolcanlogin, r.rolconnlimit
               FROM pg_auth_members m
               JOIN pg_roles r ON r.oid = m.member
              WHERE m.roleid = to_regrole('touchledger_bi_readers') AND m.inherit_option
             UNION
             SELECT r.oid, r.rolname, r.rolcanlogin, r.rolconnlimit
               FROM scoring.bi_role JOIN pg_roles r ON r.rolname = role_name) AS r ON r.rolname = b.role_name
 ORDER BY tenant, role
"""
KEEP_OUT = "SELECT format('ALTER ROLE %I NOLOGIN', $1::text)"
# Who made a role may make itself a member; ending its sessions takes that.
JOIN_TO_END = """
SELECT format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE', $1::text)
WHERE NOT pg_has_role(current_user, $1::text, 'USAGE')
"""
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1"
DROP_ROLE = "SELECT format('DROP ROLE %I', $1::text)"


@dataclass(frozen=True, slots=True)
class BiRole:
    role: str
    # Empty: bound to none, and sees nothing.
    tenant: str
    exists: bool
    may_log_in: bool
    # At most at a time; -1 is without limit.
    connections: int
    connected: int


async def existing_databases(admin_url: str) -> frozenset[str]:
    """Which of the services' databases are there already. Refuses a server that is too old."""
    async with connected(admin_url) as admin:
        rows = await admin.fetch(
            "SELECT datname FROM pg_database WHERE datname = ANY($1)", list(OWNERS)
        )
        return frozenset(row["datname"] for row in rows)


async def prepare_databases(admin_url: str, passwords: Mapping[str, str]) -> None:
    """Makes or mends roles and databases; `passwords` has one for each of ROLES."""
    async with connected(admin_url) as admin:
        await _check_admin(admin)
        await admin.execute("SELECT pg_advisory_lock($1)", BOOTSTRAP_LOCK)
        for role in ROLES:
            await _perform(admin, CREATE_ROLE, role)
            # The clear password would stand in the log of a server that logs statements.
            await _perform(admin, LET_ROLE_IN, role, scram_verifier(passwords[role]))
        await _perform(admin, CREATE_ROLE, BI_READERS)
        await _perform(admin, MAKE_READER, BI_ROLE)
        await _limit(admin, BI_ROLE, BI_CONNECTIONS_MAX, BI_STATEMENT_SECONDS_MAX)
        for database, owner in OWNERS.items():
            await _perform(admin, JOIN_ROLE, owner)
            await _perform(admin, CREATE_DATABASE, database, owner)
            if (found := await admin.fetchval(OWNER_OF, database)) != owner:
                raise LaunchError(
                    f"PostgreSQL database {database}: belongs to role {found}, want {owner}: "
                    "rename that database, or give Touchledger a server of its own"
                )
    for database, url in service_urls(admin_url, passwords).items():
        # As the owner, who alone may do it, and in the very way the service will connect.
        async with connected(url) as session:
            await _perform(session, CLOSE_DATABASE)
            await session.execute(CLOSE_SCHEMA)
            if database == BI_DATABASE:
                await session.execute(ADMIT_BI)


async def close_server(admin_url: str) -> None:
    """Takes from everybody what a server of our own need not allow, and only its superuser can take."""
    for database, statements in CLOSE_SERVER.items():
        async with connected(database_url(admin_url, database)) as admin:
            for statement in statements:
                await admin.execute(statement)


async def add_bi_role(
    admin_url: str,
    *,
    role: str,
    tenant: str,
    password: str,
    connections_max: int = BI_CONNECTIONS_MAX,
    statement_seconds_max: int = BI_STATEMENT_SECONDS_MAX,
) -> None:
    """Makes a role that reads schema bi, the rows of the tenant alone: all of it or nothing."""
    async with _scoring(admin_url) as (admin, owner), admin.transaction():
        if await admin.fetchval(ROLE_EXISTS, role):
            # Another's, perhaps of another system on this server: it must not lose its password.
            raise LaunchError(f"role {role}: exists, want a new one: give another --role")
        await _perform(admin, CREATE_ROLE, role)
        await _perform(admin, CREATE_ROLE, BI_READERS)
        await _perform(admin, LET_ROLE_IN, role, scram_verifier(password))
        await _perform(admin, MAKE_READER, role)
        await _limit(admin, role, connections_max, statement_seconds_max)
        await _perform(admin, BECOME, owner)
        await admin.execute(LOCK_BI_ROLES)
        await admin.execute(ADMIT_BI)
        await _perform(admin, GRANT_READERS)
        await admin.execute(BIND_BI_ROLE, role, tenant)


async def list_bi_roles(admin_url: str) -> list[BiRole]:
    async with _scoring(admin_url) as (admin, owner):
        await _perform(admin, BECOME, owner)
        return [BiRole(**dict(row)) for row in await admin.fetch(BI_ROLES)]


async def remove_bi_role(admin_url: str, role: str) -> None:
    """From the first step on it sees nothing; may be repeated when it was cut off."""
    if role == BI_ROLE:
        raise LaunchError(f"role {role}: every start makes it, want one that `bi role add` made")
    if role not in {each.role for each in await list_bi_roles(admin_url)}:
        raise LaunchError(f"role {role}: unknown, want one that `bi role list` shows")
    async with _scoring(admin_url) as (admin, owner):
        await _perform(admin, BECOME, owner)
        await admin.execute(UNBIND_BI_ROLE, role)
        await _perform(admin, SHUT_OUT, role)
        await admin.execute("RESET ROLE")
        if await admin.fetchval(ROLE_EXISTS, role):
            await _perform(admin, KEEP_OUT, role)
            await _perform(admin, JOIN_TO_END, role)
            await admin.fetch(END_SESSIONS, role)
            await _perform(admin, DROP_ROLE, role)


def service_urls(admin_url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """By database, the URL with which its service connects."""
    return {
        database: role_url(admin_url, role=owner, password=passwords[owner], database=database)
        for database, owner in OWNERS.items()
    }


def role_url(admin_url: str, *, role: str, password: str, database: str) -> str:
    """The same server and connection options, another role and database."""
    parts = urlsplit(admin_url)
    server = parts.netloc.rpartition("@")[2]
    options = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name not in ("user", "password", "passfile", "dbname", "database")
    ]
    netloc = f"{quote(role, safe='')}:{quote(password, safe='')}@{server}"
    return urlunsplit((parts.scheme, netloc, f"/{quote(database)}", urlencode(options), ""))


@contextlib.asynccontextmanager
async def _scoring(admin_url: str) -> AsyncIterator[tuple[Connection, str]]:
    """An admin's session in the database of the scoring service, and the role that owns it."""
    async with connected(admin_url) as admin:
        await _check_admin(admin)
        owner = await admin.fetchval(OWNER_OF, BI_DATABASE)
        if owner is None:
            raise LaunchError(
                f"PostgreSQL database {BI_DATABASE}: missing, want the server of a running system"
            )
        await _perform(admin, JOIN_ROLE, owner)
        await _perform(admin, BECOME, owner)
        await _perform(admin, LET_ADMIN_IN)
    async with connected(database_url(admin_url, BI_DATABASE)) as admin:
        yield admin, owner


async def _limit(
    admin: Connection, role: str, connections_max: int, statement_seconds_max: int
) -> None:
    await _perform(admin, LIMIT_CONNECTIONS, role, str(connections_max))
    await _perform(admin, LIMIT_STATEMENTS, role, f"{statement_seconds_max}s")
    for each in DEFAULTS_OF_BI:
        await _perform(admin, each, role)


def database_url(admin_url: str, database: str) -> str:
    """The same server, admin and options, another database."""
    parts = urlsplit(admin_url)
    options = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name not in ("dbname", "database")
    ]
    return urlunsplit((parts.scheme, parts.netloc, f"/{database}", urlencode(options), ""))


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores of a password (RFC 5803), computed here so that it never travels."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (
        base64.b64encode(each).decode() for each in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    if urlsplit(url).scheme not in ("postgresql", "postgres"):
        raise _unreadable_url()
    try:
        connection = await asyncpg.connect(
            url, timeout=CONNECT_SECONDS_MAX, command_timeout=COMMAND_SECONDS_MAX
        )
    except asyncpg.PostgresError as e:
        raise LaunchError(f"PostgreSQL: refuses the connection ({_one_line(e)})") from e
    except (OSError, TimeoutError) as e:
        reason = _one_line(e) or f"no answer within {CONNECT_SECONDS_MAX:.0f} s"
        raise LaunchError(f"PostgreSQL: cannot be reached ({reason})") from e
    except (ValueError, asyncpg.InterfaceError):
        # Its text may quote a part of the password that was taken for a port.
        raise _unreadable_url() from None
    try:
        await _check_version(connection)
        yield connection
    except asyncpg.PostgresError as e:
        raise LaunchError(
            f"PostgreSQL: roles and databases cannot be prepared ({_one_line(e)})"
        ) from e
    except (OSError, TimeoutError, asyncpg.InterfaceError) as e:
        raise LaunchError(f"PostgreSQL: the connection broke ({type(e).__name__})") from e
    finally:
        # What went wrong before counts, not that a dead connection cannot say goodbye.
        with contextlib.suppress(OSError, TimeoutError, asyncpg.InterfaceError):
            await connection.close(timeout=CLOSE_SECONDS_MAX)


def _one_line(error: Exception) -> str:
    """The server adds details on lines of their own."""
    return " ".join(str(error).split())


def _unreadable_url() -> LaunchError:
    return LaunchError(
        "TOUCHLEDGER_DATABASE_URL: not readable, want postgresql://USER:PASSWORD@HOST:PORT/DATABASE "
        "with special characters percent-encoded",
        exit_code=2,
    )


async def _check_version(connection: Connection) -> None:
    if int(await connection.fetchval("SHOW server_version_num")) < VERSION_MIN:
        raise LaunchError(
            f"PostgreSQL: version {await connection.fetchval('SHOW server_version')}, "
            f"want {VERSION_MIN // 10000} or newer"
        )


async def _check_admin(admin: Connection) -> None:
    may = await admin.fetchrow(ADMIN_MAY)
    assert may is not None
    if may["everything"] or (may["databases"] and may["roles"]):
        return
    user = await admin.fetchval("SELECT current_user")
    raise LaunchError(
        f"PostgreSQL: role {user} may not make databases and roles, "
        "want CREATEDB and CREATEROLE in TOUCHLEDGER_DATABASE_URL"
    )


async def _perform(connection: Connection, composed: str, *arguments: str) -> None:
    """Runs the command that the server composes; a query that gives no row means nothing to do."""
    command = await connection.fetchval(composed, *arguments)
    if command is not None:
        await connection.execute(command)
