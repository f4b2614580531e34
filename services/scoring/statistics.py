"""Keeps what PostgreSQL knows of the live tables near what they hold.

It looks by itself once a minute. Until then a model that has just been filled seems to have no rows, and what
takes a tenth of a second takes minutes: the views of figures join what is known in several steps.
"""

import asyncio
import contextlib

import structlog

from services.chassis.errors import DATABASE_AWAY
from services.chassis.postgres import Pool
from services.scoring.models import LIVE

log = structlog.get_logger()

CHECK_EVERY_SECONDS = 2.0
# Of a sample of 30,000 rows a table: a second or two, however long the tables are.
ANALYZE_SECONDS_MAX = 300.0
# Less is read at once, whatever PostgreSQL takes it for.
EVENTS_MIN = 1000
# As many events more as there were. Where PostgreSQL has looked itself, that counts.
ARE_OLD = f"""
SELECT f.events >= greatest($1, 2 * c.reltuples)
  FROM {LIVE.bi}.freshness f, pg_class c
 WHERE f.projection = 'scoreboard' AND c.oid = to_regclass('{LIVE.bi}.event')
"""  # noqa: S608  # a constant's
TABLES = f"""
SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
 WHERE relnamespace = '{LIVE.bi}'::regnamespace AND relkind = 'r'
"""  # noqa: S608


async def keep(pool: Pool) -> None:
    """Without end, in each process. What is away is told by others, and waited for."""
    while True:
        with contextlib.suppress(*DATABASE_AWAY):
            if await pool.fetchval(ARE_OLD, EVENTS_MIN):
                await renew(pool)
                log.info("statistics renewed")
        await asyncio.sleep(CHECK_EVERY_SECONDS)


async def renew(pool: Pool) -> None:
    tables = await pool.fetchval(TABLES)
    await pool.execute(f"ANALYZE {tables}", timeout=ANALYZE_SECONDS_MAX)
