"""Answers of customers that a configuration declares: which value is one, and on what scale.

    {"from": "csat", "metric": "METRIC_CSAT", "scale_min": "1", "scale_max": "5",
     "direction": "DIRECTION_HIGHER_IS_BETTER", "dimension": "speed", "question": "q1", "model": ""}

Vendors' values come without a scale, and no value tells its own: a 4 is good of 5 and poor of 10.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from services.chassis.errors import Malformed
from services.gateway.adapters.adapter import Unreadable, clean, kind_of
from services.gateway.checks import problem_of
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb

# As many as feedback may have signals.
ANSWERS_MAX = 50
# The name is part of event ids.
NAME_CHARACTERS_MAX = 64
# What systems write for a question that was left out, in lower case.
UNANSWERED = {"", "n/a", "na", "no response", "none", "null", "undefined"}


def check_answers(answers: Any, field: str) -> None:
    """Raises Malformed when these are no declared answers."""
    if not isinstance(answers, list) or len(answers) > ANSWERS_MAX:
        want = f"a list of at most {ANSWERS_MAX} answers"
        raise Malformed(want, field=field, got=kind_of(answers))
    names = set[str]()
    for index, declared in enumerate(answers):
        at = f"{field}[{index}]"
        if not isinstance(declared, dict):
            raise Malformed("an object", field=at, got=kind_of(declared))
        name = declared.get("from")
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_CHARACTERS_MAX or name in names:
            want = f"another name of 1 to {NAME_CHARACTERS_MAX} characters"
            raise Malformed(want, field=f"{at}.from", got=kind_of(name))
        names.add(name)
        _check_scale(declared, at)


def _check_scale(declared: dict[str, Any], at: str) -> None:
    """By the rules that an event with such an answer will have to keep."""
    try:
        event = event_json.read(
            {
                "event_id": "example",
                "occurred_at": "2026-01-01T00:00:00Z",
                "touchpoint": "example",
                "feedback_received": {
                    "signals": [
                        {key: value for key, value in declared.items() if key != "from"}
                        | {"value": declared.get("scale_min")}
                    ]
                },
            }
        )
        problem = problem_of(event)
    except event_json.EventJsonError as error:
        problem = error.problem
    if problem is not None:
        name = problem.field.removeprefix("feedback_received.signals[0]").lstrip(".")
        field = f"{at}.{name}" if name else at
        raise Malformed(problem.want, code=problem.code, field=field, got=problem.got)


def signal(declared: Mapping[str, Any], value: Any, field: str) -> pb.Signal | None:
    """The answer that the value is; None when there is none. Raises Unreadable."""
    text = _text(value, field)
    if text.lower() in UNANSWERED:
        return None
    return pb.Signal(
        metric=declared["metric"],
        value=text,
        scale_min=declared["scale_min"],
        scale_max=declared["scale_max"],
        direction=declared["direction"],
        dimension=declared.get("dimension", ""),
        question=declared.get("question", ""),
        model=declared.get("model", ""),
    )


def _text(value: Any, field: str) -> str:
    """The value as a decimal, or as the text that it is: the rules on events tell what is wrong with it."""
    match value:
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case int() | float():
            return decimal_text(value)
        case str():
            return clean(value, field).strip()
        case _:
            raise Unreadable("WRONG_TYPE", field, got=kind_of(value), want="a number or a text")


def decimal_text(value: float) -> str:
    """A number of JSON without an exponent."""
    try:
        return format(Decimal(repr(value)), "f")
    except InvalidOperation:
        return repr(value)
