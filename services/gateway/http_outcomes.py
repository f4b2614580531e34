"""GET /v1/outcomes: what became of events, by their ids."""

import json

from google.protobuf.json_format import MessageToDict

from services.chassis.errors import Malformed
from services.gateway.access import PUBLISH, Access
from services.gateway.http import JSON, Request, Response, Route
from services.gateway.limits import Limits
from services.gateway.outcomes import IDS_MAX, Outcomes

OPERATION = {
    "summary": "What became of events, by their ids",
    "description": "Of the key's own source. What was answered DISPOSITION_QUEUED has its outcome later.",
    "parameters": [
        {
            "name": "event_id",
            "in": "query",
            "required": True,
            "description": f"The id of an event, 1 to {IDS_MAX} times.",
            "schema": {"type": "array", "items": {"type": "string"}},
        }
    ],
    "responses": {
        "200": {
            "description": "One outcome for each id, in order.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/GetOutcomesResponse"}}
            },
        },
        "503": {"$ref": "#/components/responses/Problem"},
    },
}


class HttpOutcomes:
    def __init__(self, access: Access, limits: Limits, outcomes: Outcomes) -> None:
        self._access = access
        self._limits = limits
        self._outcomes = outcomes

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/outcomes", self.get, OPERATION)]

    async def get(self, request: Request) -> Response:
        shown = request.headers.get("authorization") or ""
        caller = await self._access.admit_bearer(shown, PUBLISH)
        for name, _ in request.query_pairs:
            if name != "event_id":
                raise Malformed("event_id", code="UNKNOWN_FIELD", field="query", got=name)
        event_ids = [value for _, value in request.query_pairs]
        with self._limits.question(caller):
            answer = await self._outcomes.of(caller, event_ids)
        return Response(200, json.dumps(MessageToDict(answer)).encode(), [JSON])
