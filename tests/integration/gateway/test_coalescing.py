"""Small publishes share calls to the journal, and nothing else: each has its own outcome."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import grpc
import pytest

from services.chassis.errors import Exhausted, Malformed, Unavailable
from services.chassis.postgres import Pool
from services.gateway import coalescing
from services.gateway.coalescing import SMALL_EVENTS_MAX, Coalescing
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.events import event
from tests.support.ingest import Calls, gateway, journal_server
from touchledger.v1 import ingest_pb2, journal_pb2

RECORDED = ingest_pb2.DISPOSITION_RECORDED


class Held(JournalServicer):
    """Answers AppendMany when it is let go; before that it notes what came."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.go = asyncio.Event()
        self.came = asyncio.Semaphore(0)
        self.sizes = list[int]()

    async def AppendMany(
        self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendManyResponse:
        self.sizes.append(len(request.requests))
        self.came.release()
        await self.go.wait()
        return await super().AppendMany(request, context)


@pytest.fixture
async def journal(journal_pool: Pool) -> Journal:
    return await Journal.open(journal_pool, stopping=asyncio.Event())


@pytest.fixture
async def gateway_pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
async def held(journal: Journal) -> Held:
    return Held(journal)


@pytest.fixture
async def waiting_together(held: Held) -> AsyncIterator[Coalescing]:
    async with (
        journal_server(held) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Coalescing(channel)


def request(event_id: str, *, events: int = 1, source: str = "till") -> journal_pb2.AppendRequest:
    entries = [
        journal_pb2.AppendEntry(
            event_id=f"{event_id}-{number}",
            topic="touchledger.interaction.v1",
            event=b"state",
            content_digest=bytes(32),
        )
        for number in range(events)
    ]
    return journal_pb2.AppendRequest(tenant="acme", source=source, entries=entries)


async def append(
    waiting_together: Coalescing, request: journal_pb2.AppendRequest
) -> journal_pb2.AppendResponse:
    return await waiting_together.append(request.SerializeToString(), events=len(request.entries))


async def appended(
    waiting_together: Coalescing, *requests: journal_pb2.AppendRequest
) -> list[asyncio.Task[journal_pb2.AppendResponse]]:
    """The appends, each of which has taken its place."""
    tasks = [asyncio.create_task(append(waiting_together, each)) for each in requests]
    await asyncio.sleep(0)
    return tasks


async def test_64_single_publishes_at_once_cost_few_calls_and_get_each_its_own_result(
    journal: Journal, gateway_pool: Pool
) -> None:
    calls = Calls()
    async with (
        journal_server(JournalServicer(journal), calls) as address,
        gateway(gateway_pool, address) as served,
    ):
        keys = [await served.add_key(f"tenant-{n % 3}", f"source-{n % 5}") for n in range(15)]
        answers = await asyncio.gather(
            *(
                served.stub.Publish(
                    ingest_pb2.PublishRequest(event=event(event_id=f"event-{n}")),
                    metadata=keys[n % 15],
                    timeout=20,
                )
                for n in range(64)
            )
        )
        again = await served.stub.Publish(
            ingest_pb2.PublishRequest(event=event(event_id="event-7")), metadata=keys[7], timeout=20
        )
    assert {RECORDED} == {answer.result.disposition for answer in answers}
    assert list(range(1, 65)) == sorted(answer.result.position.number for answer in answers)
    assert answers[7].result.position == again.result.position
    assert ingest_pb2.DISPOSITION_DUPLICATE == again.result.disposition
    assert 0 == calls.begun["Append"]
    assert calls.begun["AppendMany"] <= 20


async def test_a_large_batch_goes_by_itself(journal: Journal, gateway_pool: Pool) -> None:
    calls = Calls()
    async with (
        journal_server(JournalServicer(journal), calls) as address,
        gateway(gateway_pool, address) as served,
    ):
        key = await served.add_key("acme", "till")
        for size in (SMALL_EVENTS_MAX, SMALL_EVENTS_MAX + 1):
            sent = [event(event_id=f"{size}-{number}") for number in range(size)]
            request = ingest_pb2.PublishBatchRequest(events=sent)
            await served.stub.PublishBatch(request, metadata=key, timeout=20)
    assert (1, 1) == (calls.begun["AppendMany"], calls.begun["Append"])


async def test_what_comes_while_a_call_is_under_way_waits_for_the_next_one(
    held: Held, waiting_together: Coalescing
) -> None:
    first = await appended(waiting_together, request("first"))
    await held.came.acquire()
    later = await appended(waiting_together, *(request(f"{number}") for number in range(20)))
    held.go.set()
    answers = await asyncio.gather(*first, *later)
    assert list(range(1, 22)) == [each.results[0].position for each in answers]
    assert [1, 20] == held.sizes


async def test_so_many_that_a_further_call_is_worth_it_do_not_wait(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "FURTHER_CALL_REQUESTS", 20)
    await appended(waiting_together, request("first"))
    await held.came.acquire()
    await appended(waiting_together, *(request(f"{number}") for number in range(20)))
    await held.came.acquire()
    assert [1, 20] == held.sizes


async def test_while_many_come_a_call_waits_for_more_and_not_for_long(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "HOLD_SECONDS_MAX", 3600.0)
    held.go.set()
    many = [request(f"{number}") for number in range(8)]
    await asyncio.gather(*await appended(waiting_together, *many))
    # 12 are wanted now.
    first = await appended(waiting_together, *(request(f"a{number}") for number in range(11)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert [8] == held.sizes
    await asyncio.gather(*first, *await appended(waiting_together, request("last")))
    assert [8, 12] == held.sizes
    monkeypatch.setattr(coalescing, "HOLD_SECONDS_MAX", 0.001)
    await asyncio.gather(*await appended(waiting_together, request("b"), request("c")))
    assert [8, 12, 2] == held.sizes
    # From then on two are waited for, and no more.
    monkeypatch.setattr(coalescing, "HOLD_SECONDS_MAX", 3600.0)
    for number in range(3):
        pair = request(f"d{number}"), request(f"e{number}")
        await asyncio.gather(*await appended(waiting_together, *pair))
    assert [8, 12, 2, 2, 2, 2] == held.sizes


async def test_who_posts_one_after_the_other_waits_for_nobody(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "HOLD_SECONDS_MAX", 3600.0)
    held.go.set()
    for number in range(3):
        await append(waiting_together, request(f"{number}"))
    assert [1, 1, 1] == held.sizes


async def test_a_call_that_hangs_holds_up_the_others_for_a_moment_only(
    held: Held, waiting_together: Coalescing
) -> None:
    await appended(waiting_together, request("hangs"))
    await held.came.acquire()
    await appended(waiting_together, request("next"))
    # Without the first one being answered.
    await held.came.acquire()
    assert [1, 1] == held.sizes


async def test_calls_at_once_are_bounded(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "FURTHER_CALL_REQUESTS", 1)
    monkeypatch.setattr(coalescing, "CALLS_AT_ONCE_MAX", 2)
    taken = list[asyncio.Task[journal_pb2.AppendResponse]]()
    for number in range(4):
        taken += await appended(waiting_together, request(f"{number}"))
        if number < 2:
            await held.came.acquire()
    held.go.set()
    await asyncio.gather(*taken)
    assert [1, 1, 2] == held.sizes


async def test_a_call_holds_no_more_than_the_journal_takes(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.go.set()
    sent = [request(f"{number}", events=SMALL_EVENTS_MAX) for number in range(30)]
    await asyncio.gather(*await appended(waiting_together, *sent))
    # 20 of 50 events are the 1000 that AppendMany takes.
    assert [20, 10] == sorted(held.sizes, reverse=True)
    held.sizes.clear()
    monkeypatch.setattr(coalescing, "CALL_BYTES_MAX", 3 * request("x").ByteSize())
    await asyncio.gather(*await appended(waiting_together, *(request(f"b{n}") for n in range(4))))
    assert 4 == sum(held.sizes)
    assert max(held.sizes) <= 3


async def test_one_bad_request_harms_none_of_those_that_go_with_it(
    held: Held, waiting_together: Coalescing
) -> None:
    held.go.set()
    bad = request("bad")
    bad.tenant = ""
    good_1, refused, good_2 = await asyncio.gather(
        *await appended(waiting_together, request("a"), bad, request("b")), return_exceptions=True
    )
    assert [3] == held.sizes
    assert isinstance(refused, Malformed)
    assert "tenant" == refused.problem.field
    assert isinstance(good_1, journal_pb2.AppendResponse)
    assert isinstance(good_2, journal_pb2.AppendResponse)
    assert (1, 2) == (good_1.results[0].position, good_2.results[0].position)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Exhausted),
        (grpc.StatusCode.INTERNAL, Unavailable),
        (grpc.StatusCode.UNIMPLEMENTED, Unavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, Unavailable),
    ],
)
async def test_a_call_that_fails_is_told_as_retryable_to_each_of_it_and_the_next_one_works(
    journal: Journal, status: grpc.StatusCode, told: type[Exception]
) -> None:
    class Failing(JournalServicer):
        failing = True

        async def AppendMany(
            self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
        ) -> journal_pb2.AppendManyResponse:
            if self.failing:
                await context.abort(status, "as the test wants it")
            return await super().AppendMany(request, context)

    servicer = Failing(journal)
    async with (
        journal_server(servicer) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        waiting_together = Coalescing(channel)
        outcomes = await asyncio.gather(
            *await appended(waiting_together, request("a"), request("b")), return_exceptions=True
        )
        assert [told, told] == [type(each) for each in outcomes]
        servicer.failing = False
        assert 1 == (await append(waiting_together, request("a"))).results[0].position


async def test_an_answer_with_too_few_outcomes_is_no_answer(journal: Journal) -> None:
    class Short(JournalServicer):
        async def AppendMany(
            self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
        ) -> journal_pb2.AppendManyResponse:
            answer = await super().AppendMany(request, context)
            del answer.outcomes[0]
            return answer

    async with (
        journal_server(Short(journal)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        waiting_together = Coalescing(channel)
        outcomes = await asyncio.gather(
            *await appended(waiting_together, request("a"), request("b")), return_exceptions=True
        )
    assert [Unavailable, Unavailable] == [type(each) for each in outcomes]


async def test_a_caller_that_gives_up_leaves_nothing_behind(
    held: Held, waiting_together: Coalescing, journal: Journal
) -> None:
    begun, other = await appended(waiting_together, request("begun"), request("other"))
    await held.came.acquire()
    waiting, last = await appended(waiting_together, request("waiting"), request("last"))
    for given_up in (begun, waiting):
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
    assert 2 == waiting_together._pending_requests
    held.go.set()
    assert [2, 3] == [each.results[0].position for each in await asyncio.gather(other, last)]
    # What was sent already is stored; what was not is not.
    assert [2, 1] == held.sizes
    assert 3 == await journal.head()
    assert (0, 0) == (waiting_together._pending_requests, waiting_together._pending_bytes)
    assert not waiting_together._waiting


async def test_a_caller_is_not_kept_waiting_for_ever(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "CALL_SECONDS_MAX", 0.2)
    monkeypatch.setattr(coalescing, "WAIT_SECONDS_MAX", 0.1)
    monkeypatch.setattr(coalescing, "CALLS_AT_ONCE_MAX", 1)
    sent = await appended(waiting_together, request("sent"))
    await held.came.acquire()
    waits = await appended(waiting_together, request("waits"))
    outcomes = await asyncio.gather(*sent, *waits, return_exceptions=True)
    assert [Unavailable, Unavailable] == [type(each) for each in outcomes]
    assert (0, 0) == (waiting_together._pending_requests, waiting_together._pending_bytes)
    assert not waiting_together._waiting
    assert [1] == held.sizes


async def test_a_call_that_is_never_answered_ends(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "CALL_SECONDS_MAX", 0.1)
    with pytest.raises(Unavailable):
        await append(waiting_together, request("a"))
    # One turn, in which its task is done with.
    await asyncio.sleep(0)
    assert not waiting_together._calls


@pytest.mark.parametrize(
    ("bound", "value"),
    [("PENDING_REQUESTS_MAX", 2), ("PENDING_BYTES_MAX", 2 * request("0").ByteSize())],
)
async def test_beyond_what_may_wait_callers_are_told_when_to_come_back(
    held: Held,
    waiting_together: Coalescing,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    value: int,
) -> None:
    monkeypatch.setattr(coalescing, bound, value)
    taken = await appended(waiting_together, request("0"), request("1"))
    with pytest.raises(Exhausted) as refused:
        await append(waiting_together, request("2"))
    assert refused.value.problem.retry_after.ToNanoseconds() > 0
    held.go.set()
    await asyncio.gather(*taken)
    assert 3 == (await append(waiting_together, request("2"))).results[0].position
