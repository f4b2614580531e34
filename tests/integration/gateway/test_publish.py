"""Publish and PublishBatch: a result for each event, and what a person can mend is kept."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import asyncpg
import grpc
import pytest

from services.chassis.postgres import Pool
from services.gateway import quarantine
from services.gateway.access import QUERY, Caller
from services.gateway.encoding import SLICE_EVENTS
from services.gateway.servicer import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from services.gateway.upstream import Content
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.events import csat, event, feedback
from tests.support.ingest import KEYRING, Gateway, gateway, journal_server, told
from tests.support.stack import free_port
from touchledger.v1 import events_pb2 as pb
from touchledger.v1 import ingest_pb2, journal_pb2
from touchledger.v1.problem_pb2 import Problem

RECORDED, DUPLICATE = ingest_pb2.DISPOSITION_RECORDED, ingest_pb2.DISPOSITION_DUPLICATE
QUARANTINED, REJECTED = ingest_pb2.DISPOSITION_QUARANTINED, ingest_pb2.DISPOSITION_REJECTED
VALID, RETRY = ingest_pb2.DISPOSITION_VALID, ingest_pb2.DISPOSITION_RETRY
# A journal that came back is found within a second; the rest is for a loaded machine.
REPEATED_SECONDS_MAX = 20.0
NO_ATTEMPT = ingest_pb2.Attempt()
CALLER = Caller("acme", "till", frozenset())


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
async def served(gateway_pool: Pool, journal_address: str) -> AsyncIterator[Gateway]:
    async with gateway(gateway_pool, journal_address) as running:
        yield running


@pytest.fixture
async def key(served: Gateway) -> tuple[tuple[str, str], ...]:
    return await served.add_key("acme", "till")


def mendable(event_id: str) -> pb.Event:
    return feedback(csat("6"), event_id=event_id)


def hopeless(event_id: str) -> pb.Event:
    made = event(event_id=event_id)
    made.sealed_personal.data = b"not its to set"
    return made


async def publish(
    served: Gateway,
    key: tuple[tuple[str, str], ...],
    *events: pb.Event,
    validate_only: bool = False,
) -> list[ingest_pb2.PublishResult]:
    request = ingest_pb2.PublishBatchRequest(events=events, validate_only=validate_only)
    answer = await served.stub.PublishBatch(request, metadata=key, timeout=20)
    return list(answer.results)


async def publish_as_told(
    served: Gateway, key: tuple[tuple[str, str], ...], *events: pb.Event
) -> list[ingest_pb2.PublishResult]:
    """As a client does: again, after the time that it is told, for as long as it is told to."""
    while True:
        try:
            return await publish(served, key, *events)
        except grpc.aio.AioRpcError as error:
            code, _, repeat_after = told(error)
            assert grpc.StatusCode.UNAVAILABLE == code
            assert repeat_after
            await asyncio.sleep(repeat_after)


def dispositions(results: Sequence[ingest_pb2.PublishResult]) -> list[int]:
    return [each.disposition for each in results]


async def test_each_event_of_a_batch_gets_its_own_result_in_order(
    served: Gateway, key: tuple[tuple[str, str], ...], gateway_pool: Pool
) -> None:
    await publish(served, key, event(event_id="b"))
    results = await publish(
        served,
        key,
        event(event_id="a"),
        mendable("m"),
        event(event_id="b"),
        hopeless("h"),
        event(event_id="b", staff="another"),
        event(event_id="c"),
    )
    assert [RECORDED, QUARANTINED, DUPLICATE, REJECTED, REJECTED, RECORDED] == dispositions(results)
    assert [2, 0, 1, 0, 0, 3] == [each.position.number for each in results]
    assert ["", "VALUE_OUTSIDE_SCALE", "", "SET_BY_SERVER", "EVENT_ID_CONFLICT", ""] == [
        each.problem.code for each in results
    ]
    kept = await gateway_pool.fetch("SELECT quarantine_id, event_id FROM gateway.quarantine")
    assert [(results[1].quarantine_id, "m")] == [tuple(row) for row in kept]


async def test_batches_larger_than_a_slice_keep_their_order(
    served: Gateway, key: tuple[tuple[str, str], ...]
) -> None:
    bad = {3, 49, 50, 51, 333}
    sent = [hopeless(f"{n}") if n in bad else event(event_id=f"{n}") for n in range(400)]
    results = await publish(served, key, *sent)
    assert [REJECTED if n in bad else RECORDED for n in range(400)] == dispositions(results)
    positions = [each.position.number for each in results if each.disposition == RECORDED]
    assert list(range(1, 396)) == positions


async def test_what_was_kept_is_kept_as_it_came(
    served: Gateway, key: tuple[tuple[str, str], ...]
) -> None:
    sent = mendable("m")
    sent.customer = "customer 17"
    [result] = await publish(served, key, sent)
    kept = await served.upstream._quarantine.get("acme", result.quarantine_id)
    assert ("event", "m") == (kept.entry.format, kept.entry.event_id)
    assert sent == pb.Event.FromString(kept.content)


async def test_the_same_bad_event_again_is_kept_once(
    served: Gateway, key: tuple[tuple[str, str], ...], gateway_pool: Pool
) -> None:
    first, second = [await publish(served, key, mendable("m")) for _ in range(2)]
    assert first == second
    assert 1 == await gateway_pool.fetchval("SELECT count(*) FROM gateway.quarantine")


async def test_validate_only_says_what_would_be_and_stores_nothing(
    served: Gateway, key: tuple[tuple[str, str], ...], gateway_pool: Pool, journal_pool: Pool
) -> None:
    sent = event(event_id="a"), mendable("m"), hopeless("h")
    results = await publish(served, key, *sent, validate_only=True)
    assert [VALID, QUARANTINED, REJECTED] == dispositions(results)
    assert ["", "", ""] == [each.quarantine_id for each in results]
    request = ingest_pb2.PublishRequest(event=sent[0], validate_only=True)
    answer = await served.stub.Publish(request, metadata=key, timeout=20)
    assert VALID == answer.result.disposition
    assert 0 == await gateway_pool.fetchval("SELECT count(*) FROM gateway.quarantine")
    assert 0 == await journal_pool.fetchval("SELECT position FROM journal.head")


async def test_while_the_quarantine_is_away_the_good_are_recorded_and_the_mendable_are_to_be_repeated(
    served: Gateway,
    key: tuple[tuple[str, str], ...],
    gateway_pool: Pool,
    journal_pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quarantine, "KEEP_SECONDS_MAX", 0.2)
    await publish(served, key, event(event_id="a"))
    async with gateway_pool.acquire() as hanging, hanging.transaction():
        await hanging.execute("LOCK TABLE gateway.quarantine, gateway.quarantine_use")
        results = await publish(served, key, event(event_id="b"), mendable("m"), hopeless("h"))
    assert [RECORDED, RETRY, REJECTED] == dispositions(results)
    assert results[1].problem.retryable
    assert results[1].problem.retry_after.ToNanoseconds() > 0
    assert 2 == await journal_pool.fetchval("SELECT position FROM journal.head")


@pytest.mark.parametrize(
    ("given", "adapter", "disposition"),
    [
        (Content(b"{...", "event_json", event_id="m"), "", QUARANTINED),
        (Content(b"{...", "event_json"), "", REJECTED),
        (Content(b"<Transaction>", "poslog.v1"), "poslog.v1", QUARANTINED),
        (None, "", REJECTED),
    ],
)
async def test_what_could_not_be_read_is_kept_where_its_content_and_its_name_are_known(
    served: Gateway, given: Content | None, adapter: str, disposition: int
) -> None:
    unread = Problem(code="WRONG_TYPE", field="touchpoint", got="a number", want="a string")
    results = await served.upstream.publish(
        CALLER,
        [event(event_id="a"), unread, event(event_id="b")],
        NO_ATTEMPT,
        adapter=adapter,
        contents=[None, given, None],
    )
    assert [RECORDED, disposition, RECORDED] == dispositions(results)
    assert unread == results[1].problem
    if given and disposition == QUARANTINED:
        kept = await served.upstream._quarantine.get("acme", results[1].quarantine_id)
        assert (given.data, given.format) == (kept.content, kept.entry.format)


BAD_CALLS = {
    "events": ingest_pb2.PublishBatchRequest(),
    "events of one too many": ingest_pb2.PublishBatchRequest(
        events=[event()] * (BATCH_EVENTS_MAX + 1)
    ),
    "request": ingest_pb2.PublishBatchRequest(
        events=[event(attributes={"a": "x" * (BATCH_BYTES_MAX + 1)})]
    ),
    "attempt.sent_at": ingest_pb2.PublishBatchRequest(
        events=[event()], attempt={"sent_at": {"seconds": 10**15}}
    ),
}


@pytest.mark.parametrize("field", BAD_CALLS)
async def test_a_call_that_can_t_be_taken_names_its_field_and_is_not_to_be_repeated(
    served: Gateway, key: tuple[tuple[str, str], ...], journal_pool: Pool, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await served.stub.PublishBatch(BAD_CALLS[field], metadata=key, timeout=20)
    code, problem, repeat_after = told(refused.value)
    assert (grpc.StatusCode.INVALID_ARGUMENT, None) == (code, repeat_after)
    assert field.partition(" ")[0] == problem.field
    assert 0 == await journal_pool.fetchval("SELECT position FROM journal.head")


async def test_a_call_without_an_event_is_refused(
    served: Gateway, key: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await served.stub.Publish(ingest_pb2.PublishRequest(), metadata=key, timeout=20)
    assert (grpc.StatusCode.INVALID_ARGUMENT, "event") == (
        refused.value.code(),
        told(refused.value)[1].field,
    )


async def test_a_caller_without_the_scope_is_forbidden_and_one_without_a_key_is_unknown(
    served: Gateway,
) -> None:
    asking = await served.add_key("acme", "till", [QUERY])
    codes = []
    for shown in (asking, ()):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await publish(served, shown, event())
        code, _, repeat_after = told(refused.value)
        assert repeat_after is None
        codes.append(code)
    assert [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED] == codes


async def test_beyond_its_limits_a_caller_is_told_when_to_come_back(
    gateway_pool: Pool, journal_address: str
) -> None:
    async with gateway(
        gateway_pool, journal_address, key_burst_events=10, key_events_per_second=1
    ) as served:
        key = await served.add_key("acme", "till")
        await publish(served, key, *(event(event_id=f"{number}") for number in range(10)))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await publish(served, key, *(event(event_id=f"{number}") for number in range(10, 15)))
    code, _, repeat_after = told(refused.value)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == code
    assert repeat_after is not None
    assert 3 < repeat_after <= 5


@pytest.mark.parametrize("events", [1, 100])
async def test_a_journal_that_dies_under_a_publish_is_unavailable_and_the_repeat_is_recorded_once(
    gateway_pool: Pool, journal_pool: Pool, events: int
) -> None:
    class Dying(JournalServicer):
        """Stores, and never comes to answer."""

        def __init__(self, journal: Journal) -> None:
            super().__init__(journal)
            self.stored = asyncio.Event()

        async def Append(
            self, request: journal_pb2.AppendRequest, context: grpc.aio.ServicerContext
        ) -> journal_pb2.AppendResponse:
            await super().Append(request, context)
            self.stored.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def AppendMany(
            self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
        ) -> journal_pb2.AppendManyResponse:
            await super().AppendMany(request, context)
            self.stored.set()
            await asyncio.Event().wait()
            raise AssertionError

    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    dying, sent = Dying(journal), [event(event_id=f"{number}") for number in range(events)]
    async with contextlib.AsyncExitStack() as first:
        address = await first.enter_async_context(journal_server(dying))
        async with gateway(gateway_pool, address) as served:
            key = await served.add_key("acme", "till")
            publishing = asyncio.create_task(publish(served, key, *sent))
            await dying.stored.wait()
            await first.aclose()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await publishing
            async with (
                journal_server(JournalServicer(journal), address=address),
                asyncio.timeout(REPEATED_SECONDS_MAX),
            ):
                results = await publish_as_told(served, key, *sent)
    code, _, repeat_after = told(refused.value)
    assert grpc.StatusCode.UNAVAILABLE == code
    assert repeat_after
    assert [DUPLICATE] * events == dispositions(results)
    assert events == await journal_pool.fetchval("SELECT position FROM journal.head")


@pytest.mark.parametrize("events", [1, 100])
async def test_without_a_journal_a_publish_is_unavailable_with_a_time_to_repeat(
    gateway_pool: Pool, events: int
) -> None:
    async with gateway(gateway_pool, f"127.0.0.1:{free_port()}") as served:
        key = await served.add_key("acme", "till")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await publish(served, key, *(event(event_id=f"{number}") for number in range(events)))
    code, problem, repeat_after = told(refused.value)
    assert (grpc.StatusCode.UNAVAILABLE, True) == (code, problem.retryable)
    assert repeat_after is not None
    assert 0 < repeat_after <= 5


async def test_batches_at_once_are_handled_one_after_the_other_so_that_the_first_is_stored_soon(
    served: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices, original = list[str](), KEYRING.content_digests

    def digests(tenant: str, published: Sequence[bytes]) -> list[bytes]:
        slices.append(pb.Event.FromString(published[0]).event_id.partition("-")[0])
        return original(tenant, published)

    monkeypatch.setattr(KEYRING, "content_digests", digests)
    names = ["first", "second", "third"]
    batches = [
        [event(event_id=f"{name}-{number}") for number in range(BATCH_EVENTS_MAX)] for name in names
    ]
    answers = await asyncio.gather(
        *(served.upstream.publish(CALLER, batch, NO_ATTEMPT) for batch in batches)
    )
    assert {RECORDED} == {each for answer in answers for each in dispositions(answer)}
    assert [name for name in names for _ in range(BATCH_EVENTS_MAX // SLICE_EVENTS)] == slices
