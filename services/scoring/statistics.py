"""What PostgreSQL knows of a model's tables, kept near what they hold.

By itself it looks once a minute. A model that was just filled seems to have no rows until then, and what
takes a tenth of a second takes minutes: the views of figures join what is known in several steps.
"""

from services.chassis.postgres import Connection

# Less is read at once, whatever PostgreSQL takes it for. More take longer to come than PostgreSQL to look,
# and longer to look at than a page may: of each table, 30,000 rows are read from wherever they are.
EVENTS_MIN, EVENTS_MAX = 1000, 5_000_000
# -1 where nobody has looked yet.
KNOWN = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'event'::regclass"
TABLES = """
SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""


async def renew(tx: Connection, position: int) -> int:
    """Within a page's transaction, so that nobody sees its rows without them. Once for each doubling.

    The position from which on they are to be renewed: positions count events.
    """
    known = await tx.fetchval(KNOWN)
    if max(EVENTS_MIN, 2 * known) <= position <= EVENTS_MAX:
        tables = await tx.fetchval(TABLES)
        await tx.execute(f"ANALYZE {tables}")
        known = position
    return max(EVENTS_MIN, 2 * int(known))
