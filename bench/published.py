"""The bench's events as a source publishes them: as protobuf, and as JSON.

The journal's bench has them as they are stored; here what is personal is still a part of its own, in clear,
and they happen now: what comes late is marked, and a shop's evening is not.
"""

import time
from collections.abc import Sequence
from functools import cache

from google.protobuf.json_format import MessageToJson

from bench.events import CUSTOMER, EVENT_ID, Event, Template
from touchledger.v1 import events_pb2 as pb

NOW_NANOSECONDS = time.time_ns() // 1_000_000 * 1_000_000


def as_protobuf(event: Event) -> bytes:
    first, second, third, _ = _published(event.template)
    return b"".join((first, event.id.encode(), second, event.customer.encode(), third))


def as_json(event: Event) -> str:
    told = _published(event.template)[3]
    return told.replace(EVENT_ID, event.id).replace(CUSTOMER, event.customer)


@cache
def _published(template: Template) -> tuple[bytes, bytes, bytes, str]:
    """The encoded event around its id and its customer, and its JSON."""
    event = pb.Event.FromString(EVENT_ID.encode().join(_around_customer(template)))
    event.occurred_at.FromNanoseconds(NOW_NANOSECONDS)
    if event.HasField("sealed_personal"):
        event.personal.MergeFromString(event.sealed_personal.data)
        event.ClearField("sealed_personal")
    first, rest = event.SerializeToString(deterministic=True).split(EVENT_ID.encode())
    second, third = rest.split(CUSTOMER.encode())
    return first, second, third, MessageToJson(event, indent=None)


def _around_customer(template: Template) -> tuple[bytes, bytes]:
    first, second, third = template.parts
    return first, CUSTOMER.encode().join((second, third))


def batch_as_protobuf(batch: Sequence[Event]) -> bytes:
    """A serialised PublishBatchRequest."""
    request = bytearray()
    for event in batch:
        encoded = as_protobuf(event)
        request += EVENTS_TAG + _varint(len(encoded)) + encoded
    return bytes(request)


def one_as_protobuf(event: Event) -> bytes:
    """A serialised PublishRequest."""
    encoded = as_protobuf(event)
    return EVENTS_TAG + _varint(len(encoded)) + encoded


# Field 1 of both requests, with a length.
EVENTS_TAG = b"\x0a"


def _varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes((low | 0x80, high)) if high else bytes((low,))
