"""What may be decided about a recovery case, and in which state."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.chassis.errors import Conflict
from services.touchpoint.decisions.decided import Command
from services.touchpoint.decisions.recovery_case import (
    ACKNOWLEDGED,
    CLOSED,
    OPEN,
    REMEDIED,
    RecoveryCase,
)

AT = datetime(2026, 8, 3, 10, 15, tzinfo=UTC)
OPENING = {
    "case_id": "case-1",
    "touchpoint": "store.checkout",
    "customer": "",
    "severity": "SEVERITY_MAJOR",
    "correlation_id": "",
    "failure": None,
    "assignee": "",
}
REFUND = {"kind": "REMEDY_KIND_REFUND"}
VOUCHER = {"kind": "voucher"}

COMMANDS: dict[str, Callable[[RecoveryCase, Command], int]] = {
    "acknowledge": lambda case, by: case.acknowledge(by, assignee="staff-8"),
    "remedy": lambda case, by: case.remedy(by, remedy=REFUND),
    "give goodwill": lambda case, by: case.give_goodwill(by, goodwill=VOUCHER),
    "close": lambda case, by: case.close(by, result="RECOVERY_RESULT_REFUSED", reason="duplicate"),
    "reopen": lambda case, by: case.reopen(by, reason="failed_again"),
}
WAYS = {
    OPEN: [],
    ACKNOWLEDGED: ["acknowledge"],
    REMEDIED: ["remedy"],
    CLOSED: ["close"],
    f"{OPEN} again": ["remedy", "close", "reopen"],
}
# From where, what, and to where; what is not here is refused.
ALLOWED = {
    (OPEN, "acknowledge"): ACKNOWLEDGED,
    (OPEN, "remedy"): REMEDIED,
    (OPEN, "close"): CLOSED,
    (ACKNOWLEDGED, "remedy"): REMEDIED,
    (ACKNOWLEDGED, "close"): CLOSED,
    (REMEDIED, "remedy"): REMEDIED,
    (REMEDIED, "give goodwill"): REMEDIED,
    (REMEDIED, "close"): CLOSED,
    (CLOSED, "reopen"): OPEN,
    (f"{OPEN} again", "acknowledge"): ACKNOWLEDGED,
    (f"{OPEN} again", "remedy"): REMEDIED,
    (f"{OPEN} again", "close"): CLOSED,
}


def by(request_id: str, *, expected_version: int | None = None) -> Command:
    return Command(request_id, "staff-7", AT, expected_version)


def case_after(*commands: str) -> RecoveryCase:
    case = RecoveryCase.open(UUID(int=1), by("open"), **OPENING)
    for number, name in enumerate(commands):
        COMMANDS[name](case, by(f"way {number}"))
    return case


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("start", WAYS)
def test_a_command_is_taken_in_the_states_that_the_proto_lists_and_in_no_other(
    start: str, command: str
) -> None:
    case = case_after(*WAYS[start])
    version = case.version
    if (start, command) in ALLOWED:
        assert version + 1 == COMMANDS[command](case, by("now"))
        assert ALLOWED[start, command] == case.status
        return
    with pytest.raises(Conflict) as refused:
        COMMANDS[command](case, by("now"))
    problem = refused.value.problem
    assert ("WRONG_STATUS", "status") == (problem.code, problem.field)
    assert start.removesuffix(" again") == problem.got
    assert version == case.version
    wanted = {status for status, allowed in ALLOWED if allowed == command and " " not in status}
    assert wanted == set(problem.want.split(" or "))


@pytest.mark.parametrize("way", [[], ["acknowledge"]])
@pytest.mark.parametrize(
    ("result", "reason", "code"),
    [
        ("", "", "REASON_MISSING"),
        ("RECOVERY_RESULT_NO_ANSWER", "", "REASON_MISSING"),
        ("RECOVERY_RESULT_ACCEPTED", "", "NOTHING_TO_ACCEPT"),
        ("RECOVERY_RESULT_ACCEPTED", "duplicate", "NOTHING_TO_ACCEPT"),
        ("", "duplicate", None),
        ("RECOVERY_RESULT_REFUSED", "wants_nothing", None),
    ],
)
def test_without_a_remedy_a_case_is_closed_with_a_reason_and_never_accepted(
    way: list[str], result: str, reason: str, code: str | None
) -> None:
    case = case_after(*way)
    if code is None:
        case.close(by("now"), result=result, reason=reason)
        assert CLOSED == case.status
        return
    with pytest.raises(Conflict) as refused:
        case.close(by("now"), result=result, reason=reason)
    assert code == refused.value.problem.code


def test_with_a_remedy_a_case_is_closed_with_a_result() -> None:
    case = case_after("remedy")
    with pytest.raises(Conflict) as refused:
        case.close(by("now"), result="", reason="duplicate")
    assert "RESULT_MISSING" == refused.value.problem.code
    case.close(by("now"), result="RECOVERY_RESULT_ACCEPTED", reason="")
    assert CLOSED == case.status


def test_what_was_remedied_before_a_reopening_stays_and_is_not_enough_for_goodwill() -> None:
    case = case_after("remedy", "give goodwill", "close", "reopen")
    assert ([REFUND], [VOUCHER]) == (
        [each.remedy for each in case.remedies],
        [each.goodwill for each in case.gestures],
    )
    with pytest.raises(Conflict):
        case.give_goodwill(by("now"), goodwill=VOUCHER)


def test_acknowledging_keeps_the_assignee_unless_it_names_another() -> None:
    case = RecoveryCase.open(UUID(int=1), by("open"), **OPENING | {"assignee": "staff-8"})
    case.acknowledge(by("now"), assignee="")
    assert "staff-8" == case.owner
    assert "staff-8" == case_after("acknowledge").owner


@pytest.mark.parametrize("command", COMMANDS)
def test_a_repeated_command_makes_nothing_and_tells_its_version_whatever_came_after(
    command: str,
) -> None:
    [start] = [
        status for status, name in ALLOWED if name == command and status in (REMEDIED, CLOSED)
    ] or [OPEN]
    case = case_after(*WAYS[start])
    version = COMMANDS[command](case, by("now"))
    if case.status != CLOSED:
        case.close(by("end"), result="RECOVERY_RESULT_NO_ANSWER", reason="late")
    after = case.version
    assert version == COMMANDS[command](case, by("now", expected_version=version - 1))
    assert after == case.version


@pytest.mark.parametrize(
    "other",
    [
        lambda case: case.remedy(by("now"), remedy={"kind": "REMEDY_KIND_REPAIR"}),
        lambda case: case.remedy(Command("now", "staff-9", AT), remedy=REFUND),
        lambda case: case.close(by("now"), result="RECOVERY_RESULT_REFUSED", reason=""),
        lambda case: case.remedy(by("open"), remedy=REFUND),
    ],
)
def test_a_request_id_of_another_command_is_a_conflict(
    other: Callable[[RecoveryCase], int],
) -> None:
    case = case_after()
    case.remedy(by("now"), remedy=REFUND)
    with pytest.raises(Conflict) as refused:
        other(case)
    assert "REQUEST_ID_CONFLICT" == refused.value.problem.code
    assert 2 == case.version


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_a_command_that_rests_on_another_version_is_a_conflict(expected: int) -> None:
    case = case_after("acknowledge")
    with pytest.raises(Conflict) as refused:
        case.remedy(by("now", expected_version=expected), remedy=REFUND)
    assert "VERSION_MISMATCH" == refused.value.problem.code
    assert 3 == case.remedy(by("now", expected_version=2), remedy=REFUND)


def test_a_case_is_opened_once() -> None:
    case = case_after("close")
    with pytest.raises(Conflict) as refused:
        case.open_again(by("another"), **OPENING)
    assert "CASE_EXISTS" == refused.value.problem.code
    assert 1 == case.open_again(by("open"), **OPENING)
    with pytest.raises(Conflict) as refused:
        case.open_again(by("open"), **OPENING | {"touchpoint": "web.returns"})
    assert "REQUEST_ID_CONFLICT" == refused.value.problem.code


def test_a_case_of_too_many_decisions_can_be_closed_and_nothing_else() -> None:
    case = case_after()
    for number in range(2, RecoveryCase.DECISIONS_MAX + 1):
        assert number == case.remedy(by(f"{number}"), remedy=REFUND)
    with pytest.raises(Conflict) as refused:
        case.remedy(by("one more"), remedy=REFUND)
    assert "TOO_MANY_DECISIONS" == refused.value.problem.code
    case.close(by("end"), result="RECOVERY_RESULT_ACCEPTED", reason="")
    with pytest.raises(Conflict) as refused:
        case.reopen(by("again"), reason="failed_again")
    assert "TOO_MANY_DECISIONS" == refused.value.problem.code


def test_the_time_of_a_decision_is_the_one_that_it_is_given() -> None:
    case = case_after("acknowledge")
    assert [AT] * 2 == [each.timestamp for each in case.pending_events]
