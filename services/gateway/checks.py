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
from itertools import product
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

EVENT_BYTES_MAX = 64 * 1024
GOT_CHARACTERS_MAX = 80
ENTRIES_MAX = 64
SIGNALS_MAX = 50
DAYS_MAX = 366
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
AMENDMENTS = {"correction", "retraction"}
# What other bodies need.
NEEDED_BESIDE = {"recognition": "staff", "customer_profile": "customer"}
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
        *("BAD_EXPRESSION", "TOO_COSTLY", "ADAPTER_FAILED"),
    }
)


def checked(events: Sequence[pb.Event]) -> list[bytes | Problem]:
    """For each event its encoding, or why it is refused, the first reason found."""
    encodings = encoded_if_good(events)
    return [_checked(event) for event in events] if encodings is None else [*encodings]


def _checked(event: pb.Event) -> bytes | Problem:
    encodings = encoded_if_good((event,))
    if encodings is not None:
        return encodings[0]
    return problem_of(event) or event.SerializeToString(deterministic=True)


def problems_of(events: Sequence[pb.Event]) -> list[Problem | None]:
    """The same, where the encodings are not wanted: None is good."""
    return [each if isinstance(each, Problem) else None for each in checked(events)]


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


# The quick way, for the good events that nearly all are: one pass over them without a word. What it accepts,
# the table accepts; the rest it leaves to the table. Its rules are made of the same limits, once for a type.
# Fields of a kind are read by name in one step: ListFields costs as much as all of it, since it sorts.
# Of those seen last. Places, prices and the scales of answers come again and again. Longer ones, which would
# fill the memory, are left to the table.
CACHED_MAX = 4096
CACHED_LENGTH_MAX = 1024


def encoded_if_good(events: Sequence[pb.Event]) -> list[bytes] | None:
    """Their encodings, where the table would find nothing in any of them. None says nothing of them."""
    lines, encodings = list[str](), list[bytes]()
    for event in events:
        kind = event.WhichOneof("body") or ""
        rules = BODIES.get(kind)
        if rules is None or not _follow(rules, getattr(event, kind), lines):
            return None
        texts, moment = LINES(event), event.occurred_at
        lines += texts
        if (
            not texts[0]
            or not getattr(event, NEEDED[kind])
            # 1970 is also what one that is not set reads as.
            or not (moment.seconds and _is_time(moment))
            or len(touchpoint := event.touchpoint) > CHARACTERS_MAX
            or not _is_touchpoint(touchpoint)
            or (event.HasField("place") and not _is_place(event.place))
            or event.HasField("amends")
            or event.HasField("sealed_personal")
            or event.HasField("intake")
        ):
            return None
        encoding = event.SerializeToString(deterministic=True)
        size = len(encoding)
        if size > EVENT_BYTES_MAX:
            return None
        # Then no text in it can be too long for an attribute, and none holds a NUL.
        is_plain = size <= ATTRIBUTE_CHARACTERS_MAX and b"\0" not in encoding
        if not _is_map(event.attributes, is_plain):
            return None
        if event.HasField("personal"):
            personal = event.personal
            lines.append(personal.contact)
            if not _is_map(personal.attributes, is_plain):
                return None
            if not is_plain and not _are_words(personal.comment):
                return None
        event.DiscardUnknownFields()
        if event.ByteSize() != size:
            # There were some. The table says which.
            event.ParseFromString(encoding)
            return None
        encodings.append(encoding)
    return encodings if _are_lines(lines) else None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the fields of a type must be, beside numbers and yes or no, which may be anything."""

    # What the table has for the type as a whole.
    special: Callable[[Any, str], Problem | None] | None
    # Text of one line. It is collected, and looked at together.
    lines: Callable[[Any], tuple[str, ...]] | None
    enums: Callable[[Any], tuple[int, ...]] | None
    # All that the enumerations can be together.
    known: frozenset[tuple[int, ...]]
    # By name, where they are set.
    messages: tuple[tuple[str, Callable[[Any], bool]], ...]
    # Maps and repeated messages by name.
    many: tuple[tuple[str, Callable[[Any], bool]], ...]

    @classmethod
    def of(cls, kind: Any) -> "Rules":
        """By a descriptor, whose type is private."""
        strings = list[str]()
        enums = dict[str, list[int]]()
        messages, many = list[tuple[str, Callable[[Any], bool]]](), []
        for field in kind.fields:
            if field.enum_type:
                enums[field.name] = list(field.enum_type.values_by_number)
            elif field.type == FieldDescriptor.TYPE_STRING:
                strings.append(field.name)
            elif field.message_type and field.message_type.GetOptions().map_entry:
                many.append((field.name, _is_short_map))
            elif field.message_type and field.is_repeated:
                many.append((field.name, partial(_are_all, QUICK[field.message_type.name])))
            elif field.message_type:
                messages.append((field.name, QUICK[field.message_type.name]))
        return cls(
            special=TYPES.get(kind.name),
            lines=_getter(strings),
            enums=_getter(list(enums)),
            known=frozenset(product(*enums.values())),
            messages=tuple(messages),
            many=tuple(many),
        )


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]] | None:
    if len(names) == 1:
        # attrgetter would give the value itself.
        return lambda message: (getattr(message, names[0]),)
    return attrgetter(*names) if names else None


def _follow(rules: Rules, message: Any, lines: list[str]) -> bool:
    if rules.enums is not None and rules.enums(message) not in rules.known:
        return False
    if rules.lines is not None:
        lines += rules.lines(message)
    for name, is_good in rules.messages:
        if message.HasField(name) and not is_good(getattr(message, name)):
            return False
    for name, is_good in rules.many:
        if not is_good(getattr(message, name)):
            return False
    return rules.special is None or rules.special(message, "") is None


def _are_lines(texts: list[str]) -> bool:
    # What is not printable is a control character, or it is rare.
    return max(map(len, texts), default=0) <= CHARACTERS_MAX and "".join(texts).isprintable()


def _are_words(text: str) -> bool:
    return len(text) <= LONGER["PersonalData.comment"] and "\0" not in text


def _are_all(is_good: Callable[[Any], bool], messages: Iterable[Any]) -> bool:
    return all(map(is_good, messages))


def _is_map(entries: Mapping[str, str], is_plain: bool) -> bool:
    """is_plain: it is known that no value is too long or holds a NUL."""
    return not entries or (
        _are_short_keys(entries)
        and (
            is_plain
            or all(
                len(value) <= ATTRIBUTE_CHARACTERS_MAX and "\0" not in value
                for value in entries.values()
            )
        )
    )


def _is_short_map(entries: Mapping[str, str]) -> bool:
    return not entries or (_are_short_keys(entries) and _are_lines(list(entries.values())))


def _are_short_keys(entries: Mapping[str, str]) -> bool:
    return (
        len(entries) <= ENTRIES_MAX
        and max(map(len, entries)) <= MAP_KEY_CHARACTERS_MAX
        and _are_keys(tuple(entries))
    )


# From here on: nothing that is cached is personal.
@lru_cache(CACHED_MAX)
def _are_keys(keys: tuple[str, ...]) -> bool:
    return all(key and key.isprintable() for key in keys)


@lru_cache(CACHED_MAX)
def _is_touchpoint(name: str) -> bool:
    return not name or TOUCHPOINT.fullmatch(name) is not None


@lru_cache(CACHED_MAX)
def _is_amount(text: str) -> bool:
    return DECIMAL.fullmatch(text) is not None


@lru_cache(CACHED_MAX)
def _is_currency(text: str) -> bool:
    return CURRENCY.fullmatch(text) is not None


@lru_cache(CACHED_MAX)
def _is_known_place(encoded: bytes) -> bool:
    return _is_good(pb.Place.FromString(encoded), PLACE)


@lru_cache(CACHED_MAX)
def _is_known_signal(encoded: bytes) -> bool:
    return _is_good(pb.Signal.FromString(encoded), SIGNAL)


def _is_good(got: Message, rules: Rules) -> bool:
    lines = list[str]()
    return _follow(rules, got, lines) and _are_lines(lines)


def _is_place(got: pb.Place) -> bool:
    encoded = got.SerializeToString()
    return len(encoded) <= CACHED_LENGTH_MAX and _is_known_place(encoded)


def _is_signal(got: pb.Signal) -> bool:
    encoded = got.SerializeToString()
    return len(encoded) <= CACHED_LENGTH_MAX and _is_known_signal(encoded)


def _is_money(got: pb.Money) -> bool:
    amount, currency = got.amount, got.currency
    return max(len(amount), len(currency)) <= CHARACTERS_MAX and (
        _is_amount(amount) and _is_currency(currency)
    )


def _is_time(got: Timestamp) -> bool:
    return SECONDS_MIN <= got.seconds <= SECONDS_MAX and 0 <= got.nanos < 1_000_000_000


def _is_duration(got: Duration) -> bool:
    return 0 <= got.seconds <= DAYS_MAX * 86_400 and 0 <= got.nanos < 1_000_000_000


QUICK: dict[str, Callable[[Any], bool]] = {
    "Timestamp": _is_time,
    "Duration": _is_duration,
    "Money": _is_money,
    "Signal": _is_signal,
}
PLACE, SIGNAL = Rules.of(pb.Place.DESCRIPTOR), Rules.of(pb.Signal.DESCRIPTOR)
LINES = attrgetter("event_id", "customer", "correlation_id", "causation_id", "staff")
# Amendments are rare, and left to the table.
BODIES = {
    field.name: Rules.of(field.message_type)
    for field in pb.Event.DESCRIPTOR.oneofs_by_name["body"].fields
    if field.name not in AMENDMENTS
}
# What a body needs of the envelope; where that is nothing more, what all need.
NEEDED = {
    name: "touchpoint" if name in TOUCHPOINT_NEEDED else NEEDED_BESIDE.get(name, "event_id")
    for name in BODIES
}
