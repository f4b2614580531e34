"""Judges all rules as the projection goes on, and stores what they tell: one process at a time, by lease."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from services.chassis.errors import DATABASE_AWAY, Malformed, translate
from services.chassis.postgres import Connection, Pool
from services.scoring import lease
from services.scoring.alerts.figures import GROUPS_MAX, figures
from services.scoring.alerts.judgement import Change, Key, Moment, alert_id, period_end
from services.scoring.alerts.points import SCAN_SECONDS_MAX, Known, Points
from services.scoring.alerts.replay import Replayed, TooManyGroups, due, replay
from services.scoring.alerts.rule import GROUPS
from services.scoring.alerts.rules import Kept, Rules, figure_columns
from services.scoring.lease import Lease
from services.scoring.scoreboard import Overtaken

log = structlog.get_logger()

PROJECTION = "alerts"
# How soon after the projection has passed a moment it is judged. Looking costs two small statements.
LOOK_EVERY_SECONDS = 1.0
# A rule that can't be judged is no sooner tried again: a pass over its facts may take minutes.
TROUBLE_SECONDS = 600.0
RELEASE_SECONDS_MAX = 2.0

TOLD = """
SELECT group_name, period_start, max(nth) AS nth, max(number) AS number
  FROM scoring.alert WHERE tenant = $1 AND rule = $2 AND rule_version = $3
 GROUP BY 1, 2
"""
LAST_NUMBER = "SELECT coalesce(max(number), 0) FROM scoring.alert WHERE tenant = $1"
COLUMNS = (
    *("tenant", "number", "alert_id", "rule", "rule_version", "grouped_by", "group_name"),
    *("period_start", "period_end", "nth", "supersedes", "part", "whole", "p0", "statistic"),
    *("lower_limit", "upper_limit", "p_value", "judged_at", "position"),
)
DELIVER = """
INSERT INTO scoring.alert_delivery (tenant, number)
SELECT $1, number FROM generate_series($2::bigint, $3::bigint) AS number
"""
# Compare and set; a rule that has ended meanwhile, or has another version, tells nothing more.
ADVANCE = """
UPDATE scoring.alert_rule
   SET judged_at = $5, due_at = $6, groups = $7, groups_without_baseline = $8, run_length = $9,
       run_length_method = $10, false_alarms_per_year = $11, trouble = ''
 WHERE tenant = $1 AND name = $2 AND version = $3 AND is_current AND judged_at IS NOT DISTINCT FROM $4
"""
PUT_OFF = """
UPDATE scoring.alert_rule SET due_at = $4 WHERE tenant = $1 AND name = $2 AND version = $3
"""
TROUBLE = """
UPDATE scoring.alert_rule SET trouble = $4 WHERE tenant = $1 AND name = $2 AND version = $3
"""


class Watch:
    def __init__(
        self,
        pool: Pool,
        rules: Rules,
        points: Points,
        *,
        owner: str,
        delivered: Collection[str],
        duties: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        """delivered: tenants whose alerts go to a webhook. duties: what else the owner of the lease does."""
        self._pool = pool
        self._rules = rules
        self._points = points
        self._lease = Lease(pool, PROJECTION, owner=owner)
        self._delivered = delivered
        self._duties = duties
        # On the loop's clock, by tenant, name and version.
        self._in_trouble: dict[tuple[str, str, int], float] = {}

    async def run(self) -> None:
        """Without end. Whatever is away is waited for; anything unexpected ends the process, visibly."""
        while True:
            try:
                token = await self._lease.take()
                if token is not None:
                    await self._own(token)
            except* (Overtaken, *DATABASE_AWAY) as errors:
                for error in _leaves(errors):
                    if (
                        not isinstance(error, Overtaken)
                        and translate(error, method="alerts") is None
                    ):
                        raise error from None  # a value that does not fit its column: a bug
            await asyncio.sleep(lease.STANDBY_SECONDS)

    async def _own(self, token: int) -> None:
        """Until the lease is lost."""
        log.info("judges alert rules")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep(token), name="keep the lease of alerts")
                tasks.create_task(self._judge(token), name="judge alert rules")
                for duty in self._duties:
                    tasks.create_task(_done(duty), name="beside judging")
        finally:
            with contextlib.suppress(*DATABASE_AWAY):
                async with asyncio.timeout(RELEASE_SECONDS_MAX):
                    await self._lease.release(token)

    async def _keep(self, token: int) -> None:
        # A judgement may take longer than the lease lasts.
        while True:
            await self._lease.renew(token)
            await asyncio.sleep(lease.RENEW_EVERY_SECONDS)

    async def _judge(self, token: int) -> None:
        while True:
            await self.look(token)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self, token: int) -> None:
        """Judges every rule at the moments that the projection has passed. Raises Overtaken."""
        known = await self._points.known()
        if known.recorded_at is not None:
            for kept in await self._rules.due(known.recorded_at):
                await self._judge_rule(token, kept, known)

    async def _judge_rule(self, token: int, kept: Kept, known: Known) -> None:
        who = kept.tenant, kept.name, kept.version
        now = asyncio.get_running_loop().time()
        if now < self._in_trouble.get(who, now) or known.position < kept.put_position:
            return
        zone = await self._points.zone(kept.tenant)
        put = Moment(kept.put_at, kept.put_position) if kept.put_at else None
        moments = await due(self._points, kept.rule, zone, known, put=put, judged_at=kept.judged_at)
        if not moments:
            after = kept.judged_at or await self._points.first_recorded()
            if after is not None:
                await self._pool.execute(PUT_OFF, *who, kept.rule.next_moment(after, zone))
            return
        told = {
            (row["group_name"], row["period_start"]): (row["nth"], row["number"])
            for row in await self._pool.fetch(TOLD, *who)
        }
        try:
            replayed = await replay(
                self._points,
                kept.tenant,
                kept.rule,
                zone,
                moments,
                told={key: nth for key, (nth, _) in told.items()},
                seconds=SCAN_SECONDS_MAX,
            )
        except (TooManyGroups, Malformed, TimeoutError) as error:
            await self._note_trouble(kept, error)
            return
        if (await self._points.known()).position < moments[-1].position:
            return  # other read models answer now, and are not as far
        found = await asyncio.to_thread(figures, replayed.judgement)
        at = moments[-1].at
        async with self._pool.acquire() as tx, tx.transaction():
            await self._lease.fence(token)(tx)
            done = await tx.execute(
                ADVANCE,
                *who,
                kept.judged_at,
                at,
                kept.rule.next_moment(at, zone),
                *figure_columns(found),
            )
            if done == "UPDATE 1":
                numbers = {key: number for key, (_, number) in told.items()}
                await self._tell(tx, kept, replayed, numbers)

    async def _tell(
        self, tx: Connection, kept: Kept, replayed: Replayed, numbers: dict[Key, int]
    ) -> None:
        """numbers: of the last alert about each period of a group."""
        if not replayed.changes:
            return
        last: int = await tx.fetchval(LAST_NUMBER, kept.tenant)
        rows = []
        for number, change in enumerate(replayed.changes, start=last + 1):
            key = change.group, change.period
            rows.append(_row(kept, number, change, numbers.get(key)))
            numbers[key] = number
        await tx.copy_records_to_table(
            "alert", schema_name="scoring", columns=COLUMNS, records=rows
        )
        if kept.tenant in self._delivered:
            await tx.execute(DELIVER, kept.tenant, last + 1, last + len(rows))
        log.info("alerts", rule=kept.name, alerts=len(rows), last=last + len(rows))

    async def _note_trouble(self, kept: Kept, error: Exception) -> None:
        if isinstance(error, TooManyGroups):
            trouble = f"more than {GROUPS_MAX} groups"
        elif isinstance(error, Malformed):
            trouble = str(error)
        else:
            trouble = f"reading its facts takes more than {SCAN_SECONDS_MAX:.0f} s"
        log.error("alert rule stands still", rule=kept.name, reason=trouble)
        who = kept.tenant, kept.name, kept.version
        self._in_trouble[who] = asyncio.get_running_loop().time() + TROUBLE_SECONDS
        await self._pool.execute(TROUBLE, *who, trouble)


def _row(kept: Kept, number: int, change: Change, supersedes: int | None) -> tuple[object, ...]:
    judged = change.judged
    return (
        kept.tenant,
        number,
        alert_id(kept.tenant, kept.name, kept.version, change),
        kept.name,
        kept.version,
        GROUPS[kept.rule.message.group_by],
        change.group,
        change.period,
        period_end(kept.rule, change.period),
        change.nth,
        supersedes,
        judged.point.part if judged else None,
        judged.point.whole if judged else None,
        change.p0,
        judged.statistic if judged else None,
        judged.lower if judged else None,
        judged.upper if judged else None,
        judged.p_value if judged else None,
        change.moment.at,
        change.moment.position,
    )


async def _done(duty: Callable[[], Awaitable[None]]) -> None:
    await duty()


def _leaves(errors: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for each in errors.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
