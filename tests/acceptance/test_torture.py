"""What is acked is stored, once, in order, and scored, although processes die while many publish."""

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.scoring import formulas
from services.scoring.models import LIVE
from services.touchpoint.identity import originator_ids
from tests.support.events import csat, event, feedback, nps
from tests.support.stack import Service, Stack, running_stack
from touchledger.v1 import events_pb2, ingest_pb2, journal_pb2, scoring_pb2
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub
from touchledger.v1.journal_pb2_grpc import JournalServiceStub
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

SEED = 20260803
PUBLISHERS = 8
EVENTS = 20_000
DEADLINE_SECONDS = 60
CALL_DEADLINE_SECONDS = 15
# What a publisher is to repeat. DEADLINE_EXCEEDED is its own clock's.
REPEATABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
TOUCHPOINTS = [f"store.{name}" for name in ("entrance", "shelf", "advice", "checkout", "returns")]


def some_events(choice: random.Random) -> dict[str, events_pb2.Event]:
    """By id. Amendments name any of the others, so that many come before what they amend."""
    made = {}
    for number in range(EVENTS):
        event_id = f"event-{number}"
        envelope = {
            "event_id": event_id,
            "touchpoint": choice.choice(TOUCHPOINTS),
            "customer": f"customer {choice.randrange(500)}",
            "occurred_at": f"2026-08-{choice.randint(1, 9):02}T10:15:30Z",
        }
        body = {"stage": "STAGE_PURCHASE", "channel": "CHANNEL_STORE"}
        amends = {"event_id": f"event-{choice.randrange(EVENTS)}"}
        kind = choice.random()
        if kind < 0.5:
            made[event_id] = event(**envelope)
        elif kind < 0.65:
            made[event_id] = event(**envelope, feedback_requested=body)
        elif kind < 0.9:
            signals = csat(str(choice.randint(1, 5))), nps(str(choice.randint(0, 10)))
            made[event_id] = feedback(*signals, **envelope)
        elif kind < 0.95:
            correction = {"reason": "wrong till", "interaction": body}
            made[event_id] = event(**envelope, amends=amends, correction=correction)
        else:
            made[event_id] = event(**envelope, amends=amends, retraction={"reason": "test sale"})
    return made


def shares(
    events: dict[str, events_pb2.Event], choice: random.Random
) -> list[list[list[events_pb2.Event]]]:
    """For each publisher its batches: every event once, and a third of them by another one too."""
    sent: list[list[events_pb2.Event]] = [[] for _ in range(PUBLISHERS)]
    for index, each in enumerate(events.values()):
        sent[index % PUBLISHERS].append(each)
    for index, event_id in enumerate(choice.sample(sorted(events), k=EVENTS // 3)):
        others = sent[index % PUBLISHERS]
        others.insert(choice.randrange(len(others)), events[event_id])
    batches: list[list[list[events_pb2.Event]]] = []
    for own in sent:
        left = iter(own)
        batches.append([])
        while batch := list(itertools.islice(left, choice.randint(50, 100))):
            batches[-1].append(batch)
    return batches


def retry_after(call: grpc.Call) -> float | None:
    """The seconds that RetryInfo tells; None without one."""
    rich = rpc_status.from_call(call)
    told = error_details_pb2.RetryInfo()
    for detail in rich.details if rich else ():
        if detail.Is(told.DESCRIPTOR):
            detail.Unpack(told)
            return float(told.retry_delay.ToNanoseconds() / 1e9)
    return None


def publish(
    ingest: IngestServiceStub,
    events: Sequence[events_pb2.Event],
    metadata: tuple[tuple[str, str], ...],
    failures: list[grpc.Call],
    given_up: threading.Event | None = None,
    repeatable: Collection[grpc.StatusCode] = REPEATABLE,
) -> Sequence[ingest_pb2.PublishResult]:
    """As a till does: the same batch again until it is answered, after the pause that it is told."""
    request = ingest_pb2.PublishBatchRequest(events=events)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        # A future rather than an exception, so that tests tell what they expect of it.
        call = ingest.PublishBatch.future(request, metadata=metadata, timeout=CALL_DEADLINE_SECONDS)
        code = call.code()
        if code is grpc.StatusCode.OK:
            answer: ingest_pb2.PublishBatchResponse = call.result()
            return answer.results
        failures.append(call)
        assert code in repeatable, f"{code}: {call.details()}"
        assert time.monotonic() < deadline, f"{code}: {call.details()}"
        if (given_up or threading.Event()).wait(retry_after(call) or 0.1):
            return []


@dataclass
class Publishers:
    """What was answered, whoever published it."""

    stack: Stack
    dispositions: Counter[int] = field(default_factory=Counter)
    # Event id to the positions that were answered for it.
    acked: dict[str, set[int]] = field(default_factory=dict)
    failures: list[grpc.Call] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self, batches: list[list[events_pb2.Event]]) -> None:
        with grpc.insecure_channel(self.stack.gateway.address) as channel:
            ingest = IngestServiceStub(channel)
            for batch in batches:
                results = publish(ingest, batch, self.stack.metadata, self.failures)
                self.note(batch, results)

    def note(
        self, batch: Sequence[events_pb2.Event], results: Sequence[ingest_pb2.PublishResult]
    ) -> None:
        with self.changed:
            for each, result in zip(batch, results, strict=True):
                assert not result.HasField("problem"), result
                self.dispositions[result.disposition] += 1
                self.acked.setdefault(each.event_id, set()).add(result.position.number)
            self.changed.notify_all()

    def wait_for(self, acked: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.acked) >= acked, DEADLINE_SECONDS)


@dataclass
class Reader:
    """Follows the journal from the start, at whichever process lives."""

    addresses: list[str]
    # The event id at each position, as they came; the first is position 1.
    seen: list[str] = field(default_factory=list)
    connections: int = 0

    def run(self, until: int) -> None:
        journal_id = ""
        for address in itertools.cycle(self.addresses):
            self.connections += 1
            with grpc.insecure_channel(address) as channel:
                stream = JournalServiceStub(channel).Subscribe(
                    journal_pb2.SubscribeRequest(
                        after=journal_pb2.Position(journal_id=journal_id, number=len(self.seen))
                    ),
                    timeout=DEADLINE_SECONDS,
                )
                with contextlib.suppress(grpc.RpcError):
                    for page in stream:
                        journal_id = page.journal_id
                        self.note(page)
                        if len(self.seen) >= until:
                            return
                assert stream.code() is grpc.StatusCode.UNAVAILABLE, stream.details()

    def note(self, page: journal_pb2.SubscribeResponse) -> None:
        for each in page.events:
            assert each.position == len(self.seen) + 1, "a hole, or twice the same"
            self.seen.append(events_pb2.Event.FromString(each.event).event_id)


def eventually(what: str, holds: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Returns once it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def rows(url: str, statement: str) -> list[asyncpg.Record]:
    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def status(stack: Stack) -> scoring_pb2.GetStatusResponse:
    with grpc.insecure_channel(stack.gateway.address) as channel:
        answer: scoring_pb2.GetStatusResponse = ScoringServiceStub(channel).GetStatus(
            scoring_pb2.GetStatusRequest(), metadata=stack.metadata, timeout=CALL_DEADLINE_SECONDS
        )
    return answer


def read_models(url: str) -> dict[str, list[str]]:
    """Every row of every table that a projection fills, as text, in order."""
    tables = rows(
        url,
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_type = 'BASE TABLE' AND (table_schema = 'bi' OR "
        "(table_schema, table_name) = ('scoring', 'waiting_amendment'))",
    )
    return {
        name: [row[0] for row in rows(url, f'SELECT t::text COLLATE "C" FROM {name} t ORDER BY 1')]
        for (name,) in tables
    }


def rollup_of_the_facts(url: str) -> list[str]:
    """The rollup as it is when it is made anew; the database stays as it was."""

    async def rebuild() -> list[str]:
        path = {"search_path": LIVE.search_path}
        connection = await asyncpg.connect(url, server_settings=path)
        transaction = connection.transaction()
        await transaction.start()
        try:
            await formulas.refill(connection)
            found = await connection.fetch(
                'SELECT t::text COLLATE "C" FROM bi.rollup_touchpoint_day t ORDER BY 1'
            )
        finally:
            await transaction.rollback()
            await connection.close()
        return [row[0] for row in found]

    return asyncio.run(rebuild())


def test_nothing_acked_is_lost_or_doubled_or_out_of_order_while_a_process_is_killed(
    tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    choice = random.Random(SEED)
    events = some_events(choice)
    urls = {name: new_database(name) for name in ("touchpoint", "scoring", "gateway")}
    with running_stack(tmp_path, urls, touchpoints=2) as stack:
        publishers = Publishers(stack)
        reader = Reader([each.address for each in stack.touchpoints])
        publish_while_one_is_killed(stack, publishers, reader, shares(events, choice))
        assert_acks(publishers, events)
        assert_journal(urls["touchpoint"], publishers, reader, events)
        assert_scored(stack)
        assert_rebuilt_alike(stack, tmp_path, new_database("scoring"))


def publish_while_one_is_killed(
    stack: Stack,
    publishers: Publishers,
    reader: Reader,
    batches: list[list[list[events_pb2.Event]]],
) -> None:
    # The one that the reader is connected to first.
    killed = stack.touchpoints[0]
    with ThreadPoolExecutor(PUBLISHERS + 1) as threads:
        running = [threads.submit(reader.run, EVENTS)]
        running += [threads.submit(publishers.run, own) for own in batches]
        publishers.wait_for(EVENTS // 3)
        killed.kill()
        publishers.wait_for(EVENTS // 2)
        killed.start()
        for each in running:
            each.result(DEADLINE_SECONDS)
    killed.wait_until_ready()
    assert reader.connections > 1, "its process died"


def assert_acks(publishers: Publishers, events: dict[str, events_pb2.Event]) -> None:
    assert publishers.acked.keys() == events.keys()
    assert {len(positions) for positions in publishers.acked.values()} == {1}
    told = publishers.dispositions
    assert told.keys() == {ingest_pb2.DISPOSITION_RECORDED, ingest_pb2.DISPOSITION_DUPLICATE}
    # One that was stored by a call that nobody heard the answer of is a duplicate when it is repeated.
    assert told[ingest_pb2.DISPOSITION_RECORDED] <= EVENTS
    assert told[ingest_pb2.DISPOSITION_DUPLICATE] >= EVENTS // 3


def assert_journal(
    url: str, publishers: Publishers, reader: Reader, events: dict[str, events_pb2.Event]
) -> None:
    stored = rows(
        url,
        "SELECT notification_id, originator_id FROM journal.stored_events ORDER BY notification_id",
    )
    assert [row["notification_id"] for row in stored] == list(range(1, EVENTS + 1))
    streams = originator_ids("default", "local", list(events))
    assert {row["originator_id"].bytes for row in stored} == set(streams)
    read_at = {event_id: {position} for position, event_id in enumerate(reader.seen, start=1)}
    assert len(reader.seen) == EVENTS
    assert read_at == publishers.acked


def assert_scored(stack: Stack) -> None:
    eventually("scoring catches up", lambda: status(stack).checkpoint.number == EVENTS)
    told = status(stack)
    assert (told.head.number, told.lag, told.missing_positions) == (EVENTS, 0, 0)
    assert sum(told.events.values()) == EVENTS
    assert told.waiting_amendments > 0, "some amend an amendment"
    live = read_models(stack.urls["scoring"])
    assert live["bi.rollup_touchpoint_day"] == rollup_of_the_facts(stack.urls["scoring"])
    assert len(live["bi.rollup_touchpoint_day"]) == 9 * len(TOUCHPOINTS)


def assert_rebuilt_alike(stack: Stack, folder: Path, url: str) -> None:
    environment = {**stack.scoring.environment, "TOUCHLEDGER_SCORING_DATABASE_URL": url}
    rebuilt = Service("scoring", environment, folder / "rebuilt.log")
    rebuilt.start()
    try:
        rebuilt.wait_until_ready()
        position = "SELECT position FROM bi.freshness"
        eventually("the rebuild ends", lambda: rows(url, position)[0][0] == EVENTS)
    finally:
        rebuilt.kill()
    live, again = read_models(stack.urls["scoring"]), read_models(url)
    assert live.keys() == again.keys()
    for table, found in live.items():
        assert again[table] == found, table
