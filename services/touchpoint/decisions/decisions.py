"""Takes decisions on streams of the journal: read, decide, store if nobody else has decided meanwhile."""

import asyncio
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic
from uuid import UUID

from services.chassis import telemetry
from services.chassis.errors import Exhausted, NotFound
from services.chassis.postgres import Connection, Pool
from services.touchpoint.appender import Also, VersionConflict
from services.touchpoint.decisions import listing
from services.touchpoint.decisions.decided import Decided
from services.touchpoint.decisions.stored import D, entries, fold
from services.touchpoint.identity import VARIANT, VERSION
from services.touchpoint.journal import Journal
from services.touchpoint.row import Attempt, encode

# The source of decisions in the journal: they are taken here.
SOURCE = "touchledger"
# Those who decide on one stream at the same moment: of n, the last one needs n attempts.
ATTEMPTS_MAX = 20
# Not the length of any tenant, which the hash of a published event's stream begins with (identity.py).
DECISION = b"decision"
CONNECTION_SECONDS_MAX = 5.0
# Of all that one page lists: some 0.2 s of work and 50 MB where all are as large as they can be.
DECISIONS_READ_MAX = 1000


@dataclass(frozen=True, slots=True)
class Answer(Generic[D]):
    """What is decided, as of its version, and the position of the last decision in it."""

    decided: D
    position: int


def stream_id(tenant: str, kind: str, name: str) -> UUID:
    """Another one for another tenant, kind or name, and none of a published event; the same for ever."""
    # Lengths first, so that ("ab", "c") and ("a", "bc") differ.
    parts = (part.encode() for part in (tenant, kind, name))
    prefixed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    number = bytearray(hashlib.sha256(DECISION + prefixed).digest()[:16])
    number[6], number[8] = VERSION[number[6]], VARIANT[number[8]]
    return UUID(bytes=bytes(number))


class Decisions:
    def __init__(self, journal: Journal, pool: Pool) -> None:
        self._journal = journal
        self._pool = pool

    async def take(
        self,
        kind: type[D],
        tenant: str,
        name: str,
        command: Callable[[D], int],
        *,
        first: Callable[[UUID], D] | None = None,
        unless: Also | None = None,
    ) -> Answer[D]:
        """The answer to a command, which is the same when the command is repeated.

        command: changes the stream's aggregate and tells the version that it has made, now or before.
        first: makes the aggregate of a stream that has no event yet; without it there must be one.
        unless: where it raises, nothing is stored. Called under the append lock: nobody decides between.
        """
        originator_id = stream_id(tenant, kind.KIND, name)
        for _ in range(ATTEMPTS_MAX):
            stored = await self._journal.stream(originator_id)
            decided = fold(kind, stored)
            if decided is not None:
                version = command(decided)
            elif first is not None:
                decided = first(originator_id)
            else:
                raise _not_found(kind, name)
            if not decided.pending_events:
                then = fold(kind, stored[:version])
                assert then is not None, "a command makes at least version 1"
                return Answer(then, stored[version - 1]["notification_id"])
            try:
                return Answer(decided, await self._store(tenant, decided, unless))
            except VersionConflict:
                continue
        raise Exhausted(f"fewer commands at once on one {kind.KIND}", got=f"{ATTEMPTS_MAX} lost")

    async def _store(self, tenant: str, decided: Decided, unless: Also | None) -> int:
        async def also(connection: Connection) -> None:
            if unless is not None:
                await unless(connection)
            await listing.write(connection, [(tenant, decided)])

        attempt = Attempt(
            tenant=tenant,
            source=SOURCE,
            received_at=decided.modified_on,
            sent_at=None,
            traceparent=telemetry.traceparent(),
        )
        results = await self._journal.decide(
            encode(attempt, entries(decided.collect_events())),
            also=also,
        )
        return results[-1].position

    async def get(self, kind: type[D], tenant: str, name: str) -> Answer[D]:
        stored = await self._journal.stream(stream_id(tenant, kind.KIND, name))
        decided = fold(kind, stored)
        if decided is None:
            raise _not_found(kind, name)
        return Answer(decided, stored[-1]["notification_id"])

    async def list(
        self,
        kind: type[D],
        tenant: str,
        *,
        after: str,
        limit: int,
        status: str = "",
        touchpoint: str = "",
        owner: str = "",
    ) -> tuple[list[D], bool]:
        """Those whose names follow, in the order of names, and whether there are more."""
        async with (
            self._pool.acquire(timeout=CONNECTION_SECONDS_MAX) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            found = await listing.page(
                connection,
                tenant,
                kind,
                after=after,
                limit=limit + 1,
                status=status,
                touchpoint=touchpoint,
                owner=owner,
            )
            read = itertools.accumulate(row["version"] for row in found[:limit])
            shown = sum(1 for decisions in read if decisions <= DECISIONS_READ_MAX)
            # One at least: a stream is no longer than that.
            ids = [row["originator_id"] for row in found[: max(1, shown)]]
            streams = await listing.streams(connection, ids)
        listed = list[D]()
        for originator_id in ids:
            decided = fold(kind, streams[originator_id])
            assert decided is not None, "a stream has an event"
            listed.append(decided)
            # Appends go on meanwhile.
            await asyncio.sleep(0)
        return listed, len(found) > len(ids)


def _not_found(kind: type[Decided], name: str) -> NotFound:
    return NotFound(f"the name of a {kind.KIND}", field=kind.NAME_FIELD, got=name)
