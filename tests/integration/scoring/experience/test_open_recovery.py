"""What is not put to an end yet: by events, by decisions about cases, and how long it may take."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.chassis.postgres import Pool
from services.scoring.definitions import REGISTERED
from services.scoring.scoreboard import Scoreboard
from services.touchpoint.decisions.decided import Command
from services.touchpoint.decisions.decisions import stream_id
from services.touchpoint.decisions.recovery_case import RecoveryCase
from tests.support.events import csat, event
from tests.support.experience import Figures, Row
from tests.support.journals import declared, project
from touchledger.v1 import events_pb2 as events
from touchledger.v1.journal_pb2 import RecordedEvent

# All of it before the journal's first event is recorded.
START = datetime(2026, 7, 1, 8, tzinfo=UTC)


def of(
    name: str, hour: float, *, touchpoint: str = "store.checkout", **fields: Any
) -> events.Event:
    at = (START + timedelta(hours=hour)).isoformat().replace("+00:00", "Z")
    return event(event_id=name, occurred_at=at, touchpoint=touchpoint, **fields)


def failed(name: str, hour: float = 0, **fields: Any) -> events.Event:
    return of(f"failure {name}", hour, failure={}, correlation_id=name, **fields)


def remedied(name: str, hour: float) -> events.Event:
    remedy = {"kind": "REMEDY_KIND_REDO"}
    return of(f"remedy {name}", hour, remedy=remedy, correlation_id=name)


def ended(name: str, hour: float) -> events.Event:
    return of(f"end {name}", hour, recovery_closed={}, correlation_id=name)


def today(hour: float) -> events.Event:
    """Up to here all is taken to be known."""
    return of("today", hour, touchpoint="web.home", interaction={})


def case_of(name: str, event_id: str, customer: str = "") -> RecoveryCase:
    command = Command("open", "staff-7", START + timedelta(hours=1))
    return RecoveryCase.open(
        stream_id("default", "recovery_case", name),
        command,
        case_id=name,
        touchpoint="store.checkout",
        customer=customer,
        severity="SEVERITY_MAJOR",
        correlation_id=name,
        failure={"source": "till", "event_id": event_id},
        assignee="",
    )


def command(name: str, hour: float) -> Command:
    return Command(name, "staff-7", START + timedelta(hours=hour))


def counts(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in ("open", "remedied", "overdue"))


async def test_a_failure_is_open_until_its_end_and_overdue_when_nothing_is_put_right_in_time(
    figures: Figures,
) -> None:
    await figures.know(
        # Of a's 72 hours none is left, of b's half a one.
        today(72.5),
        *(failed("a", 0), failed("b", 1), failed("c", 2), failed("d", 3)),
        *(remedied("c", 4), ended("d", 5)),
    )
    [row] = await figures.rows("open_recovery")
    assert ("3", "1", "1") == counts(row)
    assert ("2026-07-01T08:00:00Z", "72") == (row["oldest_at"], row["allowed_hours"])
    behind = await figures.events("open_recovery", "touchpoint=store.checkout")
    assert ["failure a", "failure b", "failure c", "remedy c"] == behind
    [row] = await figures.rows("open_recovery", as_of_position={"number": "2"})
    assert ("1", "0", "1") == counts(row)


async def test_a_touchpoint_where_all_is_at_an_end_has_none_open(figures: Figures) -> None:
    await figures.know(failed("a"), ended("a", 1), today(100))
    [row] = await figures.rows("open_recovery")
    assert ("0", "0", "0") == counts(row)
    assert "oldest_at" not in row


async def test_where_there_is_a_case_the_case_says_whether_it_is_open(figures: Figures) -> None:
    by_hand, again = case_of("by hand", "failure a"), case_of("again", "failure b")
    by_hand.close(command("close", 2), result="", reason="duplicate")
    again.remedy(command("remedy", 2), remedy={"kind": "REMEDY_KIND_REDO"})
    again.close(command("close", 3), result="RECOVERY_RESULT_ACCEPTED", reason="")
    again.reopen(command("reopen", 4), reason="failed_again")
    await figures.know(
        *(failed("a", 0), failed("b", 1), ended("b", 3), today(200)),
        *(by_hand, again),
    )
    [row] = await figures.rows("open_recovery")
    # What was put right before it was reopened was not enough.
    assert ("1", "0", "1") == counts(row)
    # By hand at 5 and 6; the other is opened at 7, remedied, closed, and opened again at 10.
    told = {4: "1", 5: "1", 6: "0", 7: "1", 8: "1", 9: "0", 10: "1"}
    for position, open_ in told.items():
        [row] = await figures.rows("open_recovery", as_of_position={"number": str(position)})
        assert open_ == row["open"], position


def by_hand(name: str, hour: float, **fields: str) -> RecoveryCase:
    """People know of a failure, and not of its event."""
    told = {"touchpoint": "store.checkout", "customer": "", "correlation_id": ""} | fields
    return RecoveryCase.open(
        stream_id("default", "recovery_case", name),
        command("open", hour),
        **{"case_id": name, "severity": "SEVERITY_MAJOR", "failure": None, "assignee": "", **told},
    )


async def test_a_case_that_names_no_failure_is_about_the_last_one_of_its_episode_or_customer(
    figures: Figures,
) -> None:
    alone: dict[str, Any] = {"failure": {}, "customer": "ann"}
    closed = by_hand("of b", 5, correlation_id="b")
    closed.close(command("close", 6), result="", reason="duplicate")
    await figures.know(
        *(failed("a", 0), failed("b", 1), of("alone", 2, **alone), of("later", 60, **alone)),
        *(by_hand("of a", 5, correlation_id="a"), closed, by_hand("of ann", 5, customer="ann")),
        # About something else: another touchpoint, another customer, nobody.
        by_hand("elsewhere", 5, customer="ann", touchpoint="web.checkout"),
        by_hand("of ben", 5, customer="ben"),
        by_hand("of nobody", 5),
        today(60.5),
    )
    rows = {row["touchpoint"]: row["open"] for row in await figures.rows("open_recovery")}
    # a, alone and later; ben's and nobody's. b is closed by its case.
    assert {"store.checkout": "5", "web.checkout": "1"} == rows


async def test_a_case_that_names_no_failure_is_about_none_of_long_ago(figures: Figures) -> None:
    await figures.know(
        of("long ago", 0, failure={}, customer="ann"),
        of("ended", 1, recovery_closed={}, customer="ann"),
        by_hand("now", 721, customer="ann"),
        today(722),
    )
    [row] = await figures.rows("open_recovery")
    assert ("1", "0", "0") == counts(row)
    assert ["now"] == await figures.events("open_recovery")


async def test_a_case_whose_only_remedy_was_retracted_is_not_remedied(figures: Figures) -> None:
    case = case_of("by events", "failure a")
    case.remedy(command("remedy", 2), remedy={"kind": "REMEDY_KIND_REDO"})
    case.remedy(command("again", 3), remedy={"kind": "REMEDY_KIND_REDO"})
    case.retract_remedy(command("none", 4), remedied_by="remedy")
    case.retract_remedy(command("none either", 5), remedied_by="again")
    await figures.know(failed("a", 0), case, today(200))
    told = {2: "0", 3: "1", 4: "1", 5: "1", 6: "0"}
    for position, remedied_ in told.items():
        [row] = await figures.rows("open_recovery", as_of_position={"number": str(position)})
        assert remedied_ == row["remedied"], position


async def test_a_case_without_a_failure_such_as_of_a_low_score_is_open_too(
    figures: Figures,
) -> None:
    answer = {"signals": [csat("1")]}
    low = of("low", 2, feedback_received=answer, customer="ann")
    await figures.know(low, case_of("score", "low"), today(75))
    [row] = await figures.rows("open_recovery")
    # From the answer on, not from its case.
    assert ("1", "0", "1", "2026-07-01T10:00:00Z") == (*counts(row), row["oldest_at"])
    behind = await figures.events("open_recovery", "touchpoint=store.checkout")
    assert ["low", "score"] == behind


async def test_a_decision_behind_a_figure_is_told_with_its_case_and_its_own_time(
    figures: Figures,
) -> None:
    closed = case_of("by hand", "failure a")
    closed.close(command("close", 2.5), result="", reason="duplicate")
    closed.reopen(command("reopen", 3), reason="failed_again")
    await figures.know(failed("a", 0), closed, today(200))
    behind = await figures.evidence("open_recovery")
    assert [("failure a", 0.0), ("by hand", 1.0), ("by hand", 2.5), ("by hand", 3.0)] == [
        (each.event_id, (each.occurred_at.ToDatetime(UTC) - START) / timedelta(hours=1))
        for each in behind
    ]


async def test_the_touchpoint_s_own_standard_says_how_long_it_may_take_as_of_its_position(
    figures: Figures, scoring_pool: Pool
) -> None:
    def allowed(position: int, seconds: int, topic: str) -> RecordedEvent:
        standard = {"resolve_within": f"{seconds}s"}
        said = {"touchpoint": "web.shop", "expectation": standard}
        return declared(position, topic, START, said)

    await figures.know(failed("a"), failed("b", touchpoint="web.shop"), today(2))
    changed = REGISTERED.replace("registered", "expectation_changed")
    declarations = [allowed(4, 3600, REGISTERED), allowed(5, 31_536_000, changed)]
    await project(Scoreboard(scoring_pool), declarations)

    async def told(position: int) -> dict[str, tuple[str, str]]:
        rows = await figures.rows("open_recovery", as_of_position={"number": str(position)})
        return {row["touchpoint"]: (row["overdue"], row["allowed_hours"]) for row in rows}

    other = {"store.checkout": ("0", "72")}
    assert other | {"web.shop": ("0", "72")} == await told(3)
    assert other | {"web.shop": ("1", "1")} == await told(4)
    assert other | {"web.shop": ("0", "8760")} == await told(5)
