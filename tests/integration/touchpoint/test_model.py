"""The journal agrees with a plain list of events, whatever several processes do to it at once.

Hypothesis makes the story: who appends what, which commit is held back while others come, whose caller
gives up, whose connection is killed, who is started again. PostgreSQL is real; the list is the truth.
"""

import asyncio
import functools
import itertools
import os
import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from services.chassis.errors import DATABASE_AWAY, ServiceError
from services.chassis.postgres import Connection, Pool
from services.touchpoint import appender, journal, seal
from services.touchpoint.appender import Outcome, Plan, Result, VersionConflict
from services.touchpoint.journal import Journal
from services.touchpoint.row import Entry, Rows, encode
from tests.support.entries import attempt, entry
from tests.support.sealed import assert_sealed

T = TypeVar("T")

# A story of up to 25 steps takes half a second; `make stories` tells more of them.
STORIES = int(os.environ.get("TOUCHLEDGER_TEST_STORIES", "15"))
# The first story that a broken journal fails is the last one told, so these are for one that goes unnoticed.
BROKEN_STORIES_MAX = 60
STEPS_MAX = 25
STEP_SECONDS_MAX = 20
PROCESSES = 3
# A never begun stream is not continued at 7: such a decision is refused once all before it are settled.
NEVER_BEGUN = UUID(int=7)

BEFORE_ITS_ROWS, AT_ITS_COMMIT = 1, 2
# Sessions are named "journal NUMBER of PROCESS"; a held process stands where its lock is held by us.
HOLDS = f"""
CREATE TABLE notes (note text PRIMARY KEY);
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(
        TG_ARGV[0]::int, substring(current_setting('application_name') FROM 'of (\\d+)')::int);
    RETURN NULL;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON journal.stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION hold({BEFORE_ITS_ROWS});
CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON journal.seals
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold({AT_ITS_COMMIT});
"""
WAITING = """
SELECT lock.pid, application_name, classid::int AS at
  FROM pg_locks AS lock JOIN pg_stat_activity USING (pid)
 WHERE NOT granted AND datname = current_database()
"""
SESSIONS = """
SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()
"""
ROWS = """
SELECT notification_id, originator_id, originator_version, topic, state, content_digest
  FROM journal.stored_events WHERE notification_id > $1 ORDER BY notification_id
"""
# One statement, so that it is one moment that any reader could have seen.
LOOK = """
SELECT count(*) AS events, coalesce(max(notification_id), 0) AS last,
       (SELECT position FROM journal.head) AS head
  FROM journal.stored_events
"""
WITHOUT_ITS_LOCK = """
CREATE OR REPLACE FUNCTION journal.take_turn(
    OUT journal_id uuid, OUT "position" bigint, OUT recorded_at timestamptz, OUT chain bytea)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT head.journal_id, head.position, greatest(clock_timestamp(), head.recorded_at), head.chain
      INTO take_turn.journal_id, take_turn.position, take_turn.recorded_at, take_turn.chain
      FROM journal.head;
END $$
"""


class Published(NamedTuple):
    """A request of facts. An amendment is one like any other: before its target, after it, or twice."""

    entries: tuple[Entry, ...]


class Decided(NamedTuple):
    """A request of decisions, `ahead` of their stream's next version: 0 is right, less is stale."""

    stream: int
    ahead: int
    events: int
    also: str


class Unstorable(NamedTuple):
    """A request that the database refuses with an error of its own."""

    entries: tuple[Entry, ...]


TOPICS = {
    "visit": "touchledger.interaction.v1",
    "correction": "touchledger.correction.v1",
    "retraction": "touchledger.retraction.v1",
}
NAMES = [f"visit {number}" for number in range(6)]
NAMES += [f"{kind} of visit {number}" for kind in ("correction", "retraction") for number in (1, 2)]
# Ids of the other kind, whose time prefix is kept.
NAMES += [f"01983{number:03x}-7d1c-7abc-8def-0123456789ab" for number in range(3)]


def fact(name: str, content: str) -> Entry:
    return entry(name, content)._replace(topic=TOPICS.get(name.split()[0], TOPICS["visit"]))


facts = st.builds(fact, st.sampled_from(NAMES), st.sampled_from(["as ever", "as ever", "other"]))
batches = st.lists(facts, min_size=1, max_size=6).map(tuple)
published = st.builds(Published, batches)
decided = st.builds(
    Decided,
    stream=st.integers(0, 2),
    ahead=st.sampled_from([0, 0, 0, -1, 1]),
    events=st.integers(1, 5),
    also=st.sampled_from(["", "", "a note", "an error"]),
)
unstorable = st.builds(Unstorable, batches)
processes = st.integers(0, PROCESSES - 1)
requests = st.tuples(processes, published | published | decided | unstorable)


class AlsoFailed(Exception):
    """What the caller stored beside its decision could not be stored."""


@dataclass
class Attempt:
    """A request under way, or what became of it. Unknown: its caller or connection went away."""

    entries: tuple[Entry, ...]
    task: "asyncio.Task[list[Result]]"
    note: str = ""
    decides: bool = False
    may_be_lost: bool = False

    @property
    def results(self) -> list[Result] | None:
        """None when nobody knows, or nothing is stored."""
        if self.task.cancelled() or self.task.exception():
            return None
        return self.task.result()

    @property
    def unknown(self) -> bool:
        if self.task.cancelled():
            return True
        error = self.task.exception()
        return isinstance(error, DATABASE_AWAY) and not isinstance(error, ValueError)


@dataclass
class Model:
    """What is stored, in the order of positions; the first is position 1."""

    events: list[Entry] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)

    def position(self, originator_id: bytes) -> int | None:
        """Of the first event of a stream."""
        for position, each in enumerate(self.events, start=1):
            if each.originator_id == originator_id:
                return position
        return None

    def version(self, originator_id: bytes, *, at: int | None = None) -> int | None:
        """The last one of a stream, now or at a position."""
        for each in reversed(self.events[:at]):
            if each.originator_id == originator_id:
                return each.originator_version
        return None

    def fits(self, new: Entry, *, at: int | None = None) -> bool:
        version = self.version(new.originator_id, at=at)
        return new.originator_version in ((0, 1) if version is None else (version + 1,))

    def store(self, stored: Entry) -> None:
        assert self.fits(stored), "a stream with a hole, or with two of one version"
        self.events.append(stored)

    def publish(self, entries: Iterable[Entry]) -> list[Result]:
        results = []
        for each in entries:
            position = self.position(each.originator_id)
            if position is None:
                self.store(each)
                results.append(Result(Outcome.RECORDED, len(self.events)))
            else:
                same = self.events[position - 1].content_digest == each.content_digest
                outcome = Outcome.DUPLICATE if same else Outcome.ID_CONFLICT
                results.append(Result(outcome, position))
        return results


class JournalMachine(RuleBasedStateMachine):
    """Several processes with one journal, and a reader that follows it all along."""

    def __init__(self, url: str, drop: Callable[[], None], broken_by: str = "") -> None:
        super().__init__()
        self.url, self.drop = url, drop
        self.model = Model()
        self.seen: list[tuple[str, bytes]] = []
        self.numbers = itertools.count(1)
        self.runner = asyncio.Runner()
        self.run(self.begin(broken_by))

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(STEP_SECONDS_MAX):
                return await story

        return self.runner.run(bounded())

    async def begin(self, broken_by: str) -> None:
        self.control: Connection = await asyncpg.connect(self.url)
        await self.control.execute(HOLDS + broken_by)
        self.looking: Connection = await asyncpg.connect(self.url)
        self.stopping = asyncio.Event()
        self.names, self.pools, self.journals = list[str](), list[Pool](), list[Journal]()
        # Sessions of a process that is no more.
        self.left = list[int]()
        for process in range(PROCESSES):
            name, pool, opened = await self.process(process)
            self.names.append(name)
            self.pools.append(pool)
            self.journals.append(opened)
        _, self.reader_pool, reader = await self.process(PROCESSES)
        self.reading = asyncio.create_task(self.read(reader))

    async def process(self, process: int) -> tuple[str, Pool, Journal]:
        name = f"journal {next(self.numbers)} of {process}"
        pool = await asyncpg.create_pool(
            self.url, min_size=1, max_size=3, server_settings={"application_name": name}
        )
        return name, pool, await Journal.open(pool, stopping=self.stopping)

    async def read(self, reader: Journal) -> None:
        async for page in reader.follow(0):
            for row in page.events:
                assert row["notification_id"] == len(self.seen) + 1, "a hole, or twice the same"
                self.seen.append((row["topic"], row["state"]))

    def teardown(self) -> None:
        self.run(self.end())
        self.runner.close()
        self.drop()

    async def end(self) -> None:
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        for pool in (*self.pools, self.reader_pool):
            pool.terminate()
        self.control.terminate()
        self.looking.terminate()

    # One after the other: the answer is known to the letter.

    @rule(process=processes, batch=batches)
    def append(self, process: int, batch: tuple[Entry, ...]) -> None:
        results = self.run(self.journals[process].append(encode(attempt(), batch)))
        assert self.model.publish(batch) == results

    @rule(process=processes, decision=decided)
    def decide(self, process: int, decision: Decided) -> None:
        before = len(self.model.events)
        tried = self.run(self.decided(process, decision))
        if not self.model.fits(tried.entries[0]):
            assert isinstance(tried.task.exception(), VersionConflict)
        elif decision.also == "an error":
            assert isinstance(tried.task.exception(), AlsoFailed)
        else:
            for each in tried.entries:
                self.model.store(each)
            expected = range(before + 1, before + decision.events + 1)
            assert [Result(Outcome.RECORDED, each) for each in expected] == tried.results
            self.model.notes |= {tried.note} - {""}

    async def decided(self, process: int, decision: Decided) -> Attempt:
        tried = self.start(process, decision)
        await asyncio.wait([tried.task])
        return tried

    # At once: each answer must be true of what is found stored.

    @rule(those=st.lists(requests, min_size=2, max_size=8))
    def append_at_once(self, those: list[tuple[int, Published | Decided | Unstorable]]) -> None:
        self.run(self.at_once(those))

    async def at_once(self, those: Sequence[tuple[int, Any]]) -> None:
        attempts = [self.start(*each) for each in those]
        tasks = [each.task for each in attempts]
        while not all(task.done() for task in tasks):
            await self.look()
        await self.settle(attempts)

    @rule(
        those=st.lists(requests, min_size=1, max_size=4), turns=st.integers(0, 8), process=processes
    )
    def callers_give_up(self, those: list[tuple[int, Any]], turns: int, process: int) -> None:
        async def story() -> None:
            attempts = [self.start(*each) for each in those]
            for _ in range(turns):
                await asyncio.sleep(0)
            for (through, _), each in zip(those, attempts, strict=True):
                if through == process:
                    each.task.cancel()
            await self.settle(attempts)

        self.run(story())

    @rule(those=st.lists(requests, min_size=1, max_size=6), process=processes)
    def a_process_loses_its_connections(self, those: list[tuple[int, Any]], process: int) -> None:
        async def story() -> None:
            attempts = [self.start(*each) for each in those]
            # Some are under way by then, at whatever they are.
            await self.look()
            for (through, _), each in zip(those, attempts, strict=True):
                each.may_be_lost = through == process
            await self.kill(await self.sessions(process))
            # Those that lay idle: the pool would find out by itself, soon.
            await self.pools[process].expire_connections()
            await self.settle(attempts)

        self.run(story())

    @rule(
        process=processes,
        batch=batches,
        later=st.lists(requests, min_size=1, max_size=5),
        at=st.sampled_from([BEFORE_ITS_ROWS, AT_ITS_COMMIT]),
        end=st.sampled_from(["goes on", "goes on", "is given up", "is killed", "crashes"]),
    )
    def others_come_while_a_commit_is_held(
        self,
        process: int,
        batch: tuple[Entry, ...],
        later: list[tuple[int, Any]],
        at: int,
        end: str,
    ) -> None:
        self.run(self.held(process, batch, later, at, end))

    async def held(
        self,
        process: int,
        batch: tuple[Entry, ...],
        later: Sequence[tuple[int, Any]],
        at: int,
        end: str,
    ) -> None:
        before = len(self.model.events)
        new = fact(f"visit held {next(self.numbers)}", "as ever")
        await self.control.execute("SELECT pg_advisory_lock($1, $2)", at, process)
        first = self.start(process, Published((new, *batch)))
        pid = await self.until_held(at, process)
        attempts = [first, *(self.start(*each) for each in later)]
        # In this process they wait behind the held one.
        others = [
            (i, each) for (i, _), each in zip(later, attempts[1:], strict=True) if i != process
        ]
        await self.until_all_wait(others)
        await self.look()
        if end == "is given up":
            first.task.cancel()
        elif end == "is killed":
            first.may_be_lost = True
            await self.kill([pid])
        elif end == "crashes":
            for (i, _), each in zip([(process, first), *later], attempts, strict=True):
                each.may_be_lost = i == process
            await self.crash(process)
        await self.control.execute("SELECT pg_advisory_unlock($1, $2)", at, process)
        await self.settle(attempts)
        position = self.model.position(new.originator_id)
        if end == "is killed":
            assert position is None
        elif end != "crashes" and at == AT_ITS_COMMIT:
            assert position == before + 1, "it held the lock before the others came"
        elif end != "crashes":
            # It may find that some of its batch is stored already, and lets the others go first then.
            assert position is not None

    @rule(process=processes)
    def start_again(self, process: int) -> None:
        self.run(self.crash(process))

    # What must hold whatever was done.

    @invariant()
    def readers_see_all_in_order(self) -> None:
        self.run(self.check())

    # Drawn from a fixed range: what is stored depends on races, and Hypothesis wants its draws repeatable.
    @rule(process=processes, place=st.integers(0, 10_000))
    def read_from_anywhere(self, process: int, place: int) -> None:
        after = place % (len(self.model.events) + 1)
        page = self.run(self.journals[process].page(after))
        expected = [each.state for each in self.model.events]
        assert expected[after:] == [row["state"] for row in page.events]
        for of in {each.originator_id for each in self.model.events[after : after + 1]}:
            stream = self.run(self.journals[process].stream(UUID(bytes=of)))
            assert [each.state for each in self.model.events if each.originator_id == of] == [
                row["state"] for row in stream
            ]

    # How it is done.

    def start(self, process: int, request: Published | Decided | Unstorable) -> Attempt:
        through = self.journals[process]
        if isinstance(request, Decided):
            return self.start_decision(through, request)
        entries = request.entries
        if isinstance(request, Unstorable):
            entries += (entry("unstorable")._replace(content_digest=b"too short"),)
        return Attempt(entries, asyncio.ensure_future(through.append(encode(attempt(), entries))))

    def start_decision(self, through: Journal, request: Decided) -> Attempt:
        originator_id = uuid5(NAMESPACE_OID, f"stream {request.stream}").bytes
        first = (self.model.version(originator_id) or 0) + 1 + request.ahead
        # No two decisions are alike, so that each is found.
        note = f"note {next(self.numbers)}"
        entries = tuple(
            entry(f"{note} {version}")._replace(
                originator_id=originator_id, originator_version=version, topic="touchledger.case.v1"
            )
            for version in range(max(first, 0), max(first, 0) + request.events)
        )

        async def store_note(connection: Connection) -> None:
            await connection.execute("INSERT INTO notes (note) VALUES ($1)", note)
            if request.also == "an error":
                raise AlsoFailed

        also = store_note if request.also else None
        deciding = through.decide(encode(attempt(), entries), also=also)
        return Attempt(entries, asyncio.ensure_future(deciding), note if also else "", decides=True)

    async def settle(self, attempts: Sequence[Attempt]) -> None:
        """Checks the answers against what is stored now, and takes that over."""
        await asyncio.wait([each.task for each in attempts])
        # What nobody waits for any more may still be on its way.
        await self.until_gone(self.left)
        for opened in self.journals:
            await self.until_idle(opened)
        before = len(self.model.events)
        claimed = set[int]()
        for row in await self.control.fetch(ROWS, before):
            assert row["notification_id"] == len(self.model.events) + 1
            self.model.store(Entry(row["originator_id"].bytes, *list(row.values())[2:]))
        for each in attempts:
            if each.results is not None:
                recorded = self.check_results(each, each.results, before)
                assert not claimed & recorded, "two were told to be the first"
                claimed |= recorded
            elif not (each.task.cancelled() or (each.unknown and each.may_be_lost)):
                self.check_refusal(each, before)
        new = range(before + 1, len(self.model.events) + 1)
        committed = [each for each in attempts if each.unknown and self.is_stored(each)]
        for position in set(new) - claimed:
            stored = self.model.events[position - 1]
            assert any(stored in each.entries for each in committed), "stored and never answered"
        sure = {each.note for each in attempts if each.results} - {""}
        notes = {row["note"] for row in await self.control.fetch("SELECT note FROM notes")}
        assert sure <= notes - self.model.notes <= sure | {each.note for each in committed}
        self.model.notes = notes

    def check_results(self, tried: Attempt, results: list[Result], before: int) -> set[int]:
        """The positions that it recorded."""
        recorded = list[int]()
        for given, (outcome, position) in zip(tried.entries, results, strict=True):
            stored = self.model.events[position - 1]
            assert stored.originator_id == given.originator_id
            assert (outcome is Outcome.ID_CONFLICT) == (
                stored.content_digest != given.content_digest
            )
            if outcome is Outcome.RECORDED:
                assert stored == given
                recorded.append(position)
            elif not tried.decides:
                assert self.model.position(given.originator_id) == position
        assert all(after - each == 1 for each, after in itertools.pairwise(recorded))
        assert all(each > before for each in recorded)
        assert not tried.decides or len(recorded) == len(tried.entries)
        return set(recorded)

    def check_refusal(self, tried: Attempt, before: int) -> None:
        error = tried.task.exception()
        assert error is not None
        if isinstance(error, asyncpg.CheckViolationError):
            assert tried.entries[-1].content_digest == b"too short"
        elif isinstance(error, VersionConflict):
            [first, *_] = tried.entries
            now = self.model.version(first.originator_id)
            then = self.model.version(first.originator_id, at=before)
            assert not self.model.fits(first, at=before) or now != then, "refused for nothing"
        elif not isinstance(error, AlsoFailed):
            raise error
        assert not tried.decides or not set(tried.entries) & set(self.model.events)

    def is_stored(self, tried: Attempt) -> bool:
        """All of it: it went in one transaction."""
        if tried.decides:
            return set(tried.entries) <= set(self.model.events)
        return all(self.model.position(each.originator_id) for each in tried.entries)

    async def check(self) -> None:
        await self.look()
        await assert_sealed(self.control)
        while len(self.seen) < len(self.model.events):
            assert not self.reading.done(), self.reading.result()
            await asyncio.sleep(0.001)
        assert [(each.topic, each.state) for each in self.model.events] == self.seen

    async def look(self) -> None:
        row = await self.looking.fetchrow(LOOK)
        assert row is not None
        assert row["events"] == row["last"] == row["head"]
        assert not self.reading.done(), self.reading.result()

    async def until_idle(self, opened: Journal) -> None:
        """A journal settles requests in their order."""
        never = Entry(NEVER_BEGUN.bytes, 7, "touchledger.case.v1", b"", bytes(32))
        with pytest.raises(VersionConflict):
            await opened.decide(encode(attempt(), [never]))

    async def until_held(self, at: int, process: int) -> int:
        while True:
            for row in await self.control.fetch(WAITING):
                if row["at"] == at and process_of(row["application_name"]) == process:
                    return int(row["pid"])

    async def until_all_wait(self, attempts: Sequence[tuple[int, Attempt]]) -> None:
        """Each of them stands at a lock, or has found that it has nothing to store."""
        while True:
            rows = await self.control.fetch(WAITING)
            waiting = {process_of(row["application_name"]) for row in rows}
            if all(each.task.done() or process in waiting for process, each in attempts):
                return

    async def sessions(self, process: int) -> list[int]:
        return [row["pid"] for row in await self.control.fetch(SESSIONS, self.names[process])]

    async def kill(self, pids: Sequence[int]) -> None:
        await self.control.execute(
            "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS killed (pid)", pids
        )
        await self.until_gone(pids)

    async def until_gone(self, pids: Sequence[int]) -> None:
        gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY($1))"
        while not await self.control.fetchval(gone, pids):
            pass

    async def crash(self, process: int) -> None:
        """As kill -9 does it: connections end, what was remembered is gone, a new one starts."""
        self.left = await self.sessions(process)
        self.pools[process].terminate()
        self.names[process], self.pools[process], self.journals[process] = await self.process(
            process
        )


def process_of(application_name: str) -> int | None:
    found = re.search(r"of (\d+)", application_name)
    return int(found[1]) if found else None


Drop = Callable[[], None]


async def as_long_as_four_events(pool: Pool) -> float:
    """Commits of more are stored by COPY, others by a call."""
    return 4 * appender.CALL_SECONDS_MORE_AN_EVENT / appender.COPY_ROUND_TRIPS_MORE


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that short stories reach."""
    monkeypatch.setattr(journal, "round_trip_seconds", as_long_as_four_events)
    monkeypatch.setattr(appender, "COMMIT_EVENTS_MAX", 10)
    monkeypatch.setattr(appender, "RECENT_MAX", 8)
    monkeypatch.setattr(appender, "COMMITS_WITH_LOOK_UP", 2)
    monkeypatch.setattr(journal, "POLL_SECONDS", 0.01)


@pytest.fixture
def machine(
    small: None, new_database: Callable[[str], str], admin_url: str
) -> Callable[[str], Callable[[], JournalMachine]]:
    """Makes machines, each on a database of its own, in which a statement breaks something."""

    async def drop(url: str) -> None:
        connection = await asyncpg.connect(admin_url)
        try:
            await connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
        finally:
            await connection.close()

    def new(broken_by: str) -> JournalMachine:
        url = new_database("touchpoint")
        return JournalMachine(url, lambda: asyncio.run(drop(url)), broken_by)

    return lambda broken_by: functools.partial(new, broken_by)


Machine = Callable[[str], Callable[[], JournalMachine]]
# A step takes as long as PostgreSQL needs; a story that fails is told, not looked up in a file.
SETTINGS = settings(
    stateful_step_count=STEPS_MAX,
    deadline=None,
    database=None,
    # A failure is told as it came: shrinking takes minutes, and a race does not come again when asked.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def tell_stories(new: Callable[[], JournalMachine], told: settings) -> None:
    # It takes any callable and is declared to want a class.
    run_state_machine_as_test(cast(type[RuleBasedStateMachine], new), settings=told)


def test_the_journal_agrees_with_its_model(machine: Machine) -> None:
    tell_stories(machine(""), settings(SETTINGS, max_examples=STORIES))


def without_lock(monkeypatch: pytest.MonkeyPatch) -> str:
    return WITHOUT_ITS_LOCK


def without_content_check(monkeypatch: pytest.MonkeyPatch) -> str:
    original = appender._plan_with_known

    def plan(requests: Any, seen: dict[bytes, Any], streams: Any) -> Plan:
        given = dict(
            pair
            for request in requests
            for pair in zip(request.rows.originator_ids, request.rows.content_digests, strict=True)
        )
        same = {
            originator_id: (place, number, given[originator_id])
            for originator_id, (place, number, _) in seen.items()
        }
        return original(requests, same, streams)

    monkeypatch.setattr(appender, "_plan_with_known", plan)
    return ""


def without_half_of_the_version_check(monkeypatch: pytest.MonkeyPatch) -> str:
    original = appender._continue_streams

    def continued(rows: Rows, streams: Any) -> VersionConflict | None:
        version = rows.versions[0]
        _, stored = streams.get(rows.originator_ids[0], ("", version))
        return None if version > stored else original(rows, streams)

    monkeypatch.setattr(appender, "_continue_streams", continued)
    return ""


def without_part_of_the_seal(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(seal, "root_of", lambda leaves: leaves[-1])
    return ""


@pytest.mark.parametrize(
    "broken",
    [
        without_lock,
        without_content_check,
        without_half_of_the_version_check,
        without_part_of_the_seal,
    ],
)
def test_the_model_disagrees_with_a_journal_that_is_broken(
    broken: Callable[[pytest.MonkeyPatch], str], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Flaky: what is broken is a race.
    with pytest.raises((AssertionError, ServiceError, asyncpg.PostgresError, Flaky)):
        tell_stories(
            machine(broken(monkeypatch)), settings(SETTINGS, max_examples=BROKEN_STORIES_MAX)
        )
