"""WatchScores: the answer of now, then each that is another one, for as long as somebody reads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import grpc

from services.chassis.errors import Exhausted, Malformed, Unavailable
from services.scoring import question
from services.scoring.answers import Answers
from services.scoring.kept_scores import KeptScores
from touchledger.v1 import scoring_pb2 as pb

# Each asks its question anew when the projection has moved on.
WATCHES_MAX = 100
# How soon something new is told, at the earliest: a page of the projection comes each 50 ms or later.
AGAIN_SECONDS = 0.2
# A reader that hears nothing for some times as long has lost its stream.
SIGN_OF_LIFE_SECONDS = 5.0
# gRPC has taken some ten answers ahead of a reader that takes none.
SLOW_READER_SECONDS = 10.0


class Watches:
    def __init__(self, answers: Answers, stopping: asyncio.Event) -> None:
        """stopping: ends them all, since they would go on for ever."""
        self._answers = answers
        # Many watch the same scores.
        self._scores = KeptScores(answers)
        self._stopping = stopping
        # Streams under way.
        self.count = 0

    async def watch(
        self, tenant: str, request: pb.WatchScoresRequest, context: grpc.aio.ServicerContext
    ) -> None:
        _check(request.question)
        with self._place():
            async for message in self._messages(tenant, request.question):
                if not await _send(context, message):
                    return

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if self.count >= WATCHES_MAX:
            raise Exhausted("fewer streams at once", got=f"{self.count} under way")
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    async def _messages(
        self, tenant: str, asked: pb.GetScoresRequest
    ) -> AsyncIterator[pb.WatchScoresResponse]:
        now = asyncio.get_running_loop().time
        answer = await self._scores.get_scores(tenant, asked)
        yield pb.WatchScoresResponse(answer=answer, freshness=answer.freshness)
        known = answer.freshness.position
        told_at = now()
        while True:
            await self._pause()
            row = await self._answers.look()
            message = None
            if (row["journal_id"], row["position"]) != (known.journal_id, known.number):
                # Where others ask too much at once, there is a next time.
                with contextlib.suppress(Exhausted):
                    again = await self._scores.get_scores(tenant, asked)
                    known = again.freshness.position
                    if not _same(again, answer):
                        message = pb.WatchScoresResponse(answer=again)
                        answer = again
                    # What a sign of life tells.
                    answer.freshness.CopyFrom(again.freshness)
            if message is None and now() - told_at >= SIGN_OF_LIFE_SECONDS:
                message = pb.WatchScoresResponse()
            if message is not None:
                message.freshness.CopyFrom(answer.freshness)
                yield message
                told_at = now()

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_SECONDS):
                await self._stopping.wait()
        if self._stopping.is_set():
            raise Unavailable("another replica; this one is stopping")


def _check(asked: pb.GetScoresRequest) -> None:
    if asked.WhichOneof("as_of") is not None:
        raise Malformed(
            "nothing: what is watched is the present", field="question.as_of", got="one"
        )
    for name in ("page_size", "page_token"):
        if getattr(asked, name):
            raise Malformed("nothing: an answer is whole", field=f"question.{name}", got="one")
    # Each page of the projection would have all facts scanned.
    question.check_single(asked.names, "question.names")


def _same(one: pb.GetScoresResponse, other: pb.GetScoresResponse) -> bool:
    return (
        one.scores == other.scores
        and one.formula_version == other.formula_version
        and one.reporting_zone == other.reporting_zone
    )


async def _send(context: grpc.aio.ServicerContext, message: pb.WatchScoresResponse) -> bool:
    """False when nobody is there any more. gRPC takes no more once its window is full."""
    try:
        async with asyncio.timeout(SLOW_READER_SECONDS):
            await context.write(message)
    except TimeoutError:
        raise Exhausted(
            f"a reader that takes a message within {SLOW_READER_SECONDS:g} s", code="SLOW_READER"
        ) from None
    except grpc.aio.InternalError:
        # The transport's word for a connection that has ended under the write.
        return False
    return True
