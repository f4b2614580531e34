"""POST /v1/events: one event, an array of them, or one a line; what became of each is told in their order.

What is an event is event_json.py's, what is a good one checks.py's. The same way from items to results serves
cloudevents.py and beacon.py.
"""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from services.chassis.errors import Malformed
from services.gateway.access import PUBLISH, Access, Caller
from services.gateway.checks import MENDABLE
from services.gateway.http import JSON, Request, Response, Route, problem_response
from services.gateway.http_body import BRACKETS_MAX, refuse_costly, refuse_costly_lines
from services.gateway.limits import Limits
from services.gateway.servicer import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, check_count
from services.gateway.upstream import Content, Upstream
from touchledger import event_json
from touchledger.v1 import ingest_pb2
from touchledger.v1.events_pb2 import Event
from touchledger.v1.ingest_pb2 import Attempt, Disposition, PublishResult
from touchledger.v1.problem_pb2 import Problem

# curl and many small clients say "form" of whatever they send.
JSON_TYPES = frozenset({"", "application/json", "text/json", "application/x-www-form-urlencoded"})
LINES_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
# Others get a turn after so long: the largest event takes most of a millisecond to read, and what is none may
# take more.
READ_WITHOUT_PAUSE_SECONDS = 0.005
EVENT_JSON = "event_json"
# Above a single event or two: parsing those costs no more than asking twice.
EARLY_BYTES_MIN = 4096
# Some ten times what 500 of `{}` take.
BEGINNING_BYTES = 16 * 1024

NAMES = {value: quoted(name) for name, value in Disposition.items()}
# What a single event that was not recorded is answered with. Sources that post one at a time look at the
# status and at nothing else: 200 for an event that is not in the journal is how events get lost in silence.
# A batch is 200 in any case, since its events fare differently.
STATUS = {
    ingest_pb2.DISPOSITION_QUEUED: 202,
    ingest_pb2.DISPOSITION_QUARANTINED: 202,
    ingest_pb2.DISPOSITION_REJECTED: 422,
    ingest_pb2.DISPOSITION_RETRY: 503,
}
STATUS_OF_CODE = {"EVENT_ID_CONFLICT": 409, "TOO_LARGE": 413}

VALIDATE_ONLY = {
    "name": "validate_only",
    "in": "query",
    "description": "Only says what would become of it: nothing is stored or quarantined.",
    "schema": {"type": "boolean", "default": False},
}
SENT_AT = {
    "name": "sent_at",
    "in": "query",
    "description": "The source's clock when it sent this. With it, a clock that is off by more than five "
    "minutes is made up for.",
    "schema": {"type": "string", "format": "date-time"},
}
SENT_AT_HEADER = SENT_AT | {"name": "Touchledger-Sent-At", "in": "header"}
_RESULTS = {
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/PublishBatchResponse"}}
    }
}
_PROBLEM = {"$ref": "#/components/responses/Problem"}
RESPONSES = {
    "200": _RESULTS
    | {
        "description": "What became of each event, in order. A single event: it is stored durably.",
        "headers": {
            "RateLimit": {
                "description": "Of the key: how many events may still be sent at once, as r, and in how many "
                "seconds that will be all again, as t.",
                "schema": {"type": "string"},
            },
            "RateLimit-Policy": {
                "description": "How many that is, as q.",
                "schema": {"type": "string"},
            },
        },
    },
    "202": _RESULTS
    | {
        "description": "A single event, quarantined, which a person has to mend; or, where the system has a "
        "buffer, queued durably: GET /v1/outcomes tells what becomes of it."
    },
    "409": _PROBLEM | {"description": "A single event whose id was used for other content."},
    "413": _PROBLEM | {"description": "The body, or a single event, is too large."},
    "415": _PROBLEM | {"description": "Another media type, or another compression."},
    "422": _PROBLEM | {"description": "A single event that was rejected."},
    "429": _PROBLEM | {"description": "A limit is reached. Retry-After says when to come back."},
    "503": _PROBLEM
    | {"description": "Something behind the gateway is away. Repeat it after Retry-After."},
}
EXAMPLE = {
    "eventId": "01997c1e-6d1a-7b6e-9d58-0a1b2c3d4e5f",
    "occurredAt": "2026-08-03T10:15:30Z",
    "touchpoint": "store.checkout",
    "customer": "card 4711",
    "place": {"store": "cologne", "device": "till-3", "timeZone": "Europe/Berlin"},
    "feedbackReceived": {
        "stage": "STAGE_PURCHASE",
        "channel": "CHANNEL_STORE",
        "signals": [
            {
                "metric": "METRIC_CSAT",
                "value": "4",
                "scaleMin": "1",
                "scaleMax": "5",
                "direction": "DIRECTION_HIGHER_IS_BETTER",
            }
        ],
    },
}
OPERATION = {
    "summary": "Publish one event, an array of events, or one event a line",
    "description": "Answers when all good events are stored durably. One bad event harms none of the others: "
    "what became of each is told in order. Safe to repeat: an event that is stored already is a DUPLICATE. "
    f"At most {BATCH_EVENTS_MAX} events and {BATCH_BYTES_MAX} bytes when inflated; Content-Encoding may be "
    "gzip or zstd.",
    "parameters": [VALIDATE_ONLY, SENT_AT, SENT_AT_HEADER],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/Event"},
                        {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": BATCH_EVENTS_MAX,
                            "items": {"$ref": "#/components/schemas/Event"},
                        },
                    ]
                },
                "example": EXAMPLE,
            },
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    },
    "responses": RESPONSES,
}


class HttpPublisher:
    """From what came over HTTP to what became of it."""

    def __init__(self, access: Access, limits: Limits, upstream: Upstream) -> None:
        self._access = access
        self._limits = limits
        self._upstream = upstream

    async def admit(self, request: Request) -> Caller:
        shown = request.headers.get("authorization") or ""
        return await self._access.admit_bearer(shown, PUBLISH)

    async def body(self, request: Request, caller: Caller, *, bytes_max: int) -> bytes:
        """Refused before it is parsed, which takes 20 ms of a full batch: a flood would be parsed in vain.

        Its bytes are counted here, so that what is no event costs its sender as much as what is one.
        """
        inflating = self._limits.inflating(caller)
        body = await request.body(bytes_max=bytes_max, inflating=inflating)
        if len(body) >= EARLY_BYTES_MIN:
            self._limits.refuse_early(caller, size=len(body))
        self._limits.take_bytes(caller, len(body))
        return body

    async def publish(
        self,
        request: Request,
        caller: Caller,
        items: Sequence[Any],
        read: Callable[[Any], Event],
        *,
        size: int,
        raw: Callable[[int], bytes],
        query: dict[str, str],
    ) -> list[PublishResult]:
        """A result for each item, in order. The bytes were counted by `body`.

        read raises EventJsonError; raw gives an item as JSON, as it came, by its index, where it did.
        """
        check_count(len(items))
        attempt = attempt_of(request, query)
        validate_only = _switch(query, "validate_only")
        try:
            # Before the items are read, which is most of the work.
            with self._limits.call(caller, events=len(items), size=size, bytes_taken=True):
                events: list[Event | Problem] = []
                contents: list[Content | None] = []
                now = asyncio.get_running_loop().time
                pause_at = now() + READ_WITHOUT_PAUSE_SECONDS
                for index, item in enumerate(items):
                    try:
                        events.append(read(item))
                        contents.append(None)
                    except event_json.EventJsonError as error:
                        events.append(error.problem)
                        contents.append(_kept(raw(index)) if _can_be_mended(error) else None)
                    if now() > pause_at:
                        await asyncio.sleep(0)
                        pause_at = now() + READ_WITHOUT_PAUSE_SECONDS
                return await self._upstream.publish(
                    caller, events, attempt, validate_only=validate_only, contents=contents
                )
        finally:
            limit, remaining, reset_seconds = self._limits.state(caller)
            request.answer_headers.append(("ratelimit-policy", f'"events";q={limit}'))
            request.answer_headers.append(
                ("ratelimit", f'"events";r={remaining};t={reset_seconds}')
            )


class HttpEvents:
    def __init__(self, publisher: HttpPublisher) -> None:
        self._publisher = publisher

    def routes(self) -> list[Route]:
        return [Route("POST", "/v1/events", self.publish, OPERATION)]

    async def publish(self, request: Request) -> Response:
        caller = await self._publisher.admit(request)
        query = request.query_of("validate_only", "sent_at")
        kind = media_type(request)
        if kind not in JSON_TYPES and kind not in LINES_TYPES:
            raise unsupported("application/json or application/x-ndjson")
        body = await self._publisher.body(request, caller, bytes_max=BATCH_BYTES_MAX)
        if kind in LINES_TYPES:
            refuse_costly_lines(body)
            lines = [line for line in body.splitlines() if line.strip()]
            return results_response(
                await self._publisher.publish(
                    request,
                    caller,
                    lines,
                    event_json.parse,
                    size=len(body),
                    raw=lines.__getitem__,
                    query=query,
                )
            )
        document = decode(body)
        many = isinstance(document, list)
        results = await self._publisher.publish(
            request,
            caller,
            document if many else [document],
            event_json.read,
            size=len(body),
            raw=as_came(body) if many else lambda _: body,
            query=query,
        )
        return results_response(results) if many else result_response(results[0], request.path)


def decode(body: bytes, *, brackets_max: int = BRACKETS_MAX) -> Any:
    """The body as JSON; when it is none, nobody can say how many events it was meant to be."""
    try:
        refuse_costly(body, brackets_max=brackets_max)
    except Malformed:
        _refuse_by_its_beginning(body)
        raise
    try:
        return event_json.decode(body)
    except event_json.EventJsonError as error:
        told = error.problem
        raise Malformed(told.want, code=told.code, field="body", got=told.got) from None


def _refuse_by_its_beginning(body: bytes) -> None:
    """What is wrong with costly JSON, where its first few KB show it: they take no time to parse."""
    beginning, _, _ = body[:BEGINNING_BYTES].rpartition(b",")
    try:
        document = event_json.decode((beginning or body[:BEGINNING_BYTES]) + b"]")
    except event_json.EventJsonError as error:
        told = error.problem
        if told.code == "TOO_DEEP":
            raise Malformed(told.want, code=told.code, field="body", got=told.got) from None
        return
    if isinstance(document, list) and len(document) > BATCH_EVENTS_MAX:
        want, got = f"1 to {BATCH_EVENTS_MAX}", f"{len(document)} or more"
        raise Malformed(want, code="BATCH_SIZE", field="events", got=got)


# Numbers stay what they are; only where things end is looked for.
_scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
_BLANK = re.compile(r"[ \t\r\n]*")


def as_came(body: bytes) -> Callable[[int], bytes]:
    """The elements of a JSON array, looked for when the first one is wanted."""
    found: list[bytes] = []

    def element(index: int) -> bytes:
        if not found:
            found.extend(elements(body))
        return found[index]

    return element


def elements(body: bytes) -> list[bytes]:
    """The elements of a JSON array that `decode` took, each as it came."""
    text = body.decode()
    found: list[bytes] = []
    at = _after_blank(text, text.index("[") + 1)
    while text[at] != "]":
        _, end = _scan(text, at)
        found.append(text[at:end].encode())
        at = _after_blank(text, end)
        if text[at] == ",":
            at = _after_blank(text, at + 1)
    return found


def _after_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None, "it matches nothing, too"
    return match.end()


def _can_be_mended(error: event_json.EventJsonError) -> bool:
    """What can't be is not kept, so that nothing of it need be looked for, which costs as much as parsing."""
    return error.problem.code in MENDABLE


def _kept(came: bytes) -> Content:
    return Content(came, EVENT_JSON, _id_in(came))


def _id_in(item: bytes) -> str:
    """The event id of what can't be read as an event, so that the same one that comes again is known."""
    try:
        given = event_json.decode(item)
    except event_json.EventJsonError:
        return ""
    told = (given.get("eventId") or given.get("event_id")) if isinstance(given, dict) else ""
    return told if isinstance(told, str) else ""


def media_type(request: Request) -> str:
    """Without its parameters, such as a charset: JSON is UTF-8."""
    told: str = request.headers.get("content-type") or ""
    return told.partition(";")[0].strip().lower()


def unsupported(want: str) -> Malformed:
    return Malformed(
        want, code="UNSUPPORTED_MEDIA_TYPE", field="content-type", got="another media type"
    )


def attempt_of(request: Request, query: dict[str, str]) -> Attempt:
    """The source's clock when it sent this, by the header Touchledger-Sent-At or the parameter sent_at."""
    told = request.headers.get("touchledger-sent-at") or query.get("sent_at")
    attempt = Attempt()
    if told:
        try:
            # What may be said of when something happened may be said of when it was sent.
            attempt.sent_at.CopyFrom(event_json.read({"occurredAt": told}).occurred_at)
        except event_json.EventJsonError as error:
            found = error.problem
            raise Malformed(found.want, code=found.code, field="sent_at", got=found.got) from None
    return attempt


def _switch(query: dict[str, str], name: str) -> bool:
    told = query.get(name, "false")
    if told not in ("true", "false"):
        raise Malformed("true or false", code="WRONG_TYPE", field=name, got="something else")
    return told == "true"


def results_response(results: Sequence[PublishResult]) -> Response:
    """What became of each event of a batch."""
    return Response(200, f'{{"results":[{",".join(map(as_json, results))}]}}'.encode(), [JSON])


def result_response(result: PublishResult, path: str) -> Response:
    """What became of a single event, told by the status as well."""
    status = STATUS.get(result.disposition, 200)
    if status < 400:
        response = results_response([result])
        response.status = status
        return response
    return problem_response(
        STATUS_OF_CODE.get(result.problem.code, status),
        result.problem,
        path=path,
        results=[json.loads(as_json(result))],
    )


def as_json(result: PublishResult) -> str:
    """As json_format writes it, in a twentieth of the time."""
    parts = [f'"disposition":{NAMES[result.disposition]}']
    if result.HasField("position"):
        position = result.position
        parts.append(
            f'"position":{{"journalId":{quoted(position.journal_id)},"number":"{position.number}"}}'
        )
    if result.HasField("problem"):
        found = result.problem
        told = [
            f'"{name}":{quoted(value)}'
            for name, value in (
                ("code", found.code),
                ("field", found.field),
                ("got", found.got),
                ("want", found.want),
            )
            if value
        ]
        if found.retryable:
            told.append('"retryable":true')
        if found.HasField("retry_after"):
            told.append(f'"retryAfter":"{found.retry_after.ToJsonString()}"')
        parts.append(f'"problem":{{{",".join(told)}}}')
    if result.quarantine_id:
        parts.append(f'"quarantineId":{quoted(result.quarantine_id)}')
    return f"{{{','.join(parts)}}}"
