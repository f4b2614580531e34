"""Writes the read models in schema bi: a page of the journal at a time, together with the checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog

from services.chassis.postgres import Connection, Pool, Unsuitable
from services.scoring import formulas
from services.scoring.facts import (
    EVENT_COLUMNS,
    TABLES,
    Amendment,
    Facts,
    Key,
    Settled,
    read,
    settle,
)
from touchledger.v1.journal_pb2 import Position

log = structlog.get_logger()

CHECKPOINT = "SELECT journal_id, position FROM bi.freshness WHERE projection = 'scoreboard'"
# Compare and set: a second projector at the same checkpoint, with a page of another size, must not pass.
ADVANCE = """
UPDATE bi.freshness
   SET journal_id = $1, position = $3, events = events + $4, recorded_at = coalesce($5, recorded_at),
       journal_head = greatest(journal_head, $6)
 WHERE projection = 'scoreboard' AND position = $2 AND journal_id IN ('', $1)
"""
STORED_TARGETS = """
SELECT e.tenant, e.source, e.event_id, e.position, e.topic
  FROM bi.event e
  JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, source, event_id)
    ON (e.tenant, e.source, e.event_id) = (k.tenant, k.source, k.event_id)
"""
ANY_WAITING = "SELECT EXISTS (SELECT FROM scoring.waiting_amendment)"
TAKE_WAITING = """
DELETE FROM scoring.waiting_amendment w
 USING unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, source, event_id)
 WHERE (w.tenant, w.source, w.event_id) = (k.tenant, k.source, k.event_id)
RETURNING w.tenant, w.source, w.event_id, w.position, w.event
"""
# The event's own rows are found by the primary key, those of an earlier correction by the partial index.
END_FACTS = {
    table: f"""
UPDATE bi.{table} f
   SET to_position = k.since
  FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS k (tenant, event_position, since)
 WHERE f.tenant = k.tenant AND f.event_position = k.event_position AND f.to_position IS NULL
   AND (f.from_position = k.event_position OR f.from_position <> f.event_position)
"""  # noqa: S608  # table names are those of facts.TABLES
    for table in TABLES
}
NEW_TOUCHPOINTS = """
INSERT INTO bi.dim_touchpoint (tenant, touchpoint, first_position)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
ON CONFLICT DO NOTHING
"""
NEW_DAYS = "SELECT scoring.add_days($1::date[])"
NEW_TENANTS = """
INSERT INTO bi.tenant (tenant, reporting_zone)
SELECT tenant, $2 FROM unnest($1::text[]) AS given (tenant)
ON CONFLICT DO NOTHING
"""
KNOWN_ZONE = "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)"
DECLARE_ZONE = "UPDATE bi.tenant SET reporting_zone = $1"


class Overtaken(Exception):
    """Another projector has moved the checkpoint, or another release made the rollup its own."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a page brings the checkpoint."""

    journal_id: str
    after: int
    to: int
    events: int
    recorded_at: datetime | None
    head: int


class Scoreboard:
    def __init__(self, pool: Pool, *, reporting_zone: str | None = None) -> None:
        """reporting_zone: declared for every tenant; None leaves what was declared before."""
        self._pool = pool
        self._zone = reporting_zone

    async def install(self) -> None:
        """Brings the rollup and the views to the formulas of this release, and declares the zone."""
        try:
            async with self._pool.acquire() as tx, tx.transaction():
                await formulas.install(tx)
                if self._zone is not None:
                    if not await tx.fetchval(KNOWN_ZONE, self._zone):
                        raise Unsuitable(
                            f"scoring: reporting_zone: PostgreSQL knows no {self._zone}"
                        )
                    await tx.execute(DECLARE_ZONE, self._zone)
        except asyncpg.LockNotAvailableError:
            raise Unsuitable(
                "scoring: somebody's transaction holds the tables of schema bi; end it, then start again"
            ) from None

    async def checkpoint(self) -> Position:
        row = await self._pool.fetchrow(CHECKPOINT)
        assert row is not None, "0001_bi.sql inserts the row"
        return Position(journal_id=row["journal_id"], number=row["position"])

    async def project(self, facts: Facts, progress: Progress) -> None:
        """The page and its checkpoint, in one transaction or not at all."""
        async with self._pool.acquire() as tx, tx.transaction():
            await self._advance(tx, progress)
            await self._write(tx, facts)
            await formulas.roll_up(
                tx,
                after=progress.after,
                to=progress.to,
                tenants=sorted({row[0] for row in facts.events}),
            )

    async def _advance(self, tx: Connection, progress: Progress) -> None:
        done = await tx.execute(
            ADVANCE,
            progress.journal_id,
            progress.after,
            progress.to,
            progress.events,
            progress.recorded_at,
            progress.head,
        )
        # After the row is locked, which an installation locks too: a release that came later may have given
        # the rollup columns that this one knows nothing of, and a page without them would be missing there.
        if done != "UPDATE 1" or not await formulas.installed(tx):
            raise Overtaken

    async def _write(self, tx: Connection, facts: Facts) -> None:
        settled = await self._settle(tx, facts)
        for update in END_FACTS.values() if settled.endings else ():
            await tx.execute(update, *zip(*settled.endings, strict=True))
        if facts.touchpoints:
            named = [(*key, first) for key, first in facts.touchpoints.items()]
            await tx.execute(NEW_TOUCHPOINTS, *zip(*named, strict=True))
        if facts.unusual_days:
            await tx.execute(NEW_DAYS, sorted(facts.unusual_days))
        await tx.execute(NEW_TENANTS, sorted({row[0] for row in facts.events}), self._zone or "UTC")
        await _copy(tx, "bi", "event", EVENT_COLUMNS, facts.events)
        for table, names in TABLES.items():
            await _copy(tx, "bi", table, names, facts.rows[table])
        await _copy(
            tx,
            "scoring",
            "waiting_amendment",
            ("tenant", "source", "event_id", "position", "event"),
            [
                [*each.target, each.position, each.event.SerializeToString(deterministic=True)]
                for each in settled.waiting
            ],
        )

    async def _settle(self, tx: Connection, facts: Facts) -> Settled:
        arrived = []
        if await tx.fetchval(ANY_WAITING):
            keys = [(row[0], row[2], row[3]) for row in facts.events]
            arrived = [
                Amendment((row[0], row[1], row[2]), row["position"], read(row["event"]))
                for row in await tx.fetch(TAKE_WAITING, *zip(*keys, strict=True))
            ]
        if not (arrived or facts.amendments):
            return Settled([], [])
        stored: dict[Key, tuple[int, str]] = {}
        if facts.amendments:
            targets = [amendment.target for amendment in facts.amendments]
            for row in await tx.fetch(STORED_TARGETS, *zip(*targets, strict=True)):
                stored[row[0], row[1], row[2]] = row["position"], row["topic"]
        return settle(facts, [*arrived, *facts.amendments], stored)

    async def heard(self, *, head: int) -> None:
        """Notes where the journal ends although nothing new came."""
        await self._pool.execute(
            "UPDATE bi.freshness SET journal_head = $1 "
            "WHERE projection = 'scoreboard' AND journal_head <> $1",
            head,
        )


async def _copy(
    tx: Connection, schema: str, table: str, names: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    if rows:
        await tx.copy_records_to_table(table, schema_name=schema, columns=names, records=rows)
