"""Small publishes, whoever they are of, are handled as one: what comes during a call is in the next.

They are checked, encoded and appended together, and each has its own outcome. Whatever goes wrong with the
call as a whole is told as retryable, since it is no fault of any of them.
"""

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import grpc
import structlog
from opentelemetry import trace

from services.chassis import telemetry
from services.chassis.errors import (
    Exhausted,
    ServiceError,
    Unavailable,
    from_outcome,
    outcome_of,
    place_of,
)
from services.chassis.wire import with_length
from services.gateway.buffer import Buffer
from services.gateway.checks import Good, good
from services.gateway.encoding import SLICE_EVENTS, Shared, append_request
from services.gateway.keyring import Keyring
from touchledger.v1 import ingest_pb2, journal_pb2
from touchledger.v1.problem_pb2 import Problem

log = structlog.get_logger()

# Above it a call of its own costs less than storing the events does.
SMALL_EVENTS_MAX = 50
SMALL_BYTES_MAX = 256 * 1024
# The journal takes 1000 in one AppendMany, but they are handled in one turn of the event loop.
CALL_EVENTS_MAX = SLICE_EVENTS
# With one small publish more it is well below what the transport takes in a message.
CALL_BYTES_MAX = 4 * 1024 * 1024
# A call commits in milliseconds; a caller is better told to repeat than kept waiting for longer.
CALL_SECONDS_MAX = 5.0
# What waits for so long is not sent any more. Looked at when a call ends, so no timer is needed for each.
WAIT_SECONDS_MAX = 5.0
# A call under way holds up those that wait, unless so many do that a further one is worth its cost …
FURTHER_CALL_PUBLISHES = 32
# … or it takes so long that its replica may hang: the next one goes to another.
SLOW_CALL_SECONDS = 0.05
CALLS_AT_ONCE_MAX = 8
# Not answered yet: a fifth of a second at 20,000 single posts a second.
PENDING_PUBLISHES_MAX = 4096
PENDING_BYTES_MAX = 32 * 1024 * 1024
APPEND_MANY = "/touchledger.v1.JournalService/AppendMany"
# Where a request stands in an AppendManyRequest: number and type as on the wire.
REQUEST = b"\x0a"


def is_small(encodings: Sequence[bytes]) -> bool:
    return len(encodings) <= SMALL_EVENTS_MAX and sum(map(len, encodings)) <= SMALL_BYTES_MAX


class Stored(NamedTuple):
    """What became of the events of a publish, in order."""

    journal_id: str
    results: Sequence[journal_pb2.AppendResult]


class Queued(NamedTuple):
    """The same where a buffer takes them: QUEUED or RETRY."""

    results: Sequence[ingest_pb2.PublishResult]


@dataclass(slots=True, eq=False)
class Waiting:
    shared: Shared
    # The events as they were published.
    encodings: Sequence[bytes]
    size: int
    since_seconds: float
    answer: "asyncio.Future[Stored | Queued | None]"
    # With the trace of the publish.
    context: Context


@dataclass(frozen=True, slots=True)
class Run:
    """Publishes that go as one AppendRequest, and their events one after the other."""

    publishes: Sequence[Waiting]
    events: Good

    @property
    def shared(self) -> Shared:
        return self.publishes[0].shared


class Coalescing:
    def __init__(
        self, journal: grpc.aio.Channel, keyring: Keyring, buffer: Buffer | None = None
    ) -> None:
        self._buffer = buffer
        self._append_many = journal.unary_unary(
            APPEND_MANY, response_deserializer=journal_pb2.AppendManyResponse.FromString
        )
        self._keyring = keyring
        self._waiting = deque[Waiting]()
        self._pending_publishes = self._pending_bytes = 0
        self._calls = set[asyncio.Task[None]]()
        # Those of them that are not slow.
        self._prompt = set[asyncio.Task[None]]()
        self._looking = False
        _coalescing.add(self)

    async def append(self, shared: Shared, encodings: Sequence[bytes]) -> Stored | Queued | None:
        """What became of a small publish of good events.

        None where one of them is not good at first sight: then nothing is stored.
        """
        size = sum(map(len, encodings))
        if (
            self._pending_publishes >= PENDING_PUBLISHES_MAX
            or self._pending_bytes + size > PENDING_BYTES_MAX
        ):
            raise Exhausted("fewer publishes at once", got=f"{self._pending_publishes} waiting")
        loop = asyncio.get_running_loop()
        waiting = Waiting(
            shared, encodings, size, loop.time(), loop.create_future(), copy_context()
        )
        self._waiting.append(waiting)
        self._pending_publishes += 1
        self._pending_bytes += size
        self._look_soon()
        try:
            return await waiting.answer
        finally:
            self._pending_publishes -= 1
            self._pending_bytes -= size
            if waiting.answer.cancelled():
                # Its caller has given up: what was not sent yet need not be.
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiting)

    def pending(self) -> int:
        return self._pending_publishes

    def _look_soon(self) -> None:
        # After everything else of this turn of the event loop: publishes that came together go together.
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        too_old = asyncio.get_running_loop().time() - WAIT_SECONDS_MAX
        while self._waiting and self._waiting[0].since_seconds < too_old:
            _answer(
                self._waiting.popleft(), Unavailable("a journal that keeps up; nothing was stored")
            )
        while self._waiting and self._may_call():
            taken = self._next()
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
        return not self._prompt or len(self._waiting) >= FURTHER_CALL_PUBLISHES

    def _not_prompt(self, call: asyncio.Task[None]) -> None:
        if call in self._prompt:
            self._prompt.discard(call)
            self._look_soon()

    def _next(self) -> list[Waiting]:
        """One at least."""
        taken, events, size = list[Waiting](), 0, 0
        while self._waiting and size < CALL_BYTES_MAX:
            events += len(self._waiting[0].encodings)
            if events > CALL_EVENTS_MAX:
                break
            size += self._waiting[0].size
            taken.append(self._waiting.popleft())
        return taken

    async def _call(self, taken: Sequence[Waiting]) -> None:
        """Answers each of them, whatever happens."""
        try:
            with _shared(taken):
                await self._store(taken)
        except Exception as error:
            problem = _of_the_call(error)
            for each in taken:
                _answer(each, from_outcome(problem))

    async def _store(self, taken: Sequence[Waiting]) -> None:
        runs = _runs(taken)
        good_ones = {each for run in runs for each in run.publishes}
        for each in taken:
            if each not in good_ones:
                _answer(each, None)
        if self._buffer is not None:
            await asyncio.gather(*(self._queue(self._buffer, run) for run in runs))
        else:
            await self._append(runs)

    async def _queue(self, buffer: Buffer, run: Run) -> None:
        try:
            results = await buffer.queue(run.shared, run.events)
        except Exception as error:
            problem = _of_the_call(error)
            for each in run.publishes:
                _answer(each, from_outcome(problem))
            return
        start = 0
        for each in run.publishes:
            end = start + len(each.encodings)
            _answer(each, _of_queued(results[start:end]))
            start = end

    async def _append(self, runs: Sequence[Run]) -> None:
        if not runs:
            return
        apart = list[Run]()
        for run, outcome in zip(runs, await self._outcomes(runs), strict=True):
            if not outcome.HasField("problem"):
                _answer_each(run, outcome.response)
            elif len(run.publishes) == 1 or outcome.problem.retryable:
                for each in run.publishes:
                    _answer(each, from_outcome(outcome.problem))
            else:
                # What is wrong with one of them is not to be told to the others.
                apart += _alone(run.publishes)
        await self._append(apart)

    async def _outcomes(self, runs: Sequence[Run]) -> Sequence[journal_pb2.AppendOutcome]:
        requests = [append_request(run.shared, run.events, self._keyring) for run in runs]
        many = b"".join([with_length(REQUEST, b"".join(each)) for each in requests])
        answer: journal_pb2.AppendManyResponse = await self._append_many(
            many, timeout=CALL_SECONDS_MAX
        )
        if len(answer.outcomes) != len(runs):
            raise Unavailable("an outcome for each request", got=f"{len(answer.outcomes)}")
        return answer.outcomes


_coalescing = weakref.WeakSet[Coalescing]()
telemetry.sum_gauge(
    "touchledger.publish.queue.depth",
    "{publish}",
    f"Small publishes without an answer yet; at {PENDING_PUBLISHES_MAX} the next one is refused.",
    lambda: (each.pending() for each in _coalescing),
)


def _shared(taken: Sequence[Waiting]) -> contextlib.AbstractContextManager[None]:
    """The span of a call for several; that of one alone is the current one."""
    if len(taken) == 1:
        return contextlib.nullcontext()
    spans = (each.context.run(trace.get_current_span) for each in taken)
    return telemetry.shared_span("append many", spans)


def _runs(taken: Sequence[Waiting]) -> list[Run]:
    """Those of which all events are good at first sight, by what they share."""
    sharing = dict[Shared, list[Waiting]]()
    for each in taken:
        sharing.setdefault(each.shared, []).append(each)
    together = _good([*chain.from_iterable(sharing.values())])
    if together is None:
        good_ones = _good_ones(taken)
        return _runs(good_ones) if 0 < len(good_ones) < len(taken) else _alone(good_ones)
    runs, start = list[Run](), 0
    for publishes in sharing.values():
        end = start + sum(len(each.encodings) for each in publishes)
        runs.append(Run(publishes, together.part(start, end)))
        start = end
    return runs


def _good_ones(publishes: Sequence[Waiting]) -> Sequence[Waiting]:
    """By halves: one that is not good costs three looks at all of them, and not one at each alone."""
    if _good(publishes):
        return publishes
    if len(publishes) == 1:
        return []
    half = len(publishes) // 2
    return [*_good_ones(publishes[:half]), *_good_ones(publishes[half:])]


def _alone(publishes: Sequence[Waiting]) -> list[Run]:
    """Each of them by itself, where it is good."""
    return [Run([each], events) for each in publishes if (events := _good([each]))]


def _good(publishes: Sequence[Waiting]) -> Good | None:
    encodings = [encoding for each in publishes for encoding in each.encodings]
    try:
        return good(encodings)
    # Whatever it is, it must not become the others' fault: its own call will meet it again.
    except Exception as error:
        log.error("unexpected", method="good", error=type(error).__name__, where=place_of(error))
        return None


def _answer_each(run: Run, response: journal_pb2.AppendResponse) -> None:
    journal_id, results, start = response.journal_id, response.results[:], 0
    if len(results) != len(run.events.encodings):
        raise Unavailable("a result for each event", got=f"{len(results)}")
    for each in run.publishes:
        end = start + len(each.encodings)
        _answer(each, Stored(journal_id, results[start:end]))
        start = end


def _of_queued(results: Sequence[ingest_pb2.PublishResult]) -> Queued | ServiceError:
    """As each publish alone: where nothing of it was queued, that is an error."""
    retry = ingest_pb2.DISPOSITION_RETRY
    if all(each.disposition == retry for each in results):
        return from_outcome(results[0].problem)
    return Queued(results)


def _answer(waiting: Waiting, answer: Stored | Queued | ServiceError | None) -> None:
    """Nothing where it has one, or its caller has given up."""
    if waiting.answer.done():
        return
    if isinstance(answer, ServiceError):
        waiting.answer.set_exception(answer)
    else:
        waiting.answer.set_result(answer)


def _of_the_call(error: Exception) -> Problem:
    told = from_outcome(outcome_of(error, method="AppendMany"))
    if not told.retryable:
        told = Unavailable("a journal that takes AppendMany", got=told.problem.code)
    return told.problem
