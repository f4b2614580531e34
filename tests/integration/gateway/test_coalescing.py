"""Small publishes share calls to the journal, and nothing else: each has its own outcome."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import asyncpg
import grpc
import pytest

from services.chassis.errors import Exhausted, Malformed, Unavailable
from services.chassis.postgres import Pool
from services.gateway import coalescing
from services.gateway.checks import encodings_of
from services.gateway.coalescing import SMALL_EVENTS_MAX, Coalescing, Queued, Stored
from services.gateway.encoding import Shared
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.events import event
from tests.support.ingest import KEYRING, Calls, gateway, journal_server
from touchledger.v1 import events_pb2 as pb
from touchledger.v1 import ingest_pb2, journal_pb2

RECORDED = ingest_pb2.DISPOSITION_RECORDED


class Held(JournalServicer):
    """Answers AppendMany when it is let go; before that it notes what came."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.go = asyncio.Event()
        self.came = asyncio.Semaphore(0)
        # Of each call, how many events each of its requests has.
        self.sizes = list[list[int]]()

    async def AppendMany(
        self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendManyResponse:
        self.sizes.append([len(each.entries) for each in request.requests])
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
async def waiting_together(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Coalescing]:
    # However slow the machine is.
    monkeypatch.setattr(coalescing, "SLOW_CALL_SECONDS", 60.0)
    async with (
        journal_server(held) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield Coalescing(channel, KEYRING)


class Publish(NamedTuple):
    shared: Shared
    encodings: list[bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.encodings))


def publish(
    name: str, *, events: int = 1, tenant: str = "acme", source: str = "till", **fields: object
) -> Publish:
    encodings = encodings_of([event(event_id=f"{name}-{n}", **fields) for n in range(events)])
    assert encodings is not None
    return Publish(Shared(tenant, source, 1, "", None, None, ""), encodings)


async def append(waiting_together: Coalescing, publish: Publish) -> Stored | None:
    stored = await waiting_together.append(*publish)
    assert not isinstance(stored, Queued)
    return stored


async def appended(
    waiting_together: Coalescing, *publishes: Publish
) -> list[asyncio.Task[Stored | None]]:
    """The appends, each of which has taken its place."""
    tasks = [asyncio.create_task(append(waiting_together, each)) for each in publishes]
    await asyncio.sleep(0)
    return tasks


def positions(stored: Stored | None) -> list[int]:
    assert stored is not None
    return [each.position for each in stored.results]


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
    first = await appended(waiting_together, publish("first"))
    await held.came.acquire()
    later = await appended(waiting_together, *(publish(f"{number}") for number in range(20)))
    held.go.set()
    answers = await asyncio.gather(*first, *later)
    assert list(range(1, 22)) == [number for each in answers for number in positions(each)]
    assert [[1], [20]] == held.sizes


async def test_so_many_that_a_further_call_is_worth_it_do_not_wait(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "FURTHER_CALL_PUBLISHES", 20)
    await appended(waiting_together, publish("first"))
    await held.came.acquire()
    await appended(waiting_together, *(publish(f"{number}") for number in range(20)))
    await held.came.acquire()
    assert [[1], [20]] == held.sizes


async def test_a_call_that_hangs_holds_up_the_others_for_a_moment_only(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "SLOW_CALL_SECONDS", 0.05)
    await appended(waiting_together, publish("hangs"))
    await held.came.acquire()
    await appended(waiting_together, publish("next"))
    # Without the first one being answered.
    await held.came.acquire()
    assert [[1], [1]] == held.sizes


async def test_calls_at_once_are_bounded(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "FURTHER_CALL_PUBLISHES", 1)
    monkeypatch.setattr(coalescing, "CALLS_AT_ONCE_MAX", 2)
    taken = list[asyncio.Task[Stored | None]]()
    for number in range(4):
        taken += await appended(waiting_together, publish(f"{number}"))
        if number < 2:
            await held.came.acquire()
    held.go.set()
    await asyncio.gather(*taken)
    assert [[1], [1], [2]] == held.sizes


async def test_a_call_holds_no_more_than_one_turn_of_the_loop_handles(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.go.set()
    sent = [publish(f"{number}", events=SMALL_EVENTS_MAX) for number in range(5)]
    await asyncio.gather(*await appended(waiting_together, *sent))
    assert [[2 * SMALL_EVENTS_MAX], [2 * SMALL_EVENTS_MAX], [SMALL_EVENTS_MAX]] == held.sizes
    held.sizes.clear()
    monkeypatch.setattr(coalescing, "CALL_BYTES_MAX", 3 * publish("x").size)
    await asyncio.gather(*await appended(waiting_together, *(publish(f"b{n}") for n in range(4))))
    assert [[3], [1]] == held.sizes


async def test_who_shares_nothing_goes_in_one_call_all_the_same(
    held: Held, waiting_together: Coalescing, journal: Journal
) -> None:
    held.go.set()
    sent = [
        publish("same id", tenant="acme", source="till"),
        publish("same id", tenant="acme", source="shop", customer="17"),
        publish("same id", tenant="other", source="till", customer="17"),
        publish("another", tenant="acme", source="till"),
    ]
    answers = await asyncio.gather(*await appended(waiting_together, *sent))
    assert [[2, 1, 1]] == held.sizes
    assert [[1], [3], [4], [2]] == [positions(each) for each in answers]
    page = await journal.page(0)
    assert [("acme", "till"), ("acme", "till"), ("acme", "shop"), ("other", "till")] == [
        (each["tenant"], each["source"]) for each in page.events
    ]
    customers = [pb.Event.FromString(each["state"]).customer for each in page.events]
    expected = [KEYRING.pseudonym(tenant, "17") for tenant in ("acme", "other")]
    assert ["", "", *expected] == customers


async def test_what_is_not_good_at_first_sight_is_left_out_and_told(
    held: Held, waiting_together: Coalescing
) -> None:
    held.go.set()
    bad = {2, 3, 9}
    sent = [publish(f"{n}", staff="two\nlines" if n in bad else "") for n in range(10)]
    answers = await asyncio.gather(*await appended(waiting_together, *sent))
    assert bad == {number for number, answer in enumerate(answers) if answer is None}
    assert [[7]] == held.sizes
    assert [[n] for n in range(1, 8)] == [positions(answer) for answer in answers if answer]


async def test_where_none_is_good_the_journal_is_not_asked(
    held: Held, waiting_together: Coalescing
) -> None:
    sent = [publish(f"{n}", staff="two\nlines") for n in range(3)]
    assert [None] * 3 == await asyncio.gather(*await appended(waiting_together, *sent))
    assert not held.sizes


async def test_what_the_journal_finds_wrong_with_one_is_told_to_no_other(
    journal: Journal,
) -> None:
    class Narrow(JournalServicer):
        """As one of an earlier release might be."""

        async def AppendMany(
            self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
        ) -> journal_pb2.AppendManyResponse:
            for each in request.requests:
                for entry in each.entries:
                    if entry.event_id == "bad-0":
                        entry.topic = ""
            return await super().AppendMany(request, context)

    async with (
        journal_server(Narrow(journal)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        sent = [publish("a"), publish("bad"), publish("b"), publish("c", source="shop")]
        first, refused, second, other = await asyncio.gather(
            *await appended(Coalescing(channel, KEYRING), *sent), return_exceptions=True
        )
    assert isinstance(refused, Malformed)
    assert "entries[0].topic" == refused.problem.field
    stored = [each for each in (other, first, second) if not isinstance(each, BaseException)]
    assert [[1], [2], [3]] == [positions(each) for each in stored]


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
        waiting_together = Coalescing(channel, KEYRING)
        outcomes = await asyncio.gather(
            *await appended(waiting_together, publish("a"), publish("b")), return_exceptions=True
        )
        assert [told, told] == [type(each) for each in outcomes]
        servicer.failing = False
        assert [1] == positions(await append(waiting_together, publish("a")))


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
        waiting_together = Coalescing(channel, KEYRING)
        outcomes = await asyncio.gather(
            *await appended(waiting_together, publish("a"), publish("b")), return_exceptions=True
        )
    assert [Unavailable, Unavailable] == [type(each) for each in outcomes]


async def test_a_caller_that_gives_up_leaves_nothing_behind(
    held: Held, waiting_together: Coalescing, journal: Journal
) -> None:
    begun, other = await appended(waiting_together, publish("begun"), publish("other"))
    await held.came.acquire()
    waiting, last = await appended(waiting_together, publish("waiting"), publish("last"))
    for given_up in (begun, waiting):
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
    assert 2 == waiting_together._pending_publishes
    held.go.set()
    assert [2, 3] == [
        number for each in await asyncio.gather(other, last) for number in positions(each)
    ]
    # What was sent already is stored; what was not is not.
    assert [[2], [1]] == held.sizes
    assert 3 == await journal.head()
    assert (0, 0) == (waiting_together._pending_publishes, waiting_together._pending_bytes)
    assert not waiting_together._waiting


async def test_a_caller_is_not_kept_waiting_for_ever(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "CALL_SECONDS_MAX", 0.2)
    monkeypatch.setattr(coalescing, "WAIT_SECONDS_MAX", 0.1)
    monkeypatch.setattr(coalescing, "CALLS_AT_ONCE_MAX", 1)
    sent = await appended(waiting_together, publish("sent"))
    await held.came.acquire()
    waits = await appended(waiting_together, publish("waits"))
    outcomes = await asyncio.gather(*sent, *waits, return_exceptions=True)
    assert [Unavailable, Unavailable] == [type(each) for each in outcomes]
    assert (0, 0) == (waiting_together._pending_publishes, waiting_together._pending_bytes)
    assert not waiting_together._waiting
    assert [[1]] == held.sizes


async def test_a_call_that_is_never_answered_ends(
    held: Held, waiting_together: Coalescing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "CALL_SECONDS_MAX", 0.1)
    with pytest.raises(Unavailable):
        await append(waiting_together, publish("a"))
    # One turn, in which its task is done with.
    await asyncio.sleep(0)
    assert not waiting_together._calls


@pytest.mark.parametrize(
    ("bound", "value"),
    [("PENDING_PUBLISHES_MAX", 2), ("PENDING_BYTES_MAX", 2 * publish("0").size)],
)
async def test_beyond_what_may_wait_callers_are_told_when_to_come_back(
    held: Held,
    waiting_together: Coalescing,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    value: int,
) -> None:
    monkeypatch.setattr(coalescing, bound, value)
    taken = await appended(waiting_together, publish("0"), publish("1"))
    with pytest.raises(Exhausted) as refused:
        await append(waiting_together, publish("2"))
    assert refused.value.problem.retry_after.ToNanoseconds() > 0
    held.go.set()
    await asyncio.gather(*taken)
    assert [3] == positions(await append(waiting_together, publish("2")))
