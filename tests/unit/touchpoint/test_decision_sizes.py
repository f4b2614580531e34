"""Whatever is within the bounds of the protos fits into the journal and into a message."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.chassis.server import MESSAGE_BYTES_MAX
from services.touchpoint import cases_servicer, catalog_servicer
from services.touchpoint.append_request import EVENT_BYTES_MAX
from services.touchpoint.decisions.checks import ANSWERS_MAX, CHARACTERS_MAX, PAGE_MAX
from services.touchpoint.decisions.decided import Command
from services.touchpoint.decisions.recovery_case import RecoveryCase
from services.touchpoint.decisions.stored import entries
from services.touchpoint.decisions.touchpoint_definition import TouchpointDefinition

AT = datetime(2026, 8, 3, 10, 15, 30, 999_999, tzinfo=UTC)
# Four bytes each.
LONG = "𝄞" * CHARACTERS_MAX
NAME = "x" * CHARACTERS_MAX
WORD = "x" * 64
DECIMAL = f"-{'9' * 15}.{'9' * 6}"
MONEY = {"amount": DECIMAL, "currency": "EUR"}


def command(number: int) -> Command:
    return Command(f"{number}".rjust(CHARACTERS_MAX, "𝄞"), LONG, AT)


def largest_case() -> RecoveryCase:
    content: dict[str, Any] = {
        "case_id": LONG,
        "touchpoint": NAME,
        "customer": "0" * 32,
        "severity": "SEVERITY_CRITICAL",
        "correlation_id": LONG,
        "failure": {"source": LONG, "event_id": LONG},
        "assignee": LONG,
    }
    case = RecoveryCase.open(UUID(int=1), command(1), **content)
    case.remedy(command(2), remedy={"kind": "REMEDY_KIND_EXCHANGE", "cost": MONEY})
    # A gesture takes more room than a remedy.
    for number in range(3, RecoveryCase.DECISIONS_MAX + 1):
        case.give_goodwill(command(number), goodwill={"kind": WORD, "value": MONEY})
    return case


def largest_definition() -> TouchpointDefinition:
    answer = {
        "metric": "METRIC_SENTIMENT",
        "direction": "DIRECTION_HIGHER_IS_BETTER",
        **dict.fromkeys(("value", "scale_min", "scale_max"), DECIMAL),
        **dict.fromkeys(("dimension", "question", "model"), LONG),
    }
    longest = dict.fromkeys(
        ("wait_within", "answer_within", "resolve_within"), "31622399.999999999s"
    )
    content: dict[str, Any] = {
        "touchpoint": NAME,
        "stage": "STAGE_CONSIDERATION",
        "channel": "CHANNEL_ADVERT",
        "owner": LONG,
        "weight": DECIMAL,
        "expectation": {"answers": [answer] * ANSWERS_MAX, **longest},
    }
    return TouchpointDefinition.define(UUID(int=1), command(1), **content)


def test_a_page_of_the_largest_cases_fits_into_a_message() -> None:
    assert PAGE_MAX * cases_servicer.shown(largest_case()).ByteSize() < MESSAGE_BYTES_MAX


def test_a_page_of_the_largest_definitions_fits_into_a_message() -> None:
    assert PAGE_MAX * catalog_servicer.shown(largest_definition()).ByteSize() < MESSAGE_BYTES_MAX


def test_the_largest_decision_is_no_larger_than_the_largest_event() -> None:
    events = [*largest_case().pending_events, *largest_definition().pending_events]
    assert max(len(entry.state) for entry in entries(events)) < EVENT_BYTES_MAX
