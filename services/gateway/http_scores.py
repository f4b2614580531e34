"""The questions of ScoringService, ExperienceService and AlertService over HTTP, answered as JSON or as CSV.

Parameters are the fields of the request under their names, read from its descriptor: a new field needs no
code here. Who may ask, how much at once, and for how long is as over gRPC: forwarding.py.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from services.chassis.errors import Malformed
from services.gateway.access import QUERY, Access
from services.gateway.csv_table import csv_table, prefix_of, short_name
from services.gateway.forwarding import Ask, Forwarding, classes_of
from services.gateway.http import JSON, Request, Response, Route
from services.gateway.limits import Limits
from services.gateway.openapi import SCALARS, WELL_KNOWN
from services.gateway.proto_comments import comments
from touchledger import event_json
from touchledger.v1 import alerts_pb2, experience_pb2, scoring_pb2
from touchledger.v1.experience_pb2 import GetFigureResponse

METHODS = {
    method.name: method
    for service in (
        scoring_pb2.DESCRIPTOR.services_by_name["ScoringService"],
        experience_pb2.DESCRIPTOR.services_by_name["ExperienceService"],
        alerts_pb2.DESCRIPTOR.services_by_name["AlertService"],
    )
    for method in service.methods
}
SAID = comments("scoring.proto") | comments("journal.proto") | comments("alerts.proto")
SAID |= comments("experience.proto")
FORMAT = "format"
FORMATS = ("json", "csv")
CSV = ("content-type", "text/csv; charset=utf-8; header=present")
FORMAT_PARAMETER = {
    "name": FORMAT,
    "in": "query",
    "description": "json, or csv with one line for each group; without it, what the header Accept prefers.",
    "schema": {"type": "string", "enum": list(FORMATS)},
}
# What takes some 10 ms to write; the largest answer takes a second, in which nobody else would get a turn.
AT_ONCE_BYTES_MAX = 64 * 1024
# A journal moves on all the time, and the answer is the key's: whoever keeps it asks whether it is still
# good.
CACHE = ("cache-control", "private, no-cache")
VARY = ("vary", "authorization, accept")
DESCRIPTION = (
    "With a key of the scope query. A parameter that takes several values comes once for each. As CSV, a "
    "text that a spreadsheet would run begins with an apostrophe."
)
NOT_MODIFIED = {"description": "The answer is still the one of If-None-Match."}


@dataclass(frozen=True, slots=True)
class Question:
    # A part in braces is a field of the request.
    path: str
    method: str
    summary: str


QUESTIONS = (
    Question("/v1/scores", "GetScores", "Scores per group, exact as of a position or a time"),
    Question("/v1/series", "GetSeries", "Scores per day, week or month"),
    Question(
        "/v1/journeys/{customer}",
        "GetJourney",
        "Everything that is known of one customer, in the order in which it occurred",
    ),
    Question("/v1/lineage", "GetLineage", "The events behind scores"),
    Question("/v1/bridge", "GetBridge", "Why a score is another one than it was"),
    Question("/v1/experience", "ListFigures", "What is told of customers' experience"),
    Question(
        "/v1/experience/{figure}/events", "GetFigureEvents", "The events behind rows of a figure"
    ),
    Question("/v1/experience/{figure}", "GetFigure", "The rows of one figure"),
    Question("/v1/status", "GetStatus", "How far the read models are behind the journal"),
    Question(
        "/v1/alert-rules", "ListAlertRules", "The rules of alerts, with how often each is wrong"
    ),
    Question("/v1/alerts", "ListAlerts", "Alerts in the order of their numbers"),
    Question(
        "/v1/alert-deliveries", "ListAlertDeliveries", "What became of the posts to a webhook"
    ),
)
# Of these the number of the last row, rather than a token, says where the next page begins: the list, and the
# parameter.
BY_NUMBER = {
    "ListAlertsResponse": ("alerts", "after_number"),
    "ListAlertDeliveriesResponse": ("deliveries", "before_number"),
}
# As the proto says.
NUMBERED_OF_A_PAGE = 100


class HttpScores:
    def __init__(
        self, access: Access, limits: Limits, forwarding: Forwarding, scoring: grpc.aio.Channel
    ) -> None:
        self._access = access
        self._limits = limits
        self._forwarding = forwarding
        self._scoring = scoring
        # Large answers are written one after the other, beside the event loop.
        self._large = asyncio.Lock()

    def routes(self) -> list[Route]:
        return [self._route(question) for question in QUESTIONS]

    def _route(self, question: Question) -> Route:
        method: MethodDescriptor = METHODS[question.method]
        ask = self._forwarding.asking(method, self._scoring)
        parameters = dict(_parameters(method.input_type))

        async def answer(request: Request) -> Response:
            return await self._answer(request, method, ask, parameters)

        return Route("GET", question.path, answer, operation(question))

    async def _answer(
        self,
        request: Request,
        method: MethodDescriptor,
        ask: Ask,
        parameters: dict[str, "Parameter"],
    ) -> Response:
        request_class, _ = classes_of(method)
        shown = request.headers.get("authorization") or ""
        caller = await self._access.admit_bearer(shown, QUERY)
        pairs = request.query_pairs
        form = _form(request, [value for name, value in pairs if name == FORMAT])
        asked: Message = request_class()
        _fill(asked, parameters, request.variables, [each for each in pairs if each[0] != FORMAT])
        with self._limits.question(caller):
            answer = await ask(caller, asked, None)
            names = getattr(asked, "names", ())
            if answer.ByteSize() <= AT_ONCE_BYTES_MAX:
                body = _written(answer, form, names)
            else:
                async with self._large:
                    body = await asyncio.to_thread(_written, answer, form, names)
        headers = [CACHE, VARY, *_next(request.path, pairs, asked, answer), JSON]
        if form == "csv":
            name = re.sub("^(Get|List)", "", method.name).lower()
            headers[-1:] = [
                CSV,
                ("content-disposition", f'attachment; filename="{name}.csv"'),
            ]
        return _unless_known(request, Response(200, body, headers))


def _written(answer: Message, form: str, names: Sequence[str]) -> bytes:
    if form == "csv":
        keys: Sequence[str] = ()
        if isinstance(answer, GetFigureResponse):
            # As the figure has them: a bound after what it is a bound of.
            columns = answer.figure.columns
            keys = [each.name for each in columns if each.key]
            names = [each.name for each in columns if not each.key]
        return csv_table(answer, names, keys).encode()
    # Sorted, since maps have no order: the same answer is the same bytes.
    return json.dumps(as_dict(answer), sort_keys=True, ensure_ascii=False).encode()


def as_dict(answer: Message) -> dict[str, Any]:
    """Protobuf JSON; what is 0 or empty is told, since a lag of 0 is an answer."""
    return MessageToDict(answer, always_print_fields_with_no_presence=True)


@dataclass(frozen=True, slots=True)
class Parameter:
    # Its name is the path with dots.
    path: tuple[str, ...]
    field: FieldDescriptor
    description: str

    def value(self, text: str) -> Any:
        """As protobuf JSON has it; what is no value of the field stays what it is, and is refused there."""
        enum, name = self.field.enum_type, text.upper()
        if enum is not None:
            return name if name in enum.values_by_name else prefix_of(enum) + name
        if self.field.type == FieldDescriptor.TYPE_BOOL:
            return {"true": True, "false": False}.get(text, text)
        return text

    def told(self) -> dict[str, Any]:
        """As OpenAPI has it."""
        field = self.field
        if field.enum_type is not None:
            names = [short_name(field.enum_type, each.number) for each in field.enum_type.values]
            schema: dict[str, Any] = {"type": "string", "enum": names[1:]}
        elif field.message_type is not None:
            schema = dict(WELL_KNOWN[field.message_type.full_name])
        else:
            schema = dict(SCALARS[field.type])
        if field.is_repeated:
            schema = {"type": "array", "items": schema}
        return {
            "name": ".".join(self.path),
            "in": "query",
            "description": self.description,
            "schema": schema,
        }


def _parameters(
    descriptor: Descriptor, at: tuple[str, ...] = ()
) -> Iterator[tuple[str, Parameter]]:
    """The fields that a query can name; those of a message in it with a dot between."""
    for field in descriptor.fields:
        path = (*at, field.name)
        kind = field.message_type
        if kind is not None and kind.full_name not in WELL_KNOWN:
            assert not field.is_repeated, "no query can name it"
            yield from _parameters(kind, path)
        else:
            said = SAID[f"{descriptor.name}.{field.name}"]
            yield ".".join(path), Parameter(path, field, said)


def _fill(
    asked: Message,
    parameters: dict[str, Parameter],
    variables: Any,
    pairs: Sequence[tuple[str, str]],
) -> None:
    document: dict[str, Any] = dict(variables)
    known = [name for name in parameters if name not in variables]
    for name, text in pairs:
        if name not in known:
            raise Malformed(
                f"of {', '.join([*known, FORMAT])}",
                code="UNKNOWN_FIELD",
                field="query",
                got="a parameter of another name",
            )
        parameter, inner = parameters[name], document
        for each in parameter.path[:-1]:
            inner = inner.setdefault(each, {})
        last, value = parameter.path[-1], parameter.value(text)
        if parameter.field.is_repeated:
            inner.setdefault(last, []).append(value)
        elif last in inner:
            raise Malformed("this parameter once", code="DUPLICATE_KEY", field=name, got="it twice")
        else:
            inner[last] = value
    try:
        event_json.fill(asked, document)
    except event_json.EventJsonError as error:
        told = error.problem
        raise Malformed(told.want, code=told.code, field=told.field, got=told.got) from None


def _form(request: Request, said: Sequence[str]) -> str:
    if said:
        if len(said) > 1 or said[0] not in FORMATS:
            raise Malformed(" or ".join(FORMATS), code="INVALID_NAME", field=FORMAT, got="another")
        return said[0]
    accepted = dict(_accepted(request.headers.get("accept") or ""))
    csv = max(accepted.get("text/csv", 0.0), accepted.get("text/*", 0.0))
    others = max(accepted.get(kind, 0.0) for kind in ("application/json", "application/*", "*/*"))
    return "csv" if csv > others else "json"


def _accepted(header: str) -> Iterator[tuple[str, float]]:
    """The media types of the header Accept, each with its weight."""
    for part in header.split(","):
        kind, *settings = (each.strip().lower() for each in part.split(";"))
        weight = next((each[2:] for each in settings if each.startswith("q=")), "1")
        try:
            yield kind, float(weight)
        except ValueError:
            yield kind, 0.0


def _next(
    path: str, pairs: Sequence[tuple[str, str]], asked: Any, answer: Message
) -> Iterator[tuple[str, str]]:
    """RFC 8288: where the next page is."""
    name, begins = "page_token", getattr(answer, "next_page_token", "")
    if answer.DESCRIPTOR.name in BY_NUMBER:
        rows, name = BY_NUMBER[answer.DESCRIPTOR.name]
        told = getattr(answer, rows)
        if len(told) >= (asked.page_size or NUMBERED_OF_A_PAGE):
            begins = str(told[-1].number)
    if begins:
        query = [each for each in pairs if each[0] != name]
        link = f"{quote(path)}?{urlencode([*query, (name, begins)])}"
        yield "link", f'<{link}>; rel="next"'


def _unless_known(request: Request, response: Response) -> Response:
    """The response, or 304 where the caller has it. Its tag is of what it says, the position included."""
    tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    known = [each.strip() for each in (request.headers.get("if-none-match") or "").split(",")]
    response.headers.append(("etag", tag))
    if "*" in known or tag in [each.removeprefix("W/") for each in known]:
        response.status, response.body = 304, b""
        response.headers = [
            (name, value) for name, value in response.headers if not name.startswith("content-")
        ]
    return response


def operation(question: Question) -> dict[str, Any]:
    method: MethodDescriptor = METHODS[question.method]
    in_path = {part[1:-1] for part in question.path.split("/") if part.startswith("{")}
    parameters = []
    for name, parameter in _parameters(method.input_type):
        told = parameter.told()
        if name in in_path:
            told |= {"in": "path", "required": True}
        parameters.append(told)
    answer = {"$ref": f"#/components/schemas/{method.output_type.name}"}
    return {
        "summary": question.summary,
        "description": DESCRIPTION,
        "parameters": [*parameters, FORMAT_PARAMETER],
        "responses": {
            "200": {
                "description": "The answer; a header Link says where the next page is.",
                "content": {
                    "application/json": {"schema": answer},
                    "text/csv": {"schema": {"type": "string"}},
                },
            },
            "304": NOT_MODIFIED,
        },
    }
