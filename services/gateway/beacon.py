"""POST /v1/beacon: what a web page sends as it goes, by navigator.sendBeacon or fetch with keepalive.

The key stands in the page, so it may do this and nothing else, from the origins that it was made for. Nothing
is ever told of what is stored: 204 when all of it was recorded, now or before, 202 when some was not.
"""

from services.chassis.errors import Forbidden
from services.gateway.access import BEACON, Access, Caller
from services.gateway.http import Request, Response, Route
from services.gateway.http_events import (
    JSON_TYPES,
    SENT_AT,
    HttpPublisher,
    as_came,
    decode,
    media_type,
    result_response,
    unsupported,
)
from touchledger import event_json
from touchledger.v1 import ingest_pb2

# What a browser lets all beacons under way have together (Fetch standard, keepalive).
BEACON_BYTES_MAX = 64 * 1024
# A beacon full of the shortest events that are good, of some 120 bytes, has 4 of each. Texts may have more.
BEACON_BRACKETS_MAX = 8_000
# Other types make a browser ask first, and sendBeacon may refuse them.
TYPES = JSON_TYPES | {"text/plain"}
# For how long a browser need not ask again.
PREFLIGHT_SECONDS = 3600
STORED = frozenset({ingest_pb2.DISPOSITION_RECORDED, ingest_pb2.DISPOSITION_DUPLICATE})

KEY = {
    "name": "key",
    "in": "query",
    "required": True,
    "description": "A key with the scope beacon.",
    "schema": {"type": "string"},
}
OPERATION = {
    "summary": "Publish from a web page as it goes",
    "description": "For navigator.sendBeacon and fetch with keepalive: one event or an array of them as "
    f"text/plain, at most {BEACON_BYTES_MAX} bytes, from an origin that the key was made for.",
    "parameters": [KEY, SENT_AT],
    "requestBody": {
        "required": True,
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/Event"}},
        },
    },
    "responses": {
        "204": {"description": "All events are stored durably, now or before."},
        "202": {"description": "Some events were quarantined or refused."},
    },
    "security": [],
}
PREFLIGHT_OPERATION = {
    "summary": "What a browser asks before it sends a beacon of another type",
    "parameters": [KEY, SENT_AT],
    "responses": {"204": {"description": "The origin may send."}},
    "security": [],
}


class HttpBeacon:
    def __init__(self, access: Access, publisher: HttpPublisher) -> None:
        self._access = access
        self._publisher = publisher

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/beacon", self.publish, OPERATION),
            Route("OPTIONS", "/v1/beacon", self.preflight, PREFLIGHT_OPERATION),
        ]

    async def publish(self, request: Request) -> Response:
        query = request.query_of("key", "sent_at")
        caller = await self._admit(request, query)
        if media_type(request) not in TYPES:
            raise unsupported("text/plain or application/json")
        body = await self._publisher.body(request, caller, bytes_max=BEACON_BYTES_MAX)
        document = decode(body, brackets_max=BEACON_BRACKETS_MAX)
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
        dispositions = {each.disposition for each in results}
        for each in results:
            if each.disposition == ingest_pb2.DISPOSITION_RETRY:
                return result_response(each, request.path)
        return Response(204 if dispositions <= STORED else 202)

    async def preflight(self, request: Request) -> Response:
        await self._admit(request, request.query_of("key", "sent_at"))
        request.answer_headers += [
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "content-type, content-encoding"),
            ("access-control-max-age", f"{PREFLIGHT_SECONDS}"),
        ]
        return Response(204)

    async def _admit(self, request: Request, query: dict[str, str]) -> Caller:
        caller = await self._access.admit_key(query.get("key", ""), BEACON)
        origin = request.headers.get("origin")
        request.answer_headers.append(("vary", "origin"))
        if origin not in caller.origins:
            raise Forbidden(
                "an origin that the key was made for",
                code="ORIGIN_NOT_ALLOWED",
                field="origin",
                got="another" if origin else "nothing",
            )
        request.answer_headers += [
            ("access-control-allow-origin", origin),
            # sendBeacon always sends cookies along, and a browser then wants this said. None are read here.
            ("access-control-allow-credentials", "true"),
        ]
        return caller
