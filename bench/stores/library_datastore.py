"""How the eventsourcing library's recorders reach their database: with a connection for each caller."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from eventsourcing.postgres import PostgresDatastore

POOL_OPEN_SECONDS_MAX = 20.0


@contextmanager
def datastore(url: str, connections: int) -> Iterator[PostgresDatastore]:
    parts = urlsplit(url)
    opened = PostgresDatastore(
        parts.path.removeprefix("/"),
        parts.hostname or "",
        parts.port or "",
        parts.username or "",
        parts.password or "",
        pool_size=connections,
    )
    try:
        # All connections are there before the time.
        opened.pool.open(wait=True, timeout=POOL_OPEN_SECONDS_MAX)
        yield opened
    finally:
        opened.close()
