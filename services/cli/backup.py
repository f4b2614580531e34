"""`touchledger backup`: copies everything that a running system keeps, and checks the copy.

The embedded cluster is copied as a whole, as of one moment for all its databases, by pg_basebackup; what
follows comes from the log that `touchledger up --backup-folder` streams. A server of somebody else's is
dumped, database by database, in an order that the journal is never behind what was made from it.
"""

import asyncio
import json
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from services.cli import databases, postgres_tools, system
from services.cli.backup_folder import (
    Backup,
    BackupFolder,
    Stored,
    check_manifest,
    digest_of,
    key_digest,
    reason_of,
    write_backup,
)
from services.cli.data_folder import DataFolder, LaunchError
from services.cli.databases import OWNERS, role_url
from services.cli.embedded_postgres import ADMIN
from services.cli.stop_signals import StopRequested, raised_at_once
from services.cli.wal_archive import CLUSTER

CONNECT_SECONDS_MAX = 10.0
COMMAND_SECONDS_MAX = 60.0
HEAD = "SELECT journal_id::text, position FROM journal.head"
# The journal last: it then has every position that the others know.
DUMP_ORDER = ("scoring", "gateway", "touchpoint")
KEEP_YOURSELF = (
    "Keep yourself, apart from the backup: the gateway's secret key "
    "(TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE), without which no API key opens, no repeated event is "
    "recognised and nothing in quarantine can be read"
)
OTHER_FILES = (
    "Not in it: the key that signs checkpoints and what was exported, the alerts' webhooks file, "
    "certificates; wherever your settings say they are"
)


def backup(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Where backups go: on another disk than the data."),
    ],
    data: system.DataOption = system.DEFAULT_DATA,
    database_url: Annotated[
        str,
        typer.Option(
            "--database-url",
            envvar="TOUCHLEDGER_DATABASE_URL",
            metavar="URL",
            show_default=False,
            help="The PostgreSQL of a system that does not use the embedded one, as its admin: is dumped. "
            "The variable is better: other users can see arguments.",
        ),
    ] = "",
    with_secrets: Annotated[
        bool,
        typer.Option(
            "--with-secrets/--without-secrets",
            help="Whether the secrets of the data folder are in it. Without them keep them yourself: "
            "a backup alone is no system.",
        ),
    ] = True,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="Remove all backups but the last so many, and the log before them."
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Show what can be restored; make nothing.")
    ] = False,
    json_output: system.JsonOption = False,
) -> None:
    """Back up a running system, or show what its backups reach. Appends go on meanwhile."""
    backups = BackupFolder(folder)
    try:
        if show:
            _show(backups, json_output)
            return
        backups.check_apart(DataFolder(data).path)
        backups.create()
        with raised_at_once(), backups.locked("backup"):
            if database_url:
                made = asyncio.run(_dump(backups, DataFolder(data), database_url, with_secrets))
            else:
                made = asyncio.run(_base(backups, DataFolder(data), with_secrets))
            removed = backups.forget(keep=keep) if keep else []
    except LaunchError as error:
        system.stop(str(error), error.exit_code)
    except system.NoSystem as error:
        system.stop(str(error), system.EXIT_UNREACHABLE)
    except StopRequested:
        system.stop("stopped: what was not finished is removed", system.EXIT_REFUSED)
    except OSError as error:
        system.stop(f"backup folder {folder}: {reason_of(error)}", system.EXIT_REFUSED)
    if json_output:
        typer.echo(json.dumps({"name": made.name, "removed": removed, **asdict(made.backup)}))
        return
    for line in _told(backups, made, removed):
        typer.echo(line)


async def _base(backups: BackupFolder, data: DataFolder, with_secrets: bool) -> Stored:
    """A copy of the embedded cluster."""
    found = system.running(data.path, otherwise=", or name a server with --database-url")
    if not data.postgres.exists():
        raise LaunchError(
            f"data folder {data.path}: has no PostgreSQL of its own, "
            "want --database-url with the admin's URL of its server",
            exit_code=system.EXIT_USAGE,
        )
    password = data.password(ADMIN, must_exist=True)

    def url(database: str) -> str:
        return role_url(found.sql, role=ADMIN, password=password, database=database)

    head = await _head(url("touchpoint"))
    backups.claim(await _value(url("postgres"), CLUSTER))
    moment = datetime.now(UTC)
    with backups.writing("base", moment) as folder:
        cluster = folder / "postgres"
        postgres_tools.run(
            "pg_basebackup",
            f"--pgdata={cluster}",
            # What was written during the copy belongs to it, so that it is whole without an archive.
            *("--wal-method=stream", "--checkpoint=fast", "--no-password"),
            "--manifest-checksums=SHA256",
            url=url("postgres"),
        )
        # No earlier moment can be restored from it.
        whole_at = datetime.now(UTC)
        check_manifest(cluster)
        if with_secrets:
            shutil.copytree(data.secrets, folder / "secrets")
        write_backup(folder, _described("base", whole_at, head, data, with_secrets))
    return backups.all()[-1]


async def _dump(
    backups: BackupFolder, data: DataFolder, admin_url: str, with_secrets: bool
) -> Stored:
    """The databases of a server that others look after."""
    if missing := OWNERS.keys() - await databases.existing_databases(admin_url):
        raise LaunchError(
            f"PostgreSQL: has no database {', '.join(sorted(missing))}, want those of a system"
        )
    head = await _head(databases.database_url(admin_url, "touchpoint"))
    with_secrets = with_secrets and data.gateway_key.exists()
    moment = datetime.now(UTC)
    files = dict[str, str]()
    roles = [each.role for each in await databases.list_bi_roles(admin_url)]
    with backups.writing("dump", moment) as folder:
        for database in DUMP_ORDER:
            file = folder / f"{database}.dump"
            postgres_tools.run(
                "pg_dump",
                *("--format=custom", "--no-password", f"--file={file}"),
                f"--role={OWNERS[database]}",
                # An append of minutes ago must not hold it up, nor it an append.
                "--lock-wait-timeout=60s",
                url=databases.database_url(admin_url, database),
            )
            with file.open("rb") as content:
                files[file.name] = digest_of(content)
        if with_secrets:
            shutil.copytree(data.secrets, folder / "secrets")
        write_backup(
            folder, _described("dump", moment, head, data, with_secrets, files=files, roles=roles)
        )
    return backups.all()[-1]


def _described(
    kind: str,
    moment: datetime,
    head: asyncpg.Record,
    data: DataFolder,
    with_secrets: bool,
    *,
    files: dict[str, str] | None = None,
    roles: list[str] | None = None,
) -> Backup:
    return Backup(
        kind=kind,
        made_at=moment.isoformat(),
        journal_id=head["journal_id"],
        position=head["position"],
        gateway_key_digest=key_digest(data.gateway_key),
        with_secrets=with_secrets,
        files=files or {},
        bi_roles=roles or [],
    )


async def _head(url: str) -> asyncpg.Record:
    async with databases.connected(url) as connection:
        row = await connection.fetchrow(HEAD)
    assert row is not None, "the journal's first migration inserts the row"
    return row


async def _value(url: str, query: str) -> str:
    async with databases.connected(url) as connection:
        return str(await connection.fetchval(query))


def _told(backups: BackupFolder, made: Stored, removed: list[str]) -> list[str]:
    backup = made.backup
    lines = [
        f"Backup {made.folder}",
        f"holds journal {backup.journal_id} up to position {backup.position:,} at least; checksums fit",
        *(f"Removed {name}" for name in removed),
    ]
    if backup.kind == "base" and backups.reach(made).last is None:
        lines.append(
            "The log is not streamed: what comes after this backup is lost with the data folder. "
            f"Want `touchledger up --backup-folder {backups.path}`"
        )
    if backup.with_secrets:
        lines.append(f"{made.secrets} opens all of it: keep the folder as safe as the system")
    else:
        lines.append(KEEP_YOURSELF)
    return [*lines, OTHER_FILES]


def _show(backups: BackupFolder, json_output: bool) -> None:
    shown = []
    for each in backups.all():
        until, broken = each.backup.made_at, ""
        if each.backup.kind == "base":
            reach = backups.reach(each)
            broken = reach.broken_after
            if reach.last and (streamed := backups.streamed_at(reach.last)):
                until = max(until, streamed.isoformat(timespec="seconds"))
        shown.append(
            {
                "name": each.name,
                "from": each.backup.made_at,
                "until": until,
                "journal_id": each.backup.journal_id,
                "position": each.backup.position,
                "with_secrets": each.backup.with_secrets,
                "log_broken_after": broken or None,
            }
        )
    if json_output:
        typer.echo(json.dumps(shown))
        return
    for row in shown:
        broken = f"  the log has a gap after {row['log_broken_after']}"
        typer.echo(
            f"{row['name']}  position {row['position']:,}  from {row['from']} until {row['until']}"
            + (broken if row["log_broken_after"] else "")
        )
    if not shown:
        typer.echo(f"{backups.path} has no backup: touchledger backup {backups.path}")
