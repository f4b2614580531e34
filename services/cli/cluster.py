"""`touchledger cluster promote`: the one step that a cluster on this machine leaves to a person.

In Kubernetes the operator of PostgreSQL does it. Here the launcher notices, and makes the old primary the new
one's standby.
"""

import asyncio
import contextlib
import os
import time

import asyncpg
import typer

from services.cli import embedded_postgres
from services.cli.data_folder import DataFolder, LaunchError, Part
from services.cli.postgres_pair import IN_SYNC, NAMES
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    DataOption,
    NoSystem,
    running,
    stop,
)

# A promotion replays what is there of the log, at most some seconds of it.
PROMOTE_SECONDS_MAX = 60
# The old primary is copied anew: some seconds, and minutes for many gigabytes.
SYNC_SECONDS_MAX = 600.0
CONNECT_SECONDS_MAX = 2.0
POLL_SECONDS = 0.2
PROMOTE = f"SELECT pg_promote(true, {PROMOTE_SECONDS_MAX})"
IS_STANDBY = "SELECT pg_is_in_recovery()"

app = typer.Typer(
    name="cluster", help="For a system that `up --cluster` runs.", no_args_is_help=True
)


@app.callback()
def cluster() -> None:
    """Without it, an app of one command would take no name of it."""


@app.command()
def promote(data: DataOption = DEFAULT_DATA) -> None:
    """Make the standby of PostgreSQL the primary, once the primary is dead."""
    try:
        servers = [part for part in running(data).parts if part.kind == "postgres"]
        if len(servers) != len(NAMES):
            stop(f"{data}: got a system without a standby, want `up --cluster`", EXIT_REFUSED)
        password = DataFolder(data).password(embedded_postgres.ADMIN, must_exist=True)
        asyncio.run(_promote(servers, password))
    except (NoSystem, LaunchError) as error:
        stop(str(error), EXIT_UNREACHABLE)


async def _promote(servers: list[Part], password: str) -> None:
    primaries = [each for each in servers if not await _ask(each, password, IS_STANDBY)]
    if len(primaries) == len(servers):
        stop("no standby answers, want it back first: its log tells why", EXIT_REFUSED)
    for each in primaries:
        # Two primaries at a time would answer with different journals.
        if each.pid is not None and _lives(each.pid):
            stop(f"{each.name}: lives, want it dead first: kill -9 {each.pid}", EXIT_REFUSED)
    if not primaries:
        stop("both are standbys, want a primary that is dead", EXIT_REFUSED)
    [old] = primaries
    [new] = (each for each in servers if each is not old)
    if await _ask(new, password, PROMOTE) is not True:
        stop(f"{new.name}: not promoted, see {new.log}", EXIT_REFUSED)
    typer.echo(f"{new.name} is the primary; {old.name} is being made its standby")
    deadline = time.monotonic() + SYNC_SECONDS_MAX
    while not await _ask(new, password, IN_SYNC, old.name):
        if time.monotonic() > deadline:
            stop(f"{old.name}: not in sync yet, see {old.log}", EXIT_REFUSED)
        await asyncio.sleep(POLL_SECONDS)
    typer.echo(f"{old.name} is in sync: what is acknowledged is on both")


async def _ask(server: Part, password: str, query: str, *arguments: str) -> bool | None:
    """None where it does not answer."""
    with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection = await asyncpg.connect(
            f"postgresql://{server.address}/postgres?sslmode=disable",
            user=embedded_postgres.ADMIN,
            password=password,
            timeout=CONNECT_SECONDS_MAX,
            command_timeout=PROMOTE_SECONDS_MAX + CONNECT_SECONDS_MAX,
        )
        try:
            return bool(await connection.fetchval(query, *arguments))
        finally:
            connection.terminate()
    return None


def _lives(pid: int) -> bool:
    try:
        # Its parent, the launcher, collects it at once.
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
