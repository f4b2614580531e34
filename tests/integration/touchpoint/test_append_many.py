"""AppendMany stores several publishers' requests in one commit, and each of them as if it had come alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import asyncpg
import pytest

from services.chassis.errors import Exhausted, Malformed
from services.chassis.postgres import Connection, Pool
from services.touchpoint import appender
from services.touchpoint.append_request import ENTRIES_MAX
from services.touchpoint.journal import Journal
from services.touchpoint.row import encode
from services.touchpoint.servicer import REQUESTS_MAX, JournalServicer
from tests.support.entries import attempt, entry, recorded
from touchledger.v1.journal_pb2 import (
    AppendEntry,
    AppendManyRequest,
    AppendOutcome,
    AppendRequest,
    AppendResult,
)

NO_CONTEXT = cast(Any, None)
RECORDED, DUPLICATE = AppendResult.STATUS_RECORDED, AppendResult.STATUS_DUPLICATE
CONFLICT = AppendResult.STATUS_CONFLICT
APPEND_LOCK = 7310114002


@pytest.fixture
async def journal(journal_pool: Pool) -> Journal:
    return await Journal.open(journal_pool, stopping=asyncio.Event())


@pytest.fixture
async def servicer(journal: Journal) -> JournalServicer:
    return JournalServicer(journal)


@pytest.fixture
async def outside(journal_pool: Pool, admin_url: str) -> AsyncIterator[Connection]:
    """A session of somebody else."""
    database = await journal_pool.fetchval("SELECT current_database()")
    connection = await asyncpg.connect(f"{admin_url.rpartition('/')[0]}/{database}")
    yield connection
    await connection.close()


def request(*event_ids: str, source: str = "till", content: str = "as ever") -> AppendRequest:
    return AppendRequest(
        tenant="acme",
        source=source,
        entries=[
            AppendEntry(
                event_id=event_id,
                topic="touchledger.interaction.v1",
                event=f"{event_id} {content}".encode(),
                content_digest=content.encode().ljust(32),
            )
            for event_id in event_ids
        ],
        traceparent=f"trace of {source}",
    )


def results(outcome: AppendOutcome) -> list[tuple[int, int]]:
    assert outcome.WhichOneof("outcome") == "response", outcome.problem
    return [(each.status, each.position) for each in outcome.response.results]


async def append_many(servicer: JournalServicer, *requests: AppendRequest) -> list[AppendOutcome]:
    answer = await servicer.AppendMany(AppendManyRequest(requests=requests), NO_CONTEXT)
    return list(answer.outcomes)


async def until(condition: Callable[[], object]) -> None:
    """Gives the others turns until it holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the queue has no event to wait on
            await asyncio.sleep(0)


async def commits(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM journal.seals"))


async def test_requests_share_one_commit_and_keep_their_own_tenant_source_and_trace(
    servicer: JournalServicer, journal_pool: Pool
) -> None:
    sent = [request(f"event-{number}", source=f"till-{number}") for number in range(64)]
    sent[7].tenant = "other"
    outcomes = await append_many(servicer, *sent)
    assert [[(RECORDED, position)] for position in range(1, 65)] == [results(o) for o in outcomes]
    assert 1 == await commits(journal_pool)
    stored = await journal_pool.fetch(
        "SELECT tenant, source, state, traceparent FROM journal.stored_events ORDER BY notification_id"
    )
    assert [
        (each.tenant, each.source, each.entries[0].event, each.traceparent) for each in sent
    ] == [tuple(row) for row in stored]


async def test_many_events_of_few_requests_share_one_commit(
    servicer: JournalServicer, journal_pool: Pool
) -> None:
    sent = [
        request(*(f"{source}-{number}" for number in range(ENTRIES_MAX // 4)), source=source)
        for source in ("till", "web", "app", "phone")
    ]
    outcomes = await append_many(servicer, *sent)
    positions = [position for outcome in outcomes for _, position in results(outcome)]
    assert list(range(1, ENTRIES_MAX + 1)) == positions
    assert 1 == await commits(journal_pool)


async def test_the_same_event_in_two_requests_is_stored_once(servicer: JournalServicer) -> None:
    outcomes = await append_many(
        servicer,
        request("a", "b"),
        request("b", "c"),
        request("c", content="another"),
        request("c", source="web"),
    )
    assert [
        [(RECORDED, 1), (RECORDED, 2)],
        [(DUPLICATE, 2), (RECORDED, 3)],
        [(CONFLICT, 3)],
        [(RECORDED, 4)],
    ] == [results(each) for each in outcomes]


async def test_a_request_that_can_t_be_taken_harms_none_of_the_others(
    servicer: JournalServicer,
) -> None:
    bad = [request("x"), request(), request("y", "z"), request("q")]
    bad[0].tenant = ""
    bad[2].entries[1].content_digest = b"short"
    bad[3].sent_at.seconds = 10**15
    outcomes = await append_many(servicer, request("a"), *bad, request("b"))
    assert [(RECORDED, 1)] == results(outcomes[0])
    assert [(RECORDED, 2)] == results(outcomes[-1])
    problems = [each.problem for each in outcomes[1:-1]]
    assert ["tenant", "entries", "entries[1].content_digest", "sent_at"] == [
        each.field for each in problems
    ]
    assert {("INVALID_ARGUMENT", False)} == {(each.code, each.retryable) for each in problems}


async def test_what_the_database_refuses_harms_none_of_the_others(journal: Journal) -> None:
    unstorable = entry("x")._replace(content_digest=b"too short")
    many = [encode(attempt(), [each]) for each in (entry("a"), unstorable, entry("b"))]
    first, refused, last = await journal.append_many(many)
    assert [recorded(1)] == first
    assert isinstance(refused, asyncpg.CheckViolationError)
    assert [recorded(2)] == last


async def test_an_unexpected_error_is_told_without_its_text(
    servicer: JournalServicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The journal's check of the digest's length is gone; the database's is not.
    monkeypatch.setattr("services.touchpoint.append_request.DIGEST_BYTES", 5)
    sent = request("x")
    sent.entries[0].content_digest = b"short"
    [outcome] = await append_many(servicer, sent)
    assert ("INTERNAL", False) == (outcome.problem.code, outcome.problem.retryable)
    assert "short" not in str(outcome)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ([], "requests"),
        ([request("a")] * (REQUESTS_MAX + 1), "requests"),
        ([request(*"abcde") for _ in range(ENTRIES_MAX // 5)] + [request("f")], "requests.entries"),
    ],
)
async def test_a_call_with_too_much_is_refused_whole(
    servicer: JournalServicer, journal_pool: Pool, sent: list[AppendRequest], field: str
) -> None:
    with pytest.raises(Malformed) as refused:
        await append_many(servicer, *sent)
    assert field == refused.value.problem.field
    assert 0 == await commits(journal_pool)


async def test_a_call_waits_as_one_caller_however_many_requests_it_has(
    servicer: JournalServicer, outside: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appender, "APPENDS_WAITING_MAX", 2)
    await outside.execute("SELECT pg_advisory_lock($1)", APPEND_LOCK)
    waiting = [
        asyncio.create_task(
            append_many(servicer, *(request(f"{call}-{each}") for each in range(REQUESTS_MAX)))
        )
        for call in range(2)
    ]
    journal_appender = servicer._journal._appender
    await until(lambda: journal_appender._callers_pending == 2)
    with pytest.raises(Exhausted):
        await append_many(servicer, request("one too many"))
    await outside.execute("SELECT pg_advisory_unlock($1)", APPEND_LOCK)
    outcomes = [outcome for each in await asyncio.gather(*waiting) for outcome in each]
    assert list(range(1, 2 * REQUESTS_MAX + 1)) == sorted(
        position for outcome in outcomes for _, position in results(outcome)
    )


async def test_a_call_that_is_given_up_leaves_nothing_in_the_queue(
    servicer: JournalServicer, outside: Connection, journal_pool: Pool
) -> None:
    await outside.execute("SELECT pg_advisory_lock($1)", APPEND_LOCK)
    begun = asyncio.create_task(append_many(servicer, request("begun")))
    journal_appender = servicer._journal._appender
    await until(lambda: journal_appender._callers_pending and not journal_appender._waiting)
    waiting = asyncio.create_task(append_many(servicer, request("a"), request("b")))
    await until(lambda: journal_appender._waiting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not journal_appender._waiting
    assert 1 == journal_appender._callers_pending
    await outside.execute("SELECT pg_advisory_unlock($1)", APPEND_LOCK)
    assert [[(RECORDED, 1)]] == [results(each) for each in await begun]
    assert 1 == await journal_pool.fetchval("SELECT position FROM journal.head")
