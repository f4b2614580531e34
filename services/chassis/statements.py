"""Statements as spans and durations, by the name that they have in the code: never their text or a value.

A span is made within a trace alone: what looks around each 0.1 s, for nobody in particular, would bury the
rest.
"""

import functools
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from opentelemetry import trace

from services.chassis import telemetry

if TYPE_CHECKING:
    Base = asyncpg.Connection[asyncpg.Record]
else:
    Base = asyncpg.Connection

durations = telemetry.duration_histogram(
    "db.client.operation.duration", "How long the database took for a statement."
)

# Of text that has no name: put together for its question, or PostgreSQL's own.
VERB = re.compile(
    r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|LOCK|CREATE|ALTER"
    r"|DROP|GRANT|REVOKE|ANALYZE|TRUNCATE|CALL)\b",
    re.IGNORECASE,
)
# Text that is put together for its question may be another one each time, of 30 KB.
KNOWN_TEXTS_MAX = 256


class Connection(Base):
    """For a pool, in the place of asyncpg's own."""

    __slots__ = ()

    # Typed loosely, since asyncpg types each of them several times over.
    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        with _statement(name_of(query)):
            return await super().execute(query, *args, **options)

    async def executemany(self, command: str, *args: Any, **options: Any) -> Any:
        with _statement(name_of(command)):
            return await super().executemany(command, *args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        with _statement(name_of(query)):
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        with _statement(name_of(query)):
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        with _statement(name_of(query)):
            return await super().fetchval(query, *args, **options)

    async def copy_to_table(self, table_name: str, **options: Any) -> Any:
        with _statement(f"COPY {table_name}"):
            return await super().copy_to_table(table_name, **options)

    async def copy_records_to_table(self, table_name: str, **options: Any) -> Any:
        with _statement(f"COPY {table_name}"):
            return await super().copy_records_to_table(table_name, **options)


@functools.lru_cache(KNOWN_TEXTS_MAX)
def name_of(text: str) -> str:
    """Where the statement stands in the code, such as touchpoint.appender.CALL; else what kind it is."""
    found = _names().get(text)
    if found is not None:
        return found
    verb = VERB.match(text)
    return verb[1].upper() if verb else "OTHER"


@functools.cache
def _names() -> dict[str, str]:
    """Of all constants of this process's services: when the first statement runs, all are imported."""
    names = dict[str, str]()
    for module in [*sys.modules.values()]:
        place = getattr(module, "__name__", "")
        if not place.startswith("services."):
            continue
        for name, value in vars(module).items():
            if not name.isupper():
                continue
            at = f"{place.removeprefix('services.')}.{name}"
            if isinstance(value, str) and VERB.match(value):
                names.setdefault(value, at)
            elif isinstance(value, dict):
                for key, each in value.items():
                    if isinstance(key, str) and isinstance(each, str) and VERB.match(each):
                        names.setdefault(each, f"{at}[{key}]")
    return names


@contextmanager
def _statement(name: str) -> Iterator[None]:
    attributes = {"db.system.name": "postgresql", "db.query.summary": name}
    span: trace.Span = trace.INVALID_SPAN
    if trace.get_current_span().is_recording():
        span = telemetry.tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=attributes)
    began = time.perf_counter()
    try:
        yield
    except BaseException as error:
        # The text of an exception may quote a value.
        state = error.sqlstate if isinstance(error, asyncpg.PostgresError) else None
        attributes["error.type"] = state or type(error).__name__
        span.set_attribute("error.type", attributes["error.type"])
        span.set_status(trace.StatusCode.ERROR)
        raise
    finally:
        span.end()
        durations.record(time.perf_counter() - began, attributes)
