"""Brings alerts to the tenants' webhooks: each at least once, tried for a day, less and less often."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import asyncpg
import structlog
from google.protobuf import json_format

from services.chassis import clock
from services.chassis.postgres import Pool
from services.scoring.alerts.board import told
from services.scoring.alerts.webhook_post import Failed, Webhook, post

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 1.0
# Of each tenant in one go. Tenants are served side by side, one post at a time each.
ALERTS_PER_LOOK = 100
# All are looked at again when each has had its turn: a receiver that takes seconds for each alert holds up
# the other tenants' no longer than this and one attempt.
TURN_SECONDS_MAX = 10.0
# 5 s, 10 s, 20 s … a quarter of an hour: for a day some hundred attempts.
FIRST_PAUSE_SECONDS = 5
PAUSE_SECONDS_MAX = 900
GIVE_UP_HOURS = 24

DUE = """
SELECT d.attempts, a.tenant, a.number, a.alert_id, a.rule, a.rule_version, a.grouped_by, a.group_name,
       a.period_start, a.period_end, a.nth, a.supersedes, a.part, a.whole, a.p0, a.statistic, a.lower_limit,
       a.upper_limit, a.p_value, a.judged_at, a.position
  FROM unnest($1::text[]) AS t (tenant)
  CROSS JOIN LATERAL (
      SELECT number, attempts FROM scoring.alert_delivery
       WHERE tenant = t.tenant AND state = 'waiting' AND due_at <= now()
       ORDER BY due_at, number LIMIT $2) AS d
  JOIN scoring.alert a ON a.tenant = t.tenant AND a.number = d.number
"""
DELIVERED = """
UPDATE scoring.alert_delivery
   SET state = 'delivered', attempts = attempts + 1, last_result = $3, tried_at = now()
 WHERE tenant = $1 AND number = $2
"""
FAILED = """
UPDATE scoring.alert_delivery
   SET state = CASE WHEN now() > made_at + make_interval(hours => $5) THEN 'given_up' ELSE state END,
       attempts = attempts + 1, last_result = $3, tried_at = now(),
       due_at = now() + make_interval(secs => $4)
 WHERE tenant = $1 AND number = $2
RETURNING state
"""


class Delivery:
    def __init__(
        self, pool: Pool, webhooks: Mapping[str, Webhook], *, private_addresses: bool
    ) -> None:
        self._pool = pool
        self._webhooks = webhooks
        self._private_addresses = private_addresses

    async def run(self) -> None:
        """Without end, in one process at a time; in two, an alert may come twice."""
        while self._webhooks:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Tries what is due."""
        by_tenant: defaultdict[str, list[asyncpg.Record]] = defaultdict(list)
        for row in await self._pool.fetch(DUE, list(self._webhooks), ALERTS_PER_LOOK):
            by_tenant[row["tenant"]].append(row)
        async with asyncio.TaskGroup() as tasks:
            for tenant, rows in by_tenant.items():
                tasks.create_task(self._deliver(tenant, rows), name="deliver alerts")

    async def _deliver(self, tenant: str, rows: list[asyncpg.Record]) -> None:
        """Until one is refused, since those after it would be, too, or the turn is over."""
        now = asyncio.get_running_loop().time
        began = now()
        for row in rows:
            alert = told(row)
            body = json_format.MessageToJson(alert, preserving_proto_field_name=True, indent=None)
            try:
                result = await post(
                    self._webhooks[tenant],
                    message_id=alert.alert_id,
                    body=body.encode(),
                    seconds=clock.now().seconds,
                    private_addresses=self._private_addresses,
                )
            except Failed as error:
                pause = min(FIRST_PAUSE_SECONDS * 2 ** min(row["attempts"], 20), PAUSE_SECONDS_MAX)
                state = await self._pool.fetchval(
                    FAILED, tenant, alert.number, str(error), float(pause), GIVE_UP_HOURS
                )
                log.warning("alert not delivered", number=alert.number, got=str(error), state=state)
                return
            await self._pool.execute(DELIVERED, tenant, alert.number, result)
            if now() - began >= TURN_SECONDS_MAX:
                return
