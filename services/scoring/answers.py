"""Answers questions from the read models: as of any position, for one tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime

import asyncpg

from services.chassis.errors import Conflict, Exhausted, Malformed, Unavailable
from services.chassis.postgres import Connection, Pool
from services.scoring import formulas
from services.scoring.source import Source
from touchledger.v1.journal_pb2 import Position

# Questions that are being answered or wait for a connection; beyond it askers are told to come back.
QUESTIONS_MAX = 64
# How long a question about a moment that just passed waits for the projection to pass it, too.
CATCH_UP_SECONDS_MAX = 5.0
CATCH_UP_POLL_SECONDS = 0.05

CHECKPOINT = """
SELECT journal_id, position, events, recorded_at FROM bi.freshness WHERE projection = 'scoreboard'
"""
RECORDED_BY = """
SELECT position FROM bi.event WHERE recorded_at <= $1 ORDER BY recorded_at DESC, position DESC LIMIT 1
"""
START_OF_DAY = "SELECT ($1::date)::timestamp AT TIME ZONE $2"
ZONE = "SELECT reporting_zone FROM bi.tenant WHERE tenant = $1"
EVENTS_BY_TOPIC = "SELECT topic, count(*) AS events FROM bi.event WHERE tenant = $1 GROUP BY topic"
WAITING = "SELECT count(*) FROM scoring.waiting_amendment WHERE tenant = $1"


class Answers:
    def __init__(self, pool: Pool, source: Source) -> None:
        """The pool is for questions alone: however many there are, the projection goes on."""
        self._pool = pool
        self._source = source
        self._asked = 0

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._asked >= QUESTIONS_MAX:
            raise Exhausted("fewer questions at once", got=f"{self._asked} under way")
        self._asked += 1
        try:
            async with self._pool.acquire() as connection:
                yield connection
        finally:
            self._asked -= 1

    async def scores(
        self,
        tenant: str,
        group: str,
        *,
        glob: str,
        occurred_before: datetime | None,
        as_of: int,
    ) -> list[asyncpg.Record]:
        """One row for each group, in order: the columns are `grp`, every sum and every score."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                formulas.SCORES[group], tenant, as_of, occurred_before, like(glob)
            )
        if len(rows) > formulas.GROUPS_MAX:
            raise Malformed(
                f"at most {formulas.GROUPS_MAX} groups: narrow the glob",
                field="touchpoint_glob",
                got="more groups",
            )
        return rows

    async def checkpoint(self) -> Position:
        row = await self._freshness()
        return Position(journal_id=row["journal_id"], number=row["position"])

    async def as_of(self, asked: Position) -> Position:
        """The position, once it is known to be one of this journal that is projected."""
        checkpoint = await self.checkpoint()
        if asked.journal_id not in ("", checkpoint.journal_id):
            raise Conflict(
                checkpoint.journal_id, field="as_of_position.journal_id", got=asked.journal_id
            )
        if asked.number > checkpoint.number:
            raise Conflict(
                f"at most {checkpoint.number}, the projection's checkpoint",
                field="as_of_position.number",
                got=str(asked.number),
            )
        return Position(journal_id=checkpoint.journal_id, number=asked.number)

    async def recorded_by(self, moment: datetime, field: str) -> Position:
        """The last position recorded by then: the same whenever it is asked for."""
        freshness = await self._freshness()
        if freshness["recorded_at"] is None or freshness["recorded_at"] <= moment:
            freshness = await self._passed(moment, field)
        async with self._connection() as connection:
            number = await connection.fetchval(RECORDED_BY, moment)
        return Position(journal_id=freshness["journal_id"], number=number or 0)

    async def _passed(self, moment: datetime, field: str) -> asyncpg.Record:
        """Returns when everything that was recorded by the moment is projected."""
        ahead = await self._source.head()
        clock = ahead.clock.ToDatetime(tzinfo=UTC)
        if moment > clock:
            raise Malformed(
                f"at most {clock.isoformat()}, the journal's clock",
                field=field,
                got=moment.isoformat(),
            )
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
                # Another process may be the one that projects, so asking is the only way to know.
                while (row := await self._freshness())["position"] < ahead.head.number:  # noqa: ASYNC110
                    await asyncio.sleep(CATCH_UP_POLL_SECONDS)
        except TimeoutError:
            raise Unavailable(f"the projection at position {ahead.head.number}") from None
        return row

    async def start_of_day(self, day: date, zone: str) -> datetime:
        async with self._connection() as connection:
            start: datetime = await connection.fetchval(START_OF_DAY, day, zone)
        return start

    async def reporting_zone(self, tenant: str) -> str:
        async with self._connection() as connection:
            return await connection.fetchval(ZONE, tenant) or "UTC"

    async def status(self, tenant: str) -> tuple[asyncpg.Record, dict[str, int], int]:
        """The checkpoint's row, the tenant's events by topic, and its waiting amendments."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            freshness = await connection.fetchrow(CHECKPOINT)
            assert freshness is not None, "0001_bi.sql inserts the row"
            topics = await connection.fetch(EVENTS_BY_TOPIC, tenant)
            waiting = await connection.fetchval(WAITING, tenant)
        return freshness, {row["topic"]: row["events"] for row in topics}, waiting

    async def _freshness(self) -> asyncpg.Record:
        async with self._connection() as connection:
            row = await connection.fetchrow(CHECKPOINT)
        assert row is not None, "0001_bi.sql inserts the row"
        return row


def like(glob: str) -> str:
    """The LIKE pattern of a glob: '*' any characters, '?' one, everything else itself."""
    escaped = glob.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return escaped.replace("*", "%").replace("?", "_") or "%"
