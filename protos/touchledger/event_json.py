"""Reads one event from protobuf JSON, strictly, and says which field is wrong, what came and what is wanted.

Stricter than google.protobuf.json_format, which lets pass what a source can't have meant: a key given
twice, eventId beside event_id, NUL characters, "1_0s" as a duration, numbers for unknown enum values.
The rules on an event as a whole (what is required, scales, lengths) are the gateway's.
"""

import base64
import difflib
import functools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from touchledger.v1 import events_pb2, problem_pb2

# An event needs 6; an array of events 7. The bound keeps hostile nesting away from the recursive decoder.
DEPTH_MAX = 32
GOT_CHARACTERS_MAX = 80
# Of names to choose from: all fields of an event are too many to read.
CHOICE_CHARACTERS_MAX = 300
# Of one object. Maps take 64 entries, no event has as many fields, and one of 64 KiB has no room for so many.
KEYS_MAX = 8192

# Fields of Event whose values are not shown in a problem, only their kind.
PERSONAL = frozenset({"customer", "staff", "attributes", "personal", "sealed_personal", "identity"})


# Fields of Event that a source can't set, so that they are no advice.
SET_BY_GATEWAY = frozenset({"sealed_personal", "intake"})


class EventJsonError(Exception):
    """The text is no event; `problem` says why."""

    def __init__(self, code: str, field: str, *, got: str, want: str) -> None:
        self.problem = problem_pb2.Problem(code=code, field=_shown(field), got=got, want=want)
        super().__init__(f"{self.problem.field or 'the event'}: got {got}, want {want}")


def parse(text: str | bytes) -> events_pb2.Event:
    """The event that the text holds. Raises EventJsonError."""
    return read(decode(text))


def decode(text: str | bytes) -> Any:
    """What the text holds as JSON, for `read`: an event, or a list of events. Raises EventJsonError."""
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            _malformed(f"a byte at offset {error.start} that is not UTF-8")
    if not text.strip():
        _malformed("nothing")
    if text.startswith("\ufeff"):
        _malformed("Unexpected UTF-8 BOM (decode using utf-8-sig) at line 1 column 1")
    _check_depth(text)
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        _malformed(f"{error.msg} at line {error.lineno} column {error.colno}")


def read(value: Any) -> events_pb2.Event:
    """The event that a value from `decode` stands for. Raises EventJsonError."""
    try:
        return events_pb2.Event(**_arguments(_kind(events_pb2.Event.DESCRIPTOR), value))
    except _NOT_PLAIN:
        return _read_thoroughly(value)


def fill(message: Message, value: Any) -> None:
    """Fills a message of another kind from a value as `decode` gives it. Raises EventJsonError."""
    _fill(message, value, "")


def _read_thoroughly(value: Any) -> events_pb2.Event:
    event = events_pb2.Event()
    _fill(event, value, "")
    return event


def to_json(event: events_pb2.Event) -> str:
    """The event as standard protobuf JSON on one line of ASCII."""
    return json_format.MessageToJson(event, indent=None)


@dataclass(frozen=True, slots=True)
class _TwiceInObject:
    """Stands for an object that holds a key twice, until the walk knows the path to it."""

    key: str


@dataclass(frozen=True, slots=True)
class _TooManyKeys:
    """Stands for an object that has more keys than any event: nobody looks at them."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _TwiceInObject | _TooManyKeys:
    if len(pairs) > KEYS_MAX:
        return _TooManyKeys()
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    return _TwiceInObject(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]  # None is what is meant


# Made once: json.loads makes one for each text, which costs as much as a small event.
_decoder = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=float,
    # int() refuses thousands of digits with an error of its own; as infinity it is refused by field.
    parse_int=lambda digits: int(digits) if len(digits) <= 20 else float(digits),
)

# A string matches to its end, or to the end of the text, so that the scan stays linear on any input.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+["\\]?|[][{}]', re.DOTALL)


def _check_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        bracket = match[0]
        if bracket in ("{", "["):
            depth += 1
            if depth > DEPTH_MAX:
                raise EventJsonError(
                    "TOO_DEEP", "", got="deeper nesting", want=f"at most {DEPTH_MAX} levels"
                )
        elif bracket in ("}", "]"):
            depth -= 1


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    oneof: str
    repeated: bool
    is_map: bool
    # Exactly one of the two is set: what fills a message in place, or what makes a scalar.
    fill: Callable[[Any, Any, str], None] | None
    scalar: Callable[[Any, str], Any] | None


@functools.cache
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    """The fields of a message by both of their names."""
    fields: dict[str, _Field] = {}
    for each in descriptor.fields:
        kind = each.message_type
        entry = kind if kind is not None and kind.GetOptions().map_entry else None
        value = entry.fields_by_name["value"] if entry else each
        field = _Field(
            name=each.name,
            oneof=each.containing_oneof.name if each.containing_oneof else "",
            repeated=each.is_repeated and entry is None,
            is_map=entry is not None,
            fill=_FILLS.get(value.message_type.full_name, _fill) if value.message_type else None,
            scalar=None if value.message_type else _scalar(value),
        )
        fields[each.name] = fields[each.json_name] = field
    return fields


# The quick way, for what is plain: the arguments that the generated class is called with, in less time. It
# raises one of these wherever the thorough way could see something odd, and says nothing about it.
_NOT_PLAIN = (EventJsonError, AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class _Kind:
    # By both names of a field: its name, and what makes its argument; None of text, which is most of all.
    fields: dict[str, tuple[str, Callable[[Any], Any] | None]]
    oneofs: tuple[frozenset[str], ...]


@functools.cache
def _kind(descriptor: Descriptor) -> _Kind:
    fields = dict[str, tuple[str, Callable[[Any], Any] | None]]()
    for each in descriptor.fields:
        fields[each.name] = fields[each.json_name] = each.name, _argument(each)
    # The field of an `optional` is a oneof alone.
    oneofs = [each.fields for each in descriptor.oneofs if len(each.fields) > 1]
    return _Kind(fields, tuple(frozenset(field.name for field in each) for each in oneofs))


def _argument(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    kind = field.message_type
    if kind is None:
        if field.enum_type is not None:
            return _numbers(field.enum_type).__getitem__
        if field.type == FieldDescriptor.TYPE_STRING:
            return None
        scalar = _SCALARS[field.type]
        return lambda item: scalar(item, "")
    if kind.GetOptions().map_entry:
        return _plain_map
    if kind.full_name in _FILLS:
        return functools.partial(_filled, kind.full_name)
    if field.is_repeated:
        return functools.partial(_plain_list, kind)
    return lambda item: _arguments(_kind(kind), item)


def _arguments(kind: _Kind, value: Any) -> dict[str, Any]:
    arguments, fields = dict[str, Any](), kind.fields
    for key, item in value.items():
        name, argument = fields[key]
        if argument is not None:
            arguments[name] = argument(item)
        elif item.__class__ is str and "\0" not in item:
            arguments[name] = item
        else:
            raise ValueError
    # An empty message is not the same as none, but to the class it is; and a field has two names.
    if not arguments or len(arguments) != len(value):
        raise ValueError
    for oneof in kind.oneofs:
        if len(oneof.intersection(arguments)) > 1:
            raise ValueError
    return arguments


def _plain_list(kind: Descriptor, value: Any) -> list[dict[str, Any]]:
    if type(value) is not list:
        raise ValueError
    return [_arguments(_kind(kind), each) for each in value]


def _plain_map(value: Any) -> Any:
    if type(value) is not dict:
        raise ValueError
    for key, each in value.items():
        if type(each) is not str or "\0" in each or "\0" in key:
            raise ValueError
    return value


def _filled(name: str, value: Any) -> Message:
    message = _WELL_KNOWN[name]()
    _FILLS[name](message, value, "")
    return message


def _fill(message: Message, value: Any, path: str) -> None:
    if type(value) is not dict:
        if isinstance(value, _TwiceInObject):
            _fail(
                "DUPLICATE_KEY",
                _join(path, value.key),
                got=f'the key "{_shown(value.key)}" more than once',
                want="each key once",
            )
        _no_object(value, path)
    fields = _fields(message.DESCRIPTOR)
    names: dict[str, str] = {}
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            _unknown(key, path, (each.name for each in fields.values()))
        here = _join(path, field.name)
        for name in (field.name, field.oneof if item is not None else ""):
            if name in names:
                _twice(here, key, names[name])
            if name:
                names[name] = key
        # null is protobuf JSON's word for a field that is not set.
        if item is not None:
            _set(message, field, item, here)


def _set(message: Message, field: _Field, item: Any, path: str) -> None:
    if field.is_map:
        _fill_map(getattr(message, field.name), field, item, path)
    elif field.repeated:
        if type(item) is not list:
            _wrong_type(item, path, "an array")
        values = getattr(message, field.name)
        for index, each in enumerate(item):
            if field.fill:
                field.fill(values.add(), each, f"{path}[{index}]")
            elif field.scalar:
                values.append(field.scalar(each, f"{path}[{index}]"))
    elif field.fill:
        inner = getattr(message, field.name)
        # An empty message, or midnight of 1970, is not the same as none.
        inner.SetInParent()
        field.fill(inner, item, path)
    elif field.scalar:
        setattr(message, field.name, field.scalar(item, path))


def _fill_map(values: Any, field: _Field, item: Any, path: str) -> None:
    if type(item) is not dict:
        if isinstance(item, _TwiceInObject):
            _fail(
                "DUPLICATE_KEY",
                path,
                got="an object with a key more than once",
                want="each key once",
            )
        _no_object(item, path)
    for key, each in item.items():
        _text(key, path)
        if field.scalar is None:
            raise TypeError(f"{path}: maps of messages are not supported")
        values[key] = field.scalar(each, f"{path}[{key}]")


def _scalar(field: FieldDescriptor) -> Callable[[Any, str], Any]:
    if field.enum_type is not None:
        return functools.partial(_enum, field.enum_type)
    return _SCALARS[field.type]


def _text(value: Any, path: str) -> str:
    if type(value) is not str:
        _wrong_type(value, path, "text in quotation marks")
    if "\0" in value:
        _fail("NUL", path, got="a NUL character", want="text without NUL characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            _fail(
                "INVALID_TEXT",
                path,
                got="text with half a surrogate pair",
                want="Unicode characters",
            )
    return value


def _bool(value: Any, path: str) -> bool:
    if type(value) is not bool:
        _wrong_type(value, path, "true or false")
    return value


_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)


def _integer(lowest: int, highest: int, value: Any, path: str) -> int:
    want = f"a whole number from {lowest} to {highest}"
    number: int | None = None
    if type(value) is int:
        number = value
    elif (type(value) is float and value.is_integer()) or (
        type(value) is str and _INTEGER.fullmatch(value)
    ):
        number = int(value)
    elif type(value) not in (str, float):
        _wrong_type(value, path, want)
    if number is None or not lowest <= number <= highest:
        _fail("INVALID_NUMBER", path, got=_told(value, path), want=want)
    return number


def _enum(kind: EnumDescriptor, value: Any, path: str) -> int:
    known = None
    if type(value) is str:
        known = _numbers(kind).get(value)
    elif type(value) is int:
        # An unknown number would be kept as it is, and mean nothing to anybody.
        known = value if value in _numbers(kind).values() else None
    else:
        _wrong_type(value, path, f"a name of {kind.name}")
    if known is None:
        names = [each.name for each in kind.values if each.number]
        near = _nearest(value.upper(), names) if type(value) is str else []
        _fail("INVALID_NAME", path, got=_told(value, path), want=_choice(near, names))
    return known


@functools.cache
def _numbers(kind: EnumDescriptor) -> dict[str, int]:
    """By name. The descriptor's own maps break down at half a surrogate pair, and take 2^32 for 0."""
    return {each.name: each.number for each in kind.values}


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}", re.ASCII)


def _bytes(value: Any, path: str) -> bytes:
    if type(value) is not str:
        _wrong_type(value, path, "base64 text")
    bare = value.rstrip("=")
    if not _BASE64.fullmatch(value) or len(bare) % 4 == 1:
        _fail("INVALID_TEXT", path, got=_told(value, path), want="base64 text")
    return base64.urlsafe_b64decode(
        bare.replace("+", "-").replace("/", "_") + "=" * (-len(bare) % 4)
    )


_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND = int((datetime.min.replace(tzinfo=UTC) - _EPOCH).total_seconds())
_LAST_SECOND = int((datetime.max.replace(tzinfo=UTC, microsecond=0) - _EPOCH).total_seconds())


def _fill_timestamp(message: Any, value: Any, path: str) -> None:
    want = "a time with its zone, such as 2026-03-01T12:00:00Z"
    if type(value) is not str:
        _wrong_type(value, path, want)
    match = _TIME.fullmatch(value)
    try:
        if match is None:
            raise ValueError
        since = datetime.fromisoformat(f"{value[:19]}Z") - _EPOCH
        seconds = since.days * 86_400 + since.seconds
        if match[8]:
            offset = int(match[9]) * 3600 + int(match[10]) * 60
            seconds += offset if match[8] == "-" else -offset
        if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
            raise ValueError
    except ValueError:
        _fail("INVALID_TIME", path, got=_told(value, path), want=want)
    message.seconds = seconds
    message.nanos = int((match[7] or "").ljust(9, "0"))


_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_DURATION_SECONDS_MAX = 315_576_000_000  # as google.protobuf.Duration says: 10,000 years


def _fill_duration(message: Any, value: Any, path: str) -> None:
    want = 'seconds with the letter s, such as "12.5s"'
    if type(value) is not str:
        _wrong_type(value, path, want)
    match = _DURATION.fullmatch(value)
    if match is None or int(match[2]) > _DURATION_SECONDS_MAX:
        _fail("INVALID_DURATION", path, got=_told(value, path), want=want)
    sign = -1 if match[1] else 1
    message.seconds = sign * int(match[2])
    message.nanos = sign * int((match[3] or "").ljust(9, "0"))


_FILLS: dict[str, Callable[[Any, Any, str], None]] = {
    "google.protobuf.Timestamp": _fill_timestamp,
    "google.protobuf.Duration": _fill_duration,
}

_WELL_KNOWN: dict[str, Callable[[], Message]] = {
    "google.protobuf.Timestamp": Timestamp,
    "google.protobuf.Duration": Duration,
}

# Only the types that events use; a new one in the protos is a KeyError in the first test that runs.
_SCALARS: dict[int, Callable[[Any, str], Any]] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_BOOL: _bool,
    FieldDescriptor.TYPE_BYTES: _bytes,
    FieldDescriptor.TYPE_UINT32: functools.partial(_integer, 0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: functools.partial(_integer, 0, 2**64 - 1),
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(text: str) -> str:
    """The text, short, and without characters that a terminal or a log would obey."""
    if len(text) > GOT_CHARACTERS_MAX:
        text = text[: GOT_CHARACTERS_MAX - 1] + "…"
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _told(value: Any, path: str) -> str:
    """What came, by its kind alone where it may be personal."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | _TwiceInObject | _TooManyKeys):
        return "an object"
    if isinstance(value, list):
        return "an array"
    personal = re.split(r"[.\[]", path, maxsplit=1)[0] in PERSONAL
    if isinstance(value, str):
        return "text" if personal else f'"{_shown(value)}"'
    return "a number" if personal else f"the number {_shown(str(value))}"


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names that a slip of the pen may have meant. Bounded work: the name is cut to a field's length."""
    by_sound = {each.replace("_", "").lower(): each for each in known}
    said = name[:64].replace("_", "").lower()
    near = difflib.get_close_matches(said, by_sound, n=3, cutoff=0.7)
    # "CSAT" for METRIC_CSAT is no slip by length, but one by meaning.
    near += [
        each for each in by_sound if len(said) > 2 and each.endswith(said) and each not in near
    ]
    return [by_sound[each] for each in near]


def _choice(near: list[str], names: Iterable[str]) -> str:
    if near:
        return " or ".join(near)
    listed = "one of " + ", ".join(names)
    if len(listed) <= CHOICE_CHARACTERS_MAX:
        return listed
    return listed[:CHOICE_CHARACTERS_MAX].rpartition(", ")[0] + " and others"


def _unknown(key: str, path: str, names: Iterable[str]) -> NoReturn:
    known = [name for name in dict.fromkeys(names) if name not in SET_BY_GATEWAY]
    want = _choice(_nearest(key, known), known)
    _fail("UNKNOWN_FIELD", _join(path, key), got=f'a field "{_shown(key)}"', want=want)


def _twice(path: str, key: str, other: str) -> NoReturn:
    got = f'both "{_shown(other)}" and "{_shown(key)}"'
    _fail("DUPLICATE_KEY", path, got=got, want="one of the two")


def _wrong_type(value: Any, path: str, want: str) -> NoReturn:
    _fail("WRONG_TYPE", path, got=_told(value, path), want=want)


def _no_object(value: Any, path: str) -> NoReturn:
    if isinstance(value, _TooManyKeys):
        _fail("TOO_LARGE", path, got="an object with more keys", want=f"at most {KEYS_MAX} keys")
    _wrong_type(value, path, "an object")


def _malformed(got: str) -> NoReturn:
    _fail("MALFORMED_JSON", "", got=got, want="one JSON object")


def _fail(code: str, path: str, *, got: str, want: str) -> NoReturn:
    raise EventJsonError(code, path, got=got, want=want)
