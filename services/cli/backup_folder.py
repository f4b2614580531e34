"""A folder of backups: whole copies of a cluster, the log that was streamed between them, and dumps.

    base-20261123T120000Z/   a copy of the embedded cluster as of one moment, all its databases together
        postgres/            what pg_basebackup wrote, with its manifest of checksums
        secrets/             the data folder's secrets, unless they were left out
        backup.json          what it is of
    dump-20261123T120000Z/   NAME.dump of each database of a server that is not ours, and backup.json
    wal/                     the log of the embedded cluster, as pg_receivewal streams it
    cluster                  the system identifier of that cluster: another one's log does not belong here

Whatever is being written bears the suffix .unfinished and no other command looks at it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from services.cli.data_folder import LaunchError, sync_folder

UNFINISHED = ".unfinished"
NAME = re.compile(r"(base|dump)-[0-9]{8}T[0-9]{6}Z")
MOMENT = "%Y%m%dT%H%M%SZ"
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
# What initdb makes of it, which the embedded server's is left at.
SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENTS_PER_LOG = 0x1_0000_0000 // SEGMENT_BYTES
# Not in the manifest, or changed by who takes or restores a backup: as pg_verifybackup has it.
NOT_IN_MANIFEST = {
    "backup_manifest",
    "postgresql.auto.conf",
    "recovery.signal",
    "standby.signal",
}
READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What backup.json says."""

    # base or dump.
    kind: str
    # When it was whole.
    made_at: str
    journal_id: str
    # It holds everything up to here at least, which was recorded when the backup began.
    position: int
    # Of the gateway's secret key; empty where it was out of reach.
    gateway_key_digest: str
    with_secrets: bool
    # Of a dump: SHA-256 by the name of the file. A base has its own manifest.
    files: dict[str, str]
    # Roles that BI tools log in with, which are no part of a dump.
    bi_roles: list[str]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the log, 16 MiB of one timeline."""

    timeline: int
    number: int

    @classmethod
    def at(cls, timeline: int, place: str) -> "Segment":
        """The one that holds a place in the log such as 0/3000028."""
        high, low = (int(part, 16) for part in place.split("/"))
        return cls(timeline, ((high << 32) + low) // SEGMENT_BYTES)

    @property
    def name(self) -> str:
        log, piece = divmod(self.number, SEGMENTS_PER_LOG)
        return f"{self.timeline:08X}{log:08X}{piece:08X}"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the streamed log follows a base without a missing piece."""

    # None: not beyond the base itself.
    last: Segment | None
    # The log goes on after a missing piece: nothing of that can be restored from this base.
    broken_after: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A finished backup in the folder."""

    folder: Path
    backup: Backup

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.postgres / "backup_manifest").read_bytes())
        return found

    def begins(self) -> Segment:
        """The oldest piece of the log that it needs, which it brings itself."""
        [first, *_] = self.manifest()["WAL-Ranges"]
        return Segment.at(first["Timeline"], first["Start-LSN"])

    def ends(self) -> Segment:
        """Where it is whole; what comes after is in the streamed log."""
        *_, last = self.manifest()["WAL-Ranges"]
        return Segment.at(last["Timeline"], last["End-LSN"])


class BackupFolder:
    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        self.wal = self.path / "wal"

    def create(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.wal.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LaunchError(
                f"backup folder {self.path}: cannot be written ({error.strerror}), "
                "want a folder that this user may write, on another disk than the data"
            ) from error

    def check_apart(self, data: Path) -> None:
        """Raises LaunchError where whatever takes the data would take the backups with it."""
        if self.path == data or data in self.path.parents:
            raise LaunchError(
                f"backup folder {self.path}: is in the data folder {data}, "
                "want one elsewhere, best on another disk"
            )

    def claim(self, cluster: str) -> None:
        """Raises LaunchError where the folder has another cluster's backups."""
        mark = self.path / "cluster"
        if not mark.exists():
            # Whole or not at all: a disk that was full once must not make another cluster's of the folder.
            new = self.path / "cluster.new"
            new.write_text(cluster + "\n")
            new.replace(mark)
        if (found := mark.read_text().strip()) != cluster:
            raise LaunchError(
                f"backup folder {self.path}: has backups of cluster {found}, this one is {cluster}: "
                "give another folder"
            )

    @contextlib.contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """what: "backup" or "wal", which don't hinder each other. Held until the process dies."""
        descriptor = os.open(self.path / f"{what}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LaunchError(
                    f"backup folder {self.path}: another process writes its {what}, "
                    "want one at a time, and a folder of its own for each system"
                ) from error
            yield

    def all(self) -> list[Stored]:
        """Oldest first."""
        found = []
        for folder in sorted(self.path.iterdir()) if self.path.is_dir() else ():
            if NAME.fullmatch(folder.name):
                found.append(Stored(folder, read_backup(folder / "backup.json")))
        return sorted(found, key=lambda each: each.backup.made_at)

    @contextlib.contextmanager
    def writing(self, kind: str, moment: datetime) -> Iterator[Path]:
        """A folder that has its name once the block ends well; nothing is left where it does not."""
        name = f"{kind}-{moment.astimezone(UTC).strftime(MOMENT)}"
        for left in self.path.glob(f"*{UNFINISHED}"):
            # Of a backup that was killed: the lock is ours.
            shutil.rmtree(left)
        unfinished = self.path / f"{name}{UNFINISHED}"
        unfinished.mkdir(mode=0o700)
        try:
            yield unfinished
            sync_folder(unfinished)
            unfinished.rename(self.path / name)
            sync_folder(self.path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def reach(self, base: Stored) -> Reach:
        """By the names of what was streamed; a piece of a later timeline stands for the same place."""
        first = base.ends()
        newest = dict[int, Segment]()
        for path in self.wal.iterdir() if self.wal.is_dir() else ():
            match = SEGMENT.fullmatch(path.name)
            if match is None:
                continue
            timeline, log, piece = (int(part, 16) for part in match.groups()[:3])
            each = Segment(timeline, log * SEGMENTS_PER_LOG + piece)
            if timeline >= first.timeline and each.number >= first.number:
                known = newest.get(each.number, each)
                newest[each.number] = max(known, each, key=lambda found: found.timeline)
        number = first.number
        while number in newest:
            number += 1
        last = newest.get(number - 1)
        broken = any(each > number for each in newest)
        return Reach(last, last.name if broken and last else first.name if broken else "")

    def streamed_at(self, segment: Segment) -> datetime | None:
        """When its last byte came."""
        for suffix in ("", ".partial"):
            with contextlib.suppress(FileNotFoundError):
                modified = (self.wal / f"{segment.name}{suffix}").stat().st_mtime
                return datetime.fromtimestamp(modified, UTC)
        return None

    def forget(self, *, keep: int) -> list[str]:
        """Removes older backups of each kind, and the log that none of the others needs. Their names."""
        removed = list[Stored]()
        for kind in ("base", "dump"):
            removed += [each for each in self.all() if each.backup.kind == kind][:-keep]
        for each in removed:
            # Renamed first: what is half removed is no backup.
            gone = each.folder.rename(each.folder.with_name(each.name + UNFINISHED))
            shutil.rmtree(gone)
        bases = [each for each in self.all() if each.backup.kind == "base"]
        oldest = min((each.begins().number for each in bases), default=0)
        for path in self.wal.iterdir():
            if match := SEGMENT.fullmatch(path.name):
                log, piece = (int(part, 16) for part in match.groups()[1:3])
                if log * SEGMENTS_PER_LOG + piece < oldest:
                    path.unlink()
        return [each.name for each in removed]


def read_backup(file: Path) -> Backup:
    try:
        return Backup(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise LaunchError(
            f"{file}: {type(error).__name__}, want what `touchledger backup` of this release writes, or "
            f"{file.parent.name} moved out of the folder"
        ) from error


def write_backup(folder: Path, backup: Backup) -> None:
    with (folder / "backup.json").open("w") as file:
        json.dump(asdict(backup), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def check_manifest(cluster: Path) -> int:
    """Reads every file of a base and compares it with the manifest; how many bytes they have.

    It is what pg_verifybackup does; the wheel's build of that program ends with a segmentation fault.
    """
    raw = (cluster / "backup_manifest").read_bytes()
    # The last line is the checksum of all before it.
    body, mark, _ = raw.rpartition(b'"Manifest-Checksum"')
    manifest = json.loads(raw)
    if not mark or hashlib.sha256(body).hexdigest() != manifest["Manifest-Checksum"]:
        raise LaunchError(f"{cluster}/backup_manifest: damaged, want it as pg_basebackup wrote it")
    listed = set[str]()
    size = 0
    for entry in manifest["Files"]:
        name = entry.get("Path") or os.fsdecode(bytes.fromhex(entry["Encoded-Path"]))
        listed.add(name)
        if name in NOT_IN_MANIFEST:
            continue
        path = cluster / name
        try:
            with path.open("rb") as file:
                got = digest_of(file)
        except OSError as error:
            raise LaunchError(
                f"{path}: {error.strerror}, want it as the manifest has it"
            ) from error
        if got != entry["Checksum"]:
            raise LaunchError(f"{path}: got other bytes than were backed up, want another backup")
        size += entry["Size"]
    for path in cluster.rglob("*"):
        name = str(path.relative_to(cluster))
        # The log has checksums of its own, in each record.
        in_log = name.startswith("pg_wal/")
        if path.is_file() and name not in listed | NOT_IN_MANIFEST and not in_log:
            raise LaunchError(
                f"{path}: is not in the manifest, want what pg_basebackup wrote alone"
            )
    return size


def digest_of(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(READ_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def key_digest(gateway_key: Path) -> str:
    """Tells one secret key from another, and nothing of either."""
    try:
        secret = gateway_key.read_text().strip()
    except FileNotFoundError:
        return ""
    return hashlib.sha256(b"touchledger backup\0" + secret.encode()).hexdigest()


def reason_of(error: OSError) -> str:
    """Of a copy of many files, whose error has no reason of its own, the first file's."""
    if isinstance(error, shutil.Error):
        [(_, _, why), *_] = error.args[0]
        return str(why)
    return error.strerror or type(error).__name__
