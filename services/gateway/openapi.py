"""The OpenAPI 3.1 document of the HTTP port: paths from the routes, schemas from the protos.

Lengths, patterns and counts are those that checks.py holds events to.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from services.gateway import checks
from services.gateway.http import Route
from services.gateway.proto_comments import comments
from touchledger.v1 import alerts_pb2, events_pb2, experience_pb2, ingest_pb2, scoring_pb2

VERSION = "1"
# What is set by the gateway has no place in what is sent.
NOT_SENT = frozenset({"sealed_personal", "intake"})
REQUIRED = {
    "Event": ("eventId", "occurredAt"),
    "EventReference": ("eventId",),
    "Money": ("amount", "currency"),
    "Signal": ("metric", "value", "scaleMin", "scaleMax", "direction"),
    "FeedbackSuppressed": ("reason",),
    "PublicPost": ("platform",),
    "Goodwill": ("kind",),
    "Recognition": ("givenBy",),
    "Assessment": ("assessor",),
    "ReasonStated": ("issueCode", "reasonCode"),
    "Insight": ("insightId", "step"),
    "AdviceOption": ("item",),
    "Advice": ("options",),
    "ProductFollowUp": ("item",),
    "PublicPostRemoved": ("platform", "postId"),
    "ServiceClaim": ("claimed",),
    "FrontLine": ("step",),
    "Identity": ("sameAs", "relation"),
    "Scenario": ("name", "lossPercent"),
}
# 0 to 100.
PERCENT = re.compile(r"0*(?:100(?:\.0{1,6})?|[0-9]{1,2}(?:\.[0-9]{1,6})?)")
ONE_OF = {"Event": "body", "Correction": "body", "Expectation": "expected"}
PATTERNS = {
    "Event.touchpoint": checks.TOUCHPOINT,
    "Place.gln": checks.GLN,
    "Place.business_date": checks.DAY,
    "Money.amount": checks.DECIMAL,
    "Money.currency": checks.CURRENCY,
    "Signal.value": checks.DECIMAL,
    "Signal.scale_min": checks.DECIMAL,
    "Signal.scale_max": checks.DECIMAL,
    **{
        f"Scenario.{name}_percent": PERCENT for name in ("loss", "competitor", "margin", "discount")
    },
}
ITEMS_MAX = {
    "FeedbackReceived.signals": checks.SIGNALS_MAX,
    "Assessment.signals": checks.SIGNALS_MAX,
    "Advice.options": checks.OPTIONS_MAX,
}
WELL_KNOWN: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?s$"},
}
SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    # As protobuf JSON writes them, since JavaScript's numbers end before.
    FieldDescriptor.TYPE_UINT64: {"type": "string", "pattern": "^[0-9]{1,20}$"},
    FieldDescriptor.TYPE_INT64: {"type": "string", "pattern": "^-?[0-9]{1,19}$"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number"},
}
PROBLEM_DETAILS = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "instance", "code", "want"],
    "properties": {
        "type": {"type": "string", "description": "Leads to what the code means."},
        "title": {"type": "string", "description": "The code."},
        "status": {"type": "integer", "description": "The status of the answer."},
        "detail": {"type": "string", "description": "What is wrong, in one sentence."},
        "instance": {"type": "string", "description": "The path that was asked."},
        "code": {"type": "string", "description": "What kind of problem, a stable word."},
        "field": {"type": "string", "description": "Which field."},
        "got": {"type": "string", "description": "What came."},
        "want": {"type": "string", "description": "What is wanted."},
        "retry_after": {
            "type": "integer",
            "description": "Seconds to wait before the same request may succeed. Absent where it can't.",
        },
        "results": {
            "type": "array",
            "description": "What became of a single event.",
            "items": {"$ref": "#/components/schemas/PublishResult"},
        },
    },
}
CLOUD_EVENT = {
    "type": "object",
    "description": "A CloudEvent 1.0 with an Event as its data.",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": checks.CHARACTERS_MAX},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string"},
        "data": {"$ref": "#/components/schemas/EventOfCloudEvent"},
        "data_base64": {"type": "string", "contentEncoding": "base64"},
    },
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    said = comments("events.proto") | comments("ingest.proto") | comments("journal.proto")
    said |= comments("problem.proto") | comments("scoring.proto") | comments("alerts.proto")
    said |= comments("experience.proto")
    schemas: dict[str, Any] = {}
    _add(schemas, events_pb2.DESCRIPTOR.message_types_by_name["Event"], said)
    for name in ("PublishBatchResponse", "GetOutcomesResponse"):
        _add(schemas, ingest_pb2.DESCRIPTOR.message_types_by_name[name], said)
    for service in (
        scoring_pb2.DESCRIPTOR.services_by_name["ScoringService"],
        experience_pb2.DESCRIPTOR.services_by_name["ExperienceService"],
    ):
        for method in service.methods:
            _add(schemas, method.output_type, said, of_answer=True)
    for name in ("ListAlertRulesResponse", "ListAlertsResponse", "ListAlertDeliveriesResponse"):
        listed = alerts_pb2.DESCRIPTOR.message_types_by_name[name]
        _add(schemas, listed, said, of_answer=True)
    # What the envelope of a CloudEvent says need not be said again.
    in_cloud_event = {name: each for name, each in schemas["Event"].items() if name != "required"}
    schemas |= {
        "EventOfCloudEvent": in_cloud_event,
        "CloudEvent": CLOUD_EVENT,
        "ProblemDetails": PROBLEM_DETAILS,
    }
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Touchledger gateway",
            "version": VERSION,
            "description": "What POS, call-center and web systems publish customer interactions to, and "
            "where scores are asked for. The same rules, verdicts and answers as over gRPC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {
                "Problem": {
                    "description": "Refused; the document says why.",
                    "headers": {
                        "Retry-After": {
                            "description": "Seconds to wait, where the same request may succeed later.",
                            "schema": {"type": "integer"},
                        }
                    },
                    "content": {
                        "application/problem+json": {
                            "schema": {"$ref": "#/components/schemas/ProblemDetails"}
                        }
                    },
                }
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, as touchledger key create prints it.",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation = dict(route.operation)
    operation.setdefault("operationId", _operation_id(route))
    variables = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    given = operation.get("parameters", [])
    assert isinstance(given, list)
    told = {each["name"] for each in given if each["in"] == "path"}
    operation["parameters"] = [each for each in variables if each["name"] not in told] + given
    responses = operation.get("responses", {})
    assert isinstance(responses, Mapping)
    operation["responses"] = {**responses, "default": {"$ref": "#/components/responses/Problem"}}
    return operation


def _operation_id(route: Route) -> str:
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)])


def _add(
    schemas: dict[str, Any],
    descriptor: Descriptor,
    said: Mapping[str, str],
    *,
    of_answer: bool = False,
) -> None:
    """The schema of the message, and of all that it holds.

    of_answer: a message that is never sent here, so that it has no limits and may get more fields.
    """
    if descriptor.name in schemas:
        return
    schema: dict[str, Any] = {"type": "object", "description": said[descriptor.name]}
    if not of_answer:
        schema["additionalProperties"] = False
    schema["properties"] = {}
    # Before its fields, since one may be of its own kind.
    schemas[descriptor.name] = schema
    fields = [each for each in descriptor.fields if each.name not in NOT_SENT]
    for field in fields:
        told = _field(schemas, descriptor, field, said, of_answer=of_answer)
        schema["properties"][field.json_name] = told | {
            "description": said[f"{descriptor.name}.{field.name}"]
        }
    if descriptor.name in REQUIRED:
        schema["required"] = list(REQUIRED[descriptor.name])
    if descriptor.name in ONE_OF:
        choice = descriptor.oneofs_by_name[ONE_OF[descriptor.name]]
        schema["oneOf"] = [{"required": [each.json_name]} for each in choice.fields]


def _field(
    schemas: dict[str, Any],
    of: Descriptor,
    field: FieldDescriptor,
    said: Mapping[str, str],
    *,
    of_answer: bool,
) -> dict[str, Any]:
    name = f"{of.name}.{field.name}"
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry and of_answer:
        return {
            "type": "object",
            "additionalProperties": SCALARS[kind.fields_by_name["value"].type],
        }
    if kind is not None and kind.GetOptions().map_entry:
        longest = checks.MAP_VALUE_CHARACTERS_MAX.get(name, checks.CHARACTERS_MAX)
        return {
            "type": "object",
            "maxProperties": checks.ENTRIES_MAX,
            "propertyNames": {"minLength": 1, "maxLength": checks.MAP_KEY_CHARACTERS_MAX},
            "additionalProperties": {"type": "string", "maxLength": longest},
        }
    if kind is not None and kind.full_name in WELL_KNOWN:
        one = dict(WELL_KNOWN[kind.full_name])
    elif kind is not None:
        _add(schemas, kind, said, of_answer=of_answer)
        one = {"$ref": f"#/components/schemas/{kind.name}"}
    elif field.enum_type is not None:
        one = _enum(field.enum_type, said)
    else:
        one = dict(SCALARS[field.type])
        if field.type == FieldDescriptor.TYPE_STRING and not of_answer:
            one["maxLength"] = checks.LONGER.get(name, checks.CHARACTERS_MAX)
        if name in PATTERNS:
            one["pattern"] = f"^(?:{PATTERNS[name].pattern})$"
    if not field.is_repeated:
        return one
    return {"type": "array", "items": one} | (
        {"maxItems": ITEMS_MAX[name]} if name in ITEMS_MAX else {}
    )


def _enum(enum: EnumDescriptor, said: Mapping[str, str]) -> dict[str, Any]:
    names: Iterable[str] = (each.name for each in enum.values)
    return {"type": "string", "title": enum.name, "enum": list(names)}
