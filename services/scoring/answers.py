"""Snapshots for questions: of one tenant, as known at a position, bounded in number and in time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.chassis.errors import Conflict, Exhausted, Malformed, Unavailable
from services.chassis.postgres import Connection, Pool
from services.scoring import question
from services.scoring.question import Cell
from services.scoring.score_query import At, Way, asks_for_attributes
from services.scoring.source import Source
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.journal_pb2 import Position

# Questions that are being answered or wait for a connection; beyond it askers are told to come back.
QUESTIONS_MAX = 64
# A question that scans tens of millions of facts takes some seconds; one that takes longer keeps others
# waiting. The gateway gives up after 30.
QUESTION_SECONDS_MAX = 20.0
# How long a question about a position or a moment that just passed waits for the projection to pass it, too;
# a caller with a shorter deadline is gone before.
CATCH_UP_SECONDS_MAX = 20.0
CATCH_UP_POLL_SECONDS = 0.02
# Tenants whose events were counted before; beyond it counting begins anew.
COUNTED_TENANTS_MAX = 1000
REPLACED = "the read models, which another version has just replaced"

# tableoid tells one version of the read models from another, whatever they are called by now.
CHECKPOINT = """
SELECT tableoid::bigint AS model, journal_id, position, events, recorded_at
  FROM freshness
 WHERE projection = 'scoreboard'
"""
STATE = """
SELECT f.tableoid::bigint AS model, f.journal_id, f.position, f.recorded_at, f.journal_head,
       coalesce(t.reporting_zone, 'UTC') AS zone
  FROM freshness f
  LEFT JOIN tenant t ON t.tenant = $1
 WHERE f.projection = 'scoreboard'
"""
MODEL = "SELECT to_regclass('freshness')::oid::bigint"
RECORDED_BY = """
SELECT position FROM event WHERE recorded_at <= $1 ORDER BY recorded_at DESC, position DESC LIMIT 1
"""
START_OF_DAY = "SELECT ($1::date)::timestamp AT TIME ZONE $2"
ZONE = "SELECT reporting_zone FROM tenant WHERE tenant = $1"
EVENTS_BY_TOPIC = """
SELECT topic, count(*) AS events FROM event WHERE tenant = $1 AND position > $2 GROUP BY topic
"""
WAITING = "SELECT count(*) FROM waiting_amendment WHERE tenant = $1"
PARKED = "SELECT count(*) FROM parked_event WHERE tenant = $1"
PROJECTED_BY = """
SELECT owner, took_at FROM scoring.lease
 WHERE projection = 'live' AND expires_at > clock_timestamp()
"""
PROFILES_CHANGED = """
SELECT EXISTS (SELECT FROM fact_customer_profile
                WHERE tenant = $1 AND (from_position > $2 OR to_position > $2))
    OR EXISTS (SELECT FROM fact_staff_profile
                WHERE tenant = $1 AND (from_position > $2 OR to_position > $2))
"""


@dataclass(frozen=True, slots=True)
class Status:
    checkpoint: asyncpg.Record
    zone: str
    # Of the tenant: events by topic, amendments without target, events in no fact.
    events: dict[str, int]
    waiting: int
    parked: int
    # Who projects, and since when; None while nobody does.
    projected_by: asyncpg.Record | None


# What all that a tenant can be told of the present depends on.
Stand = tuple[int, str, int, str]


@dataclass(frozen=True, slots=True)
class State:
    """How far the read models are at one moment."""

    # The version of the read models that answers.
    model: int
    journal_id: str
    # What the tables hold.
    checkpoint: int
    recorded_at: datetime | None
    head: int
    # The tenant's.
    zone: str

    @property
    def stand(self) -> Stand:
        return self.model, self.journal_id, self.checkpoint, self.zone

    def freshness(self) -> pb.Freshness:
        return pb.Freshness(
            position=Position(journal_id=self.journal_id, number=self.checkpoint),
            recorded_at=self.recorded_at,
            # The projection hears of the head a page late at most, and never too early.
            head=max(self.head, self.checkpoint),
            lag=max(self.head - self.checkpoint, 0),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The read models at one moment, for the length of a transaction."""

    connection: Connection
    tenant: str
    state: State
    # As known when.
    position: int

    @property
    def zone(self) -> str:
        return self.state.zone

    @property
    def journal_id(self) -> str:
        return self.state.journal_id

    @property
    def as_of(self) -> Position:
        return Position(journal_id=self.journal_id, number=self.position)

    def freshness(self) -> pb.Freshness:
        return self.state.freshness()

    async def at(self, keys: Sequence[str], cell: Cell, position: int | None = None) -> At:
        """The cheapest way to the facts as known at the position, by itself that of the question."""
        then = self.position if position is None else position
        return At(self.tenant, then, await self._way(keys, cell, then))

    async def _way(self, keys: Sequence[str], cell: Cell, position: int) -> Way:
        checkpoint = self.state.checkpoint
        if position == checkpoint:
            return Way.CURRENT
        # A tail costs by the positions after, a scan by those before.
        if checkpoint - position >= position:
            return Way.SCAN
        if asks_for_attributes(keys, cell):
            [[changed]] = await self.fetch(PROFILES_CHANGED, [self.tenant, position])
            if changed:
                return Way.SCAN
        return Way.TAIL

    async def fetch(self, text: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        try:
            rows: list[asyncpg.Record] = await self.connection.fetch(
                text, *arguments, timeout=QUESTION_SECONDS_MAX
            )
        except TimeoutError:
            raise Exhausted(
                f"a question that is answered within {QUESTION_SECONDS_MAX:g} s: a shorter time, fewer names",
                code="QUESTION_TOO_LONG",
            ) from None
        return rows


class Answers:
    def __init__(self, pool: Pool, source: Source) -> None:
        """The pool is for questions alone: however many there are, the projection goes on."""
        self._pool = pool
        self._source = source
        self._asked = 0
        self._looking: asyncio.Task[asyncpg.Record] | None = None
        # By journal and tenant: up to which position they were counted, and how many they are by topic.
        self._counted: dict[tuple[str, str], tuple[int, dict[str, int]]] = {}

    @asynccontextmanager
    async def snapshot(
        self, tenant: str, request: Any, *, position: int | None = None
    ) -> AsyncIterator[Snapshot]:
        """As the request's as_of says, once what its at_least_position says is there.

        position: pinned by the page before, whatever as_of says.
        """
        if request.HasField("at_least_position"):
            await self.at_least(request.at_least_position)
        if position is None:
            position = await self.position_of(request, "as_of", tenant)
        async with self._transaction() as connection:
            state = await _state(connection, tenant)
            # Another version of the read models may have taken over meanwhile, which is not that far.
            _check_not_ahead(position or 0, state.checkpoint, "as_of_position")
            yield Snapshot(
                connection, tenant, state, state.checkpoint if position is None else position
            )
            await _check_same(connection, state.model)

    async def state(self, tenant: str) -> State:
        """Of this moment, in one statement: a fifth of what a snapshot takes."""
        async with self._connection() as connection:
            return await _state(connection, tenant)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        try:
            async with (
                self._connection() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        except asyncpg.InvalidCachedStatementError:
            raise Unavailable(REPLACED) from None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._asked >= QUESTIONS_MAX:
            raise Exhausted("fewer questions at once", got=f"{self._asked} under way")
        self._asked += 1
        try:
            connection = await self._free_connection()
            try:
                yield connection
            finally:
                await self._pool.release(connection)
        finally:
            self._asked -= 1

    async def _free_connection(self) -> "PoolConnectionProxy[asyncpg.Record]":
        try:
            return await self._pool.acquire(timeout=QUESTION_SECONDS_MAX)
        except TimeoutError:
            raise Exhausted(
                "fewer questions at once", got=f"{self._asked} for {QUESTION_SECONDS_MAX:g} s"
            ) from None

    # Positions: what a moment stands for, and waiting until the projection is there.

    async def position_of(self, request: Any, name: str, tenant: str) -> int | None:
        """What the request's oneof of this name stands for; None where it is absent."""
        chosen = request.WhichOneof(name)
        if chosen is None:
            return None
        if chosen.endswith("_position"):
            return (await self.as_of(getattr(request, chosen), chosen)).number
        if chosen.endswith("_time"):
            moment = question.moment(request, chosen)
        else:
            day = question.bounded_day(getattr(request, chosen), chosen)
            moment = await self.start_of_day(day, await self.reporting_zone(tenant))
        return (await self.recorded_by(moment, chosen)).number

    async def checkpoint(self) -> Position:
        row = await self._freshness()
        return Position(journal_id=row["journal_id"], number=row["position"])

    async def as_of(self, asked: Position, field: str = "as_of_position") -> Position:
        """The position, once it is known to be one of this journal that is projected."""
        checkpoint = await self.checkpoint()
        _check_journal(asked, checkpoint.journal_id, field)
        _check_not_ahead(asked.number, checkpoint.number, field)
        return Position(journal_id=checkpoint.journal_id, number=asked.number)

    async def at_least(self, asked: Position) -> None:
        """Returns once the read models hold the position."""
        row = await self._freshness()
        if row["journal_id"]:
            _check_journal(asked, row["journal_id"], "at_least_position")
        if row["position"] < asked.number:
            head = (await self._source.head()).head
            if asked.number > head.number:
                raise Conflict(
                    f"at most {head.number}, the end of the journal",
                    field="at_least_position.number",
                    got=str(asked.number),
                )
            await self._caught_up(asked.number)

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
        return await self._caught_up(ahead.head.number)

    async def _caught_up(self, number: int) -> asyncpg.Record:
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
                while (row := await self.look())["position"] < number:
                    pass
        except TimeoutError:
            # Unavailable is what the gateway asks again for, and this caller has waited.
            raise Exhausted(f"the projection at position {number}", code="NOT_CAUGHT_UP") from None
        return row

    async def look(self) -> asyncpg.Record:
        """How far the projection is in a moment: one look for all who wait for it, and none when nobody does.

        Another process may be the one that projects, so asking is the only way to know.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_soon(), name="look at the checkpoint")
            # Nobody may be left to hear how it ended.
            self._looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._looking)

    async def _look_soon(self) -> asyncpg.Record:
        await asyncio.sleep(CATCH_UP_POLL_SECONDS)
        async with self._pool.acquire(timeout=QUESTION_SECONDS_MAX) as connection:
            return _there(await connection.fetchrow(CHECKPOINT))

    async def start_of_day(self, day: date, zone: str) -> datetime:
        async with self._connection() as connection:
            start: datetime = await connection.fetchval(START_OF_DAY, day, zone)
        return start

    async def reporting_zone(self, tenant: str) -> str:
        async with self._connection() as connection:
            return await connection.fetchval(ZONE, tenant) or "UTC"

    async def status(self, tenant: str) -> Status:
        async with self._transaction() as connection:
            checkpoint = _there(await connection.fetchrow(CHECKPOINT))
            return Status(
                checkpoint,
                await connection.fetchval(ZONE, tenant) or "UTC",
                await self._events(connection, tenant, checkpoint),
                await connection.fetchval(WAITING, tenant),
                await connection.fetchval(PARKED, tenant),
                await connection.fetchrow(PROJECTED_BY),
            )

    async def _events(
        self, connection: Connection, tenant: str, checkpoint: asyncpg.Record
    ) -> dict[str, int]:
        """By topic. Events never change, so only those are counted that came since the last time."""
        key = (checkpoint["journal_id"], tenant)
        position, known = self._counted.get(key, (0, {}))
        if position > checkpoint["position"]:
            # Other read models than those of the last time, which are not that far.
            position, known = 0, {}
        counts = dict(known)
        for row in await connection.fetch(
            EVENTS_BY_TOPIC, tenant, position, timeout=QUESTION_SECONDS_MAX
        ):
            counts[row["topic"]] = counts.get(row["topic"], 0) + row["events"]
        await _check_same(connection, checkpoint["model"])
        if len(self._counted) >= COUNTED_TENANTS_MAX:
            self._counted.clear()
        self._counted[key] = checkpoint["position"], counts
        return counts

    async def _freshness(self) -> asyncpg.Record:
        async with self._connection() as connection:
            return _there(await connection.fetchrow(CHECKPOINT))


async def _state(connection: Connection, tenant: str) -> State:
    row = _there(await connection.fetchrow(STATE, tenant, timeout=QUESTION_SECONDS_MAX))
    return State(
        model=row["model"],
        journal_id=row["journal_id"],
        checkpoint=row["position"],
        recorded_at=row["recorded_at"],
        head=row["journal_head"],
        zone=row["zone"],
    )


def _there(row: asyncpg.Record | None) -> asyncpg.Record:
    assert row is not None, "model/bi.sql inserts the row"
    return row


async def _check_same(connection: Connection, model: int) -> None:
    """Rows are those of the transaction's beginning, but names mean what they mean when they are read."""
    if await connection.fetchval(MODEL, timeout=QUESTION_SECONDS_MAX) != model:
        raise Unavailable(REPLACED)


def _check_journal(asked: Position, journal_id: str, field: str) -> None:
    if asked.journal_id not in ("", journal_id):
        raise Conflict(journal_id, field=f"{field}.journal_id", got=asked.journal_id)


def _check_not_ahead(number: int, checkpoint: int, field: str) -> None:
    if number > checkpoint:
        raise Conflict(
            f"at most {checkpoint}, the projection's checkpoint",
            field=f"{field}.number",
            got=str(number),
        )
