"""With a buffer, good events are answered QUEUED once the stream has them, and recorders record them."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import asyncpg
import grpc
import pytest

from services.chassis.buffer import subject_of
from services.chassis.client import open_channel
from services.chassis.postgres import Pool
from services.gateway import buffer as buffer_module
from services.gateway.buffer import Buffer
from services.gateway.quarantine import Quarantine
from services.gateway.refused import RefusedEvents
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.buffered import batches_in, put, queueing, recording, stored, until
from tests.support.events import csat, event, feedback
from tests.support.ingest import KEYRING, Gateway, gateway, journal_server, told
from tests.support.nats_server import NatsServer, nats_server
from tests.torture.reply_dropper import ReplyDropper
from touchledger.v1 import ingest_pb2
from touchledger.v1.journal_pb2 import AppendEntry, AppendManyRequest, AppendRequest

QUEUED, REJECTED = ingest_pb2.DISPOSITION_QUEUED, ingest_pb2.DISPOSITION_REJECTED
RECORDED, UNKNOWN = ingest_pb2.DISPOSITION_RECORDED, ingest_pb2.DISPOSITION_UNKNOWN
QUARANTINED = ingest_pb2.DISPOSITION_QUARANTINED
Key = tuple[tuple[str, str], ...]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def gateway_pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
async def journal_address(journal_pool: Pool) -> AsyncIterator[str]:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    async with journal_server(JournalServicer(journal)) as address:
        yield address


@pytest.fixture
async def buffer(nats: NatsServer) -> AsyncIterator[Buffer]:
    async with queueing(nats.url) as running:
        yield running


@pytest.fixture
async def served(
    gateway_pool: Pool, journal_address: str, buffer: Buffer
) -> AsyncIterator[Gateway]:
    async with gateway(gateway_pool, journal_address, buffer=buffer) as running:
        yield running


@pytest.fixture
async def key(served: Gateway) -> Key:
    return await served.add_key("acme", "till")


def batch(*event_ids: str, **fields: object) -> ingest_pb2.PublishBatchRequest:
    events = [event(event_id=each, **fields) for each in event_ids]
    return ingest_pb2.PublishBatchRequest(events=events)


async def make_stream(pool: Pool, nats: NatsServer, buffer: Buffer, **settings: object) -> None:
    """As recorders leave it that have gone."""
    async with recording(pool, nats, **settings):
        await until(lambda: not buffer.ready())


async def ready(buffer: Buffer) -> None:
    await until(lambda: not buffer.ready())


async def publish(served: Gateway, key: Key, *event_ids: str, **fields: object) -> list[int]:
    answer = await served.stub.PublishBatch(batch(*event_ids, **fields), metadata=key)
    return [each.disposition for each in answer.results]


async def outcomes(served: Gateway, key: Key, *event_ids: str) -> Sequence[ingest_pb2.EventOutcome]:
    asked = ingest_pb2.GetOutcomesRequest(event_ids=event_ids)
    answer: ingest_pb2.GetOutcomesResponse = await served.stub.GetOutcomes(asked, metadata=key)
    return answer.outcomes


async def test_what_is_queued_is_recorded(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    large = [f"large-{number:03}" for number in range(200)]
    async with recording(journal_pool, nats):
        await ready(buffer)
        one = await served.stub.Publish(
            ingest_pb2.PublishRequest(event=event(event_id="one")), metadata=key
        )
        many = await publish(served, key, *large, customer="c")
        await until(lambda: stored(journal_pool), 201)
    assert one.result == ingest_pb2.PublishResult(disposition=QUEUED)
    assert many == [QUEUED] * 200
    assert [each for each in await stored(journal_pool) if each != "one"] == large


async def test_nothing_is_queued_without_a_stream(
    served: Gateway, key: Key, buffer: Buffer
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await publish(served, key, "one")
    status, problem, repeat_after = told(refused.value)
    assert status is grpc.StatusCode.UNAVAILABLE
    assert problem.retryable
    assert repeat_after
    assert buffer.ready()


async def test_nothing_is_queued_in_a_stream_that_fewer_servers_keep(
    gateway_pool: Pool, journal_address: str, journal_pool: Pool, nats: NatsServer
) -> None:
    async with (
        recording(journal_pool, nats),
        queueing(nats.url, replicas=3) as buffer,
        gateway(gateway_pool, journal_address, buffer=buffer) as served,
    ):
        await until(lambda: "num_replicas: got 1, want 3" in buffer.ready())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await publish(served, await served.add_key("acme", "till"), "one")
    status, problem, _ = told(refused.value)
    assert status is grpc.StatusCode.UNAVAILABLE
    assert "num_replicas: got 1, want 3" in problem.got


async def test_bad_events_of_a_batch_are_told_at_once_and_the_others_queued(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    events = [event(event_id="good"), feedback(csat("9"), event_id="mendable"), event(event_id="")]
    async with recording(journal_pool, nats):
        await ready(buffer)
        answer = await served.stub.PublishBatch(
            ingest_pb2.PublishBatchRequest(events=events), metadata=key
        )
        await until(lambda: stored(journal_pool), 1)
    assert [each.disposition for each in answer.results] == [QUEUED, QUARANTINED, REJECTED]


async def test_events_of_one_customer_stay_in_order(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    await make_stream(journal_pool, nats, buffer, buffer_partitions=4)
    for turn in range(5):
        events = [
            event(event_id=f"{customer}-{turn}-{number}", customer=f"{customer}")
            for number in range(3)
            for customer in range(20)
        ]
        await served.stub.PublishBatch(ingest_pb2.PublishBatchRequest(events=events), metadata=key)
    assert len({each.subject for each in await batches_in(nats)}) == 4
    async with recording(journal_pool, nats, buffer_partitions=4):
        await until(lambda: stored(journal_pool), 300)
    recorded = await stored(journal_pool)
    for customer in range(20):
        of_customer = [each for each in recorded if each.startswith(f"{customer}-")]
        assert of_customer == sorted(of_customer)


async def test_an_ack_that_is_lost_is_a_retry_and_the_repeat_is_recorded_once(
    gateway_pool: Pool,
    journal_address: str,
    journal_pool: Pool,
    nats: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffer_module, "ACK_SECONDS_MAX", 0.2)
    monkeypatch.setattr(buffer_module, "QUEUE_SECONDS_MAX", 0.3)
    dropper = ReplyDropper(f"127.0.0.1:{nats.port}")
    await dropper.start()
    async with (
        queueing(f"nats://{dropper.address}") as buffer,
        gateway(gateway_pool, journal_address, buffer=buffer) as served,
    ):
        key = await served.add_key("acme", "till")
        await make_stream(journal_pool, nats, buffer)
        dropper.drop_replies()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await publish(served, key, "one")
        dropper.cut()
        await ready(buffer)

        async def queued() -> bool:
            try:
                return await publish(served, key, "one") == [QUEUED]
            except grpc.aio.AioRpcError:
                return False

        await until(queued)
        # The first one came through, though nobody could know.
        assert len(await batches_in(nats)) >= 2
        async with recording(journal_pool, nats):
            await until(lambda: batches_in(nats), 0)
    dropper.stop()
    status, problem, repeat_after = told(refused.value)
    assert (status, problem.retryable) == (grpc.StatusCode.UNAVAILABLE, True)
    assert repeat_after
    assert await stored(journal_pool) == ["one"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"buffer_tenant_messages_max": 1, "buffer_partitions": 1}, "TENANT_BUFFER_FULL"),
        ({"buffer_bytes_max": 1024 * 1024, "buffer_partitions": 1}, "BUFFER_FULL"),
    ],
)
async def test_a_full_buffer_tells_when_to_come_back(
    served: Gateway,
    key: Key,
    nats: NatsServer,
    buffer: Buffer,
    journal_pool: Pool,
    settings: dict[str, object],
    code: str,
) -> None:
    await make_stream(journal_pool, nats, buffer, **settings)
    refused = None
    for turn in range(20):
        many = [f"{turn}-{number}" for number in range(400)]
        try:
            assert await publish(served, key, *many, staff="s" * 100) == [QUEUED] * 400
        except grpc.aio.AioRpcError as error:
            refused = error
            break
    assert refused
    status, problem, repeat_after = told(refused)
    assert (status, problem.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, code)
    assert (problem.field, bool(problem.got), bool(problem.want)) == ("events", True, True)
    assert repeat_after == buffer_module.RETRY_FULL_SECONDS


async def test_a_tenant_with_a_full_share_leaves_room_for_the_others(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    await make_stream(journal_pool, nats, buffer, buffer_tenant_messages_max=1, buffer_partitions=1)
    assert await publish(served, key, "one") == [QUEUED]
    with pytest.raises(grpc.aio.AioRpcError):
        await publish(served, key, "two")
    assert await publish(served, await served.add_key("other", "till"), "one") == [QUEUED]


async def test_outcomes_can_be_asked_for_by_id(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    async with recording(journal_pool, nats):
        await ready(buffer)
        await publish(served, key, "one")
        await until(lambda: stored(journal_pool), 1)
        await publish(served, key, "one", staff="somebody else")

        async def conflict_known() -> bool:
            return (await outcomes(served, key, "one"))[0].HasField("conflict")

        await until(conflict_known)
        await until(lambda: batches_in(nats), 0)
        found = await outcomes(served, key, "one", "never")
    [one, never] = found
    assert (one.result.disposition, one.result.position.number) == (RECORDED, 1)
    assert one.conflict.code == "EVENT_ID_CONFLICT"
    assert never.result == ingest_pb2.PublishResult(disposition=UNKNOWN)


async def test_an_event_that_is_under_way_is_queued_until_it_is_recorded(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    await make_stream(journal_pool, nats, buffer)
    await publish(served, key, "one")
    asked = ingest_pb2.GetOutcomesRequest(event_ids=["one"])
    answer = await served.stub.GetOutcomes(asked, metadata=key)
    assert answer.outcomes[0].result.disposition == QUEUED
    assert answer.HasField("settled_to")
    async with recording(journal_pool, nats):
        await until(lambda: batches_in(nats), 0)
    assert (await outcomes(served, key, "one"))[0].result.disposition == RECORDED


async def test_another_tenants_or_sources_events_are_unknown(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    async with recording(journal_pool, nats):
        await ready(buffer)
        await publish(served, key, "one")
        await until(lambda: batches_in(nats), 0)
        for tenant, source in (("other", "till"), ("acme", "web")):
            theirs = await served.add_key(tenant, source)
            assert (await outcomes(served, theirs, "one"))[0].result.disposition == UNKNOWN


async def test_a_stream_that_wants_outcomes_is_told_them(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    async with recording(journal_pool, nats):
        await ready(buffer)
        await publish(served, key, "used")
        await until(lambda: stored(journal_pool), 1)
        call = served.stub.PublishStream(metadata=key, timeout=30)
        events = [event(event_id="new"), event(event_id="used", staff="somebody else")]
        await call.write(
            ingest_pb2.PublishStreamRequest(sequence=1, events=events, want_outcomes=True)
        )
        await call.done_writing()
        answers = [answer async for answer in call]
    assert [each.disposition for each in answers[1].results] == [QUEUED, QUEUED]
    later = {each.event_id: each.result for answer in answers[2:] for each in answer.outcomes}
    assert later["new"].disposition == RECORDED
    assert later["new"].position.number == 2
    assert later["used"].disposition == REJECTED
    assert later["used"].problem.code == "EVENT_ID_CONFLICT"


async def test_a_stream_that_wants_none_is_told_none(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    async with recording(journal_pool, nats):
        await ready(buffer)
        call = served.stub.PublishStream(metadata=key, timeout=30)
        await call.write(ingest_pb2.PublishStreamRequest(sequence=1, events=[event()]))
        await call.done_writing()
        answers = [answer async for answer in call]
    assert [len(answer.outcomes) for answer in answers] == [0, 0]


async def test_what_the_journal_refuses_is_quarantined(
    served: Gateway,
    key: Key,
    nats: NatsServer,
    buffer: Buffer,
    journal_pool: Pool,
    gateway_pool: Pool,
    journal_address: str,
) -> None:
    request = AppendRequest(
        tenant="acme",
        source="till",
        entries=[
            AppendEntry(event_id=name, topic="t", event=b"", content_digest=digest)
            for name, digest in (("a", bytes(32)), ("bad", bytes(5)), ("b", bytes(32)))
        ],
    )
    poisoned = AppendManyRequest(requests=[request]).SerializeToString()
    quarantine = Quarantine(gateway_pool, KEYRING)
    async with recording(journal_pool, nats), open_channel(journal_address) as journal:
        await ready(buffer)
        await put(nats, subject_of(0, "acme"), poisoned)
        refused = RefusedEvents(journal, quarantine)
        await until(refused.turn)
        assert not await refused.turn()
        [bad] = await outcomes(served, key, "bad")
        good = await outcomes(served, key, "a", "b")
    assert [each.result.disposition for each in good] == [RECORDED, RECORDED]
    assert bad.result.disposition == QUARANTINED
    assert bad.result.problem.field == "entries[0].content_digest"
    kept = await quarantine.get("acme", bad.result.quarantine_id)
    assert (kept.entry.source, kept.entry.event_id, kept.entry.format) == ("till", "bad", "entry")
    assert AppendRequest.FromString(kept.content).entries[0].event_id == "bad"


async def test_what_was_refused_once_can_be_replayed_as_it_is(
    served: Gateway, journal_pool: Pool
) -> None:
    entry = AppendEntry(event_id="mended", topic="t", event=b"", content_digest=bytes(32))
    request = AppendRequest(tenant="acme", source="till", entries=[entry])
    result = await served.upstream.append_as_it_is(request.SerializeToString())
    assert (result.disposition, result.position.number) == (RECORDED, 1)


async def test_a_buffer_that_hangs_keeps_nobody_waiting(
    served: Gateway,
    key: Key,
    nats: NatsServer,
    buffer: Buffer,
    journal_pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffer_module, "RESULT_SECONDS_MAX", 0.3)
    await make_stream(journal_pool, nats, buffer)
    nats.signal(signal.SIGSTOP)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await publish(served, key, "one")
    nats.signal(signal.SIGCONT)
    status, problem, repeat_after = told(refused.value)
    assert (status, problem.retryable) == (grpc.StatusCode.UNAVAILABLE, True)
    assert repeat_after


async def test_gateways_go_on_when_the_servers_come_back_empty(
    served: Gateway, key: Key, nats: NatsServer, buffer: Buffer, journal_pool: Pool
) -> None:
    async with recording(journal_pool, nats):
        await ready(buffer)
        await publish(served, key, "before")
        await until(lambda: stored(journal_pool), 1)
        nats.kill()
        nats.wipe()
        nats.start()
        refusals = list[bool]()

        async def queued() -> bool:
            try:
                return await publish(served, key, "after") == [QUEUED]
            except grpc.aio.AioRpcError as error:
                refusals.append(told(error)[1].retryable)
                return False

        await until(queued)
        await until(lambda: stored(journal_pool), 2)
        assert all(refusals)
    assert await stored(journal_pool) == ["before", "after"]
