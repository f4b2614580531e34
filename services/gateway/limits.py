"""How much a caller may do: events and bytes a second, calls and events at the same time, events of a day.

What is used up is told as Exhausted with when to come back. Limits are of one process; the day's quota is
shared by all gateways, through their database. Who calls is access.py's; what the process can hold in all,
whoever calls, is bounded in chassis/server.py and at the HTTP port.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, timedelta
from types import TracebackType

import structlog

from services.chassis import clock
from services.chassis.errors import DATABASE_AWAY, Exhausted, Malformed
from services.chassis.postgres import Pool
from services.gateway.access import Caller
from services.gateway.settings import Settings

log = structlog.get_logger()

# Work under way is counted in events, or in as many bytes as an event seldom has, whichever is more: the
# largest call is 1024.
WORK_BYTES = 4096
# About half a second of what a process publishes. One tenant alone leaves a quarter to whoever comes next.
WORK_MAX = 16_000
WORK_ALONE_MAX = 12_000
# As soon as another tenant calls, all share this much: of two, each has four batches, which keep the journal
# busy while the next ones are read. With two batches of one tenant under way, `make overload` recorded 0.4 to
# 0.6 of the peak, with four 0.6 to 0.8, and the calm tenant's p99 was the same.
WORK_SHARED_MAX = 4_000
WORK_SHARE_MIN = 1_024
# Of a tenant that has this much of its share under way, batches are refused before they are read.
FULL_SHARE = 0.9
# A tenant that called in this or in the last one of such spans is there.
PRESENT_SECONDS = 1.0
# Questions and commands, which wait for other services rather than use this process up.
QUESTIONS_MAX = 128
QUESTIONS_TENANT_MAX = QUESTIONS_MAX // 2
# A key may send at once as many bytes as it may send in this time.
BYTES_BURST_SECONDS = 2
# Keys, and tenants, whose use is kept; beyond it those that called longest ago start anew.
TRACKED_MAX = 10_000
# A gateway that dies forgets what was published within it, and gateways know of each other that late: by so
# much a quota may be passed.
QUOTA_EVERY_SECONDS = 2.0
QUOTA_DEADLINE_SECONDS = 5.0
QUOTA_DAYS_KEPT = 40
# Of an event or a byte: what sums of fractions are off by must not send anybody away again.
MISSING_MIN = 1e-6
DAY_SECONDS = 86_400

# In one order, so that two gateways never wait for each other.
ADD_USE = """
INSERT INTO gateway.quota_use AS u (day, tenant, key_id, events)
SELECT $1, tenant, key_id, events
  FROM unnest($2::text[], $3::text[], $4::bigint[]) AS more (tenant, key_id, events)
 ORDER BY tenant, key_id
ON CONFLICT (day, tenant, key_id) DO UPDATE SET events = u.events + excluded.events
RETURNING tenant, key_id, events
"""
FORGET_USE = "DELETE FROM gateway.quota_use WHERE day < $1"


class _Use:
    """What a key or a tenant may do, and what it has done."""

    __slots__ = (
        *("name", "events_per_second", "events_max", "bytes_per_second", "bytes_max"),
        *("calls_max", "day_max", "events_left", "bytes_left", "filled_at", "calls"),
        *("work", "questions", "day_shared", "day_own", "subject"),
    )

    def __init__(
        self,
        name: str,
        subject: tuple[str, str],
        now: float,
        *,
        events_per_second: int,
        burst_events: int,
        bytes_per_second: int,
        calls_max: int,
        day_max: int,
    ) -> None:
        # For people: "this key" or "this tenant".
        self.name = name
        # Tenant and key id; the latter is empty for the tenant as a whole.
        self.subject = subject
        self.events_per_second, self.events_max = events_per_second, burst_events
        self.bytes_per_second = bytes_per_second
        self.bytes_max = bytes_per_second * BYTES_BURST_SECONDS
        self.calls_max = calls_max
        # 0: no quota.
        self.day_max = day_max
        self.events_left, self.bytes_left = float(self.events_max), float(self.bytes_max)
        self.filled_at = now
        self.calls = self.work = self.questions = 0
        # Of today: what the database said last, and what it was not told yet.
        self.day_shared = self.day_own = 0

    def fill(self, now: float) -> None:
        # A use that is new was made after its caller had looked at the clock.
        passed = max(0.0, now - self.filled_at)
        self.filled_at = now
        left = self.events_left + passed * self.events_per_second
        self.events_left = left if left < self.events_max else self.events_max
        left = self.bytes_left + passed * self.bytes_per_second
        self.bytes_left = left if left < self.bytes_max else self.bytes_max

    def refuse_rates(self, events: int, size: int) -> None:
        """More than fits at once is let in when nothing is used, and paid for afterwards."""
        missing = min(events, self.events_max) - self.events_left
        if events and missing > MISSING_MIN:
            raise Exhausted(
                f"at most {self.events_per_second} events a second of {self.name}",
                code="RATE_LIMITED",
                field="events",
                got=f"{events} more",
                retry_after_seconds=missing / self.events_per_second,
            )
        missing = min(size, self.bytes_max) - self.bytes_left
        if size and missing > MISSING_MIN:
            raise Exhausted(
                f"at most {self.bytes_per_second} bytes a second of {self.name}",
                code="RATE_LIMITED",
                field="request",
                got=f"{size} bytes more",
                retry_after_seconds=missing / self.bytes_per_second,
            )

    def refuse_day(self, events: int, midnight_seconds: float) -> None:
        if self.day_max and events > self.day_max:
            # No day will do.
            raise Malformed(
                f"at most {self.day_max}, the quota of {self.name} for a day",
                code="BATCH_SIZE",
                field="events",
                got=f"{events}",
            )
        if self.day_max and self.day_shared + self.day_own + events > self.day_max:
            raise Exhausted(
                f"at most {self.day_max} events a UTC day of {self.name}",
                code="QUOTA_EXHAUSTED",
                field="events",
                got=f"{self.day_shared + self.day_own} and {events} more",
                retry_after_seconds=midnight_seconds,
            )

    def is_idle(self) -> bool:
        return not (self.calls or self.work or self.questions or self.day_own)


class Limits:
    """Take `with limits.call(...)` around a publish, `with limits.question(...)` around everything else."""

    def __init__(
        self, settings: Settings, pool: Pool, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._pool = pool
        self.monotonic = monotonic
        self._keys: OrderedDict[tuple[str, str], _Use] = OrderedDict()
        self._tenants: OrderedDict[str, _Use] = OrderedDict()
        self.work = self.questions = 0
        # Tenants that called since `_span_began`, those of the span before, and how many there are of both.
        self._here: set[str] = set()
        self._here_before: set[str] = set()
        self.present = 0
        self._span_began = monotonic()
        # Uses that the database was not told of.
        self._untold: set[_Use] = set()
        self._day = date.min
        self._day_ends = 0.0
        self._look_at_the_clock()

    def call(
        self, caller: Caller, *, events: int, size: int, bytes_taken: bool = False
    ) -> "PublishCall":
        """Held while these events, of so many bytes together, are published. Raises Exhausted on entering.

        The day's quota is given back where it ends with an error, since it will be repeated. bytes_taken:
        `take_bytes` was called for them.
        """
        return PublishCall(self, caller, events, size, bytes_taken=bytes_taken)

    def take_bytes(self, caller: Caller, size: int) -> None:
        """Counts bytes that are about to be parsed, which costs the same whatever becomes of them.

        Raises Exhausted, and takes nothing then.
        """
        now = self.monotonic()
        uses = self.key_of(caller), self.tenant_of(caller, now)
        for use in uses:
            use.fill(now)
            use.refuse_rates(0, size)
        for use in uses:
            use.bytes_left -= size

    def inflating(self, caller: Caller) -> "Inflating":
        """Held while a body is inflated. Raises Exhausted on entering when the caller's bytes are spent."""
        return Inflating(self, caller)

    def share(self) -> int:
        """The work of a tenant; never less than the largest call, so that everybody gets on."""
        if self.present > 1:
            return max(WORK_SHARED_MAX // self.present, WORK_SHARE_MIN)
        return WORK_ALONE_MAX

    def is_full(self, caller: Caller) -> bool:
        """Whether a batch of the tenant would hardly fit, whatever it holds."""
        tenant = self.tenant_of(caller, self.monotonic())
        return tenant.work >= self.share() * FULL_SHARE or self.work >= WORK_MAX * FULL_SHARE

    def refuse_early(self, caller: Caller, *, size: int) -> None:
        """Raises Exhausted where `call` would with a single event of so many bytes; takes nothing."""
        if self.is_full(caller):
            raise Exhausted("fewer events of this tenant at once", code="BUSY")
        PublishCall(self, caller, 1, size).check()

    def question(self, caller: Caller) -> "Question":
        """Held while a call that publishes nothing is answered. Raises Exhausted on entering."""
        return Question(self, caller)

    def state(self, caller: Caller) -> tuple[int, int, int]:
        """Events that the key may publish at once, how many of them are left, and seconds until all are."""
        key = self.key_of(caller)
        key.fill(self.monotonic())
        left = max(0, int(key.events_left))
        missing = key.events_max - key.events_left
        return key.events_max, left, -int(-missing // key.events_per_second)

    async def run(self) -> None:
        """Tells the database what was used, and learns what was used elsewhere, until cancelled."""
        forgotten = date.min
        try:
            while True:
                if forgotten != self._day and await self.forget_old_days():
                    forgotten = self._day
                await self.share_quotas()
                await asyncio.sleep(QUOTA_EVERY_SECONDS)
        finally:
            await self.share_quotas()

    async def share_quotas(self) -> None:
        self._look_at_the_clock()
        day = self._day
        told = [(use, use.day_own) for use in self._untold]
        self._untold.clear()
        if not told:
            return
        try:
            async with asyncio.timeout(QUOTA_DEADLINE_SECONDS):
                rows = await self._pool.fetch(
                    ADD_USE,
                    day,
                    [use.subject[0] for use, _ in told],
                    [use.subject[1] for use, _ in told],
                    [own for _, own in told],
                )
        except DATABASE_AWAY as error:
            # Nobody is refused for it: the count goes on here, and is told when the database is back.
            log.warning("quota not shared", error=type(error).__name__)
            self._untold.update(use for use, _ in told)
            return
        if day != self._day:
            return
        shared = {(row["tenant"], row["key_id"]): row["events"] for row in rows}
        for use, own in told:
            use.day_own -= own
            use.day_shared = shared[use.subject]

    async def forget_old_days(self) -> bool:
        try:
            async with asyncio.timeout(QUOTA_DEADLINE_SECONDS):
                await self._pool.execute(FORGET_USE, self._day - timedelta(days=QUOTA_DAYS_KEPT))
        except DATABASE_AWAY as error:
            log.warning("old quotas not deleted", error=type(error).__name__)
            return False
        return True

    def _look_at_the_clock(self) -> None:
        """The day and its end; again and again, since the clock may be set."""
        now = clock.now()
        day = now.ToDatetime(tzinfo=UTC).date()
        self._day_ends = self.monotonic() + DAY_SECONDS - now.seconds % DAY_SECONDS
        if day != self._day:
            self._day = day
            self._untold.clear()
            for use in (*self._keys.values(), *self._tenants.values()):
                use.day_shared = use.day_own = 0

    def midnight_seconds(self, now: float) -> float:
        """How long the day still lasts. A new one begins with nothing used."""
        if now >= self._day_ends:
            self._look_at_the_clock()
        return self._day_ends - now

    def key_of(self, caller: Caller) -> _Use:
        subject = caller.tenant, caller.key_id
        use = self._keys.get(subject)
        if use is None:
            settings = self._settings
            use = self._keys[subject] = _Use(
                "this key",
                subject,
                self.monotonic(),
                events_per_second=caller.events_per_second or settings.key_events_per_second,
                burst_events=caller.burst_events or settings.key_burst_events,
                bytes_per_second=caller.bytes_per_second or settings.key_bytes_per_second,
                calls_max=caller.concurrent_calls or settings.key_concurrent_calls,
                day_max=caller.events_per_day or settings.key_events_per_day,
            )
            _drop_idle(self._keys)
        else:
            self._keys.move_to_end(subject)
        return use

    def tenant_of(self, caller: Caller, now: float) -> _Use:
        """The tenant's use; notes that it is there."""
        tenant = caller.tenant
        if now - self._span_began >= PRESENT_SECONDS:
            # After a longer silence nobody is there any more.
            last = now - self._span_began < 2 * PRESENT_SECONDS
            self._here_before = self._here if last else set()
            self._here = set()
            self._span_began = now
            self.present = len(self._here_before)
        if tenant not in self._here:
            self._here.add(tenant)
            self.present += tenant not in self._here_before
        use = self._tenants.get(tenant)
        if use is None:
            settings = self._settings
            use = self._tenants[tenant] = _Use(
                "this tenant",
                (tenant, ""),
                now,
                events_per_second=settings.tenant_events_per_second,
                burst_events=settings.tenant_burst_events,
                bytes_per_second=settings.tenant_bytes_per_second,
                calls_max=0,
                day_max=settings.tenant_events_per_day,
            )
            _drop_idle(self._tenants)
        else:
            self._tenants.move_to_end(tenant)
        return use

    def count_day(self, use: _Use, events: int) -> None:
        if use.day_max and events:
            use.day_own += events
            self._untold.add(use)


class PublishCall:
    """A class rather than a generator: this is on the way of each single post."""

    __slots__ = ("_caller", "_events", "_key", "_limits", "_size", "_tenant", "_work")

    def __init__(
        self, limits: Limits, caller: Caller, events: int, size: int, *, bytes_taken: bool = False
    ) -> None:
        self._limits = limits
        self._caller = caller
        # Bytes that are still to be counted.
        self._events, self._size = events, 0 if bytes_taken else size
        self._work = max(events, size // WORK_BYTES, 1)

    def check(self) -> None:
        limits, events, size, work = self._limits, self._events, self._size, self._work
        now = limits.monotonic()
        key = self._key = limits.key_of(self._caller)
        tenant = self._tenant = limits.tenant_of(self._caller, now)
        _refuse_calls(key)
        if tenant.work + work > limits.share() or limits.work + work > WORK_MAX:
            raise Exhausted(
                "fewer events of this tenant at once", code="BUSY", got=f"{tenant.work} under way"
            )
        midnight_seconds = limits.midnight_seconds(now)
        for use in (key, tenant):
            use.refuse_day(events, midnight_seconds)
            use.fill(now)
            use.refuse_rates(events, size)

    def __enter__(self) -> None:
        self.check()
        limits, events, size, work = self._limits, self._events, self._size, self._work
        key, tenant = self._key, self._tenant
        for use in (key, tenant):
            use.events_left -= events
            use.bytes_left -= size
            use.work += work
            limits.count_day(use, events)
        key.calls += 1
        limits.work += work

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        work = self._work
        # One that was cancelled may be stored, so only what ended with an error is given back.
        again = isinstance(error, Exception)
        for use in (self._key, self._tenant):
            use.work -= work
            if again:
                self._limits.count_day(use, -self._events)
        self._key.calls -= 1
        self._limits.work -= work


class Inflating:
    """Counts what was inflated in vain: a body that is refused for it has taken as much work as a good one.

    Of a good one the bytes are counted by whoever takes it.
    """

    __slots__ = ("_caller", "_limits", "bytes")

    def __init__(self, limits: Limits, caller: Caller) -> None:
        self._limits = limits
        self._caller = caller
        # So far.
        self.bytes = 0

    def __enter__(self) -> "Inflating":
        now = self._limits.monotonic()
        for use in (self._limits.key_of(self._caller), self._limits.tenant_of(self._caller, now)):
            use.fill(now)
            use.refuse_rates(0, 1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            now = self._limits.monotonic()
            self._limits.key_of(self._caller).bytes_left -= self.bytes
            self._limits.tenant_of(self._caller, now).bytes_left -= self.bytes


class Question:
    __slots__ = ("_caller", "_key", "_limits", "_tenant")

    def __init__(self, limits: Limits, caller: Caller) -> None:
        self._limits = limits
        self._caller = caller

    def __enter__(self) -> None:
        limits = self._limits
        key = self._key = limits.key_of(self._caller)
        tenant = self._tenant = limits.tenant_of(self._caller, limits.monotonic())
        _refuse_calls(key)
        if tenant.questions >= QUESTIONS_TENANT_MAX or limits.questions >= QUESTIONS_MAX:
            raise Exhausted(
                "fewer questions of this tenant at once",
                code="BUSY",
                got=f"{tenant.questions} under way",
            )
        key.calls += 1
        tenant.questions += 1
        limits.questions += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._key.calls -= 1
        self._tenant.questions -= 1
        self._limits.questions -= 1


def _refuse_calls(key: _Use) -> None:
    if key.calls >= key.calls_max:
        raise Exhausted(
            f"at most {key.calls_max} calls of this key at once",
            code="CONCURRENCY_LIMITED",
            got=f"{key.calls} under way",
        )


def _drop_idle(uses: "OrderedDict[tuple[str, str], _Use] | OrderedDict[str, _Use]") -> None:
    """Forgets one that has nothing under way, looking at no more than two."""
    for _ in range(2):
        if len(uses) > TRACKED_MAX:
            subject, use = uses.popitem(last=False)
            if not use.is_idle():
                uses[subject] = use  # type: ignore[index]  # of the same dictionary
