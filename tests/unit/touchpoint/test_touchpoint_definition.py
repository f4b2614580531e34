"""What may be decided about a touchpoint, and in which state."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.chassis.errors import Conflict
from services.touchpoint.decisions.decided import Command
from services.touchpoint.decisions.touchpoint_definition import (
    ACTIVE,
    RETIRED,
    TouchpointDefinition,
)

AT = datetime(2026, 8, 3, 10, 15, tzinfo=UTC)
DEFINED = {
    "touchpoint": "store.checkout",
    "stage": "STAGE_PURCHASE",
    "channel": "CHANNEL_STORE",
    "owner": "Store operations",
    "weight": "1",
    "expectation": {"wait_within": "120s"},
}
AGAIN = DEFINED | {"owner": "Online", "weight": "2", "expectation": None}
Said = tuple[str, str, str, str, object]

COMMANDS: dict[str, Callable[[TouchpointDefinition, Command], int]] = {
    "define": lambda made, by: made.define_again(by, **AGAIN),
    "move": lambda made, by: made.change(
        by, made.Moved, stage="STAGE_SERVICE", channel="CHANNEL_PHONE"
    ),
    "change owner": lambda made, by: made.change(by, made.OwnerChanged, owner="Online"),
    "change weight": lambda made, by: made.change(by, made.WeightChanged, weight="0.5"),
    "change expectation": lambda made, by: made.change(
        by, made.ExpectationChanged, expectation={"wait_within": "60s"}
    ),
    "retire": lambda made, by: made.retire(by, reason="store_closed"),
}
# What the definition is after the command, where it is taken.
BEFORE: Said = (
    "STAGE_PURCHASE",
    "CHANNEL_STORE",
    "Store operations",
    "1",
    {"wait_within": "120s"},
)
AFTER: dict[tuple[str, str], tuple[str, Said]] = {
    (RETIRED, "define"): (ACTIVE, (*BEFORE[:2], "Online", "2", None)),
    (ACTIVE, "move"): (ACTIVE, ("STAGE_SERVICE", "CHANNEL_PHONE", *BEFORE[2:])),
    (ACTIVE, "change owner"): (ACTIVE, (*BEFORE[:2], "Online", *BEFORE[3:])),
    (ACTIVE, "change weight"): (ACTIVE, (*BEFORE[:3], "0.5", BEFORE[4])),
    (ACTIVE, "change expectation"): (ACTIVE, (*BEFORE[:4], {"wait_within": "60s"})),
    (ACTIVE, "retire"): (RETIRED, BEFORE),
}


def by(request_id: str) -> Command:
    return Command(request_id, "staff-7", AT)


def made(status: str) -> TouchpointDefinition:
    definition = TouchpointDefinition.define(UUID(int=1), by("define"), **DEFINED)
    if status == RETIRED:
        definition.retire(by("retire"), reason="store_closed")
    return definition


def said(definition: TouchpointDefinition) -> Said:
    return (
        definition.stage,
        definition.channel,
        definition.owner,
        definition.weight,
        definition.expectation,
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("status", [ACTIVE, RETIRED])
def test_an_active_touchpoint_is_changed_and_retired_and_a_retired_one_defined_again(
    status: str, command: str
) -> None:
    definition = made(status)
    version = definition.version
    if (status, command) in AFTER:
        assert version + 1 == COMMANDS[command](definition, by("now"))
        assert AFTER[status, command] == (definition.status, said(definition))
        return
    with pytest.raises(Conflict) as refused:
        COMMANDS[command](definition, by("now"))
    problem = refused.value.problem
    assert ("WRONG_STATUS", "status", status) == (problem.code, problem.field, problem.got)
    assert ({ACTIVE, RETIRED} - {status}).pop() == problem.want
    assert (version, BEFORE) == (definition.version, said(definition))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_repeated_command_makes_nothing_and_tells_its_version_whatever_came_after(
    command: str,
) -> None:
    definition = made(RETIRED if command == "define" else ACTIVE)
    version = COMMANDS[command](definition, by("now"))
    if definition.status == ACTIVE:
        definition.retire(by("end"), reason="store_closed")
    after = definition.version
    assert version == COMMANDS[command](definition, by("now"))
    assert 1 == definition.define_again(by("define"), **DEFINED)
    assert after == definition.version


@pytest.mark.parametrize("request_id", ["define", "retire"])
def test_a_request_id_of_another_command_is_a_conflict(request_id: str) -> None:
    definition = made(RETIRED)
    with pytest.raises(Conflict) as refused:
        definition.define_again(by(request_id), **AGAIN)
    assert "REQUEST_ID_CONFLICT" == refused.value.problem.code


def test_a_touchpoint_of_too_many_decisions_can_be_retired_and_nothing_else() -> None:
    definition = made(ACTIVE)
    for number in range(2, TouchpointDefinition.DECISIONS_MAX + 1):
        definition.change(by(f"{number}"), definition.WeightChanged, weight=f"{number}")
    with pytest.raises(Conflict) as refused:
        definition.change(by("one more"), definition.WeightChanged, weight="1")
    assert "TOO_MANY_DECISIONS" == refused.value.problem.code
    definition.retire(by("end"), reason="store_closed")
    assert RETIRED == definition.status
