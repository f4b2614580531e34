"""What an event must be, as one table of named checks: the same verdict whichever way it came.

A check returns a Problem or None and knows nothing but the event. Age is no fault: tills come back after
days, histories after years.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from importlib.resources import files
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
MAP_VALUE_CHARACTERS_MAX = {"Event.attributes": 1024, "PersonalData.attributes": 1024}

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


def problem_of(event: pb.Event) -> Problem | None:
    """Why the event is refused, the first reason found; None when it is good."""
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
    if event.HasField("sealed_personal"):
        return problem("SET_BY_SERVER", "sealed_personal", "a value", "none: the gateway sets it")
    return None


def event_id(event: pb.Event) -> Problem | None:
    if not event.event_id:
        return problem("MISSING", "event_id", "nothing", "1 to 128 characters")
    return None


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


def place(event: pb.Event) -> Problem | None:
    if not event.HasField("place"):
        return None
    got = event.place
    if got.business_date:
        try:
            if not DAY.fullmatch(got.business_date):
                raise ValueError
            date.fromisoformat(got.business_date)
        except ValueError:
            return problem("BAD_DATE", "place.business_date", repr(got.business_date), "YYYY-MM-DD")
    if got.time_zone and got.time_zone not in ZONES:
        return problem("BAD_ZONE", "place.time_zone", repr(got.time_zone), "an IANA time zone")
    if got.gln and not (GLN.fullmatch(got.gln) and _gln_sum(got.gln) % 10 == 0):
        return problem("BAD_GLN", "place.gln", repr(got.gln), "13 digits with a valid check digit")
    return None


def _gln_sum(gln: str) -> int:
    """GS1 General Specifications, 7.9: weights 1 and 3 in turn, check digit included."""
    return sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(gln))


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
    elif "\0" in value:
        yield problem("NUL", at, "a NUL character", "text without NUL characters")
    elif name not in WORDS and (found := CONTROL.search(value)):
        yield problem(
            "CONTROL_CHARACTER", at, repr(found[0]), "one line without control characters"
        )


def _map(name: str, entries: Any, at: str) -> Iterator[Problem]:
    longest = MAP_VALUE_CHARACTERS_MAX.get(name, CHARACTERS_MAX)
    if len(entries) > ENTRIES_MAX:
        yield problem("TOO_MANY", at, f"{len(entries)} entries", f"at most {ENTRIES_MAX}")
    for key, value in entries.items():
        if "\0" in key or "\0" in value:
            yield problem("NUL", at, "a NUL character", "text without NUL characters")
        elif not 1 <= len(key) <= MAP_KEY_CHARACTERS_MAX or CONTROL.search(key):
            want = f"keys of 1 to {MAP_KEY_CHARACTERS_MAX} printable characters"
            yield problem("BAD_KEY", at, repr(key), want)
        elif len(value) > longest:
            got = f"{len(value)} characters"
            yield problem("TOO_LONG", f"{at}[{key}]", got, f"at most {longest}")


def _enum(enum: EnumDescriptor, value: int, at: str) -> Iterator[Problem]:
    if value not in enum.values_by_number:
        yield problem("UNKNOWN_VALUE", at, value, f"a value of {enum.name}")


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
    event_id,
    occurred_at,
    body,
    touchpoint,
    place,
    fields,
)
