"""What the publisher sends, repeats, counts and gives up, against a scripted gateway on a real socket."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.cli.publisher import (
    Limits,
    Line,
    Stopped,
    Tally,
    Timing,
    Unreachable,
    pages_of,
    publish_all,
    publish_one,
)
from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc, problem_pb2

RECORDED = ingest_pb2.DISPOSITION_RECORDED
DUPLICATE = ingest_pb2.DISPOSITION_DUPLICATE
QUARANTINED = ingest_pb2.DISPOSITION_QUARANTINED
REJECTED = ingest_pb2.DISPOSITION_REJECTED
RETRY = ingest_pb2.DISPOSITION_RETRY

METADATA = (("authorization", "Bearer k"),)
Result = ingest_pb2.PublishResult
# What happens in one call before its events are taken.
Step = Callable[["Gateway", ingest_pb2.PublishBatchRequest, Any], Awaitable[None]]


class Gateway(ingest_pb2_grpc.IngestServiceServicer):
    """Records every event once, unless the script for the call or the verdict on the event says otherwise."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.calls: list[list[str]] = []
        self.script: list[Step] = []
        self.always: Step | None = None
        self.verdict: Callable[[events_pb2.Event], Result | None] = lambda event: None
        self.answer: Callable[[list[Result]], list[Result]] = lambda results: results

    async def GetOutcomes(
        self, request: ingest_pb2.GetOutcomesRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.GetOutcomesResponse:
        raise NotImplementedError

    def PublishStream(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[ingest_pb2.PublishStreamResponse]:
        raise NotImplementedError

    async def Publish(
        self, request: ingest_pb2.PublishRequest, context: Any
    ) -> ingest_pb2.PublishResponse:
        raise NotImplementedError

    async def PublishBatch(
        self, request: ingest_pb2.PublishBatchRequest, context: Any
    ) -> ingest_pb2.PublishBatchResponse:
        assert ("authorization", "Bearer k") in tuple(context.invocation_metadata())
        assert request.attempt.HasField("sent_at")
        assert 1 <= len(request.events) <= 500
        self.calls.append([event.event_id for event in request.events])
        step = self.script.pop(0) if self.script else self.always
        if step:
            await step(self, request, context)
        return ingest_pb2.PublishBatchResponse(results=self.answer(self.take(request.events)))

    def take(self, events: Iterable[events_pb2.Event]) -> list[Result]:
        return [self.verdict(event) or self.record(event.event_id) for event in events]

    def record(self, event_id: str) -> Result:
        if event_id in self.journal:
            return result(DUPLICATE, position=self.journal.index(event_id) + 1)
        self.journal.append(event_id)
        return result(RECORDED, position=len(self.journal))


def result(
    disposition: ingest_pb2.Disposition, *, position: int = 0, code: str = "", after: float = 0
) -> Result:
    made = Result(disposition=disposition)
    if position:
        made.position.number = position
    if code or after:
        made.problem.code = code
        made.problem.retry_after.FromNanoseconds(round(after * 1e9))
    return made


def failing(code: grpc.StatusCode, *, after: float = 0, taken: bool = False) -> Step:
    """A call that fails, with RetryInfo or not, before or after its events were recorded."""

    async def step(gateway: Gateway, request: ingest_pb2.PublishBatchRequest, context: Any) -> None:
        if taken:
            gateway.take(request.events)
        status = status_pb2.Status(code=code.value[0], message="scripted")
        if after:
            info = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration())
            info.retry_delay.FromNanoseconds(round(after * 1e9))
            packed = any_pb2.Any()
            packed.Pack(info)
            status.details.append(packed)
        await context.abort_with_status(rpc_status.to_status(status))

    return step


@dataclass
class Clock:
    """Time passes where somebody sleeps, and nowhere else."""

    seconds: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def timing(self) -> Timing:
        return Timing(
            monotonic=lambda: self.seconds,
            sleep=self.sleep,
            now=lambda: timestamp_pb2.Timestamp(seconds=int(self.seconds)),
            chance=lambda: 1.0,
        )

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def stub(gateway: Gateway) -> AsyncIterator[ingest_pb2_grpc.IngestServiceStub]:
    server = grpc.aio.server()
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ingest_pb2_grpc.IngestServiceStub(channel)
    await server.stop(None)


def events(count: int, *, comment: str = "") -> list[events_pb2.Event]:
    return [
        events_pb2.Event(event_id=f"e{n}", personal={"comment": comment})
        for n in range(1, count + 1)
    ]


def ids(first: int, last: int) -> list[str]:
    return [f"e{n}" for n in range(first, last + 1)]


async def in_pages(*pages: Sequence[Line]) -> AsyncIterator[Sequence[Line]]:
    for page in pages:
        yield page


async def test_all_events_are_recorded_in_batches(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    tally = await publish_all(stub, pages_of(events(1201)), metadata=METADATA)
    assert sorted(len(call) for call in gateway.calls) == [201, 500, 500]
    assert (tally.counts, tally.settled_through) == ({RECORDED: 1201}, 1201)


async def test_nothing_to_publish_is_no_call(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    tally = await publish_all(stub, pages_of([]), metadata=METADATA)
    assert (tally, gateway.calls) == (Tally(), [])


async def test_batches_are_bounded_in_bytes(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    large = events(100, comment="x" * 60_000)
    await publish_all(stub, pages_of(large), metadata=METADATA)
    assert sorted(len(call) for call in gateway.calls) == [48, 52]


async def test_an_event_that_no_call_can_carry_is_rejected_here(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    three = events(3)
    three[1].personal.comment = "x" * 4_000_000
    tally = await publish_all(stub, pages_of(three), metadata=METADATA)
    assert (tally.counts, set(gateway.journal)) == ({RECORDED: 2, REJECTED: 1}, {"e1", "e3"})
    assert tally.problems[0].problem.code == "EVENT_TOO_LARGE"


async def test_a_bad_event_among_good_ones_harms_none_of_them(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    verdicts = {
        "e2": result(REJECTED, code="VALUE_OUTSIDE_SCALE"),
        "e4": result(QUARANTINED, code="UNKNOWN_TOUCHPOINT"),
    }
    gateway.verdict = lambda event: verdicts.get(event.event_id)
    tally = await publish_all(stub, pages_of(events(5)), metadata=METADATA)
    assert (tally.counts, tally.refused) == ({RECORDED: 3, REJECTED: 1, QUARANTINED: 1}, 2)
    assert gateway.journal == ["e1", "e3", "e5"]
    told = [(each.line, each.event_id, each.problem.code) for each in tally.problems]
    assert told == [(2, "e2", "VALUE_OUTSIDE_SCALE"), (4, "e4", "UNKNOWN_TOUCHPOINT")]


async def test_lines_that_are_no_event_are_counted_in_their_place(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    gateway.verdict = lambda event: result(REJECTED, code="E") if event.event_id == "e1" else None
    unreadable = problem_pb2.Problem(code="MALFORMED_JSON")
    first, second = events(2)
    lines = [
        Line(1, unreadable, 10),
        Line(3, first, 30),
        Line(4, unreadable, 40),
        Line(5, second, 50),
        Line(7, unreadable, 70),
    ]
    tally = await publish_all(stub, in_pages(lines), metadata=METADATA)
    assert gateway.calls == [["e1", "e2"]]
    assert (tally.counts, tally.settled_through) == ({RECORDED: 1, REJECTED: 4}, 7)
    assert tally.settled_end == 70
    assert [each.line for each in tally.problems] == [1, 3, 4, 7]


async def test_the_first_problems_are_kept_in_the_order_of_the_lines(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    gateway.verdict = lambda event: result(REJECTED, code="E")
    limits = Limits(batch_events_max=3, problems_max=20)
    tally = await publish_all(stub, pages_of(events(100)), metadata=METADATA, limits=limits)
    assert [each.line for each in tally.problems] == list(range(1, 21))
    assert tally.refused == 100


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    ],
)
async def test_a_call_that_may_succeed_later_is_repeated(
    gateway: Gateway,
    stub: ingest_pb2_grpc.IngestServiceStub,
    clock: Clock,
    code: grpc.StatusCode,
) -> None:
    gateway.script = [failing(code), failing(code)]
    tally = await publish_all(stub, pages_of(events(3)), metadata=METADATA, timing=clock.timing())
    assert gateway.calls == [ids(1, 3)] * 3
    assert tally.counts == {RECORDED: 3}
    assert clock.slept == [0.1, 0.2]


async def test_the_servers_hint_is_waited_for(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub, clock: Clock
) -> None:
    gateway.script = [failing(grpc.StatusCode.UNAVAILABLE, after=3)]
    await publish_all(stub, pages_of(events(1)), metadata=METADATA, timing=clock.timing())
    assert clock.slept == [3.1]


async def test_an_event_whose_answer_was_lost_is_a_duplicate(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub, clock: Clock
) -> None:
    gateway.script = [failing(grpc.StatusCode.UNAVAILABLE, taken=True)]
    tally = await publish_all(stub, pages_of(events(3)), metadata=METADATA, timing=clock.timing())
    assert (tally.counts, gateway.journal) == ({DUPLICATE: 3}, ids(1, 3))


async def test_a_server_that_never_answers_is_asked_again(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub, clock: Clock
) -> None:
    async def silence(gateway: Gateway, request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    gateway.script = [silence]
    tally = await publish_all(
        stub,
        pages_of(events(1)),
        metadata=METADATA,
        limits=Limits(call_seconds_max=0.1),
        timing=clock.timing(),
    )
    assert tally.counts == {RECORDED: 1}


async def test_only_events_to_retry_are_sent_again_after_their_hint(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub, clock: Clock
) -> None:
    busy = Counter({"e2": 1, "e4": 2})

    def verdict(event: events_pb2.Event) -> Result | None:
        if busy[event.event_id] > 0:
            busy[event.event_id] -= 1
            return result(RETRY, after=2)
        return result(REJECTED, code="NO") if event.event_id in ("e3", "e4") else None

    gateway.verdict = verdict
    tally = await publish_all(stub, pages_of(events(5)), metadata=METADATA, timing=clock.timing())
    assert gateway.calls == [ids(1, 5), ["e2", "e4"], ["e4"]]
    # Results stay with their events.
    assert [each.event_id for each in tally.problems] == ["e3", "e4"]
    assert tally.counts == {RECORDED: 3, REJECTED: 2}
    assert clock.slept == [2.1, 2.1]


async def test_without_progress_it_gives_up_and_keeps_the_place(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub, clock: Clock
) -> None:
    async def nothing(gateway: Gateway, request: Any, context: Any) -> None:
        return None

    gateway.script = [nothing]
    gateway.always = failing(grpc.StatusCode.UNAVAILABLE)
    tally = Tally()
    with pytest.raises(Unreachable, match="want progress within 60 s; last answer: UNAVAILABLE"):
        await publish_all(
            stub,
            pages_of(events(30)),
            metadata=METADATA,
            tally=tally,
            limits=Limits(batch_events_max=10, batches_in_flight_max=1),
            timing=clock.timing(),
        )
    assert (tally.settled_through, tally.counts) == (10, {RECORDED: 10})
    assert 50 < sum(clock.slept) <= 60


async def test_a_hint_beyond_the_limit_is_not_waited_for(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub, clock: Clock
) -> None:
    gateway.always = failing(grpc.StatusCode.UNAVAILABLE, after=300)
    with pytest.raises(Unreachable, match=r"next try due in 300\.1 s"):
        await publish_all(stub, pages_of(events(1)), metadata=METADATA, timing=clock.timing())
    assert clock.slept == []


async def test_slow_progress_is_progress(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub, clock: Clock
) -> None:
    busy = Counter({f"e{n}": n for n in range(1, 11)})

    def verdict(event: events_pb2.Event) -> Result | None:
        busy[event.event_id] -= 1
        return result(RETRY, after=50) if busy[event.event_id] >= 0 else None

    gateway.verdict = verdict
    tally = await publish_all(stub, pages_of(events(10)), metadata=METADATA, timing=clock.timing())
    assert tally.counts == {RECORDED: 10}
    assert sum(clock.slept) > 450


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT]
)
async def test_a_call_that_can_never_succeed_is_not_repeated(
    gateway: Gateway,
    stub: ingest_pb2_grpc.IngestServiceStub,
    clock: Clock,
    code: grpc.StatusCode,
) -> None:
    gateway.always = failing(code)
    with pytest.raises(Stopped, match=f"{code.name}: scripted"):
        await publish_all(stub, pages_of(events(1)), metadata=METADATA, timing=clock.timing())
    assert clock.slept == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda results: results[:-1], "got 2 results for 3 events"),
        (lambda results: [Result()] * 3, "got the disposition 0"),
        (lambda results: [Result.FromString(b"\x08\x63")] * 3, "got the disposition 99"),
    ],
)
async def test_answers_that_mean_nothing_stop_it(
    gateway: Gateway,
    stub: ingest_pb2_grpc.IngestServiceStub,
    answer: Callable[[list[Result]], list[Result]],
    message: str,
) -> None:
    gateway.answer = answer
    tally = Tally()
    with pytest.raises(Stopped, match=message):
        await publish_all(stub, pages_of(events(3)), metadata=METADATA, tally=tally)
    assert tally == Tally()


async def test_only_what_has_nothing_unsettled_before_it_counts_as_settled(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    first_may_go = asyncio.Event()
    others_are_done = asyncio.Event()
    seen: list[tuple[int, int]] = []

    async def wait_for_the_others(gateway: Gateway, request: Any, context: Any) -> None:
        if request.events[0].event_id == "e1":
            await first_may_go.wait()

    def on_progress(tally: Tally) -> None:
        seen.append((tally.counts.total(), tally.settled_through))
        if len(seen) == 3:
            others_are_done.set()

    gateway.always = wait_for_the_others
    publishing = asyncio.create_task(
        publish_all(
            stub,
            pages_of(events(40)),
            metadata=METADATA,
            on_progress=on_progress,
            limits=Limits(batch_events_max=10),
        )
    )
    await others_are_done.wait()
    first_may_go.set()
    await publishing
    assert seen == [(10, 0), (20, 0), (30, 0), (40, 40)]


async def test_no_more_is_read_or_in_flight_than_allowed(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    in_flight = most = read = 0
    full = asyncio.Event()

    async def count(gateway: Gateway, request: Any, context: Any) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        if in_flight == 4:
            full.set()
        # The first four wait for each other; a fifth at the same time would be seen.
        await full.wait()
        in_flight -= 1

    async def pages() -> AsyncIterator[list[Line]]:
        nonlocal read
        async for page in pages_of(events(200), page_events=10):
            read += 1
            if not full.is_set():
                # Four batches of ten, and the page that shows that the fourth is full.
                assert read <= 5
            yield page

    gateway.always = count
    await publish_all(
        stub, pages(), metadata=METADATA, limits=Limits(batch_events_max=10, linger_seconds=60)
    )
    assert most == 4


async def test_events_that_come_slowly_do_not_wait_for_a_full_batch(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub
) -> None:
    first_is_recorded = asyncio.Event()
    first, second = events(2)

    async def pages() -> AsyncIterator[list[Line]]:
        yield [Line(1, first)]
        await first_is_recorded.wait()
        yield [Line(2, second)]

    await publish_all(
        stub,
        pages(),
        metadata=METADATA,
        on_progress=lambda tally: first_is_recorded.set(),
        limits=Limits(linger_seconds=0.01),
    )
    assert gateway.calls == [["e1"], ["e2"]]


async def test_trouble_with_the_input_is_told_as_it_is(
    stub: ingest_pb2_grpc.IngestServiceStub,
) -> None:
    async def pages() -> AsyncIterator[list[Line]]:
        yield [Line(1, events(1)[0])]
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        await publish_all(stub, pages(), metadata=METADATA)


async def test_numbering_goes_on_where_it_was_cut_off() -> None:
    pages = [page async for page in pages_of(events(5), start=3)]
    assert [[line.number for line in page] for page in pages] == [[4, 5]]


async def test_one_event_is_answered_with_its_position(
    gateway: Gateway, stub: ingest_pb2_grpc.IngestServiceStub, clock: Clock
) -> None:
    gateway.script = [failing(grpc.StatusCode.UNAVAILABLE, taken=True)]
    answer = await publish_one(stub, events(1)[0], metadata=METADATA, timing=clock.timing())
    assert answer == result(DUPLICATE, position=1)
