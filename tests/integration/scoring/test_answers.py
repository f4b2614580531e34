"""What is asked as of a moment gets the same answer whenever it is asked, or is told to come back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest

from services.chassis.client import open_channel
from services.chassis.errors import (
    Conflict,
    ErrorInterceptor,
    Exhausted,
    Malformed,
    Unavailable,
    from_rpc,
)
from services.chassis.postgres import Pool
from services.scoring import answers, models
from services.scoring.answers import Answers
from services.scoring.bridge import get_bridge
from services.scoring.models import NEXT
from services.scoring.scoreboard import Scoreboard
from services.scoring.servicer import ScoringServicer
from services.scoring.source import Source
from services.scoring.watch import Watches
from tests.support.events import event, feedback
from tests.support.journals import (
    JOURNAL_ID,
    journal_of,
    project,
    recorded,
    recorded_at_position,
)
from tests.support.projecting import until
from touchledger.v1 import journal_pb2, journal_pb2_grpc, scoring_pb2, scoring_pb2_grpc

# The clock of the journal below.
NOW = recorded_at_position(100)


class Journal(journal_pb2_grpc.JournalServiceServicer):
    """Ends where a test says, at a moment that a test says."""

    head = 0
    # How often it was asked where it ends.
    asked = 0

    async def FindEvents(
        self, request: journal_pb2.FindEventsRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.FindEventsResponse:
        raise NotImplementedError

    async def ListRefused(
        self, request: journal_pb2.ListRefusedRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ListRefusedResponse:
        raise NotImplementedError

    async def SettleRefused(
        self, request: journal_pb2.SettleRefusedRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.SettleRefusedResponse:
        raise NotImplementedError

    async def GetHead(
        self, request: journal_pb2.GetHeadRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.GetHeadResponse:
        self.asked += 1
        position = journal_pb2.Position(journal_id=JOURNAL_ID, number=self.head)
        return journal_pb2.GetHeadResponse(head=position, clock=NOW)

    async def Append(
        self, request: journal_pb2.AppendRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendResponse:
        raise NotImplementedError

    async def AppendMany(
        self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendManyResponse:
        raise NotImplementedError

    def Subscribe(
        self, request: journal_pb2.SubscribeRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[journal_pb2.SubscribeResponse]:
        raise NotImplementedError

    async def ReadRange(
        self, request: journal_pb2.ReadRangeRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ReadRangeResponse:
        raise NotImplementedError

    async def ReadStream(
        self, request: journal_pb2.ReadStreamRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ReadStreamResponse:
        raise NotImplementedError


@pytest.fixture
async def journal() -> Journal:
    return Journal()


@pytest.fixture
async def asked(scoring_pool: Pool, journal: Journal) -> AsyncIterator[Answers]:
    """The answers of a scoreboard that has projected two events of the journal."""
    scoreboard = Scoreboard(scoring_pool)
    await scoreboard.install()
    await project(scoreboard, journal_of(event(event_id="1"), event(event_id="2")))
    server = grpc.aio.server()
    journal_pb2_grpc.add_JournalServiceServicer_to_server(journal, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Answers(scoring_pool, Source(channel))
    await server.stop(None)


async def test_a_moment_that_the_projection_has_passed_needs_no_journal(asked: Answers) -> None:
    got = await asked.recorded_by(recorded_at_position(1), "as_of_time")
    assert (JOURNAL_ID, 1) == (got.journal_id, got.number)


async def test_a_moment_after_the_last_event_is_told_once_all_is_projected(
    asked: Answers, journal: Journal
) -> None:
    journal.head = 2
    assert 2 == (await asked.recorded_by(NOW, "as_of_time")).number


async def test_a_moment_that_the_projection_has_not_reached_is_not_guessed(
    asked: Answers, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.head = 3
    monkeypatch.setattr(answers, "CATCH_UP_SECONDS_MAX", 0.1)
    with pytest.raises(Exhausted, match="the projection at position 3"):
        await asked.recorded_by(NOW, "as_of_time")


async def test_what_does_not_come_is_waited_for_once_by_a_channel_that_asks_again(
    asked: Answers, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.head = 3
    monkeypatch.setattr(answers, "CATCH_UP_SECONDS_MAX", 0.1)
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=10)])
    watches = Watches(asked, asyncio.Event())
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(
        ScoringServicer(asked, asked._source, watches), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    tenant = (("touchledger-tenant", "default"),)
    async with open_channel(f"127.0.0.1:{port}") as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        for number, status, code in (
            (3, grpc.StatusCode.RESOURCE_EXHAUSTED, "NOT_CAUGHT_UP"),
            (4, grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION"),
        ):
            journal.asked = 0
            request = scoring_pb2.GetScoresRequest(at_least_position={"number": number})
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetScores(request, metadata=tenant, timeout=15)
            error = from_rpc(refused.value)
            assert (status, code, 1) == (refused.value.code(), error.problem.code, journal.asked)
    await server.stop(None)


async def test_a_moment_to_come_is_refused(asked: Answers, journal: Journal) -> None:
    journal.head = 2
    with pytest.raises(Malformed, match=r"as_of_time: got .* want at most .* the journal's clock"):
        await asked.recorded_by(NOW + timedelta(seconds=1), "as_of_time")


async def test_a_moment_before_all_events_is_position_0(asked: Answers) -> None:
    got = await asked.recorded_by(datetime(2000, 1, 1, tzinfo=UTC), "as_of_time")
    assert 0 == got.number


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
async def test_days_at_the_ends_of_the_calendar_are_moments_like_others(
    asked: Answers, scoring_pool: Pool, zone: str
) -> None:
    await scoring_pool.execute("UPDATE tenant SET reporting_zone = $1", zone)

    async def position(request: scoring_pb2.GetLineageRequest) -> int | None:
        return await asked.position_of(request, "as_of", "default")

    assert 0 == await position(scoring_pb2.GetLineageRequest(as_of_date="0001-01-01"))
    with pytest.raises(Malformed, match=r"as_of_date: got .* the journal's clock"):
        await position(scoring_pb2.GetLineageRequest(as_of_date="9999-12-31"))
    bridge = scoring_pb2.GetBridgeRequest(score="csat_mean", seen_date="9999-12-31")
    with pytest.raises(Malformed, match=r"seen_date: got .* the journal's clock"):
        await get_bridge(asked, "default", bridge)
    bridge.seen_date = "0001-01-01"
    assert 0 == (await get_bridge(asked, "default", bridge)).seen.position.number


async def test_a_position_of_another_journal_is_refused(asked: Answers) -> None:
    with pytest.raises(Conflict, match=r"as_of_position\.journal_id"):
        await asked.as_of(journal_pb2.Position(journal_id="another", number=1))


async def test_more_questions_than_the_bound_are_told_to_come_back(
    asked: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "QUESTIONS_MAX", 0)
    with pytest.raises(Exhausted):
        await asked.reporting_zone("default")


async def test_events_are_counted_once_and_none_is_left_out(
    asked: Answers, scoring_pool: Pool
) -> None:
    topic = "touchledger.interaction.v1"
    counts = [(await asked.status("default")).events]
    await project(Scoreboard(scoring_pool), [recorded(feedback(event_id="3"), 3)])
    await project(Scoreboard(scoring_pool), [recorded(event(event_id="4"), 4)])
    await project(Scoreboard(scoring_pool), [recorded(event(event_id="5"), 5, tenant="another")])
    counts += [(await asked.status("default")).events for _ in range(2)]
    more = {topic: 3, "touchledger.feedback_received.v1": 1}
    assert [{topic: 2}, more, more] == counts
    # Read models that are not that far, after a rollback say.
    await scoring_pool.execute("DELETE FROM event WHERE position > 3")
    await scoring_pool.execute("UPDATE freshness SET position = 3")
    assert more | {topic: 2} == (await asked.status("default")).events


async def take_over(pool: Pool) -> None:
    """Another model answers from now on, which is at the beginning."""
    async with pool.acquire() as other, other.transaction():
        await models.create(other, NEXT)
        await models.switch(other)


async def test_an_answer_is_of_one_model_or_is_to_be_asked_for_again(
    asked: Answers, scoring_pool: Pool
) -> None:
    async def counted() -> list[asyncpg.Record]:
        async with asked.snapshot("default", scoring_pb2.GetScoresRequest()) as snapshot:
            await take_over(scoring_pool)
            return await snapshot.fetch("SELECT count(*) FROM event", [])

    with pytest.raises(Unavailable, match="another version has just replaced"):
        await counted()


async def test_events_of_another_model_are_not_counted_among_those_of_this_one(
    asked: Answers, scoring_pool: Pool
) -> None:
    async def waits() -> bool:
        return bool(await scoring_pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with scoring_pool.acquire() as holding, holding.transaction():
        await holding.execute("LOCK TABLE tenant IN ACCESS EXCLUSIVE MODE")
        told = asyncio.create_task(asked.status("default"))
        await until(waits, "the question has read the checkpoint and waits for the zone")
        await take_over(scoring_pool)
    with pytest.raises(Unavailable, match="another version has just replaced"):
        await told
