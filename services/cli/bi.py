"""`touchledger bi`: roles for BI tools, each bound to one tenant, and a dbt project over what they read."""

import asyncio
import json
import os
import re
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.cli import databases, embedded_postgres, semantic_layer
from services.cli.data_folder import DataFolder, LaunchError, RunningSystem
from services.cli.shown import cell
from services.cli.system import (
    DEFAULT_DATA,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    DataOption,
    NoSystem,
    running,
    stop,
)

app = typer.Typer(
    name="bi",
    help="Roles for BI tools, each bound to one tenant, and a dbt project: role, dbt.",
    no_args_is_help=True,
)
role_app = typer.Typer(
    name="role",
    help="Roles that read schema bi, one tenant's rows alone: add, list, remove.",
    no_args_is_help=True,
)
app.add_typer(role_app)

# As the gateway takes them.
TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# What needs no quotes anywhere. PostgreSQL keeps names with pg_ for itself, and cuts after 63 bytes.
ROLE = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", re.ASCII)

Answer = TypeVar("Answer")

DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        envvar="TOUCHLEDGER_DATABASE_URL",
        metavar="URL",
        show_default=False,
        help="The PostgreSQL of a system that doesn't use the embedded one, as an admin with CREATEDB and "
        "CREATEROLE; goes before --data. The variable is better: other users can see arguments.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


@role_app.command("add")
def add_role(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose rows it will see.")],
    role: Annotated[
        str,
        typer.Option(
            "--role",
            metavar="NAME",
            show_default=False,
            help="Its name; default: touchledger_bi_ and the tenant's.",
        ),
    ] = "",
    connections: Annotated[
        int, typer.Option("--connections", min=1, max=1000, help="At the same time, at most.")
    ] = databases.BI_CONNECTIONS_MAX,
    statement_seconds: Annotated[
        int,
        typer.Option(
            "--statement-seconds",
            min=1,
            max=86_400,
            help="After which a query ends; a session may set another limit.",
        ),
    ] = databases.BI_STATEMENT_SECONDS_MAX,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            help="A new file for the password, which is then not printed.",
        ),
    ] = None,
    data: DataOption = DEFAULT_DATA,
    database_url: DatabaseUrl = "",
    json_output: JsonOption = False,
) -> None:
    """Make a role and print the URL that it logs in with, once: the password can't be shown again."""
    if not TENANT.fullmatch(tenant):
        stop(f"TENANT: got {tenant!r}, want 1 to 64 letters, digits, '.', '_' or '-'", EXIT_USAGE)
    role = role or f"touchledger_bi_{re.sub(r'[^a-z0-9]', '_', tenant.lower())}"
    if not ROLE.fullmatch(role):
        stop(
            f"role {role}: got {len(role)} characters, want 1 to 63 of a-z, 0-9 and _, not beginning with "
            "a digit or pg_: give another --role",
            EXIT_USAGE,
        )
    password = secrets.token_hex(32)
    admin_url, shown_url = _admin(data, database_url)
    if password_file:
        _write_secret(password_file, password)
    try:
        _run(
            databases.add_bi_role(
                admin_url,
                role=role,
                tenant=tenant,
                password=password,
                connections_max=connections,
                statement_seconds_max=statement_seconds,
            )
        )
    except BaseException:
        if password_file:
            password_file.unlink(missing_ok=True)
        raise
    url = databases.role_url(
        shown_url, role=role, password=password, database=databases.BI_DATABASE
    )
    if password_file:
        url = _without_password(url)
    if json_output:
        told = {"role": role, "tenant": tenant, "url": url}
        typer.echo(json.dumps(told if password_file else told | {"password": password}))
        return
    # Alone on stdout, so that it can go from here into a file or a variable.
    typer.echo(url)
    typer.echo(
        f"role {role} of {tenant}; "
        + (f"its password is in {password_file}" if password_file else "not shown again"),
        err=True,
    )


@role_app.command("list")
def list_roles(
    data: DataOption = DEFAULT_DATA,
    database_url: DatabaseUrl = "",
    json_output: JsonOption = False,
) -> None:
    """List the roles of all tenants, and what is wrong with them."""
    admin_url, _ = _admin(data, database_url)
    roles = _run(databases.list_bi_roles(admin_url))
    if json_output:
        rows = [
            {
                "role": each.role,
                "tenant": each.tenant or None,
                "connections": each.connections,
                "connected": each.connected,
                "state": _state(each),
            }
            for each in roles
        ]
        typer.echo(json.dumps(rows))
        return
    table = Table(box=box.SIMPLE)
    # Whole, as it is what `remove` takes.
    table.add_column("role", no_wrap=True)
    table.add_column("tenant")
    table.add_column("connected", justify="right")
    table.add_column("state")
    for each in roles:
        most = "any" if each.connections < 0 else str(each.connections)
        table.add_row(
            each.role, cell(each.tenant or "–"), f"{each.connected} of {most}", _state(each)
        )
    Console().print(table)


@role_app.command("remove")
def remove_role(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="As `list` shows it.")],
    data: DataOption = DEFAULT_DATA,
    database_url: DatabaseUrl = "",
) -> None:
    """Remove a role and end its sessions."""
    admin_url, _ = _admin(data, database_url)
    _run(databases.remove_bi_role(admin_url, role))
    typer.echo(f"removed {role}")


@app.command()
def dbt(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The project's; made where it is missing.")
    ],
    sql: Annotated[
        str,
        typer.Option(
            "--sql",
            envvar="TOUCHLEDGER_BI_URL",
            metavar="URL",
            show_default=False,
            help="What a BI role logs in with: postgresql://…; default: that of the system in --data.",
        ),
    ] = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write a dbt project over schema bi: sources with descriptions and tests.

    What comes from the database is written anew each time; the rest, which
    is yours to change, only where it is missing.
    """
    url = sql or _running(data).sql
    star = _run(semantic_layer.read_star(url))
    made = semantic_layer.dbt_project(star, url)
    kept = 0
    try:
        for name, text in semantic_layer.dbt_skeleton().items():
            if (folder / name).exists():
                kept += 1
            else:
                made[name] = text
        for name, text in made.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    except OSError as error:
        stop(f"{error.filename}: cannot be written ({error.strerror})", EXIT_USAGE)
    typer.echo(f"wrote {len(made)} files into {folder}, left {kept} as they are")
    typer.echo(
        f"TOUCHLEDGER_BI_PASSWORD=… dbt build --project-dir {folder} --profiles-dir {folder}",
        err=True,
    )


def _admin(data: Path, database_url: str) -> tuple[str, str]:
    """URLs of the server: an admin's, and one with its address as BI tools see it."""
    if database_url:
        return database_url, database_url
    system = _running(data)
    folder = DataFolder(data)
    if not (folder.secrets / f"{embedded_postgres.ADMIN}.password").exists():
        stop(
            f"the system in {data} uses a PostgreSQL of its own: want its admin's URL as "
            "TOUCHLEDGER_DATABASE_URL or --database-url",
            EXIT_USAGE,
        )
    try:
        password = folder.password(embedded_postgres.ADMIN, must_exist=True)
    except LaunchError as error:
        stop(str(error), EXIT_UNREACHABLE)
    admin_url = databases.role_url(
        system.sql, role=embedded_postgres.ADMIN, password=password, database="postgres"
    )
    # The mode as embedded_postgres.py has it for our own clients; a BI tool may not know it.
    return f"{admin_url}{'&' if '?' in admin_url else '?'}sslmode=disable", system.sql


def _running(data: Path) -> RunningSystem:
    try:
        return running(data)
    except NoSystem as error:
        stop(str(error), EXIT_UNREACHABLE)


def _run(work: Coroutine[Any, Any, Answer]) -> Answer:
    try:
        return asyncio.run(work)
    except LaunchError as error:
        stop(str(error), error.exit_code)


def _state(role: databases.BiRole) -> str:
    if not role.exists:
        return "no such role"
    if not role.tenant:
        return "bound to no tenant, sees nothing"
    return "ready" if role.may_log_in else "may not log in"


def _write_secret(path: Path, secret: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        stop(f"--password-file {path}: cannot be made ({error.strerror})", EXIT_USAGE)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, _, server = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{server}"))
