"""Decides what is sent next, what an answer means for each event, and how long to wait before the next call.

Clients call `next_batch`, send it, and hand the answer or the error to `answered` or `failed`. One batch is
under way at a time, and it is sent again until each of its events is settled: that keeps the order.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from touchledger.v1 import events_pb2, ingest_pb2, journal_pb2, problem_pb2
from touchledger_client.spool import ENDS, Settled, Spool, SpoolCounts, Spooled
from touchledger_client.timestamps import timestamp

log = logging.getLogger("touchledger_client")

# What one call may carry: IngestService.PublishBatch.
BATCH_EVENTS_MAX = 500
# Below its 4 MiB, so that framing and the attempt never push a batch over it.
BATCH_BYTES_MAX = 4_000_000
STATUS_DETAILS = "grpc-status-details-bin"

# Nothing is known to be stored, and the same may succeed later. CANCELLED is what some proxies make of a
# server that goes away under a call; UNKNOWN and INTERNAL what they, or the gateway, make of an accident.
REPEATABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)
# The batch may be more than a limit ever lets through at once, than a proxy carries, or than a thin line
# brings over in the time of one call.
TOO_MUCH = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long to wait for what."""

    # A commit takes milliseconds; a call that takes this long has lost its server.
    call_seconds_max: float = 30.0
    # The first wait without a hint; doubled each time, with jitter.
    backoff_seconds: float = 0.5
    backoff_seconds_max: float = 60.0
    # A server's hint is kept, up to this: a quota that was raised is not slept through until midnight.
    hint_seconds_max: float = 3600.0
    # Where only a person can help: a key that was revoked, a wrong address.
    refused_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one event."""

    event_id: str
    # A touchledger.v1 Disposition: RECORDED, QUEUED, DUPLICATE, QUARANTINED or REJECTED.
    disposition: int
    # Set when RECORDED or DUPLICATE.
    position: journal_pb2.Position
    # Set when QUARANTINED or REJECTED.
    problem: problem_pb2.Problem
    # Set when QUARANTINED.
    quarantine_id: str


@dataclass(frozen=True, slots=True)
class Status:
    """How it goes."""

    counts: SpoolCounts
    # What went wrong with the last call; empty when it went well.
    trouble: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to send in one call."""

    spooled: list[Spooled]
    events: list[events_pb2.Event]

    @property
    def first_number(self) -> int:
        return self.spooled[0].number


@dataclass(frozen=True, slots=True)
class Next:
    """What to do after a call."""

    results: list[Result]
    wait_seconds: float = 0.0
    # Nothing cuts the wait short: the gateway has asked for it, or less would change nothing.
    wait_is_due: bool = False
    # The connection may be what is wrong.
    reconnect: bool = False


class Delivery:
    """For one sender; its methods wait for the disk and raise SpoolError."""

    def __init__(
        self,
        spool: Spool,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._events_max = BATCH_EVENTS_MAX
        self._trouble = ""
        self.pace = pace or Pace()

    def next_batch(self) -> Batch | None:
        """The oldest events; None where none waits."""
        spooled = self._spool.first(events_max=self._events_max, bytes_max=BATCH_BYTES_MAX)
        unsound = [each for each in spooled if not each.sound]
        if unsound:
            self._spool.settle([_unsound(each) for each in unsound])
            log.error(
                "the disk has changed %d events of the spool; they are rejected", len(unsound)
            )
            return self.next_batch()
        if not spooled:
            return None
        return Batch(spooled, [events_pb2.Event.FromString(each.content) for each in spooled])

    def request(self, batch: Batch) -> ingest_pb2.PublishBatchRequest:
        """Each attempt says when it was made; the events are the same ever again."""
        attempt = ingest_pb2.Attempt(sent_at=timestamp(self._clock()))
        return ingest_pb2.PublishBatchRequest(events=batch.events, attempt=attempt)

    def answered(self, batch: Batch, answer: ingest_pb2.PublishBatchResponse) -> Next:
        if len(answer.results) != len(batch.events):
            told = f"got {len(answer.results)} results for {len(batch.events)} events"
            return self._again(told, due=True, seconds=self.pace.refused_seconds)
        ended = [each.disposition in ENDS for each in answer.results]
        results = self._settle(
            [each for each, end in zip(batch.spooled, ended, strict=True) if end],
            [each for each, end in zip(batch.events, ended, strict=True) if end],
            [each for each, end in zip(answer.results, ended, strict=True) if end],
        )
        if all(ended):
            self._failures = 0
            self._events_max = min(self._events_max * 2, BATCH_EVENTS_MAX)
            self._went("")
            return Next(results)
        waits = [each.problem for each, end in zip(answer.results, ended, strict=True) if not end]
        hint = max(_seconds(each.retry_after) for each in waits)
        return self._again(f"RETRY: {waits[0].code}", results=results, hint=hint)

    def failed(self, batch: Batch, call: grpc.Call) -> Next:
        """What a call that failed means: its code, details and trailing metadata tell."""
        code: grpc.StatusCode = call.code()
        problem, hint = _details(call)
        told = f"{code.name}: {call.details()}"
        if code is grpc.StatusCode.INVALID_ARGUMENT and problem is not None:
            return self._refused(batch, problem, told)
        if code not in REPEATABLE:
            return self._again(told, due=True, seconds=self.pace.refused_seconds, reconnect=True)
        if code in TOO_MUCH:
            self._events_max = max(len(batch.events) // 2, 1)
        return self._again(
            told, hint=hint, reconnect=code is not grpc.StatusCode.RESOURCE_EXHAUSTED
        )

    def disk_failed(self, error: Exception) -> Next:
        """The spool can't say what to send, or note what was."""
        return self._again(str(error))

    def status(self) -> Status:
        return Status(self._spool.counts(), self._trouble)

    def _refused(self, batch: Batch, problem: problem_pb2.Problem, told: str) -> Next:
        """It was refused as a whole: half of it may be good, and an event that was alone is the culprit."""
        if len(batch.events) > 1:
            self._events_max = len(batch.events) // 2
            self._went(told)
            return Next([])
        rejected = ingest_pb2.PublishResult(
            disposition=ingest_pb2.DISPOSITION_REJECTED, problem=problem
        )
        self._went("")
        return Next(self._settle(batch.spooled, batch.events, [rejected]))

    def _settle(
        self,
        spooled: Sequence[Spooled],
        events: Sequence[events_pb2.Event],
        results: Sequence[ingest_pb2.PublishResult],
    ) -> list[Result]:
        self._spool.settle(
            [
                Settled(each, result.disposition, result.problem)
                for each, result in zip(spooled, results, strict=True)
            ]
        )
        return [
            Result(
                event.event_id,
                result.disposition,
                result.position,
                result.problem,
                result.quarantine_id,
            )
            for event, result in zip(events, results, strict=True)
        ]

    def _again(
        self,
        told: str,
        *,
        results: Sequence[Result] = (),
        hint: float = 0.0,
        seconds: float = 0.0,
        due: bool = False,
        reconnect: bool = False,
    ) -> Next:
        self._went(told)
        pace = self.pace
        # The exponent is bounded because 2.0**1024 is an OverflowError.
        backoff = min(
            pace.backoff_seconds * 2.0 ** min(self._failures, 30), pace.backoff_seconds_max
        )
        self._failures += 1
        if seconds:
            wait = seconds
        elif hint:
            # Never before the hint; spread behind it, or all tills would come back at once.
            wait = min(hint, pace.hint_seconds_max) + backoff * self._chance()
        else:
            wait = backoff * (0.5 + self._chance() / 2)
        return Next(list(results), wait, due or hint > 0, reconnect)

    def _went(self, trouble: str) -> None:
        # Once for each kind of trouble: a till that is offline for a week says so once.
        if trouble.partition(":")[0] != self._trouble.partition(":")[0]:
            log.warning("publishing: %s", trouble or "works again")
        self._trouble = trouble


def _unsound(spooled: Spooled) -> Settled:
    return Settled(
        spooled,
        ingest_pb2.DISPOSITION_REJECTED,
        problem_pb2.Problem(
            code="SPOOL_DAMAGED",
            got="other bytes than were added, which the disk has changed",
            want="the event as it was added",
        ),
    )


def _details(call: grpc.Call) -> tuple[problem_pb2.Problem | None, float]:
    """What the gateway says of a failed call: its Problem, and the seconds of RetryInfo, 0 without."""
    problem: problem_pb2.Problem | None = None
    seconds = 0.0
    for name, value in call.trailing_metadata() or ():
        if name != STATUS_DETAILS:
            continue
        try:
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Is(problem_pb2.Problem.DESCRIPTOR):
                    problem = problem_pb2.Problem.FromString(detail.value)
                elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                    info = error_details_pb2.RetryInfo.FromString(detail.value)
                    seconds = _seconds(info.retry_delay)
        except DecodeError:
            # Something between here and the gateway garbled them; the backoff does.
            return None, 0.0
    return problem, seconds


def _seconds(duration: Duration) -> float:
    return max(0.0, duration.seconds + duration.nanos / 1e9)
