"""POST /v1/track, /v1/page, /v1/screen, /v1/identify and /v1/batch: what Segment's server libraries call.

What a message tells is adapters/segment.py's, by the configuration of the youngest webhook that the source
has with that adapter, if any. The answer is Segment's, {"success": true}, when every message was stored or is
in quarantine, or is one of which the configuration wants nothing; else it is a problem that names the first
one which was not. Segment's libraries send again what is answered with 429 or 503, and drop what is answered
with 400: there each message has fared on its own, as in any batch.
"""

import asyncio
import base64
import binascii
import functools
import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from services.chassis.errors import Conflict, Malformed, Unavailable
from services.chassis.postgres import Pool
from services.gateway.access import PUBLISH, Access, Caller
from services.gateway.adapters import segment
from services.gateway.adapters.adapter import Config, Part, Unreadable, document, kind_of
from services.gateway.http import Request, Response, Route
from services.gateway.http_body import refuse_costly
from services.gateway.http_events import JSON_TYPES, media_type, unsupported
from services.gateway.limits import Limits
from services.gateway.servicer import BATCH_EVENTS_MAX
from services.gateway.upstream import Content, Upstream
from touchledger.v1 import ingest_pb2
from touchledger.v1.events_pb2 import Event
from touchledger.v1.ingest_pb2 import Attempt
from touchledger.v1.problem_pb2 import Problem

# What Segment takes.
MESSAGE_BYTES_MAX = 32 * 1024
BATCH_BYTES_MAX = 500 * 1024
MESSAGES_MAX = 2500
# As http_body.py's, for an eighth of the bytes: half of them or less, since messages are small and hold
# arrays of numbers, too.
BATCH_BRACKETS_MAX = 50_000
BATCH_COMMAS_MAX = 100_000
BATCH_QUOTES_MAX = 200_000
TYPES = JSON_TYPES | {"text/plain"}
# Others get a turn in between: a message takes some 50 microseconds.
MESSAGES_WITHOUT_PAUSE_MAX = 50
# For how long a configuration that was changed may still be the old one.
CONFIG_TRUSTED_SECONDS = 5.0
CONFIGS_CACHED_MAX = 1000
KEPT = frozenset(
    {
        ingest_pb2.DISPOSITION_RECORDED,
        ingest_pb2.DISPOSITION_DUPLICATE,
        ingest_pb2.DISPOSITION_QUARANTINED,
        ingest_pb2.DISPOSITION_QUEUED,
    }
)

CONFIGURED = """
SELECT config
  FROM gateway.webhook
 WHERE tenant = $1 AND source = $2 AND adapter = $3 AND deleted_at IS NULL
 ORDER BY created_at DESC
 LIMIT 1
"""

_ANSWERS = {
    "200": {
        "description": "Every message was stored or is in quarantine.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"success": {"const": True}}}
            }
        },
    },
    "400": {"$ref": "#/components/responses/Problem"},
    "409": {"$ref": "#/components/responses/Problem"},
    "413": {"$ref": "#/components/responses/Problem"},
    "415": {"$ref": "#/components/responses/Problem"},
    "429": {"$ref": "#/components/responses/Problem"},
    "503": {"$ref": "#/components/responses/Problem"},
}


def _operation(summary: str, schema: dict[str, object]) -> dict[str, object]:
    return {
        "summary": summary,
        "description": "As Segment's HTTP API, with an API key as the write key: the user name of Basic "
        "authentication. messageId and timestamp are needed: by them a message that is sent again is known.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": _ANSWERS,
    }


_ID = {"type": ["string", "integer"], "pattern": "^[^\\x00]{0,256}$"}
_TIME = {"type": "string", "format": "date-time"}
_CONTEXT = {
    "type": "object",
    "properties": {
        "library": {"type": "object", "properties": {"name": {"type": "string"}}},
        "sessionId": {"type": ["string", "integer"], "pattern": "^[^\\x00]{0,128}$"},
    },
}
# More than this may be in a message, and is left alone.
_FIELDS = {
    "messageId": {"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$"},
    "timestamp": _TIME,
    "originalTimestamp": _TIME,
    "userId": _ID,
    "anonymousId": _ID,
    "properties": {"type": "object"},
    "traits": {"type": "object"},
    "context": _CONTEXT,
}
_PAGE: dict[str, object] = {"name": {"type": "string"}}
_OF_KIND: dict[str, dict[str, object]] = {
    "track": {"event": {"type": "string", "minLength": 1}},
    "page": _PAGE,
    "screen": _PAGE,
    "identify": {},
}


def _message(kind: str, needed: Sequence[str], **more: object) -> dict[str, object]:
    own = ["event"] if kind == "track" else []
    return {
        "type": "object",
        "required": ["messageId", "timestamp", *own, *needed],
        "properties": {**_FIELDS, **_OF_KIND[kind], **more},
    }


_BATCH: dict[str, object] = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {
            "type": "array",
            "minItems": 1,
            "maxItems": MESSAGES_MAX,
            "items": {
                "anyOf": [
                    _message(kind, needed=["type"], type={"const": kind}) for kind in _OF_KIND
                ]
            },
        },
        "sentAt": _TIME,
        "context": _CONTEXT,
    },
}


class HttpSegment:
    def __init__(self, access: Access, limits: Limits, upstream: Upstream, pool: Pool) -> None:
        self._access = access
        self._limits = limits
        self._upstream = upstream
        self._pool = pool
        # By tenant and source, with when it was looked up, the youngest at the end.
        self._configs: OrderedDict[tuple[str, str], tuple[Config, float]] = OrderedDict()

    def routes(self) -> list[Route]:
        return [
            *(
                Route(
                    "POST",
                    f"/v1/{kind}",
                    functools.partial(self.publish_one, kind),
                    _operation(
                        f"Publish one {kind} message of Segment's kind",
                        _message(kind, needed=[], sentAt=_TIME),
                    ),
                )
                for kind in _OF_KIND
            ),
            Route(
                "POST",
                "/v1/batch",
                self.publish_batch,
                _operation("Publish messages of Segment's kind together", _BATCH),
            ),
        ]

    async def publish_one(self, kind: str, request: Request) -> Response:
        caller = await self._admit(request)
        _check_type(request)
        body = await request.body(
            bytes_max=MESSAGE_BYTES_MAX, inflating=self._limits.inflating(caller)
        )
        message = self._document(caller, body)
        message.value["type"] = kind
        return await self._publish(
            caller, [message.value], "", _attempt(message), size=len(body), context=None
        )

    async def publish_batch(self, request: Request) -> Response:
        caller = await self._admit(request)
        _check_type(request)
        body = await request.body(
            bytes_max=BATCH_BYTES_MAX, inflating=self._limits.inflating(caller)
        )
        batch = self._document(caller, body)
        messages = batch.value.get("batch")
        if not isinstance(messages, list):
            raise Malformed(
                "an array", code="WRONG_TYPE", field="body.batch", got=kind_of(messages)
            )
        if not 1 <= len(messages) <= MESSAGES_MAX:
            want = f"1 to {MESSAGES_MAX}"
            raise Malformed(want, code="BATCH_SIZE", field="body.batch", got=f"{len(messages)}")
        return await self._publish(
            caller,
            messages,
            "batch",
            _attempt(batch),
            size=len(body),
            context=batch.value.get("context"),
        )

    async def _admit(self, request: Request) -> Caller:
        authorization = request.headers.get("authorization") or ""
        scheme, _, told = authorization.partition(" ")
        if scheme.lower() != "basic":
            return await self._access.admit([("authorization", authorization)], PUBLISH)
        try:
            user = base64.b64decode(told.strip(), validate=True).decode("ascii").partition(":")[0]
        except (binascii.Error, ValueError):
            user = ""
        return await self._access.admit_key(user, PUBLISH)

    def _document(self, caller: Caller, body: bytes) -> Part:
        # Whatever it holds, parsing it costs the same.
        self._limits.take_bytes(caller, len(body))
        refuse_costly(
            body,
            brackets_max=BATCH_BRACKETS_MAX,
            commas_max=BATCH_COMMAS_MAX,
            quotes_max=BATCH_QUOTES_MAX,
        )
        try:
            return document(body)
        except Unreadable as error:
            told = error.problem
            raise Malformed(told.want, code=told.code, field="body", got=told.got) from None

    async def _publish(
        self,
        caller: Caller,
        messages: Sequence[Any],
        path: str,
        attempt: Attempt,
        *,
        size: int,
        context: Any,
    ) -> Response:
        """context: of the messages that have none."""
        config = await self._config(caller)
        lost = list[tuple[str, Problem]]()
        # A call is as large as any other; the rest of a larger batch waits.
        for start in range(0, len(messages), BATCH_EVENTS_MAX):
            part = messages[start : start + BATCH_EVENTS_MAX]
            share = max(1, size * len(part) // len(messages))
            with self._limits.call(caller, events=len(part), size=share, bytes_taken=True):
                places, events, contents = await _read(part, path, start, config, context)
                results = (
                    await self._upstream.publish(
                        caller, events, attempt, adapter=segment.NAME, contents=contents
                    )
                    if events
                    else []
                )
            lost += [
                (place, result.problem)
                for place, result in zip(places, results, strict=True)
                if result.disposition not in KEPT
            ]
        _refuse(lost)
        return Response.json({"success": True})

    async def _config(self, caller: Caller) -> Config:
        source = caller.tenant, caller.source
        now = asyncio.get_running_loop().time()
        config, looked_up_at = self._configs.get(source, ({}, float("-inf")))
        if now - looked_up_at < CONFIG_TRUSTED_SECONDS:
            return config
        row = await self._pool.fetchval(CONFIGURED, *source, segment.NAME)
        config = json.loads(row) if row else {}
        self._configs[source] = config, now
        self._configs.move_to_end(source)
        if len(self._configs) > CONFIGS_CACHED_MAX:
            self._configs.popitem(last=False)
        return config


def _check_type(request: Request) -> None:
    if media_type(request) not in TYPES:
        raise unsupported("application/json")


def _attempt(whole: Part) -> Attempt:
    """When this attempt was sent, as the library says: of a batch it does so once."""
    attempt = Attempt()
    try:
        if whole.text("sentAt"):
            attempt.sent_at.CopyFrom(whole.moment("sentAt"))
    except Unreadable as error:
        told = error.problem
        raise Malformed(told.want, code=told.code, field="sentAt", got=told.got) from None
    return attempt


async def _read(
    messages: Sequence[Any], path: str, start: int, config: Config, context: Any
) -> tuple[list[str], list[Event | Problem], list[Content | None]]:
    """What becomes events, or a problem in the place of one: where it came, what it is, and what was sent."""
    places: list[str] = []
    events: list[Event | Problem] = []
    contents: list[Content | None] = []
    for index, value in enumerate(messages, start=start):
        event: Event | Problem | None
        content = None
        try:
            message = Part(value, "")
            if path and _size(value) > MESSAGE_BYTES_MAX:
                raise Unreadable(
                    "TOO_LARGE", "", got="more", want=f"at most {MESSAGE_BYTES_MAX} bytes"
                )
            if context is not None and "context" not in value:
                # Beside the message, which is no larger for it: a batch may have thousands.
                message = Part({**value, "context": context}, "")
            event = segment.event_of(message, config)
        except Unreadable as error:
            event = error.problem
            content = Content(json.dumps(value).encode(), segment.NAME, _id_of(value))
        if event is not None:
            places.append(f"{path}[{index}]." if path else "")
            events.append(event)
            contents.append(content)
        if index % MESSAGES_WITHOUT_PAUSE_MAX == MESSAGES_WITHOUT_PAUSE_MAX - 1:
            await asyncio.sleep(0)
    return places, events, contents


def _size(value: Any) -> int:
    """As it came, or a little less: what it came with of blanks and escapes is gone."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _id_of(value: Any) -> str:
    told = value.get("messageId") if isinstance(value, dict) else None
    return told if isinstance(told, str) else ""


def _refuse(lost: Sequence[tuple[str, Problem]]) -> None:
    """Raises what is wrong with the first message that is neither stored nor in quarantine."""
    # One that may still be stored tells to send all again, which does the others no harm.
    for _, problem in lost:
        if problem.retryable:
            raise Unavailable(
                problem.want,
                code=problem.code,
                field=problem.field,
                got=problem.got,
                retry_after_seconds=problem.retry_after.ToNanoseconds() / 1e9,
            )
    for place, problem in lost:
        name = "messageId" if problem.field == "event_id" else problem.field
        refusal = Conflict if problem.code == "EVENT_ID_CONFLICT" else Malformed
        raise refusal(
            problem.want, code=problem.code, field=f"{place}{name}".rstrip("."), got=problem.got
        )
