"""Writes the read models of one model: a page of the journal at a time, together with the checkpoint."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import asyncpg
import structlog

from services.chassis.postgres import Connection, Pool, Unsuitable
from services.scoring import attributes, cases, definitions, formulas, models, statistics
from services.scoring.binary_copy import copy
from services.scoring.facts import (
    EVENT_COLUMNS,
    FIRST_DAY,
    LAST_DAY,
    PROFILES,
    TABLES,
    Amendment,
    Facts,
    Key,
    Settled,
    columns,
    parked_lineage,
    put_together,
    read,
    settle,
)
from services.scoring.models import LIVE, Model
from services.scoring.reporting_day import ReportingDays, reporting_days
from services.scoring.source import PAGE_EVENTS_MAX
from touchledger.v1.journal_pb2 import Position, RecordedEvent

log = structlog.get_logger()

Fence = Callable[[Connection], Awaitable[None]]

# Another zone dates all facts again; a table of a hundred million rows is written in some minutes.
DATE_AGAIN_SECONDS_MAX = 3600.0
# One process makes a model at a time.
LOCK_MODELS = "LOCK TABLE scoring.bi_role IN EXCLUSIVE MODE"
CHECKPOINT = "SELECT journal_id, position FROM freshness WHERE projection = 'scoreboard'"
# Compare and set: a second projector at the same checkpoint, with a page of another size, must not pass.
ADVANCE = """
UPDATE freshness
   SET journal_id = $1, position = $3, events = events + $4, recorded_at = coalesce($5, recorded_at),
       journal_head = greatest(journal_head, $6)
 WHERE projection = 'scoreboard' AND position = $2 AND journal_id IN ('', $1)
"""
# The journal was restored, and nothing that the tables hold was lost: its positions are those of the new id.
GO_ON_WITH = """
UPDATE freshness SET journal_id = $1 WHERE projection = 'scoreboard' AND journal_id = $2
"""
STORED_TARGETS = """
SELECT e.tenant, e.source, e.event_id, e.position, e.topic
  FROM event e
  JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, source, event_id)
    ON (e.tenant, e.source, e.event_id) = (k.tenant, k.source, k.event_id)
"""
ANY_CHANGED = """
SELECT EXISTS (SELECT FROM changed_customer) OR EXISTS (SELECT FROM changed_staff)
"""
ANY_WAITING = "SELECT EXISTS (SELECT FROM waiting_amendment)"
TAKE_WAITING = """
DELETE FROM waiting_amendment w
 USING unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, source, event_id)
 WHERE (w.tenant, w.source, w.event_id) = (k.tenant, k.source, k.event_id)
RETURNING w.tenant, w.source, w.event_id, w.position, w.event
"""
# The event's own rows are found by the primary key, those of an earlier correction by the partial index.
END_FACTS = {
    table: f"""
UPDATE {table} f
   SET to_position = k.since
  FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS k (tenant, event_position, since)
 WHERE f.tenant = k.tenant AND f.event_position = k.event_position AND f.to_position IS NULL
   AND (f.from_position = k.event_position OR f.from_position <> f.event_position)
"""  # noqa: S608  # table names are those of facts.TABLES
    for table in TABLES
}
NEW_TOUCHPOINTS = """
INSERT INTO dim_touchpoint AS t (tenant, touchpoint, first_position)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
ON CONFLICT (tenant, touchpoint) DO NOTHING
"""
NEW_DAYS = """
INSERT INTO dim_date
SELECT day, extract(year FROM day), extract(quarter FROM day), extract(month FROM day), extract(day FROM day),
       extract(isoyear FROM day), extract(week FROM day), extract(isodow FROM day)
  FROM unnest($1::date[]) AS given (day)
ON CONFLICT DO NOTHING
"""
NEW_TENANTS = """
INSERT INTO tenant (tenant, reporting_zone)
SELECT tenant, $2 FROM unnest($1::text[]) AS given (tenant)
ON CONFLICT DO NOTHING
"""
KNOWN_ZONE = "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)"
DECLARE_ZONE = "UPDATE tenant SET reporting_zone = $1 WHERE reporting_zone <> $1"
ZONES = "SELECT tenant, reporting_zone FROM tenant"
# As services/scoring/reporting_day.py has it, of facts that are there already.
DATE_AGAIN = {
    table: f"""
UPDATE {table} SET reporting_date = (occurred_at AT TIME ZONE $1)::date
 WHERE reporting_date <> (occurred_at AT TIME ZONE $1)::date
"""  # noqa: S608  # table names are those of facts.TABLES
    for table in TABLES
}
DAYS_MISSING = {
    table: f"""
SELECT DISTINCT reporting_date FROM {table} WHERE NOT reporting_date BETWEEN $1 AND $2
"""  # noqa: S608  # table names are those of facts.TABLES
    for table in TABLES
}


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
    def __init__(
        self, pool: Pool, *, model: Model = LIVE, reporting_zone: str | None = None
    ) -> None:
        """The pool's search path is the model's. reporting_zone: declared for every tenant; None leaves
        what was declared before."""
        self._pool = pool
        self._model = model
        self._zone = reporting_zone
        self._days: dict[str, ReportingDays] = {}
        # Up to this position PostgreSQL knows enough of the tables.
        self._known_until = 0

    async def install(self) -> None:
        """Makes the model if there is none, brings it to the formulas of this release, declares the zone."""
        try:
            async with self._pool.acquire() as tx, tx.transaction():
                await tx.execute(LOCK_MODELS)
                await self._make(tx)
                await formulas.install(tx)
                if self._zone is not None:
                    await self._declare_zone(tx, self._zone)
        except asyncpg.LockNotAvailableError:
            raise Unsuitable(
                "scoring: somebody's transaction holds the tables of schema bi; end it, then start again"
            ) from None

    async def _make(self, tx: Connection) -> None:
        if await models.exists(tx, self._model):
            made = await models.shape(tx, self._model)
            if made == models.SHAPE:
                return
            if made > models.SHAPE:
                raise Unsuitable(
                    f"scoring: read models: got shape {made}, want at most {models.SHAPE}: "
                    "they were made by a later release"
                )
            log.warning("read models of an older shape are made anew", got=made, want=models.SHAPE)
            await models.make_anew(tx, self._model)
        else:
            await models.create(tx, self._model)

    async def _declare_zone(self, tx: Connection, zone: str) -> None:
        if not await tx.fetchval(KNOWN_ZONE, zone):
            raise Unsuitable(f"scoring: reporting_zone: PostgreSQL knows no {zone}")
        if await tx.execute(DECLARE_ZONE, zone) == "UPDATE 0":
            return
        # A day's figures are other ones now: of all facts, those of as-of questions too.
        unusual = set[date]()
        for table in TABLES:
            await tx.execute(DATE_AGAIN[table], zone, timeout=DATE_AGAIN_SECONDS_MAX)
            found = await tx.fetch(DAYS_MISSING[table], FIRST_DAY, LAST_DAY)
            unusual.update(row["reporting_date"] for row in found)
        await tx.execute(NEW_DAYS, sorted(unusual))
        await formulas.refill(tx)
        log.info("reporting zone declared", zone=zone)

    async def checkpoint(self) -> Position:
        row = await self._pool.fetchrow(CHECKPOINT)
        assert row is not None, "model/bi.sql inserts the row"
        return Position(journal_id=row["journal_id"], number=row["position"])

    async def go_on_with(self, journal_id: str, *, before: str) -> None:
        """Takes the id that the journal was given when it was restored."""
        if before and await self._pool.execute(GO_ON_WITH, journal_id, before) == "UPDATE 1":
            log.warning("the journal was restored", journal_id=journal_id, before=before)

    async def read(self, events: Sequence[RecordedEvent]) -> Facts:
        """The page's rows, ahead of its transaction: in a thread, while PostgreSQL writes another one."""
        tenants = {event.tenant for event in events}
        if not tenants <= self._days.keys():
            zones = {row["tenant"]: row["reporting_zone"] for row in await self._pool.fetch(ZONES)}
            for tenant in tenants - self._days.keys():
                self._days[tenant] = reporting_days(zones.get(tenant) or self._zone or "UTC")
        days = {tenant: self._days[tenant] for tenant in tenants}
        return await asyncio.to_thread(columns, events, days)

    async def project(
        self,
        events: Sequence[RecordedEvent],
        progress: Progress,
        *,
        facts: Facts | None = None,
        fence: Fence | None = None,
    ) -> None:
        """The page and its checkpoint, in one transaction or not at all.

        facts: what `read` made of the events, for this call alone.
        fence: raises Overtaken within the transaction when another process owns the projection by now.
        """
        async with self._pool.acquire() as tx, tx.transaction():
            if fence is not None:
                await fence(tx)
            await self._advance(tx, progress)
            tenants = sorted(facts.zones if facts else {event.tenant for event in events})
            await self._know(tx, tenants)
            days = {tenant: self._days[tenant] for tenant in tenants}
            # Another zone may have been declared since they were read.
            if facts is None or facts.zones != {name: each.zone for name, each in days.items()}:
                facts = columns(events, days)
            near = progress.head - progress.to <= PAGE_EVENTS_MAX
            if near or any(facts.rows[table] for table in PROFILES):
                await models.make_lookups(tx)
            ended = await self._write(tx, facts)
            await self._roll_up(tx, facts, progress, tenants, ended)
            known_until = self._known_until
            if near and progress.to >= known_until:
                known_until = await statistics.renew(tx, progress.to)
        self._known_until = known_until

    async def park(
        self, event: RecordedEvent, reason: str, progress: Progress, *, fence: Fence | None = None
    ) -> None:
        """Goes past an event that can't be stored: it is listed, under another id than it may have."""
        async with self._pool.acquire() as tx, tx.transaction():
            if fence is not None:
                await fence(tx)
            await self._advance(tx, progress)
            await self._know(tx, [event.tenant])
            await copy(tx, "event", EVENT_COLUMNS, [parked_lineage(event)])
            parked = (event.tenant, event.position, reason)
            await _copy(tx, "parked_event", ("tenant", "position", "reason"), [parked])

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
        # the rollups columns that this one knows nothing of, and a page without them would be missing there.
        if done != "UPDATE 1" or not await formulas.installed(tx):
            raise Overtaken

    async def _know(self, tx: Connection, tenants: list[str]) -> None:
        """Learns the zones of the page's tenants; a new tenant gets the one of the settings."""
        await tx.execute(NEW_TENANTS, tenants, self._zone or "UTC")
        for row in await tx.fetch(ZONES):
            known = self._days.get(row["tenant"])
            if known is None or known.zone != row["reporting_zone"]:
                self._days[row["tenant"]] = reporting_days(row["reporting_zone"])

    async def _write(self, tx: Connection, facts: Facts) -> bool:
        """Writes the page's rows, and says whether stored facts ended."""
        settled = await self._settle(tx, facts)
        for update in END_FACTS.values() if settled.endings else ():
            await tx.execute(update, *zip(*settled.endings, strict=True))
        if facts.touchpoints:
            named = [(*key, first) for key, first in facts.touchpoints.items()]
            await tx.execute(NEW_TOUCHPOINTS, *zip(*named, strict=True))
        if facts.unusual_days:
            await tx.execute(NEW_DAYS, sorted(facts.unusual_days))
        await copy(tx, "event", EVENT_COLUMNS, (row for *_, row in facts.events))
        for table, names in TABLES.items():
            if rows := facts.rows[table]:
                await copy(tx, table, names, put_together(rows))
        await _copy(tx, "parked_event", ("tenant", "position", "reason"), facts.parked)
        await _copy(
            tx,
            "amendment",
            ("tenant", "position", "target_source", "target_event_id"),
            [[each.target[0], each.position, *each.target[1:]] for each in facts.amendments],
        )
        await _copy(
            tx,
            "waiting_amendment",
            ("tenant", "source", "event_id", "position", "event"),
            [
                [*each.target, each.position, each.event.SerializeToString(deterministic=True)]
                for each in settled.waiting
            ],
        )
        await definitions.define(tx, facts.definitions)
        await cases.note(tx, facts.cases)
        return bool(settled.endings)

    async def _roll_up(
        self, tx: Connection, facts: Facts, progress: Progress, tenants: list[str], ended: bool
    ) -> None:
        """Brings dimensions and rollups to the page's end; `ended`: facts of earlier pages ended."""
        page = (progress.after, progress.to, tenants)
        # Within the page a fact may have ended, too.
        touched = [table for table in formulas.SUMMED if ended or facts.rows[table]]
        if ended or any(facts.rows[table] for table in PROFILES):
            await attributes.note_changed(tx, after=progress.after, to=progress.to, tenants=tenants)
            if await tx.fetchval(ANY_CHANGED):
                for statement in formulas.TAKE_OUT_MOVED.values():
                    await tx.execute(statement, progress.after)
                await attributes.renew(tx, position=progress.to)
                for statement in formulas.PUT_IN_MOVED.values():
                    await tx.execute(statement, progress.to)
                for table in touched:
                    await tx.execute(formulas.ROLL_UP_UNMOVED[table], *page)
                await formulas.remove_empty(tx)
                return
        roll_up = formulas.ROLL_UP if ended else formulas.ROLL_UP_BEGUN
        for table in touched:
            await tx.execute(roll_up[table], *page)
        if ended:
            await formulas.remove_empty(tx)

    async def _settle(self, tx: Connection, facts: Facts) -> Settled:
        arrived = []
        if await tx.fetchval(ANY_WAITING):
            keys = [each[:3] for each in facts.events]
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
        return settle(facts, [*arrived, *facts.amendments], stored, self._days)

    async def heard(self, *, head: int) -> None:
        """Notes where the journal ends although nothing new came."""
        await self._pool.execute(
            "UPDATE freshness SET journal_head = $1 "
            "WHERE projection = 'scoreboard' AND journal_head <> $1",
            head,
        )


async def _copy(
    tx: Connection, table: str, names: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    if rows:
        await tx.copy_records_to_table(table, columns=names, records=rows)
