"""Seals what a release before the seal has stored, once, when the first service of this one starts."""

import itertools
from datetime import datetime
from operator import itemgetter

import structlog

from services.chassis.errors import Corrupt
from services.chassis.postgres import Pool
from services.touchpoint.appender import LOCK
from services.touchpoint.row import leaf
from services.touchpoint.seal import NO_CHAIN, chain_of, root_of

TO_SEAL = "SELECT to_seal AND chain = $1 FROM journal.head"
EVENTS = """
SELECT notification_id, recorded_at, tenant, source, received_at, sent_at, traceparent,
       originator_id, originator_version, topic, content_digest, state_digest
  FROM journal.stored_events
 WHERE notification_id > $1
 ORDER BY notification_id
 LIMIT $2
"""
SEAL_COLUMNS = ("last_position", "first_position", "recorded_at", "root", "chain")
MOVE_CHAIN = "UPDATE journal.head SET chain = $1, to_seal = false"
PAGE_EVENTS = 5000
LOCK_SECONDS_MAX = 3600.0

log = structlog.get_logger()


async def seal_unsealed(pool: Pool) -> None:
    """Events with one recorded_at are sealed together, as they were stored together."""
    if not await pool.fetchval(TO_SEAL, NO_CHAIN):
        return
    async with pool.acquire() as connection, connection.transaction():
        # Another process may be at it, and a large journal takes minutes.
        await connection.execute("SET LOCAL lock_timeout = 0")
        await connection.execute(LOCK, timeout=LOCK_SECONDS_MAX)
        # Another process may have done it during the wait.
        if not await connection.fetchval(TO_SEAL, NO_CHAIN):
            return
        chain, after = NO_CHAIN, 0
        while page := await connection.fetch(EVENTS, after, PAGE_EVENTS):
            if page[-1]["notification_id"] - after != len(page):
                raise Corrupt("dense positions", field="position", got=f"a hole after {after}")
            seals = list[tuple[int, int, datetime, bytes, bytes]]()
            for recorded_at, events in itertools.groupby(page, itemgetter("recorded_at")):
                leaves = [leaf(event) for event in events]
                first, after = after + 1, after + len(leaves)
                root = root_of(leaves)
                chain = chain_of(chain, first=first, last=after, recorded_at=recorded_at, root=root)
                seals.append((after, first, recorded_at, root, chain))
            await connection.copy_records_to_table(
                "seals", schema_name="journal", columns=SEAL_COLUMNS, records=seals
            )
        await connection.execute(MOVE_CHAIN, chain)
    log.info("sealed what an earlier release had stored", events=after)
