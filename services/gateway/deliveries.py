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
from services.gateway.turns import Due, Turns
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
# From webhook to webhook through the index, so that it costs the same however much waits for each.
DUE = """
WITH RECURSIVE waits (webhook_id) AS (
    (SELECT webhook_id FROM gateway.delivery WHERE due_at IS NOT NULL ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.webhook_id FROM gateway.delivery AS d
             WHERE d.due_at IS NOT NULL AND d.webhook_id > waits.webhook_id
             ORDER BY d.webhook_id LIMIT 1)
      FROM waits WHERE waits.webhook_id IS NOT NULL)
SELECT w.tenant, w.webhook_id, due.deliveries
  FROM waits JOIN gateway.webhook AS w USING (webhook_id)
 CROSS JOIN LATERAL (
    SELECT count(*) AS deliveries
      FROM (SELECT FROM gateway.delivery AS d
             WHERE d.webhook_id = w.webhook_id AND d.unanswered = 0 AND d.due_at <= now()
             ORDER BY d.due_at LIMIT $1) AS some_of_it
    ) AS due
 WHERE w.deleted_at IS NULL AND due.deliveries > 0
"""
# Only who holds a row's lock takes it in hand, and from then on due_at keeps others away.
TAKE = """
WITH next AS MATERIALIZED (
    SELECT d.delivery_id
      FROM unnest($1::text[], $2::integer[]) AS share (webhook_id, deliveries)
     CROSS JOIN LATERAL (
        SELECT delivery_id FROM gateway.delivery
         WHERE webhook_id = share.webhook_id AND unanswered = 0 AND due_at <= now()
         ORDER BY due_at LIMIT share.deliveries
           FOR UPDATE SKIP LOCKED) AS d)
UPDATE gateway.delivery AS d
   SET due_at = now() + make_interval(secs => $3), attempts = d.attempts + 1, unanswered = d.unanswered + 1
  FROM gateway.webhook AS w
 WHERE d.delivery_id = ANY (ARRAY(SELECT delivery_id FROM next)) AND w.webhook_id = d.webhook_id
RETURNING d.delivery_id, d.webhook_id, w.tenant, d.received_at, d.content, d.attempts, d.unanswered
"""
TAKE_ONE_ALONE = """
WITH next AS MATERIALIZED (
    SELECT delivery_id FROM gateway.delivery
     WHERE due_at <= now() AND unanswered > 0
     ORDER BY due_at LIMIT 1
       FOR UPDATE SKIP LOCKED)
UPDATE gateway.delivery AS d
   SET due_at = now() + make_interval(secs => $1), attempts = d.attempts + 1, unanswered = d.unanswered + 1
  FROM gateway.webhook AS w
 WHERE d.delivery_id = ANY (ARRAY(SELECT delivery_id FROM next)) AND w.webhook_id = d.webhook_id
RETURNING d.delivery_id, d.webhook_id, w.tenant, d.received_at, d.content, d.attempts, d.unanswered
"""
FINISH = """
WITH done AS (
    UPDATE gateway.delivery SET due_at = NULL, unanswered = 0 WHERE delivery_id = ANY($2::bigint[]))
UPDATE gateway.webhook
   SET deliveries = deliveries + $3, empty = empty + $4, recorded = recorded + $5,
       duplicates = duplicates + $6, quarantined = quarantined + $7, rejected = rejected + $8,
       conflicts = conflicts + $9
 WHERE webhook_id = $1
"""
# Not where another gateway has taken it over meanwhile, or has told its outcome.
PUT_BACK = """
UPDATE gateway.delivery AS d
   SET due_at = now() + make_interval(secs => $3),
       attempts = d.attempts - CASE WHEN $4 THEN 0 ELSE 1 END,
       unanswered = d.unanswered - CASE WHEN $5 THEN 1 ELSE 0 END
  FROM unnest($1::bigint[], $2::integer[]) AS taken (delivery_id, attempts)
 WHERE d.delivery_id = taken.delivery_id AND d.attempts = taken.attempts AND d.due_at IS NOT NULL
   AND d.unanswered > 0
"""
PAGE = """
SELECT delivery_id, webhook_id, received_at, content, unanswered
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
        self._turns = Turns()
        self._one_alone_next = False

    async def store(self, webhook: Webhook, delivery: Delivery) -> int:
        """Its id, once it is durable."""
        sealed = self._sealed(webhook, delivery)
        async with asyncio.timeout(STORE_SECONDS_MAX):
            delivery_id: int = await self._pool.fetchval(
                STORE, webhook.webhook_id, delivery.received_at, sealed
            )
        return delivery_id

    async def take(self) -> list[asyncpg.Record]:
        """Some that are due, by turns; no other gateway takes them for IN_HAND_SECONDS_MAX.

        One that a gateway has begun before and told nothing of comes alone, and every other time: whatever
        ended that gateway harms none beside it, and however many there are, the others get on.
        """
        for _ in range(2):
            alone, self._one_alone_next = self._one_alone_next, not self._one_alone_next
            if alone:
                rows = await self._pool.fetch(TAKE_ONE_ALONE, IN_HAND_SECONDS_MAX)
            else:
                rows = await self._take_by_turns()
            if rows:
                return rows
        return []

    async def _take_by_turns(self) -> list[asyncpg.Record]:
        due = await self._pool.fetch(DUE, IN_HAND_MAX)
        shares = self._turns.shares((Due(*row) for row in due), IN_HAND_MAX)
        if not shares:
            return []
        return await self._pool.fetch(TAKE, [*shares], [*shares.values()], IN_HAND_SECONDS_MAX)

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

    async def put_back(
        self,
        rows: Sequence[asyncpg.Record],
        *,
        due_in_seconds: float,
        begun: bool = True,
        answered: bool = True,
    ) -> None:
        """What was taken is due again.

        answered: it is known why there is no outcome, such as a journal that is away, so that this is not
        held against the delivery.
        """
        ids, attempts = [row["delivery_id"] for row in rows], [row["attempts"] for row in rows]
        await self._pool.execute(PUT_BACK, ids, attempts, due_in_seconds, begun, answered)

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
        oldest = kept_since(now)
        await self._delete_all(DELETE_OLD, oldest, SWEPT_TOGETHER_MAX)
        await self._delete_all(DELETE_ORPHANS, SWEPT_TOGETHER_MAX)
        await self._pool.execute(DELETE_WEBHOOKS, oldest)

    async def _delete_all(self, statement: str, *arguments: object) -> None:
        while True:
            deleted = await self._pool.execute(statement, *arguments)
            if int(deleted.split()[-1]) < SWEPT_TOGETHER_MAX:
                return


def kept_since(now: datetime) -> datetime:
    return now - timedelta(days=KEPT_DAYS)


def _place(webhook_id: str) -> str:
    return f"webhook:{webhook_id}:delivery"


def log_failure(error: Exception, *, doing: str) -> bool:
    """Of work in the background, which goes on. Whether something was away, so that repeating may help."""
    told = translate(error, method=doing)
    if told is None or not told.retryable:
        log.error("unexpected", doing=doing, error=type(error).__name__, where=place_of(error))
        return False
    log.warning("will be repeated", doing=doing, error=type(error).__name__)
    return True
