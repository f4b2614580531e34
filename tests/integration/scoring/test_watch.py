"""WatchScores tells what changes, shows that it lives, and ends where it must; over a real socket."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from services.chassis.errors import ErrorInterceptor, Exhausted, Malformed, Unavailable, from_rpc
from services.chassis.postgres import Pool
from services.scoring import watch
from services.scoring.answers import Answers
from services.scoring.kept_scores import KeptScores
from services.scoring.scoreboard import Scoreboard
from services.scoring.servicer import TENANT_METADATA, ScoringServicer
from services.scoring.source import Source
from services.scoring.watch import Watches
from tests.support.asking import at
from tests.support.events import csat, event, feedback
from tests.support.journals import project, recorded
from touchledger.v1 import events_pb2, scoring_pb2_grpc
from touchledger.v1 import scoring_pb2 as pb

DEADLINE_SECONDS = 20.0


class Served:
    def __init__(self, scoreboard: Scoreboard, answers: Answers, channel: grpc.aio.Channel) -> None:
        self.stopping = asyncio.Event()
        self.watches = Watches(answers, self.stopping)
        self._scoreboard = scoreboard
        self._stub: Any = scoring_pb2_grpc.ScoringServiceStub(channel)
        self._position = 0

    async def happened(self, *events: events_pb2.Event, tenant: str = "default") -> None:
        for each in events:
            self._position += 1
            await project(self._scoreboard, [recorded(each, self._position, tenant=tenant)])

    def watch(self, tenant: str = "default", **asked: Any) -> Any:
        question = json_format.ParseDict(asked, pb.GetScoresRequest())
        return self._stub.WatchScores(
            pb.WatchScoresRequest(question=question), metadata=((TENANT_METADATA, tenant),)
        )


@pytest.fixture
async def served(scoring_pool: Pool) -> AsyncIterator[Served]:
    scoreboard = Scoreboard(scoring_pool)
    await scoreboard.install()
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=100)])
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nowhere:
        answers = Answers(scoring_pool, Source(nowhere))
        port = server.add_insecure_port("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            made = Served(scoreboard, answers, channel)
            servicer = ScoringServicer(answers, Source(nowhere), made.watches)
            scoring_pb2_grpc.add_ScoringServiceServicer_to_server(servicer, server)
            await server.start()
            yield made
            made.stopping.set()
        await server.stop(None)


async def told(call: Any) -> pb.WatchScoresResponse:
    async with asyncio.timeout(DEADLINE_SECONDS):
        message = await call.read()
    assert message is not grpc.aio.EOF
    return message  # type: ignore[no-any-return]  # read() has no type


async def ended(call: Any) -> Exception:
    """What the stream ended with, once all that was told is read."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await call.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return from_rpc(error)
    raise AssertionError("it ended well")


def answered(number: int, value: str, **fields: object) -> events_pb2.Event:
    return feedback(csat(value), event_id=f"answer-{number}", **fields)


async def test_the_answer_of_now_comes_at_once_and_then_each_that_is_another(
    served: Served,
) -> None:
    await served.happened(answered(1, "5"))
    call = served.watch(names=["csat_mean"])
    first = await told(call)
    await served.happened(answered(2, "4"))
    second = await told(call)
    assert [5.0, 4.5] == [each.answer.scores[0].scores["csat_mean"] for each in (first, second)]
    assert [1, 2] == [each.freshness.position.number for each in (first, second)]
    assert [1, 2] == [each.answer.as_of_position.number for each in (first, second)]


async def test_what_leaves_the_answer_as_it_is_is_not_told(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SIGN_OF_LIFE_SECONDS", 0.0)
    await served.happened(answered(1, "5"))
    call = served.watch(touchpoint_glob="store.*", names=["csat_mean"])
    await told(call)
    await served.happened(event(event_id="elsewhere", touchpoint="web.returns"))
    await served.happened(answered(2, "1"), tenant="another")
    while (message := await told(call)).freshness.position.number < 3:
        assert not message.HasField("answer")
    assert not message.HasField("answer")
    await served.happened(answered(3, "1"))
    while not (message := await told(call)).HasField("answer"):
        pass
    assert 3.0 == message.answer.scores[0].scores["csat_mean"]


async def test_a_stream_ends_when_the_process_stops(served: Served) -> None:
    call = served.watch()
    await told(call)
    served.stopping.set()
    error = await ended(call)
    assert isinstance(error, Unavailable)
    assert error.problem.HasField("retry_after")


async def test_more_streams_than_the_bound_are_told_to_come_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WATCHES_MAX", 1)
    first = served.watch()
    await told(first)
    assert isinstance(await ended(served.watch()), Exhausted)
    first.cancel()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while served.watches.count:  # noqa: ASYNC110  # nothing tells but looking
            await asyncio.sleep(0.02)
    await told(served.watch())


async def test_a_reader_that_takes_nothing_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SLOW_READER_SECONDS", 0.3)
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.01)
    counter = itertools.count()

    async def always_another_of_a_megabyte(*asked: Any) -> pb.GetScoresResponse:
        version = f"{next(counter):01000000}"
        return pb.GetScoresResponse(formula_version=version, freshness=pb.Freshness(head=1))

    monkeypatch.setattr(KeptScores, "get_scores", always_another_of_a_megabyte)
    await served.happened(event())
    call = served.watch()
    await told(call)
    assert 1 == served.watches.count
    async with asyncio.timeout(DEADLINE_SECONDS):
        while served.watches.count:  # noqa: ASYNC110  # nothing tells but looking
            await asyncio.sleep(0.02)
    error = await ended(call)
    assert isinstance(error, Exhausted)
    assert "SLOW_READER" == error.problem.code


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"as_of_position": at(0)}, "question.as_of"),
        ({"as_of_date": "2026-01-01"}, "question.as_of"),
        ({"page_size": 1}, "question.page_size"),
        ({"group_by": 77}, "group_by"),
    ],
)
async def test_what_can_not_be_watched_is_refused(
    served: Served, asked: dict[str, Any], field: str
) -> None:
    error = await ended(served.watch(**asked))
    assert isinstance(error, Malformed)
    assert field == error.problem.field


async def test_a_call_without_a_tenant_is_refused(served: Served) -> None:
    assert isinstance(await ended(served.watch(tenant="")), Malformed)
