"""Streams the embedded cluster's log into the backup folder, so that any moment can be restored.

pg_receivewal writes what is committed within milliseconds, also of a piece that is not full. It goes by a
replication slot: what could not be streamed is kept by the server and comes later, up to a bound, so that a
backup disk that is full or away never stops an append. Beyond the bound the log in the folder has a gap,
which is said, and a new `touchledger backup` is wanted.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable

import asyncpg

from services.cli import postgres_tools
from services.cli.backup_folder import BackupFolder
from services.cli.data_folder import LaunchError, LogFile

SLOT = "touchledger_archive"
# What the server keeps for a backup folder that is away; at 10 000 events a second some twenty minutes.
KEPT_LOG_BYTES_MAX = 8 * 1024**3
# How often a reader that has ended is started again.
RESTART_SECONDS = 10.0
STOP_SECONDS_MAX = 10.0
CONNECT_SECONDS_MAX = 10.0
CLUSTER = "SELECT system_identifier::text FROM pg_control_system()"
SLOT_STATE = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1"
MAKE_SLOT = "SELECT pg_create_physical_replication_slot($1, true)"
DROP_SLOT = "SELECT pg_drop_replication_slot($1)"
# An operator's own bound stays.
BOUND = "SELECT current_setting('max_slot_wal_keep_size') = '-1'"
SET_BOUND = f"ALTER SYSTEM SET max_slot_wal_keep_size = '{KEPT_LOG_BYTES_MAX // 1024**2}MB'"
RELOAD = "SELECT pg_reload_conf()"


class WalArchive:
    """Streams from `start` on; `keep_going` starts it again where it has ended."""

    def __init__(self, folder: BackupFolder, *, log: LogFile, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._log = log
        self._say = say
        self._url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._held = contextlib.ExitStack()

    async def prepare(self, admin_url: str) -> None:
        """Claims the folder for this cluster and makes the slot. Raises LaunchError."""
        self._url = admin_url
        self._folder.create()
        self._held.enter_context(self._folder.locked("wal"))
        admin = await asyncpg.connect(
            admin_url, timeout=CONNECT_SECONDS_MAX, command_timeout=CONNECT_SECONDS_MAX
        )
        try:
            self._folder.claim(await admin.fetchval(CLUSTER))
            if await admin.fetchval(BOUND):
                await admin.execute(SET_BOUND)
                await admin.execute(RELOAD)
            state = await admin.fetchval(SLOT_STATE, SLOT)
            if state == "lost":
                await admin.execute(DROP_SLOT, SLOT)
                self._say(
                    f"The log in {self._folder.wal} has a gap: it could not be written for too long. "
                    f"Take a backup now: touchledger backup {self._folder.path}"
                )
            if state in (None, "lost"):
                await admin.execute(MAKE_SLOT, SLOT)
        except asyncpg.PostgresError as error:
            raise LaunchError(f"PostgreSQL: its log cannot be streamed ({error})") from error
        finally:
            await admin.close(timeout=CONNECT_SECONDS_MAX)

    def start(self) -> None:
        shown, environment = postgres_tools.connection(self._url)
        with self._log.open() as log:
            self._process = subprocess.Popen(
                postgres_tools.tool(
                    *("pg_receivewal", f"--directory={self._folder.wal}", f"--slot={SLOT}"),
                    # Each commit is flushed as it comes, and the server told so.
                    *("--synchronous", "--no-password", f"--dbname={shown}"),
                ),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=os.sep,
                start_new_session=True,
            )
        self._started_at = time.monotonic()

    def keep_going(self) -> None:
        """A backup that can't be written is no reason to stop appending."""
        if self._process is None or self._process.poll() is None:
            return
        if time.monotonic() - self._started_at >= RESTART_SECONDS:
            self._say(f"The log is not streamed to {self._folder.wal}, see {self._log.path}")
            self.start()

    def stop(self) -> None:
        """After the server, which stops once all of its log is read."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._held.close()
