"""Deliveries of vendors without an adapter, read by a mapping that the webhook was configured with.

The mapping has the shape of an Event as JSON, with a JMESPath expression (jmespath.org) in place of each
value:

    {"events": "items[]",
     "when": "status == 'rated'",
     "event": {"event_id": "join('-', ['rating', id])",
               "occurred_at": "epoch(created)",
               "touchpoint": "'call.support'",
               "customer": "contact.id",
               "feedback_received": {"signals": [{"metric": "'METRIC_CSAT'", "value": "rating",
                   "scale_min": "'1'", "scale_max": "'5'", "direction": "'DIRECTION_HIGHER_IS_BETTER'"}]}},
     "signature": {"header": "x-signature", "algorithm": "sha256", "encoding": "hex", "prefix": ""}}

`events` gives the list that has one event in each element, and without it the whole document is one; `when`
leaves out those for which it is not true. What an expression finds nothing for is left out, and so is an
object in which all that does not come from literals is nothing: no rating, no signal. Of several bodies the
one stays that something was found for; a body that stands alone always does. Numbers become text where the
event wants text. Beside JMESPath's functions there are epoch(seconds), epoch_ms(milliseconds),
local_time(text, 'America/Sao_Paulo') for times without a zone, and pick(object, key).
"""

import base64
import functools
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import jmespath
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from services.chassis.errors import Malformed
from services.gateway.adapters.adapter import (
    EVENTS_MAX,
    Adapter,
    Config,
    Delivery,
    Unreadable,
    check_signature,
    customer,
    decoded,
    kind_of,
    refuse_other_settings,
)
from services.gateway.local_time import is_zone, moment, read_time
from touchledger import event_json
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

SETTINGS = {"events", "when", "event", "signature"}
SIGNATURE = {"header": "x-signature", "algorithm": "sha256", "encoding": "hex", "prefix": ""}
# "plain": the header holds the secret itself.
ALGORITHMS = {"plain", "sha1", "sha256", "sha512"}
ENCODINGS = {"hex", "base64"}
SET_BY_SERVER = {"sealed_personal", "intake"}
EXPRESSION_CHARACTERS_MAX = 500
# An Event with everything in it has some 60 fields.
EXPRESSIONS_MAX = 200
MAPPINGS_CACHED_MAX = 256
# Visits of nodes, values and pieces of text for one delivery: a third of a second of one core. 500 events of
# 30 expressions take a fifth of it; an expression that doubles what it is given, again and again, ends here.
STEPS_MAX = 300_000
TEXT_PIECE_CHARACTERS = 100
# Functions that read all that they are given, however often a part of it is in it.
READ_ALL = {"contains", "join", "max", "min", "sort", "to_string"}
# The year 9999 ends after 12 digits of seconds. int() takes 12 seconds for 1e700000, and all threads wait.
SECONDS_EXPONENT_MAX = 12
# What a foreign expression on a foreign document may raise, JMESPath's own errors among them.
FAILURES = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def verify(delivery: Delivery, secret: str, config: Config) -> None:
    configured = {**SIGNATURE, **config.get("signature", {})}
    wanted = secret
    if configured["algorithm"] != "plain":
        digest = hmac.digest(secret.encode(), delivery.body, configured["algorithm"])
        hexadecimal = configured["encoding"] == "hex"
        wanted = digest.hex() if hexadecimal else base64.b64encode(digest).decode()
    check_signature(delivery, configured["header"].lower(), configured["prefix"] + wanted)


def read(delivery: Delivery, config: Config) -> list[pb.Event | Problem]:
    mapping = _mapping(json.dumps(dict(config), sort_keys=True))
    evaluation = _Evaluation()
    try:
        whole = decoded(delivery.body)
        items = [whole] if mapping.events is None else mapping.events.of(whole, evaluation)
        if items is None:
            return []
        if not isinstance(items, list):
            raise Unreadable("WRONG_TYPE", "config.events", got=kind_of(items), want="an array")
        if len(items) > EVENTS_MAX:
            raise Unreadable(
                "TOO_MANY", "config.events", got=f"{len(items)}", want=f"at most {EVENTS_MAX}"
            )
        read = (_event(mapping, item, evaluation) for item in items)
        return [each for each in read if each is not None]
    except Unreadable as error:
        return [error.problem]


def check_config(config: Config) -> None:
    refuse_other_settings(config, SETTINGS)
    _check_signature_settings(config.get("signature", {}))
    _compile(config)


def _event(mapping: "_Mapping", item: Any, evaluation: "_Evaluation") -> pb.Event | Problem | None:
    try:
        if mapping.when is not None and mapping.when.of(item, evaluation) is not True:
            return None
        return event_json.read(mapping.event.of(item, evaluation) or {})
    except (event_json.EventJsonError, Unreadable) as error:
        return error.problem
    except FAILURES as error:
        # A sum can have more digits than Python writes down.
        return Problem(
            code="BAD_EXPRESSION",
            field="config.event",
            got=type(error).__name__,
            want="expressions that give what an event can hold",
        )


@dataclass(frozen=True, slots=True)
class _Mapping:
    events: "_Expression | None"
    when: "_Expression | None"
    event: "_Object"


@dataclass(frozen=True, slots=True)
class _Expression:
    """Gives a value of the event, from an expression."""

    at: str
    parsed: Any
    # The field that it fills, where it fills one.
    field: FieldDescriptor | None = None

    @property
    def is_literal(self) -> bool:
        return bool(self.parsed["type"] == "literal")

    def of(self, item: Any, evaluation: "_Evaluation") -> Any:
        try:
            return self._fitted(evaluation.visit(self.parsed, item))
        except _TooMuchWork:
            raise Unreadable(
                "TOO_COSTLY", self.at, got="an expression that never ends", want="a simpler one"
            ) from None
        except FAILURES as error:
            raise Unreadable(
                "BAD_EXPRESSION",
                self.at,
                got=type(error).__name__,
                want="one that this delivery can be read with",
            ) from None

    def _fitted(self, value: Any) -> Any:
        """As the field takes it."""
        if self.field is None or value is None:
            return value
        if self.field.message_type and self.field.message_type.GetOptions().map_entry:
            return _texts(value)
        if self.field.type != FieldDescriptor.TYPE_STRING:
            return value
        text = _text(value)
        if self.field.full_name == "touchledger.v1.Event.customer" and isinstance(text, str):
            return customer(text) or None
        return text


@dataclass(frozen=True, slots=True)
class _Object:
    fields: Mapping[str, "_Node"]
    # Also where nothing was found for it.
    always: bool = False

    @property
    def is_literal(self) -> bool:
        return all(each.is_literal for each in self.fields.values())

    def of(self, item: Any, evaluation: "_Evaluation") -> dict[str, Any] | None:
        found = {name: each.of(item, evaluation) for name, each in self.fields.items()}
        from_item = [name for name, each in self.fields.items() if not each.is_literal]
        if from_item and not self.always and all(found[name] is None for name in from_item):
            return None
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _List:
    items: tuple["_Node", ...]

    @property
    def is_literal(self) -> bool:
        return all(each.is_literal for each in self.items)

    def of(self, item: Any, evaluation: "_Evaluation") -> list[Any] | None:
        found = [each.of(item, evaluation) for each in self.items]
        return [each for each in found if each is not None] or None


_Node = _Expression | _Object | _List


def _text(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return format(Decimal(repr(value)), "f")


def _texts(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _text(each) for name, each in value.items() if each is not None}


class _TooMuchWork(Exception):
    pass


class _Functions(Functions):
    def __init__(self, charge: Callable[[int], None], charge_all: Callable[[Any], None]) -> None:
        super().__init__()
        self._charge = charge
        self._charge_all = charge_all

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        if function_name in READ_ALL:
            self._charge_all(list(resolved_args))
        return super().call_function(function_name, resolved_args)

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, array: list[str]) -> str:
        # Before there are so many.
        self._charge(len(separator) * len(array) // TEXT_PIECE_CHARACTERS)
        return separator.join(array)

    @signature({"types": ["number", "string", "null"]})
    def _func_epoch(self, since: Any) -> str | None:
        return _moment(since, 1)

    @signature({"types": ["number", "string", "null"]})
    def _func_epoch_ms(self, since: Any) -> str | None:
        return _moment(since, 1000)

    @signature({"types": ["string", "null"]}, {"types": ["string"]})
    def _func_local_time(self, text: str | None, zone: str) -> str | None:
        if text is None:
            return None
        time = read_time(text)
        if time.tzinfo is None:
            if not is_zone(zone):
                raise ValueError("no time zone")
            time = moment(time, ZoneInfo(zone))
        return time.isoformat()

    @signature({"types": ["object"]}, {"types": ["string", "number", "boolean", "null"]})
    def _func_pick(self, choices: dict[str, Any], key: Any) -> Any:
        return choices.get(key if isinstance(key, str) else json.dumps(key))


def _moment(since: Any, parts_of_a_second: int) -> str | None:
    if since is None:
        return None
    try:
        seconds = Decimal(str(since)) / parts_of_a_second
    except InvalidOperation:
        raise ValueError("no number") from None
    if not seconds.is_finite() or seconds.adjusted() > SECONDS_EXPONENT_MAX:
        raise ValueError("no moment")
    moment = EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
    return moment.isoformat().replace("+00:00", "Z")


class _Evaluation(TreeInterpreter):
    """Evaluates expressions on one delivery, with a bound on the work of all of them together."""

    def __init__(self) -> None:
        super().__init__(Options(custom_functions=_Functions(self._charge, self._charge_all)))
        self._steps_left = STEPS_MAX

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        value = super().visit(node, *args, **kwargs)
        self._charge(_size(value))
        return value

    def visit_comparator(self, node: Any, value: Any) -> Any:
        if node["value"] not in ("eq", "ne"):
            return super().visit_comparator(node, value)
        left, right = (self.visit(child, value) for child in node["children"])
        if isinstance(left, list | dict) and isinstance(right, list | dict):
            self._charge_all(left)
        return self.COMPARATOR_FUNC[node["value"]](left, right)

    def _charge(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise _TooMuchWork

    def _charge_all(self, value: Any) -> None:
        """For a value and all that is in it, as often as it is."""
        left = [value]
        while left:
            each = left.pop()
            self._charge(_size(each))
            if isinstance(each, dict):
                left.extend(each.values())
            elif isinstance(each, list):
                left.extend(each)


def _size(value: Any) -> int:
    if isinstance(value, list | dict):
        return 1 + len(value)
    return 1 + len(value) // TEXT_PIECE_CHARACTERS if isinstance(value, str) else 1


@functools.lru_cache(maxsize=MAPPINGS_CACHED_MAX)
def _mapping(config: str) -> _Mapping:
    return _compile(json.loads(config))


def _compile(config: Config) -> _Mapping:
    left = [EXPRESSIONS_MAX]
    template = config.get("event")
    descriptor: Any = pb.Event.DESCRIPTOR
    event = _object(template, "config.event", descriptor, left)
    for name in ("event_id", "occurred_at"):
        if name not in event.fields:
            raise Malformed("an expression", code="MISSING", field=f"config.event.{name}")
    all_bodies = {each.name for each in descriptor.oneofs_by_name["body"].fields}
    bodies = [name for name in event.fields if name in all_bodies]
    if not bodies:
        raise Malformed(
            "one of the bodies, such as interaction", code="MISSING", field="config.event"
        )
    body = event.fields[bodies[0]]
    if len(bodies) == 1 and isinstance(body, _Object):
        # Words without a rating are feedback all the same.
        event = _Object({**event.fields, bodies[0]: _Object(body.fields, always=True)})
    return _Mapping(
        events=_optional(config, "events", left), when=_optional(config, "when", left), event=event
    )


def _optional(config: Config, name: str, left: list[int]) -> _Expression | None:
    return _expression(config[name], f"config.{name}", None, left) if name in config else None


def _object(template: Any, at: str, descriptor: Descriptor, left: list[int]) -> _Object:
    if not isinstance(template, dict) or not template:
        raise Malformed(
            "an object with expressions", code="WRONG_TYPE", field=at, got=kind_of(template)
        )
    fields: dict[str, _Node] = {}
    for name, each in template.items():
        field = descriptor.fields_by_name.get(name)
        if field is None or name in SET_BY_SERVER:
            known = ", ".join(one for one in descriptor.fields_by_name if one not in SET_BY_SERVER)
            raise Malformed(f"one of {known}", code="UNKNOWN_FIELD", field=at, got=name[:80])
        fields[name] = _node(each, f"{at}.{name}", field, left)
    return _Object(fields)


def _node(template: Any, at: str, field: FieldDescriptor, left: list[int]) -> _Node:
    if isinstance(template, str):
        return _expression(template, at, field, left)
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry and isinstance(template, dict):
        value = kind.fields_by_name["value"]
        return _Object(
            {name: _node(each, f"{at}.{name}", value, left) for name, each in template.items()}
        )
    if kind is not None and field.is_repeated and isinstance(template, list):
        items = enumerate(template)
        return _List(tuple(_object(each, f"{at}[{i}]", kind, left) for i, each in items))
    if kind is not None and not field.is_repeated and kind.file.package != "google.protobuf":
        return _object(template, at, kind, left)
    raise Malformed("an expression", code="WRONG_TYPE", field=at, got=kind_of(template))


def _expression(text: Any, at: str, field: FieldDescriptor | None, left: list[int]) -> _Expression:
    left[0] -= 1
    if left[0] < 0:
        raise Malformed(f"at most {EXPRESSIONS_MAX} expressions", code="TOO_MANY", field="config")
    if not isinstance(text, str) or len(text) > EXPRESSION_CHARACTERS_MAX:
        raise Malformed(
            f"an expression of at most {EXPRESSION_CHARACTERS_MAX} characters",
            code="BAD_EXPRESSION",
            field=at,
            got=f"{len(text)} characters" if isinstance(text, str) else kind_of(text),
        )
    try:
        parsed = jmespath.compile(text).parsed
    except FAILURES as error:
        raise Malformed(
            "a JMESPath expression; a text stands in quotes, as in 'call.support'",
            code="BAD_EXPRESSION",
            field=at,
            got=type(error).__name__,
        ) from None
    made = _Expression(at, parsed, field)
    if field is not None and field.enum_type is not None and made.is_literal:
        _check_name(parsed["value"], at, field.enum_type)
    return made


def _check_name(value: Any, at: str, kind: EnumDescriptor) -> None:
    if value not in kind.values_by_name:
        names = ", ".join(each.name for each in kind.values if each.number)
        raise Malformed(f"one of {names}", code="INVALID_NAME", field=at, got=str(value)[:80])


def _check_signature_settings(settings: Any) -> None:
    if not isinstance(settings, dict):
        raise Malformed(
            "an object", code="WRONG_TYPE", field="config.signature", got=kind_of(settings)
        )
    for name, value in settings.items():
        choices = {"algorithm": ALGORITHMS, "encoding": ENCODINGS}.get(name)
        if name not in SIGNATURE:
            want = "one of " + ", ".join(sorted(SIGNATURE))
        elif not isinstance(value, str) or not value.isascii() or len(value) > 128:
            want = "an ASCII text of at most 128 characters"
        elif choices and value not in choices:
            want = "one of " + ", ".join(sorted(choices))
        else:
            continue
        raise Malformed(want, code="BAD_SETTING", field=f"config.signature.{name[:80]}")


ADAPTER = Adapter(name="mapped.v1", verify=verify, read=read, check_config=check_config)
