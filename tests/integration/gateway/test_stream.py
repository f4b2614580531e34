"""PublishStream: batches in flight together, answers in order, and an end that says what to do."""

import asyncio
import itertools
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import grpc
import psycopg
import pytest

from services.chassis.errors import Exhausted
from services.chassis.postgres import Pool
from services.gateway import access, publish_stream, servicer
from services.gateway.publish_stream import CREDITS, PublishStream
from services.gateway.servicer import BATCH_EVENTS_MAX
from services.gateway.upstream import APPEND_DEADLINE_SECONDS
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.events import event
from tests.support.ingest import Gateway, gateway, journal_server, told
from tests.support.stack import Stack
from touchledger.v1 import ingest_pb2, ingest_pb2_grpc, journal_pb2
from touchledger.v1.ingest_pb2 import PublishStreamRequest, PublishStreamResponse

RECORDED = ingest_pb2.DISPOSITION_RECORDED
# More than goes together with others: each batch is an Append of its own.
BATCH_EVENTS = 60
Key = tuple[tuple[str, str], ...]
Call = Any


class Gated(JournalServicer):
    """Lets an Append go on when the gate of its first event is open."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.closed = dict[str, asyncio.Event]()
        self.came = asyncio.Semaphore(0)
        self.ended = asyncio.Semaphore(0)

    def close(self, *batches: int) -> None:
        self.closed |= {f"{batch}-0": asyncio.Event() for batch in batches}

    def open(self, *batches: int) -> None:
        for batch in batches:
            self.closed[f"{batch}-0"].set()

    async def Append(
        self, request: journal_pb2.AppendRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendResponse:
        self.came.release()
        try:
            gate = self.closed.get(request.entries[0].event_id)
            if gate:
                await gate.wait()
            return await super().Append(request, context)
        finally:
            self.ended.release()


@pytest.fixture
async def gateway_pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
async def journal(journal_pool: Pool) -> Gated:
    return Gated(await Journal.open(journal_pool, stopping=asyncio.Event()))


@pytest.fixture
async def served(gateway_pool: Pool, journal: Gated) -> AsyncIterator[Gateway]:
    async with (
        journal_server(journal) as address,
        gateway(gateway_pool, address) as running,
    ):
        yield running


@pytest.fixture
async def key(served: Gateway) -> Key:
    return await served.add_key("acme", "till")


@pytest.fixture
async def call(served: Gateway, key: Key) -> Call:
    return served.stub.PublishStream(metadata=key, timeout=30)


def batch(sequence: int, *, events: int = BATCH_EVENTS) -> PublishStreamRequest:
    made = [event(event_id=f"{sequence}-{number}") for number in range(events)]
    return PublishStreamRequest(sequence=sequence, events=made)


async def send(call: Call, *sequences: int) -> None:
    for sequence in sequences:
        await call.write(batch(sequence))


async def rest(call: Call) -> list[PublishStreamResponse]:
    """What still comes until the call ends."""
    answers = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


async def end(call: Call) -> tuple[grpc.StatusCode, str, float | None]:
    """Its status, the code of its problem, and the seconds after which to repeat."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await rest(call)
    code, problem, repeat_after = told(error.value)
    return code, problem.code, repeat_after


async def test_batches_are_answered_in_order_and_give_their_credits_back(call: Call) -> None:
    assert PublishStreamResponse(credits=CREDITS) == await call.read()
    await send(call, *range(1, CREDITS + 1))
    answers = [await call.read() for _ in range(CREDITS)]
    await send(call, CREDITS + 1)
    await call.done_writing()
    answers += await rest(call)
    assert list(range(1, CREDITS + 2)) == [each.sequence for each in answers]
    assert {1} == {each.credits for each in answers}
    assert {RECORDED} == {result.disposition for each in answers for result in each.results}
    assert grpc.StatusCode.OK == await call.code()


async def test_as_many_batches_as_there_are_credits_are_stored_at_the_same_time(
    call: Call, journal: Gated
) -> None:
    sequences = range(1, CREDITS + 1)
    journal.close(*sequences)
    await send(call, *sequences)
    for _ in sequences:
        await journal.came.acquire()
    journal.open(*sequences)
    await call.done_writing()
    assert [0, *sequences] == [each.sequence for each in await rest(call)]


async def test_a_batch_that_is_stored_sooner_is_answered_in_its_turn(
    call: Call, journal: Gated
) -> None:
    journal.close(1)
    await send(call, 1, 2)
    await call.done_writing()
    # The second one has come and ended.
    await journal.ended.acquire()
    journal.open(1)
    first, second = (await rest(call))[1:]
    assert (1, 2) == (first.sequence, second.sequence)
    assert second.results[0].position.number < first.results[0].position.number


@pytest.mark.parametrize("sequences", [(2,), (0,), (1, 1), (1, 3)])
async def test_a_sequence_that_is_not_the_next_one_ends_the_call_once_the_others_are_answered(
    call: Call, sequences: tuple[int, ...]
) -> None:
    await call.read()
    await send(call, *sequences)
    good = [1] if sequences[0] == 1 else []
    assert good == [(await call.read()).sequence for _ in good]
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", None) == await end(call)


async def test_a_batch_without_a_credit_ends_the_call_once_the_others_are_answered(
    call: Call, journal: Gated
) -> None:
    sequences = range(1, CREDITS + 1)
    journal.close(*sequences)
    await call.read()
    await send(call, *sequences, CREDITS + 1)
    for _ in sequences:
        await journal.came.acquire()
    journal.open(*sequences)
    assert list(sequences) == [(await call.read()).sequence for _ in sequences]
    assert (grpc.StatusCode.INVALID_ARGUMENT, "NO_CREDIT", None) == await end(call)


async def test_a_batch_that_is_refused_as_a_whole_is_answered_with_its_problem_and_the_call_goes_on(
    gateway_pool: Pool, journal: Gated
) -> None:
    async with (
        journal_server(journal) as address,
        gateway(gateway_pool, address, key_events_per_second=1, key_burst_events=130) as served,
    ):
        key = await served.add_key("acme", "till")
        call = served.stub.PublishStream(metadata=key, timeout=30)
        await call.read()
        bad_time = batch(3)
        bad_time.attempt.sent_at.seconds = 10**15
        for request in (
            batch(1, events=BATCH_EVENTS_MAX + 1),
            batch(2, events=0),
            bad_time,
            batch(4, events=100),
            batch(5, events=100),
            batch(6, events=1),
        ):
            await call.write(request)
        await call.done_writing()
        answers = await rest(call)
    assert list(range(1, 7)) == [each.sequence for each in answers]
    assert [
        ("BATCH_SIZE", False),
        ("BATCH_SIZE", False),
        ("INVALID_ARGUMENT", False),
        ("", False),
        ("RATE_LIMITED", True),
        ("", False),
    ] == [(each.problem.code, each.problem.retryable) for each in answers]
    assert [0, 0, 0, 100, 0, 1] == [len(each.results) for each in answers]
    assert {1} == {each.credits for each in answers}
    assert 1 < answers[4].problem.retry_after.ToNanoseconds() / 1e9 <= 100
    assert grpc.StatusCode.OK == await call.code()


async def test_an_outage_of_the_journal_is_told_for_each_batch_and_the_call_goes_on(
    served: Gateway, key: Key, call: Call, journal: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise ConnectionRefusedError

    await call.read()
    monkeypatch.setattr(Journal, "append", away)
    await send(call, 1)
    refused = await call.read()
    monkeypatch.undo()
    await send(call, 2)
    recorded = await call.read()
    assert ("UNAVAILABLE", True) == (refused.problem.code, refused.problem.retryable)
    assert BATCH_EVENTS == len(recorded.results)


async def test_at_a_stop_what_was_read_is_answered_and_the_end_says_when_to_repeat(
    served: Gateway, key: Key, call: Call, journal: Gated
) -> None:
    journal.close(1)
    await call.read()
    await send(call, 1, 2)
    for _ in range(2):
        await journal.came.acquire()
    served.errors.refusing.set()
    # Nothing more is taken.
    await send(call, 3)
    journal.open(1)
    assert [1, 2] == [(await call.read()).sequence for _ in range(2)]
    code, problem, repeat_after = await end(call)
    assert (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE") == (code, problem)
    assert repeat_after
    # And who comes now is sent elsewhere.
    code, _, repeat_after = await end(served.stub.PublishStream(metadata=key, timeout=30))
    assert grpc.StatusCode.UNAVAILABLE == code
    assert repeat_after


def test_a_gateway_that_is_told_to_stop_ends_its_streams_and_loses_nothing_that_it_answered(
    stack: Stack,
) -> None:
    process = stack.gateway.process
    assert process is not None
    answered = 0
    may_send = threading.Semaphore()

    def batches() -> Iterator[PublishStreamRequest]:
        for sequence in itertools.count(1):
            may_send.acquire()
            yield batch(sequence)

    def publish_until_the_end(call: Any) -> None:
        nonlocal answered
        for answer in call:
            answered = answer.sequence
            if answered == 3:
                process.send_signal(signal.SIGTERM)
            may_send.release()

    # Not with grpc.aio: a write that meets the end of the call makes INTERNAL of what the call ended with.
    with grpc.insecure_channel(stack.gateway.address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        call = stub.PublishStream(batches(), metadata=stack.metadata, timeout=60)
        assert CREDITS == next(call).credits
        with pytest.raises(grpc.RpcError) as error:
            publish_until_the_end(call)
        # The thread that sends ends with the call.
        may_send.release()
    code, _, repeat_after = told(error.value)
    assert (grpc.StatusCode.UNAVAILABLE, True) == (code, bool(repeat_after))
    assert 0 == process.wait(30)
    with psycopg.connect(stack.urls["touchpoint"]) as connection:
        row = connection.execute("SELECT position FROM journal.head").fetchone()
    assert row is not None
    assert answered >= 3
    # What was not answered is the client's to repeat: here one batch at most.
    assert row[0] - answered * BATCH_EVENTS in (0, BATCH_EVENTS)


async def test_bytes_that_are_no_request_are_malformed(served: Gateway, key: Key) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        raw = channel.stream_stream(
            "/touchledger.v1.IngestService/PublishStream",
            response_deserializer=PublishStreamResponse.FromString,
        )
        call = raw(metadata=key, timeout=30)
        await call.read()
        await call.write(batch(1).SerializeToString())
        await call.read()
        await call.write(b"\xff\xff\xff")
        assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", None) == await end(call)


async def test_an_unexpected_error_is_internal_without_its_text(
    served: Gateway, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise RuntimeError("about Mrs Canary")

    monkeypatch.setattr(served.upstream, "publish", fails)
    await call.read()
    await send(call, 1)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await rest(call)
    assert grpc.StatusCode.INTERNAL == error.value.code()
    assert "Canary" not in str(error.value)


async def test_a_key_that_is_revoked_ends_the_call(
    served: Gateway, call: Call, gateway_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await call.read()
    await send(call, 1)
    await call.read()
    await gateway_pool.execute("UPDATE gateway.api_key SET revoked_at = now()")
    monkeypatch.setattr(access, "TRUSTED_SECONDS", 0.0)
    await send(call, 2)
    assert (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", None) == await end(call)


async def test_without_a_key_no_call_begins(served: Gateway) -> None:
    call = served.stub.PublishStream(timeout=30)
    assert (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", None) == await end(call)


async def test_a_client_that_goes_away_takes_what_is_in_flight_with_it(
    served: Gateway, key: Key, call: Call, journal: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "STREAMS_OF_KEY_MAX", 1)
    journal.close(1)
    await call.read()
    await send(call, 1)
    await journal.came.acquire()
    call.cancel()
    # The journal sees that nobody waits for its answer any more, long before the call's own deadline.
    async with asyncio.timeout(APPEND_DEADLINE_SECONDS / 2):
        await journal.ended.acquire()
    # Its place is free.
    again = served.stub.PublishStream(metadata=key, timeout=30)
    assert CREDITS == (await again.read()).credits
    again.cancel()


async def test_streams_of_one_key_and_of_all_are_bounded(
    served: Gateway, key: Key, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "STREAMS_OF_KEY_MAX", 1)
    monkeypatch.setattr(servicer, "STREAMS_MAX", 2)
    await call.read()
    ends = [await end(served.stub.PublishStream(metadata=key, timeout=30))]
    second = served.stub.PublishStream(metadata=await served.add_key("acme", "web"), timeout=30)
    await second.read()
    third = await served.add_key("acme", "app")
    ends.append(await end(served.stub.PublishStream(metadata=third, timeout=30)))
    assert [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2 == [code for code, _, _ in ends]
    assert all(repeat_after for _, _, repeat_after in ends)
    await call.done_writing()
    assert [] == await rest(call)
    third_call = served.stub.PublishStream(metadata=third, timeout=30)
    assert CREDITS == (await third_call.read()).credits


async def test_the_streams_of_one_tenant_leave_room_for_others(
    served: Gateway, key: Key, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "STREAMS_OF_TENANT_MAX", 2)
    await call.read()
    second = served.stub.PublishStream(metadata=await served.add_key("acme", "web"), timeout=30)
    await second.read()
    third = await served.add_key("acme", "app")
    code, _, repeat_after = await end(served.stub.PublishStream(metadata=third, timeout=30))
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, True) == (code, bool(repeat_after))
    other = served.stub.PublishStream(metadata=await served.add_key("other", "till"), timeout=30)
    assert CREDITS == (await other.read()).credits
    other.cancel()
    await second.done_writing()
    assert [] == await rest(second)
    third_call = served.stub.PublishStream(metadata=third, timeout=30)
    assert CREDITS == (await third_call.read()).credits


async def test_streams_count_among_the_calls_that_a_server_takes_at_once(
    served: Gateway, key: Key, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.errors, "_calls_max", 1)
    await call.read()
    code, _, repeat_after = await end(served.stub.PublishStream(metadata=key, timeout=30))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == code
    assert repeat_after


class Context:
    """A client that takes answers when it is let."""

    def __init__(self) -> None:
        self.reads = asyncio.Semaphore(0)
        self.answers = list[PublishStreamResponse]()

    async def write(self, answer: PublishStreamResponse) -> None:
        await self.reads.acquire()
        self.answers.append(answer)


async def requests_of(taken: list[int], *sizes: int) -> AsyncIterator[PublishStreamRequest]:
    for sequence, size in enumerate(sizes, start=1):
        taken.append(sequence)
        yield batch(sequence, events=size)


async def recorded(request: PublishStreamRequest) -> PublishStreamResponse:
    return PublishStreamResponse(sequence=request.sequence, credits=1)


async def test_a_client_that_takes_no_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_stream, "SLOW_READER_SECONDS", 0.05)
    context: Any = Context()
    context.reads.release()
    with pytest.raises(Exhausted) as refused:
        await PublishStream(context, recorded).run(requests_of([], 1))
    assert "SLOW_READER" == refused.value.problem.code


async def test_no_more_is_read_than_may_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_stream, "BYTES_IN_FLIGHT_MAX", batch(1, events=2).ByteSize())
    context: Any = Context()
    for _ in range(4):
        context.reads.release()
    go, came, taken = asyncio.Event(), asyncio.Semaphore(0), list[int]()

    async def publish(request: PublishStreamRequest) -> PublishStreamResponse:
        came.release()
        await go.wait()
        return await recorded(request)

    running = asyncio.create_task(PublishStream(context, publish).run(requests_of(taken, 2, 2, 2)))
    for _ in range(2):
        await came.acquire()
    # Turns in which a third one would be read.
    for _ in range(10):
        await asyncio.sleep(0)
    assert [1, 2] == taken
    go.set()
    await running
    assert [0, 1, 2, 3] == [each.sequence for each in context.answers]
