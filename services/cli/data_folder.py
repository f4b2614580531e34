"""The data folder: everything that one `touchledger up` keeps, readable by its owner alone.

Secrets are written once and whole, `system.json` tells the other commands where the running system
is, and the lock lets one launcher in at a time. What the files mean is left to those that use them.

    postgres/     the embedded cluster (`up --cluster` has postgres-1/, postgres-2/ and nats-1/ to nats-3/)
    logs/         one file per process, appended to
    secrets/      passwords and keys            system.json  addresses, while the system runs
    lock          held by the launcher, its process id inside
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

# The variable of the environment that tells on which folder a process was started.
PROCESS_MARK = "TOUCHLEDGER_LAUNCHED_ON"
DEFAULT_DATA_FOLDER = ".touchledger"


class LaunchError(Exception):
    """Why the system cannot start or go on, as one line for a person: what, got, want."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of `up --cluster`, as it was when it was last written down."""

    name: str
    # "gateway", "touchpoint", "scoring", "postgres", "nats".
    kind: str
    address: str
    # None while it is dead.
    pid: int | None
    log: str
    # Where it listens for HTTP, too.
    http: str = ""
    # What a person is told of it, such as "primary".
    doing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSystem:
    """What `system.json` says."""

    pid: int
    # HOST:PORT, or "ipv4:HOST:PORT,HOST:PORT" of several gateways.
    grpc: str
    http: str
    sql: str
    key_file: str
    parts: tuple[Part, ...] = ()


class DataFolder:
    def __init__(self, path: Path) -> None:
        # Absolute, since children and later commands may run elsewhere.
        self.path = Path(os.path.abspath(path))
        self.postgres = self.path / "postgres"
        self.logs = self.path / "logs"
        self.secrets = self.path / "secrets"
        self.gateway_key = self.secrets / "gateway.key"
        self.local_key = self.secrets / "local.key"
        self.peers_secret = self.secrets / "peers.secret"
        self.system_file = self.path / "system.json"
        self.lock_file = self.path / "lock"
        self._mark = ""

    def create(self) -> None:
        """Creates what is missing. An existing folder keeps its mode: it may hold other things."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.logs, self.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)
            self.secrets.chmod(0o700)
            identity = self.path.stat()
        except OSError as e:
            raise self._not_writable(e) from e
        self._mark = f"{identity.st_dev}:{identity.st_ino}:{self.path}"

    @property
    def mark(self) -> str:
        """Names the folder itself, once created: in another container its path is another's.

        Taken at the start, since a stop must go well even if the folder is deleted meanwhile.
        """
        assert self._mark, "the folder has not been created"
        return self._mark

    @property
    def marked(self) -> dict[str, str]:
        """What the environment of each process has that is started on the folder."""
        return {PROCESS_MARK: self.mark}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder; the kernel lets go when the process dies, whatever kills it."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as e:
            raise self._not_writable(e) from e
        with os.fdopen(descriptor, "r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise LaunchError(
                    f"data folder {self.path}: in use by process {lock.read().strip() or '?'}, "
                    "want one `touchledger up` per folder: stop that one or give another --data"
                ) from e
            except OSError as e:
                raise LaunchError(
                    f"data folder {self.path}: cannot be locked ({e.strerror}), "
                    "want a local file system: give another --data"
                ) from e
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def log(self, name: str) -> "LogFile":
        return LogFile(self.logs / f"{name}.log")

    def password(self, role: str, *, must_exist: bool = False) -> str:
        """The password of a database role, made at the first call."""
        return self._secret(self.secrets / f"{role}.password", must_exist=must_exist)

    def ensure_gateway_key(self, *, must_exist: bool) -> None:
        """The gateway's master key. What it has sealed cannot be read with another one."""
        self._secret(self.gateway_key, must_exist=must_exist)

    def ensure_peers_secret(self) -> None:
        """What the services show each other, so that no other user of the machine can speak for one."""
        self._secret(self.peers_secret, must_exist=False)

    def write_running(self, system: RunningSystem) -> None:
        self._write_whole(self.system_file, json.dumps(asdict(system), indent=2) + "\n")

    def remove_running(self) -> None:
        self.system_file.unlink(missing_ok=True)

    def running(self) -> RunningSystem | None:
        """The system that runs on this folder; None without one, a killed one included."""
        try:
            told = json.loads(self.system_file.read_text())
            told["parts"] = tuple(Part(**each) for each in told.get("parts", ()))
            system = RunningSystem(**told)
            os.kill(system.pid, 0)
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            return None
        except PermissionError as e:
            # A process of another user lives; a file of another user is for them alone.
            if e.filename is None:
                return system
            raise LaunchError(
                f"{self.system_file}: cannot be read ({e.strerror}), want its owner's account"
            ) from e
        except (ValueError, TypeError) as e:
            raise LaunchError(
                f"{self.system_file}: not readable, want what this version of `touchledger up` "
                "writes: stop the system and start it again"
            ) from e
        return system

    def processes(self) -> list[psutil.Process]:
        """Whatever was started with the mark in its environment and lives, grandchildren included."""
        mark, found = self.mark, []
        for process in psutil.process_iter():
            # Gone meanwhile, or another user's, which is none of ours.
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(PROCESS_MARK) == mark:
                    found.append(process)
        return found

    def _secret(self, path: Path, *, must_exist: bool) -> str:
        try:
            return path.read_text().strip()
        except FileNotFoundError as e:
            if must_exist:
                raise LaunchError(
                    f"{path}: missing, want the secret that the existing database was made with: "
                    "put it back, or start anew with another --data"
                ) from e
        except OSError as e:
            raise LaunchError(
                f"{path}: cannot be read ({e.strerror}), want its owner's account"
            ) from e
        value = secrets.token_hex(32)
        self._write_whole(path, value + "\n")
        return value

    def _write_whole(self, path: Path, content: str) -> None:
        """A reader, or a start after a crash, sees the old file or the new one, never a part."""
        try:
            written = path.with_name(path.name + ".new")
            written.unlink(missing_ok=True)
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            written.rename(path)
            sync_folder(path.parent)
        except OSError as e:
            raise self._not_writable(e) from e

    def _not_writable(self, error: OSError) -> LaunchError:
        reason = error.strerror or os.strerror(error.errno or errno.EIO)
        return LaunchError(
            f"data folder {self.path}: cannot be written ({reason}), "
            "want a folder that this user may write: give one with --data or TOUCHLEDGER_DATA"
        )


class LogFile:
    """One process's log. An error quotes what this run wrote, never what an earlier one did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin = path.stat().st_size if path.exists() else 0

    def open(self) -> BinaryIO:
        return os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")

    def exit_report(self, name: str, returncode: int) -> str:
        if returncode >= 0:
            how = f"exit code {returncode}"
        else:
            how = f"killed by {signal.Signals(-returncode).name}"
        return f"{name} ended unexpectedly ({how}), the end of {self.path}:\n{self.last_lines()}"

    def last_lines(self, count: int = 12) -> str:
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            # 16 KiB hold a dozen lines of any sane log, and bound what a mad one costs.
            file.seek(max(self._begin, self.path.stat().st_size - 16_384))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-count:])


def sync_folder(folder: Path) -> None:
    """Makes a rename in it survive a power cut: the name is the folder's content, not the file's."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
