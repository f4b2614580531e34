"""Decisions and questions pass through the gateway in the caller's name, and their answers as they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.chassis.client import open_channel
from services.chassis.errors import (
    Conflict,
    ErrorInterceptor,
    Exhausted,
    Forbidden,
    Malformed,
    NotFound,
    ServiceError,
    Unauthenticated,
    Unavailable,
    from_rpc,
)
from services.chassis.postgres import Pool
from services.gateway import forwarding as forwarding_module
from services.gateway import limits as limits_module
from services.gateway.access import ADMIN, QUERY, RECOVER, Access
from services.gateway.early_refusal import EarlyRefusal
from services.gateway.forwarding import SCORING_SERVICES, TOUCHPOINT_SERVICES, Forwarding
from services.gateway.limits import Limits
from services.gateway.settings import Settings
from tests.support.decisions import acknowledgement, definition, opening, remedy, served
from tests.support.gateway_keys import KEYRING, add_key, bearer
from tests.support.stack import Stack, free_port
from touchledger.v1 import (
    cases_pb2,
    cases_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    scoring_pb2_grpc,
)
from touchledger.v1.scoring_pb2 import WatchScoresRequest, WatchScoresResponse

SETTINGS = Settings.model_validate(
    {"database_url": "postgresql://nowhere", "secret_key_file": "nowhere"}
)
CUSTOMER = "erika.mustermann@example.org"


@dataclass(frozen=True)
class Gateway:
    """Asks as the office of acme, which may do everything here."""

    channel: grpc.aio.Channel
    url: str
    key: str
    access: Access
    errors: ErrorInterceptor

    async def ask(self, request: Message, *, key: str = "", **call: Any) -> Any:
        name = type(request).__name__.removesuffix("Request")
        stubs = (
            catalog_pb2_grpc.TouchpointCatalogServiceStub(self.channel),
            cases_pb2_grpc.RecoveryCaseServiceStub(self.channel),
        )
        [rpc] = [getattr(stub, name) for stub in stubs if hasattr(stub, name)]
        metadata = (*bearer(key or self.key), *call.pop("metadata", ()))
        return await rpc(request, metadata=metadata, **{"timeout": 20, **call})

    async def refusal(self, request: Message, **call: Any) -> ServiceError:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.ask(request, **call)
        return from_rpc(refused.value)


@contextlib.asynccontextmanager
async def gateway_before(url: str, behind: grpc.aio.Channel) -> AsyncIterator[Gateway]:
    key = await add_key(url, "acme", [QUERY, RECOVER, ADMIN], source="office")
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=2))
        access, limits = Access(pool, KEYRING), Limits(SETTINGS, pool)
        errors = ErrorInterceptor(calls_max=1000)
        server = grpc.aio.server(interceptors=[errors, EarlyRefusal(access, limits)])
        forwarding = Forwarding(access, limits, KEYRING, refusing=errors.refusing)
        for service in (*TOUCHPOINT_SERVICES, *SCORING_SERVICES):
            forwarding.add(service, behind, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Gateway(channel, url, key, access, errors)


@pytest.fixture
async def gateway(journal_pool: Pool, new_database: Callable[[str], str]) -> AsyncIterator[Gateway]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with served(journal_pool) as behind, gateway_before(url, behind) as opened:
        yield opened


async def test_what_is_decided_is_of_the_tenant_of_the_key_whatever_the_caller_says(
    gateway: Gateway,
) -> None:
    await gateway.ask(definition(), metadata=(("touchledger-tenant", "other"),))
    read = catalog_pb2.GetTouchpointRequest(touchpoint="store.checkout")
    assert "Store operations" == (await gateway.ask(read)).touchpoint.owner
    other = await add_key(gateway.url, "other", [QUERY])
    assert isinstance(await gateway.refusal(read, key=other), NotFound)


async def test_who_decides_begins_with_the_source_of_the_key(gateway: Gateway) -> None:
    answer = await gateway.ask(definition())
    assert "office/staff-7" == answer.touchpoint.decided_by
    opened = await gateway.ask(opening(decided_by=""))
    assert "office" == opened.recovery_case.opened_by


async def test_a_name_that_does_not_fit_behind_the_source_is_told_as_the_caller_gave_it(
    gateway: Gateway,
) -> None:
    await gateway.ask(opening(decided_by="s" * 121))
    refused = await gateway.refusal(opening(decided_by="s" * 122))
    assert ("decided_by", "122 characters", "at most 121 characters") == (
        refused.problem.field,
        refused.problem.got,
        refused.problem.want,
    )


async def test_a_customer_travels_as_the_pseudonym_that_stands_in_events(
    gateway: Gateway, journal_pool: Pool
) -> None:
    opened = await gateway.ask(opening(customer=CUSTOMER))
    pseudonym = KEYRING.pseudonym("acme", CUSTOMER)
    assert pseudonym == opened.recovery_case.customer
    read = await gateway.ask(cases_pb2.GetCaseRequest(case_id="case-1"))
    assert pseudonym == read.recovery_case.customer
    stored = await journal_pool.fetch("SELECT * FROM journal.stored_events")
    assert CUSTOMER not in str(stored)
    assert pseudonym in str(stored)


async def test_what_looks_like_a_pseudonym_is_somebodys_reference_all_the_same(
    gateway: Gateway,
) -> None:
    given = KEYRING.pseudonym("acme", CUSTOMER)
    opened = await gateway.ask(opening(customer=given))
    assert KEYRING.pseudonym("acme", given) == opened.recovery_case.customer


@pytest.mark.parametrize("customer", ["c" * 257, "a\nb"])
async def test_a_customer_that_no_event_could_name_is_refused_without_being_quoted(
    gateway: Gateway, customer: str
) -> None:
    refused = await gateway.refusal(opening(customer=customer))
    assert ("customer", f"{len(customer)} characters") == (
        refused.problem.field,
        refused.problem.got,
    )
    assert customer not in str(refused)


def test_a_customer_is_nowhere_in_requests_but_where_the_gateway_looks() -> None:
    def below(message: Descriptor, path: str, seen: frozenset[str]) -> list[str]:
        found = []
        for field in message.fields:
            here = f"{path}.{field.name}"
            if field.name == "customer":
                found.append(here)
            if field.message_type and field.message_type.full_name not in seen:
                found += below(field.message_type, here, seen | {field.message_type.full_name})
        return found

    requests = [
        method.input_type
        for service in (*TOUCHPOINT_SERVICES, *SCORING_SERVICES)
        for method in service.methods
    ]
    found = [path for each in requests for path in below(each, each.name, frozenset())]
    assert ["OpenCaseRequest.customer", "GetJourneyRequest.customer"] == found


async def test_a_repeated_command_is_the_same_command(gateway: Gateway, journal_pool: Pool) -> None:
    first = await gateway.ask(opening(customer=CUSTOMER))
    assert first == await gateway.ask(opening(customer=CUSTOMER))
    assert 1 == await journal_pool.fetchval("SELECT count(*) FROM journal.stored_events")


async def test_refusals_pass_through_with_their_problem(gateway: Gateway) -> None:
    await gateway.ask(opening())
    await gateway.ask(remedy())
    wrong = await gateway.refusal(acknowledgement())
    assert (Conflict, "WRONG_STATUS") == (type(wrong), wrong.problem.code)
    missing = await gateway.refusal(cases_pb2.GetCaseRequest(case_id="another"))
    assert isinstance(missing, NotFound)
    malformed = await gateway.refusal(catalog_pb2.GetTouchpointRequest(touchpoint="a b"))
    assert (Malformed, "touchpoint") == (type(malformed), malformed.problem.field)


async def test_bytes_that_are_no_request_are_malformed(gateway: Gateway) -> None:
    path = "/touchledger.v1.RecoveryCaseService/OpenCase"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await gateway.channel.unary_unary(path)(
            b"\xff\xff", metadata=bearer(gateway.key), timeout=20
        )
    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()


async def test_a_service_that_is_away_is_told_with_when_to_come_back(
    new_database: Callable[[str], str],
) -> None:
    url = await asyncio.to_thread(new_database, "gateway")
    async with (
        open_channel(f"127.0.0.1:{free_port()}") as nowhere,
        gateway_before(url, nowhere) as gateway,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gateway.ask(opening())
    assert isinstance(from_rpc(refused.value), Unavailable)
    assert "127.0.0.1" not in str(refused.value.details())
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert any(each.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for each in status.details)


async def test_a_caller_that_waits_for_less_is_not_kept_for_longer(
    new_database: Callable[[str], str],
) -> None:
    """The service behind gets what is left of the caller's time, so that it does nothing for nobody."""
    left: list[float] = []

    class Listening(cases_pb2_grpc.RecoveryCaseServiceServicer):
        async def GetCase(
            self, request: cases_pb2.GetCaseRequest, context: grpc.aio.ServicerContext
        ) -> cases_pb2.GetCaseResponse:
            left.append(context.time_remaining())
            return cases_pb2.GetCaseResponse()

    server = grpc.aio.server()
    cases_pb2_grpc.add_RecoveryCaseServiceServicer_to_server(
        Listening(),  # type: ignore[abstract]  # the others are not asked
        server,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    url = await asyncio.to_thread(new_database, "gateway")
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as behind,
        gateway_before(url, behind) as gateway,
    ):
        asked = cases_pb2.GetCaseRequest(case_id="a")
        await gateway.ask(asked, timeout=9)
        await gateway.ask(asked, timeout=None)
    await server.stop(None)
    assert 8 < left[0] < 10
    assert 29 < left[1] < 31


async def test_questions_at_once_are_bounded(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "QUESTIONS_TENANT_MAX", 0)
    refused = await gateway.refusal(cases_pb2.GetCaseRequest(case_id="a"))
    assert isinstance(refused, Exhausted)


class Scoring(scoring_pb2_grpc.ScoringServiceServicer):
    """Answers watchers with what a test puts in; None is the end."""

    def __init__(self) -> None:
        self.answers = asyncio.Queue[WatchScoresResponse | ServiceError | None]()
        self.began, self.ended = asyncio.Semaphore(0), asyncio.Semaphore(0)
        self.metadata = list[dict[str, str | bytes]]()

    async def WatchScores(
        self, request: WatchScoresRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[WatchScoresResponse]:
        self.metadata.append(dict(context.invocation_metadata() or ()))
        self.began.release()
        try:
            while answer := await self.answers.get():
                if isinstance(answer, ServiceError):
                    raise answer
                yield answer
        finally:
            self.ended.release()


@dataclass(frozen=True)
class Watched:
    gateway: Gateway
    scoring: Scoring
    server: grpc.aio.Server

    def watch(self, *, key: str = "", **call: Any) -> Any:
        stub = scoring_pb2_grpc.ScoringServiceStub(self.gateway.channel)
        metadata = (*bearer(key or self.gateway.key), *call.pop("metadata", ()))
        return stub.WatchScores(WatchScoresRequest(), metadata=metadata, **{"timeout": 20, **call})

    async def begin(self, **call: Any) -> Any:
        """A watch that is under way behind the gateway."""
        watch = self.watch(**call)
        await self.seen(self.scoring.began)
        return watch

    async def seen(self, of: asyncio.Semaphore) -> None:
        async with asyncio.timeout(10):
            await of.acquire()


@pytest.fixture
async def watched(new_database: Callable[[str], str]) -> AsyncIterator[Watched]:
    url = await asyncio.to_thread(new_database, "gateway")
    scoring = Scoring()  # type: ignore[abstract]  # the others are not asked
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=1000)])
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(scoring, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with (
        open_channel(f"127.0.0.1:{port}") as behind,
        gateway_before(url, behind) as gateway,
    ):
        yield Watched(gateway, scoring, server)
    await server.stop(None)


def lag(positions: int) -> WatchScoresResponse:
    answer = WatchScoresResponse()
    answer.freshness.lag = positions
    return answer


async def to_the_end(watch: Any) -> None:
    while await watch.read() is not grpc.aio.EOF:
        pass


async def refusal_of(watch: Any) -> tuple[ServiceError, bool]:
    """How a watch ends, after what may still come, and whether it says when to come back."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await to_the_end(watch)
    status = rpc_status.from_call(refused.value)
    details = status.details if status else ()
    hint = any(each.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for each in details)
    return from_rpc(refused.value), hint


async def test_answers_are_passed_on_as_they_come_to_the_tenant_of_the_key(
    watched: Watched,
) -> None:
    watch = await watched.begin(metadata=(("touchledger-tenant", "other"),))
    for positions in (1, 2):
        watched.scoring.answers.put_nowait(lag(positions))
        assert lag(positions) == await watch.read()
    watched.scoring.answers.put_nowait(None)
    assert grpc.aio.EOF == await watch.read()
    assert grpc.StatusCode.OK == await watch.code()
    [metadata] = watched.scoring.metadata
    assert "acme" == metadata["touchledger-tenant"]


async def test_what_ends_a_stream_behind_ends_it_here_with_its_problem(watched: Watched) -> None:
    watch = await watched.begin()
    watched.scoring.answers.put_nowait(Malformed("less", code="TOO_MANY", field="groups"))
    refused, hint = await refusal_of(watch)
    assert (Malformed, "TOO_MANY", False) == (type(refused), refused.problem.code, hint)


async def test_a_caller_that_goes_away_takes_its_stream_with_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding_module, "WATCHES_OF_KEY_MAX", 1)
    watch = await watched.begin()
    watch.cancel()
    await watched.seen(watched.scoring.ended)
    # Its place is free.
    again = await watched.begin()
    again.cancel()


async def test_a_caller_that_waits_for_less_watches_for_less(watched: Watched) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await watched.watch(timeout=0.5).read()
    assert grpc.StatusCode.DEADLINE_EXCEEDED == refused.value.code()
    await watched.seen(watched.scoring.ended)


async def test_a_stream_whose_service_dies_is_told_when_to_come_back(watched: Watched) -> None:
    watch = await watched.begin()
    await watched.server.stop(None)
    refused, hint = await refusal_of(watch)
    assert (Unavailable, True) == (type(refused), hint)


async def test_streams_end_when_calls_are_refused_with_when_to_come_back(
    watched: Watched,
) -> None:
    watch = await watched.begin()
    watched.scoring.answers.put_nowait(lag(1))
    assert lag(1) == await watch.read()
    watched.gateway.errors.refusing.set()
    refused, hint = await refusal_of(watch)
    assert (Unavailable, True) == (type(refused), hint)
    await watched.seen(watched.scoring.ended)


async def test_streams_of_a_key_and_a_tenant_and_in_all_are_bounded(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = await add_key(watched.gateway.url, "acme", [QUERY], source="web")
    third = await add_key(watched.gateway.url, "acme", [QUERY], source="app")
    other = await add_key(watched.gateway.url, "other", [QUERY])
    monkeypatch.setattr(forwarding_module, "WATCHES_OF_KEY_MAX", 1)
    monkeypatch.setattr(forwarding_module, "WATCHES_OF_TENANT_MAX", 2)
    monkeypatch.setattr(forwarding_module, "WATCHES_MAX", 3)
    under_way = [await watched.begin()]
    told = [await refusal_of(watched.watch())]
    under_way.append(await watched.begin(key=second))
    told.append(await refusal_of(watched.watch(key=third)))
    under_way.append(await watched.begin(key=other))
    another = await add_key(watched.gateway.url, "another", [QUERY])
    told.append(await refusal_of(watched.watch(key=another)))
    assert [
        (Exhausted, f"at most {most} streams of one {name}", True)
        for most, name in ((1, "key"), (2, "tenant"), (3, "gateway"))
    ] == [(type(refused), refused.problem.want, hint) for refused, hint in told]
    for each in under_way:
        each.cancel()


async def test_a_key_that_is_revoked_sees_nothing_more(watched: Watched) -> None:
    watch = await watched.begin()
    watched.scoring.answers.put_nowait(lag(1))
    assert lag(1) == await watch.read()
    key_id = watched.gateway.key.split("_")[1]
    connection = await asyncpg.connect(watched.gateway.url)
    await connection.execute(
        "UPDATE gateway.api_key SET revoked_at = now() WHERE key_id = $1", key_id
    )
    await connection.close()
    watched.gateway.access.forget(key_id)
    watched.scoring.answers.put_nowait(lag(2))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await watch.read()
    assert isinstance(from_rpc(refused.value), Unauthenticated)
    await watched.seen(watched.scoring.ended)


async def test_a_reader_that_takes_nothing_is_cut_off(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding_module, "SLOW_READER_SECONDS", 0.2)
    watch = await watched.begin()
    large = WatchScoresResponse()
    large.answer.reporting_zone = "x" * 1024 * 1024
    for _ in range(100):
        watched.scoring.answers.put_nowait(large)
    await watched.seen(watched.scoring.ended)
    # Most of it never left the service behind.
    assert watched.scoring.answers.qsize() > 50
    refused, hint = await refusal_of(watch)
    assert (Exhausted, "SLOW_READER", True) == (type(refused), refused.problem.code, hint)


async def test_a_stream_is_for_keys_that_may_ask(watched: Watched) -> None:
    key = await add_key(watched.gateway.url, "acme", [RECOVER], source="desk")
    refused, _ = await refusal_of(watched.watch(key=key))
    assert isinstance(refused, Forbidden)


async def test_a_gateway_that_stops_ends_its_watches_and_tells_when_to_come_back(
    stack: Stack,
) -> None:
    async with grpc.aio.insecure_channel(stack.gateway.address) as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        watch = stub.WatchScores(WatchScoresRequest(), metadata=stack.metadata, timeout=60)
        assert (await watch.read()).HasField("answer")
        stopping = asyncio.create_task(asyncio.to_thread(stack.gateway.stop))
        refused, hint = await refusal_of(watch)
        assert (Unavailable, True) == (type(refused), hint)
        assert 0 == await stopping
