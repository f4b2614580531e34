"""What is refused of a command before anything is decided: the rules of catalog.proto and cases.proto."""

import re
from datetime import UTC
from decimal import Decimal
from typing import Protocol

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

from services.chassis import clock
from services.chassis.errors import Malformed
from services.touchpoint.decisions.decided import Command
from touchledger.v1 import catalog_pb2
from touchledger.v1 import events_pb2 as pb

# The gateway sets it from the caller's credential; nobody else can reach this service.
TENANT_METADATA = "touchledger-tenant"
TENANT_CHARACTERS_MAX = 64
CHARACTERS_MAX = 128
PAGE_MAX, PAGE_DEFAULT = 100, 50
ANSWERS_MAX = 20
DAYS_MAX = 366

# As in events: a touchpoint is found under the same name in both.
TOUCHPOINT = re.compile(r"[A-Za-z0-9._:/-]{1,128}", re.ASCII)
# Too narrow for a sentence about somebody.
WORD = re.compile(r"[a-z0-9_.-]{1,64}", re.ASCII)
# What the gateway puts in the place of a customer.
PSEUDONYM = re.compile(r"[0-9a-f]{32}", re.ASCII)
DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# The scale that a metric is defined on; others declare theirs.
SCALES = {pb.METRIC_NPS: (Decimal(0), Decimal(10)), pb.METRIC_THUMBS: (Decimal(0), Decimal(1))}


class CommandRequest(Protocol):
    request_id: str
    decided_by: str


class ListRequest(Protocol):
    page_size: int
    page_token: str


def tenant_of(context: grpc.aio.ServicerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == TENANT_METADATA and value:
            tenant = str(value)
            if len(tenant) > TENANT_CHARACTERS_MAX:
                raise _malformed(TENANT_METADATA, tenant, f"at most {TENANT_CHARACTERS_MAX}")
            return tenant
    raise _malformed(TENANT_METADATA, "", "the tenant that the gateway sets")


def command_of(request: CommandRequest) -> Command:
    assert isinstance(request, Message)
    before = request.ByteSize()
    known = type(request)()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    if known.ByteSize() != before:
        raise _malformed("", f"{before - known.ByteSize()} bytes more", "fields that are known")
    line(request.request_id, "request_id")
    line(request.decided_by, "decided_by")
    expected = "expected_version" in request.DESCRIPTOR.fields_by_name
    return Command(
        request_id=request.request_id,
        decided_by=request.decided_by,
        at=clock.now().ToDatetime(tzinfo=UTC),
        expected_version=(
            request.expected_version  # type: ignore[attr-defined]  # of the commands that have one
            if expected and request.HasField("expected_version")
            else None
        ),
    )


def page_of(request: ListRequest) -> tuple[str, int]:
    """The name that the page comes after, and how many."""
    if request.page_size > PAGE_MAX:
        raise _malformed("page_size", f"{request.page_size}", f"at most {PAGE_MAX}")
    line(request.page_token, "page_token", least=0)
    return request.page_token, request.page_size or PAGE_DEFAULT


def line(text: str, field: str, *, least: int = 1) -> str:
    if not least <= len(text) <= CHARACTERS_MAX:
        raise _malformed(field, f"{len(text)} characters", f"{least} to {CHARACTERS_MAX}")
    if CONTROL.search(text):
        raise _malformed(field, "a control character", "one line without control characters")
    return text


def touchpoint(text: str) -> str:
    want = "1 to 128 letters, digits, '.', '_', '-', ':' or '/'"
    return _matching(TOUCHPOINT, text, "touchpoint", want)


def word(text: str, field: str) -> str:
    want = "1 to 64 lower-case letters, digits, '_', '.' or '-'"
    return _matching(WORD, text, field, want)


def pseudonym(text: str) -> str:
    # What came may be somebody's name.
    if text and not PSEUDONYM.fullmatch(text):
        want = "a pseudonym: 32 hexadecimal digits, lower case"
        raise _malformed("customer", f"{len(text)} characters", want)
    return text


def enum(kind: EnumTypeWrapper, number: int, field: str, *, required: bool = True) -> str:
    """The value's name; empty when it is not said."""
    if number not in kind.values() or (required and not number):
        raise _malformed(field, f"{number}", f"a value of {kind.DESCRIPTOR.name}")
    return str(kind.Name(number)) if number else ""


def not_negative(text: str, field: str) -> str:
    if not DECIMAL.fullmatch(text) or text.startswith("-"):
        raise _malformed(field, repr(text), "a decimal such as 0.25, not negative")
    return text


def money(amount: pb.Money, field: str) -> None:
    not_negative(amount.amount, f"{field}.amount")
    _matching(CURRENCY, amount.currency, f"{field}.currency", "three capital letters")


def failure(reference: pb.EventReference) -> None:
    line(reference.source, "failure.source")
    line(reference.event_id, "failure.event_id")


def placement(given: catalog_pb2.Placement) -> tuple[str, str]:
    stage = enum(pb.Stage, given.stage, "placement.stage")
    return stage, enum(pb.Channel, given.channel, "placement.channel")


def standard(given: catalog_pb2.ServiceStandard) -> None:
    if not given.ListFields():
        raise _malformed("expectation", "nothing", "something that may be expected")
    if len(given.answers) > ANSWERS_MAX:
        raise _malformed("expectation.answers", f"{len(given.answers)}", f"at most {ANSWERS_MAX}")
    seen = set[tuple[int, str, str]]()
    for index, answer in enumerate(given.answers):
        at = f"expectation.answers[{index}]"
        _signal(answer, at)
        about = (answer.metric, answer.dimension, answer.question)
        if about in seen:
            raise _malformed(at, "a second one", "one for each metric, dimension and question")
        seen.add(about)
    for field in ("wait_within", "answer_within", "resolve_within"):
        _duration(getattr(given, field), f"expectation.{field}")


def _signal(given: pb.Signal, at: str) -> None:
    """The rules of signals in events, which the gateway holds there."""
    metric = enum(pb.Metric, given.metric, f"{at}.metric")
    enum(pb.Direction, given.direction, f"{at}.direction")
    for field in ("value", "scale_min", "scale_max"):
        _matching(DECIMAL, getattr(given, field), f"{at}.{field}", "a decimal such as 4 or -0.5")
    for field in ("dimension", "question", "model"):
        line(getattr(given, field), f"{at}.{field}", least=0)
    if given.model and given.metric != pb.METRIC_SENTIMENT:
        raise _malformed(f"{at}.model", repr(given.model), "none: only METRIC_SENTIMENT has one")
    value, low, high = Decimal(given.value), Decimal(given.scale_min), Decimal(given.scale_max)
    if low >= high:
        raise _malformed(f"{at}.scale_max", given.scale_max, f"more than {given.scale_min}")
    if given.metric in SCALES:
        if (low, high) != SCALES[given.metric]:
            got = f"{given.scale_min} to {given.scale_max}"
            want = "{} to {} for {}".format(*SCALES[given.metric], metric)
            raise _malformed(f"{at}.scale_min", got, want)
        if given.direction != pb.DIRECTION_HIGHER_IS_BETTER:
            want = "DIRECTION_HIGHER_IS_BETTER for this metric"
            raise _malformed(f"{at}.direction", "another", want)
    if not low <= value <= high:
        want = f"{given.scale_min} to {given.scale_max}"
        raise _malformed(f"{at}.value", given.value, want)


def _duration(given: Duration, field: str) -> None:
    if not (0 <= given.seconds <= DAYS_MAX * 86_400 and 0 <= given.nanos < 1_000_000_000):
        raise _malformed(field, f"{given.seconds} s {given.nanos} ns", f"0 to {DAYS_MAX} days")


def _matching(pattern: re.Pattern[str], text: str, field: str, want: str) -> str:
    if not pattern.fullmatch(text):
        raise _malformed(field, repr(text[:CHARACTERS_MAX]), want)
    return text


def _malformed(field: str, got: str, want: str) -> Malformed:
    return Malformed(want, field=field, got=got or "nothing")
