"""Makes of a journal what a backup of an earlier moment has of it."""

from services.chassis.postgres import Pool

CUT = (
    "DELETE FROM journal.stored_events WHERE notification_id > $1",
    "DELETE FROM journal.seals WHERE last_position > $1",
    """
    UPDATE journal.head AS head SET position = seals.last_position, chain = seals.chain
      FROM journal.seals WHERE seals.last_position = $1
    """,
)


async def cut_to(pool: Pool, position: int) -> None:
    """The position must be the last of a commit."""
    for statement in CUT:
        await pool.execute(statement, position)
