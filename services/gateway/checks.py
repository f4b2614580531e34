"""What an event must be, as one table of named checks: the same verdict whichever way it came.

A check returns a Problem or None and knows nothing but the event. Age is no fault: tills come back after
days, histories after years.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache, partial
from importlib.resources import files
from itertools import chain, product
from operator import attrgetter, methodcaller
from typing import Any, NamedTuple

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from services.chassis.wire import with_length
from services.gateway.shallow import AMENDMENTS, shallow_events
from services.gateway.shallow import BODIES as SHALLOW_BODIES
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

EVENT_BYTES_MAX = 64 * 1024
GOT_CHARACTERS_MAX = 80
ENTRIES_MAX = 64
SIGNALS_MAX = 50
DAYS_MAX = 366
NANOSECONDS = 1_000_000_000
# 1900-01-01 to 2999-12-31: older or later is a broken clock. (The ends of what Timestamp can say, the years 1
# and 9999, would reach PostgreSQL as minus and plus infinity.)
SECONDS_MIN, SECONDS_MAX = -2_208_988_800, 32_503_679_999

TOUCHPOINT = re.compile(r"[A-Za-z0-9._:/-]{1,128}", re.ASCII)
DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
GLN = re.compile(r"[0-9]{13}", re.ASCII)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
# Of the tzdata package: the same on every machine, without names such as "localtime".
ZONES = frozenset((files("tzdata") / "zones").read_text().split())

# Longest value of the string fields, in characters; 128 where none is said.
CHARACTERS_MAX = 128
LONGER = {
    "Event.customer": 256,
    "PersonalData.comment": 16_384,
    "PersonalData.contact": 512,
    "PublicPost.post_id": 256,
    "PublicPost.reply_to_post_id": 256,
    "Correction.reason": 256,
    "Retraction.reason": 256,
}
# Words of customers may have lines; everything else is one line.
WORDS = {"PersonalData.comment"}
MAP_KEY_CHARACTERS_MAX = 64
ATTRIBUTE_CHARACTERS_MAX = 1024
MAP_VALUE_CHARACTERS_MAX = {
    "Event.attributes": ATTRIBUTE_CHARACTERS_MAX,
    "PersonalData.attributes": ATTRIBUTE_CHARACTERS_MAX,
}

TOUCHPOINT_NEEDED = {
    *(
        "interaction",
        "feedback_requested",
        "feedback_suppressed",
        "feedback_received",
        "expectation",
    ),
    *("failure", "remedy", "goodwill", "recovery_closed"),
}
# What other bodies need.
NEEDED_BESIDE = {
    "recognition": "staff",
    "customer_profile": "customer",
    "staff_profile": "staff",
}
# What a person who knows the event can mend: such an event is kept in quarantine, another one is rejected.
# The INVALID_ ones and WRONG_TYPE are what JSON can say and protobuf can't (event_json.py). Unknown fields
# and NUL are faults of the source's program rather than of an event: who writes it is told at once. Whatever
# is wrong with the event id itself is not mended: under another one it would be another event.
MENDABLE = frozenset(
    {
        *("MISSING", "NOT_ALLOWED", "TOO_LONG", "TOO_MANY", "CONTROL_CHARACTER", "UNKNOWN_VALUE"),
        *("BAD_NAME", "BAD_DATE", "BAD_ZONE", "BAD_GLN", "BAD_KEY", "BAD_TIME", "BAD_DURATION"),
        *("BAD_DECIMAL", "BAD_CURRENCY", "BAD_SCALE", "WRONG_SCALE", "WRONG_DIRECTION"),
        *("VALUE_OUTSIDE_SCALE", "WRONG_METRIC", "BAD_BAND"),
        *("INVALID_NAME", "INVALID_NUMBER", "INVALID_TIME", "INVALID_DURATION", "WRONG_TYPE"),
        # What a webhook's mapping, or its adapter, can't read: see adapters/.
        *("BAD_EXPRESSION", "TOO_COSTLY", "ADAPTER_FAILED", "MAPPING_GIVEN_UP"),
    }
)


def checked(event: pb.Event) -> "Good | Problem":
    """The event, or why it is refused, the first reason found."""
    encodings = encodings_of([event])
    quick = good(encodings) if encodings else None
    return quick or problem_of(event) or _columns([event.SerializeToString(deterministic=True)])


def problems_of(events: Sequence[pb.Event]) -> list[Problem | None]:
    """The same of each; None is good."""
    found = map(checked, events)
    return [each if isinstance(each, Problem) else None for each in found]


def encodings_of(events: Iterable[pb.Event | Problem]) -> list[bytes] | None:
    """What `good` looks at; None where one of them is none or has an unknown field."""
    encodings = list[bytes]()
    for event in events:
        if isinstance(event, Problem):
            return None
        encoding = event.SerializeToString(deterministic=True)
        event.DiscardUnknownFields()
        if event.ByteSize() != len(encoding):
            event.ParseFromString(encoding)
            return None
        encodings.append(encoding)
    return encodings


def problem_of(event: pb.Event) -> Problem | None:
    """By the table alone, which says all there is to say and takes its time."""
    return next(filter(None, (check(event) for check in CHECKS)), None)


def problem(code: str, field: str, got: object, want: str) -> Problem:
    shown = str(got)
    if len(shown) > GOT_CHARACTERS_MAX:
        shown = f"{shown[:GOT_CHARACTERS_MAX]}… ({len(shown)} characters)"
    return Problem(code=code, field=field, got=shown, want=want)


def size(event: pb.Event) -> Problem | None:
    got = event.ByteSize()
    if got > EVENT_BYTES_MAX:
        return problem(
            "TOO_LARGE", "", f"{got} bytes", f"an event of at most {EVENT_BYTES_MAX} bytes"
        )
    return None


def unknown_fields(event: pb.Event) -> Problem | None:
    before = event.ByteSize()
    known = pb.Event()
    known.CopyFrom(event)
    known.DiscardUnknownFields()
    if known.ByteSize() == before:
        return None
    at = next(_unknown(event, ""), "")
    return problem("UNKNOWN_FIELD", at, "a field of that number", "fields that touchledger.v1 has")


def _unknown(message: Message, path: str) -> Iterator[str]:
    """Where the unknown fields are, such as "interaction.1007": they have no name here."""
    unknown = UnknownFieldSet(message)
    yield from (f"{path}{unknown[index].field_number}" for index in range(len(unknown)))
    for field, value in message.ListFields():
        if not field.message_type or field.message_type.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else (value,):
            yield from _unknown(each, f"{path}{field.name}.")


def server_fields(event: pb.Event) -> Problem | None:
    for name in ("sealed_personal", "intake"):
        if event.HasField(name):
            return problem("SET_BY_SERVER", name, "a value", "none: the gateway sets it")
    return None


def nul(event: pb.Event) -> Problem | None:
    """Before anybody looks at what a text means, as event_json.py does."""
    at = next(_nul(event, ""), "")
    return problem("NUL", at, "a NUL character", "text without NUL characters") if at else None


def _nul(message: Message, path: str) -> Iterator[str]:
    for field, value in message.ListFields():
        at = f"{path}{field.name}"
        if field.message_type and field.message_type.GetOptions().map_entry:
            for key, each in value.items():
                if "\0" in key or "\0" in each:
                    yield at if "\0" in key else f"{at}[{key}]"
        elif field.type == FieldDescriptor.TYPE_STRING:
            if "\0" in value:
                yield at
        elif field.is_repeated and field.message_type:
            for index, each in enumerate(value):
                yield from _nul(each, f"{at}[{index}].")
        elif field.message_type:
            yield from _nul(value, f"{at}.")


def event_id(event: pb.Event) -> Problem | None:
    if not event.event_id:
        return problem("MISSING", "event_id", "nothing", "1 to 128 characters")
    return next(_string("Event.event_id", event.event_id, "event_id"), None)


def occurred_at(event: pb.Event) -> Problem | None:
    if not event.HasField("occurred_at"):
        return problem("MISSING", "occurred_at", "nothing", "when it happened")
    return None


def body(event: pb.Event) -> Problem | None:
    """What each kind of event needs of the envelope."""
    kind = event.WhichOneof("body")
    if kind is None:
        return problem("MISSING", "body", "nothing", "one of the bodies, such as interaction")
    said = kind
    if kind == "correction":
        said = event.correction.WhichOneof("body")
        if said is None:
            return problem("MISSING", "correction.body", "nothing", "the right body")
    if kind in AMENDMENTS and not event.amends.event_id:
        return problem(
            "MISSING", "amends.event_id", "nothing", "the id of the event that it amends"
        )
    if kind not in AMENDMENTS and event.HasField("amends"):
        return problem(
            "NOT_ALLOWED", "amends", "a value", "none: only corrections and retractions amend"
        )
    if said in TOUCHPOINT_NEEDED and not event.touchpoint:
        return problem(
            "MISSING", "touchpoint", "nothing", f"where customer and company met ({said})"
        )
    if said == "recognition" and not event.staff:
        return problem("MISSING", "staff", "nothing", "who was recognised")
    if said == "customer_profile" and not event.customer:
        return problem("MISSING", "customer", "nothing", "whose profile it is")
    if said == "staff_profile" and not event.staff:
        return problem("MISSING", "staff", "nothing", "whose profile it is")
    return None


def touchpoint(event: pb.Event) -> Problem | None:
    if event.touchpoint and not TOUCHPOINT.fullmatch(event.touchpoint):
        return problem(
            "BAD_NAME",
            "touchpoint",
            repr(event.touchpoint),
            "1 to 128 letters, digits, '.', '_', '-', ':' or '/'",
        )
    return None


def fields(event: pb.Event) -> Problem | None:
    """The rules that every field of a type has, wherever it stands."""
    return next(_fields(event, ""), None)


def _fields(message: Message, path: str) -> Iterator[Problem]:
    kind = message.DESCRIPTOR
    assert kind is not None, "every generated message has one"
    special = TYPES.get(kind.name)
    if special and (found := special(message, path.rstrip("."))):
        yield found
        return
    # Timestamp and Duration are judged above; what is set is all that is walked.
    if kind.file.package == "google.protobuf":
        return
    for field, value in message.ListFields():
        at = f"{path}{field.name}"
        if field.message_type and field.message_type.GetOptions().map_entry:
            yield from _map(f"{kind.name}.{field.name}", value, at)
        elif field.type == FieldDescriptor.TYPE_STRING:
            yield from _string(f"{kind.name}.{field.name}", value, at)
        elif field.enum_type:
            yield from _enum(field.enum_type, value, at)
        elif field.is_repeated:
            for index, each in enumerate(value):
                yield from _fields(each, f"{at}[{index}].")
        elif field.message_type:
            yield from _fields(value, f"{at}.")


def _string(name: str, value: str, at: str) -> Iterator[Problem]:
    longest = LONGER.get(name, CHARACTERS_MAX)
    if len(value) > longest:
        yield problem("TOO_LONG", at, f"{len(value)} characters", f"at most {longest}")
    elif name not in WORDS and (found := CONTROL.search(value)):
        yield problem(
            "CONTROL_CHARACTER", at, repr(found[0]), "one line without control characters"
        )


def _map(name: str, entries: Any, at: str) -> Iterator[Problem]:
    longest = MAP_VALUE_CHARACTERS_MAX.get(name, CHARACTERS_MAX)
    if len(entries) > ENTRIES_MAX:
        yield problem("TOO_MANY", at, f"{len(entries)} entries", f"at most {ENTRIES_MAX}")
    for key, value in entries.items():
        if not 1 <= len(key) <= MAP_KEY_CHARACTERS_MAX or CONTROL.search(key):
            want = f"keys of 1 to {MAP_KEY_CHARACTERS_MAX} printable characters"
            yield problem("BAD_KEY", at, repr(key), want)
        elif len(value) > longest:
            got = f"{len(value)} characters"
            yield problem("TOO_LONG", f"{at}[{key}]", got, f"at most {longest}")


def _enum(enum: EnumDescriptor, value: int, at: str) -> Iterator[Problem]:
    if value not in enum.values_by_number:
        yield problem("UNKNOWN_VALUE", at, value, f"a value of {enum.name}")


def _place(got: pb.Place, at: str) -> Problem | None:
    if got.business_date:
        try:
            if not DAY.fullmatch(got.business_date):
                raise ValueError
            date.fromisoformat(got.business_date)
        except ValueError:
            return problem("BAD_DATE", f"{at}.business_date", repr(got.business_date), "YYYY-MM-DD")
    if got.time_zone and got.time_zone not in ZONES:
        return problem("BAD_ZONE", f"{at}.time_zone", repr(got.time_zone), "an IANA time zone")
    if got.gln and not (GLN.fullmatch(got.gln) and _gln_sum(got.gln) % 10 == 0):
        return problem("BAD_GLN", f"{at}.gln", repr(got.gln), "13 digits with a valid check digit")
    return None


def _gln_sum(gln: str) -> int:
    """GS1 General Specifications, 7.9: weights 1 and 3 in turn, check digit included."""
    return sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(gln))


def _timestamp(got: Timestamp, at: str) -> Problem | None:
    if not (SECONDS_MIN <= got.seconds <= SECONDS_MAX and 0 <= got.nanos < 1_000_000_000):
        return problem("BAD_TIME", at, f"{got.seconds} s {got.nanos} ns", "the years 1900 to 2999")
    return None


def _duration(got: Duration, at: str) -> Problem | None:
    if not (0 <= got.seconds <= DAYS_MAX * 86_400 and 0 <= got.nanos < 1_000_000_000):
        return problem(
            "BAD_DURATION", at, f"{got.seconds} s {got.nanos} ns", f"0 to {DAYS_MAX} days"
        )
    return None


def _money(got: pb.Money, at: str) -> Problem | None:
    if not DECIMAL.fullmatch(got.amount):
        return problem("BAD_DECIMAL", f"{at}.amount", repr(got.amount), "a decimal such as 129.90")
    if not CURRENCY.fullmatch(got.currency):
        return problem(
            "BAD_CURRENCY", f"{at}.currency", repr(got.currency), "three capital letters"
        )
    return None


# The scale that a metric is defined on; others declare theirs.
SCALES = {pb.METRIC_NPS: (Decimal(0), Decimal(10)), pb.METRIC_THUMBS: (Decimal(0), Decimal(1))}


def _signal(got: pb.Signal, at: str) -> Problem | None:
    if not got.metric:
        return problem("MISSING", f"{at}.metric", "nothing", "what kind of answer it is")
    if not got.direction:
        return problem("MISSING", f"{at}.direction", "nothing", "which end of the scale is good")
    for name in ("value", "scale_min", "scale_max"):
        text = getattr(got, name)
        if not text:
            want = "the answer" if name == "value" else "the scale, which is never guessed"
            return problem("MISSING", f"{at}.{name}", "nothing", want)
        if not DECIMAL.fullmatch(text):
            return problem("BAD_DECIMAL", f"{at}.{name}", repr(text), "a decimal such as 4 or -0.5")
    if got.model and got.metric != pb.METRIC_SENTIMENT:
        return problem(
            "NOT_ALLOWED", f"{at}.model", repr(got.model), "none: only METRIC_SENTIMENT has one"
        )
    value, low, high = Decimal(got.value), Decimal(got.scale_min), Decimal(got.scale_max)
    if low >= high:
        return problem("BAD_SCALE", f"{at}.scale_max", got.scale_max, f"more than {got.scale_min}")
    scale = SCALES.get(got.metric, (low, high))
    if (low, high) != scale:
        return problem(
            "WRONG_SCALE",
            f"{at}.scale_min",
            f"{got.scale_min} to {got.scale_max}",
            f"{scale[0]} to {scale[1]} for {pb.Metric.Name(got.metric)}",
        )
    if got.metric in SCALES and got.direction != pb.DIRECTION_HIGHER_IS_BETTER:
        return problem(
            "WRONG_DIRECTION",
            f"{at}.direction",
            "another",
            "DIRECTION_HIGHER_IS_BETTER for this metric",
        )
    if not low <= value <= high:
        return problem(
            "VALUE_OUTSIDE_SCALE", f"{at}.value", got.value, f"{got.scale_min} to {got.scale_max}"
        )
    return None


def _feedback(got: pb.FeedbackReceived, at: str) -> Problem | None:
    if len(got.signals) > SIGNALS_MAX:
        return problem("TOO_MANY", f"{at}.signals", f"{len(got.signals)}", f"at most {SIGNALS_MAX}")
    return None


def _suppressed(got: pb.FeedbackSuppressed, at: str) -> Problem | None:
    return None if got.reason else problem("MISSING", f"{at}.reason", "nothing", "why nobody asked")


def _expectation(got: pb.Expectation, at: str) -> Problem | None:
    if got.WhichOneof("expected") is None:
        return problem("MISSING", f"{at}.expected", "nothing", "signal, due_at or within")
    return None


def _post(got: pb.PublicPost, at: str) -> Problem | None:
    if not got.platform:
        return problem("MISSING", f"{at}.platform", "nothing", "the network that it is on")
    if got.HasField("sentiment") and got.sentiment.metric != pb.METRIC_SENTIMENT:
        return problem("WRONG_METRIC", f"{at}.sentiment.metric", "another", "METRIC_SENTIMENT")
    return None


def _goodwill(got: pb.Goodwill, at: str) -> Problem | None:
    return None if got.kind else problem("MISSING", f"{at}.kind", "nothing", "what it was")


def _recognition(got: pb.Recognition, at: str) -> Problem | None:
    return None if got.given_by else problem("MISSING", f"{at}.given_by", "nothing", "who gave it")


def _profile(got: pb.CustomerProfile, at: str) -> Problem | None:
    first, last = got.birth_year_from, got.birth_year_to
    known = 1900 <= first <= last <= 2100
    if (first or last) and not known:
        return problem(
            "BAD_BAND", f"{at}.birth_year_from", f"{first} to {last}", "a band within 1900 to 2100"
        )
    return None


# The rules of a message type, checked wherever a message of that type stands.
TYPES: dict[str, Callable[[Any, str], Problem | None]] = {
    "Place": _place,
    "Timestamp": _timestamp,
    "Duration": _duration,
    "Money": _money,
    "Signal": _signal,
    "FeedbackReceived": _feedback,
    "FeedbackSuppressed": _suppressed,
    "Expectation": _expectation,
    "PublicPost": _post,
    "Goodwill": _goodwill,
    "Recognition": _recognition,
    "CustomerProfile": _profile,
}
CHECKS = (
    size,
    unknown_fields,
    server_fields,
    nul,
    event_id,
    occurred_at,
    body,
    touchpoint,
    fields,
)


# The quick way, for the good events that nearly all are: column by column over some of them, without a word.
# What it accepts, the table accepts; the rest it leaves to the table. Its rules are made of the same limits,
# once for a type.
# Of those seen last. Places, prices and the scales of answers come again and again. Longer ones, which would
# fill the memory, are left to the table.
CACHED_MAX = 4096
CACHED_LENGTH_MAX = 1024


class Good(NamedTuple):
    """Events that were checked, in columns: shallow, as they were published, and what is read of each."""

    events: Sequence[Any]
    encodings: Sequence[bytes]
    bodies: Sequence[str]
    customers: Sequence[str]
    # Encoded; empty where there is nothing in it.
    personal: Sequence[bytes]
    # Of occurred_at.
    seconds: Sequence[int]
    nanos: Sequence[int]

    def part(self, start: int, end: int) -> "Good":
        return Good._make(column[start:end] for column in self)

    @classmethod
    def joined(cls, parts: Iterable["Good"]) -> "Good":
        columns = zip(*parts, strict=True)
        return Good._make([*chain.from_iterable(column)] for column in columns)


def good(encodings: Sequence[bytes]) -> Good | None:
    """Of events without unknown fields; None says that the table might find something in one."""
    if max(map(len, encodings)) > EVENT_BYTES_MAX:
        return None
    events = shallow_events(encodings)
    ids, touchpoints, customers, *others, places, personal, maps = zip(
        *map(ENVELOPE, events), strict=True
    )
    # What has to be one line. It is collected, and looked at together.
    lines = [*ids, *customers, *chain.from_iterable(others)]
    moments = [event.occurred_at for event in events]
    seconds, nanos = [each.seconds for each in moments], [each.nanos for each in moments]
    bodies = [*map(WHICH_BODY, events)]
    if (
        not all(ids)
        # 1970 is also what one that is not set reads as.
        or not all(seconds)
        or not SECONDS_MIN <= min(seconds) <= max(seconds) <= SECONDS_MAX
        or not 0 <= min(nanos) <= max(nanos) < NANOSECONDS
        or not all(map(_is_touchpoint, set(touchpoints)))
        or not all(map(_is_place, set(places)))
        or any(any(map(has, events)) for has in HAS_REFUSED)
        or not _are_maps(maps, _is_attribute)
        or not _are_personal([*filter(None, personal)], lines)
    ):
        return None
    for body in set(bodies):
        rules = BODIES.get(body)
        if rules is None:
            return None
        of_it = [event for event, each in zip(events, bodies, strict=True) if each == body]
        if not all(map(attrgetter(NEEDED[body]), of_it)):
            return None
        if not _follow(rules, [*map(attrgetter(body), of_it)], lines):
            return None
    if not _are_lines(lines):
        return None
    return Good(events, encodings, bodies, customers, personal, seconds, nanos)


def _columns(encodings: Sequence[bytes]) -> Good:
    events = shallow_events(encodings)
    return Good(
        events,
        encodings,
        [*map(WHICH_BODY, events)],
        [event.customer for event in events],
        [event.personal for event in events],
        [event.occurred_at.seconds for event in events],
        [event.occurred_at.nanos for event in events],
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """What the fields of a body must be, beside numbers and yes or no, which may be anything."""

    # Reads all fields that are named below, in their order.
    read: Callable[[Any], tuple[Any, ...]]
    enums: int
    # All that the enumerations can be together.
    known: frozenset[tuple[int, ...]]
    # Text of one line.
    lines: int
    # Messages by name; what is said of one that is there, and whether one that is empty is good.
    messages: tuple[tuple[str, Callable[[bytes], bool], bool], ...]
    # Repeated messages and maps, by what is said of all that stand in a column of them.
    many: tuple[Callable[[Sequence[Sequence[bytes]]], bool], ...]
    # What the table has for the type as a whole.
    special: Callable[[Any], bool] | None

    @classmethod
    def of(cls, kind: Any) -> "Rules":
        """By a descriptor, whose type is private."""
        enums = {
            field.name: list(field.enum_type.values_by_number)
            for field in kind.fields
            if field.enum_type
        }
        lines = [field.name for field in kind.fields if field.type == FieldDescriptor.TYPE_STRING]
        deep = [field for field in kind.fields if field.message_type]
        messages = [field for field in deep if not field.is_repeated]
        many = [field for field in deep if field.is_repeated]
        return cls(
            read=_getter([*enums, *lines, *(field.name for field in (*messages, *many))]),
            enums=len(enums),
            known=frozenset(product(*enums.values())),
            lines=len(lines),
            messages=tuple(
                (field.name, QUICK[field.message_type.name], field.message_type.name in GOOD_EMPTY)
                for field in messages
            ),
            many=tuple(
                partial(_are_maps, is_good=_is_short)
                if field.message_type.GetOptions().map_entry
                else partial(_are_all, QUICK[field.message_type.name])
                for field in many
            ),
            special=_special(kind),
        )


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) == 1:
        # attrgetter would give the value itself.
        return lambda message: (getattr(message, names[0]),)
    return attrgetter(*names) if names else lambda _: ()


def _special(kind: Any) -> Callable[[Any], bool] | None:
    rule = TYPES.get(kind.name)
    if rule is None:
        return None
    if kind.name in LOOK_INSIDE:
        whole = GetMessageClass(kind)
        return lambda body: rule(whole.FromString(body.SerializeToString()), "") is None
    return lambda body: rule(body, "") is None


def _follow(rules: Rules, bodies: Sequence[Any], lines: list[str]) -> bool:
    columns = [*zip(*map(rules.read, bodies), strict=True)]
    enums, columns = columns[: rules.enums], columns[rules.enums :]
    if enums and not set(zip(*enums, strict=True)) <= rules.known:
        return False
    lines += chain.from_iterable(columns[: rules.lines])
    columns = columns[rules.lines :]
    for (name, is_good, is_good_empty), column in zip(rules.messages, columns, strict=False):
        values = set(column)
        if b"" in values:
            values.remove(b"")
            if not is_good_empty and any(
                body.HasField(name) for body, value in zip(bodies, column, strict=True) if not value
            ):
                return False
        if not all(map(is_good, values)):
            return False
    for are_good, column in zip(rules.many, columns[len(rules.messages) :], strict=True):
        if not are_good(column):
            return False
    return rules.special is None or all(map(rules.special, bodies))


def _are_lines(texts: list[str]) -> bool:
    # What is not printable is a control character, or it is rare.
    return max(map(len, texts)) <= CHARACTERS_MAX and "".join(texts).isprintable()


def _are_personal(encoded: Sequence[bytes], lines: list[str]) -> bool:
    """Nothing of it is remembered."""
    if not encoded:
        return True
    comments, contacts, maps = zip(
        *map(PERSONAL, map(pb.PersonalData.FromString, encoded)), strict=True
    )
    lines += contacts
    return (
        max(map(len, comments)) <= LONGER["PersonalData.comment"]
        and "\0" not in "".join(comments)
        and all(_is_map(each, ATTRIBUTE_CHARACTERS_MAX) for each in filter(None, maps))
    )


def _is_map(entries: Mapping[str, str], longest: int) -> bool:
    return len(entries) <= ENTRIES_MAX and all(
        0 < len(key) <= MAP_KEY_CHARACTERS_MAX
        and key.isprintable()
        and len(value) <= longest
        and "\0" not in value
        for key, value in entries.items()
    )


def _are_all(is_good: Callable[[bytes], bool], column: Sequence[Sequence[bytes]]) -> bool:
    # Many are the same.
    return all(map(is_good, set(chain.from_iterable(column))))


def _are_maps(column: Sequence[Sequence[bytes]], is_good: Callable[[bytes], bool]) -> bool:
    return max(map(len, column)) <= ENTRIES_MAX and _are_all(is_good, column)


# From here on: nothing that is cached is personal.
@lru_cache(CACHED_MAX)
def _is_known_touchpoint(name: str) -> bool:
    return not name or TOUCHPOINT.fullmatch(name) is not None


def _is_touchpoint(name: str) -> bool:
    return len(name) <= CHARACTERS_MAX and _is_known_touchpoint(name)


def _quick(is_good: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """Remembers what it said of those that are not long, and takes no longer ones."""
    known = lru_cache(CACHED_MAX)(is_good)
    CACHES.append(known)
    return lambda encoded: len(encoded) <= CACHED_LENGTH_MAX and known(encoded)


def _by_the_table(kind: type[Message]) -> Callable[[bytes], bool]:
    def is_good(encoded: bytes) -> bool:
        message = kind.FromString(encoded)
        return next(_nul(message, ""), None) is None and next(_fields(message, "."), None) is None

    return is_good


def _is_money(encoded: bytes) -> bool:
    got = pb.Money.FromString(encoded)
    return bool(DECIMAL.fullmatch(got.amount) and CURRENCY.fullmatch(got.currency))


def _is_time(encoded: bytes) -> bool:
    return _timestamp(Timestamp.FromString(encoded), "") is None


def _is_duration(encoded: bytes) -> bool:
    return _duration(Duration.FromString(encoded), "") is None


def _is_entry(longest: int, encoded: bytes) -> bool:
    """Of a map: text by text."""
    [(key, value)] = pb.Event.FromString(with_length(ATTRIBUTES, encoded)).attributes.items()
    return _is_map({key: value}, longest) and (longest > CHARACTERS_MAX or value.isprintable())


# Event.attributes, as on the wire: all maps are of text by text.
ATTRIBUTES = b"\x4a"
CACHES: list[Any] = [_is_known_touchpoint]
QUICK: dict[str, Callable[[bytes], bool]] = {
    "Timestamp": _quick(_is_time),
    "Duration": _quick(_is_duration),
    "Money": _quick(_is_money),
    "Signal": _quick(_by_the_table(pb.Signal)),
}
_is_place = _quick(_by_the_table(pb.Place))
_is_attribute = _quick(partial(_is_entry, ATTRIBUTE_CHARACTERS_MAX))
_is_short = _quick(partial(_is_entry, CHARACTERS_MAX))
# What says nothing where it is empty: of the others, one that is empty lacks something.
GOOD_EMPTY = {name for name, is_good in QUICK.items() if is_good(b"")}
# Types whose rule looks into messages in them.
LOOK_INSIDE = {"PublicPost"}
ENVELOPE = attrgetter(
    *("event_id", "touchpoint", "customer", "correlation_id", "causation_id", "staff"),
    *("place", "personal", "attributes"),
)
# What no event may have but an amendment.
HAS_REFUSED = [methodcaller("HasField", name) for name in ("amends", "intake", "sealed_personal")]
WHICH_BODY = methodcaller("WhichOneof", "body")
PERSONAL = attrgetter("comment", "contact", "attributes")
# Amendments are rare, and left to the table.
BODIES = {field.name: Rules.of(field.message_type) for field in SHALLOW_BODIES}
# What a body needs of the envelope; where that is nothing more, what all need.
NEEDED = {
    name: "touchpoint" if name in TOUCHPOINT_NEEDED else NEEDED_BESIDE.get(name, "event_id")
    for name in BODIES
}
