"""What an adapter is: one pure file that checks a vendor's signature and reads its deliveries as events.

Bytes and headers in, events or reasons out: no I/O, no clock, no log. What stores the delivery first, maps
it afterwards and publishes what came of it is services.gateway.webhooks. A new adapter is one file with
`ADAPTER` and one line in the registry beside this file.
"""

import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Malformed, Unauthenticated
from services.gateway.checks import TOUCHPOINT
from touchledger.v1.events_pb2 import Event
from touchledger.v1.problem_pb2 import Problem

# Vendors nest six or seven levels; the bound keeps hostile nesting away from recursive code.
DEPTH_MAX = 64
# Events of one delivery: as many as a batch may have.
EVENTS_MAX = 500

# What systems write where they know no customer, in lower case. As a reference it would make one person of
# all who are unknown.
FAKE_CUSTOMERS = frozenset(
    {
        *("", "-", "--", "0", "00000000-0000-0000-0000-000000000000", "[object object]"),
        *("anonymous", "false", "guest", "id", "n/a", "na", "nan", "nil", "no response", "none"),
        *("not set", "(not set)", "(null)", "null", "true", "undefined", "unknown", "user_id"),
    }
)

# What a webhook was configured with: a JSON object whose meaning is its adapter's alone.
Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request of a vendor, as it came."""

    # As the vendor was told it, scheme and host included: some sign it.
    url: str
    # Names in lower case.
    headers: Mapping[str, str]
    body: bytes
    # With a zone.
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Adapter:
    # Literal and versioned: it is stored with webhooks, deliveries and events.
    name: str
    # Raises Unauthenticated when the delivery is not signed with the secret.
    verify: Callable[[Delivery, str, Config], None]
    # The events in the delivery, in its order, and a Problem in place of each that can't be read; none when
    # it tells nothing that is recorded. Raises nothing.
    read: Callable[[Delivery, Config], list[Event | Problem]]
    # Raises Malformed with the field `config.…` when the adapter can't work with this configuration.
    check_config: Callable[[Config], None]


class Unreadable(Exception):
    """Something in a delivery is not what the vendor documents. Adapters return its problem."""

    def __init__(self, code: str, field: str, *, got: str, want: str) -> None:
        self.problem = Problem(code=code, field=field, got=got, want=want)
        super().__init__(code, field)


def check_signature(delivery: Delivery, header: str, wanted: str) -> None:
    """Raises Unauthenticated when the header, named in lower case, holds anything else."""
    got = delivery.headers.get(header, "")
    if not hmac.compare_digest(got.encode("utf-8", "replace"), wanted.encode()):
        raise Unauthenticated(
            "the signature of this delivery", field=header, got="another" if got else "nothing"
        )


def document(body: bytes) -> "Part":
    """The delivery's JSON object. Raises Unreadable."""
    return Part(decoded(body), "")


def decoded(body: bytes) -> Any:
    """What the delivery holds as JSON. Raises Unreadable."""
    try:
        # A number that a float can't hold exactly stays the text that it is.
        value = json.loads(body, parse_float=_number, parse_int=_whole, parse_constant=str)
    except RecursionError:
        raise Unreadable(
            "TOO_DEEP", "", got="deeper nesting", want=f"at most {DEPTH_MAX} levels"
        ) from None
    except ValueError:
        raise Unreadable(
            "MALFORMED_JSON", "", got=f"{len(body)} other bytes", want="one JSON document"
        ) from None
    if _depth(value) > DEPTH_MAX:
        raise Unreadable("TOO_DEEP", "", got="deeper nesting", want=f"at most {DEPTH_MAX} levels")
    return value


class Part:
    """An object of a delivery. It knows its path, so that a missing or odd value is told by its place.

    Values are told by their kind alone: vendors put personal data anywhere.
    """

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise Unreadable("WRONG_TYPE", path, got=kind_of(value), want="an object")
        self.value: dict[str, Any] = value
        self.path = path

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def part(self, name: str) -> "Part":
        """The object of this name; an empty one when there is none."""
        value = self.value.get(name)
        return Part({} if value is None else value, self.at(name))

    def parts(self, name: str) -> Iterator["Part"]:
        """The objects of a list; none when there is no list."""
        value = self.value.get(name)
        if value is not None and not isinstance(value, list):
            raise Unreadable("WRONG_TYPE", self.at(name), got=kind_of(value), want="an array")
        for index, each in enumerate(value or ()):
            yield Part(each, f"{self.at(name)}[{index}]")

    def text(self, name: str) -> str:
        """A text or an id that is a whole number; "" when there is none."""
        value = self.value.get(name)
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise Unreadable("WRONG_TYPE", self.at(name), got=kind_of(value), want="text")
        return clean(value, self.at(name))

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise Unreadable("MISSING", self.at(name), got="nothing", want="a text")
        return value

    def whole(self, name: str) -> int:
        value = self.value.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unreadable("WRONG_TYPE", self.at(name), got=kind_of(value), want="a whole number")
        return value

    def moment(self, name: str) -> Timestamp:
        return moment(self.required(name), self.at(name))


def moment(text: str, field: str) -> Timestamp:
    """The moment that an ISO 8601 text with a zone tells. Raises Unreadable."""
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is None:
            raise ValueError
        stamp = Timestamp()
        stamp.FromDatetime(parsed)
    except (ValueError, OverflowError):
        raise Unreadable(
            "BAD_TIME", field, got="other text", want="a time with its zone, as ISO 8601"
        ) from None
    return stamp


def clean(text: str, field: str) -> str:
    """The text, when it is one that an event can hold. Raises Unreadable."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable(
            "INVALID_TEXT", field, got="half a surrogate pair", want="Unicode characters"
        ) from None
    return text


def customer(reference: str) -> str:
    """The reference of a customer; "" when it is one that systems write for nobody."""
    reference = reference.strip()
    return "" if reference.lower() in FAKE_CUSTOMERS else reference


def kind_of(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "an array"
        case _:
            return "an object"


def touchpoint_of(config: Config, name: str, default: str) -> str:
    """A touchpoint that the configuration names. Raises Malformed, which `check_config` lets through."""
    value = config.get(name, default)
    if not isinstance(value, str) or not TOUCHPOINT.fullmatch(value):
        raise Malformed(
            "a touchpoint such as store.checkout",
            code="BAD_NAME",
            field=f"config.{name}",
            got=kind_of(value),
        )
    return value


def refuse_other_settings(config: Config, known: set[str]) -> None:
    """A setting that nobody reads would be believed to work."""
    for name in config:
        if name not in known:
            raise Malformed(
                " or ".join(sorted(known)), code="UNKNOWN_FIELD", field="config", got=name[:80]
            )


def _number(text: str) -> float | str:
    number = float(text)
    try:
        return number if Decimal(repr(number)) == Decimal(text) else text
    except ArithmeticError:  # an exponent beyond what Decimal can hold
        return text


def _whole(text: str) -> int | str:
    # int() refuses thousands of digits with an error of its own.
    return int(text) if len(text) <= 20 else text


def _depth(value: Any) -> int:
    """How many levels are nested in each other, without recursion."""
    deepest, left = 0, [(value, 1)]
    while left:
        each, depth = left.pop()
        if isinstance(each, dict | list):
            deepest = max(deepest, depth)
            inner = each.values() if isinstance(each, dict) else each
            left.extend((one, depth + 1) for one in inner if isinstance(one, dict | list))
    return deepest
