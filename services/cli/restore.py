"""`touchledger restore`: makes a new data folder, or databases on a server, from a backup.

Nothing is overwritten: the folder must not be there yet, nor the databases. A folder has its name once all
is restored, verified and mended; until then it is NAME.restoring, which no other command takes for a system.
"""

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import databases, embedded_postgres, postgres_tools, system
from services.cli.backup_folder import (
    BackupFolder,
    Segment,
    Stored,
    check_manifest,
    digest_of,
    key_digest,
    reason_of,
)
from services.cli.data_folder import DataFolder, LaunchError, sync_folder
from services.cli.embedded_postgres import ADMIN, EmbeddedPostgres
from services.cli.mend import TOUCHPOINT_URL, Mended, mended, module
from services.cli.postgres_account import account_of

RESTORING = ".restoring"
# Replaying a day of log at full speed takes minutes; of a month, on a slow disk, hours.
REPLAY_SECONDS_MAX = 12 * 3600.0
# Of `verify`, where the journal is not as it was sealed.
EXIT_TOUCHED = 1
# What a restored server says when the log ends before the moment that was asked for.
TOO_LATE = "recovery ended before configured recovery target was reached"
LAST_COMMIT = "last completed transaction was at log time "
ROLES_WANTED = (databases.BI_ROLE,)


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` said of the restored journal."""

    intact: bool
    position: int
    problem: dict[str, Any] | None


def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where `touchledger backup` put its backups.")
    ],
    data: system.DataOption = system.DEFAULT_DATA,
    database_url: Annotated[
        str,
        typer.Option(
            "--database-url",
            envvar="TOUCHLEDGER_DATABASE_URL",
            metavar="URL",
            show_default=False,
            help="A PostgreSQL 18 to restore a dump to, as an admin with CREATEDB and CREATEROLE. The "
            "variable is better: other users can see arguments.",
        ),
    ] = "",
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TIME",
            help="The moment to restore, such as 2026-11-23T14:30:00+01:00. Without it everything that "
            "there is.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--backup", metavar="NAME", help="Which backup; else the one that fits."),
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The secrets of the system, where the backup is without them."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE|FOLDER", help="Exported checkpoints: want the same journal."),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of the key of the checkpoints.")
    ] = None,
    json_output: system.JsonOption = False,
) -> None:
    """Restore a backup into a data folder that is not there yet, verify the journal, tell what is lost.

    Exit code: 0 restored and intact, 1 not restored, or restored and the journal is not as it was sealed.
    """
    started_at = time.monotonic()
    if (checkpoint is None) != (public_key is None):
        system.stop("want --checkpoint and --public-key, or neither", system.EXIT_USAGE)
    moment = _moment(to)
    known = (
        () if checkpoint is None else (f"--checkpoint={checkpoint}", f"--public-key={public_key}")
    )
    try:
        chosen = _chosen(BackupFolder(folder), moment, name, kind="dump" if database_url else None)
        target = _Target(DataFolder(data), database_url)
        done, verified = target.restore(BackupFolder(folder), chosen, moment, secrets, known)
    except LaunchError as error:
        system.stop(str(error), error.exit_code)
    except OSError as error:
        place = error.filename or DataFolder(data).path
        system.stop(f"{place}: {reason_of(error)}", system.EXIT_REFUSED)
    seconds = time.monotonic() - started_at
    if json_output:
        shown = {
            "backup": chosen.name,
            "journal": done.journal,
            "models": done.models,
            "intact": verified.intact,
            "problem": verified.problem,
            "seconds": round(seconds, 3),
        }
        typer.echo(json.dumps(shown))
    else:
        for line in target.told(chosen, done, verified, seconds):
            typer.echo(line)
    if not verified.intact:
        raise typer.Exit(system.EXIT_REFUSED)


def _moment(to: str | None) -> datetime | None:
    if to is None:
        return None
    want = "want a time with its offset, such as 2026-11-23T14:30:00+01:00"
    try:
        given = datetime.fromisoformat(to)
    except ValueError:
        system.stop(f"--to: got {to!r}, {want}", system.EXIT_USAGE)
    if given.tzinfo is None:
        system.stop(f"--to: got {to!r} without an offset, {want}", system.EXIT_USAGE)
    if given > datetime.now(UTC):
        system.stop(
            f"--to: got {to}, which is to come, want a moment in the past", system.EXIT_USAGE
        )
    return given.astimezone(UTC)


def _chosen(
    backups: BackupFolder, moment: datetime | None, name: str | None, *, kind: str | None
) -> Stored:
    """The last one that was whole before the moment; a base before a dump, as its log goes on."""
    found = [each for each in backups.all() if kind in (None, each.backup.kind)]
    if name is not None:
        found = [each for each in found if each.name == name]
    if not found:
        raise LaunchError(
            f"{backups.path}: has no {name or kind or 'backup'}, "
            "want what `touchledger backup` has made there: `touchledger backup FOLDER --list`"
        )
    bases = [each for each in found if each.backup.kind == "base"]
    if moment is None:
        return (bases or found)[-1]
    if not bases:
        raise LaunchError(f"{found[-1].name}: is a dump of one moment, want no --to")
    earlier = [each for each in bases if datetime.fromisoformat(each.backup.made_at) <= moment]
    if not earlier:
        raise LaunchError(
            f"--to: got {moment.isoformat()}, want {bases[0].backup.made_at} or later: "
            "no backup is older"
        )
    return earlier[-1]


class _Target:
    """A data folder to be made, and the server of somebody else's if it has none of its own."""

    def __init__(self, data: DataFolder, database_url: str) -> None:
        self._data = data
        self._database_url = database_url

    def restore(
        self,
        backups: BackupFolder,
        chosen: Stored,
        moment: datetime | None,
        secrets: Path | None,
        known: Sequence[str],
    ) -> tuple[Mended, Verified]:
        self._check_free()
        source = self._secrets(chosen, secrets)
        path = self._data.path.with_name(self._data.path.name + RESTORING)
        if path.exists():
            # Of a restore that was killed, unless it still runs: then the lock says so.
            with DataFolder(path).locked():
                shutil.rmtree(path)
        folder = DataFolder(path)
        folder.create()
        with folder.locked():
            for file in source.iterdir():
                shutil.copy2(file, folder.secrets)
            if self._database_url:
                done, verified = self._to_server(folder, chosen, known)
            elif chosen.backup.kind == "dump":
                with _server(folder) as server:
                    done, verified = self._from_dump(folder, chosen, server.admin_url, known)
            else:
                self._copy(folder, chosen)
                with _recovered(folder, backups, chosen, moment) as server:
                    done, verified = _finished(folder, server.admin_url, known)
            if not verified.intact:
                return done, verified
            with contextlib.suppress(FileNotFoundError):
                self._data.path.rmdir()
            path.rename(self._data.path)
            sync_folder(self._data.path.parent)
        return done, verified

    def told(
        self, chosen: Stored, done: Mended, verified: Verified, seconds: float
    ) -> Iterator[str]:
        yield f"From {chosen.folder}"
        yield from done.told()
        if not verified.intact:
            assert verified.problem is not None
            yield (
                f"NOT INTACT: positions {verified.problem['first']} to {verified.problem['last']}: "
                f"{verified.problem['what']}"
            )
            yield f"Left in {self._data.path}{RESTORING} to look at; take an earlier backup"
            return
        yield f"{verified.position:,} events fit their seal ({seconds:.1f} s in all)"
        if chosen.backup.bi_roles and chosen.backup.kind == "dump":
            others = sorted({*chosen.backup.bi_roles} - {*ROLES_WANTED})
            if others:
                yield f"Make again with `touchledger bi role add`: {', '.join(others)}"
        at = " --database-url URL" if self._database_url else ""
        yield f"Start it: touchledger up --data {shlex.quote(str(self._data.path))}{at}"
        yield "Then make a new backup: what follows is on a log of its own"

    def _check_free(self) -> None:
        path = self._data.path
        if not path.exists():
            return
        if not path.is_dir() or any(path.iterdir()):
            running = None
            with contextlib.suppress(LaunchError):
                running = self._data.running()
            state = f"in use by process {running.pid}" if running else "not empty"
            raise LaunchError(
                f"data folder {path}: {state}, want one that is not there yet: give another --data, "
                "or move that one away"
            )

    def _secrets(self, chosen: Stored, given: Path | None) -> Path:
        source = given or chosen.secrets
        if not (source / "gateway.key").is_file():
            raise LaunchError(
                f"{source}: has no gateway.key, want the folder `secrets` of the system that was backed "
                "up: --secrets DIR"
            )
        if chosen.backup.gateway_key_digest not in ("", key_digest(source / "gateway.key")):
            raise LaunchError(
                f"{source}/gateway.key: is another key than that of the backup, want the one that its "
                "quarantine is sealed and its API keys were made with"
            )
        return source

    def _copy(self, folder: DataFolder, chosen: Stored) -> None:
        account = account_of(
            folder.postgres,
            postgres=Path(embedded_postgres.program("postgres")),
            user_namespace_works=embedded_postgres.user_namespace_works,
        )
        shutil.copytree(chosen.postgres, folder.postgres, symlinks=True)
        folder.postgres.chmod(0o700)
        # What was copied, not what was read: a copy can go wrong, too.
        check_manifest(folder.postgres)
        if account.uid is not None:
            for path in (folder.postgres, *folder.postgres.rglob("*")):
                os.chown(path, account.uid, account.gid, follow_symlinks=False)

    def _to_server(
        self, folder: DataFolder, chosen: Stored, known: Sequence[str]
    ) -> tuple[Mended, Verified]:
        there = asyncio.run(databases.existing_databases(self._database_url))
        if there:
            raise LaunchError(
                f"PostgreSQL: has database {', '.join(sorted(there))} already, want a server without: "
                "nothing is overwritten"
            )
        return self._from_dump(folder, chosen, self._database_url, known)

    def _from_dump(
        self, folder: DataFolder, chosen: Stored, admin_url: str, known: Sequence[str]
    ) -> tuple[Mended, Verified]:
        for name, digest in chosen.backup.files.items():
            with (chosen.folder / name).open("rb") as content:
                if digest_of(content) != digest:
                    raise LaunchError(
                        f"{chosen.folder / name}: got other bytes than were backed up, "
                        "want another backup"
                    )
        passwords = {role: folder.password(role) for role in databases.ROLES}
        asyncio.run(databases.prepare_databases(admin_url, passwords))
        for database, url in databases.service_urls(admin_url, passwords).items():
            postgres_tools.run(
                "pg_restore",
                # Grants are to roles that may be others here; the services give them at each start.
                *("--no-owner", "--no-privileges", "--exit-on-error", "--no-password"),
                *("--single-transaction", str(chosen.folder / f"{database}.dump")),
                url=url,
            )
        return _finished(folder, admin_url, known)


def _finished(folder: DataFolder, admin_url: str, known: Sequence[str]) -> tuple[Mended, Verified]:
    """Mends what was restored and verifies the journal."""
    passwords = {role: folder.password(role) for role in databases.ROLES}
    urls = databases.service_urls(admin_url, passwords)
    done = mended(urls["touchpoint"], urls["scoring"], known=known)
    said = json.loads(
        module(
            "services.touchpoint.verify",
            *("--json", *known, *(f"--restored-from={each}" for each in done.journal["common"])),
            good=(0, EXIT_TOUCHED),
            variables={TOUCHPOINT_URL: urls["touchpoint"]},
        )
    )
    problem = said["problem"]
    # A checkpoint of what was lost contradicts the end of the journal, and nothing that is in it.
    if problem and problem["first"] > done.journal["position"]:
        problem = None
    return done, Verified(problem is None, said["position"], problem)


@contextlib.contextmanager
def _server(folder: DataFolder, *settings: str) -> Iterator[EmbeddedPostgres]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    server = EmbeddedPostgres(
        folder.postgres,
        log=folder.log("restore"),
        password=folder.password(ADMIN),
        port=port,
        settings=settings,
        start_seconds_max=REPLAY_SECONDS_MAX,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def _recovered(
    folder: DataFolder, backups: BackupFolder, chosen: Stored, moment: datetime | None
) -> Iterator[EmbeddedPostgres]:
    """The server at the moment, or at the end of the log."""
    reach = backups.reach(chosen)
    if reach.last is None:
        if moment is not None:
            raise LaunchError(
                f"--to: got {moment.isoformat()}, but no log was streamed after {chosen.name}: "
                "want no --to, or another backup"
            )
        with _server(folder) as server:
            yield server
        return
    if reach.broken_after and moment is None:
        typer.echo(f"The log has a gap after {reach.broken_after}: restoring up to there", err=True)
    (folder.postgres / "recovery.signal").touch()
    log = folder.log("restore")
    settings = [
        f"restore_command={_fetch(backups)}",
        "recovery_target_timeline=latest",
        # Not ready before the end: a reader of the way there would be of no use.
        "hot_standby=off",
    ]
    if moment is not None:
        settings += [
            f"recovery_target_time={moment.isoformat()}",
            "recovery_target_action=promote",
        ]
    try:
        with _server(folder, *settings) as server:
            if moment is None:
                _want_end(folder, reach.last)
            yield server
    except LaunchError as error:
        said = log.path.read_text(errors="replace")
        if TOO_LATE not in said:
            raise
        _, _, last = said.rpartition(LAST_COMMIT)
        ends = last.split("\n")[0].split("+")[0] or "the backup's own end"
        gap = f"; it has a gap after {reach.broken_after}" if reach.broken_after else ""
        raise LaunchError(
            f"--to: got {moment.isoformat() if moment else ''}, but the log ends at {ends} UTC{gap}: "
            "want an earlier moment, or no --to for all that there is"
        ) from error


def _fetch(backups: BackupFolder) -> str:
    """A piece of the log that is whole, or the last one, which was being streamed."""
    wal = shlex.quote(str(backups.wal)).replace("%", "%%")
    return f'cp {wal}/%f "%p" 2>/dev/null || cp {wal}/%f.partial "%p"'


def _want_end(folder: DataFolder, last: Segment) -> None:
    """PostgreSQL takes a piece that it can't read for the end; then something is missing."""
    histories = sorted((folder.postgres / "pg_wal").glob("*.history"))
    if not histories:
        return
    *_, line = [each for each in histories[-1].read_text().splitlines() if each.strip()]
    timeline, place = line.split()[:2]
    if Segment.at(int(timeline), place).number < last.number - 1:
        raise LaunchError(
            f"the log could be replayed up to {place} only, want up to {last.name}: "
            f"a piece before it is damaged, see {folder.logs / 'restore.log'}"
        )
