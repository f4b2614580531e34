"""Small publishes, whoever they are of, go together in one AppendMany: what comes during one is in the next.

Each has its own outcome. Whatever goes wrong with the call as a whole is told as retryable, since it is no
fault of any of them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass

import grpc

from services.chassis.errors import Exhausted, Unavailable, from_outcome, outcome_of
from services.chassis.wire import with_length
from touchledger.v1 import journal_pb2
from touchledger.v1.problem_pb2 import Problem

# Above it a call of its own costs less than storing the events does.
SMALL_EVENTS_MAX = 50
SMALL_BYTES_MAX = 256 * 1024
# What the journal takes in one AppendMany.
CALL_REQUESTS_MAX = 256
CALL_EVENTS_MAX = 1000
# With one small publish more it is well below what the transport takes in a message.
CALL_BYTES_MAX = 4 * 1024 * 1024
# A call commits in milliseconds; a caller is better told to repeat than kept waiting for longer.
CALL_SECONDS_MAX = 5.0
# What waits for so long is not sent any more. Looked at when a call ends, so no timer is needed for each.
WAIT_SECONDS_MAX = 5.0
# A call under way holds up those that wait, unless so many do that a further one is worth its cost …
FURTHER_CALL_REQUESTS = 32
# … or it takes so long that its replica may hang: the next one goes to another.
SLOW_CALL_SECONDS = 0.05
CALLS_AT_ONCE_MAX = 8
# A call costs as much as ten posts. So it is held back until as many have come as the last time, and now and
# then for half as many more, which makes it grow up to FURTHER_CALL_REQUESTS while many come; for no longer
# than this. Who posts one after the other waits for nobody. Of 64 posts at once, 5 went together without it.
HOLD_SECONDS_MAX = 0.008
# Calls until more are waited for again, where they did not come.
CALLS_WITHOUT_MORE = 32
# Not answered yet: a fifth of a second at 20,000 single posts a second.
PENDING_REQUESTS_MAX = 4096
PENDING_BYTES_MAX = 32 * 1024 * 1024
APPEND_MANY = "/touchledger.v1.JournalService/AppendMany"
# Where a request stands in an AppendManyRequest: number and type as on the wire.
REQUEST = b"\x0a"


def is_small(request: bytes, events: int) -> bool:
    return events <= SMALL_EVENTS_MAX and len(request) <= SMALL_BYTES_MAX


@dataclass(slots=True, eq=False)
class Waiting:
    # An AppendRequest, encoded: it goes into the call as it is.
    request: bytes
    events: int
    since_seconds: float
    answer: "asyncio.Future[journal_pb2.AppendResponse]"
    # With the trace of the publish.
    context: Context


class Coalescing:
    def __init__(self, journal: grpc.aio.Channel) -> None:
        self._append_many = journal.unary_unary(
            APPEND_MANY, response_deserializer=journal_pb2.AppendManyResponse.FromString
        )
        self._waiting = deque[Waiting]()
        self._pending_requests = self._pending_bytes = 0
        self._calls = set[asyncio.Task[None]]()
        # Those of them that are not slow.
        self._prompt = set[asyncio.Task[None]]()
        self._looking = False
        # How many a call is held back for, and how many calls more it stays at that.
        self._wanted, self._stays = 1, 0
        self._holding: asyncio.TimerHandle | None = None

    async def append(self, request: bytes, *, events: int) -> journal_pb2.AppendResponse:
        """What the journal answers to an encoded AppendRequest. For those that are small."""
        size = len(request)
        if (
            self._pending_requests >= PENDING_REQUESTS_MAX
            or self._pending_bytes + size > PENDING_BYTES_MAX
        ):
            raise Exhausted("fewer publishes at once", got=f"{self._pending_requests} waiting")
        loop = asyncio.get_running_loop()
        waiting = Waiting(request, events, loop.time(), loop.create_future(), copy_context())
        self._waiting.append(waiting)
        self._pending_requests += 1
        self._pending_bytes += size
        self._look_soon()
        try:
            return await waiting.answer
        finally:
            self._pending_requests -= 1
            self._pending_bytes -= size
            if waiting.answer.cancelled():
                # Its caller has given up: what was not sent yet need not be.
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiting)

    def _look_soon(self) -> None:
        # After everything else of this turn of the event loop: requests that came together go together.
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        too_old = asyncio.get_running_loop().time() - WAIT_SECONDS_MAX
        while self._waiting and self._waiting[0].since_seconds < too_old:
            answer = self._waiting.popleft().answer
            if not answer.done():
                answer.set_exception(Unavailable("a journal that keeps up; nothing was stored"))
        while self._waiting and self._may_call():
            taken = self._next()
            self._learn(len(taken))
            # Where there are others in the call, without the trace of the publish that happens to begin it.
            context = taken[0].context if len(taken) == 1 else Context()
            call = asyncio.create_task(self._call(taken), name="append many", context=context)
            for calls in (self._calls, self._prompt):
                calls.add(call)
                call.add_done_callback(calls.discard)
            call.add_done_callback(lambda _: self._look_soon())
            asyncio.get_running_loop().call_later(SLOW_CALL_SECONDS, self._not_prompt, call)

    def _may_call(self) -> bool:
        if len(self._calls) >= CALLS_AT_ONCE_MAX:
            return False
        if self._prompt:
            return len(self._waiting) >= FURTHER_CALL_REQUESTS
        return len(self._waiting) >= self._wanted or not self._hold()

    def _learn(self, taken: int) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        if taken < self._wanted:
            self._wanted, self._stays = taken, CALLS_WITHOUT_MORE
        elif self._stays:
            self._stays -= 1
        else:
            self._wanted = min(taken + taken // 2, FURTHER_CALL_REQUESTS)

    def _hold(self) -> bool:
        """Whether there is time to wait for more; then `_look` runs when it is over."""
        loop = asyncio.get_running_loop()
        ends = self._waiting[0].since_seconds + HOLD_SECONDS_MAX
        if loop.time() >= ends:
            return False
        if self._holding is None:
            self._holding = loop.call_at(ends, self._held)
        return True

    def _held(self) -> None:
        self._holding = None
        self._look_soon()

    def _not_prompt(self, call: asyncio.Task[None]) -> None:
        if call in self._prompt:
            self._prompt.discard(call)
            self._look_soon()

    def _next(self) -> list[Waiting]:
        """One at least."""
        taken, events, size = list[Waiting](), 0, 0
        while self._waiting and len(taken) < CALL_REQUESTS_MAX and size < CALL_BYTES_MAX:
            events += self._waiting[0].events
            if events > CALL_EVENTS_MAX:
                break
            size += len(self._waiting[0].request)
            taken.append(self._waiting.popleft())
        return taken

    async def _call(self, waiting: Sequence[Waiting]) -> None:
        outcomes = await self._outcomes([each.request for each in waiting])
        for each, outcome in zip(waiting, outcomes, strict=True):
            if each.answer.done():
                continue
            if outcome.HasField("problem"):
                each.answer.set_exception(from_outcome(outcome.problem))
            else:
                each.answer.set_result(outcome.response)

    async def _outcomes(self, requests: Sequence[bytes]) -> Sequence[journal_pb2.AppendOutcome]:
        many = b"".join([with_length(REQUEST, each) for each in requests])
        try:
            answer: journal_pb2.AppendManyResponse = await self._append_many(
                many, timeout=CALL_SECONDS_MAX
            )
            if len(answer.outcomes) != len(requests):
                raise Unavailable("an outcome for each request", got=f"{len(answer.outcomes)}")
        except Exception as error:
            return [journal_pb2.AppendOutcome(problem=_of_the_call(error))] * len(requests)
        return answer.outcomes


def _of_the_call(error: Exception) -> Problem:
    told = from_outcome(outcome_of(error, method="AppendMany"))
    if not told.retryable:
        told = Unavailable("a journal that takes AppendMany", got=told.problem.code)
    return told.problem
