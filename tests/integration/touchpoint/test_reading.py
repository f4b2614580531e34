"""Readers get every event that they want, in order, over real sockets, and a slow one harms only itself."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from structlog.testing import CapturingLogger

from services.chassis import errors
from services.chassis.errors import ErrorInterceptor
from services.chassis.postgres import Connection, Pool
from services.chassis.server import MESSAGE_BYTES_MAX
from services.scoring.source import Source
from services.touchpoint import journal as journal_module
from services.touchpoint import servicer as servicer_module
from services.touchpoint.journal import Filter, Journal
from services.touchpoint.row import Entry, encode
from services.touchpoint.servicer import JournalServicer
from tests.conftest import ROOT
from tests.support.entries import append, attempt, entry
from touchledger.v1 import journal_pb2, journal_pb2_grpc, problem_pb2

DEADLINE_SECONDS = 20
# gRPC takes some 7 MiB ahead of a reader that stands still; three times that.
MORE_THAN_IS_BUFFERED = 220
LARGE = "x" * 100 * 1024
OTHER_JOURNAL = "7f8f3c3e-0000-4000-8000-000000000000"


@dataclass
class Replica:
    """One process of the service: its journal, and what its callers call."""

    journal: Journal
    servicer: JournalServicer
    stopping: asyncio.Event
    address: str
    stub: journal_pb2_grpc.JournalServiceStub


@contextlib.asynccontextmanager
async def replica_on(pool: Pool) -> AsyncIterator[Replica]:
    stopping = asyncio.Event()
    journal = await Journal.open(pool, stopping=stopping)
    servicer = JournalServicer(journal)
    options = [("grpc.max_send_message_length", MESSAGE_BYTES_MAX)]
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=100)], options=options)
    journal_pb2_grpc.add_JournalServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = journal_pb2_grpc.JournalServiceStub(channel)
        yield Replica(journal, servicer, stopping, address, stub)
    await server.stop(None)


@pytest.fixture
async def replica(journal_pool: Pool) -> AsyncIterator[Replica]:
    async with replica_on(journal_pool) as served:
        yield served


@pytest.fixture
async def url(journal_pool: Pool, admin_url: str) -> str:
    """The superuser's, of the journal's database."""
    database = await journal_pool.fetchval("SELECT current_database()")
    return f"{admin_url.rpartition('/')[0]}/{database}"


@pytest.fixture
async def other_replica(url: str) -> AsyncIterator[Replica]:
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=4) as pool,
        replica_on(pool) as served,
    ):
        yield served


@pytest.fixture
async def outside(url: str) -> AsyncIterator[Connection]:
    """A superuser's own connection."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


class Stream:
    """A subscriber that reads when it is asked to."""

    def __init__(self, replica: Replica, after: int = 0, **wanted: Any) -> None:
        self.call = replica.stub.Subscribe(
            journal_pb2.SubscribeRequest(
                after=journal_pb2.Position(number=after), filter=journal_pb2.Filter(**wanted)
            )
        )

    async def read(self) -> journal_pb2.SubscribeResponse:
        async with asyncio.timeout(DEADLINE_SECONDS):
            response: journal_pb2.SubscribeResponse = await self.call.read()
        assert response is not grpc.aio.EOF
        return response

    async def read_until_caught_up(self) -> list[journal_pb2.SubscribeResponse]:
        responses = [await self.read()]
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not responses[-1].HasField("caught_up"):
                responses.append(await self.read())
        return responses

    async def end(self) -> list[journal_pb2.SubscribeResponse]:
        """What comes until the stream ends with an error, which is raised by the read after."""
        responses = list[journal_pb2.SubscribeResponse]()
        with contextlib.suppress(grpc.aio.AioRpcError):
            async with asyncio.timeout(DEADLINE_SECONDS):
                while True:
                    responses.append(await self.read())
        return responses


def positions(*responses: Any) -> list[int]:
    return [event.position for each in responses for event in each.events]


def problem_of(error: grpc.aio.AioRpcError) -> problem_pb2.Problem:
    problem = problem_pb2.Problem()
    status = rpc_status.from_call(error)
    assert status is not None
    assert status.details[0].Unpack(problem)
    return problem


def tells_when_to_come_back(error: grpc.aio.AioRpcError) -> bool:
    status = rpc_status.from_call(error)
    assert status is not None
    return any(each.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for each in status.details)


async def refused(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await call
    return told.value


async def expect_refusal(call: Awaitable[Any], code: grpc.StatusCode, field: str) -> None:
    told = await refused(call)
    assert (code, field) == (told.code(), problem_of(told).field)


async def until(condition: Callable[[], Any]) -> None:
    """Returns once the awaited condition holds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():  # noqa: ASYNC110  # the other end of a socket has no event to wait on
            await asyncio.sleep(0.01)


def of_topic(topic: str, *event_ids: str) -> list[Entry]:
    return [entry(each)._replace(topic=topic) for each in event_ids]


async def append_for(journal: Journal, tenant: str, source: str, entries: Iterable[Entry]) -> None:
    await journal.append(encode(attempt(tenant=tenant, source=source), entries))


async def append_many(journal: Journal, count: int, topic: str = "t.noise.v1") -> None:
    await append(journal, *of_topic(topic, *(f"{topic} {index}" for index in range(count))))


async def append_large(journal: Journal) -> None:
    for start in range(0, MORE_THAN_IS_BUFFERED, 50):
        end = min(start + 50, MORE_THAN_IS_BUFFERED)
        await append(journal, *(entry(f"large {index}", LARGE) for index in range(start, end)))


async def is_let_in(replica: Replica) -> bool:
    stream = Stream(replica)
    try:
        await stream.read()
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return False
    stream.call.cancel()
    return True


class Sending:
    """Counts the streams that wait for the transport to take a message."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0
        send = servicer_module._send

        async def counted(*arguments: Any) -> bool:
            self.now += 1
            try:
                return await send(*arguments)
            finally:
                self.now -= 1

        monkeypatch.setattr(servicer_module, "_send", counted)


# Subscribe: catching up and live


async def test_a_reader_catches_up_is_told_so_once_and_then_reads_live(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PAGE_EVENTS_MAX", 2)
    await append_many(replica.journal, 5)
    stream = Stream(replica)
    behind = await stream.read_until_caught_up()
    assert [[1, 2], [3, 4], [5]] == [positions(each) for each in behind]
    assert [2, 4, 5] == [each.scanned_to for each in behind]
    assert [False, False, True] == [each.HasField("caught_up") for each in behind]
    assert behind[-1].caught_up.position == journal_pb2.Position(
        journal_id=replica.journal.journal_id, number=5
    )
    await append(replica.journal, entry("live"))
    live = await stream.read()
    assert ([6], 6, 6) == (positions(live), live.scanned_to, live.head)
    assert not live.HasField("caught_up")


async def test_a_reader_that_falls_behind_is_told_again_when_it_has_caught_up(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PAGE_EVENTS_MAX", 2)
    stream = Stream(replica)
    first = await stream.read()
    assert ([], 0, True) == (positions(first), first.scanned_to, first.HasField("caught_up"))
    # One commit, so that it is seen whole or not at all.
    await append_many(replica.journal, 5)
    assert [(2, False), (4, False), (5, True)] == [
        (each.scanned_to, each.HasField("caught_up"))
        for each in await stream.read_until_caught_up()
    ]


async def test_a_reader_that_begins_at_the_head_is_told_at_once(replica: Replica) -> None:
    await append_many(replica.journal, 3)
    first = await Stream(replica, after=3).read()
    assert ([], 3, 3) == (positions(first), first.scanned_to, first.caught_up.position.number)


async def test_an_event_names_its_stream_and_version(replica: Replica) -> None:
    given = entry("a")
    await append(replica.journal, given)
    [event] = (await Stream(replica).read()).events
    assert (given.originator_id, 1) == (event.stream_id, event.stream_version)


async def test_a_quiet_stream_tells_the_head_at_each_heartbeat(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(journal_module, "POLL_SECONDS", 0.01)
    await append_many(replica.journal, 2)
    stream = Stream(replica, after=2)
    assert (await stream.read()).HasField("caught_up")
    for _ in range(3):
        beat = await stream.read()
        assert ([], 2, 2, False) == (
            positions(beat),
            beat.head,
            beat.scanned_to,
            beat.HasField("caught_up"),
        )


async def test_two_replicas_serve_one_journal_and_a_reader_may_change_between_them(
    replica: Replica, other_replica: Replica
) -> None:
    await append_many(replica.journal, 3)
    [first] = await Stream(other_replica).read_until_caught_up()
    assert [1, 2, 3] == positions(first)
    stream = Stream(replica, after=first.scanned_to)
    assert (await stream.read()).HasField("caught_up")
    # Found by polling: it is the other replica's.
    await append(other_replica.journal, entry("live"))
    assert [4] == positions(await stream.read())


async def test_readers_are_told_where_else_to_go_when_the_process_stops(replica: Replica) -> None:
    streams = [Stream(replica), Stream(replica, topics=["t.nothing.v1"])]
    for each in streams:
        await each.read()
    replica.stopping.set()
    for each in streams:
        told = await refused(each.read())
        assert (grpc.StatusCode.UNAVAILABLE, True) == (told.code(), tells_when_to_come_back(told))


async def test_a_reader_of_the_released_contract_reads_as_before(replica: Replica) -> None:
    released = text_format.Parse(
        (ROOT / "protos" / "released.txtpb").read_text(),
        descriptor_pb2.FileDescriptorSet(),
        allow_unknown_field=True,
    )
    pool = descriptor_pool.DescriptorPool()
    for file in released.file:
        pool.Add(file)
    request, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"touchledger.v1.{name}"))
        for name in ("SubscribeRequest", "SubscribeResponse")
    )
    assert "scanned_to" not in response.DESCRIPTOR.fields_by_name
    await append_many(replica.journal, 3)
    async with grpc.aio.insecure_channel(replica.address) as channel:
        subscribe = channel.unary_stream(
            "/touchledger.v1.JournalService/Subscribe",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        stream = subscribe(request(after={"number": 1}))
        async with asyncio.timeout(DEADLINE_SECONDS):
            page = await stream.read()
        assert ([2, 3], 3) == (positions(page), page.head)
        stream.cancel()


async def test_the_projector_reads_page_after_page_without_a_filter(replica: Replica) -> None:
    await append_many(replica.journal, 3)
    async with grpc.aio.insecure_channel(replica.address) as channel:
        pages = Source(channel).pages(journal_pb2.Position(number=1))
        assert [2, 3] == positions(await anext(pages))
        await append(replica.journal, entry("live"))
        assert [4] == positions(await anext(pages))
        await pages.aclose()


# Subscribe: filters


async def store_of_two_tenants(journal: Journal) -> None:
    """Positions 1 to 6, each of another tenant, source or topic."""
    for number, (tenant, source, topic) in enumerate(
        (
            ("acme", "till", "t.a.v1"),
            ("acme", "till", "t.b.v1"),
            ("acme", "web", "t.a.v1"),
            ("other", "till", "t.a.v1"),
            ("other", "till", "t.c.v1"),
            ("acme", "till", "t.a.v1"),
        )
    ):
        given = entry(f"{number}", tenant=tenant, source=source)._replace(topic=topic)
        await append_for(journal, tenant, source, [given])


async def test_a_filter_lets_through_what_fits_all_its_parts(replica: Replica) -> None:
    await store_of_two_tenants(replica.journal)
    table: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"topics": ["t.a.v1"]}, [1, 3, 4, 6]),
        ({"topics": ["t.b.v1", "t.c.v1"]}, [2, 5]),
        ({"tenant": "acme"}, [1, 2, 3, 6]),
        ({"source": "till"}, [1, 2, 4, 5, 6]),
        ({"tenant": "other", "source": "till"}, [4, 5]),
        ({"tenant": "acme", "source": "till", "topics": ["t.a.v1"]}, [1, 6]),
        ({"tenant": "other", "source": "web"}, []),
        ({"topics": ["t.a.v%"]}, []),
    ]
    for wanted, sent in table:
        responses = await Stream(replica, **wanted).read_until_caught_up()
        assert sent == positions(*responses), wanted
        assert (6, 6) == (responses[-1].scanned_to, responses[-1].head)
        page = await read_range(replica, filter=journal_pb2.Filter(**wanted))
        assert (sent, 6) == (positions(page), page.scanned_to)


async def test_long_stretches_of_other_events_cost_no_messages(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SCAN_EVENTS_MAX", 10)
    monkeypatch.setattr(journal_module, "HEARTBEAT_SECONDS", 10 * DEADLINE_SECONDS)
    await append_many(replica.journal, 99)
    await append(replica.journal, *of_topic("t.wanted.v1", "wanted"))
    await append_many(replica.journal, 100, "t.more.v1")
    responses = await Stream(replica, topics=["t.wanted.v1"]).read_until_caught_up()
    assert [([100], 100), ([], 200)] == [(positions(each), each.scanned_to) for each in responses]


async def test_a_long_scan_tells_how_far_it_is_at_each_heartbeat(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SCAN_EVENTS_MAX", 10)
    monkeypatch.setattr(journal_module, "HEARTBEAT_SECONDS", 0.0)
    await append_many(replica.journal, 45)
    responses = await Stream(replica, topics=["t.wanted.v1"]).read_until_caught_up()
    assert [10, 20, 30, 40, 45] == [each.scanned_to for each in responses]
    assert [] == positions(*responses)


async def test_a_live_reader_learns_of_events_that_it_does_not_want_at_the_heartbeat(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "HEARTBEAT_SECONDS", 0.02)
    stream = Stream(replica, topics=["t.wanted.v1"])
    assert 0 == (await stream.read()).scanned_to
    await append_many(replica.journal, 3)
    seen = [0]
    while seen[-1] < 3:
        beat = await stream.read()
        assert ([], False) == (positions(beat), beat.HasField("caught_up"))
        seen.append(beat.scanned_to)
    assert sorted(seen) == seen
    await append(replica.journal, *of_topic("t.wanted.v1", "wanted"))
    while not (live := await stream.read()).events:
        pass
    assert ([4], 4) == (positions(live), live.scanned_to)


@pytest.mark.parametrize("seed", range(5))
async def test_a_reader_that_resumes_after_any_scanned_to_gets_each_wanted_event_once(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    choice = random.Random(seed)
    monkeypatch.setattr(journal_module, "SCAN_EVENTS_MAX", choice.randint(1, 9))
    monkeypatch.setattr(journal_module, "PAGE_EVENTS_MAX", choice.randint(1, 5))
    monkeypatch.setattr(journal_module, "PAGE_BYTES_MAX", choice.randint(1, 100))
    monkeypatch.setattr(journal_module, "HEARTBEAT_SECONDS", 0.0)
    topics = [choice.choice(["t.wanted.v1", "t.wanted.v2", "t.noise.v1"]) for _ in range(60)]
    await append(replica.journal, *(of_topic(topic, f"{i}")[0] for i, topic in enumerate(topics)))
    after, got, caught_up = 0, list[int](), False
    while not caught_up:
        stream = Stream(replica, after=after, topics=["t.wanted.v1", "t.wanted.v2"])
        for _ in range(choice.randint(1, 4)):
            response = await stream.read()
            assert after <= response.scanned_to <= response.head == 60
            assert all(after < each <= response.scanned_to for each in positions(response))
            after, caught_up = response.scanned_to, response.HasField("caught_up")
            got += positions(response)
            if caught_up:
                break
        stream.call.cancel()
    assert after == 60
    assert [p for p, topic in enumerate(topics, start=1) if topic != "t.noise.v1"] == got


async def test_a_filtered_page_ends_at_the_bounds_of_any_page(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PAGE_BYTES_MAX", 1000)
    wanted = Filter(topics=("t.wanted.v1",))
    for index in range(4):
        large = entry(f"{index}", "x" * 600)
        await append(replica.journal, large._replace(topic="t.wanted.v1"))
        await append(replica.journal, *of_topic("t.noise.v1", f"noise {index}"))
    page = await replica.journal.page(0, wanted=wanted)
    # The bytes pass the bound at position 3; 4 is nothing that the next page would have to begin with.
    assert ([1, 3], 3) == ([row["notification_id"] for row in page.events], page.scanned_to)
    monkeypatch.setattr(journal_module, "PAGE_BYTES_MAX", 10**6)
    monkeypatch.setattr(journal_module, "PAGE_EVENTS_MAX", 3)
    page = await replica.journal.page(0, wanted=wanted)
    assert ([1, 3, 5], 5) == ([row["notification_id"] for row in page.events], page.scanned_to)


async def test_states_of_other_events_do_not_leave_the_database(
    replica: Replica, journal_pool: Pool
) -> None:
    await append_many(replica.journal, 50)
    await append(replica.journal, *of_topic("t.wanted.v1", "wanted"))
    await append_many(replica.journal, 50, "t.more.v1")
    rows = await journal_pool.fetch(
        journal_module.FILTERED_PAGE, 0, 1000, 1000, 10**6, ["t.wanted.v1"], "", ""
    )
    assert [(51, b"wanted as ever"), (101, None)] == [
        (row["notification_id"], row["state"]) for row in rows
    ]


@pytest.mark.parametrize("lost", [1, 4, 5, 6, 9, 10])
async def test_a_hole_is_an_alarm_although_the_filter_would_skip_it(
    replica: Replica, outside: Connection, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    monkeypatch.setattr(journal_module, "SCAN_EVENTS_MAX", 4)
    monkeypatch.setattr(journal_module, "log", CapturingLogger())
    await append_many(replica.journal, 4)
    await append(replica.journal, *of_topic("t.wanted.v1", "wanted"))
    await append_many(replica.journal, 5, "t.more.v1")
    await outside.execute("DELETE FROM journal.stored_events WHERE notification_id = $1", lost)
    stream = Stream(replica, topics=["t.wanted.v1"])
    before = await stream.end()
    assert grpc.StatusCode.DATA_LOSS == await stream.call.code()
    assert all(each.scanned_to < lost for each in before)
    request = journal_pb2.ReadRangeRequest(filter=journal_pb2.Filter(topics=["t.wanted.v1"]))
    request.after.number = lost - 1
    assert grpc.StatusCode.DATA_LOSS == (await refused(replica.stub.ReadRange(request))).code()


# What is refused


async def test_a_filter_that_can_not_be_taken_is_named(replica: Replica) -> None:
    table: list[tuple[dict[str, Any], str]] = [
        ({"topics": ["t"] * 33}, "filter.topics"),
        ({"topics": ["good", ""]}, "filter.topics[1]"),
        ({"topics": ["x" * 129]}, "filter.topics[0]"),
        ({"topics": ["a\0b"]}, "filter.topics[0]"),
        ({"tenant": "x" * 65}, "filter.tenant"),
        ({"tenant": "\0"}, "filter.tenant"),
        ({"source": "x" * 129}, "filter.source"),
        ({"source": "a\0"}, "filter.source"),
    ]
    for wanted, field in table:
        filter_ = journal_pb2.Filter(**wanted)
        for call in (Stream(replica, **wanted).read(), read_range(replica, filter=filter_)):
            await expect_refusal(call, grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_a_filter_of_the_largest_size_is_taken(replica: Replica) -> None:
    names = [f"{index:0128}" for index in range(32)]
    stream = Stream(replica, topics=names, tenant="x" * 64, source="ü" * 128)
    assert (await stream.read()).HasField("caught_up")


async def test_a_position_that_this_journal_does_not_have_is_refused(replica: Replica) -> None:
    await append_many(replica.journal, 3)
    for after, field in (
        (journal_pb2.Position(number=4), "after.number"),
        (journal_pb2.Position(number=2**64 - 1), "after.number"),
        (journal_pb2.Position(journal_id=OTHER_JOURNAL, number=1), "after.journal_id"),
    ):
        for call in (
            replica.stub.Subscribe(journal_pb2.SubscribeRequest(after=after)).read(),
            replica.stub.ReadRange(journal_pb2.ReadRangeRequest(after=after)),
        ):
            await expect_refusal(call, grpc.StatusCode.FAILED_PRECONDITION, field)


async def test_the_journal_s_own_position_is_taken(replica: Replica) -> None:
    await append_many(replica.journal, 3)
    own = journal_pb2.Position(journal_id=replica.journal.journal_id, number=1)
    stream = replica.stub.Subscribe(journal_pb2.SubscribeRequest(after=own))
    assert [2, 3] == positions(await stream.read())


async def test_subscribers_beyond_the_bound_are_told_to_come_back_until_a_place_is_free(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer_module, "SUBSCRIBERS_MAX", 2)
    served = [Stream(replica), Stream(replica)]
    for each in served:
        await each.read()
    told = await refused(Stream(replica).read())
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == told.code()
    assert tells_when_to_come_back(told)
    assert not await is_let_in(replica)
    served[0].call.cancel()
    await until(lambda: is_let_in(replica))
    assert served[1].call.done() is False


# Slow subscribers


async def test_a_reader_that_takes_nothing_is_cut_off_and_told_where_to_go_on(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer_module, "SLOW_SUBSCRIBER_SECONDS", 0.3)
    monkeypatch.setattr(servicer_module, "SUBSCRIBERS_MAX", 1)
    await append_large(replica.journal)
    slow = Stream(replica)
    first = await slow.read()
    assert not await is_let_in(replica)
    # It is cut off when its place is free.
    await until(lambda: is_let_in(replica))
    rest = await slow.end()
    told = await refused(slow.read())
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == told.code()
    assert tells_when_to_come_back(told)
    assert "SLOW_SUBSCRIBER" == problem_of(told).code
    last = rest[-1].scanned_to
    assert problem_of(told).want.endswith(f"go on after position {last}")
    assert list(range(1, last + 1)) == positions(first, *rest)
    assert last < MORE_THAN_IS_BUFFERED
    monkeypatch.setattr(servicer_module, "SLOW_SUBSCRIBER_SECONDS", DEADLINE_SECONDS)
    # The place of the one that was let in may not be free yet.
    monkeypatch.setattr(servicer_module, "SUBSCRIBERS_MAX", 2)
    resumed = await Stream(replica, after=last).read_until_caught_up()
    assert list(range(last + 1, MORE_THAN_IS_BUFFERED + 1)) == positions(*resumed)


async def test_readers_that_stand_still_slow_neither_appends_nor_other_readers(
    replica: Replica, journal_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append_large(replica.journal)
    sending = Sending(monkeypatch)
    stalled = [Stream(replica) for _ in range(20)]
    for each in stalled:
        await each.read()

    async def all_stand_still() -> bool:
        return sending.now == len(stalled)

    await until(all_stand_still)
    # None of them holds one of the 8 connections.
    assert journal_pool.get_size() == journal_pool.get_idle_size()
    async with asyncio.timeout(DEADLINE_SECONDS):
        for index in range(20):
            await append(replica.journal, entry(f"{index}"))
    head = MORE_THAN_IS_BUFFERED + 20
    reading = Stream(replica, after=MORE_THAN_IS_BUFFERED)
    assert list(range(MORE_THAN_IS_BUFFERED + 1, head + 1)) == positions(await reading.read())
    await append(replica.journal, entry("live"))
    assert [head + 1] == positions(await reading.read())
    await until(all_stand_still)
    # And one that reads on gets what is left, without a hole.
    rest = positions(*await stalled[0].read_until_caught_up())
    assert list(range(rest[0], head + 2)) == rest


async def test_a_reader_that_goes_away_while_it_is_written_to_frees_its_place_in_silence(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = CapturingLogger()
    monkeypatch.setattr(errors, "log", told)
    monkeypatch.setattr(servicer_module, "SUBSCRIBERS_MAX", 1)
    await append_large(replica.journal)
    sending = Sending(monkeypatch)
    slow = Stream(replica)
    await slow.read()

    async def stands_still() -> bool:
        return sending.now == 1

    await until(stands_still)
    slow.call.cancel()
    await until(lambda: is_let_in(replica))
    assert [] == told.calls
    assert [] == caplog.records


async def test_readers_wait_for_each_other_rather_than_take_all_connections(
    replica: Replica, outside: Connection
) -> None:
    await append_many(replica.journal, 3)
    reading = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass"

    async def blocked() -> int:
        return int(await outside.fetchval(reading, "journal.stored_events"))

    async def as_many_as_may() -> bool:
        return await blocked() == journal_module.READS_AT_ONCE_MAX

    async with outside.transaction():
        # A fault: a table that can't be read, for longer than the test asks.
        await outside.execute("LOCK TABLE journal.stored_events")
        streams = [Stream(replica) for _ in range(10)]
        first = [asyncio.create_task(each.read()) for each in streams]
        await until(as_many_as_may)
        for _ in range(5):
            # What needs a connection has one.
            await replica.stub.GetHead(journal_pb2.GetHeadRequest(), timeout=DEADLINE_SECONDS)
            assert await as_many_as_may()
    assert [[1, 2, 3]] * 10 == [positions(each) for each in await asyncio.gather(*first)]


# ReadRange


async def read_range(replica: Replica, **asked: Any) -> journal_pb2.ReadRangeResponse:
    asked["after"] = journal_pb2.Position(number=asked.pop("after", 0))
    response: journal_pb2.ReadRangeResponse = await replica.stub.ReadRange(
        journal_pb2.ReadRangeRequest(**asked), timeout=DEADLINE_SECONDS
    )
    assert response.journal_id == replica.journal.journal_id
    return response


async def test_a_range_is_read_up_to_its_bounds(replica: Replica) -> None:
    await append_many(replica.journal, 5)
    table: list[tuple[dict[str, int], list[int], int]] = [
        ({}, [1, 2, 3, 4, 5], 5),
        ({"after": 2}, [3, 4, 5], 5),
        ({"after": 5}, [], 5),
        ({"to": 3}, [1, 2, 3], 3),
        ({"after": 1, "to": 3}, [2, 3], 3),
        ({"after": 3, "to": 3}, [], 3),
        ({"to": 5}, [1, 2, 3, 4, 5], 5),
        ({"limit": 2}, [1, 2], 2),
        ({"after": 1, "to": 4, "limit": 2}, [2, 3], 3),
        ({"after": 1, "to": 3, "limit": 1000}, [2, 3], 3),
    ]
    for asked, read, scanned_to in table:
        for topics in ([], ["t.noise.v1"]):
            page = await read_range(replica, **asked, filter=journal_pb2.Filter(topics=topics))
            assert (read, scanned_to, 5) == (positions(page), page.scanned_to, page.head), asked


async def test_a_filtered_range_ends_where_it_was_asked_to_whatever_fits(replica: Replica) -> None:
    await append_many(replica.journal, 5)
    await append(replica.journal, *of_topic("t.wanted.v1", "a", "b"))
    wanted = journal_pb2.Filter(topics=["t.wanted.v1"])
    page = await read_range(replica, after=1, to=6, filter=wanted)
    assert ([6], 6) == (positions(page), page.scanned_to)
    page = await read_range(replica, to=4, filter=wanted)
    assert ([], 4) == (positions(page), page.scanned_to)
    page = await read_range(replica, limit=1, filter=wanted)
    assert ([6], 6) == (positions(page), page.scanned_to)


async def test_an_empty_journal_is_read_as_one(replica: Replica) -> None:
    page = await read_range(replica)
    assert ([], 0, 0) == (positions(page), page.scanned_to, page.head)


async def test_a_range_that_is_none_is_refused(replica: Replica) -> None:
    await append_many(replica.journal, 3)
    for asked, code, field in (
        ({"limit": 1001}, grpc.StatusCode.INVALID_ARGUMENT, "limit"),
        ({"after": 2, "to": 1}, grpc.StatusCode.INVALID_ARGUMENT, "to"),
        ({"to": 4}, grpc.StatusCode.FAILED_PRECONDITION, "to"),
        ({"to": 2**64 - 1}, grpc.StatusCode.FAILED_PRECONDITION, "to"),
    ):
        await expect_refusal(read_range(replica, **asked), code, field)


# ReadStream


STREAM = UUID("01890000-0000-8000-8000-000000000001")


async def decide(journal: Journal, *versions: int, content: str = "") -> None:
    await journal.decide(
        encode(
            attempt(source=""),
            [
                Entry(STREAM.bytes, each, "t.decision.v1", f"{each}{content}".encode(), bytes(32))
                for each in versions
            ],
        )
    )


async def read_stream(replica: Replica, **asked: Any) -> journal_pb2.ReadStreamResponse:
    response: journal_pb2.ReadStreamResponse = await replica.stub.ReadStream(
        journal_pb2.ReadStreamRequest(**asked), timeout=DEADLINE_SECONDS
    )
    assert response.journal_id == replica.journal.journal_id
    return response


def versions(page: journal_pb2.ReadStreamResponse) -> list[int]:
    return [each.stream_version for each in page.events]


async def test_a_stream_is_read_in_the_order_of_its_versions(replica: Replica) -> None:
    await decide(replica.journal, 1, 2)
    await append(replica.journal, entry("between"))
    await decide(replica.journal, 3)
    await decide(replica.journal, 4, 5)
    table: list[tuple[dict[str, int], list[int]]] = [
        ({}, [1, 2, 3, 4, 5]),
        ({"from_version": 1}, [1, 2, 3, 4, 5]),
        ({"from_version": 3}, [3, 4, 5]),
        ({"limit": 2}, [1, 2]),
        ({"from_version": 3, "limit": 2}, [3, 4]),
        ({"from_version": 6}, []),
        ({"from_version": 2**64 - 1}, []),
    ]
    for asked, read in table:
        page = await read_stream(replica, stream_id=STREAM.bytes, **asked)
        assert (read, 5, 6) == (versions(page), page.last_version, page.head), asked
        assert [f"{each}".encode() for each in read] == [each.event for each in page.events]


async def test_a_page_of_a_stream_ends_where_its_bytes_pass_the_bound(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "PAGE_BYTES_MAX", 1000)
    await decide(replica.journal, *range(1, 8), content="x" * 400)
    read, from_version = list[list[int]](), 0
    while not read or read[-1][-1] < 7:
        page = await read_stream(replica, stream_id=STREAM.bytes, from_version=from_version)
        read.append(versions(page))
        from_version = read[-1][-1] + 1
    assert [[1, 2, 3], [4, 5, 6], [7]] == read


async def test_a_published_event_is_found_by_its_name(replica: Replica) -> None:
    await append(replica.journal, entry("a"), entry("b"))
    name = {"tenant": "acme", "source": "till", "event_id": "b"}
    page = await read_stream(replica, published=name)
    assert ([2], [1], 1) == (positions(page), versions(page), page.last_version)
    assert page.events[0].event == entry("b").state
    for other in ({"tenant": "other"}, {"source": "web"}, {"event_id": "c"}):
        told = await refused(read_stream(replica, published=name | other))
        assert grpc.StatusCode.NOT_FOUND == told.code()


async def test_a_stream_that_starts_at_0_is_read_from_there(replica: Replica) -> None:
    await decide(replica.journal, 0, 1)
    assert [0, 1] == versions(await read_stream(replica, stream_id=STREAM.bytes))
    assert [1] == versions(await read_stream(replica, stream_id=STREAM.bytes, from_version=1))


@pytest.mark.parametrize(("lost", "from_version"), [(1, 0), (2, 0), (2, 2), (3, 1), (3, 3)])
async def test_a_missing_version_is_an_alarm(
    replica: Replica,
    outside: Connection,
    monkeypatch: pytest.MonkeyPatch,
    lost: int,
    from_version: int,
) -> None:
    alarms = CapturingLogger()
    monkeypatch.setattr(journal_module, "log", alarms)
    await decide(replica.journal, 1, 2, 3, 4)
    await outside.execute("DELETE FROM journal.stored_events WHERE originator_version = $1", lost)
    asked = {"stream_id": STREAM.bytes, "from_version": from_version}
    told = await refused(read_stream(replica, **asked))
    assert (grpc.StatusCode.DATA_LOSS, ["error"]) == (
        told.code(),
        [call.method_name for call in alarms.calls],
    )


async def test_a_stream_that_can_not_be_named_is_refused(replica: Replica) -> None:
    name = {"tenant": "acme", "source": "till", "event_id": "a"}
    table: list[tuple[dict[str, Any], str]] = [
        ({}, "stream"),
        ({"stream_id": b"short"}, "stream_id"),
        ({"stream_id": b""}, "stream_id"),
        ({"stream_id": STREAM.bytes, "limit": 1001}, "limit"),
        ({"published": name | {"tenant": ""}}, "published.tenant"),
        ({"published": name | {"source": ""}}, "published.source"),
        ({"published": name | {"event_id": ""}}, "published.event_id"),
        ({"published": name | {"tenant": "a\0"}}, "published.tenant"),
    ]
    for asked, field in table:
        await expect_refusal(read_stream(replica, **asked), grpc.StatusCode.INVALID_ARGUMENT, field)
