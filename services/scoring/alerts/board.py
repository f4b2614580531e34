"""The alerts that were told, and what became of their delivery: read for the tenant that asks."""

import asyncpg

from services.chassis.errors import Malformed
from services.chassis.postgres import Pool
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1.journal_pb2 import Position

PAGE_SIZE, PAGE_SIZE_MAX = 100, 1000

ALERTS = """
SELECT tenant, number, alert_id, rule, rule_version, grouped_by, group_name, period_start, period_end, nth,
       supersedes, part, whole, p0, statistic, lower_limit, upper_limit, p_value, judged_at, position
  FROM scoring.alert
 WHERE tenant = $1 AND number > $2 AND ($3 = '' OR rule = $3)
 ORDER BY number LIMIT $4
"""
LAST_NUMBER = "SELECT coalesce(max(number), 0) FROM scoring.alert WHERE tenant = $1"
DELIVERIES = """
SELECT d.number, a.alert_id, d.state, d.attempts, d.last_result, d.due_at, d.tried_at
  FROM scoring.alert_delivery d
  JOIN scoring.alert a USING (tenant, number)
 WHERE tenant = $1 AND ($2::bigint = 0 OR number < $2)
 ORDER BY number DESC LIMIT $3
"""
STATES = {
    "waiting": pb.ALERT_DELIVERY_STATE_WAITING,
    "delivered": pb.ALERT_DELIVERY_STATE_DELIVERED,
    "given_up": pb.ALERT_DELIVERY_STATE_GIVEN_UP,
}
# Numbers are bigint.
NUMBER_MAX = 2**63 - 1


class Board:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def alerts(
        self, tenant: str, *, after_number: int, rule: str = "", page_size: int = 0
    ) -> list[pb.Alert]:
        _check_number("after_number", after_number)
        if "\0" in rule:
            raise Malformed("no NUL", field="rule", got="a NUL character")
        rows = await self._pool.fetch(ALERTS, tenant, after_number, rule, _page_size(page_size))
        return [told(row) for row in rows]

    async def last_number(self, tenant: str) -> int:
        number: int = await self._pool.fetchval(LAST_NUMBER, tenant)
        return number

    async def deliveries(
        self, tenant: str, *, before_number: int, page_size: int
    ) -> list[pb.AlertDelivery]:
        _check_number("before_number", before_number)
        rows = await self._pool.fetch(DELIVERIES, tenant, before_number, _page_size(page_size))
        return [_delivery(row) for row in rows]


def told(row: asyncpg.Record) -> pb.Alert:
    """Of a row of scoring.alert."""
    alert = pb.Alert(
        number=row["number"],
        alert_id=row["alert_id"],
        rule=row["rule"],
        rule_version=row["rule_version"],
        group=row["group_name"],
        period_start=row["period_start"].isoformat(),
        period_end=row["period_end"].isoformat(),
        withdrawn=row["nth"] % 2 == 0,
        supersedes=row["supersedes"],
        part=row["part"],
        whole=row["whole"],
        p0=row["p0"],
        statistic=row["statistic"],
        lower=row["lower_limit"],
        upper=row["upper_limit"],
        p_value=row["p_value"],
        as_of_position=Position(number=row["position"]),
    )
    alert.judged_at.FromDatetime(row["judged_at"])
    return alert


def _delivery(row: asyncpg.Record) -> pb.AlertDelivery:
    delivery = pb.AlertDelivery(
        number=row["number"],
        alert_id=row["alert_id"],
        state=STATES[row["state"]],
        attempts=row["attempts"],
        last_result=row["last_result"],
    )
    if row["state"] == "waiting":
        delivery.due_at.FromDatetime(row["due_at"])
    if row["tried_at"] is not None:
        delivery.tried_at.FromDatetime(row["tried_at"])
    return delivery


def _page_size(asked: int) -> int:
    if asked > PAGE_SIZE_MAX:
        raise Malformed(f"at most {PAGE_SIZE_MAX}", field="page_size", got=f"{asked}")
    return asked or PAGE_SIZE


def _check_number(field: str, number: int) -> None:
    if number > NUMBER_MAX:
        raise Malformed(f"at most {NUMBER_MAX}", field=field, got=f"{number}")
