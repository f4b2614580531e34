"""Keeps events in a file until they are published; what was added survives kill -9 and loss of power.

First in, first out. One process at a time has the file open. What leaves it is counted in the same
transaction, so that every event that was ever added is accounted for.
"""

import contextlib
import os
import re
import sqlite3
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchledger.v1 import events_pb2, ingest_pb2, problem_pb2
from touchledger_client.event_ids import next_event_id
from touchledger_client.timestamps import timestamp

# What SCHEMA writes into a spool.
APPLICATION_ID = 1_414_296_432  # "TLsp"
SCHEMA_VERSION = 1
# The contract's limit on one event; a larger one would only be refused at the end of its way.
EVENT_BYTES_MAX = 64 * 1024
# Long enough for a predecessor to end, short enough that a second till process is told soon.
LOCK_SECONDS_MAX = 2.0
# How much of an event's age a kill may forget while nothing is added or sent.
TIME_SAVED_EVERY_SECONDS = 60.0
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

SCHEMA = """
PRAGMA application_id = 1414296432;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
BEGIN;
-- AUTOINCREMENT, because a number that came back would let an old answer settle a new event.
CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    added_ms INTEGER NOT NULL,  -- state.open_ms at that moment
    checksum INTEGER NOT NULL,
    content BLOB NOT NULL
);
CREATE TABLE rejected (
    number INTEGER PRIMARY KEY,
    content BLOB NOT NULL,
    problem BLOB NOT NULL
);
-- One row. Counts are of the whole life of the file, but for what waits.
CREATE TABLE state (
    open_ms INTEGER NOT NULL,  -- how long the spool was open, all in all
    last_event_id TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    waiting_bytes INTEGER NOT NULL,
    recorded INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    rejected_dropped INTEGER NOT NULL,
    evicted INTEGER NOT NULL
);
INSERT INTO state VALUES (0, '', 0, 0, 0, 0, 0, 0, 0, 0, 0);
COMMIT;
"""
PRAGMAS = """
-- No second process, and no shared memory file beside the spool.
PRAGMA locking_mode = EXCLUSIVE;
-- Every commit is on the disk before it returns; on macOS the next two are what makes it so.
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;
PRAGMA checkpoint_fullfsync = ON;
-- What was published leaves no traces in free pages: events hold what customers said.
PRAGMA secure_delete = ON;
"""
LAST_EVENT_ID = "SELECT last_event_id FROM state"
ADD = "INSERT INTO event (added_ms, checksum, content) VALUES (?, ?, ?)"
SAVE_ADDED = """
UPDATE state
   SET open_ms = ?, last_event_id = ?, waiting = waiting + ?, waiting_bytes = waiting_bytes + ?
"""
WAITING = "SELECT waiting, waiting_bytes FROM state"
OLDEST = "SELECT number, added_ms, length(content) FROM event ORDER BY number"
EVICT = "DELETE FROM event WHERE number <= ?"
SAVE_EVICTED = """
UPDATE state
   SET evicted = evicted + ?, waiting = waiting - ?, waiting_bytes = waiting_bytes - ?
"""
SAVE_TIME = "UPDATE state SET open_ms = ?"
FIRST = "SELECT number, checksum, content FROM event ORDER BY number LIMIT ?"
REMOVE = "DELETE FROM event WHERE number = ?"
SAVE_SETTLED = """
UPDATE state
   SET open_ms = ?, waiting = waiting - ?, waiting_bytes = waiting_bytes - ?,
       recorded = recorded + ?, queued = queued + ?, duplicate = duplicate + ?,
       quarantined = quarantined + ?, rejected = rejected + ?
"""
# The dispositions that end an event's stay, in the order of SAVE_SETTLED.
ENDS = (
    ingest_pb2.DISPOSITION_RECORDED,
    ingest_pb2.DISPOSITION_QUEUED,
    ingest_pb2.DISPOSITION_DUPLICATE,
    ingest_pb2.DISPOSITION_QUARANTINED,
    ingest_pb2.DISPOSITION_REJECTED,
)
KEEP_REJECTED = "INSERT INTO rejected (number, content, problem) VALUES (?, ?, ?)"
NEWEST_REJECTED = "SELECT number, length(content) FROM rejected ORDER BY number DESC"
DROP_REJECTED = "DELETE FROM rejected WHERE number <= ?"
SAVE_DROPPED = "UPDATE state SET rejected_dropped = rejected_dropped + ?"
READ_REJECTED = "SELECT number, content, problem FROM rejected ORDER BY number LIMIT ?"
FORGET_REJECTED = "DELETE FROM rejected WHERE number = ?"
LAST_NUMBER = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'"
ANY_UP_TO = "SELECT EXISTS (SELECT 1 FROM event WHERE number <= ?)"
COUNTS = """
SELECT waiting, waiting_bytes, recorded, queued, duplicate, quarantined, rejected, evicted,
       (SELECT count(*) FROM rejected), rejected_dropped
  FROM state
"""


class SpoolError(Exception):
    """The spool can't do what was asked. What it had kept, it still keeps."""


class SpoolInUse(SpoolError):
    """Another process, or another client of this one, has the file open."""


class SpoolCorrupt(SpoolError):
    """The file is damaged. It lies whole at `moved_to`; the next who opens the spool gets an empty one."""

    def __init__(self, message: str, moved_to: Path) -> None:
        super().__init__(message)
        self.moved_to = moved_to


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolLimits:
    """What is kept while nothing can be sent. Beyond any of them the oldest events go, and are counted."""

    # Weeks of an offline till that makes some thousand events a day.
    events_max: int = 50_000
    # Of events; the file is somewhat larger.
    bytes_max: int = 256 * 1024 * 1024
    # Of the time that the spool was open. The wall's clock is not asked: a till that wakes up in 1970 and is
    # then put right would lose everything at that moment.
    age_seconds_max: float = 7 * 24 * 3600.0
    # Rejected events are kept for whoever looks after the till, as long as there is room.
    rejected_events_max: int = 1_000
    rejected_bytes_max: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Spooled:
    """One event that waits, and its place in the order."""

    number: int
    content: bytes
    # False: it is not what was added, the disk has changed it.
    sound: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an event, for good: one of ENDS."""

    spooled: Spooled
    disposition: int
    # Set when it is rejected.
    problem: problem_pb2.Problem


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that will not be published as it is, and why."""

    number: int
    # The serialised event; where the disk has changed it, no event any more.
    content: bytes
    problem: problem_pb2.Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolCounts:
    """Of the whole life of the file: each event that was added waits or is in one of the six after."""

    waiting: int
    waiting_bytes: int
    recorded: int
    queued: int
    duplicate: int
    quarantined: int
    rejected: int
    # Dropped for a limit. One that was under way just then may have been published all the same.
    evicted: int
    # How many of the rejected can still be looked at, and how many had to make room for newer ones.
    rejected_kept: int
    rejected_dropped: int
    # Damaged files of before, which lie beside the spool.
    moved_aside: tuple[Path, ...]


class Spool:
    """All methods may be called from any thread, wait for the disk, and raise SpoolError."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        limits: SpoolLimits | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens the file, or makes it; its folder must be there."""
        self._path = Path(os.path.abspath(path))
        self._limits = limits or SpoolLimits()
        self._clock = clock
        self._monotonic = monotonic
        self._turn = threading.Lock()
        # A child of fork shares the connection without its locks, and would ruin the file.
        self._pid = os.getpid()
        with _told_as_spool_errors(self._path):
            if not self._path.exists():
                _create(self._path)
            self._db = _open(self._path)
            [[self._saved_ms]] = self._db.execute("SELECT open_ms FROM state")
        self._opened_at = monotonic() - self._saved_ms / 1000

    def add(self, events: Sequence[events_pb2.Event]) -> list[str]:
        """Keeps all of the events, durably, or none; returns their ids.

        An event without an id gets a UUIDv7, one without the time when it occurred gets the present time.
        Raises ValueError when one is too large.
        """
        event_ids = list[str]()
        contents = list[bytes]()
        with self._transaction() as db:
            now = self._clock()
            [[last_made]] = db.execute(LAST_EVENT_ID)
            for given in events:
                event = events_pb2.Event()
                event.CopyFrom(given)
                if not event.event_id:
                    event.event_id = last_made = next_event_id(last_made, int(now * 1000))
                if not event.HasField("occurred_at"):
                    event.occurred_at.CopyFrom(timestamp(now))
                event_ids.append(event.event_id)
                contents.append(_serialised(event))
            open_ms = self._open_ms()
            db.executemany(ADD, ((open_ms, zlib.crc32(each), each) for each in contents))
            size = sum(map(len, contents))
            db.execute(SAVE_ADDED, (open_ms, last_made, len(contents), size))
            self._evict(db)
        return event_ids

    def first(self, *, events_max: int, bytes_max: int) -> list[Spooled]:
        """The oldest events, in order: at least one where any waits. They stay until they are settled."""
        found = list[Spooled]()
        size = 0
        with self._transaction() as db:
            if self._open_ms() - self._saved_ms >= TIME_SAVED_EVERY_SECONDS * 1000:
                self._saved_ms = self._open_ms()
                db.execute(SAVE_TIME, (self._saved_ms,))
            self._evict(db)
            with contextlib.closing(db.execute(FIRST, (events_max,))) as rows:
                for number, checksum, content in rows:
                    size += len(content)
                    if found and size > bytes_max:
                        break
                    found.append(Spooled(number, content, zlib.crc32(content) == checksum))
        return found

    def settle(self, settled: Sequence[Settled]) -> None:
        """Takes events out that `first` gave; the rejected ones are kept apart."""
        counts = Counter[int]()
        size = 0
        with self._transaction() as db:
            for each in settled:
                # None, when it was evicted meanwhile, and counted so.
                if db.execute(REMOVE, (each.spooled.number,)).rowcount:
                    counts[each.disposition] += 1
                    size += len(each.spooled.content)
                    if each.disposition == ingest_pb2.DISPOSITION_REJECTED:
                        problem = each.problem.SerializeToString()
                        kept = (each.spooled.number, each.spooled.content, problem)
                        db.execute(KEEP_REJECTED, kept)
            ends = [counts[disposition] for disposition in ENDS]
            db.execute(SAVE_SETTLED, (self._open_ms(), sum(ends), size, *ends))
            if counts[ingest_pb2.DISPOSITION_REJECTED]:
                self._drop_rejected(db)

    def last_number(self) -> int:
        """Of the event that was added last; 0 before the first."""
        [[number]] = self._read(LAST_NUMBER)
        return int(number)

    def holds_up_to(self, number: int) -> bool:
        """Whether that event or an earlier one waits."""
        [[holds]] = self._read(ANY_UP_TO, number)
        return bool(holds)

    def rejected(self, events_max: int) -> list[Rejected]:
        """The oldest of those that are kept."""
        return [
            Rejected(number, content, problem_pb2.Problem.FromString(problem))
            for number, content, problem in self._read(READ_REJECTED, events_max)
        ]

    def forget_rejected(self, numbers: Sequence[int]) -> None:
        """Whoever looks after the till has seen them."""
        with self._transaction() as db:
            db.executemany(FORGET_REJECTED, ((number,) for number in numbers))

    def counts(self) -> SpoolCounts:
        [row] = self._read(COUNTS)
        return SpoolCounts(
            waiting=row[0],
            waiting_bytes=row[1],
            recorded=row[2],
            queued=row[3],
            duplicate=row[4],
            quarantined=row[5],
            rejected=row[6],
            evicted=row[7],
            rejected_kept=row[8],
            rejected_dropped=row[9],
            moved_aside=_moved_aside(self._path),
        )

    def close(self) -> None:
        """Gives the file free. May be called twice."""
        with self._turn, _told_as_spool_errors(self._path):
            self._db.close()

    def _open_ms(self) -> int:
        return int((self._monotonic() - self._opened_at) * 1000)

    def _evict(self, db: sqlite3.Connection) -> None:
        """The oldest go until all limits are kept: on most calls one row is looked at."""
        [[count, size]] = db.execute(WAITING)
        too_old_ms = self._open_ms() - self._limits.age_seconds_max * 1000
        gone, gone_bytes, last = 0, 0, 0
        with contextlib.closing(db.execute(OLDEST)) as rows:
            for number, added_ms, length in rows:
                if (
                    count - gone <= self._limits.events_max
                    and size - gone_bytes <= self._limits.bytes_max
                    and added_ms >= too_old_ms
                ):
                    break
                gone, gone_bytes, last = gone + 1, gone_bytes + length, number
        if gone:
            db.execute(EVICT, (last,))
            db.execute(SAVE_EVICTED, (gone, gone, gone_bytes))

    def _drop_rejected(self, db: sqlite3.Connection) -> None:
        size = 0
        for kept, (number, length) in enumerate(db.execute(NEWEST_REJECTED).fetchall()):
            size += length
            if kept >= self._limits.rejected_events_max or size > self._limits.rejected_bytes_max:
                db.execute(SAVE_DROPPED, (db.execute(DROP_REJECTED, (number,)).rowcount,))
                return

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn, _told_as_spool_errors(self._path):
            self._check_process()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, statement: str, *parameters: object) -> list[Any]:
        with self._turn, _told_as_spool_errors(self._path):
            self._check_process()
            return self._db.execute(statement, parameters).fetchall()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise SpoolError(
                f"{self._path}: opened before a fork, want it opened in the process that uses it"
            )


def _serialised(event: events_pb2.Event) -> bytes:
    content = event.SerializeToString()
    if len(content) > EVENT_BYTES_MAX:
        raise ValueError(f"event: got {len(content)} bytes, want at most {EVENT_BYTES_MAX}")
    return content


def _create(path: Path) -> None:
    """Whole or not at all, so that an empty file is one that was damaged. Its owner alone can read it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    os.close(handle)
    try:
        with contextlib.closing(sqlite3.connect(name, isolation_level=None)) as db:
            db.executescript(SCHEMA)
        # Never over a file that another process has made meanwhile.
        with contextlib.suppress(FileExistsError):
            (os.rename if os.name == "nt" else os.link)(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    if os.name != "nt":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(
        path, isolation_level=None, timeout=LOCK_SECONDS_MAX, check_same_thread=False
    )
    try:
        if path.stat().st_size == 0:
            raise _Damaged
        db.executescript(PRAGMAS)
        # Held until the connection is closed or its process has ended, however it ends.
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        _check_kind(db, path)
        if db.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise _Damaged
    except BaseException as error:
        db.close()
        if isinstance(error, _Damaged) or _is_damage(error):
            moved_to = _move_aside(path)
            raise SpoolCorrupt(
                f"{path}: damaged, moved to {moved_to}; the next start begins with an empty spool",
                moved_to,
            ) from None
        raise
    return db


class _Damaged(Exception):
    pass


def _is_damage(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and _code(error) in DAMAGE


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for what Python's module says itself, such as of a closed file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _check_kind(db: sqlite3.Connection, path: Path) -> None:
    [[application]] = db.execute("PRAGMA application_id")
    [[version]] = db.execute("PRAGMA user_version")
    if application != APPLICATION_ID:
        raise SpoolError(f"{path}: another program's database, want a spool")
    if version != SCHEMA_VERSION:
        raise SpoolError(
            f"{path}: a spool of version {version}, want {SCHEMA_VERSION}; it is left as it is"
        )


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    # What was committed last may stand in the log alone; SQLite's tools look for it beside the file.
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


def _moved_aside(path: Path) -> tuple[Path, ...]:
    aside = re.compile(re.escape(path.name) + r"\.corrupt-\d+")
    return tuple(sorted(each for each in path.parent.iterdir() if aside.fullmatch(each.name)))


@contextlib.contextmanager
def _told_as_spool_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) == sqlite3.SQLITE_BUSY:
            raise SpoolInUse(f"{path}: in use, want a spool for each process") from None
        if _is_damage(error):
            raise SpoolError(f"{path}: damaged; open it again, which moves it aside") from None
        # SQLite's own words: a full disk, a missing right, a closed file. They quote no values.
        raise SpoolError(f"{path}: {error}") from None
    except OSError as error:
        raise SpoolError(f"{path}: {error.strerror}") from None
