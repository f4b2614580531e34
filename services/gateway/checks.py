"""What an event must be, as one table of named checks: the same verdict whichever way it came.

A check returns a Problem or None and knows nothing but the event. Age is no fault: tills come back after
days, histories after years.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache, partial
from importlib.resources import files
from itertools import chain
from operator import methodcaller
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from services.chassis.wire import with_length
from services.gateway.shallow import AMENDMENTS, columns_of, has_unknown, shallow_events
from services.gateway.shallow import BODIES as SHALLOW_BODIES
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.problem_pb2 import Problem

T = TypeVar("T")

EVENT_BYTES_MAX = 64 * 1024
GOT_CHARACTERS_MAX = 80
ENTRIES_MAX = 64
SIGNALS_MAX = 50
OPTIONS_MAX = 64
YEARS_MAX = 100
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
    "PublicPostRemoved.post_id": 256,
    "Identity.same_as": 256,
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
    *("assessment", "reason_stated", "advice", "service_claim"),
}
# What other bodies need, and what it is of them.
NEEDED_BESIDE = {
    "recognition": ("staff", "who was recognised"),
    "customer_profile": ("customer", "whose profile it is"),
    "staff_profile": ("staff", "whose profile it is"),
    "insight": ("staff", "whose insight it is, or who made use of it"),
    "identity": ("customer", "one of the two references"),
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


def checked(event: pb.Event, *, source: str = "") -> "Good | Problem":
    """The event, or why it is refused, the first reason found.

    source: whose event it is, where that is known.
    """
    encodings = encodings_of([event])
    quick = good(encodings) if encodings else None
    return (
        quick
        or problem_of(event)
        or _of_itself(event, source)
        or _columns([event.SerializeToString(deterministic=True)])
    )


def problems_of(events: Sequence[pb.Event]) -> list[Problem | None]:
    """The same of each; None is good."""
    found = map(checked, events)
    return [each if isinstance(each, Problem) else None for each in found]


def encodings_of(events: Iterable[pb.Event | Problem]) -> list[bytes] | None:
    """What `good` looks at; None where one of them is none."""
    encodings = list[bytes]()
    for event in events:
        if isinstance(event, Problem):
            return None
        encodings.append(event.SerializeToString(deterministic=True))
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
    field, want = NEEDED_BESIDE.get(said, ("event_id", ""))
    if not getattr(event, field):
        return problem("MISSING", field, "nothing", want)
    if kind == "identity" and _is_of_one(event):
        # References of customers are not quoted.
        return problem("NOT_ALLOWED", "identity.same_as", "customer", "another reference")
    if said == "front_line":
        told = event.correction.front_line if kind == "correction" else event.front_line
        if not (event.staff or told.group):
            return problem("MISSING", "staff", "nothing", "staff, or a group in the body")
    return None


def _of_itself(event: pb.Event, source: str) -> Problem | None:
    """Where an amendment names no source, it means its own."""
    amends = event.amends
    if amends.event_id and (amends.source or source, amends.event_id) == (source, event.event_id):
        return problem("NOT_ALLOWED", "amends.event_id", "its own", "another event's id")
    return None


def _is_of_one(identity: Any) -> bool:
    """The event, shallow or not, names one reference twice."""
    return bool(identity.customer == identity.identity.same_as)


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


def _not_negative(got: pb.Money, at: str) -> Problem | None:
    """What else money must be is said of it as Money."""
    if DECIMAL.fullmatch(got.amount) and Decimal(got.amount) < 0:
        return problem("BAD_DECIMAL", f"{at}.amount", repr(got.amount), "0 or more")
    return None


# The scale that a metric is defined on; others declare theirs.
SCALES = {
    pb.METRIC_NPS: (Decimal(0), Decimal(10)),
    pb.METRIC_THUMBS: (Decimal(0), Decimal(1)),
    pb.METRIC_COMPARISON: (Decimal(-3), Decimal(3)),
    pb.METRIC_PREMIUM: (Decimal(0), Decimal(100)),
}


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


def _signals(got: pb.FeedbackReceived | pb.Assessment, at: str) -> Problem | None:
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


def _remedy(got: pb.Remedy, at: str) -> Problem | None:
    return _not_negative(got.cost, f"{at}.cost")


def _goodwill(got: pb.Goodwill, at: str) -> Problem | None:
    if not got.kind:
        return problem("MISSING", f"{at}.kind", "nothing", "what it was")
    return _not_negative(got.value, f"{at}.value")


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


def _reference(got: pb.EventReference, at: str) -> Problem | None:
    if not got.event_id:
        return problem("MISSING", f"{at}.event_id", "nothing", "the id of the event that is meant")
    return None


def _assessment(got: pb.Assessment, at: str) -> Problem | None:
    if not got.assessor:
        return problem("MISSING", f"{at}.assessor", "nothing", "who judged")
    if not (got.signals or got.HasField("within_sla")):
        return problem("MISSING", f"{at}.signals", "nothing", "signals or within_sla")
    return _signals(got, at)


def _reason(got: pb.ReasonStated, at: str) -> Problem | None:
    for name, want in (("issue_code", "what it was about"), ("reason_code", "why, in the end")):
        if not getattr(got, name):
            return problem("MISSING", f"{at}.{name}", "nothing", want)
    return None


def _insight(got: pb.Insight, at: str) -> Problem | None:
    if not got.insight_id:
        return problem("MISSING", f"{at}.insight_id", "nothing", "the insight's id")
    return None if got.step else problem("MISSING", f"{at}.step", "nothing", "captured or applied")


def _advice(got: pb.Advice, at: str) -> Problem | None:
    items = [each.item for each in got.options]
    if not items:
        return problem("MISSING", f"{at}.options", "nothing", f"1 to {OPTIONS_MAX} options")
    if len(items) > OPTIONS_MAX:
        return problem("TOO_MANY", f"{at}.options", f"{len(items)}", f"at most {OPTIONS_MAX}")
    for index, item in enumerate(items):
        if not item:
            return problem("MISSING", f"{at}.options[{index}].item", "nothing", "the item")
        if item in items[:index]:
            return problem("NOT_ALLOWED", f"{at}.options[{index}].item", repr(item), "another item")
    if got.chosen and got.chosen not in items:
        return problem("NOT_ALLOWED", f"{at}.chosen", repr(got.chosen), "one of the options")
    return None


def _follow_up(got: pb.ProductFollowUp, at: str) -> Problem | None:
    if not got.item:
        return problem("MISSING", f"{at}.item", "nothing", "which item")
    if not any(map(got.HasField, ("kept", "usable", "happy"))):
        return problem("MISSING", f"{at}.kept", "nothing", "kept, usable or happy")
    return None


def _removed(got: pb.PublicPostRemoved, at: str) -> Problem | None:
    for name, want in (("platform", "the network that it was on"), ("post_id", "the post's id")):
        if not getattr(got, name):
            return problem("MISSING", f"{at}.{name}", "nothing", want)
    return None


def _claim(got: pb.ServiceClaim, at: str) -> Problem | None:
    if not got.HasField("claimed"):
        return problem("MISSING", f"{at}.claimed", "nothing", "what is claimed")
    return None


def _front_line(got: pb.FrontLine, at: str) -> Problem | None:
    if not got.step:
        return problem("MISSING", f"{at}.step", "nothing", "what happened")
    asked = got.step == pb.FRONT_LINE_STEP_PULSE
    if asked and not got.HasField("pulse"):
        return problem("MISSING", f"{at}.pulse", "nothing", "the answer")
    if not asked and got.HasField("pulse"):
        return problem("NOT_ALLOWED", f"{at}.pulse", "a value", "none: only a pulse has an answer")
    decided = got.step == pb.FRONT_LINE_STEP_DECISION
    if not decided and (got.HasField("value") or got.approval_needed):
        at = f"{at}.value" if got.HasField("value") else f"{at}.approval_needed"
        return problem("NOT_ALLOWED", at, "a value", "none: only a decision has one")
    return _not_negative(got.value, f"{at}.value")


def _identity(got: pb.Identity, at: str) -> Problem | None:
    if not got.same_as:
        return problem("MISSING", f"{at}.same_as", "nothing", "the other reference")
    if not got.relation:
        return problem("MISSING", f"{at}.relation", "nothing", "the same, or different")
    return None


def _scenario(got: pb.Scenario, at: str) -> Problem | None:
    for name in ("name", "loss_percent"):
        if not getattr(got, name):
            want = "its name" if name == "name" else "how many of a hundred leave"
            return problem("MISSING", f"{at}.{name}", "nothing", want)
    for name in ("loss_percent", "competitor_percent", "margin_percent", "discount_percent"):
        text = getattr(got, name)
        if text and not (DECIMAL.fullmatch(text) and 0 <= Decimal(text) <= 100):
            return problem("BAD_DECIMAL", f"{at}.{name}", repr(text), "a decimal of 0 to 100")
    if got.years > YEARS_MAX:
        return problem("TOO_MANY", f"{at}.years", got.years, f"at most {YEARS_MAX}")
    return _not_negative(got.revenue, f"{at}.revenue")


# The rules of a message type, checked wherever a message of that type stands.
TYPES: dict[str, Callable[[Any, str], Problem | None]] = {
    "Place": _place,
    "Timestamp": _timestamp,
    "Duration": _duration,
    "Money": _money,
    "Signal": _signal,
    "FeedbackReceived": _signals,
    "FeedbackSuppressed": _suppressed,
    "Expectation": _expectation,
    "PublicPost": _post,
    "Remedy": _remedy,
    "Goodwill": _goodwill,
    "Recognition": _recognition,
    "CustomerProfile": _profile,
    "EventReference": _reference,
    "Assessment": _assessment,
    "ReasonStated": _reason,
    "Insight": _insight,
    "Advice": _advice,
    "ProductFollowUp": _follow_up,
    "PublicPostRemoved": _removed,
    "ServiceClaim": _claim,
    "FrontLine": _front_line,
    "Identity": _identity,
    "Scenario": _scenario,
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
# Of a map of text by text: tags and lengths of the entry and of both, and a key.
ENTRY_BYTES_MIN = 7
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

    def chosen(self, indexes: Sequence[int]) -> "Good":
        return Good._make([column[index] for index in indexes] for column in self)

    @classmethod
    def joined(cls, parts: Iterable["Good"]) -> "Good":
        columns = zip(*parts, strict=True)
        return Good._make([*chain.from_iterable(column)] for column in columns)


def good(encodings: Sequence[bytes]) -> Good | None:
    """None says that the table might find something in one of them."""
    if max(map(len, encodings)) > EVENT_BYTES_MAX:
        return None
    columns, count = columns_of("Event", encodings), len(encodings)
    if columns is None:
        return None
    moments = columns_of("Timestamp", columns.occurred_at)
    if moments is None:
        return None
    seconds, nanos = moments.seconds[:], moments.nanos[:]
    # What has to be one line. It is collected, and looked at together.
    lines = [*chain.from_iterable(getattr(columns, name)[:] for name in LINES)]
    if (
        len(columns.event_id) != count
        # In 1970 it has none, as where it is not set.
        or len(seconds) != count
        or not SECONDS_MIN <= min(seconds) <= max(seconds) <= SECONDS_MAX
        or not 0 <= min(nanos, default=0) <= max(nanos, default=0) < NANOSECONDS
        or not _are_all(_is_touchpoint, columns.touchpoint[:])
        or not _are_all(_is_place, columns.place[:])
        or any(len(getattr(columns, name)) for name in REFUSED)
        or not _are_maps(columns, "attributes", encodings, "Event", _is_attribute)
        or not _are_personal(columns.personal[:], lines)
    ):
        return None
    events = shallow_events(encodings)
    bodies = [*map(WHICH_BODY, events)]
    for body in set(bodies):
        rules = BODIES.get(body)
        if rules is None or not _follow(rules, getattr(columns, body)[:], lines):
            return None
        needed = NEEDED[body]
        if len(getattr(columns, needed)) != count and not all(
            getattr(event, needed)
            for event, each in zip(events, bodies, strict=True)
            if each == body
        ):
            return None
        if body == "identity" and any(
            _is_of_one(event) for event, each in zip(events, bodies, strict=True) if each == body
        ):
            return None
    if not _are_lines(lines):
        return None
    customers, personal = columns.customer[:], [b""] * count
    # Where not all have one, it is not known whose are those of the column.
    if len(customers) != count:
        customers = [event.customer for event in events]
    if len(columns.personal):
        personal = [event.personal for event in events]
    if len(nanos) != count:
        nanos = [event.occurred_at.nanos for event in events] if nanos else [0] * count
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

    kind: str
    # Enumerations by name, and what is known of each.
    enums: tuple[tuple[str, frozenset[int]], ...]
    # Text of one line.
    lines: tuple[str, ...]
    # Messages by name, repeated ones too, and what is said of one.
    messages: tuple[tuple[str, Callable[[bytes], bool]], ...]
    maps: tuple[str, ...]
    # What the table has for the type as a whole.
    special: Callable[[bytes], bool] | None

    @classmethod
    def of(cls, kind: Any) -> "Rules":
        """By a descriptor, whose type is private."""
        deep = [field for field in kind.fields if field.message_type]
        maps = [field.name for field in deep if field.message_type.GetOptions().map_entry]
        return cls(
            kind=kind.name,
            enums=tuple(
                (field.name, frozenset(field.enum_type.values_by_number))
                for field in kind.fields
                if field.enum_type
            ),
            lines=tuple(
                field.name for field in kind.fields if field.type == FieldDescriptor.TYPE_STRING
            ),
            messages=tuple(
                (field.name, QUICK[field.message_type.name])
                for field in deep
                if field.name not in maps
            ),
            maps=tuple(maps),
            special=_special(kind),
        )


def _special(kind: Any) -> Callable[[bytes], bool] | None:
    rule, whole = TYPES.get(kind.name), GetMessageClass(kind)
    return None if rule is None else lambda body: rule(whole.FromString(body), "") is None


def _follow(rules: Rules, bodies: Sequence[bytes], lines: list[str]) -> bool:
    columns = columns_of(rules.kind, bodies)
    if columns is None:
        return False
    for name in rules.lines:
        lines += getattr(columns, name)[:]
    return (
        all(known.issuperset(getattr(columns, name)[:]) for name, known in rules.enums)
        and all(_are_all(is_good, getattr(columns, name)[:]) for name, is_good in rules.messages)
        and all(_are_maps(columns, name, bodies, rules.kind, _is_short) for name in rules.maps)
        and (rules.special is None or all(map(rules.special, bodies)))
    )


def _are_lines(texts: list[str]) -> bool:
    # What is not printable is a control character, or it is rare.
    return max(map(len, texts)) <= CHARACTERS_MAX and "".join(texts).isprintable()


def _are_personal(encoded: Sequence[bytes], lines: list[str]) -> bool:
    """Nothing of it is remembered."""
    columns = columns_of("PersonalData", encoded)
    if columns is None:
        return False
    comments = columns.comment[:]
    lines += columns.contact[:]
    return (
        max(map(len, comments), default=0) <= LONGER["PersonalData.comment"]
        and "\0" not in "".join(comments)
        and _are_maps(columns, "attributes", encoded, "PersonalData", IS_ATTRIBUTE)
    )


def _are_all(is_good: Callable[[T], bool], column: Iterable[T]) -> bool:
    # Many are the same.
    return all(map(is_good, set(column)))


def _are_maps(
    columns: Any, name: str, messages: Iterable[bytes], kind: str, is_good: Callable[[bytes], bool]
) -> bool:
    """Of all these messages of a type, whose columns these are."""
    entries = getattr(columns, name)[:]
    return _are_all(is_good, entries) and (
        len(entries) <= ENTRIES_MAX
        or all(
            len(getattr(columns_of(kind, [each]), name)) <= ENTRIES_MAX
            for each in messages
            if len(each) > ENTRIES_MAX * ENTRY_BYTES_MIN
        )
    )


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
        found = chain(_unknown(message, ""), _nul(message, ""), _fields(message, "."))
        return next(found, None) is None

    return is_good


def _is_money(encoded: bytes) -> bool:
    got = pb.Money.FromString(encoded)
    return bool(DECIMAL.fullmatch(got.amount) and CURRENCY.fullmatch(got.currency)) and (
        not has_unknown(got)
    )


def _is_time(encoded: bytes) -> bool:
    got = Timestamp.FromString(encoded)
    return _timestamp(got, "") is None and not has_unknown(got)


def _is_duration(encoded: bytes) -> bool:
    got = Duration.FromString(encoded)
    return _duration(got, "") is None and not has_unknown(got)


def _is_entry(longest: int, encoded: bytes) -> bool:
    """Of a map: text by text."""
    entries = pb.Event.FromString(with_length(ATTRIBUTES, encoded)).attributes
    # What has a key that is no text is no entry, but an unknown field.
    if not entries:
        return False
    [(key, value)] = entries.items()
    return (
        0 < len(key) <= MAP_KEY_CHARACTERS_MAX
        and key.isprintable()
        and len(value) <= longest
        and "\0" not in value
        and (longest > CHARACTERS_MAX or value.isprintable())
    )


# Event.attributes, as on the wire: all maps are of text by text.
ATTRIBUTES = b"\x4a"
CACHES: list[Any] = [_is_known_touchpoint]
QUICK: dict[str, Callable[[bytes], bool]] = {
    "Timestamp": _quick(_is_time),
    "Duration": _quick(_is_duration),
    "Money": _quick(_is_money),
    "Signal": _quick(_by_the_table(pb.Signal)),
    "EventReference": _quick(_by_the_table(pb.EventReference)),
    "AdviceOption": _quick(_by_the_table(pb.AdviceOption)),
}
_is_place = _quick(_by_the_table(pb.Place))
IS_ATTRIBUTE = partial(_is_entry, ATTRIBUTE_CHARACTERS_MAX)
_is_attribute = _quick(IS_ATTRIBUTE)
_is_short = _quick(partial(_is_entry, CHARACTERS_MAX))
# Of the envelope; the touchpoint has a pattern.
LINES = ("event_id", "customer", "correlation_id", "causation_id", "staff")
# What no event may have but an amendment.
REFUSED = ("amends", "intake", "sealed_personal")
WHICH_BODY = methodcaller("WhichOneof", "body")
# Amendments are rare, and left to the table, as is what needs more of the envelope than one field.
BODIES = {
    field.name: Rules.of(field.message_type)
    for field in SHALLOW_BODIES
    if field.name != "front_line"
}
# What a body needs of the envelope; where that is nothing more, what all need.
NEEDED = {
    name: "touchpoint" if name in TOUCHPOINT_NEEDED else NEEDED_BESIDE.get(name, ("event_id",))[0]
    for name in BODIES
}
