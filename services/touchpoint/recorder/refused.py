"""What was answered QUEUED and will never be recorded: a row for each, with the reason.

Gateways take from here what belongs into quarantine, and answer from here what became of an event.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from services.chassis.postgres import Pool
from touchledger.v1.problem_pb2 import Problem

KEEP = """
INSERT INTO journal.buffer_refused (tenant, source, event_id, digest, code, field, got, want, content, format)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[],
                     $8::text[], $9::bytea[], $10::text[])
ON CONFLICT ON CONSTRAINT buffer_refused_once DO NOTHING
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


def _text(value: str) -> str:
    """As PostgreSQL can have it: what is wrong with an event may be a NUL."""
    return value.replace("\0", "\N{SYMBOL FOR NULL}")
