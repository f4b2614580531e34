"""One owner for each projection: a lease in PostgreSQL, on the database's clock, fenced by a token.

Whoever takes the lease draws another token, and each page's transaction begins by renewing the lease under
its own. So an owner that stood still for longer than its lease, or that was cut off, can't write once
another one has taken over. The owner renews as it goes; it needs no task of its own for it.
"""

from services.chassis.postgres import Connection, Pool
from services.scoring.scoreboard import Fence, Overtaken

# What the projections are called here, and by those who are told of them.
LIVE, NEXT = "live", "next"

# How long an owner that has died keeps the others out.
SECONDS = 4.0
# Each page renews; an owner without pages does so by itself, oftener than three times in the lease's time.
RENEW_EVERY_SECONDS = 1.0
# How soon one that stands by looks again: together with the lease, what a takeover takes at most.
STANDBY_SECONDS = 0.5
# A page takes a tenth of a second, and one that moves all facts of many customers some seconds.
PAGE_SECONDS_MAX = 30

# Not while a page holds the row: its owner lives, or PostgreSQL is about to end it.
TAKE = """
UPDATE scoring.lease
   SET owner = $2, token = token + 1, took_at = clock_timestamp(),
       expires_at = clock_timestamp() + make_interval(secs => $3)
 WHERE projection = (SELECT projection FROM scoring.lease
                      WHERE projection = $1 AND expires_at <= clock_timestamp()
                        FOR UPDATE SKIP LOCKED)
RETURNING token
"""
# A process that is stopped in the middle of a page holds the row, and could for ever. PostgreSQL ends its
# transaction: after the lease's time where it waits for the next statement, and after a page's longest time
# where it waits for the rest of a COPY. The settings end with the transaction.
RENEW = """
UPDATE scoring.lease
   SET expires_at = clock_timestamp() + make_interval(secs => $3)
 WHERE projection = $1 AND token = $2
RETURNING set_config('idle_in_transaction_session_timeout', $4, true),
          set_config('transaction_timeout', $5, true)
"""
RELEASE = """
UPDATE scoring.lease SET owner = '', token = token + 1, expires_at = clock_timestamp()
 WHERE projection = $1 AND token = $2
"""
# For what changes the tables under the projectors' hands: a page under way ends before it, and one that
# comes after finds its token gone.
TAKE_AWAY = """
UPDATE scoring.lease SET owner = '', token = token + 1, expires_at = clock_timestamp()
 WHERE projection = $1
"""
HOLD = """
SELECT set_config('idle_in_transaction_session_timeout', $2, true)
  FROM scoring.lease WHERE projection = $1 FOR UPDATE
"""


class Lease:
    """What one process wants of one projection."""

    def __init__(self, pool: Pool, projection: str, *, owner: str) -> None:
        """owner: what people are told of who projects, such as HOST:PID."""
        self._pool = pool
        self.projection = projection
        self._owner = owner

    async def take(self) -> int | None:
        """The token, when the lease is free; None while somebody else owns it."""
        token: int | None = await self._pool.fetchval(TAKE, self.projection, self._owner, SECONDS)
        return token

    async def renew(self, token: int) -> None:
        """Between pages. Raises Overtaken when the lease is lost."""
        async with self._pool.acquire() as tx, tx.transaction():
            await self.fence(token)(tx)

    async def release(self, token: int) -> None:
        """Lets another one take over at once; nothing where the lease is lost already."""
        await self._pool.execute(RELEASE, self.projection, token)

    def fence(self, token: int) -> Fence:
        """What a page's transaction begins with: renews the lease, or raises Overtaken when it is lost."""

        async def renew(tx: Connection) -> None:
            seconds = (f"{SECONDS:g}s", f"{PAGE_SECONDS_MAX:g}s")
            if await tx.fetchrow(RENEW, self.projection, token, SECONDS, *seconds) is None:
                raise Overtaken

        return renew


async def hold(tx: Connection, projection: str) -> None:
    """Lets the page under way end and no other begin until the transaction ends. The owner stays it."""
    await tx.execute(HOLD, projection, f"{SECONDS:g}s")


async def take_away(tx: Connection, projection: str) -> None:
    """Ends the ownership of whoever has it: what it has in hand is not written any more."""
    await tx.execute(TAKE_AWAY, projection)
