"""Which decisions there are: a row for each stream, for lists alone; the events decide, and make it again.

The row is written in the transaction of its stream's events, so that a list never lags behind an answer.
"""

import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from operator import itemgetter

import asyncpg

from services.chassis.postgres import Connection, Pool
from services.touchpoint.decisions.decided import Decided
from services.touchpoint.decisions.recovery_case import RecoveryCase
from services.touchpoint.decisions.stored import fold
from services.touchpoint.decisions.touchpoint_definition import TouchpointDefinition

# A tenant's.
Listed = tuple[str, Decided]
KINDS: tuple[type[Decided], ...] = (TouchpointDefinition, RecoveryCase)

WRITE = """
INSERT INTO journal.decision_streams
    (tenant, kind, name, originator_id, version, status, touchpoint, owner, opened_at, decided_at,
     customer, correlation_id, failure_source, failure_event_id)
SELECT tenant, kind, name, originator_id, version, status, touchpoint, owner, opened_at, decided_at,
       customer, correlation_id, failure_source, failure_event_id
  FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::text[], $7::text[],
              $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::text[],
              $14::text[])
       AS row (tenant, kind, name, originator_id, version, status, touchpoint, owner, opened_at, decided_at,
               customer, correlation_id, failure_source, failure_event_id)
    ON CONFLICT ON CONSTRAINT decision_streams_pkey DO UPDATE
   SET version = excluded.version, status = excluded.status, owner = excluded.owner,
       decided_at = excluded.decided_at
"""
# One statement for each filter, so that each has a plan of its own, along an index in the order of names.
PAGE = """
SELECT originator_id, version FROM journal.decision_streams
 WHERE tenant = $1 AND kind = $2 AND name > $3
 ORDER BY name LIMIT $4
"""
PAGE_OF_STATUS = """
SELECT originator_id, version FROM journal.decision_streams
 WHERE tenant = $1 AND kind = $2 AND name > $3 AND status = $5
 ORDER BY name LIMIT $4
"""
PAGE_AT_TOUCHPOINT = """
SELECT originator_id, version FROM journal.decision_streams
 WHERE tenant = $1 AND kind = $2 AND name > $3 AND touchpoint = $5 AND (status = $6 OR $6 = '')
 ORDER BY name LIMIT $4
"""
PAGE_OF_OWNER = """
SELECT originator_id, version FROM journal.decision_streams
 WHERE tenant = $1 AND kind = $2 AND name > $3 AND owner = $5 AND (status = $6 OR $6 = '')
 ORDER BY name LIMIT $4
"""
STREAMS = """
SELECT originator_id, originator_version, topic, state
  FROM journal.stored_events
 WHERE originator_id = ANY($1)
 ORDER BY originator_id, originator_version
"""
TAKE_TURN = "SELECT FROM journal.take_turn()"
EMPTY = "DELETE FROM journal.decision_streams"
ALL_STREAMS = """
SELECT tenant, originator_id, originator_version, topic, state
  FROM journal.stored_events
 WHERE starts_with(topic, $1) AND source = 'touchledger'
 ORDER BY originator_id, originator_version
"""
# Rows written at once while the table is made again.
REBUILD_ROWS = 500
# It reads the whole journal once.
REBUILD_SECONDS_MAX = 3600.0


async def write(connection: Connection, listed: Iterable[Listed]) -> None:
    rows = [
        (
            tenant,
            each.KIND,
            each.name,
            each.id,
            each.version,
            each.status,
            each.touchpoint,
            each.owner,
            each.created_on,
            each.modified_on,
            *_episode(each),
        )
        for tenant, each in listed
    ]
    if rows:
        await connection.execute(WRITE, *zip(*rows, strict=True))


def _episode(decided: Decided) -> tuple[str, str, str, str]:
    """By what events of a case find it."""
    if not isinstance(decided, RecoveryCase):
        return "", "", "", ""
    opened = decided.opened
    failure = opened.failure or {}
    return (
        opened.customer,
        opened.correlation_id,
        failure.get("source", ""),
        failure.get("event_id", ""),
    )


async def page(
    connection: Connection,
    tenant: str,
    kind: type[Decided],
    *,
    after: str,
    limit: int,
    status: str,
    touchpoint: str,
    owner: str,
) -> list[asyncpg.Record]:
    """Stream ids and versions after a name. Of touchpoint and owner one at most is filtered by."""
    if touchpoint:
        return await connection.fetch(
            PAGE_AT_TOUCHPOINT, tenant, kind.KIND, after, limit, touchpoint, status
        )
    if owner:
        return await connection.fetch(PAGE_OF_OWNER, tenant, kind.KIND, after, limit, owner, status)
    if status:
        return await connection.fetch(PAGE_OF_STATUS, tenant, kind.KIND, after, limit, status)
    return await connection.fetch(PAGE, tenant, kind.KIND, after, limit)


async def streams(
    connection: Connection, ids: Sequence[object]
) -> dict[object, list[asyncpg.Record]]:
    """The events of these streams."""
    found = await connection.fetch(STREAMS, ids)
    by_stream = itertools.groupby(found, itemgetter("originator_id"))
    return {originator_id: list(events) for originator_id, events in by_stream}


async def rebuild(pool: Pool) -> None:
    """Makes the table again from the events. Appends wait meanwhile, as for a long commit."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(TAKE_TURN)
        await connection.execute(EMPTY)
        for kind in KINDS:
            made = list[Listed]()
            async for tenant, events in _all_streams(connection, kind):
                aggregate = fold(kind, events)
                assert aggregate is not None, "a stream has an event"
                made.append((tenant, aggregate))
                if len(made) >= REBUILD_ROWS:
                    await write(connection, made)
                    made.clear()
            await write(connection, made)


async def _all_streams(
    connection: Connection, kind: type[Decided]
) -> AsyncIterator[tuple[str, list[asyncpg.Record]]]:
    stream = list[asyncpg.Record]()
    async for event in connection.cursor(
        ALL_STREAMS, f"touchledger.{kind.KIND}.", prefetch=1000, timeout=REBUILD_SECONDS_MAX
    ):
        if stream and stream[0]["originator_id"] != event["originator_id"]:
            yield stream[0]["tenant"], stream
            stream = []
        stream.append(event)
    if stream:
        yield stream[0]["tenant"], stream
