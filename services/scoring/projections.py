"""The models side by side: what each holds, a rebuild beside the live one, their comparison, and the switch.

The projectors fill them (projector.py), each under a lease of its own. The next model is never filled beyond
the live one: so, where the live one stands still for a moment, both come to the same position.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import asyncpg
import grpc
import structlog
from opentelemetry import metrics

from services.chassis.errors import DATABASE_AWAY, Conflict, ServiceError, Unavailable
from services.chassis.postgres import Connection, Pool
from services.scoring import bi_role, formulas, lease, models
from services.scoring.models import LIVE, NEXT, PREVIOUS, Model
from services.scoring.source import PAGE_EVENTS_MAX, Source
from touchledger.v1.journal_pb2 import Position

log = structlog.get_logger()

NAMES = {lease.LIVE: LIVE, lease.NEXT: NEXT, "previous": PREVIOUS}
# A next model that lacks more than this is not waited for: the live one would stand still for too long.
NEAR_EVENTS_MAX = PAGE_EVENTS_MAX
# How long the live model stands still at most for the next one to come to its position.
TOGETHER_SECONDS_MAX = 5.0
TOGETHER_POLL_SECONDS = 0.02
# How long a change waits for those who read the tables that it drops, or for a comparison.
LOCK_SECONDS_MAX = 5
# One statement of a comparison reads both models' rows of a table: a hundred million take some minutes.
COMPARE_SECONDS_MAX = 3600.0
MEASURE_EVERY_SECONDS = 5.0
# What was measured before is told to nobody.
MEASURED_SECONDS_MAX = 30.0
# What is remembered of where the journal ended: an hour. What lags by more is as old as its last event says.
HEADS_MAX = 720

# Held by whatever changes what models there are; a comparison holds it against those changes and other
# comparisons. Reads, and the comparison's own result, pass.
LOCK_MODELS = "LOCK TABLE scoring.comparison IN EXCLUSIVE MODE"
LOCK_TO_COMPARE = "LOCK TABLE scoring.comparison IN SHARE UPDATE EXCLUSIVE MODE"
SEARCH_PATH = "SELECT set_config('search_path', $1, true)"
# Names of schemas and tables are those of models.py and of the database's own catalogue.
STANDING = {
    name: f"""
SELECT f.journal_id, f.position, f.events, f.recorded_at, f.journal_head,
       (SELECT count(*) FROM {model.bi}.parked_event) AS parked
  FROM {model.bi}.freshness f
 WHERE f.projection = 'scoreboard'
"""  # noqa: S608
    for name, model in NAMES.items()
}
CHECKPOINTS = f"""
SELECT live.journal_id, live.position AS live, next.position AS next
  FROM {LIVE.bi}.freshness live JOIN {NEXT.bi}.freshness next USING (projection)
 WHERE live.projection = 'scoreboard' AND next.journal_id IN ('', live.journal_id)
"""  # noqa: S608
MAY_REACH = f"""
SELECT position FROM {LIVE.bi}.freshness
 WHERE projection = 'scoreboard' AND to_regnamespace('{NEXT.bi}') IS NOT NULL
"""  # noqa: S608
# Declared long ago perhaps, and no longer in the settings.
COPY_ZONES = f"""
INSERT INTO {NEXT.bi}.tenant (tenant, reporting_zone)
SELECT tenant, reporting_zone FROM {LIVE.bi}.tenant
"""  # noqa: S608
OWNERS = """
SELECT projection, owner, took_at FROM scoring.lease WHERE expires_at > clock_timestamp()
"""
COMPARISON = "SELECT journal_id, position, differing_rows, compared_at FROM scoring.comparison"
KEEP_COMPARISON = """
INSERT INTO scoring.comparison (journal_id, position, differing_rows, compared_at)
VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (singleton) DO UPDATE
   SET journal_id = EXCLUDED.journal_id, position = EXCLUDED.position,
       differing_rows = EXCLUDED.differing_rows, compared_at = EXCLUDED.compared_at
RETURNING journal_id, position, differing_rows, compared_at
"""
FORGET_COMPARISON = "DELETE FROM scoring.comparison"
# Every table of one schema or the other, with the columns that both have and those that one has; views say
# nothing that tables don't. The journal's head is what each projector heard of it last, and no part of what a
# model says.
TABLES = """
WITH columns AS (
    SELECT n.nspname, format('%I', c.relname) AS relation, format('%I', a.attname) AS name, a.attnum
      FROM pg_namespace n
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE n.nspname IN ($1, $2) AND NOT (c.relname = 'freshness' AND a.attname = 'journal_head')
), sides AS (
    SELECT relation, name, min(attnum) AS place, count(*) = 2 AS of_both FROM columns GROUP BY relation, name
)
SELECT relation,
       array_agg(name ORDER BY place) FILTER (WHERE of_both) AS common,
       array_agg(name ORDER BY place) FILTER (WHERE NOT of_both) AS others
  FROM sides
 GROUP BY relation
 ORDER BY relation
"""

meter = metrics.get_meter("touchledger")


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one model is, and who projects it."""

    name: str
    checkpoint: Position
    recorded_at: datetime | None
    # Where the journal ended when whoever projects heard of it last.
    heard: int
    missing: int
    parked: int
    owner: str
    owned_since: datetime | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that one model has in more copies than the other, as JSON."""

    only_in: str
    copies: int
    row: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One table of both models."""

    table: str
    live_rows: int
    next_rows: int
    only_live: int
    only_next: int
    differences: Sequence[Difference]
    uncompared: Sequence[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found of two models that were at the position."""

    position: Position
    differing_rows: int
    compared_at: datetime


@dataclass(frozen=True, slots=True)
class Measured:
    """How far one model was at a moment, against the journal's own word of its head."""

    standing: Standing
    head: int
    clock: datetime
    same_journal: bool
    # How long ago the journal was seen to end no later than at the checkpoint, and than at what was heard of
    # it; None where that was too long ago.
    seen_seconds: float | None
    unheard_seconds: float | None
    # When this was, by this process's own clock.
    at_seconds: float

    @property
    def is_old(self) -> bool:
        """It would look like the present, and nobody knows what that is."""
        return time.monotonic() - self.at_seconds > MEASURED_SECONDS_MAX

    @property
    def lag(self) -> int:
        return max(0, self.head - self.standing.checkpoint.number)

    @property
    def lag_seconds(self) -> float | None:
        """None before the first page."""
        if not self.lag:
            return 0.0
        recorded_at = self.standing.recorded_at
        since_recorded = (self.clock - recorded_at).total_seconds() if recorded_at else None
        # After a silence of hours the last event is old, and nothing is late.
        ages = [each for each in (since_recorded, self.seen_seconds) if each is not None]
        return max(0.0, min(ages)) if ages else None


class Heads:
    """Where the journal was seen to end, and when."""

    def __init__(self) -> None:
        self._seen = deque[tuple[datetime, int]](maxlen=HEADS_MAX)

    def note(self, clock: datetime, head: int) -> None:
        self._seen.append((clock, head))

    def seconds_since(self, position: int) -> float | None:
        """How long before the last look it ended no later than there, as far as is known."""
        last, _ = self._seen[-1]
        then = (clock for clock, head in reversed(self._seen) if head <= position)
        clock = next(then, None)
        return (last - clock).total_seconds() if clock else None


# Name, unit, description, value.
GAUGES: tuple[tuple[str, str, str, Callable[[Measured], float | None]], ...] = (
    (
        "touchledger.projection.lag",
        "{event}",
        "Events that are not projected yet.",
        lambda measured: measured.lag,
    ),
    (
        "touchledger.projection.lag.time",
        "s",
        "How long ago the projected state was the journal's; 0 when nothing is missing.",
        lambda measured: measured.lag_seconds,
    ),
    (
        "touchledger.projection.missing",
        "{position}",
        "Positions that the journal lacks. Any other number than 0 is an alarm.",
        lambda measured: measured.standing.missing,
    ),
    (
        "touchledger.projection.parked",
        "{event}",
        "Events that are in no fact.",
        lambda measured: measured.standing.parked,
    ),
    (
        "touchledger.projection.unheard",
        "{position}",
        "Positions of the journal that whoever projects has not heard of.",
        lambda measured: max(0, measured.head - measured.standing.heard),
    ),
    (
        "touchledger.projection.position",
        "{position}",
        "The last position that is projected.",
        lambda measured: measured.standing.checkpoint.number,
    ),
)


class Projections:
    def __init__(self, pool: Pool, source: Source, *, owner: str = "") -> None:
        """The pool is for this alone, of two connections at least: a comparison takes a long time.

        owner: what this process is called where it projects.
        """
        self._pool = pool
        self._source = source
        self._owner = owner
        self._heads = Heads()
        # As it was found last, which may be long ago.
        self.measured: list[Measured] = []
        meter.create_observable_gauge(
            "touchledger.projection.owner",
            [partial(self._observe, self._is_owner)],
            description="1 where this process projects, 0 where it stands by. Their sum is 1.",
        )
        for name, unit, description, value in GAUGES:
            meter.create_observable_gauge(
                name, [partial(self._observe, value)], unit=unit, description=description
            )

    async def standings(self) -> list[Standing]:
        """Of every model that there is, the live one first."""
        async with self._connection() as tx:
            owners = {row["projection"]: row for row in await tx.fetch(OWNERS)}
            found = []
            for name, model in NAMES.items():
                if not await models.exists(tx, model):
                    continue
                row = await _row(tx, STANDING[name])
                owner = owners.get(name)
                found.append(
                    Standing(
                        name=name,
                        checkpoint=Position(journal_id=row["journal_id"], number=row["position"]),
                        recorded_at=row["recorded_at"],
                        heard=row["journal_head"],
                        missing=row["position"] - row["events"],
                        parked=row["parked"],
                        owner=owner["owner"] if owner else "",
                        owned_since=owner["took_at"] if owner else None,
                    )
                )
        return found

    async def comparison(self) -> Comparison | None:
        """The last one since both models are what they are."""
        async with self._connection() as connection:
            row = await connection.fetchrow(COMPARISON)
        return _kept(row) if row else None

    async def rebuild(self, *, replace: bool) -> None:
        """Makes the next model, empty; its projector begins by itself."""
        async with self._changing() as tx:
            if await models.exists(tx, NEXT):
                if not replace:
                    raise Conflict("none, or replace with it", field="next", got="one already")
                await lease.take_away(tx, lease.NEXT)
                await models.drop(tx, NEXT)
            await models.create(tx, NEXT)
            await tx.execute(COPY_ZONES)
            await _install(tx, NEXT)
            await tx.execute(FORGET_COMPARISON)
        log.info("rebuild begun")

    async def switch(self, *, even_if_different: bool) -> Position:
        """The next model answers from now on; where both stood at that moment."""
        async with self._changing() as tx:
            await _want(tx, NEXT, "next")
            comparison = await tx.fetchrow(COMPARISON)
            if not even_if_different:
                _want_equal(_kept(comparison) if comparison else None)
            position = await self._together(tx)
            await lease.take_away(tx, lease.LIVE)
            await lease.take_away(tx, lease.NEXT)
            await models.switch(tx)
            await bi_role.grant_all(tx, LIVE.bi)
            await tx.execute(FORGET_COMPARISON)
        log.info("switched to the next model", position=position.number)
        return position

    async def roll_back(self) -> Position:
        """The previous model answers from now on; where it goes on from."""
        async with self._changing() as tx:
            await _want(tx, PREVIOUS, "previous")
            made = await models.shape(tx, PREVIOUS)
            if made != models.SHAPE:
                # The next start would make it anew, and it would answer nothing until it is filled.
                raise Conflict(f"{models.SHAPE}, as of this release", field="shape", got=f"{made}")
            await lease.take_away(tx, lease.LIVE)
            await lease.take_away(tx, lease.NEXT)
            await models.roll_back(tx)
            # Its formulas may be of the release before; then this makes its views anew, without grants.
            await _install(tx, LIVE)
            await bi_role.grant_all(tx, LIVE.bi)
            await tx.execute(FORGET_COMPARISON)
            row = await _row(tx, STANDING[lease.LIVE])
        log.info("rolled back to the previous model", position=row["position"])
        return Position(journal_id=row["journal_id"], number=row["position"])

    async def compare(
        self, *, tenant: str, rows_max: int
    ) -> AsyncGenerator[Compared | Comparison, None]:
        """What each table of both models says at one position; at last the comparison that is kept.

        tenant: whose rows may be shown.
        """
        async with (
            self._connection() as reader,
            reader.transaction(isolation="repeatable_read"),
        ):
            # No query yet, which would take the snapshot.
            await reader.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'")
            await reader.execute(LOCK_TO_COMPARE)
            position = await self._same_snapshot(reader)
            differing = 0
            for pair in ((LIVE.bi, NEXT.bi), (LIVE.fold, NEXT.fold)):
                for row in await reader.fetch(TABLES, *pair):
                    compared = await _compare(reader, *pair, row, tenant=tenant, rows_max=rows_max)
                    differing += compared.only_live + compared.only_next
                    yield compared
            # While the models are still locked: what is kept is of these two.
            yield _kept(
                await _row(
                    self._pool, KEEP_COMPARISON, position.journal_id, position.number, differing
                )
            )

    async def measure(self) -> None:
        """Without end: tells how far the models are, against the journal's own word of its head.

        Each process does, owner or not: what is measured shows also when nobody projects.
        """
        while True:
            # What is away is told by others, and waited for.
            with suppress(ServiceError, grpc.aio.AioRpcError, *DATABASE_AWAY):
                standings = await self.standings()
                ahead = await self._source.head()
                clock = ahead.clock.ToDatetime(tzinfo=UTC)
                # Nobody projects the previous one: its lag grows, and that is no alarm.
                self._heads.note(clock, ahead.head.number)
                self.measured = [
                    Measured(
                        *(each, ahead.head.number, clock),
                        same_journal=each.checkpoint.journal_id in ("", ahead.head.journal_id),
                        seen_seconds=self._heads.seconds_since(each.checkpoint.number),
                        unheard_seconds=self._heads.seconds_since(each.heard),
                        at_seconds=time.monotonic(),
                    )
                    for each in standings
                    if NAMES[each.name] is not PREVIOUS
                ]
            await asyncio.sleep(MEASURE_EVERY_SECONDS)

    def _observe(
        self, value: Callable[[Measured], float | None], _: metrics.CallbackOptions
    ) -> Iterable[metrics.Observation]:
        """Of the models that there are: a value that was set would stay when its model is gone."""
        for each in self.measured:
            if each.is_old:
                continue
            if (found := value(each)) is not None:
                yield metrics.Observation(found, {"projection": each.standing.name})

    def _is_owner(self, measured: Measured) -> int:
        return int(measured.standing.owner == self._owner)

    async def _same_snapshot(self, reader: Connection) -> Position:
        """Gives the reader a snapshot in which both models are at one position."""
        async with self._pool.acquire() as tx, tx.transaction():
            position = await self._together(tx)
            seen = await _row(reader, CHECKPOINTS)
            assert seen["live"] == seen["next"] == position.number, "the live model is held"
        return position

    async def _together(self, tx: Connection) -> Position:
        """Holds the live model, until the transaction ends, where the next one is as far as it is."""
        await _want(tx, NEXT, "next")
        near = await tx.fetchrow(CHECKPOINTS)
        if near is None:
            raise Conflict(
                "a next model of the same journal", field="next", got="another journal's"
            )
        if not 0 <= near["live"] - near["next"] <= NEAR_EVENTS_MAX:
            raise Conflict(
                f"at most {NEAR_EVENTS_MAX} events behind position {near['live']}",
                field="next.checkpoint",
                got=str(near["next"]),
            )
        await lease.hold(tx, lease.LIVE)
        try:
            async with asyncio.timeout(TOGETHER_SECONDS_MAX):
                # Another process may be the one that fills it, so looking is the only way to know.
                while (row := await _row(tx, CHECKPOINTS))["live"] != row["next"]:  # noqa: ASYNC110
                    await asyncio.sleep(TOGETHER_POLL_SECONDS)
        except TimeoutError:
            raise Unavailable(f"the next model at position {row['live']}") from None
        return Position(journal_id=row["journal_id"], number=row["live"])

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Connection]:
        """A transaction that alone changes what models there are."""
        async with self._connection() as tx, tx.transaction():
            await tx.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS_MAX}s'")
            await tx.execute(LOCK_MODELS)
            yield tx

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire(timeout=LOCK_SECONDS_MAX) as connection:
                yield connection
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            raise Unavailable("the models when nobody compares, changes or reads them") from None
        except asyncpg.UndefinedTableError:
            raise Unavailable("the models; they were changed at this moment") from None


async def next_may_reach(pool: Pool) -> int | None:
    """How far the next model may be filled: as far as the live one is. None while there is no next one."""
    position: int | None = await pool.fetchval(MAY_REACH)
    return position


async def _row(
    asked: Connection | Pool, query: str, *parameters: object, seconds_max: float | None = None
) -> asyncpg.Record:
    row = await asked.fetchrow(query, *parameters, timeout=seconds_max)
    assert row is not None, "there is one row of each projection, and of each sum"
    return row


async def _want(tx: Connection, model: Model, name: str) -> None:
    if not await models.exists(tx, model):
        raise Conflict("a model of that name", field=name, got="none")


async def _install(tx: Connection, model: Model) -> None:
    await tx.execute(SEARCH_PATH, model.search_path)
    await formulas.install(tx)


async def _compare(
    reader: Connection,
    live: str,
    next_: str,
    row: asyncpg.Record,
    *,
    tenant: str,
    rows_max: int,
) -> Compared:
    """NULLs are equal, and copies count: EXCEPT ALL both ways, in one pass."""
    table, common, others = row["relation"], row["common"] or [], row["others"] or []
    if not common:
        return Compared(table, 0, 0, 0, 0, [], others)
    columns = ", ".join(common)
    differing = f"""
WITH differing AS (
  SELECT {columns}, sum(_side) AS _copies
    FROM (SELECT {columns}, 1 AS _side FROM {live}.{table}
          UNION ALL
          SELECT {columns}, -1 FROM {next_}.{table}) AS both_models
   GROUP BY {columns}
  HAVING sum(_side) <> 0
)
"""  # noqa: S608  # see STANDING
    counts = await _row(
        reader,
        f"""{differing}
SELECT (SELECT count(*) FROM {live}.{table}) AS live_rows,
       (SELECT count(*) FROM {next_}.{table}) AS next_rows,
       coalesce(sum(_copies) FILTER (WHERE _copies > 0), 0)::bigint AS only_live,
       coalesce(-sum(_copies) FILTER (WHERE _copies < 0), 0)::bigint AS only_next
  FROM differing
""",  # noqa: S608  # see STANDING
        seconds_max=COMPARE_SECONDS_MAX,
    )
    found = []
    if counts["only_live"] or counts["only_next"]:
        shown = await reader.fetch(
            f"""{differing}
SELECT _copies::bigint AS copies, (to_jsonb(differing) - '_copies')::text AS row
  FROM differing
 WHERE {"tenant" if "tenant" in common else "$1"} = $1
 ORDER BY row, copies DESC
 LIMIT $2
""",  # noqa: S608  # see STANDING
            tenant,
            rows_max,
            timeout=COMPARE_SECONDS_MAX,
        )
        found = [
            Difference(
                lease.LIVE if each["copies"] > 0 else lease.NEXT, abs(each["copies"]), each["row"]
            )
            for each in shown
        ]
    return Compared(
        table=table,
        live_rows=counts["live_rows"],
        next_rows=counts["next_rows"],
        only_live=counts["only_live"],
        only_next=counts["only_next"],
        differences=found,
        uncompared=others,
    )


def _want_equal(comparison: Comparison | None) -> None:
    if comparison is None:
        raise Conflict("a comparison first, or even_if_different", field="next", got="none")
    if comparison.differing_rows:
        raise Conflict(
            "equal models, or even_if_different",
            field="next",
            got=f"{comparison.differing_rows} differing rows",
        )


def _kept(row: asyncpg.Record) -> Comparison:
    position = Position(journal_id=row["journal_id"], number=row["position"])
    return Comparison(position, row["differing_rows"], row["compared_at"])
