"""message-db's write_message, installed from its npm package when the bench runs.

It writes one message a call, so a batch is a transaction of calls. The payload is the event as JSON, which
it wants; each event is a stream of its own in one category, whose lock its commits queue for.
"""

import asyncio
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.contender import Contender, NotRun, Run
from bench.events import Event
from bench.journal_goals import MESSAGE_DB
from bench.place import Place
from bench.timing import by_tasks

PACKAGE = "@eventide/message-db@1.3.1"
FETCH_SECONDS_MAX = 60.0
# The order of its own install.sh. Left out: the extension pgcrypto, which the wheel's server does not have
# and PostgreSQL 13 and newer do not need for it; the role, its privileges, and the views for people.
SQL_FILES = (
    "schema/message-store.sql",
    "tables/messages.sql",
    "types/message.sql",
    "functions/message-store-version.sql",
    "functions/hash-64.sql",
    "functions/acquire-lock.sql",
    "functions/category.sql",
    "functions/is-category.sql",
    "functions/id.sql",
    "functions/cardinal-id.sql",
    "functions/stream-version.sql",
    "functions/write-message.sql",
    "indexes/messages-id.sql",
    "indexes/messages-stream.sql",
    "indexes/messages-category.sql",
)
SEARCH_PATH = "SET search_path TO message_store, public"
WRITE = "SELECT write_message($1, $2, $3, $4)"
Messages = list[tuple[str, str, str, str]]


@dataclass(frozen=True, slots=True)
class MessageDb:
    place: Place
    url: str

    async def run(self, batches: Sequence[Sequence[Event]], callers: int) -> Run:
        work = [[_message(event) for event in batch] for batch in batches]
        async with self.place.connections(self.url, callers) as connections:
            for connection in connections:
                await connection.execute(SEARCH_PATH)
            before = await connections[0].fetchval("SELECT count(*) FROM messages")
            timing = await by_tasks(work, [_writer(each) for each in connections])
            after = await connections[0].fetchval("SELECT count(*) FROM messages")
        return Run(timing, after - before)


def _message(event: Event) -> tuple[str, str, str, str]:
    return event.id, f"interaction-{event.id}", event.template.topic, event.json


def _writer(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> Callable[[Messages], Awaitable[None]]:
    async def write(messages: Messages) -> None:
        if len(messages) == 1:
            await connection.execute(WRITE, *messages[0])
        else:
            # In one transaction, pipelined.
            await connection.executemany(WRITE, messages)

    return write


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[MessageDb]:
    package = await _package(place.folder / "message-db")
    async with place.database("message_db") as url:
        async with place.connection(url) as connection:
            await connection.execute("CREATE SCHEMA message_store")
            await connection.execute(SEARCH_PATH)
            for file in SQL_FILES:
                await connection.execute((package / "database" / file).read_text())
        yield MessageDb(place, url)


async def _package(folder: Path) -> Path:
    """The unpacked package, fetched for the first round."""
    unpacked = folder / "package"
    if unpacked.exists():
        return unpacked
    folder.mkdir(exist_ok=True)
    try:
        npm = await asyncio.create_subprocess_exec(
            *("npm", "pack", "--silent", PACKAGE),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise NotRun("npm, which its package comes with, is not installed here") from None
    try:
        async with asyncio.timeout(FETCH_SECONDS_MAX):
            await npm.wait()
    except TimeoutError:
        raise NotRun(f"npm did not fetch {PACKAGE} within {FETCH_SECONDS_MAX:.0f} s") from None
    finally:
        if npm.returncode is None:
            npm.kill()
            await npm.wait()
    archive = next(folder.glob("*.tgz"), None)
    if npm.returncode or archive is None:
        raise NotRun(f"npm could not fetch {PACKAGE}")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return unpacked


CONTENDER = Contender("message-db", MESSAGE_DB, opened)
