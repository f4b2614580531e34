"""What vendors delivered, as it is stored: sealed, until it is mapped and for a while after.

http_webhooks.py takes deliveries, mapper.py makes events of them.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from services.chassis import clock
from services.chassis.errors import place_of, translate
from services.chassis.postgres import Pool
from services.gateway.adapters.adapter import Delivery
from services.gateway.keyring import Keyring
from services.gateway.webhooks import Webhook
from touchledger.v1 import webhooks_pb2 as pb

log = structlog.get_logger()

# Headers that open doors, and that no mapping reads.
UNSTORED_HEADERS = {"authorization", "cookie"}
# A commit takes milliseconds; vendors wait for 2 to 12 seconds, and come again.
STORE_SECONDS_MAX = 5.0
# Deliveries in hand at once: 16 of the largest are what the process can hold beside its other work.
IN_HAND_MAX = 16
# Another gateway takes over what one has not told the outcome of by then: mapping takes milliseconds, and
# publishing 10 seconds at most.
IN_HAND_SECONDS_MAX = 60.0
# Deliveries hold personal data, and a mapping that is wrong is noticed within weeks.
KEPT_DAYS = 30
SWEEP_EVERY_SECONDS = 600.0
# Of one statement, so that nobody waits for the sweep.
SWEPT_TOGETHER_MAX = 500

STORE = """
INSERT INTO gateway.delivery (webhook_id, received_at, content, due_at) VALUES ($1, $2, $3, now())
RETURNING delivery_id
"""
# Only who holds a row's lock takes it in hand, and from then on due_at keeps others away.
TAKE = """
WITH due AS MATERIALIZED (
    SELECT d.delivery_id
      FROM gateway.delivery AS d JOIN gateway.webhook AS w USING (webhook_id)
     WHERE d.due_at <= now() AND w.deleted_at IS NULL
     ORDER BY d.due_at LIMIT $1
       FOR UPDATE OF d SKIP LOCKED)
UPDATE gateway.delivery AS d
   SET due_at = now() + make_interval(secs => $2), attempts = d.attempts + 1
  FROM due
 WHERE d.delivery_id = due.delivery_id
RETURNING d.delivery_id, d.webhook_id, d.received_at, d.content, d.attempts
"""
FINISH = """
WITH done AS (
    UPDATE gateway.delivery SET due_at = NULL WHERE delivery_id = ANY($2::bigint[]))
UPDATE gateway.webhook
   SET deliveries = deliveries + $3, empty = empty + $4, recorded = recorded + $5,
       duplicates = duplicates + $6, quarantined = quarantined + $7, rejected = rejected + $8,
       conflicts = conflicts + $9
 WHERE webhook_id = $1
"""
PUT_BACK = """
UPDATE gateway.delivery SET due_at = now() + make_interval(secs => $2) WHERE delivery_id = ANY($1::bigint[])
"""
PAGE = """
SELECT delivery_id, webhook_id, received_at, content, attempts
  FROM gateway.delivery
 WHERE webhook_id = $1 AND due_at IS NULL AND (received_at, delivery_id) > ($2, $3)
 ORDER BY received_at, delivery_id LIMIT $4
"""
DELETE_OLD = """
DELETE FROM gateway.delivery WHERE delivery_id IN (
    SELECT delivery_id FROM gateway.delivery WHERE due_at IS NULL AND received_at < $1 LIMIT $2)
"""
DELETE_ORPHANS = """
DELETE FROM gateway.delivery WHERE delivery_id IN (
    SELECT d.delivery_id FROM gateway.webhook AS w JOIN gateway.delivery AS d USING (webhook_id)
     WHERE w.deleted_at IS NOT NULL LIMIT $1)
"""
DELETE_WEBHOOKS = """
DELETE FROM gateway.webhook AS w
 WHERE deleted_at < $1 AND NOT EXISTS (SELECT FROM gateway.delivery AS d WHERE d.webhook_id = w.webhook_id)
"""


class Deliveries:
    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring

    async def store(self, webhook: Webhook, delivery: Delivery) -> int:
        """Its id, once it is durable."""
        sealed = self._sealed(webhook, delivery)
        async with asyncio.timeout(STORE_SECONDS_MAX):
            delivery_id: int = await self._pool.fetchval(
                STORE, webhook.webhook_id, delivery.received_at, sealed
            )
        return delivery_id

    async def take(self) -> list[asyncpg.Record]:
        """Some that are due, of any webhooks; no other gateway takes them for IN_HAND_SECONDS_MAX."""
        return await self._pool.fetch(TAKE, IN_HAND_MAX, IN_HAND_SECONDS_MAX)

    async def page(self, webhook_id: str, after: tuple[datetime, int]) -> list[asyncpg.Record]:
        """Some that were mapped, in the order in which they came after this moment and id."""
        return await self._pool.fetch(PAGE, webhook_id, *after, IN_HAND_MAX)

    async def finish(
        self, webhook_id: str, delivery_ids: Sequence[int], counts: pb.WebhookCounts
    ) -> None:
        await self._pool.execute(
            FINISH,
            webhook_id,
            delivery_ids,
            counts.deliveries,
            counts.empty,
            counts.recorded,
            counts.duplicates,
            counts.quarantined,
            counts.rejected,
            counts.conflicts,
        )

    async def put_back(self, delivery_ids: Sequence[int], *, due_in_seconds: float) -> None:
        await self._pool.execute(PUT_BACK, delivery_ids, due_in_seconds)

    def opened(self, webhook: Webhook, row: asyncpg.Record) -> Delivery:
        """Raises Corrupt where it was sealed with another secret."""
        clear = self._keyring.opened(
            webhook.caller.tenant, row["content"], place=_place(webhook.webhook_id)
        )
        head, _, body = clear.partition(b"\n")
        told = json.loads(head)
        return Delivery(told["url"], told["headers"], body, row["received_at"])

    def _sealed(self, webhook: Webhook, delivery: Delivery) -> bytes:
        headers = {
            name: value
            for name, value in delivery.headers.items()
            # A vendor that signs nothing sends the secret itself.
            if name not in UNSTORED_HEADERS and not (webhook.secret and webhook.secret in value)
        }
        head = json.dumps({"url": delivery.url, "headers": headers}).encode()
        return self._keyring.sealed(
            webhook.caller.tenant, head + b"\n" + delivery.body, place=_place(webhook.webhook_id)
        )

    async def run(self) -> None:
        """Deletes what was kept for long enough, until cancelled."""
        while True:
            try:
                await self.sweep(clock.now().ToDatetime(UTC))
            except Exception as error:
                log_failure(error, doing="deleting old deliveries")
            await asyncio.sleep(SWEEP_EVERY_SECONDS)

    async def sweep(self, now: datetime) -> None:
        """Deletes what was kept for long enough, and what belonged to webhooks that were deleted."""
        oldest = now - timedelta(days=KEPT_DAYS)
        await self._delete_all(DELETE_OLD, oldest, SWEPT_TOGETHER_MAX)
        await self._delete_all(DELETE_ORPHANS, SWEPT_TOGETHER_MAX)
        await self._pool.execute(DELETE_WEBHOOKS, oldest)

    async def _delete_all(self, statement: str, *arguments: object) -> None:
        while True:
            deleted = await self._pool.execute(statement, *arguments)
            if int(deleted.split()[-1]) < SWEPT_TOGETHER_MAX:
                return


def _place(webhook_id: str) -> str:
    return f"webhook:{webhook_id}:delivery"


def log_failure(error: Exception, *, doing: str) -> None:
    """Of work in the background, which goes on."""
    told = translate(error, method=doing)
    if told is None or not told.retryable:
        log.error("unexpected", doing=doing, error=type(error).__name__, where=place_of(error))
    else:
        log.warning("will be repeated", doing=doing, error=type(error).__name__)
