"""Keeps what a source sent in good faith and a person can mend: sealed, once, bounded for each tenant.

An entry is open until its event is in the journal (released) or somebody gives it up (discarded).
Publishing it again is the servicer's.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis import clock
from services.chassis.errors import (
    DATABASE_AWAY,
    Conflict,
    Exhausted,
    Malformed,
    NotFound,
    translate,
)
from services.chassis.postgres import Connection, Pool
from services.gateway.access import Caller
from services.gateway.checks import SECONDS_MAX, SECONDS_MIN
from services.gateway.keyring import Keyring
from touchledger.v1 import events_pb2
from touchledger.v1 import quarantine_pb2 as pb
from touchledger.v1.journal_pb2 import Position
from touchledger.v1.problem_pb2 import Problem

log = structlog.get_logger()

# Open entries of a tenant: a day's feedback of a large chain, sent with the wrong scale.
OPEN_ENTRIES_MAX = 100_000
# Their bytes: an entry is some 300, but may be a vendor's document.
OPEN_BYTES_MAX = 256 * 1024 * 1024
# The largest vendor documents that are known have some 600 KB.
ENTRY_BYTES_MAX = 1024 * 1024
# An id can't be mended: it is what names the event. Half a surrogate pair comes out of JSON alone.
EVENT_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,128}")
# What waits in this process to be kept: two of the largest requests.
WAITING_ENTRIES_MAX = 1000
WAITING_BYTES_MAX = 8 * 1024 * 1024
# A turn takes milliseconds; a publisher is better told to repeat than kept waiting for longer.
KEEP_SECONDS_MAX = 5.0
# After it an entry that nobody cared for is discarded: personal data is not kept for ever.
OPEN_DAYS_MAX = 90
# After it an entry that was released or discarded is deleted. Until then it tells what was mended.
RESOLVED_DAYS_MAX = 30
OVERDUE = "not mended in time"
SWEEP_EVERY_SECONDS = 3600.0
# Of one statement, so that nobody waits for the sweep.
SWEPT_TOGETHER_MAX = 1000
PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX = 100, 500
# 128 bits of a digest.
ID_HEX_DIGITS = 32
ID = re.compile(rf"[0-9a-f]{{{ID_HEX_DIGITS}}}", re.ASCII)
PAGE_TOKEN = re.compile(rf"([0-9]{{1,18}})\.([0-9a-f]{{{ID_HEX_DIGITS}}})", re.ASCII)

STATUS = {
    "open": pb.QUARANTINE_STATUS_OPEN,
    "released": pb.QUARANTINE_STATUS_RELEASED,
    "discarded": pb.QUARANTINE_STATUS_DISCARDED,
}
STATUS_WORD = {number: word for word, number in STATUS.items()}

# Whoever adds or takes away entries of a tenant locks this row first: the bound holds exactly, whatever the
# number of gateways, and nobody deadlocks.
LOCK = """
INSERT INTO gateway.quarantine_use AS it (tenant) VALUES ($1)
ON CONFLICT (tenant) DO UPDATE SET entries = it.entries
RETURNING entries, bytes
"""
USE = (
    "UPDATE gateway.quarantine_use SET entries = entries + $2, bytes = bytes + $3 WHERE tenant = $1"
)
CAME_AGAIN = """
UPDATE gateway.quarantine AS kept
   SET times_received = times_received + offered.times, last_received_at = $4
  FROM unnest($2::text[], $3::bigint[]) AS offered (quarantine_id, times)
 WHERE kept.tenant = $1 AND kept.quarantine_id = offered.quarantine_id
RETURNING kept.quarantine_id, kept.status
"""
KEEP = """
INSERT INTO gateway.quarantine (
    tenant, quarantine_id, source, event_id, trust, format, content, content_bytes,
    code, field, got, want, times_received, received_at, last_received_at, sent_at)
SELECT $1, quarantine_id, source, event_id, trust, format, content, content_bytes,
       code, field, got, want, times, received_at, $2, sent_at
  FROM unnest($3::text[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::bytea[], $9::integer[],
              $10::text[], $11::text[], $12::text[], $13::text[], $14::bigint[],
              $15::timestamptz[], $16::timestamptz[])
    AS offered (quarantine_id, source, event_id, trust, format, content, content_bytes,
                code, field, got, want, times, received_at, sent_at)
"""
LIST = """
SELECT quarantine_id, source, event_id, received_at, last_received_at, times_received, format,
       code, field, got, want, status, resolved_at, reason
  FROM gateway.quarantine
 WHERE tenant = $1 AND status = $2
   AND ($3 = '' OR source = $3) AND ($4 = '' OR code = $4)
   AND (received_at, quarantine_id) < ($5, $6)
 ORDER BY received_at DESC, quarantine_id DESC
 LIMIT $7
"""
GET = """
SELECT quarantine_id, source, event_id, received_at, last_received_at, times_received, format,
       code, field, got, want, status, resolved_at, reason,
       trust, content, content_bytes, sent_at, journal_id, position
  FROM gateway.quarantine
 WHERE tenant = $1 AND quarantine_id = $2
"""
# One id for an entry that came without: whoever is second finds the first one's.
NAME = """
UPDATE gateway.quarantine
   SET event_id = $3
 WHERE tenant = $1 AND quarantine_id = $2 AND event_id = '' AND status = 'open'
"""
RELEASE = """
UPDATE gateway.quarantine
   SET status = 'released', resolved_at = $3, reason = '', journal_id = $4, position = $5
 WHERE tenant = $1 AND quarantine_id = $2
"""
RELEASE_DOCUMENTS = """
UPDATE gateway.quarantine AS kept
   SET status = 'released', resolved_at = $2, reason = '', journal_id = it.journal_id, position = it.position
  FROM unnest($3::text[], $4::text[], $5::bigint[]) AS it (quarantine_id, journal_id, position)
 WHERE kept.tenant = $1 AND kept.quarantine_id = it.quarantine_id AND kept.status = 'open'
RETURNING kept.content_bytes
"""
RELEASE_EVENTS = """
UPDATE gateway.quarantine AS kept
   SET status = 'released', resolved_at = $2, reason = '', journal_id = it.journal_id, position = it.position
  FROM unnest($4::text[], $5::text[], $6::bigint[]) AS it (event_id, journal_id, position)
 WHERE kept.tenant = $1 AND kept.source = $3 AND kept.event_id = it.event_id
   AND kept.event_id <> '' AND kept.status = 'open'
RETURNING kept.content_bytes
"""
DISCARD = """
UPDATE gateway.quarantine
   SET status = 'discarded', resolved_at = $3, reason = $4, content = NULL
 WHERE tenant = $1 AND quarantine_id = $2
"""
TENANTS_OVERDUE = (
    "SELECT DISTINCT tenant FROM gateway.quarantine WHERE status = 'open' AND received_at < $1"
)
DISCARD_OVERDUE = """
UPDATE gateway.quarantine
   SET status = 'discarded', resolved_at = $3, reason = $4, content = NULL
 WHERE tenant = $1 AND quarantine_id IN (
    SELECT quarantine_id FROM gateway.quarantine
     WHERE tenant = $1 AND status = 'open' AND received_at < $2 LIMIT $5)
RETURNING content_bytes
"""
DELETE_RESOLVED = """
WITH old AS (
    SELECT tenant, quarantine_id FROM gateway.quarantine WHERE status <> 'open' AND resolved_at < $1 LIMIT $2)
DELETE FROM gateway.quarantine AS kept USING old
 WHERE kept.tenant = old.tenant AND kept.quarantine_id = old.quarantine_id
"""


@dataclass(frozen=True, slots=True)
class Bad:
    """What came, and why it is no event of the journal."""

    event_id: str
    content: bytes
    # What the content is: "event", "event_json", or an adapter's name.
    format: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry and what its replay needs."""

    entry: pb.QuarantineEntry
    trust: events_pb2.Trust
    # Empty when it was discarded, even where it was released after.
    content: bytes
    # The source's clock when it sent it, where it said so.
    sent_at: Timestamp | None
    # Where its event is; set when it was released.
    position: Position | None


@dataclass(slots=True)
class _Offered:
    quarantine_id: str
    source: str
    trust: events_pb2.Trust
    received_at: datetime
    sent_at: datetime | None
    bad: Bad
    times: int = 1


@dataclass(slots=True)
class _Turn:
    """What is kept together for a tenant, and the task that does it."""

    offered: dict[str, _Offered] = field(default_factory=dict)
    # The ids that are kept now.
    kept: asyncio.Future[set[str]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Quarantine:
    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        # One at a time keeps, so that a source which sends nothing but bad events holds one connection, and
        # the tenants take turns. What comes for a tenant meanwhile is kept together in its next turn.
        self._keeping = asyncio.Lock()
        self._turns = dict[str, _Turn]()
        self._tasks = set[asyncio.Task[None]]()
        self._waiting_entries = self._waiting_bytes = 0

    async def keep(
        self,
        caller: Caller,
        items: Sequence[Bad],
        *,
        received_at: Timestamp | None = None,
        sent_at: Timestamp | None = None,
    ) -> list[str]:
        """The id of each once it is stored durably; "" where it is not kept and its event is REJECTED.

        Not kept is what has an id that no event may have, what is too large, what finds the tenant's
        quarantine full, and what somebody discarded before. Raises Exhausted and Unavailable.
        received_at is now, unless said otherwise.
        """
        ids = [
            self._id(caller, bad.event_id, bad.content) if _can_be_kept(bad) else ""
            for bad in items
        ]
        size = sum(len(bad.content) for bad in items)
        if (
            self._waiting_entries + len(items) > WAITING_ENTRIES_MAX
            or self._waiting_bytes + size > WAITING_BYTES_MAX
        ):
            raise Exhausted("fewer events at once that break rules", got=f"{self._waiting_entries}")
        if not any(ids):
            return ids
        times = (received_at or clock.now()).ToDatetime(UTC), _moment(sent_at)
        turn = self._turn_of(caller.tenant)
        for quarantine_id, bad in zip(ids, items, strict=True):
            if quarantine_id in turn.offered:
                turn.offered[quarantine_id].times += 1
            elif quarantine_id:
                turn.offered[quarantine_id] = _Offered(
                    quarantine_id, caller.source, caller.trust, *times, bad
                )
        self._waiting_entries += len(items)
        self._waiting_bytes += size
        try:
            async with asyncio.timeout(KEEP_SECONDS_MAX):
                # A caller that gives up takes nobody else's entries with it.
                kept = await asyncio.shield(turn.kept)
        except DATABASE_AWAY as error:
            raise translate(error, method="quarantine") or error from error
        finally:
            self._waiting_entries -= len(items)
            self._waiting_bytes -= size
        return [quarantine_id if quarantine_id in kept else "" for quarantine_id in ids]

    def _id(self, caller: Caller, event_id: str, content: bytes) -> str:
        # The lengths keep ("a", "b:c") and ("a:b", "c") apart.
        named = f"{len(caller.source)}:{caller.source}:{len(event_id)}:{event_id}:".encode()
        return self._keyring.content_digest(caller.tenant, named + content).hex()[:ID_HEX_DIGITS]

    def _turn_of(self, tenant: str) -> _Turn:
        turn = self._turns.get(tenant)
        if turn is None:
            turn = self._turns[tenant] = _Turn()
            task = asyncio.create_task(self._take(tenant, turn), name="quarantine")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return turn

    async def _take(self, tenant: str, turn: _Turn) -> None:
        async with self._keeping:
            del self._turns[tenant]
            try:
                async with asyncio.timeout(KEEP_SECONDS_MAX):
                    kept = await self._store(tenant, [*turn.offered.values()])
            except Exception as error:
                turn.kept.set_exception(error)
                # When its callers have gone, nobody else looks at it.
                turn.kept.exception()
            else:
                turn.kept.set_result(kept)

    async def _store(self, tenant: str, offered: Sequence[_Offered]) -> set[str]:
        now = clock.now().ToDatetime(UTC)
        async with self._pool.acquire() as connection, connection.transaction():
            used = await connection.fetchrow(LOCK, tenant)
            assert used is not None, "the statement makes it"
            again = await connection.fetch(
                CAME_AGAIN,
                tenant,
                [each.quarantine_id for each in offered],
                [each.times for each in offered],
                now,
            )
            status = {row["quarantine_id"]: row["status"] for row in again}
            room_entries = OPEN_ENTRIES_MAX - used["entries"]
            room_bytes = OPEN_BYTES_MAX - used["bytes"]
            new = list[_Offered]()
            for each in offered:
                size = len(each.bad.content)
                if (
                    each.quarantine_id not in status
                    and len(new) < room_entries
                    and size <= room_bytes
                ):
                    new.append(each)
                    room_bytes -= size
            if new:
                await self._insert(connection, tenant, now, new)
        return {each.quarantine_id for each in new} | {
            quarantine_id for quarantine_id, word in status.items() if word != "discarded"
        }

    async def _insert(
        self, connection: Connection, tenant: str, now: datetime, new: Sequence[_Offered]
    ) -> None:
        sizes = [len(each.bad.content) for each in new]
        await connection.execute(
            KEEP,
            tenant,
            now,
            [each.quarantine_id for each in new],
            [each.source for each in new],
            [each.bad.event_id for each in new],
            [each.trust for each in new],
            [each.bad.format for each in new],
            [
                self._keyring.sealed(tenant, each.bad.content, place=_place(each.quarantine_id))
                for each in new
            ],
            sizes,
            [each.bad.problem.code for each in new],
            [each.bad.problem.field for each in new],
            [each.bad.problem.got for each in new],
            [each.bad.problem.want for each in new],
            [each.times for each in new],
            [each.received_at for each in new],
            [each.sent_at for each in new],
        )
        await connection.execute(USE, tenant, len(new), sum(sizes))

    async def page(
        self, tenant: str, request: pb.ListQuarantinedRequest
    ) -> pb.ListQuarantinedResponse:
        if request.page_size > PAGE_SIZE_MAX:
            raise Malformed(
                f"at most {PAGE_SIZE_MAX}", field="page_size", got=f"{request.page_size}"
            )
        status = STATUS_WORD.get(request.status or pb.QUARANTINE_STATUS_OPEN)
        if status is None:
            raise Malformed("a value of QuarantineStatus", field="status", got=f"{request.status}")
        limit = request.page_size or PAGE_SIZE_DEFAULT
        rows = await self._pool.fetch(
            LIST,
            tenant,
            status,
            _text(request.source, "source"),
            _text(request.code, "code"),
            *_start_of(request.page_token),
            limit + 1,
        )
        entries = [_entry(row) for row in rows[:limit]]
        more = len(rows) > limit
        return pb.ListQuarantinedResponse(
            entries=entries, next_page_token=_token(entries[-1]) if more else ""
        )

    async def get(self, tenant: str, quarantine_id: str) -> Kept:
        """The entry with its content. Raises NotFound."""
        return self._kept(tenant, await self._row(self._pool, tenant, quarantine_id))

    async def name(self, tenant: str, quarantine_id: str, event_id: str) -> str:
        """The event id that the entry has from now on: this one, unless it had one before.

        Fixed before its event is published, so that however many mend it at once, it is one event.
        """
        await self._pool.execute(NAME, tenant, quarantine_id, event_id)
        row = await self._row(self._pool, tenant, quarantine_id)
        return str(row["event_id"])

    async def release(self, tenant: str, quarantine_id: str, position: Position) -> Kept:
        """The event of the entry is in the journal, even if somebody gave the entry up meanwhile."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK, tenant)
            row = await self._row(connection, tenant, quarantine_id)
            if row["status"] != "released":
                now = clock.now().ToDatetime(UTC)
                await connection.execute(
                    RELEASE, tenant, quarantine_id, now, position.journal_id, position.number
                )
            if row["status"] == "open":
                await connection.execute(USE, tenant, -1, -row["content_bytes"])
            return self._kept(tenant, await self._row(connection, tenant, quarantine_id))

    async def release_mapped(
        self,
        caller: Caller,
        *,
        events: Mapping[str, Position],
        documents: Mapping[bytes, Position],
    ) -> None:
        """What a vendor had delivered is in the journal, now that it was mapped again.

        By event id where a rule had refused the event, by the whole delivery where it could not be read. What
        somebody discarded stays so.
        """
        tenant, now = caller.tenant, clock.now().ToDatetime(UTC)
        whole = [self._id(caller, "", body) for body in documents]
        async with self._pool.acquire() as connection, connection.transaction():
            used = await connection.fetchrow(LOCK, tenant)
            assert used is not None, "the statement makes it"
            if not used["entries"]:
                return
            released = await connection.fetch(
                RELEASE_DOCUMENTS, tenant, now, whole, *_columns(documents.values())
            )
            released += await connection.fetch(
                RELEASE_EVENTS, tenant, now, caller.source, [*events], *_columns(events.values())
            )
            size = sum(row["content_bytes"] for row in released)
            await connection.execute(USE, tenant, -len(released), -size)

    async def discard(self, tenant: str, quarantine_id: str, reason: str) -> Kept:
        """Gives the entry up. Raises NotFound, and Conflict where its event is in the journal."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK, tenant)
            row = await self._row(connection, tenant, quarantine_id)
            if row["status"] == "released":
                raise Conflict(
                    "an entry that is not released: its event is in the journal",
                    code="RELEASED",
                    field="quarantine_id",
                    got="a released one",
                )
            if row["status"] == "open":
                now = clock.now().ToDatetime(UTC)
                await connection.execute(DISCARD, tenant, quarantine_id, now, reason)
                await connection.execute(USE, tenant, -1, -row["content_bytes"])
            return self._kept(tenant, await self._row(connection, tenant, quarantine_id))

    async def _row(
        self, connection: Pool | Connection, tenant: str, quarantine_id: str
    ) -> asyncpg.Record:
        row = None
        if ID.fullmatch(quarantine_id):
            row = await connection.fetchrow(GET, tenant, quarantine_id)
        if row is None:
            raise NotFound("the id of an entry in quarantine", field="quarantine_id", got="another")
        return row

    def _kept(self, tenant: str, row: asyncpg.Record) -> Kept:
        content = b""
        if row["content"] is not None:
            place = _place(row["quarantine_id"])
            content = self._keyring.opened(tenant, row["content"], place=place)
        position = None
        if row["position"] is not None:
            position = Position(journal_id=row["journal_id"], number=row["position"])
        sent_at = None
        if row["sent_at"] is not None:
            sent_at = Timestamp()
            sent_at.FromDatetime(row["sent_at"])
        return Kept(_entry(row), row["trust"], content, sent_at, position)

    async def sweep(self) -> None:
        """Discards what nobody mended in time, and deletes what was resolved long ago. Every replica may."""
        now = clock.now().ToDatetime(UTC)
        overdue_before = now - timedelta(days=OPEN_DAYS_MAX)
        for row in await self._pool.fetch(TENANTS_OVERDUE, overdue_before):
            tenant, swept = row["tenant"], SWEPT_TOGETHER_MAX
            while swept == SWEPT_TOGETHER_MAX:
                async with self._pool.acquire() as connection, connection.transaction():
                    await connection.execute(LOCK, tenant)
                    rows = await connection.fetch(
                        DISCARD_OVERDUE, tenant, overdue_before, now, OVERDUE, SWEPT_TOGETHER_MAX
                    )
                    swept = len(rows)
                    size = sum(row["content_bytes"] for row in rows)
                    await connection.execute(USE, tenant, -swept, -size)
        resolved_before = now - timedelta(days=RESOLVED_DAYS_MAX)
        done = ""
        while done != "DELETE 0":
            done = await self._pool.execute(DELETE_RESOLVED, resolved_before, SWEPT_TOGETHER_MAX)

    async def run(self) -> None:
        """Sweeps every hour, until cancelled."""
        while True:
            try:
                await self.sweep()
            except DATABASE_AWAY as error:
                log.warning("not swept", what="quarantine", error=type(error).__name__)
            await asyncio.sleep(SWEEP_EVERY_SECONDS)


def _columns(positions: Iterable[Position]) -> tuple[list[str], list[int]]:
    positions = [*positions]
    return [each.journal_id for each in positions], [each.number for each in positions]


def _can_be_kept(bad: Bad) -> bool:
    return len(bad.content) <= ENTRY_BYTES_MAX and EVENT_ID.fullmatch(bad.event_id) is not None


def _moment(sent_at: Timestamp | None) -> datetime | None:
    """What PostgreSQL can keep as it is; a clock that is off by ages tells nothing."""
    if sent_at is None or not SECONDS_MIN <= sent_at.seconds <= SECONDS_MAX:
        return None
    return sent_at.ToDatetime(UTC)


def _text(value: str, name: str) -> str:
    if "\0" in value:
        raise Malformed("text without NUL characters", field=name, got="a NUL character")
    return value


def _place(quarantine_id: str) -> str:
    return f"quarantine:{quarantine_id}"


def _token(entry: pb.QuarantineEntry) -> str:
    return f"{entry.received_at.ToMicroseconds()}.{entry.quarantine_id}"


def _start_of(token: str) -> tuple[datetime, str]:
    """Entries before this one, in the order of time and id."""
    if not token:
        return datetime.max.replace(tzinfo=UTC), ""
    match = PAGE_TOKEN.fullmatch(token)
    try:
        if match is None:
            raise ValueError
        received_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(match[1]))
    except (ValueError, OverflowError):
        raise Malformed(
            "the next_page_token of an answer", field="page_token", got="another"
        ) from None
    return received_at, match[2]


def _entry(row: asyncpg.Record) -> pb.QuarantineEntry:
    return pb.QuarantineEntry(
        quarantine_id=row["quarantine_id"],
        source=row["source"],
        event_id=row["event_id"],
        received_at=row["received_at"],
        last_received_at=row["last_received_at"],
        times_received=min(row["times_received"], 2**32 - 1),
        format=row["format"],
        problem=Problem(code=row["code"], field=row["field"], got=row["got"], want=row["want"]),
        status=STATUS[row["status"]],
        resolved_at=row["resolved_at"],
        reason=row["reason"],
    )
