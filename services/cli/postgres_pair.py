"""Two embedded PostgreSQL servers: a commit on the primary is answered once the standby has it on disk, too.

So whatever was acknowledged survives the loss of either one. While the standby is gone nothing is
acknowledged, and there is no switch for it: an acknowledgement on one disk alone would be lost with the next
promotion. A standby that has died is started again, one that can't follow any more is copied anew. A primary
that has died stays dead until a person promotes the standby, or starts the whole system again; after a
promotion the old one becomes the new one's standby.
"""

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from services.cli import embedded_postgres
from services.cli.data_folder import DataFolder, LaunchError, Part
from services.cli.embedded_postgres import EmbeddedPostgres

NAMES = ("postgres-1", "postgres-2")
LOOPBACK = "127.0.0.1"
# Two of each service, a recorder's leases, BI and people: some 120, with room for what is about to close.
CONNECTIONS_MAX = 200
# What the primary keeps of its log for a standby that was away. Without a standby nothing is acknowledged, so
# what is written meanwhile is little.
KEPT_LOG = "1GB"
# How often a standby looks for its primary again; PostgreSQL's own 5 s would be 5 s without an ack.
RETRY_MS = 250
# A standby that has died is started again after this; at once, one that can't start would fill its log.
RESTART_SECONDS = 1.0
# A standby that is sound streams within a second of its start; one that does not is copied anew.
JOIN_SECONDS_MAX = 20.0
# Until both stand at the start, a copy and a crash recovery included.
START_SECONDS_MAX = 300.0
LOOK_EVERY_SECONDS = 0.2
ASK_SECONDS_MAX = 2.0
POLL_SECONDS = 0.05

STANDBY_SIGNAL = "standby.signal"
HISTORY = re.compile(r"([0-9A-F]{8})\.history")
IN_SYNC = """
SELECT EXISTS (SELECT FROM pg_stat_replication
                WHERE application_name = $1 AND state = 'streaming' AND sync_state = 'sync')
"""

Pause = Callable[[float], None]


@dataclass(slots=True, eq=False)
class _Server:
    name: str
    folder: Path
    port: int
    process: EmbeddedPostgres | None = field(default=None, repr=False)

    @property
    def is_standby(self) -> bool:
        return (self.folder / STANDBY_SIGNAL).exists()

    @property
    def old_folder(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.old")

    def timeline(self) -> int:
        """Each promotion begins a new one, and leaves a file of its number."""
        found = (
            HISTORY.fullmatch(each.name) for each in (self.folder / "pg_wal").glob("*.history")
        )
        return max((int(each[1], 16) for each in found if each), default=1)

    def failure(self) -> str | None:
        return self.process.failure() if self.process else None

    def pid(self) -> int | None:
        return self.process.pid if self.process else None


class PostgresPair:
    def __init__(
        self, data: DataFolder, *, ports: Sequence[int], say: Callable[[str], None]
    ) -> None:
        self._data = data
        self._say = say
        servers = [
            _Server(name, data.path / name, port) for name, port in zip(NAMES, ports, strict=True)
        ]
        existing = [each for each in servers if each.folder.exists()]
        # After a promotion that was cut off neither is marked as a standby: the younger timeline counts.
        primaries = sorted(
            (each for each in existing if not each.is_standby),
            key=lambda each: each.timeline(),
            reverse=True,
        )
        if existing and not primaries:
            raise LaunchError(
                f"{data.path}: holds {existing[0].name}, a standby, without its primary, want both: put the "
                f"other one back, or remove {existing[0].folder / STANDBY_SIGNAL} to go on with this one"
            )
        self.exists = bool(existing)
        self._password = data.password(embedded_postgres.ADMIN, must_exist=self.exists)
        self._primary = primaries[0] if primaries else servers[0]
        self._standby = next(each for each in servers if each is not self._primary)
        self._servers = servers
        self._in_sync = False
        self._told_of_death = False
        # When the standby is to be started next, looked at next, and copied anew.
        self._start_at = self._look_at = self._copy_at = 0.0

    @property
    def admin_url(self) -> str:
        """Of whichever is the primary."""
        admin = f"{embedded_postgres.ADMIN}:{self._password}"
        hosts = ",".join(f"{LOOPBACK}:{each.port}" for each in self._servers)
        options = "sslmode=disable&target_session_attrs=primary"
        return f"postgresql://{admin}@{hosts}/postgres?{options}"

    def parts(self) -> list[Part]:
        return [
            Part(
                name=each.name,
                kind="postgres",
                address=f"{LOOPBACK}:{each.port}",
                pid=each.pid(),
                log=str(self._data.log(each.name).path),
                doing=self._doing(each),
            )
            for each in self._servers
        ]

    def _doing(self, server: _Server) -> str:
        if server.pid() is None:
            return "dead" if server is self._primary else "standby, on its way"
        if server is self._primary:
            return "primary"
        return "standby, in sync" if self._in_sync else "standby, on its way"

    def start(self, pause: Pause) -> None:
        """Returns when commits are on both. An exception out of `pause` ends the wait."""
        try:
            self._run(self._primary, pause)
            deadline = time.monotonic() + START_SECONDS_MAX
            while not self._in_sync:
                self.tend(pause)
                if failure := self._primary.failure():
                    raise LaunchError(failure)
                if time.monotonic() > deadline:
                    raise LaunchError(
                        f"{self._standby.name}: not in sync after {START_SECONDS_MAX:.0f} s, "
                        f"see {self._data.log(self._standby.name).path}"
                    )
                pause(POLL_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        # The primary first: it ends when the standby has all of its log.
        for each in (self._primary, self._standby):
            if each.process:
                each.process.stop()

    def tend(self, pause: Pause) -> None:
        """Does what is to be done for what has died or been promoted; to be called again and again."""
        standby = self._standby
        if standby.pid() and not standby.is_standby:
            self._take_over(pause)
        elif standby.failure():
            self._say(
                f"{standby.name}, the standby, has died: nothing is acknowledged until it is back"
            )
            self._lose_standby()
        elif self._primary.failure():
            self._tell_of_death()
        elif not self._in_sync:
            self._join(pause)

    def _take_over(self, pause: Pause) -> None:
        """The standby was promoted: from now on the other one must not be taken for the primary."""
        old, self._primary = self._primary, self._standby
        self._standby = old
        if old.process:
            old.process.kill()
        self._say(f"{self._primary.name} is the primary now")
        self._lose_standby(restart_seconds=0.0)
        self._told_of_death = False

    def _lose_standby(self, *, restart_seconds: float = RESTART_SECONDS) -> None:
        self._standby.process = None
        self._in_sync = False
        self._start_at = time.monotonic() + restart_seconds

    def _tell_of_death(self) -> None:
        if self._told_of_death:
            return
        self._told_of_death = True
        self._say(
            f"{self._primary.name}, the primary, has died: nothing is acknowledged until\n"
            f"  touchledger cluster promote --data {self._data.path}\n"
            f"makes {self._standby.name} the primary, which has everything that was acknowledged"
        )

    def _join(self, pause: Pause) -> None:
        standby, now = self._standby, time.monotonic()
        if standby.process is None:
            if now < self._start_at:
                return
            if not standby.is_standby:
                self._set_aside()
            copying = not standby.folder.exists()
            self._say(
                f"{'Copying' if copying else 'Starting'} {standby.name}, the standby of {self._primary.name}"
            )
            try:
                self._run(standby, pause, copied_from=self._primary)
            except LaunchError as error:
                self._say(str(error))
                self._lose_standby()
                return
            self._copy_at = time.monotonic() + JOIN_SECONDS_MAX
        elif now >= self._look_at:
            self._look_at = now + LOOK_EVERY_SECONDS
            assert self._primary.process is not None
            # The one itself: asked by the list, a dead machine's server would have to time out first.
            if asyncio.run(_in_sync(self._primary.process.admin_url, standby.name)):
                self._in_sync = True
                self._say(f"{standby.name} is in sync with {self._primary.name}")
                shutil.rmtree(standby.old_folder, ignore_errors=True)
            elif now > self._copy_at:
                self._say(f"{standby.name} can't follow {self._primary.name} any more")
                standby.process.stop()
                self._set_aside()
                self._lose_standby()

    def _set_aside(self) -> None:
        """What was a server's folder is kept until its successor is in sync."""
        standby = self._standby
        if standby.folder.exists():
            shutil.rmtree(standby.old_folder, ignore_errors=True)
            standby.folder.rename(standby.old_folder)

    def _run(self, server: _Server, pause: Pause, copied_from: _Server | None = None) -> None:
        other = next(each for each in self._servers if each is not server)
        server.process = EmbeddedPostgres(
            server.folder,
            log=self._data.log(server.name),
            password=self._password,
            port=server.port,
            settings=(
                # By its name: an archive that reads the log, too, is no standby. In force from the first
                # second after a promotion.
                f'synchronous_standby_names=FIRST 1 ("{other.name}")',
                f"cluster_name={server.name}",
                f"max_connections={CONNECTIONS_MAX}",
                f"wal_keep_size={KEPT_LOG}",
                f"wal_retrieve_retry_interval={RETRY_MS}ms",
            ),
            copied_from_port=copied_from.port if copied_from else None,
        )
        if copied_from and server.folder.exists():
            self._point(server, copied_from)
        server.process.start(pause)

    def _point(self, standby: _Server, primary: _Server) -> None:
        """Where a standby streams from, which may have another port than last time.

        In a file rather than an argument: other users can see those, and there is a password in it.
        """
        file = standby.folder / "postgresql.auto.conf"
        kept = [
            line
            for line in file.read_text().splitlines()
            if not line.startswith(("primary_conninfo", "#"))
        ]
        place = f"host={LOOPBACK} port={primary.port} sslmode=disable"
        kept.append(
            f"primary_conninfo = '{place} user={embedded_postgres.ADMIN} password={self._password}'"
        )
        file.write_text("\n".join(kept) + "\n")


async def _in_sync(url: str, name: str) -> bool:
    """False where it can't be asked."""
    with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection = await asyncpg.connect(
            url, timeout=ASK_SECONDS_MAX, command_timeout=ASK_SECONDS_MAX
        )
        try:
            return bool(await connection.fetchval(IN_SYNC, name))
        finally:
            connection.terminate()
    return False
