"""POST /v1/cloudevents: CloudEvents 1.0 over HTTP, in binary, structured and batch mode.

The data is an Event, as JSON or protobuf. Of the envelope, id fills event_id or must equal it, time fills
occurred_at where the data has none, and source is kept as an attribute: whose source it is, the key alone
says. Extension attributes and subject are left out, as the specification wants of who does not know them.
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from google.protobuf.message import DecodeError

from services.gateway.checks import ENTRIES_MAX, EVENT_BYTES_MAX
from services.gateway.encoding import TOPICS
from services.gateway.http import Request, Response, Route
from services.gateway.http_body import refuse_costly
from services.gateway.http_events import (
    RESPONSES,
    SENT_AT,
    SENT_AT_HEADER,
    VALIDATE_ONLY,
    HttpPublisher,
    decode,
    media_type,
    result_response,
    results_response,
    unsupported,
)
from services.gateway.servicer import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from touchledger import event_json
from touchledger.event_json import EventJsonError
from touchledger.v1.events_pb2 import Event

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
# The one type for all; or the topic, which then has to fit the event.
EVENT_TYPE = "touchledger.event.v1"
BODIES = {topic: body for body, topic in TOPICS.items()}
PROTOBUF_TYPES = frozenset(
    {"application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"}
)
# Where the source of the envelope is kept.
SOURCE_ATTRIBUTE = "cloudevents.source"
HEADER_PREFIX = "ce-"

OPERATION = {
    "summary": "Publish a CloudEvent, or a batch of them",
    "description": "CloudEvents 1.0 in structured, batch or binary mode. The type is "
    f"{EVENT_TYPE}, or the topic of the event, such as {TOPICS['interaction']}. The data is an Event as "
    "JSON, or as protobuf. The id is the event's id; the time is when it happened, unless the event says so "
    f"itself; the source is kept as the attribute {SOURCE_ATTRIBUTE}.",
    "parameters": [VALIDATE_ONLY, SENT_AT, SENT_AT_HEADER],
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED: {"schema": {"$ref": "#/components/schemas/CloudEvent"}},
            BATCH: {
                "schema": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": BATCH_EVENTS_MAX,
                    "items": {"$ref": "#/components/schemas/CloudEvent"},
                }
            },
            "application/json": {"schema": {"$ref": "#/components/schemas/Event"}},
            "application/protobuf": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": RESPONSES,
}


class HttpCloudEvents:
    def __init__(self, publisher: HttpPublisher) -> None:
        self._publisher = publisher

    def routes(self) -> list[Route]:
        return [Route("POST", "/v1/cloudevents", self.publish, OPERATION)]

    async def publish(self, request: Request) -> Response:
        caller = await self._publisher.admit(request)
        query = request.query_of("validate_only", "sent_at")
        kind = media_type(request)
        if kind not in (STRUCTURED, BATCH):
            # A system is known that has put a timestamp there: what is no media type is taken as JSON.
            named = "/" in kind and kind not in PROTOBUF_TYPES and not _is_json(kind)
            if named or request.headers.get("ce-specversion") is None:
                raise unsupported(
                    f"{STRUCTURED}, {BATCH}, or ce- headers with application/json or "
                    "application/protobuf"
                )
        body = await self._publisher.body(request, caller, bytes_max=BATCH_BYTES_MAX)
        if kind == STRUCTURED:
            items = [decode(body)]
        elif kind == BATCH:
            items = decode(body)
            if not isinstance(items, list):
                items = [items]
        else:
            if kind not in PROTOBUF_TYPES:
                refuse_costly(body)
            items = [_Binary(request.headers.items(), kind, body)]
        if kind in (STRUCTURED, BATCH):
            refuse_costly(b"".join(_encoded_json(items)))
        results = await self._publisher.publish(
            request,
            caller,
            items,
            read,
            size=len(body),
            raw=lambda index: event_text(items[index]),
            query=query,
        )
        if kind == BATCH:
            return results_response(results)
        return result_response(results[0], request.path)


class _Binary(dict[str, Any]):
    """A CloudEvent in binary mode, as if it were a structured one."""

    def __init__(self, headers: Sequence[tuple[str, str]], kind: str, body: bytes) -> None:
        for name, value in headers:
            if name.startswith(HEADER_PREFIX):
                self[name.removeprefix(HEADER_PREFIX)] = unquote(value)
        self["datacontenttype"] = kind
        self.body = body


def read(given: Any) -> Event:
    """The event in a CloudEvent. Raises EventJsonError."""
    if not isinstance(given, dict):
        # It says of anything but an object what it is, and of an object with a key twice which one.
        event_json.read(given)
    for name in ("specversion", "id", "source", "type"):
        if not isinstance(given.get(name), str) or not given[name]:
            raise EventJsonError(
                "BAD_CLOUDEVENT", name, got="nothing or no text", want="a CloudEvent's attribute"
            )
    if given["specversion"] != "1.0":
        raise EventJsonError("BAD_CLOUDEVENT", "specversion", got="another version", want="1.0")
    wanted = BODIES.get(given["type"])
    if wanted is None and given["type"] != EVENT_TYPE:
        raise EventJsonError(
            "UNKNOWN_TYPE",
            "type",
            got="another type",
            want=f"{EVENT_TYPE}, or a topic such as {TOPICS['interaction']}",
        )
    event = _data(given)
    _fill(event, given)
    if wanted is not None and event.WhichOneof("body") not in (None, wanted):
        raise EventJsonError(
            "BAD_CLOUDEVENT",
            "type",
            got=f"a type for {wanted}",
            want=f"the type of what data holds, {event.WhichOneof('body')}",
        )
    return event


def _data(given: Mapping[str, Any]) -> Event:
    if isinstance(given, _Binary):
        data = given.body
    elif given.get("data_base64") is not None:
        if given.get("data") is not None:
            raise EventJsonError(
                "BAD_CLOUDEVENT", "data", got="both data and data_base64", want="one of the two"
            )
        data = _base64(given["data_base64"])
    elif given.get("data") is None:
        raise EventJsonError("BAD_CLOUDEVENT", "data", got="nothing", want="an event")
    else:
        return event_json.read(given["data"])
    if not _is_protobuf(given):
        return event_json.parse(data)
    if len(data) > EVENT_BYTES_MAX:
        raise EventJsonError(
            "TOO_LARGE",
            "",
            got=f"{len(data)} bytes",
            want=f"an event of at most {EVENT_BYTES_MAX} bytes",
        )
    try:
        return Event.FromString(data)
    except DecodeError:
        raise EventJsonError(
            "MALFORMED_PROTOBUF", "data", got=f"{len(data)} other bytes", want="a serialised Event"
        ) from None


def _is_protobuf(given: Mapping[str, Any]) -> bool:
    """JSON is what CloudEvents takes where nothing, or nothing that makes sense, is said."""
    told = given.get("datacontenttype")
    kind = told.partition(";")[0].strip().lower() if isinstance(told, str) else ""
    return kind in PROTOBUF_TYPES


def _encoded_json(items: Sequence[Any]) -> Iterable[bytes]:
    """The JSON that base64 hides from who counts what the body holds."""
    for given in items:
        if isinstance(given, dict) and given.get("data_base64") is not None:
            with contextlib.suppress(EventJsonError):
                if not _is_protobuf(given):
                    yield _base64(given["data_base64"])


def _fill(event: Event, given: Mapping[str, Any]) -> None:
    """What the envelope says of the event, where the event doesn't."""
    envelope = event_json.read({"eventId": given["id"], "occurredAt": given.get("time")})
    if not event.event_id:
        event.event_id = envelope.event_id
    elif event.event_id != envelope.event_id:
        raise EventJsonError(
            "BAD_CLOUDEVENT", "id", got="another id than in data", want="the event id, or no such"
        )
    if envelope.HasField("occurred_at") and not event.HasField("occurred_at"):
        event.occurred_at.CopyFrom(envelope.occurred_at)
    if SOURCE_ATTRIBUTE not in event.attributes and len(event.attributes) < ENTRIES_MAX:
        source = event_json.read({"attributes": {SOURCE_ATTRIBUTE: given["source"]}})
        event.MergeFrom(source)


def event_text(given: Any) -> bytes:
    """What a person mends when the event in a CloudEvent can't be read: the event, as far as it is JSON."""
    if not isinstance(given, dict):
        return b""
    text = b""
    data = given.get("data")
    try:
        if isinstance(given, _Binary):
            text = given.body
        elif given.get("data_base64") is not None:
            text = _base64(given["data_base64"])
        if text:
            # Whichever way it came, the envelope says the same of it.
            data = None if _is_protobuf(given) else event_json.decode(text)
    except EventJsonError:
        return text
    if not isinstance(data, dict):
        return text
    envelope = {"eventId": given.get("id"), "occurredAt": given.get("time")}
    named = {"eventId": "event_id", "occurredAt": "occurred_at"}
    filled = {
        name: value
        for name, value in envelope.items()
        if value is not None and name not in data and named[name] not in data
    }
    if text and not filled:
        return text
    # An object with a key twice has no text any more; its problem is told, and it is not kept.
    return json.dumps(filled | data, default=lambda _: None).encode()


def _base64(told: Any) -> bytes:
    try:
        if not isinstance(told, str):
            raise ValueError
        return base64.b64decode(told, validate=True)
    except (ValueError, binascii.Error):
        raise EventJsonError(
            "INVALID_TEXT", "data_base64", got="something else", want="base64 text"
        ) from None


def _is_json(kind: str) -> bool:
    return kind in ("application/json", "text/json") or kind.endswith("+json")
