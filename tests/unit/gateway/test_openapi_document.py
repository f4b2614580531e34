"""The document says what the gateway does: every route, every field with its words, every code."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from services.gateway import docs
from services.gateway.docs import HttpDocs, page
from services.gateway.http import Request, Response, Route
from services.gateway.http_scores import QUESTIONS, as_dict, operation
from services.gateway.openapi import document
from services.gateway.problem_codes import CODES
from tests.acceptance.verdicts import JSON, RECORDED, rows
from touchledger.v1 import events_pb2, scoring_pb2

ROOT = Path(__file__).parent.parent.parent.parent


async def nothing(request: Request) -> Response:
    return Response(204)


ROUTES = [
    Route("GET", "/things/{thing}", nothing, {"summary": "A <thing> & more", "security": []}),
    Route("POST", "/things", nothing, {"summary": "Another"}),
    *(Route("GET", question.path, nothing, operation(question)) for question in QUESTIONS),
]
TOLD = document([*ROUTES, *HttpDocs(ROUTES).routes()])


def everything(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from everything(each)
    elif isinstance(value, list):
        for each in value:
            yield from everything(each)


def test_every_route_is_told_with_its_variables() -> None:
    questions = {question.path for question in QUESTIONS}
    others = {"/things/{thing}", "/things", "/docs", "/openapi.json"}
    assert others | questions == set(TOLD["paths"])
    [variable] = TOLD["paths"]["/things/{thing}"]["get"]["parameters"]
    assert ("thing", "path", True) == (variable["name"], variable["in"], variable["required"])


def test_whatever_is_referred_to_is_there() -> None:
    for each in everything(TOLD):
        if "$ref" in each:
            found: Any = TOLD
            for part in each["$ref"].removeprefix("#/").split("/"):
                found = found[part]


def test_every_parameter_of_a_question_has_its_words_and_its_answer_a_schema() -> None:
    for question in QUESTIONS:
        told = TOLD["paths"][question.path]["get"]
        assert all(each["description"] for each in told["parameters"])
        answer = told["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        assert f"{question.method}Response" == answer.rpartition("/")[2]
    scores = {each["name"]: each for each in TOLD["paths"]["/v1/scores"]["get"]["parameters"]}
    assert {"groups", "touchpoint_glob", "as_of_position.number", "format"} <= set(scores)
    assert "service_mode" in scores["groups"]["schema"]["items"]["enum"]
    journey = TOLD["paths"]["/v1/journeys/{customer}"]["get"]["parameters"]
    assert [("customer", "path", True)] == [
        (each["name"], each["in"], each["required"]) for each in journey if each["in"] == "path"
    ]


def test_what_an_answer_says_fits_its_schema() -> None:
    answer = scoring_pb2.GetScoresResponse(formula_version="csat/1 " * 40)
    answer.scores.add(
        group="a", counts={"asked": 3}, scores={"csat_mean": 4.5}, sums={"csat_sum": "9"}
    )
    answer.freshness.recorded_at.FromSeconds(1)
    schema = {"$ref": "#/components/schemas/GetScoresResponse"}
    validator = jsonschema_rs.Draft202012Validator(TOLD | schema)
    validator.validate(as_dict(answer))
    assert not validator.is_valid({"scores": [{"counts": {"asked": "many"}}]})


def test_every_field_that_a_source_may_set_has_its_words() -> None:
    schema = TOLD["components"]["schemas"]["Event"]
    named = {each.json_name for each in events_pb2.Event.DESCRIPTOR.fields}
    assert named - {"sealedPersonal", "intake"} == set(schema["properties"])
    for each in TOLD["components"]["schemas"].values():
        assert each["description"]


# Protobuf JSON has more than one form of these; the document tells one.
OTHER_FORMS = {"names of the protos", "null for what is not set", "a whole number as text"}
RECORDED_ROWS = {
    row.name: row.given
    for row in rows()
    if row.disposition == RECORDED and JSON in row.ways and row.name not in OTHER_FORMS
}


@pytest.mark.parametrize("name", RECORDED_ROWS)
def test_what_is_recorded_fits_the_schema(name: str) -> None:
    validator = jsonschema_rs.Draft202012Validator(TOLD | {"$ref": "#/components/schemas/Event"})
    validator.validate(RECORDED_ROWS[name])


# Refused by a rule that a schema can say: a source that validates before it sends is told the same.
SAID_BY_SCHEMA = {
    *("MISSING", "TOO_LONG", "TOO_MANY", "BAD_NAME", "BAD_DECIMAL", "BAD_CURRENCY", "BAD_GLN"),
    *("UNKNOWN_FIELD", "WRONG_TYPE", "INVALID_NAME", "SET_BY_SERVER"),
}


def test_most_of_what_is_refused_does_not_fit_the_schema() -> None:
    refused = [
        row.given
        for row in rows()
        if row.code in SAID_BY_SCHEMA and JSON in row.ways and isinstance(row.given, dict)
    ]
    validator = jsonschema_rs.Draft202012Validator(TOLD | {"$ref": "#/components/schemas/Event"})
    caught = sum(not validator.is_valid(each) for each in refused)
    assert caught > 0.8 * len(refused)


CODE = re.compile(
    r'(?:code=|problem\(\s*|_fail\(\s*|EventJsonError\(\s*|Unreadable\(\s*)"([A-Z_]+)"'
)


def test_every_code_that_the_gateway_says_is_explained() -> None:
    sources = [
        *(ROOT / "services" / "gateway").rglob("*.py"),
        ROOT / "protos" / "touchledger" / "event_json.py",
    ]
    said = {code for each in sources for code in CODE.findall(each.read_text())}
    assert len(said) > 40
    assert set() == said - set(CODES)


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert value is not None
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src", "action"):
                self.links.append(value)
            assert not name.startswith("on")


def test_the_page_stands_alone() -> None:
    found = Links()
    found.feed(page(TOLD))
    assert not found.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert len(found.ids) == len(set(found.ids))
    for link in found.links:
        assert link == "/openapi.json" or link.removeprefix("#") in found.ids, link
    assert set(CODES) <= set(found.ids)
    assert "A &lt;thing&gt; &amp; more" in page(TOLD)


def test_the_page_s_policy_lets_its_own_style_in_and_nothing_else() -> None:
    assert docs.CONTENT_SECURITY.startswith("default-src 'none'; style-src 'sha256-")
    assert 1 == page(TOLD).count("<style>")
    assert "style=" not in page(TOLD)
