"""Keeps the rules: puts, lists and ends them, version by version."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from google.protobuf import json_format

from services.chassis.errors import Exhausted, Malformed, NotFound
from services.chassis.postgres import Pool
from services.scoring.alerts.figures import GROUPS_MAX, Figures, figures
from services.scoring.alerts.judgement import Judgement, Moment
from services.scoring.alerts.points import ASKED_SCAN_SECONDS_MAX, Points
from services.scoring.alerts.rule import Rule, checked, rule_of
from touchledger.v1 import alerts_pb2 as pb

RULES_OF_TENANT_MAX = 100

# One puts a rule after the other, so that versions and their number are right. It takes a millisecond.
LOCK = "LOCK TABLE scoring.alert_rule IN SHARE ROW EXCLUSIVE MODE"
CURRENT = """
SELECT version, definition FROM scoring.alert_rule WHERE tenant = $1 AND name = $2 AND is_current
"""
PLACE = """
SELECT coalesce(max(version) FILTER (WHERE name = $2), 0) + 1 AS version,
       count(*) FILTER (WHERE is_current AND name <> $2) AS others
  FROM scoring.alert_rule WHERE tenant = $1
"""
SUPERSEDE = """
UPDATE scoring.alert_rule SET is_current = false WHERE tenant = $1 AND name = $2 AND is_current
"""
INSERT = """
INSERT INTO scoring.alert_rule (
    tenant, name, version, definition, put_position, put_at, groups, groups_without_baseline, run_length,
    run_length_method, false_alarms_per_year, trouble)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '')
"""
LIST = """
SELECT tenant, name, version, is_current, definition, put_position, put_at, judged_at, groups,
       groups_without_baseline, run_length, run_length_method, false_alarms_per_year, trouble
  FROM scoring.alert_rule WHERE is_current AND tenant = $1
 ORDER BY name
"""
DUE = """
SELECT tenant, name, version, is_current, definition, put_position, put_at, judged_at, groups,
       groups_without_baseline, run_length, run_length_method, false_alarms_per_year, trouble
  FROM scoring.alert_rule WHERE is_current AND (due_at IS NULL OR due_at < $1)
 ORDER BY tenant, name
"""
GET = """
SELECT tenant, name, version, is_current, definition, put_position, put_at, judged_at, groups,
       groups_without_baseline, run_length, run_length_method, false_alarms_per_year, trouble
  FROM scoring.alert_rule WHERE tenant = $1 AND name = $2
 ORDER BY version DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A rule as it is stored."""

    tenant: str
    rule: Rule
    is_current: bool
    put_position: int
    put_at: datetime | None
    judged_at: datetime | None
    figures: pb.AlertRuleFigures

    @property
    def name(self) -> str:
        return self.rule.message.name

    @property
    def version(self) -> int:
        return self.rule.message.version


class Rules:
    def __init__(self, pool: Pool, points: Points) -> None:
        self._pool = pool
        self._points = points

    async def put(
        self, tenant: str, given: pb.AlertRule
    ) -> tuple[pb.AlertRule, pb.AlertRuleFigures]:
        message = checked(given)
        known = await self._points.known()
        with self._points.asked():
            judgement = await self._judgement(
                tenant, rule_of(message), known.recorded_at, known.position
            )
            found = await asyncio.to_thread(figures, judgement)
        told = told_figures(found)
        async with self._pool.acquire() as tx, tx.transaction():
            await tx.execute(LOCK)
            definition = _definition(message)
            current = await tx.fetchrow(CURRENT, tenant, message.name)
            if current is not None and current["definition"] == definition:
                message.version = current["version"]
                return message, told
            place = await tx.fetchrow(PLACE, tenant, message.name)
            assert place is not None, "an aggregate has a row"
            if place["others"] >= RULES_OF_TENANT_MAX:
                raise Exhausted(
                    f"at most {RULES_OF_TENANT_MAX} rules: remove some",
                    code="TOO_MANY",
                    field="rule",
                    retry_after_seconds=3600,
                )
            await tx.execute(SUPERSEDE, tenant, message.name)
            await tx.execute(
                INSERT,
                tenant,
                message.name,
                place["version"],
                definition,
                known.position,
                known.recorded_at,
                *figure_columns(found),
            )
        message.version = place["version"]
        return message, told

    async def of_tenant(self, tenant: str) -> list[Kept]:
        return [_kept(row) for row in await self._pool.fetch(LIST, tenant)]

    async def due(self, recorded_at: datetime) -> list[Kept]:
        """Of all tenants, those with a moment before this one that is not judged yet."""
        return [_kept(row) for row in await self._pool.fetch(DUE, recorded_at)]

    async def get(self, tenant: str, name: str) -> Kept:
        """The newest version, also of a rule that has ended."""
        row = await self._pool.fetchrow(GET, tenant, name)
        if row is None:
            raise _no_such_rule()
        return _kept(row)

    async def remove(self, tenant: str, name: str) -> pb.AlertRule:
        kept = await self.get(tenant, name)
        await self._pool.execute(SUPERSEDE, tenant, name)
        return kept.rule.message

    async def _judgement(
        self, tenant: str, rule: Rule, at: datetime | None, position: int
    ) -> Judgement:
        """What the rule says of what is known now. Raises Malformed where it would watch too much."""
        judgement = Judgement(rule, await self._points.zone(tenant))
        if at is None:
            return judgement
        moment = Moment(at, position)
        [deltas] = await self._points.deltas(tenant, rule, [moment], seconds=ASKED_SCAN_SECONDS_MAX)
        judgement.add(deltas)
        if len(judgement.charts) > GROUPS_MAX:
            raise Malformed(
                f"one that watches at most {GROUPS_MAX} groups: narrow the glob",
                field="rule",
                got=f"{len(judgement.charts)}",
            )
        for group, chart in judgement.charts.items():
            for part, whole in chart.cells.values():
                if not 0 <= part <= whole:
                    raise Malformed(
                        "a part of the whole",
                        field="rule.part",
                        got=f"{part} of {whole} for {group[:40]!r}",
                    )
        await asyncio.to_thread(judgement.at, moment)
        return judgement


def told_figures(found: Figures) -> pb.AlertRuleFigures:
    told = pb.AlertRuleFigures(
        groups=found.groups, groups_without_baseline=found.groups_without_baseline
    )
    if found.run_length is not None:
        told.run_length = found.run_length.points
        told.run_length_method = found.run_length.method
    if found.false_alarms_per_year is not None:
        told.false_alarms_per_year = found.false_alarms_per_year
    return told


def figure_columns(found: Figures) -> tuple[object, ...]:
    """groups, groups_without_baseline, run_length, run_length_method, false_alarms_per_year."""
    length = found.run_length
    return (
        found.groups,
        found.groups_without_baseline,
        length.points if length else None,
        length.method if length else "",
        found.false_alarms_per_year,
    )


def _definition(message: pb.AlertRule) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, indent=None, sort_keys=True
    )


def _kept(row: asyncpg.Record) -> Kept:
    # A field of a newer release, after a way back, is not judged by; better than no judgement.
    message = json_format.Parse(row["definition"], pb.AlertRule(), ignore_unknown_fields=True)
    message.version = row["version"]
    figures = pb.AlertRuleFigures(
        groups=row["groups"],
        groups_without_baseline=row["groups_without_baseline"],
        run_length=row["run_length"],
        run_length_method=row["run_length_method"],
        false_alarms_per_year=row["false_alarms_per_year"],
        trouble=row["trouble"],
    )
    return Kept(
        tenant=row["tenant"],
        rule=rule_of(message),
        is_current=row["is_current"],
        put_position=row["put_position"],
        put_at=row["put_at"],
        judged_at=row["judged_at"],
        figures=figures,
    )


def _no_such_rule() -> NotFound:
    return NotFound("a rule of this tenant", field="name", got="another")
