"""The journal for threads that block: its asyncio loop in a thread of its own.

What goes wrong there comes out as the exceptions of the eventsourcing library. Nothing that stores is
repeated: after a lost answer only the caller can tell whether storing again is right.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from eventsourcing import persistence

from services.chassis.errors import DATABASE_AWAY, Corrupt, Exhausted, Unavailable
from services.chassis.postgres import (
    COMMAND_TIMEOUT_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    Connection,
    Pool,
    durability_gaps,
)
from services.touchpoint.appender import VersionConflict
from services.touchpoint.journal import Journal

T = TypeVar("T")

# As in the service: one connection appends, the others read. They are opened when they are needed.
CONNECTIONS_MAX = 8
# The append lock is held for milliseconds; a wait this long means that its holder hangs.
LOCK_TIMEOUT = "5s"
OPEN_SECONDS_MAX = 10.0
# The longest that a call blocks its thread. One statement may take as long.
CALL_SECONDS_MAX = COMMAND_TIMEOUT_SECONDS
# How soon a read is repeated whose database was away: a restart takes seconds.
READ_AGAIN_SECONDS = 0.2
# Calls under way get so long to end when the journal is closed.
CLOSE_SECONDS_MAX = 5.0

HAS_LIBRARY_TABLES = "SELECT to_regclass('journal.library_tracking') IS NOT NULL"
# The first that fits counts.
LIBRARY_ERRORS: tuple[
    tuple[type[Exception] | tuple[type[Exception], ...], type[persistence.PersistenceError]], ...
] = (
    (VersionConflict, persistence.IntegrityError),
    (asyncpg.IntegrityConstraintViolationError, persistence.IntegrityError),
    (asyncpg.SyntaxOrAccessError, persistence.ProgrammingError),
    (asyncpg.FeatureNotSupportedError, persistence.NotSupportedError),
    (asyncpg.DataError, persistence.DataError),
    (asyncpg.InterfaceError, persistence.InterfaceError),
    (concurrent.futures.CancelledError, persistence.InterfaceError),
    (DATABASE_AWAY, persistence.OperationalError),
    ((Exhausted, Unavailable), persistence.OperationalError),
    (asyncpg.TransactionRollbackError, persistence.OperationalError),
    (asyncpg.InvalidAuthorizationSpecificationError, persistence.OperationalError),
    (Corrupt, persistence.InternalError),
    (asyncpg.PostgresError, persistence.DatabaseError),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """What lives in the thread."""

    loop: asyncio.AbstractEventLoop
    pool: Pool
    journal: Journal
    closing: asyncio.Event


class JournalThread:
    """Closes itself, too, when nobody refers to it any more: the library forgets to close some factories."""

    def __init__(self, url: str, *, unsafe_durability: bool) -> None:
        opening = concurrent.futures.Future[Opened]()
        self._thread = threading.Thread(
            # Nothing of self: the thread would keep it alive.
            target=_run,
            args=(url, unsafe_durability, opening),
            name="touchledger journal",
            daemon=True,
        )
        self._thread.start()
        with library_errors():
            # The thread has the deadline, and always answers.
            self._opened = opening.result()
        self.close = weakref.finalize(self, _close, self._thread, self._opened)
        # Told after each append of this process, for those who wait for more. A hint: others append too.
        self.appended = threading.Condition()

    def call(self, work: Callable[[Journal], Coroutine[Any, Any, T]]) -> T:
        """The result of work on the journal; it is given up, perhaps half done, after CALL_SECONDS_MAX."""
        return self._wait_for(work(self._opened.journal))

    def read(self, work: Callable[[Journal], Awaitable[T]]) -> T:
        """As `call`, repeated while the database is away: for what stores nothing."""
        journal = self._opened.journal
        return self._wait_for(_repeated(lambda: work(journal)))

    def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Reads, repeated while the database is away."""
        pool = self._opened.pool
        return self._wait_for(_repeated(lambda: pool.fetch(query, *arguments)))

    def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """The result of work in a transaction of its own."""
        return self._wait_for(_in_transaction(self._opened.pool, work))

    def _wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            # After a fork there is no thread in the child.
            if not self.close.alive or not self._thread.is_alive():
                raise RuntimeError
            future = asyncio.run_coroutine_threadsafe(coroutine, self._opened.loop)
        except RuntimeError:
            coroutine.close()
            raise persistence.InterfaceError("the journal: closed, want it open") from None
        with library_errors():
            try:
                return future.result(CALL_SECONDS_MAX)
            finally:
                # Nothing if it is done.
                future.cancel()


@contextlib.contextmanager
def library_errors() -> Iterator[None]:
    """Raises what the library's callers know to catch; what has no place there, such as a bug, as it is."""
    try:
        yield
    except ValueError:
        # Of asyncpg, too: its word for an argument of the wrong type, which is a bug.
        raise
    except Exception as error:
        for ours, theirs in LIBRARY_ERRORS:
            if isinstance(error, ours):
                raise theirs(f"{type(error).__name__}: {error}") from error
        raise


def _run(url: str, unsafe_durability: bool, opening: "concurrent.futures.Future[Opened]") -> None:
    try:
        asyncio.run(_keep_open(url, unsafe_durability, opening))
    except BaseException as error:
        if opening.done():
            raise
        opening.set_exception(error)


async def _keep_open(
    url: str, unsafe_durability: bool, opening: "concurrent.futures.Future[Opened]"
) -> None:
    async with asyncio.timeout(OPEN_SECONDS_MAX):
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings={
                "application_name": "touchledger-library",
                "timezone": "UTC",
                "idle_in_transaction_session_timeout": "60s",
                "lock_timeout": LOCK_TIMEOUT,
            },
        )
    try:
        async with asyncio.timeout(OPEN_SECONDS_MAX):
            if not await pool.fetchval(HAS_LIBRARY_TABLES):
                raise persistence.ProgrammingError(
                    "the database: got one without the tables of this release, want one that the "
                    "touchpoint service has started on"
                )
            gaps = await durability_gaps(pool)
            if gaps and not unsafe_durability:
                raise persistence.OperationalError(
                    f"the database: got {', '.join(gaps)}, want a server that keeps what it commits"
                )
            closing = asyncio.Event()
            journal = await Journal.open(pool, stopping=closing)
        opening.set_result(Opened(asyncio.get_running_loop(), pool, journal, closing))
        await closing.wait()
    finally:
        # Beyond the deadline, calls under way are cut off.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await pool.close()


def _close(thread: threading.Thread, opened: Opened) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        opened.loop.call_soon_threadsafe(opened.closing.set)
    # The garbage collector may run in any thread.
    if thread is not threading.current_thread():
        thread.join(2 * CLOSE_SECONDS_MAX)


async def _repeated(work: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(CALL_SECONDS_MAX):
        while True:
            try:
                return await work()
            except DATABASE_AWAY as error:
                if isinstance(error, ValueError):  # no outage, see library_errors
                    raise
                await asyncio.sleep(READ_AGAIN_SECONDS)


async def _in_transaction(pool: Pool, work: Callable[[Connection], Awaitable[T]]) -> T:
    async with pool.acquire() as connection, connection.transaction():
        return await work(connection)
