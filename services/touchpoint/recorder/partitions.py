"""Which partitions of the stream this process records: a lease for each, shared evenly among the processes.

The lease saves work, and nothing rests on it: whoever records a partition begins with the first batch that
is still in the stream and goes on in order, and the journal takes each event once. Two owners at a time, one
of whom stood still for longer than his lease, store in the same order what one of them would have stored.
"""

import asyncio
import math
from collections.abc import Iterable

import asyncpg

from services.chassis.postgres import Pool

# How long an owner that has died keeps the others out.
LEASE_SECONDS = 4.0
# Together with the lease: how long a partition is recorded by nobody at most.
TURN_EVERY_SECONDS = 0.5
TURN_SECONDS_MAX = 2.0

MAKE = """
INSERT INTO journal.buffer_partition (partition)
SELECT generate_series(0, $1 - 1) ON CONFLICT (partition) DO NOTHING
"""
LIVE = """
INSERT INTO journal.recorder (owner, expires_at)
VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at
"""
DEAD = "DELETE FROM journal.recorder WHERE expires_at < clock_timestamp() - interval '1 minute'"
RECORDERS = "SELECT count(*) FROM journal.recorder WHERE expires_at > clock_timestamp()"
RENEW = """
UPDATE journal.buffer_partition
   SET expires_at = clock_timestamp() + make_interval(secs => $2)
 WHERE owner = $1 AND partition < $3
RETURNING partition, token
"""
# Rows that another process is about to take are not waited for.
TAKE = """
UPDATE journal.buffer_partition
   SET owner = $1, token = token + 1, took_at = clock_timestamp(),
       expires_at = clock_timestamp() + make_interval(secs => $2)
 WHERE partition IN (SELECT partition FROM journal.buffer_partition
                      WHERE partition < $3 AND expires_at <= clock_timestamp()
                      ORDER BY partition LIMIT $4 FOR UPDATE SKIP LOCKED)
RETURNING partition, token
"""
RELEASE = """
UPDATE journal.buffer_partition SET owner = '', expires_at = '-infinity'
 WHERE owner = $1 AND partition = ANY($2)
"""
OWNERS = """
SELECT partition, CASE WHEN expires_at > clock_timestamp() THEN owner ELSE '' END AS owner, took_at
  FROM journal.buffer_partition ORDER BY partition
"""
LEAVE = "DELETE FROM journal.recorder WHERE owner = $1"


class Partitions:
    def __init__(self, pool: Pool, *, owner: str, count: int) -> None:
        """owner: this process, by a name that no other one has ever had."""
        self._pool = pool
        self._owner = owner
        self._count = count
        self._made = False
        # The partition and its token.
        self.owned = dict[int, int]()
        self._until = float("-inf")

    def holds(self, partition: int) -> bool:
        """Whether nobody else may have it by now."""
        return partition in self.owned and asyncio.get_running_loop().time() < self._until

    async def turn(self) -> set[int]:
        """Renews what this process has, takes what is free up to its share. What it should give away."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(TURN_SECONDS_MAX), self._pool.acquire() as tx, tx.transaction():
            if not self._made:
                await tx.execute(MAKE, self._count)
            await tx.execute(DEAD)
            await tx.execute(LIVE, self._owner, LEASE_SECONDS)
            renewed = await tx.fetch(RENEW, self._owner, LEASE_SECONDS, self._count)
            share = math.ceil(self._count / max(1, await tx.fetchval(RECORDERS)))
            if len(renewed) < share:
                renewed += await tx.fetch(
                    TAKE, self._owner, LEASE_SECONDS, self._count, share - len(renewed)
                )
        self._made = True
        self.owned = {row["partition"]: row["token"] for row in renewed}
        # From before the database's clock was read.
        self._until = began + LEASE_SECONDS
        return {*sorted(self.owned)[share:]}

    async def owners(self) -> list[asyncpg.Record]:
        """Of each partition: who records it, and since when; "" where nobody does."""
        return await self._pool.fetch(OWNERS)

    async def release(self, partitions: Iterable[int]) -> None:
        given = [*partitions]
        for partition in given:
            self.owned.pop(partition, None)
        await self._pool.execute(RELEASE, self._owner, given)

    async def leave(self) -> None:
        """Lets the others share what this process had."""
        await self.release([*self.owned])
        await self._pool.execute(LEAVE, self._owner)
