"""Stores batches of the stream in the journal, and sets aside what the journal will never take."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import asyncpg
from google.protobuf.message import DecodeError

from services.chassis.buffer import tenant_of
from services.chassis.errors import Malformed, outcome_of
from services.touchpoint.append_request import encoded_many
from services.touchpoint.appender import Outcome, Result
from services.touchpoint.journal import Journal
from services.touchpoint.recorder.stream import Batch
from services.touchpoint.refused import Refused
from services.touchpoint.row import Rows
from touchledger.v1.journal_pb2 import AppendManyRequest, AppendRequest
from touchledger.v1.problem_pb2 import Problem

# What the journal says of an event that it will never take. All else, a database that is away or that became
# a standby among them, may pass, or somebody has to see to it: the events stay where they are.
OF_THE_EVENT = (Malformed, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
# Refused.format: an AppendRequest with one entry, and a whole message that can't be read.
ENTRY, BATCH = "entry", "batch"


class Counts(NamedTuple):
    recorded: int
    again: int
    refused: int


class Store:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def store(self, batches: Sequence[Batch]) -> Counts:
        """Once each of their events is durable, in the journal or among the refused. Raises what may pass."""
        requests, refused = list[AppendRequest](), list[Refused]()
        for batch in batches:
            tenant = tenant_of(batch.subject)
            try:
                of_batch = AppendManyRequest.FromString(batch.data).requests
            except DecodeError:
                refused.append(_unreadable(tenant, batch.data))
                continue
            for request in of_batch:
                if request.tenant == tenant:
                    requests.append(request)
                else:
                    refused += [_foreign(tenant, each) for each in _alone(request)]
        counts = await self._append(requests, refused)
        if refused:
            await self._journal.refused.keep(refused)
        return counts

    async def sweep(self) -> None:
        await self._journal.refused.sweep()

    async def _append(self, requests: Sequence[AppendRequest], refused: list[Refused]) -> Counts:
        """In their order, but for what has to be tried alone."""
        encoded = await encoded_many(requests)
        stored = iter(
            await self._journal.append_many([each for each in encoded if isinstance(each, Rows)])
        )
        recorded = again = 0
        apart = list[AppendRequest]()
        for request, each in zip(requests, encoded, strict=True):
            outcome = next(stored) if isinstance(each, Rows) else each
            if isinstance(outcome, Exception):
                # Encoding asks nobody: what it can't do now it never can.
                if isinstance(each, Rows) and not isinstance(outcome, OF_THE_EVENT):
                    raise outcome
                if len(request.entries) > 1:
                    # What is wrong with one of them is no reason to refuse the others.
                    apart += _alone(request)
                else:
                    refused.append(_refused(request, outcome_of(outcome, method="record")))
                continue
            news = sum(result.outcome is Outcome.RECORDED for result in outcome)
            conflicts = [*_conflicts(request, outcome)]
            refused += conflicts
            recorded += news
            again += len(outcome) - news - len(conflicts)
        if apart:
            more = await self._append(apart, refused)
            recorded, again = recorded + more.recorded, again + more.again
        return Counts(recorded, again, len(refused))


def _alone(request: AppendRequest) -> list[AppendRequest]:
    """One for each entry; the request itself where it has none, which is as wrong as an entry can be."""
    alone = list[AppendRequest]()
    for entry in request.entries:
        one = AppendRequest()
        one.CopyFrom(request)
        del one.entries[:]
        one.entries.append(entry)
        alone.append(one)
    return alone or [request]


def _conflicts(request: AppendRequest, results: Iterable[Result]) -> Iterable[Refused]:
    for entry, result in zip(request.entries, results, strict=True):
        if result.outcome is Outcome.ID_CONFLICT:
            problem = Problem(
                code="EVENT_ID_CONFLICT",
                field="event_id",
                got=f"other content than at position {result.position}",
                want="the same content, or another id",
            )
            # As without a buffer, it is told and not kept.
            yield Refused(
                request.tenant,
                request.source,
                entry.event_id,
                entry.content_digest,
                problem,
                None,
                "",
            )


def _refused(request: AppendRequest, problem: Problem) -> Refused:
    entry = request.entries[0] if request.entries else None
    content = request.SerializeToString(deterministic=True)
    return Refused(
        request.tenant,
        request.source,
        entry.event_id if entry else "",
        entry.content_digest if entry else b"",
        problem,
        content,
        ENTRY,
    )


def _foreign(tenant: str, request: AppendRequest) -> Refused:
    """Of nobody: neither tenant is to see what may be the other's."""
    problem = Malformed(
        "the tenant of its subject", code="FOREIGN_TENANT", field="tenant", got="another"
    ).problem
    return _refused(request, problem)._replace(tenant="")


def _unreadable(tenant: str, data: bytes) -> Refused:
    problem = Malformed(
        "an AppendManyRequest", code="UNREADABLE_BATCH", got=f"{len(data)} other bytes"
    ).problem
    return Refused(tenant, "", "", b"", problem, data, BATCH)
