"""Recovery cases over gRPC: from a failure to its end, each step once, and no personal data on the way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import Message

from services.chassis.errors import Conflict, Malformed, NotFound
from services.chassis.postgres import Pool
from services.touchpoint.journal import Journal
from services.touchpoint.servicer import JournalServicer
from tests.support.decisions import (
    DEADLINE_SECONDS,
    PSEUDONYM,
    Client,
    acknowledgement,
    closing,
    goodwill,
    opening,
    remedy,
    reopening,
    served,
)
from touchledger.v1 import cases_pb2 as cases
from touchledger.v1 import events_pb2 as events
from touchledger.v1 import journal_pb2

GET = cases.GetCaseRequest(case_id="case-1")
# From a failure to an end, once around and open again.
WHOLE: list[Message] = [
    opening(),
    acknowledgement(assignee="staff-9"),
    remedy(),
    goodwill(),
    closing(),
    reopening(),
]


@pytest.fixture
async def acme(journal_pool: Pool) -> AsyncIterator[Client]:
    async with served(journal_pool) as channel:
        yield Client(channel)


@pytest.fixture
async def replica(journal_pool: Pool) -> AsyncIterator[Client]:
    """The same tenant at another process on the same journal."""
    async with served(journal_pool) as channel:
        yield Client(channel)


async def stored(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM journal.stored_events"))


async def test_a_case_is_opened_as_it_was_said(acme: Client) -> None:
    request = opening()
    answer = await acme.ask(request)
    made = answer.recovery_case
    fields = ("case_id", "touchpoint", "customer", "severity", "correlation_id", "failure")
    for field in (*fields, "assignee", "decided_by"):
        assert getattr(request, field) == getattr(made, field)
    assert (cases.CASE_STATUS_OPEN, 1, "staff-7") == (made.status, made.version, made.opened_by)
    assert made.opened_at == made.decided_at
    for field in ("reopened_at", "acknowledged_at", "closed_at"):
        assert not made.HasField(field)
    got = await acme.ask(GET)
    assert (answer.recovery_case, answer.position) == (got.recovery_case, got.position)


async def test_a_case_can_be_opened_with_no_more_than_where_and_how_bad(acme: Client) -> None:
    request = opening(customer="", correlation_id="", assignee="")
    request.ClearField("failure")
    made = (await acme.ask(request)).recovery_case
    assert ("", "", "") == (made.customer, made.correlation_id, made.assignee)
    assert not made.HasField("failure")


async def test_a_case_tells_what_was_done_and_by_whom(acme: Client) -> None:
    answers = [await acme.ask(each) for each in WHOLE[:-1]]
    assert [1, 2, 3, 4, 5] == [each.position.number for each in answers]
    case = answers[-1].recovery_case
    assert cases.CASE_STATUS_CLOSED == case.status
    assert "staff-9" == case.assignee
    [given], [gesture] = case.remedies, case.goodwill
    assert ("12.90", "staff-9") == (given.remedy.cost.amount, given.decided_by)
    assert ("voucher", "5") == (gesture.goodwill.kind, gesture.goodwill.value.amount)
    assert given.decided_at == answers[2].recovery_case.decided_at
    assert events.RECOVERY_RESULT_ACCEPTED == case.result
    assert case.closed_at == case.decided_at
    reopened = (await acme.ask(WHOLE[-1])).recovery_case
    assert (cases.CASE_STATUS_OPEN, 1) == (reopened.status, reopened.reopened_times)
    assert reopened.reopened_at == reopened.decided_at
    assert not reopened.HasField("closed_at")
    assert not reopened.HasField("acknowledged_at")
    assert events.RECOVERY_RESULT_UNSPECIFIED == reopened.result
    assert [given] == list(reopened.remedies)


async def test_a_case_is_closed_without_a_result_where_nothing_was_done(acme: Client) -> None:
    await acme.ask(opening())
    case = (await acme.ask(closing(reason="duplicate"))).recovery_case
    assert events.RECOVERY_RESULT_UNSPECIFIED == case.result
    assert "duplicate" == case.close_reason


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        (1, goodwill(), "WRONG_STATUS"),
        (1, closing(), "NOTHING_TO_ACCEPT"),
        (1, closing(result=events.RECOVERY_RESULT_REFUSED), "REASON_MISSING"),
        (1, opening(request_id="another"), "CASE_EXISTS"),
        (2, acknowledgement(request_id="again"), "WRONG_STATUS"),
        (3, closing(reason="duplicate"), "RESULT_MISSING"),
        (4, reopening(), "WRONG_STATUS"),
        (5, remedy("late"), "WRONG_STATUS"),
        (5, closing(request_id="again", reason="late"), "WRONG_STATUS"),
        (6, goodwill(request_id="again"), "WRONG_STATUS"),
        (6, remedy("now", expected_version=5), "VERSION_MISMATCH"),
        (6, remedy("open"), "REQUEST_ID_CONFLICT"),
    ],
)
async def test_what_the_state_of_a_case_forbids_is_a_conflict_and_is_not_stored(
    acme: Client, journal_pool: Pool, before: int, command: Message, code: str
) -> None:
    for each in WHOLE[:before]:
        await acme.ask(each)
    refused = await acme.refusal(command)
    assert (Conflict, code) == (type(refused), refused.problem.code)
    assert not refused.problem.retryable
    assert before == await stored(journal_pool)


async def test_a_repeated_command_gets_the_answer_of_the_first_time_and_stores_nothing(
    acme: Client, replica: Client, journal_pool: Pool
) -> None:
    answers = [await acme.ask(each) for each in WHOLE]
    for who in (replica, acme):
        assert answers == [await who.ask(each) for each in WHOLE]
    assert len(WHOLE) == await stored(journal_pool)


async def test_two_who_open_one_case_at_once_open_it_once(
    acme: Client, replica: Client, journal_pool: Pool
) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        outcomes = await asyncio.gather(
            *(acme.ask(opening()) for _ in range(5)),
            *(replica.ask(opening(request_id="another")) for _ in range(5)),
            return_exceptions=True,
        )
    assert 1 == await stored(journal_pool)
    first = [each for each in outcomes[:5] if not isinstance(each, BaseException)]
    second = [each for each in outcomes[5:] if not isinstance(each, BaseException)]
    assert [5, 0] == sorted([len(first), len(second)], reverse=True)
    refused = await (replica if first else acme).refusal(
        opening(request_id="another") if first else opening()
    )
    assert "CASE_EXISTS" == refused.problem.code


async def test_remedies_at_once_through_two_processes_are_each_given_once(
    acme: Client, replica: Client
) -> None:
    await acme.ask(opening())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(
            *(
                who.ask(remedy(f"{index}", decided_by=f"staff {index}"))
                for index in range(8)
                # Each is sent twice, as by a client that lost the answer.
                for who in (acme, replica)
            )
        )
    case = (await acme.ask(GET)).recovery_case
    assert 9 == case.version
    given = [each.decided_by for each in case.remedies]
    assert sorted(f"staff {index}" for index in range(8)) == sorted(given)


async def test_another_tenant_s_case_is_not_found_and_its_id_is_free(acme: Client) -> None:
    await acme.ask(opening())
    other = Client(acme.channel, "other")
    for request in (GET, acknowledgement(), remedy(), goodwill(), closing(), reopening()):
        refused = await other.refusal(request)
        assert (NotFound, "case_id") == (type(refused), refused.problem.field)
    assert [] == list((await other.ask(cases.ListCasesRequest())).recovery_cases)
    await other.ask(opening(touchpoint="web.returns"))
    assert "store.checkout" == (await acme.ask(GET)).recovery_case.touchpoint


# What is refused


def money(amount: str, currency: str) -> events.Money:
    return events.Money(amount=amount, currency=currency)


def refund(**cost: str) -> cases.RemedyCaseRequest:
    kind = events.REMEDY_KIND_REFUND
    return remedy(remedy=events.Remedy(kind=kind, cost=events.Money(**cost)))


def gesture(kind: str) -> cases.GiveGoodwillRequest:
    return goodwill(goodwill=events.Goodwill(kind=kind))


def reference(source: str, event_id: str) -> cases.OpenCaseRequest:
    return opening(failure=events.EventReference(source=source, event_id=event_id))


REFUSED: dict[str, tuple[Message, str]] = {
    "no case id": (opening(""), "case_id"),
    "a long case id": (opening("x" * 129), "case_id"),
    "a case id with NUL": (opening("\0"), "case_id"),
    "no request id": (opening(request_id=""), "request_id"),
    "nobody decides": (opening(decided_by=""), "decided_by"),
    "no touchpoint": (opening(touchpoint=""), "touchpoint"),
    "a touchpoint with a space": (opening(touchpoint="a b"), "touchpoint"),
    "a customer's name": (opening(customer="Doe"), "customer"),
    "a customer's card number of 32 letters": (opening(customer="X" * 32), "customer"),
    "no severity": (opening(severity=0), "severity"),
    "a severity nobody knows": (opening(severity=99), "severity"),
    "a long correlation id": (opening(correlation_id="x" * 129), "correlation_id"),
    "a failure of no source": (reference("", "a"), "failure.source"),
    "a failure without an id": (reference("a", ""), "failure.event_id"),
    "an assignee with NUL": (acknowledgement(assignee="\0"), "assignee"),
    "no remedy": (remedy(remedy=events.Remedy()), "remedy.kind"),
    "a remedy nobody knows": (remedy(remedy=events.Remedy(kind=99)), "remedy.kind"),  # type: ignore[arg-type]  # the wire carries any number
    "a cost without an amount": (refund(currency="EUR"), "remedy.cost.amount"),
    "a negative cost": (refund(amount="-1", currency="EUR"), "remedy.cost.amount"),
    "a cost in no currency": (refund(amount="1"), "remedy.cost.currency"),
    "no gesture": (gesture(""), "goodwill.kind"),
    "a sentence for a gesture": (gesture("flowers for Ms Doe"), "goodwill.kind"),
    "a result nobody knows": (closing(result=99), "result"),
    "a sentence for a reason": (closing(reason="Ms Doe gave up"), "reason"),
    "no reason to reopen": (reopening(reason=""), "reason"),
    "no case id to get": (cases.GetCaseRequest(), "case_id"),
    "a status nobody knows": (
        cases.ListCasesRequest(status=9),  # type: ignore[arg-type]  # the wire carries any number
        "status",
    ),
    "a touchpoint with NUL to list": (cases.ListCasesRequest(touchpoint="\0"), "touchpoint"),
    "an assignee with NUL to list": (cases.ListCasesRequest(assignee="\0"), "assignee"),
    "a page of 101": (cases.ListCasesRequest(page_size=101), "page_size"),
}


async def test_what_breaks_a_rule_is_refused_with_the_field_and_stored_nowhere(
    acme: Client, journal_pool: Pool
) -> None:
    told = {name: await acme.refusal(request) for name, (request, _) in REFUSED.items()}
    assert {name: (Malformed, field) for name, (_, field) in REFUSED.items()} == {
        name: (type(error), error.problem.field) for name, error in told.items()
    }
    # A customer's name must not come back in an error that somebody logs.
    assert "Doe" not in str(told["a customer's name"])
    assert 0 == await stored(journal_pool)


# Lists


@pytest.fixture
async def many(acme: Client) -> Client:
    """Nine cases at three touchpoints, three of them of one assignee, and three closed."""
    for index in range(9):
        await acme.ask(
            opening(f"case-{index}", touchpoint=f"at.{index % 3}", assignee=f"staff-{index // 3}")
        )
    for index in range(0, 9, 4):
        await acme.ask(closing(f"case-{index}", reason="duplicate"))
    await acme.ask(acknowledgement("case-1", assignee="staff-2"))
    return acme


async def found(client: Client, page_size: int, **filters: Any) -> list[int]:
    """The numbers of the cases of all pages."""
    numbers, token = list[int](), ""
    while True:
        request = cases.ListCasesRequest(page_size=page_size, page_token=token, **filters)
        page = await client.ask(request)
        numbers += [int(each.case_id.removeprefix("case-")) for each in page.recovery_cases]
        token = page.next_page_token
        if not token:
            return numbers


@pytest.mark.parametrize("page_size", [0, 1, 2, 3, 100])
async def test_pages_hold_every_case_that_is_asked_for_once(many: Client, page_size: int) -> None:
    assert list(range(9)) == await found(many, page_size)
    closed, open_ = cases.CASE_STATUS_CLOSED, cases.CASE_STATUS_OPEN
    assert [0, 4, 8] == await found(many, page_size, status=closed)
    assert [1] == await found(many, page_size, status=cases.CASE_STATUS_ACKNOWLEDGED)
    assert [1, 4, 7] == await found(many, page_size, touchpoint="at.1")
    assert [4] == await found(many, page_size, touchpoint="at.1", status=closed)
    assert [1, 6, 7, 8] == await found(many, page_size, assignee="staff-2")
    assert [6, 7] == await found(many, page_size, assignee="staff-2", status=open_)
    assert [] == await found(many, page_size, touchpoint="at.9")


async def test_a_list_tells_what_get_tells(many: Client) -> None:
    for each in (await many.ask(cases.ListCasesRequest())).recovery_cases:
        assert PSEUDONYM == each.customer
        got = await many.ask(cases.GetCaseRequest(case_id=each.case_id))
        assert got.recovery_case == each


async def test_no_publisher_can_publish_as_the_source_of_decisions(journal_pool: Pool) -> None:
    journal = await Journal.open(journal_pool, stopping=asyncio.Event())
    request = journal_pb2.AppendRequest(tenant="acme", source="touchledger")
    request.entries.add(event_id="decision at 1", topic="a", event=b"", content_digest=bytes(32))
    with pytest.raises(Malformed) as refused:
        await JournalServicer(journal).Append(request, cast(grpc.aio.ServicerContext, None))
    assert "source" == refused.value.problem.field
    assert 0 == await stored(journal_pool)
