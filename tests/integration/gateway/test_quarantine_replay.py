"""A bad event is kept, mended by a person and recorded once, on behalf of the source that had sent it."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import asyncpg
import grpc
import psycopg
import pytest

from services.chassis.errors import (
    BY_STATUS,
    Conflict,
    Forbidden,
    Malformed,
    NotFound,
    ServiceError,
    Unauthenticated,
)
from services.gateway.access import PUBLISH, RECOVER, Caller
from services.gateway.keyring import Keyring
from services.gateway.quarantine import Bad, Quarantine
from tests.conftest import SERVICES
from tests.support.events import csat, feedback
from tests.support.stack import Stack, running_stack
from touchledger import event_json
from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc, journal_pb2, journal_pb2_grpc
from touchledger.v1 import quarantine_pb2 as pb
from touchledger.v1.problem_pb2 import Problem
from touchledger.v1.quarantine_pb2_grpc import QuarantineServiceStub

CALL_SECONDS_MAX = 20.0
KEYRING = Keyring(bytes.fromhex("17" * 32))
RECORDED = ingest_pb2.DISPOSITION_RECORDED
DUPLICATE = ingest_pb2.DISPOSITION_DUPLICATE
QUARANTINED = ingest_pb2.DISPOSITION_QUARANTINED
REJECTED = ingest_pb2.DISPOSITION_REJECTED
COMMENT = "Nobody was there."
numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Client:
    """Calls with one key."""

    channel: grpc.Channel
    key: str

    def publish(
        self, event: events_pb2.Event, sent_at: datetime | None = None
    ) -> ingest_pb2.PublishResult:
        stub = ingest_pb2_grpc.IngestServiceStub(self.channel)
        attempt = ingest_pb2.Attempt(sent_at=sent_at)
        result: ingest_pb2.PublishResult = self._call(
            stub.Publish, ingest_pb2.PublishRequest(event=event, attempt=attempt)
        ).result
        return result

    def get(self, quarantine_id: str) -> pb.GetQuarantinedResponse:
        answer: pb.GetQuarantinedResponse = self._call(
            self._stub.GetQuarantined, pb.GetQuarantinedRequest(quarantine_id=quarantine_id)
        )
        return answer

    def listed(self) -> list[pb.QuarantineEntry]:
        return list(self._call(self._stub.ListQuarantined, pb.ListQuarantinedRequest()).entries)

    def replay(
        self, quarantine_id: str, mended: events_pb2.Event | None = None
    ) -> pb.ReplayQuarantinedResponse:
        request = pb.ReplayQuarantinedRequest(quarantine_id=quarantine_id, mended=mended)
        answer: pb.ReplayQuarantinedResponse = self._call(self._stub.ReplayQuarantined, request)
        return answer

    def discard(self, quarantine_id: str, reason: str = "test data") -> pb.QuarantineEntry:
        request = pb.DiscardQuarantinedRequest(quarantine_id=quarantine_id, reason=reason)
        entry: pb.QuarantineEntry = self._call(self._stub.DiscardQuarantined, request).entry
        return entry

    @property
    def _stub(self) -> QuarantineServiceStub:
        return QuarantineServiceStub(self.channel)

    def _call(self, rpc: Any, request: Any) -> Any:
        metadata = (("authorization", f"Bearer {self.key}"),)
        return rpc(request, metadata=metadata, timeout=CALL_SECONDS_MAX)


@dataclass(frozen=True, slots=True)
class Gateway:
    stack: Stack
    channel: grpc.Channel
    tenant: str

    def client(
        self, *scopes: str, tenant: str = "", source: str = "till", trust: int | None = None
    ) -> Client:
        """With a key of this test's tenant, unless another one is named."""
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        digest = KEYRING.secret_digest(secret)
        with psycopg.connect(self.stack.urls["gateway"], autocommit=True) as connection:
            connection.execute(
                "INSERT INTO gateway.api_key (key_id, secret_digest, tenant, source, scopes, trust) "
                "VALUES (%s, %s, %s, %s, %s, %s)",
                (
                    *(key_id, digest, tenant or self.tenant, source, list(scopes)),
                    trust or events_pb2.TRUST_SOURCE,
                ),
            )
        return Client(self.channel, f"tl_{key_id}_{secret}")

    def document(self, content: bytes = b"<sale/>") -> str:
        """The id of a vendor's document that could not be read: it tells no event id."""
        problem = Problem(code="UNREADABLE_DELIVERY", field="", got="XML", want="a JSON document")

        async def keep() -> list[str]:
            async with asyncpg.create_pool(self.stack.urls["gateway"], min_size=1) as pool:
                caller = Caller(self.tenant, "till", frozenset({PUBLISH}))
                bad = Bad("", content, "square.v1", problem)
                return await Quarantine(pool, KEYRING).keep(caller, [bad])

        [quarantine_id] = asyncio.run(keep())
        return quarantine_id

    def recorded(self) -> list[journal_pb2.RecordedEvent]:
        with grpc.insecure_channel(self.stack.touchpoints[0].address) as channel:
            stub = journal_pb2_grpc.JournalServiceStub(channel)
            request = journal_pb2.ReadRangeRequest(filter=journal_pb2.Filter(tenant=self.tenant))
            page = stub.ReadRange(request, timeout=CALL_SECONDS_MAX)
            return list(page.events)


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    """One stack, where each test has a tenant of its own."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, {name: new_database(name) for name in SERVICES}) as running:
        yield running


@pytest.fixture
def gateway(shared: Stack) -> Iterator[Gateway]:
    with grpc.insecure_channel(shared.gateway.address) as channel:
        yield Gateway(shared, channel, f"tenant-{next(numbers)}")


@pytest.fixture
def till(gateway: Gateway) -> Client:
    return gateway.client(PUBLISH, trust=events_pb2.TRUST_AUDITED)


@pytest.fixture
def person(gateway: Gateway) -> Client:
    """Of the same tenant, and no source of events."""
    return gateway.client(RECOVER, source="back office")


def wrong_scale(event_id: str = "event-1") -> events_pb2.Event:
    """9 of 1 to 5; the rest is as good as can be."""
    return feedback(
        csat("9"), event_id=event_id, customer="customer 17", personal={"comment": COMMENT}
    )


def mended(event_id: str = "event-1", value: str = "5") -> events_pb2.Event:
    event = wrong_scale(event_id)
    event.feedback_received.signals[0].value = value
    return event


def error_of(refused: grpc.RpcError) -> type[ServiceError]:
    return BY_STATUS[refused.code()]


def test_a_bad_event_is_kept_mended_and_recorded_as_its_sources(
    gateway: Gateway, till: Client, person: Client
) -> None:
    result = till.publish(wrong_scale())
    assert QUARANTINED == result.disposition
    assert "VALUE_OUTSIDE_SCALE" == result.problem.code
    assert [] == gateway.recorded()

    [entry] = person.listed()
    assert (result.quarantine_id, "till", "event-1") == (
        entry.quarantine_id,
        entry.source,
        entry.event_id,
    )
    assert result.problem == entry.problem
    assert wrong_scale() == event_json.parse(person.get(entry.quarantine_id).json)

    replayed = person.replay(entry.quarantine_id, mended())
    assert RECORDED == replayed.result.disposition
    assert pb.QUARANTINE_STATUS_RELEASED == replayed.entry.status
    assert [] == person.listed()
    [recorded] = gateway.recorded()
    assert (gateway.tenant, "till") == (recorded.tenant, recorded.source)
    event = events_pb2.Event.FromString(recorded.event)
    assert events_pb2.TRUST_AUDITED == event.intake.trust
    assert "customer 17" != event.customer
    assert "5" == event.feedback_received.signals[0].value


def test_an_event_is_no_later_and_its_clock_no_more_off_for_having_waited(
    gateway: Gateway, till: Client, person: Client
) -> None:
    # Two days ago, by a clock that was an hour slow.
    slow, waited = timedelta(hours=1), timedelta(days=2)
    occurred_at = datetime.now(UTC) - slow - waited
    event = wrong_scale()
    event.occurred_at.FromDatetime(occurred_at)
    quarantine_id = till.publish(event, sent_at=occurred_at + waited).quarantine_id
    with psycopg.connect(gateway.stack.urls["gateway"], autocommit=True) as connection:
        connection.execute(
            "UPDATE gateway.quarantine SET received_at = received_at - %(waited)s, "
            "sent_at = sent_at - %(waited)s WHERE tenant = %(tenant)s",
            {"waited": waited, "tenant": gateway.tenant},
        )
    event.feedback_received.signals[0].value = "5"
    person.replay(quarantine_id, event)
    [recorded] = gateway.recorded()
    intake = events_pb2.Event.FromString(recorded.event).intake
    assert not intake.late
    assert occurred_at + slow == intake.corrected_occurred_at.ToDatetime(UTC)


def test_a_replay_that_was_done_is_a_duplicate_and_the_mended_event_too(
    gateway: Gateway, till: Client, person: Client
) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    first = person.replay(quarantine_id, mended())
    for again in (person.replay(quarantine_id, mended()), person.replay(quarantine_id)):
        assert DUPLICATE == again.result.disposition
        assert first.result.position == again.result.position
        assert first.entry == again.entry
    assert DUPLICATE == till.publish(mended()).disposition
    assert 1 == len(gateway.recorded())


def test_the_same_entry_replayed_by_many_at_once_is_one_event(
    gateway: Gateway, till: Client, person: Client
) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: person.replay(quarantine_id, mended()), range(16)))
    assert {RECORDED, DUPLICATE} >= {each.result.disposition for each in answers}
    assert 1 == sum(each.result.disposition == RECORDED for each in answers)
    assert 1 == len({each.result.position.number for each in answers})
    assert {pb.QUARANTINE_STATUS_RELEASED} == {each.entry.status for each in answers}
    assert 1 == len(gateway.recorded())


def test_a_document_mended_by_many_at_once_under_different_ids_is_one_event(
    gateway: Gateway, person: Client
) -> None:
    quarantine_id = gateway.document()
    start = Barrier(8)

    def replay(number: int) -> pb.ReplayQuarantinedResponse | type[ServiceError]:
        start.wait()
        try:
            return person.replay(quarantine_id, mended(f"new-{number}"))
        except grpc.RpcError as refused:
            return error_of(refused)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(replay, range(8)))
    [recorded] = gateway.recorded()
    replayed = [each for each in answers if isinstance(each, pb.ReplayQuarantinedResponse)]
    assert 1 == sum(each.result.disposition == RECORDED for each in replayed)
    assert {recorded.position} == {each.result.position.number for each in replayed}
    assert {Malformed} >= {each for each in answers if isinstance(each, type)}
    entry = person.get(quarantine_id).entry
    event_id = events_pb2.Event.FromString(recorded.event).event_id
    assert (pb.QUARANTINE_STATUS_RELEASED, event_id) == (entry.status, entry.event_id)


def test_a_document_is_mended_under_another_id_until_it_is_good(
    gateway: Gateway, person: Client
) -> None:
    quarantine_id = gateway.document()
    assert QUARANTINED == person.replay(quarantine_id, mended("new-1", "8")).result.disposition
    answer = person.replay(quarantine_id, mended("new-2"))
    assert (RECORDED, "new-2") == (answer.result.disposition, answer.entry.event_id)


def test_what_is_discarded_while_it_is_replayed_is_released_if_it_is_recorded(
    gateway: Gateway, till: Client, person: Client
) -> None:
    start = Barrier(21)

    def ask(quarantine_id: str, event_id: str, number: int) -> type[ServiceError] | None:
        start.wait()
        try:
            if number == 10:
                person.discard(quarantine_id)
            else:
                person.replay(quarantine_id, mended(event_id))
        except grpc.RpcError as refused:
            return error_of(refused)
        return None

    # More than once, as which of them is first is left to chance.
    for event_id in ("event-1", "event-2", "event-3", "event-4"):
        quarantine_id = till.publish(wrong_scale(event_id)).quarantine_id
        with ThreadPoolExecutor(21) as threads:
            asked = [threads.submit(ask, quarantine_id, event_id, number) for number in range(21)]
        assert {None, Conflict} >= {each.result() for each in asked}
        recorded = [events_pb2.Event.FromString(each.event) for each in gateway.recorded()]
        in_journal = event_id in {each.event_id for each in recorded}
        entry = person.get(quarantine_id).entry
        expected = pb.QUARANTINE_STATUS_RELEASED if in_journal else pb.QUARANTINE_STATUS_DISCARDED
        assert expected == entry.status


def test_an_event_that_its_source_mended_meanwhile_releases_the_entry(
    gateway: Gateway, till: Client, person: Client
) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    position = till.publish(mended()).position
    answer = person.replay(quarantine_id, mended())
    assert (DUPLICATE, position) == (answer.result.disposition, answer.result.position)
    assert pb.QUARANTINE_STATUS_RELEASED == answer.entry.status


def test_another_mending_than_the_recorded_one_is_refused_and_the_entry_stays(
    gateway: Gateway, till: Client, person: Client
) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    till.publish(mended(value="4"))
    answer = person.replay(quarantine_id, mended(value="5"))
    assert (REJECTED, "EVENT_ID_CONFLICT") == (
        answer.result.disposition,
        answer.result.problem.code,
    )
    assert pb.QUARANTINE_STATUS_OPEN == answer.entry.status


def test_what_is_bad_still_stays_and_makes_no_second_entry(
    gateway: Gateway, till: Client, person: Client
) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    for event in (None, mended(value="8")):
        answer = person.replay(quarantine_id, event)
        assert (QUARANTINED, quarantine_id) == (
            answer.result.disposition,
            answer.result.quarantine_id,
        )
        assert "VALUE_OUTSIDE_SCALE" == answer.result.problem.code
    [entry] = person.listed()
    assert (pb.QUARANTINE_STATUS_OPEN, 1) == (entry.status, entry.times_received)
    assert [] == gateway.recorded()


def test_a_mended_event_has_the_id_that_it_came_with(till: Client, person: Client) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    for event in (mended("event-2"), events_pb2.Event()):
        with pytest.raises(grpc.RpcError) as refused:
            person.replay(quarantine_id, event)
        assert error_of(refused.value) is Malformed
    assert 1 == len(person.listed())


def test_a_time_that_no_calendar_has_is_left_out_of_what_is_shown(
    till: Client, person: Client
) -> None:
    event = wrong_scale()
    event.occurred_at.seconds = 10**15
    result = till.publish(event)
    assert (QUARANTINED, "BAD_TIME") == (result.disposition, result.problem.code)
    shown = event_json.parse(person.get(result.quarantine_id).json)
    assert not shown.HasField("occurred_at")
    assert COMMENT == shown.personal.comment


def test_a_discarded_entry_can_no_longer_be_replayed_and_keeps_its_reason(
    gateway: Gateway, till: Client, person: Client
) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    entry = person.discard(quarantine_id)
    assert (pb.QUARANTINE_STATUS_DISCARDED, "test data") == (entry.status, entry.reason)
    assert entry == person.discard(quarantine_id)
    assert (b"", "") == (person.get(quarantine_id).content, person.get(quarantine_id).json)
    with pytest.raises(grpc.RpcError) as refused:
        person.replay(quarantine_id, mended())
    assert error_of(refused.value) is Conflict
    assert [] == gateway.recorded()
    # Nobody waits for it to be mended, so its source is not told so.
    assert REJECTED == till.publish(wrong_scale()).disposition


def test_what_is_released_can_not_be_discarded(till: Client, person: Client) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    person.replay(quarantine_id, mended())
    with pytest.raises(grpc.RpcError) as refused:
        person.discard(quarantine_id)
    assert error_of(refused.value) is Conflict


@pytest.mark.parametrize("reason", ["", "x" * 257, "two\nlines", "\0"])
def test_a_reason_is_one_line(till: Client, person: Client, reason: str) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    with pytest.raises(grpc.RpcError) as refused:
        person.discard(quarantine_id, reason)
    assert error_of(refused.value) is Malformed
    assert 1 == len(person.listed())


def test_another_tenants_entry_answers_as_if_it_did_not_exist(
    gateway: Gateway, till: Client
) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    stranger = gateway.client(RECOVER, PUBLISH, tenant="other")
    assert [] == stranger.listed()
    for ask in (
        stranger.get,
        stranger.replay,
        lambda of: stranger.replay(of, mended()),
        stranger.discard,
    ):
        answers = []
        for of in (quarantine_id, "0" * 32):
            with pytest.raises(grpc.RpcError) as refused:
                ask(of)
            assert error_of(refused.value) is NotFound
            answers.append(refused.value.details())
        assert answers[0] == answers[1]


def test_a_publishing_key_alone_sees_nothing(gateway: Gateway, till: Client) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    for client, error in ((till, Forbidden), (Client(gateway.channel, "none"), Unauthenticated)):
        for ask in (client.get, client.replay, client.discard, lambda _: client.listed()):  # noqa: B023
            with pytest.raises(grpc.RpcError) as refused:
                ask(quarantine_id)
            assert error_of(refused.value) is error


def test_personal_data_of_a_bad_event_is_in_no_log_and_no_table(
    gateway: Gateway, till: Client, person: Client
) -> None:
    quarantine_id = till.publish(wrong_scale()).quarantine_id
    person.replay(quarantine_id)
    with psycopg.connect(gateway.stack.urls["gateway"]) as connection:
        rows = connection.execute("SELECT * FROM gateway.quarantine").fetchall()
    logs = [service.log.read_text() for service in gateway.stack.services]
    for text in (str(rows), *logs):
        assert COMMENT not in text
        assert "customer 17" not in text
