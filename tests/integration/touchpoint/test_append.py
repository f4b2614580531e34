"""Append takes a request whole or names its field, and encodes long ones in slices without mixing them up."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, cast

import pytest

from services.chassis.errors import Malformed
from services.chassis.postgres import Pool
from services.touchpoint.append_request import SLICE_EVENTS
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from touchledger.v1.journal_pb2 import AppendEntry, AppendRequest, AppendResult

NO_CONTEXT = cast(Any, None)


@pytest.fixture
async def servicer(journal_pool: Pool) -> JournalServicer:
    return JournalServicer(await Journal.open(journal_pool, stopping=asyncio.Event()))


def request(events: int) -> AppendRequest:
    return AppendRequest(
        tenant="acme",
        source="till",
        entries=[
            AppendEntry(
                event_id=f"event-{number}",
                topic=f"touchledger.kind_{number % 3}.v1",
                event=f"state {number}".encode(),
                content_digest=number.to_bytes(32, "big"),
            )
            for number in range(events)
        ],
    )


async def test_a_request_of_several_slices_is_stored_in_its_order(
    servicer: JournalServicer, journal_pool: Pool
) -> None:
    sent = request(2 * SLICE_EVENTS + 1)
    answer = await servicer.Append(sent, NO_CONTEXT)
    assert [(AppendResult.STATUS_RECORDED, position) for position in range(1, 252)] == [
        (each.status, each.position) for each in answer.results
    ]
    stored = await journal_pool.fetch(
        "SELECT topic, state, content_digest FROM journal.stored_events ORDER BY notification_id"
    )
    assert [(each.topic, each.event, each.content_digest) for each in sent.entries] == [
        tuple(row) for row in stored
    ]


async def test_requests_at_once_get_each_its_own_results(servicer: JournalServicer) -> None:
    requests = [request(400) for _ in range(3)]
    for number, each in enumerate(requests):
        each.source = f"till-{number}"
    answers = await asyncio.gather(*(servicer.Append(each, NO_CONTEXT) for each in requests))
    positions = [[each.position for each in answer.results] for answer in answers]
    assert sorted(itertools.chain.from_iterable(positions)) == list(range(1, 1201))
    assert all(each == list(range(each[0], each[0] + 400)) for each in positions)


BAD: dict[str, Callable[[AppendRequest], None]] = {
    "entries": lambda request: request.ClearField("entries"),
    "tenant": lambda request: setattr(request, "tenant", ""),
    "source": lambda request: setattr(request, "source", "touchledger"),
    "traceparent": lambda request: setattr(request, "traceparent", "0" * 129),
    "sent_at": lambda request: setattr(request.sent_at, "seconds", 10**15),
    "received_at": lambda request: setattr(request.received_at, "nanos", -(10**9)),
    "entries[0].event_id": lambda request: setattr(request.entries[0], "event_id", "a\0b"),
    "entries[130].topic": lambda request: setattr(request.entries[130], "topic", ""),
    "entries[299].content_digest": lambda request: setattr(
        request.entries[299], "content_digest", b"short"
    ),
}


@pytest.mark.parametrize("field", BAD)
async def test_a_bad_field_is_named_and_nothing_is_stored(
    servicer: JournalServicer, journal_pool: Pool, field: str
) -> None:
    sent = request(300)
    BAD[field](sent)
    with pytest.raises(Malformed) as refused:
        await servicer.Append(sent, NO_CONTEXT)
    assert refused.value.problem.field == field
    assert await journal_pool.fetchval("SELECT position FROM journal.head") == 0
