"""Group commit: requests that wait while a commit is under way go together into the next one.

Each request gets its own results. A commit that fails with several requests in it is repeated one request at
a time, so that one request which the database refuses harms no other.
"""

import asyncio
import contextlib
import enum
import itertools
import re
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple, TypeVar
from uuid import UUID

import asyncpg
from opentelemetry import trace

from services.chassis import telemetry
from services.chassis.errors import DATABASE_AWAY, Corrupt, Exhausted
from services.chassis.postgres import Connection, Pool, confirm
from services.touchpoint import row, seal
from services.touchpoint.row import Rows

T = TypeVar("T")

append_duration = telemetry.duration_histogram(
    "touchledger.append.duration", "From when an append is asked for until its events are durable."
)
commit_size = telemetry.meter.create_histogram(
    "touchledger.commit.size",
    unit="{event}",
    description="Events that a commit stored.",
    explicit_bucket_boundaries_advisory=telemetry.SIZE_BUCKETS,
)

# Callers that wait for their turn to append, and the bytes in their requests; beyond it they are told to come
# back, rather than wait past their own deadlines and be repeated while still in the queue.
APPENDS_WAITING_MAX = 256
APPEND_BYTES_WAITING_MAX = 64 * 1024 * 1024
# One commit holds the append lock for some 20 ms at this size, and larger ones are not faster.
COMMIT_EVENTS_MAX = 5000
# A small commit is stored by one call, a larger one by COPY, which takes five round trips more, but some 7 us
# less for an event: measured, README.
COPY_ROUND_TRIPS_MORE = 5
CALL_SECONDS_MORE_AN_EVENT = 7e-6
ROUND_TRIPS_MEASURED = 5
# Sent in one piece, some 60 kB.
CHUNK_EVENTS = 100
# A connection is free at once, unless readers have all of them.
CONNECTION_SECONDS_MAX = 5.0
# Ids that were stored lately, for a repeated request: a publisher repeats within seconds. About 30 MB.
RECENT_MAX = 100_000
# After a duplicate that the recent ids did not know, more are likely: a till sends its week again.
COMMITS_WITH_LOOK_UP = 50

# Of the table or, once it is partitioned (partitioning.sql), of the partition.
PRIMARY_KEY = re.compile(r"stored_events(_\w+)?_pkey")
POSITION_KEYS = re.compile(r"stored_events(_\w+)?_notification_id_idx|seals_pkey")
STORED = """
SELECT uuid_send(originator_id) AS originator_id, notification_id, content_digest
  FROM journal.stored_events
 WHERE originator_id = ANY($1::text::uuid[]) AND originator_version = 1
"""
STREAMS = """
SELECT wanted.originator_id, last.tenant, last.originator_version
  FROM unnest($1::text::uuid[]) AS wanted (originator_id),
       LATERAL (SELECT tenant, originator_version
                  FROM journal.stored_events
                 WHERE originator_id = wanted.originator_id
                 ORDER BY originator_version DESC LIMIT 1) AS last
"""
# The lock of journal.take_turn(), for those who look before they take their turn.
LOCK = "SELECT pg_advisory_xact_lock(7310114002)"
JOURNAL_ID = "SELECT journal_id FROM journal.head"
TAKE_TURN = "SELECT journal_id, position, recorded_at, chain FROM journal.take_turn()"
SEAL = "CALL journal.seal($1, $2, $3, $4, $5)"
CALL = """
SELECT journal_id, first_position
  FROM journal.append($1, $2, $3, $4, $5, $6, $7, $8::text::uuid[], $9, $10, $11, $12, $13)
"""


class Outcome(enum.IntEnum):
    """What became of one event."""

    # Stored by this call.
    RECORDED = enum.auto()
    # Stored before with the same content.
    DUPLICATE = enum.auto()
    # The id is stored with other content.
    ID_CONFLICT = enum.auto()


class Result(NamedTuple):
    """Where the event is, or where the one with the same id is."""

    outcome: Outcome
    position: int


class VersionConflict(Exception):
    """A decision was taken on an older state of its stream than the stored one; nothing is stored."""

    def __init__(self, originator_id: UUID, *, expected: int, stored: int | None) -> None:
        # Of another tenant's stream nothing is told but that it can't be continued.
        found = "none of this tenant's" if stored is None else stored
        super().__init__(f"stream {originator_id}: expected version {expected}, stored is {found}")
        self.originator_id = originator_id


class Next(NamedTuple):
    """The event at this offset of the commit under way, whose position is not known yet."""

    outcome: Outcome
    offset: int


# Where a published event is, as a position or as an offset, and its content digest.
Seen = tuple[type[Result] | type[Next], int, bytes]
# Whose stream it is, and its last version.
Stream = tuple[str, int]


# What a caller stores of its own in the transaction of its events.
Also = Callable[[Connection], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Request:
    """Events of one caller: published facts, or decisions with the versions that they are to have."""

    rows: Rows
    decides: bool
    also: Also | None
    done: "asyncio.Future[list[Result]]"
    # Of whoever asks.
    span: trace.Span = field(default_factory=telemetry.current_span)


@dataclass(slots=True)
class Plan:
    """What one commit stores, in the order of positions, and what each request is answered."""

    chosen: list[tuple[Rows, Sequence[int]]]
    # A range of offsets where all events of the request are new.
    answers: list[range | list[Next | Result] | VersionConflict]
    size: int = 0
    all_new: bool = False

    def column(self, of: Callable[[Rows], list[T]]) -> list[T]:
        if self.all_new:
            return [*itertools.chain.from_iterable(of(rows) for rows, _ in self.chosen)]
        values = list[T]()
        for rows, indexes in self.chosen:
            column = of(rows)
            whole = len(indexes) == len(column)
            values += column if whole else (column[index] for index in indexes)
        return values


class Appender:
    """Stores the requests of one process in their order of arrival; other processes may store in between."""

    def __init__(self, pool: Pool, *, journal_id: UUID, round_trip_seconds: float) -> None:
        self._pool = pool
        self._call_events_max = (
            COPY_ROUND_TRIPS_MORE * round_trip_seconds / CALL_SECONDS_MORE_AN_EVENT
        )
        self._journal_id = journal_id
        # The requests of each caller.
        self._waiting = deque[list[Request]]()
        self._callers_pending = 0
        self._bytes_pending = 0
        self._committing: asyncio.Task[None] | None = None
        # The ids stored lately: the younger and the older half.
        self._recent, self._less_recent = set[bytes](), set[bytes]()
        self._look_ups_left = 0
        # Up to here each event is where it has to be before it is answered.
        self._durable_up_to = 0
        _appenders.add(self)

    def queue(self) -> tuple[int, int]:
        """Callers that wait, and the bytes of their requests."""
        return self._callers_pending, self._bytes_pending

    async def append(
        self, rows: Rows, *, decides: bool = False, also: Also | None = None
    ) -> list[Result]:
        """One result for each event, in order, once the new ones are durable.

        Where the caller decides, its events must continue their streams: else VersionConflict, and `also`,
        which goes with decisions alone, is not called. What `also` raises is raised here, and nothing of the
        request is stored.
        """
        if not len(rows):
            return []
        request = Request(rows, decides, also, asyncio.get_running_loop().create_future())
        with self._in_line([request]):
            return await request.done

    async def append_many(self, many: Sequence[Rows]) -> list[list[Result] | Exception]:
        """Each as if it came alone; they wait as one caller and share a commit."""
        loop = asyncio.get_running_loop()
        requests = [Request(rows, False, None, loop.create_future()) for rows in many]
        if not requests:
            return []
        outcomes = list[list[Result] | Exception]()
        with self._in_line(requests):
            try:
                # One after the other, as those of one commit are done together: gather calls back for each.
                for each in requests:
                    try:
                        outcomes.append(await each.done)
                    except Exception as error:
                        outcomes.append(error)
            finally:
                # Where the caller has given up: nobody looks at the others any more.
                for each in requests:
                    each.done.cancel()
        return outcomes

    @contextlib.contextmanager
    def _in_line(self, requests: list[Request]) -> Iterator[None]:
        if self._callers_pending >= APPENDS_WAITING_MAX:
            raise Exhausted("fewer appends at once", got=f"{self._callers_pending} waiting")
        size = sum(sum(map(len, each.rows.bodies)) for each in requests)
        if self._bytes_pending + size > APPEND_BYTES_WAITING_MAX:
            raise Exhausted("fewer bytes at once", got=f"{self._bytes_pending} bytes waiting")
        self._waiting.append(requests)
        self._callers_pending += 1
        self._bytes_pending += size
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_waiting(), name="group commit")
        began = time.perf_counter()
        try:
            yield
            append_duration.record(time.perf_counter() - began)
        except asyncio.CancelledError:
            # Its caller has given up: what has not begun need not be done, and holds memory no longer.
            with contextlib.suppress(ValueError):
                self._waiting.remove(requests)
            raise
        finally:
            self._callers_pending -= 1
            self._bytes_pending -= size

    async def _commit_waiting(self) -> None:
        while self._waiting:
            try:
                connection = await self._pool.acquire(timeout=CONNECTION_SECONDS_MAX)
            except Exception as error:
                _fail(self._next_requests(), error)
                continue
            try:
                # Those that came together are parted once, so that from then on the callers of one half are
                # at work while the other half is being stored.
                first = self._next_requests(len(self._waiting) // 2)
                usable = await self._commit_or_fail(connection, first)
                # Kept while requests keep coming: given back, it could be a reader's, and they would wait.
                while self._waiting and usable:
                    usable = await self._commit_or_fail(connection, self._next_requests())
            finally:
                # Where it has died, those who wait get another one and need not know.
                with contextlib.suppress(*DATABASE_AWAY):
                    await self._pool.release(connection)

    async def _commit_or_fail(self, connection: Connection, requests: Sequence[Request]) -> bool:
        """Whether the connection can be used on."""
        try:
            with telemetry.shared_span("commit", (each.span for each in requests)):
                await self._commit(connection, requests)
        except DATABASE_AWAY as error:
            _fail(requests, error)
            return False
        except Exception as error:
            if len(requests) == 1 or isinstance(error, Corrupt):
                _fail(requests, error)
            else:
                return all([await self._commit_or_fail(connection, [each]) for each in requests])
        return True

    def _next_requests(self, callers_max: int = APPENDS_WAITING_MAX) -> list[Request]:
        """Those of one caller at least."""
        requests, events, callers = list[Request](), 0, 0
        while self._waiting and callers < max(1, callers_max):
            events += sum(len(each.rows) for each in self._waiting[0])
            if requests and events > COMMIT_EVENTS_MAX:
                break
            requests += self._waiting.popleft()
            callers += 1
        return requests

    async def _commit(self, connection: Connection, requests: Sequence[Request]) -> None:
        ids = [each for request in requests for each in request.rows.originator_ids]
        while True:
            try:
                if any(each.decides for each in requests):
                    # Planned under the lock. Without it, of two processes that begin a stream, one at 0 and
                    # the other at 1, the primary key would refuse neither.
                    async with connection.transaction():
                        await connection.execute(LOCK)
                        plan = await self._plan(connection, requests, ids)
                        first = await self._store(connection, plan)
                        for request, answer in zip(requests, plan.answers, strict=True):
                            if request.also and not isinstance(answer, VersionConflict):
                                await request.also(connection)
                else:
                    plan = await self._plan(connection, requests, ids)
                    first = await self._store(connection, plan)
                break
            except asyncpg.DataCorruptedError as error:
                # journal.take_turn() says so.
                raise Corrupt("a chain of seals up to the head", got="none") from error
            except asyncpg.UniqueViolationError as error:
                violated = error.constraint_name or ""
                if POSITION_KEYS.fullmatch(violated):
                    raise Corrupt("a head at the last position") from error
                if not PRIMARY_KEY.fullmatch(violated):
                    raise
                # Whatever was stored by others is found by the look-up, so that each round stores or
                # leaves out at least one event more.
                self._look_ups_left = COMMITS_WITH_LOOK_UP
        self._remember(ids)
        if plan.size:
            self._durable_up_to = first + plan.size - 1
            commit_size.record(plan.size)
        for request, answer in zip(requests, plan.answers, strict=True):
            if request.done.done():
                continue
            if isinstance(answer, VersionConflict):
                request.done.set_exception(answer)
            else:
                request.done.set_result(_settled(answer, first))

    async def _plan(
        self, connection: Connection, requests: Sequence[Request], ids: list[bytes]
    ) -> Plan:
        unique = set(ids)
        if self._look_ups_left > 0:
            self._look_ups_left -= 1
            suspects = unique
        else:
            suspects = unique & self._recent | unique & self._less_recent
        if not suspects and len(unique) == len(ids) and not any(each.decides for each in requests):
            return _plan_all_new(requests)
        seen = dict[bytes, Seen]()
        if suspects:
            for originator_id, position, digest in await connection.fetch(STORED, _uuids(suspects)):
                seen[originator_id] = Result, position, digest
        streams = {
            stream for each in requests if each.decides for stream in each.rows.originator_ids
        }
        stored_streams = dict[bytes, Stream]()
        if streams:
            for originator_id, tenant, version in await connection.fetch(STREAMS, _uuids(streams)):
                stored_streams[originator_id.bytes] = tenant, version
        return _plan_with_known(requests, seen, stored_streams)

    async def _store(self, connection: Connection, plan: Plan) -> int:
        """The position of the first event that it stored."""
        if not plan.size:
            # A duplicate is answered from the journal that this process was started on, or not at all.
            self._check(await connection.fetchval(JOURNAL_ID))
            await self._confirm(connection, plan)
            return 0
        if plan.size <= self._call_events_max:
            return await self._call(connection, plan)
        return await self._copy(connection, plan)

    async def _confirm(self, connection: Connection, plan: Plan) -> None:
        """A duplicate is answered as the first one is, which may have been cut off and never answered."""
        stored = (
            each.position
            for answer in plan.answers
            if isinstance(answer, list)
            for each in answer
            if isinstance(each, Result)
        )
        await self.confirm_up_to(connection, max(stored, default=0))

    async def confirm_up_to(self, connection: Pool | Connection, position: int) -> None:
        """Before somebody is told that what was read is recorded."""
        if position > self._durable_up_to:
            await confirm(connection)
            self._durable_up_to = max(self._durable_up_to, position)

    async def _call(self, connection: Connection, plan: Plan) -> int:
        attempts = [rows.attempt for rows, indexes in plan.chosen for _ in indexes]
        stored = await connection.fetchrow(
            CALL,
            self._journal_id,
            seal.root_of(plan.column(attrgetter("leaves"))),
            [attempt.tenant for attempt in attempts],
            [attempt.source for attempt in attempts],
            [attempt.received_at for attempt in attempts],
            [attempt.sent_at for attempt in attempts],
            [attempt.traceparent for attempt in attempts],
            _uuids(plan.column(attrgetter("originator_ids"))),
            plan.column(attrgetter("versions")),
            plan.column(attrgetter("topics")),
            plan.column(attrgetter("content_digests")),
            plan.column(attrgetter("state_digests")),
            plan.column(attrgetter("states")),
        )
        assert stored is not None
        self._check(stored["journal_id"])
        return int(stored["first_position"])

    async def _copy(self, connection: Connection, plan: Plan) -> int:
        # Before the lock: what can be done outside of it.
        root = seal.root_of(plan.column(attrgetter("leaves")))
        bodies = plan.column(attrgetter("bodies"))
        async with connection.transaction():
            head = await connection.fetchrow(TAKE_TURN)
            assert head is not None
            self._check(head["journal_id"])
            first, recorded_at = head["position"] + 1, head["recorded_at"]
            last = head["position"] + len(bodies)
            await connection.copy_to_table(
                "stored_events",
                schema_name="journal",
                columns=row.COLUMNS,
                format="binary",
                source=_chunks(first, recorded_at, bodies),
            )
            chain = seal.chain_of(
                head["chain"], first=first, last=last, recorded_at=recorded_at, root=root
            )
            await connection.execute(SEAL, first, last, recorded_at, root, chain)
        return int(first)

    def _check(self, journal_id: UUID) -> None:
        if journal_id != self._journal_id:
            raise Corrupt(f"the journal {self._journal_id} that this process was started on")

    def _remember(self, ids: list[bytes]) -> None:
        self._recent.update(ids)
        if len(self._recent) > RECENT_MAX // 2:
            self._recent, self._less_recent = set(), self._recent


_appenders = weakref.WeakSet[Appender]()
telemetry.sum_gauge(
    "touchledger.append.queue.depth",
    "{append}",
    f"Appends that wait for their commit; at {APPENDS_WAITING_MAX} the next one is refused.",
    lambda: (each.queue()[0] for each in _appenders),
)
telemetry.sum_gauge(
    "touchledger.append.queue.size",
    "By",
    f"Bytes of the appends that wait; at {APPEND_BYTES_WAITING_MAX} the next one is refused.",
    lambda: (each.queue()[1] for each in _appenders),
)


def _plan_all_new(requests: Sequence[Request]) -> Plan:
    plan = Plan([], [], all_new=True)
    for request in requests:
        _choose_all(plan, request.rows)
    return plan


def _plan_with_known(
    requests: Sequence[Request], seen: dict[bytes, Seen], streams: dict[bytes, Stream]
) -> Plan:
    """`seen`: the stored ones among the published events; `streams`: those that decisions continue."""
    plan = Plan([], [])
    duplicate, other = Outcome.DUPLICATE, Outcome.ID_CONFLICT
    for request in requests:
        if request.decides:
            conflict = _continue_streams(request.rows, streams)
            if conflict:
                plan.answers.append(conflict)
            else:
                _choose_all(plan, request.rows)
            continue
        indexes, answer = list[int](), list[Next | Result]()
        for index, (originator_id, digest) in enumerate(
            zip(request.rows.originator_ids, request.rows.content_digests, strict=True)
        ):
            if known := seen.get(originator_id):
                place, number, first_digest = known
                answer.append(place._make((duplicate if digest == first_digest else other, number)))
                continue
            seen[originator_id] = Next, plan.size, digest
            answer.append(Next(Outcome.RECORDED, plan.size))
            indexes.append(index)
            plan.size += 1
        plan.chosen.append((request.rows, indexes))
        plan.answers.append(answer)
    return plan


def _choose_all(plan: Plan, rows: Rows) -> None:
    start, count = plan.size, len(rows)
    plan.chosen.append((rows, range(count)))
    plan.answers.append(range(start, start + count))
    plan.size += count


def _continue_streams(rows: Rows, streams: dict[bytes, Stream]) -> VersionConflict | None:
    """Notes the new versions, all of them or, on a conflict, none. A stream belongs to one tenant."""
    tenant = rows.attempt.tenant
    continued = dict[bytes, Stream]()
    for originator_id, version in zip(rows.originator_ids, rows.versions, strict=True):
        stored = continued.get(originator_id, streams.get(originator_id))
        owner, last_version = stored or (tenant, None)
        # A stream starts at 1, or at 0 where its application counts so.
        fits = owner == tenant and (
            version in (0, 1) if last_version is None else version == last_version + 1
        )
        if not fits:
            return VersionConflict(
                UUID(bytes=originator_id),
                expected=version - 1,
                stored=last_version if owner == tenant else None,
            )
        continued[originator_id] = tenant, version
    streams.update(continued)
    return None


def _settled(answer: range | list[Next | Result], first: int) -> list[Result]:
    if isinstance(answer, range):
        positions = range(first + answer.start, first + answer.stop)
        # A third of the time that calls of Result take.
        return [*map(Result._make, zip(itertools.repeat(Outcome.RECORDED), positions))]
    return [
        Result(each.outcome, first + each.offset) if isinstance(each, Next) else each
        for each in answer
    ]


def _fail(requests: Sequence[Request], error: Exception) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(error)


def _uuids(ids: Iterable[bytes]) -> str:
    """An array as one text: asyncpg looks at each element of a list, at 0.2 us an event."""
    return "{" + ",".join(map(bytes.hex, ids)) + "}"


async def _chunks(first: int, recorded_at: datetime, bodies: list[bytes]) -> AsyncIterator[bytes]:
    """PostgreSQL stores the first rows while the others are being put together."""
    yield row.COPY_HEADER
    for start in range(0, len(bodies), CHUNK_EVENTS):
        yield row.copy_of(first + start, recorded_at, bodies[start : start + CHUNK_EVENTS])
    yield row.COPY_TRAILER


async def round_trip_seconds(pool: Pool) -> float:
    """How long the database takes to answer nothing: the shortest of a few, as the others met something."""
    seconds = list[float]()
    async with pool.acquire(timeout=CONNECTION_SECONDS_MAX) as connection:
        for _ in range(ROUND_TRIPS_MEASURED):
            # Not the loop's clock, which uvloop moves once a turn, by milliseconds: it would say 0.
            start = time.perf_counter()
            await connection.fetchval("SELECT 1")
            seconds.append(time.perf_counter() - start)
    return min(seconds)
