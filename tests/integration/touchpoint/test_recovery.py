"""The recovery process: a failure has its case, once, whatever is repeated, killed or run beside it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from services.chassis.errors import Unavailable
from services.chassis.migrations import migrate
from services.chassis.postgres import Pool
from services.gateway.encoding import TOPICS
from services.touchpoint.decisions import listing
from services.touchpoint.decisions.decisions import Answer, Decisions
from services.touchpoint.decisions.recovery_case import RecoveryCase
from services.touchpoint.identity import originator_ids
from services.touchpoint.journal import Journal
from services.touchpoint.recovery import process
from services.touchpoint.recovery.process import RecoveryProcess
from services.touchpoint.recovery.steps import DECIDED_BY, Reference, Rules
from services.touchpoint.row import Attempt, Entry, encode
from tests.support.decisions import PSEUDONYM, Client, closing, opening, served
from tests.support.events import csat, event, feedback
from tests.support.stack import Service
from touchledger.v1 import cases_pb2 as cases
from touchledger.v1 import events_pb2 as events

ROOT = Path(__file__).parent.parent.parent.parent
RULES = Rules(score_points_max=Decimal(25), age_max=timedelta(days=30))
DEADLINE_SECONDS = 20
MAJOR = {"severity": "SEVERITY_MAJOR"}
ACCEPTED = {"result": "RECOVERY_RESULT_ACCEPTED"}


def now(*, days_ago: float = 0) -> str:
    """The journal's clock is the database's, which a test can't set."""
    return (datetime.now(UTC) - timedelta(days=days_ago)).isoformat()


def of_episode(event_id: str, **fields: Any) -> events.Event:
    """An event of one customer's episode, just now."""
    defaults = {"correlation_id": "order 7", "customer": PSEUDONYM, "occurred_at": now()}
    return event(event_id=event_id, **(defaults | fields))


def failure(event_id: str = "f", **fields: Any) -> events.Event:
    return of_episode(event_id, failure=MAJOR, **fields)


def score(event_id: str, value: str, **fields: Any) -> events.Event:
    body = {"signals": [csat(value)]}
    return of_episode(event_id, feedback_received=body, **fields)


def remedy(event_id: str = "r") -> events.Event:
    return of_episode(event_id, remedy={"kind": "REMEDY_KIND_REFUND"})


def goodwill(event_id: str = "g") -> events.Event:
    return of_episode(event_id, goodwill={"kind": "handwritten note"})


def closed(event_id: str = "c", result: dict[str, str] = ACCEPTED) -> events.Event:
    return of_episode(event_id, recovery_closed=result)


def retraction(of: str) -> events.Event:
    amends = {"event_id": of}
    return event(event_id=f"no {of}", occurred_at=now(), amends=amends, retraction={})


class Shop:
    """Publishes as one source of one tenant, and sees which cases there are."""

    def __init__(self, pool: Pool, journal: Journal, client: Client) -> None:
        self.pool = pool
        self.journal = journal
        self.client = client
        self.decisions = Decisions(journal, pool)
        self.process = self.another()

    def another(self, rules: Rules = RULES) -> RecoveryProcess:
        """Another process on the same journal."""
        return RecoveryProcess(self.journal, self.decisions, self.pool, rules)

    async def publish(self, *told: events.Event) -> None:
        entries = [
            Entry(
                originator_id=originator_ids("acme", "till", [each.event_id])[0],
                originator_version=1,
                topic=TOPICS[str(each.WhichOneof("body"))],
                state=each.SerializeToString(deterministic=True),
                content_digest=hashlib.sha256(each.SerializeToString(deterministic=True)).digest(),
            )
            for each in told
        ]
        attempt = Attempt("acme", "till", datetime.now(UTC), None, "")
        await self.journal.append(encode(attempt, entries))

    async def catches_up(self, *processes: RecoveryProcess) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            for each in processes or (self.process,):
                while await each.turn():
                    pass

    async def after(self, *told: events.Event) -> dict[str, str]:
        """What the process makes of these, in one page."""
        await self.publish(*told)
        await self.catches_up()
        return await self.statuses()

    async def statuses(self) -> dict[str, str]:
        """The status of each case."""
        found = await self.client.ask(cases.ListCasesRequest())
        return {
            each.case_id: cases.CaseStatus.Name(each.status).removeprefix("CASE_STATUS_")
            for each in found.recovery_cases
        }

    async def case(self, case_id: str) -> cases.RecoveryCase:
        answer = await self.client.ask(cases.GetCaseRequest(case_id=case_id))
        case: cases.RecoveryCase = answer.recovery_case
        return case

    async def read_again(self) -> None:
        await self.pool.execute("UPDATE journal.recovery_progress SET position = 0")

    async def positions(self) -> int:
        return await self.journal.head()


@pytest.fixture
async def shop(journal_pool: Pool) -> AsyncIterator[Shop]:
    async with served(journal_pool) as channel:
        journal = await Journal.open(journal_pool, stopping=asyncio.Event())
        yield Shop(journal_pool, journal, Client(channel))


async def test_a_failure_opens_a_case_that_tells_of_it(shop: Shop) -> None:
    assert {"failure/till/f": "OPEN"} == await shop.after(failure(), event(event_id="a sale"))
    case = await shop.case("failure/till/f")
    assert ("store.checkout", PSEUDONYM, "order 7") == (
        case.touchpoint,
        case.customer,
        case.correlation_id,
    )
    assert (events.SEVERITY_MAJOR, DECIDED_BY) == (case.severity, case.opened_by)
    assert ("till", "f") == (case.failure.source, case.failure.event_id)


async def test_the_events_of_the_episode_move_the_case_to_its_end(shop: Shop) -> None:
    assert {"failure/till/f": "CLOSED"} == await shop.after(
        failure(), remedy(), goodwill(), closed()
    )
    case = await shop.case("failure/till/f")
    assert events.RECOVERY_RESULT_ACCEPTED == case.result
    assert [events.REMEDY_KIND_REFUND] == [each.remedy.kind for each in case.remedies]
    # Words of decisions are narrower: they can't be erased.
    assert ["other"] == [each.goodwill.kind for each in case.goodwill]
    assert 4 == case.version


async def test_what_a_case_is_not_ready_for_is_skipped_and_blocks_nothing(shop: Shop) -> None:
    found = await shop.after(failure(), goodwill(), failure("other", correlation_id="order 8"))
    assert {"failure/till/f": "OPEN", "failure/till/other": "OPEN"} == found


async def test_other_episodes_are_not_touched(shop: Shop) -> None:
    elsewhere = of_episode("s", correlation_id="order 8", remedy={"kind": "REMEDY_KIND_REDO"})
    assert {"failure/till/f": "OPEN"} == await shop.after(failure(), elsewhere)


async def test_a_step_under_another_reference_of_the_customer_moves_the_case(shop: Shop) -> None:
    # The till knows a card, the call center a telephone number: the correlation id ties them together.
    by_telephone = of_episode("r", customer="f" * 32, remedy={"kind": "REMEDY_KIND_REDO"})
    assert {"failure/till/f": "REMEDIED"} == await shop.after(failure(), by_telephone)


async def test_without_a_correlation_id_steps_are_of_the_customers_last_case(shop: Shop) -> None:
    def alone(event_id: str, customer: str = PSEUDONYM, **body: Any) -> events.Event:
        return of_episode(event_id, correlation_id="", customer=customer, **body)

    repaired: dict[str, Any] = {"remedy": {"kind": "REMEDY_KIND_REPAIR"}}
    told = [
        *(alone("f", failure=MAJOR), alone("g", failure=MAJOR)),
        *(alone("h", "f" * 32, failure=MAJOR), alone("i", "", failure=MAJOR)),
        *(alone("r", **repaired), alone("s", "", **repaired), alone("c", recovery_closed=ACCEPTED)),
        alone("j", failure=MAJOR),
    ]
    expected = {
        "failure/till/f": "OPEN",
        "failure/till/g": "CLOSED",
        "failure/till/h": "OPEN",
        "failure/till/i": "OPEN",
        "failure/till/j": "OPEN",
    }
    assert expected == await shop.after(*told)
    await shop.read_again()
    decided = await shop.positions()
    await shop.catches_up()
    assert (expected, decided) == (await shop.statuses(), await shop.positions())


async def test_an_end_that_events_tell_of_is_one_whatever_was_decided(shop: Shop) -> None:
    # Of the one, the remedy was told elsewhere; of the other, nobody says what the customer made of it.
    told = [
        *(failure(), closed()),
        failure("g", correlation_id="order 8"),
        of_episode("r", correlation_id="order 8", remedy={"kind": "REMEDY_KIND_REDO"}),
        of_episode("d", correlation_id="order 8", recovery_closed={}),
    ]
    assert {"failure/till/f": "CLOSED", "failure/till/g": "CLOSED"} == await shop.after(*told)
    case = await shop.case("failure/till/f")
    assert ("recovery_closed", events.RECOVERY_RESULT_ACCEPTED) == (case.close_reason, case.result)


async def test_a_correlation_id_of_many_cases_ties_none_together(shop: Shop) -> None:
    many = [failure(f"f{index}", correlation_id="0") for index in range(process.CASES_MAX + 1)]
    redone = of_episode("r", correlation_id="0", remedy={"kind": "REMEDY_KIND_REDO"})
    assert {"OPEN"} == set((await shop.after(*many, redone)).values())


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        (csat("2"), True),
        (csat("3"), False),
        (csat("1", metric="METRIC_RATING", scale_min="0", scale_max="4"), True),
        (csat("4", direction="DIRECTION_LOWER_IS_BETTER"), True),
        (csat("1", direction="DIRECTION_LOWER_IS_BETTER"), False),
        (csat("1", dimension="empathy"), False),
        (csat("1", metric="METRIC_CES"), False),
    ],
)
async def test_a_score_of_the_whole_up_to_the_bound_opens_a_case(
    shop: Shop, answer: dict[str, str], opens: bool
) -> None:
    told = feedback(answer, event_id="s", occurred_at=now())
    assert (["score/till/s"] if opens else []) == list(await shop.after(told))


async def test_a_bound_of_0_switches_scores_off(shop: Shop) -> None:
    await shop.publish(score("s", "1"))
    await shop.catches_up(shop.another(replace(RULES, score_points_max=Decimal(0))))
    assert {} == await shop.statuses()


async def test_a_low_score_about_an_open_case_opens_no_second_one(shop: Shop) -> None:
    one_page = await shop.after(failure(), score("s", "1"), score("t", "1"))
    assert ["failure/till/f"] == list(one_page)
    another_page = await shop.after(score("u", "1"))
    assert ["failure/till/f"] == list(another_page)
    # Its end has a position of its own, after which the customer is let down anew.
    await shop.after(remedy(), closed())
    assert {"failure/till/f": "CLOSED", "score/till/v": "OPEN"} == await shop.after(score("v", "1"))


async def test_a_history_that_is_brought_in_opens_no_case(shop: Shop) -> None:
    old = failure("old", occurred_at=now(days_ago=31))
    late = failure("late", occurred_at=now(days_ago=29))
    assert ["failure/till/late"] == list(await shop.after(old, late))


async def test_a_case_opened_by_hand_for_the_failure_is_the_only_one_and_is_moved(
    shop: Shop,
) -> None:
    await shop.publish(failure())
    reference = events.EventReference(source="till", event_id="f")
    by_hand = opening("by hand", failure=reference, correlation_id="order 7")
    await shop.client.ask(by_hand)
    found = await shop.after(score("s", "1"), remedy())
    assert {"by hand": "REMEDIED"} == found


async def test_a_till_whose_clock_is_weeks_behind_tells_of_todays_failures(shop: Shop) -> None:
    told = failure(occurred_at=now(days_ago=41))
    told.intake.corrected_occurred_at.GetCurrentTime()
    assert ["failure/till/f"] == list(await shop.after(told))


def correction(of: str, value: str, event_id: str = "right") -> events.Event:
    right = {"feedback_received": {"signals": [csat(value)]}}
    return of_episode(event_id, amends={"event_id": of}, correction=right)


@pytest.mark.parametrize("pages", [1, 2])
async def test_a_score_that_is_corrected_to_a_good_one_closes_its_case(
    shop: Shop, pages: int
) -> None:
    if pages == 1:
        await shop.after(score("s", "1"), correction("s", "5"))
    else:
        await shop.after(score("s", "1"))
        await shop.after(correction("s", "5"))
    assert {"score/till/s": "CLOSED"} == await shop.statuses()
    assert "corrected" == (await shop.case("score/till/s")).close_reason


async def test_a_score_that_is_corrected_to_a_low_one_opens_its_case_once(shop: Shop) -> None:
    story = [score("s", "5"), correction("s", "1"), correction("s", "2", "again")]
    assert {"score/till/s": "OPEN"} == await shop.after(*story)
    assert "s" == (await shop.case("score/till/s")).failure.event_id


async def test_a_score_that_was_corrected_before_it_came_is_what_the_correction_says(
    shop: Shop,
) -> None:
    assert {} == await shop.after(correction("s", "5"), score("s", "1"))


async def test_a_correction_of_a_failure_leaves_its_case_as_it_is(shop: Shop) -> None:
    minor = {"failure": {"severity": "SEVERITY_MINOR"}}
    right = of_episode("right", amends={"event_id": "f"}, correction=minor)
    # One of another kind changes nothing.
    assert {"failure/till/f": "OPEN"} == await shop.after(failure(), right, correction("f", "5"))


async def test_a_score_that_is_no_number_blocks_nothing(shop: Shop) -> None:
    assert ["failure/till/f"] == list(await shop.after(score("s", "NaN"), failure()))


async def test_a_retracted_remedy_leaves_the_case_as_it_was_before(shop: Shop) -> None:
    assert {"failure/till/f": "REMEDIED"} == await shop.after(failure(), remedy(), remedy("s"))
    assert {"failure/till/f": "REMEDIED"} == await shop.after(retraction("r"))
    assert 1 == len((await shop.case("failure/till/f")).remedies)
    assert {"failure/till/f": "OPEN"} == await shop.after(retraction("s"))
    # There is nothing to be accepted, and no gesture beside it.
    assert {"failure/till/f": "OPEN"} == await shop.after(goodwill())
    case, decided = await shop.case("failure/till/f"), await shop.positions()
    assert [] == list(case.remedies)
    await shop.read_again()
    await shop.catches_up()
    assert (case, decided) == (await shop.case("failure/till/f"), await shop.positions())


@pytest.mark.parametrize("in_one_page", [True, False])
async def test_a_remedy_that_was_retracted_before_it_came_moves_no_case(
    shop: Shop, in_one_page: bool
) -> None:
    told = [failure(), retraction("r"), remedy()]
    if in_one_page:
        await shop.after(*told)
    else:
        for each in told:
            await shop.after(each)
    assert {"failure/till/f": "OPEN"} == await shop.statuses()


async def test_a_retracted_remedy_reopens_nothing_and_of_before_a_reopening_changes_nothing(
    shop: Shop,
) -> None:
    assert {"failure/till/f": "CLOSED"} == await shop.after(
        failure(), remedy(), closed(), retraction("r")
    )
    assert [] == list((await shop.case("failure/till/f")).remedies)
    await shop.client.ask(
        cases.ReopenCaseRequest(
            case_id="failure/till/f", request_id="again", decided_by="eve", reason="failed_again"
        )
    )
    assert {"failure/till/f": "REMEDIED"} == await shop.after(remedy("s"))
    assert {"failure/till/f": "REMEDIED"} == await shop.after(retraction("r"))


async def test_without_a_correlation_id_low_scores_of_one_customer_at_one_touchpoint_are_one_case(
    shop: Shop,
) -> None:
    def low(event_id: str, **fields: Any) -> events.Event:
        return score(event_id, "1", correlation_id="", **fields)

    told = [
        *(low("a"), low("b"), low("elsewhere", touchpoint="web.checkout")),
        *(low("other", customer="f" * 32), low("nobody", customer=""), low("either", customer="")),
        score("of order", "1"),
    ]
    expected = dict.fromkeys(
        [
            *("score/till/a", "score/till/elsewhere", "score/till/either", "score/till/nobody"),
            *("score/till/of order", "score/till/other"),
        ],
        "OPEN",
    )
    assert expected == await shop.after(*told)
    # Another page, and a failure, which has a case of its own.
    await shop.after(low("c"), failure("f", correlation_id=""), low("d"))
    expected["failure/till/f"] = "OPEN"
    assert expected == await shop.statuses()
    decided = await shop.positions()
    await shop.read_again()
    await shop.catches_up()
    assert (expected, decided) == (await shop.statuses(), await shop.positions())


async def test_after_its_end_a_low_score_without_a_correlation_id_opens_a_case_anew(
    shop: Shop,
) -> None:
    alone: dict[str, Any] = {"correlation_id": ""}
    ended = of_episode("e", recovery_closed=ACCEPTED, **alone)
    await shop.after(failure("f", **alone), score("s", "1", **alone), ended)
    found = await shop.after(score("t", "1", **alone), score("u", "1", **alone))
    assert {"failure/till/f": "CLOSED", "score/till/t": "OPEN"} == found


@pytest.mark.parametrize("was_remedied", [False, True])
async def test_a_retracted_failure_closes_its_case(shop: Shop, was_remedied: bool) -> None:
    steps = [failure(), *([remedy()] if was_remedied else [])]
    assert {"failure/till/f": "CLOSED"} == await shop.after(*steps, retraction("f"))
    case = await shop.case("failure/till/f")
    assert ("retracted", events.RECOVERY_RESULT_UNSPECIFIED) == (case.close_reason, case.result)


@pytest.mark.parametrize("pages", [1, 2])
async def test_a_failure_that_was_retracted_before_it_came_opens_no_case(
    shop: Shop, pages: int
) -> None:
    if pages == 1:
        assert {} == await shop.after(retraction("f"), failure())
    else:
        await shop.after(retraction("f"))
        assert {} == await shop.after(failure())


async def test_an_event_that_can_t_be_read_blocks_nothing(shop: Shop) -> None:
    entry = Entry(bytes(16), 1, "touchledger.failure.v1", b"\xff", bytes(32))
    attempt = Attempt("acme", "till", datetime.now(UTC), None, "")
    await shop.journal.append(encode(attempt, [entry]))
    assert ["failure/till/f"] == list(await shop.after(failure()))


def test_ids_of_cases_fit_and_are_of_one_event_alone() -> None:
    pairs = [("a", "b/c"), ("a/b", "c"), ("till", "x" * 128), ("t" * 128, "x"), ("till", "x")]
    named = [Reference(*pair).named("failure") for pair in pairs]
    assert len(pairs) == len(set(named))
    assert all(len(each) <= 128 for each in named)
    # They are stored: the form is for ever.
    assert "failure/till/x" == named[-1]
    hashed = hashlib.sha256(("4/till/" + "x" * 128).encode()).hexdigest()
    assert f"failure/{hashed}" == named[2]


# Again, killed, and two at once

STORY = [
    failure(),
    score("s", "1"),
    remedy(),
    goodwill(),
    closed(),
    score("t", "1"),
    failure("g1"),
    retraction("g1"),
]


async def test_reading_again_from_position_1_decides_nothing_again(shop: Shop) -> None:
    for each in STORY:
        await shop.after(each)
    before, decided = await shop.statuses(), await shop.positions()
    assert {
        "failure/till/f": "CLOSED",
        "score/till/t": "OPEN",
        "failure/till/g1": "CLOSED",
    } == before
    for _ in range(2):
        await shop.read_again()
        await shop.catches_up()
    assert (before, decided) == (await shop.statuses(), await shop.positions())


class Killed(BaseException):
    """As far as what is stored goes: nothing more is done."""


@pytest.mark.parametrize("decisions", range(1, 7))
async def test_a_kill_between_a_decision_and_the_checkpoint_loses_and_doubles_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, decisions: int
) -> None:
    await shop.publish(*STORY)
    take, left = shop.decisions.take, decisions

    async def killed_after(*args: Any, **kwargs: Any) -> Answer[RecoveryCase]:
        nonlocal left
        answer: Answer[RecoveryCase] = await take(*args, **kwargs)
        left -= 1
        if not left:
            raise Killed
        return answer

    monkeypatch.setattr(shop.decisions, "take", killed_after)
    with pytest.raises(BaseExceptionGroup):
        await shop.process.turn()
    assert left <= 0
    monkeypatch.undo()
    await shop.catches_up(shop.another())
    assert {
        "failure/till/f": "CLOSED",
        "failure/till/g1": "CLOSED",
    } == await shop.statuses()
    # Opened, remedied, gesture and closed; opened and closed.
    assert len(STORY) + 6 == await shop.positions()


async def test_of_two_processes_one_works_on_a_page_and_the_other_stands_by(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.publish(*STORY)
    take, working, go_on = shop.decisions.take, asyncio.Event(), asyncio.Event()

    async def waits(*args: Any, **kwargs: Any) -> Answer[RecoveryCase]:
        working.set()
        await go_on.wait()
        answer: Answer[RecoveryCase] = await take(*args, **kwargs)
        return answer

    monkeypatch.setattr(shop.decisions, "take", waits)
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as tasks:
        tasks.create_task(shop.process.turn())
        await working.wait()
        before = await shop.positions()
        assert not await shop.another().turn()
        assert before == await shop.positions()
        go_on.set()


async def test_two_that_take_the_same_steps_at_once_take_each_once(shop: Shop) -> None:
    await shop.publish(*STORY, *(failure(f"more {index}") for index in range(20)))
    # As if the one had stood still for so long that its page was given to the other.
    twice = [shop.another(), shop.another()]
    async with asyncio.timeout(DEADLINE_SECONDS):
        pages = await shop.journal.read(0, to=0, limit=100)

        async def steps(each: RecoveryProcess) -> None:
            async with shop.pool.acquire() as tx, tx.transaction():
                for asked in each._asked(pages.events):
                    await each._take(tx, asked)

        await asyncio.gather(*map(steps, twice))
    found = await shop.statuses()
    assert 22 == len(found)
    assert len(STORY) + 20 + 6 + 20 == await shop.positions()


async def test_the_list_of_decisions_can_be_made_again_and_cases_are_still_found(
    shop: Shop,
) -> None:
    await shop.after(failure())
    await listing.rebuild(shop.pool)
    assert {"failure/till/f": "REMEDIED"} == await shop.after(remedy())


async def test_it_goes_on_by_itself_when_the_database_was_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(process, "RETRY_SECONDS", 0.01)
    read, failed = shop.journal.read, asyncio.Event()

    async def away(*args: Any, **kwargs: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise Unavailable("the database")
        return await read(*args, **kwargs)

    monkeypatch.setattr(shop.journal, "read", away)
    await shop.publish(failure())
    async with asyncio.timeout(DEADLINE_SECONDS):
        running = asyncio.create_task(shop.process.run())
        while not await shop.statuses():  # noqa: ASYNC110  # the process tells nobody when it is done
            await asyncio.sleep(0.01)
        running.cancel()
    assert failed.is_set()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_step_that_fails_by_itself_blocks_no_later_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = shop.decisions.take

    async def breaks(kind: Any, tenant: str, name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "failure/till/odd":
            raise KeyError(name)
        return await take(kind, tenant, name, *args, **kwargs)

    monkeypatch.setattr(shop.decisions, "take", breaks)
    with capture_logs() as logs:
        told = [failure("odd", correlation_id="odd"), failure(), failure("g", correlation_id="g")]
        assert {"failure/till/f", "failure/till/g"} == set(await shop.after(*told))
    [failed] = [each for each in logs if each["log_level"] == "error"]
    assert ("open", 1, "KeyError") == (failed["step"], failed["position"], failed["error"])
    # What was wrong is mended.
    monkeypatch.undo()
    await shop.read_again()
    assert "failure/till/odd" in await shop.after()


async def test_a_question_that_the_database_refuses_fails_its_step_and_not_the_page(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        *(process, "CASES_OF_EPISODE"),
        "SELECT 1 / 0 WHERE $1 = 'acme' AND $2 <> '' AND $3 > 0::bigint",
    )
    assert {"failure/till/f": "OPEN"} == await shop.after(failure(), remedy())
    assert await shop.pool.fetchval("SELECT position FROM journal.recovery_progress") >= 2


async def test_a_step_that_fails_for_a_database_that_is_away_is_taken_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*args: Any, **kwargs: Any) -> Any:
        raise Unavailable("the database")

    await shop.publish(failure())
    with monkeypatch.context() as broken:
        broken.setattr(shop.decisions, "take", away)
        with pytest.raises(ExceptionGroup):
            await shop.process.turn()
    assert {"failure/till/f": "OPEN"} == await shop.after()


async def test_a_page_ends_with_its_steps_and_loses_none(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PAGE_STEPS_MAX", 2)
    names = [f"f{nth}" for nth in range(5)]
    for name in names:
        await shop.publish(failure(name, correlation_id=name), score(f"good {name}", "5"))
    assert await shop.process.turn()
    assert ["failure/till/f0", "failure/till/f1"] == list(await shop.statuses())
    assert 4 == await shop.pool.fetchval("SELECT position FROM journal.recovery_progress")
    await shop.catches_up()
    assert [f"failure/till/{name}" for name in names] == list(await shop.statuses())


async def test_a_case_closed_by_hand_is_left_to_people(shop: Shop) -> None:
    await shop.after(failure())
    await shop.client.ask(closing("failure/till/f", reason="duplicate"))
    assert {"failure/till/f": "CLOSED"} == await shop.after(remedy(), closed())
    assert "duplicate" == (await shop.case("failure/till/f")).close_reason


# Of the release before, and as processes

BEFORE = """
ALTER TABLE journal.decision_streams DROP COLUMN customer, DROP COLUMN correlation_id,
    DROP COLUMN failure_source, DROP COLUMN failure_event_id;
DROP TABLE journal.recovery_progress, journal.recovery_retraction, journal.restored;
DROP TABLE journal.recorder, journal.buffer_partition, journal.buffer_refused;
DELETE FROM public.schema_migration WHERE number >= 5;
"""


async def test_what_the_release_before_has_recorded_opens_no_case_and_its_cases_are_moved_along(
    shop: Shop,
) -> None:
    await shop.client.ask(opening("by hand", correlation_id="order 7"))
    await shop.publish(failure("old"))
    await shop.pool.execute(BEFORE)
    await migrate(shop.pool, ROOT / "services" / "touchpoint" / "sql")
    reference = events.EventReference(source="till", event_id="event-17")
    assert reference == (await shop.case("by hand")).failure
    assert {"by hand": "REMEDIED"} == await shop.after(remedy())
    retracted = event(event_id="no", amends={"event_id": "event-17"}, retraction={})
    assert {"by hand": "CLOSED"} == await shop.after(retracted)


def test_two_processes_of_which_one_is_killed_open_each_case_once(
    tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    url = new_database("touchpoint")
    processes = [
        Service(
            "touchpoint",
            {"TOUCHLEDGER_TOUCHPOINT_DATABASE_URL": url},
            tmp_path / f"touchpoint-{index}.log",
        )
        for index in range(2)
    ]
    try:
        for each in processes:
            each.start()
        for each in processes:
            each.wait_until_ready()
        asyncio.run(_killed_at_work(url, processes[0]))
    finally:
        for each in processes:
            if each.process is not None and each.process.poll() is None:
                each.kill()


async def _killed_at_work(url: str, victim: Service) -> None:
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool, served(pool) as channel:
        journal = await Journal.open(pool, stopping=asyncio.Event())
        shop = Shop(pool, journal, Client(channel))
        told = [failure(f"f {n}", correlation_id=f"order {n}") for n in range(300)]
        await shop.publish(*told)

        async def cases_are(wanted: int) -> None:
            count = "SELECT count(*) FROM journal.decision_streams"
            async with asyncio.timeout(DEADLINE_SECONDS):
                while await pool.fetchval(count) < wanted:  # noqa: ASYNC110  # of another process
                    await asyncio.sleep(0.001)

        await cases_are(1)
        victim.kill()
        await cases_are(len(told))
        names = await pool.fetch("SELECT name, version FROM journal.decision_streams")
        assert {(f"failure/till/f {n}", 1) for n in range(300)} == {tuple(row) for row in names}
        assert 600 == await journal.head()
