"""What was answered QUEUED and will never be recorded: a row for each, with the reason.

Gateways take from here what belongs into quarantine, and answer from here what became of an event.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from services.chassis.postgres import Pool
from touchledger.v1.journal_pb2 import RefusedEvent
from touchledger.v1.problem_pb2 import Problem

# Of one answer, which travels as a message; the transport takes 8 MiB, and one row is half of one at most.
LISTED_MAX = 100
LISTED_BYTES_MAX = 1024 * 1024
# Of a tenant, settled ones: those of one program that uses its ids twice, a day long. And of nobody.
KEPT_OF_TENANT_MAX = 100_000
KEPT_DAYS_MAX = 30
SWEPT_TOGETHER_MAX = 10_000

# What is told and not kept is settled at once.
KEEP = """
INSERT INTO journal.buffer_refused (tenant, source, event_id, digest, code, field, got, want, content, format,
                                    settled_at)
SELECT *, CASE WHEN content IS NULL THEN clock_timestamp() END
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[],
              $8::text[], $9::bytea[], $10::text[])
    AS it (tenant, source, event_id, digest, code, field, got, want, content, format)
ON CONFLICT ON CONSTRAINT buffer_refused_once DO NOTHING
"""
OF_EVENTS = """
SELECT number, tenant, source, event_id, digest, code, field, got, want, NULL::bytea AS content, format,
       refused_at, quarantine_id
  FROM journal.buffer_refused
 WHERE tenant = $1 AND source = $2 AND event_id = ANY($3)
 ORDER BY number
"""
UNSETTLED = """
SELECT number, tenant, source, event_id, digest, code, field, got, want, content, format,
       refused_at, quarantine_id
  FROM (SELECT *, sum(octet_length(content)) OVER (ORDER BY number) - octet_length(content) AS before
          FROM (SELECT * FROM journal.buffer_refused
                 WHERE settled_at IS NULL AND tenant <> '' ORDER BY number LIMIT $1) AS first_ones) AS summed
 WHERE before < $2
 ORDER BY number
"""
SETTLE = """
UPDATE journal.buffer_refused
   SET settled_at = clock_timestamp(), quarantine_id = $2, content = NULL
 WHERE number = $1 AND settled_at IS NULL
"""
WAITING = """
SELECT count(*) FILTER (WHERE tenant <> '') AS waiting, count(*) FILTER (WHERE tenant = '') AS of_nobody
  FROM journal.buffer_refused WHERE settled_at IS NULL
"""
SWEEP = """
DELETE FROM journal.buffer_refused
 WHERE number IN (SELECT number
                    FROM (SELECT number, refused_at,
                                 row_number() OVER (PARTITION BY tenant ORDER BY number DESC) AS nth
                            FROM journal.buffer_refused
                           WHERE settled_at IS NOT NULL OR tenant = '') AS done
                   WHERE nth > $1 OR refused_at < clock_timestamp() - make_interval(days => $2)
                   LIMIT $3)
"""


class Refused(NamedTuple):
    # Empty where nobody can say whose it is.
    tenant: str
    source: str
    event_id: str
    digest: bytes
    problem: Problem
    # None where it is told and not kept.
    content: bytes | None
    format: str


class RefusedEvents:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep(self, refused: Sequence[Refused]) -> None:
        """Durably. The same one again changes nothing."""
        await self._pool.execute(
            KEEP,
            [_text(each.tenant) for each in refused],
            [_text(each.source) for each in refused],
            [_text(each.event_id) for each in refused],
            [each.digest or hashlib.sha256(each.content or b"").digest() for each in refused],
            [each.problem.code for each in refused],
            [each.problem.field for each in refused],
            [_text(each.problem.got) for each in refused],
            [each.problem.want for each in refused],
            [each.content for each in refused],
            [each.format for each in refused],
        )

    async def of_events(
        self, tenant: str, source: str, event_ids: Sequence[str]
    ) -> dict[str, list[RefusedEvent]]:
        found = dict[str, list[RefusedEvent]]()
        for row in await self._pool.fetch(OF_EVENTS, tenant, source, event_ids):
            found.setdefault(row["event_id"], []).append(_event(row))
        return found

    async def unsettled(self) -> list[RefusedEvent]:
        """What no gateway has cared for yet, the first of it."""
        rows = await self._pool.fetch(UNSETTLED, LISTED_MAX, LISTED_BYTES_MAX)
        return [_event(row) for row in rows]

    async def settle(self, number: int, quarantine_id: str) -> None:
        await self._pool.execute(SETTLE, number, quarantine_id)

    async def waiting(self) -> tuple[int, int]:
        """How many wait for a gateway, and how many are nobody's."""
        row = await self._pool.fetchrow(WAITING)
        assert row is not None
        return row["waiting"], row["of_nobody"]

    async def sweep(self) -> None:
        """What is settled is not kept for ever, nor is more of it than a bound. Every replica may."""
        await self._pool.execute(SWEEP, KEPT_OF_TENANT_MAX, KEPT_DAYS_MAX, SWEPT_TOGETHER_MAX)


def _event(row: asyncpg.Record) -> RefusedEvent:
    return RefusedEvent(
        number=row["number"],
        tenant=row["tenant"],
        source=row["source"],
        event_id=row["event_id"],
        content_digest=row["digest"],
        problem=Problem(code=row["code"], field=row["field"], got=row["got"], want=row["want"]),
        content=row["content"] or b"",
        format=row["format"],
        quarantine_id=row["quarantine_id"],
        refused_at=row["refused_at"],
    )


def _text(value: str) -> str:
    """As PostgreSQL can have it: what is wrong with an event may be a NUL."""
    return value.replace("\0", "\N{SYMBOL FOR NULL}")
