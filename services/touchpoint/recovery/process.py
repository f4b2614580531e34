"""The recovery process: reads the journal and takes the decisions about cases that its events ask for.

Each step's case id and request id follow from its event, so that a step that is taken again changes nothing:
after a kill before the checkpoint, from position 1, or by two processes at once.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import UTC, timedelta
from functools import partial
from itertools import islice
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog

from services.chassis import clock, telemetry
from services.chassis.errors import DATABASE_AWAY, Conflict, ServiceError, place_of
from services.chassis.postgres import Connection, Pool
from services.touchpoint.appender import Also
from services.touchpoint.decisions.decided import Command
from services.touchpoint.decisions.decisions import Decisions
from services.touchpoint.decisions.recovery_case import RecoveryCase
from services.touchpoint.identity import originator_ids
from services.touchpoint.journal import Filter, Journal
from services.touchpoint.recovery.steps import (
    DECIDED_BY,
    REMEDY,
    RETRACTED,
    TOPICS,
    Moving,
    Opening,
    Reference,
    Retracting,
    Rules,
    Step,
    TakingBack,
    step_of,
)
from services.touchpoint.settings import Settings

log = structlog.get_logger()
taken = telemetry.meter.create_counter(
    "touchledger.recovery.steps",
    description="Steps of recovery cases that events asked for, by step and outcome",
)

# How soon a failure has its case, at most, where the process is not behind.
POLL_SECONDS = 0.5
# After an error, most likely of a database that is away.
RETRY_SECONDS = 5.0
# Of wanted events, most of which ask for nothing: 20,000 good answers take 1.3 s, with 100 a page 6.9 s.
PAGE_EVENTS_MAX = 1000
# Of events that ask for a step. Where each of them opens a case, that is seven commits or more.
PAGE_STEPS_MAX = 100
# Under the 60 s after which the server ends a transaction that waits for its client.
PAGE_SECONDS_MAX = 50.0
# Of one episode. More of them under one correlation id are none of one episode, and none of them is moved:
# each event would be as many decisions, and every tenant would wait for them.
CASES_MAX = 20

# Steps that share a commit; each keeps a caller's place in the queue of appends, of which there are 256.
AT_ONCE_MAX = 16

HOLD = "SELECT position FROM journal.recovery_progress FOR UPDATE SKIP LOCKED"
MOVE = "UPDATE journal.recovery_progress SET position = $1"
# Each says the condition of its index, which a plan for any value would else not use.
CASES_OF_EPISODE = """
SELECT name, originator_id, failure_source, failure_event_id
  FROM journal.decision_streams
 WHERE tenant = $1 AND kind = 'recovery_case' AND correlation_id = $2 AND correlation_id <> ''
 ORDER BY opened_at, name
 LIMIT $3
"""
CASES_OF_CUSTOMER = """
SELECT name, originator_id, failure_source, failure_event_id
  FROM journal.decision_streams
 WHERE tenant = $1 AND kind = 'recovery_case' AND correlation_id = '' AND customer = $2 AND customer <> ''
 ORDER BY opened_at DESC, name DESC
 LIMIT $3
"""
CASES_OF_CUSTOMER_THERE = """
SELECT name, originator_id, failure_source, failure_event_id
  FROM journal.decision_streams
 WHERE tenant = $1 AND kind = 'recovery_case' AND correlation_id = '' AND customer = $2 AND customer <> ''
   AND touchpoint = $3
 ORDER BY opened_at, name
 LIMIT $4
"""
CASES_OF_FAILURE = """
SELECT name FROM journal.decision_streams
 WHERE tenant = $1 AND kind = 'recovery_case' AND failure_source = $2 AND failure_event_id = $3
   AND failure_event_id <> ''
 ORDER BY opened_at, name
 LIMIT $4
"""
OTHER_CASE = """
SELECT EXISTS (
  SELECT FROM journal.decision_streams
   WHERE tenant = $1 AND kind = 'recovery_case' AND failure_source = $2 AND failure_event_id = $3
     AND failure_event_id <> '' AND name <> $4)
"""
# What was decided about cases, and where the events are that they were opened for.
HISTORIES = """
SELECT originator_id, topic, notification_id
  FROM journal.stored_events
 WHERE originator_id = ANY($1) AND notification_id < $2
 ORDER BY notification_id
"""
TARGET = """
SELECT notification_id, source, recorded_at, state
  FROM journal.stored_events
 WHERE originator_id = $1 AND originator_version = 1
"""
NOTE_RETRACTED = """
INSERT INTO journal.recovery_retraction (tenant, source, event_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
WAS_RETRACTED = """
SELECT EXISTS (SELECT FROM journal.recovery_retraction WHERE tenant = $1 AND source = $2 AND event_id = $3)
"""


class Asked(NamedTuple):
    """What an event at a position asks."""

    tenant: str
    position: int
    step: Step


class Refused(Exception):
    """The database has refused a step of the page, and will again."""


class RecoveryProcess:
    """One of those that share a journal is at work at a time; any of them goes on where another has ended."""

    def __init__(self, journal: Journal, decisions: Decisions, pool: Pool, rules: Rules) -> None:
        self._journal = journal
        self._decisions = decisions
        self._pool = pool
        self._rules = rules
        # Positions on the page at work whose steps the database has refused.
        self._refused = set[int]()
        # One connection answers one question at a time.
        self._looking = asyncio.Lock()

    @classmethod
    def configured(
        cls, journal: Journal, decisions: Decisions, pool: Pool, settings: Settings
    ) -> "list[RecoveryProcess]":
        """None or one, as the settings say."""
        rules = Rules(
            score_points_max=settings.recovery_score_points_max,
            age_max=timedelta(days=settings.recovery_age_days_max),
        )
        return [cls(journal, decisions, pool, rules)] if settings.recovery else []

    async def run(self) -> None:
        while True:
            pause = POLL_SECONDS
            try:
                if await self.turn():
                    pause = 0.0
            except* (ServiceError, *DATABASE_AWAY) as away:
                for error in away.exceptions:
                    log.warning("recovery waits", error=type(error).__name__)
                pause = RETRY_SECONDS
            # Whatever it is, it is no reason to stop appending.
            except* Exception as errors:
                for other in errors.exceptions:
                    log.error("recovery waits", error=type(other).__name__, where=place_of(other))
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    async def turn(self) -> bool:
        """Takes the steps of one page and moves the checkpoint. Whether there is more to read at once."""
        try:
            return await self._page()
        except* Refused:
            pass
        return True

    async def _page(self) -> bool:
        async with (
            asyncio.timeout(PAGE_SECONDS_MAX),
            self._pool.acquire() as tx,
            tx.transaction(),
        ):
            # Held until the page is done with: who finds it held stands by.
            after = await tx.fetchval(HOLD)
            if after is None:
                return False
            page = await self._journal.read(
                after, to=0, limit=PAGE_EVENTS_MAX, wanted=Filter(topics=TOPICS)
            )
            # One more, before which a page of many steps ends.
            steps = list(islice(self._asked(page.events), PAGE_STEPS_MAX + 1))
            more = len(steps) > PAGE_STEPS_MAX
            done_to = steps.pop().position - 1 if more else page.scanned_to
            for asked in together(steps):
                async with asyncio.TaskGroup() as tasks:
                    for each in asked:
                        tasks.create_task(self._take_or_skip(tx, each), name="recovery step")
            if done_to > after:
                await tx.execute(MOVE, done_to)
        self._refused.clear()
        return done_to < page.head

    def _asked(self, events: Iterable[asyncpg.Record]) -> Iterator[Asked]:
        for row in events:
            if row["notification_id"] in self._refused:
                continue
            try:
                step = step_of(self._rules, row["source"], row["recorded_at"], row["state"])
            except Exception as error:
                _skip("read", row["notification_id"], error)
                continue
            if step is not None:
                yield Asked(row["tenant"], row["notification_id"], step)

    async def _take_or_skip(self, tx: Connection, asked: Asked) -> None:
        """A step that fails by itself would fail for ever: all tenants' later ones would wait for it."""
        try:
            await self._take(tx, asked)
        except Exception as error:
            if _passes(error):
                raise
            _skip(asked.step.name, asked.position, error)
            if isinstance(error, asyncpg.PostgresError):
                # It has ended the page's transaction, too: the page is taken again without this step.
                self._refused.add(asked.position)
                raise Refused from error

    async def _take(self, tx: Connection, asked: Asked) -> None:
        tenant, position, step = asked
        match step:
            case Opening():
                await self._open(tx, tenant, position, step)
            case Moving():
                async with self._looking:
                    names = await self._of_step(tx, tenant, position, step)
                    if step.name == REMEDY and await self._was_retracted(tx, tenant, step.event):
                        names = ()
                for name in names:
                    await self._decide(tenant, position, name, step)
            case Retracting():
                # On its own, see together().
                target = (tenant, step.target.source, step.target.event_id)
                for row in await tx.fetch(CASES_OF_FAILURE, *target, CASES_MAX):
                    # A correction tells of a score, and by hand a case is opened for what people know.
                    if step.reason == RETRACTED or row["name"] == step.target.named("score"):
                        await self._decide(tenant, position, row["name"], step)
                stored = await tx.fetchrow(TARGET, _stream(tenant, step.target))
                if stored is None or stored["notification_id"] > position:
                    await tx.execute(NOTE_RETRACTED, *target)
                elif step.reason == RETRACTED:
                    await self._take_remedy_back(tx, tenant, stored, step)

    async def _take_remedy_back(
        self, tx: Connection, tenant: str, stored: asyncpg.Record, step: Retracting
    ) -> None:
        """Of the cases that it has moved, which are those that it was about as of its own position."""
        moved = step_of(self._rules, stored["source"], stored["recorded_at"], stored["state"])
        if isinstance(moved, Moving) and moved.name == REMEDY:
            for name in await self._of_step(tx, tenant, stored["notification_id"], moved):
                await self._decide(tenant, stored["notification_id"], name, step.of_remedy)

    async def _was_retracted(self, tx: Connection, tenant: str, event: Reference) -> bool:
        """Before it came."""
        return bool(await tx.fetchval(WAS_RETRACTED, tenant, event.source, event.event_id))

    async def _open(self, tx: Connection, tenant: str, position: int, step: Opening) -> None:
        reference = (tenant, step.event.source, step.event.event_id)
        async with self._looking:
            if await self._was_retracted(tx, tenant, step.event):
                return
            if step.is_score and any((await self._about(tx, tenant, position, step)).values()):
                return

        async def opened_by_hand(connection: Connection) -> None:
            if await connection.fetchval(OTHER_CASE, *reference, step.case_id):
                raise Conflict("no other case of this failure", code="FAILURE_HAS_CASE")

        await self._decide(tenant, position, step.case_id, step, unless=opened_by_hand)

    async def _of_step(
        self, tx: Connection, tenant: str, position: int, step: Moving
    ) -> Iterable[str]:
        """The episode's cases; where no correlation id says which, the customer's last one."""
        if step.correlation_id:
            return await self._of_episode(tx, tenant, position, step.correlation_id)
        cases = await tx.fetch(CASES_OF_CUSTOMER, tenant, step.customer, CASES_MAX)
        return list(await self._begun(tx, tenant, position, cases))[:1]

    async def _about(
        self, tx: Connection, tenant: str, position: int, step: Opening
    ) -> dict[str, bool]:
        """The episode's cases; where no correlation id says which, the customer's at the touchpoint."""
        if step.correlation_id:
            return await self._of_episode(tx, tenant, position, step.correlation_id)
        there = (tenant, step.content["customer"], step.content["touchpoint"])
        cases = await tx.fetch(CASES_OF_CUSTOMER_THERE, *there, CASES_MAX + 1)
        return await self._begun_of_few(tx, tenant, position, cases)

    async def _of_episode(
        self, tx: Connection, tenant: str, position: int, correlation_id: str
    ) -> dict[str, bool]:
        cases = await tx.fetch(CASES_OF_EPISODE, tenant, correlation_id, CASES_MAX + 1)
        return await self._begun_of_few(tx, tenant, position, cases)

    async def _begun_of_few(
        self, tx: Connection, tenant: str, position: int, cases: list[asyncpg.Record]
    ) -> dict[str, bool]:
        begun = await self._begun(tx, tenant, position, cases)
        return begun if len(begun) <= CASES_MAX else {}

    async def _begun(
        self, tx: Connection, tenant: str, position: int, cases: list[asyncpg.Record]
    ) -> dict[str, bool]:
        """Those of the cases that were there before the position, and whether they were open then.

        A case is there from its failure on, though it is opened some positions later; so that it is the same
        whenever the position is read.
        """
        streams = {
            row["name"]: (
                row["originator_id"],
                _stream(tenant, Reference(row["failure_source"], row["failure_event_id"])),
            )
            for row in cases
        }
        both = [each for pair in streams.values() for each in pair]
        # The last one of a stream stays.
        last = {
            row["originator_id"]: row["topic"] for row in await tx.fetch(HISTORIES, both, position)
        }
        return {
            name: last.get(case) != RecoveryCase.Closed.TOPIC
            for name, (case, failure) in streams.items()
            if case in last or failure in last
        }

    async def _decide(
        self,
        tenant: str,
        position: int,
        name: str,
        step: Step | TakingBack,
        unless: Also | None = None,
    ) -> None:
        """Skips what the state of the case forbids: people decide, too, and events come late."""
        command = Command(
            request_id=step.request_id,
            decided_by=DECIDED_BY,
            at=clock.now().ToDatetime(tzinfo=UTC),
        )
        outcome = "taken"
        try:
            match step:
                case Opening():
                    await self._decisions.take(
                        RecoveryCase,
                        tenant,
                        name,
                        lambda case: case.open_again(command, **step.content),
                        first=partial(RecoveryCase.open, command=command, **step.content),
                        unless=unless,
                    )
                case Moving():
                    await self._decisions.take(
                        RecoveryCase, tenant, name, lambda case: step.take(case, command)
                    )
                case Retracting():
                    await self._decisions.take(
                        RecoveryCase,
                        tenant,
                        name,
                        lambda case: case.end(command, result="", reason=step.reason),
                    )
                case TakingBack():
                    await self._decisions.take(
                        RecoveryCase,
                        tenant,
                        name,
                        lambda case: case.retract_remedy(command, remedied_by=step.remedied_by),
                    )
        except Conflict as error:
            outcome = error.problem.code
            log.info("recovery step skipped", step=step.name, position=position, reason=outcome)
        taken.add(1, {"step": step.name, "outcome": outcome})


def _skip(step: str, position: int, error: Exception) -> None:
    log.error(
        "recovery step failed",
        step=step,
        position=position,
        error=type(error).__name__,
        where=place_of(error),
    )
    taken.add(1, {"step": step, "outcome": "failed"})


def _passes(error: Exception) -> bool:
    """Whether it may go well later: the database is away, chose between two transactions, or has ended this
    one for another step. A ValueError of asyncpg is about an argument.
    """
    if isinstance(error, ServiceError):
        return error.retryable
    return isinstance(
        error,
        (
            *DATABASE_AWAY,
            asyncpg.TransactionRollbackError,
            asyncpg.ReadOnlySQLTransactionError,
            asyncpg.InFailedSQLTransactionError,
        ),
    ) and not isinstance(error, ValueError)


def together(asked: Iterable[Asked]) -> Iterator[list[Asked]]:
    """Parts of the page, one after the other, whose steps don't rest on each other.

    They are taken at once, so that they share commits. A step rests on those of the same episode before it,
    and a retraction may be of anything.
    """
    part, episodes = list[Asked](), set[tuple[str, str]]()
    for each in asked:
        alone = isinstance(each.step, Retracting)
        name = "" if isinstance(each.step, Retracting) else each.step.episode
        episode = (each.tenant, name)
        if part and (alone or episode in episodes or len(part) >= AT_ONCE_MAX):
            yield part
            part, episodes = [], set()
        part.append(each)
        if name:
            episodes.add(episode)
        if alone:
            yield part
            part = []
    if part:
        yield part


def _stream(tenant: str, event: Reference) -> UUID:
    """Of a published event."""
    [originator_id] = originator_ids(tenant, event.source, [event.event_id])
    return UUID(bytes=originator_id)
