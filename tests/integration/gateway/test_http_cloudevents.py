"""POST /v1/cloudevents through to the journal, in its three modes."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import SERVICES
from tests.integration.gateway.test_http_events import new_event, post, stored
from tests.support.events import event
from tests.support.stack import Stack, running_stack
from touchledger.v1.events_pb2 import Event

PATH = "/v1/cloudevents"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    urls = {name: new_database(name) for name in SERVICES}
    with running_stack(tmp_path_factory.mktemp("stack"), urls) as running:
        yield running


def cloud_event(data: object, /, **attributes: Any) -> dict[str, Any]:
    """Structured; None takes an attribute out."""
    given = {
        "specversion": "1.0",
        "id": data["eventId"]
        if isinstance(data, dict) and "eventId" in data
        else str(uuid.uuid4()),
        "source": "/tills/3",
        "type": "touchledger.event.v1",
        "data": data,
    } | attributes
    return {name: value for name, value in given.items() if value is not None}


def of(stack: Stack, event_id: str) -> Event:
    [(state,)] = stored(stack, event_id, "state")
    return Event.FromString(state)


def test_a_structured_event_is_recorded(stack: Stack) -> None:
    given = new_event()
    status, told, _ = post(stack, cloud_event(given), path=PATH, content_type=STRUCTURED)
    assert (200, "DISPOSITION_RECORDED") == (status, told["results"][0]["disposition"])
    # Whose source it is, the key says; what the envelope says of it is kept.
    assert [("local",)] == stored(stack, given["eventId"], "source")
    assert "/tills/3" == of(stack, given["eventId"]).attributes["cloudevents.source"]


def test_a_batch_is_told_event_by_event(stack: Stack) -> None:
    given = [
        cloud_event(new_event()),
        cloud_event(new_event(), source=None),
        cloud_event(new_event()),
    ]
    status, told, _ = post(stack, given, path=PATH, content_type=BATCH)
    assert (200, ["RECORDED", "REJECTED", "RECORDED"]) == (
        status,
        [each["disposition"].removeprefix("DISPOSITION_") for each in told["results"]],
    )
    assert ("BAD_CLOUDEVENT", "source") == (
        told["results"][1]["problem"]["code"],
        told["results"][1]["problem"]["field"],
    )


@pytest.mark.parametrize("kind", ["application/json", "", "2026-03-05T04:05:06Z"])
def test_a_binary_event_is_recorded(stack: Stack, kind: str) -> None:
    event_id = f"till 3 – {uuid.uuid4()}"
    given = {name: value for name, value in new_event().items() if name != "eventId"}
    status, told, _ = post(
        stack,
        given,
        path=PATH,
        content_type=kind,
        ce_specversion="1.0",
        ce_id=event_id.replace(" ", "%20").replace("–", "%E2%80%93"),
        ce_source="/tills/3",
        ce_type="touchledger.interaction.v1",
    )
    assert (200, "DISPOSITION_RECORDED") == (status, told["results"][0]["disposition"])
    assert event_id == of(stack, event_id).event_id


def test_data_may_be_protobuf(stack: Stack) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    status, _, _ = post(
        stack,
        event(event_id=ids[0]).SerializeToString(),
        path=PATH,
        content_type="application/protobuf",
        ce_specversion="1.0",
        ce_id=ids[0],
        ce_source="a",
        ce_type="touchledger.event.v1",
    )
    assert 200 == status
    raw = base64.b64encode(event(event_id="").SerializeToString()).decode()
    structured = cloud_event(
        None, id=ids[1], data_base64=raw, datacontenttype="application/protobuf"
    )
    assert 200 == post(stack, structured, path=PATH, content_type=STRUCTURED)[0]
    assert ids == [of(stack, each).event_id for each in ids]


def test_what_the_data_leaves_out_the_envelope_says(stack: Stack) -> None:
    event_id = str(uuid.uuid4())
    given = {"touchpoint": "web.shop", "interaction": {}}
    said = cloud_event(given, id=event_id, time="2026-08-03T12:00:00+02:00")
    assert 200 == post(stack, said, path=PATH, content_type=STRUCTURED)[0]
    recorded = of(stack, event_id)
    assert (event_id, "2026-08-03T10:00:00Z") == (
        recorded.event_id,
        recorded.occurred_at.ToJsonString(),
    )


def test_the_data_s_own_time_counts(stack: Stack) -> None:
    given = new_event()
    said = cloud_event(given, time="2020-01-01T00:00:00Z")
    assert 200 == post(stack, said, path=PATH, content_type=STRUCTURED)[0]
    assert given["occurredAt"] == of(stack, given["eventId"]).occurred_at.ToJsonString()


@pytest.mark.parametrize(
    ("attributes", "code", "field"),
    [
        ({"id": None}, "BAD_CLOUDEVENT", "id"),
        ({"id": ""}, "BAD_CLOUDEVENT", "id"),
        ({"id": 7}, "BAD_CLOUDEVENT", "id"),
        ({"id": "another"}, "BAD_CLOUDEVENT", "id"),
        ({"source": None}, "BAD_CLOUDEVENT", "source"),
        ({"type": None}, "BAD_CLOUDEVENT", "type"),
        ({"specversion": None}, "BAD_CLOUDEVENT", "specversion"),
        ({"specversion": "0.3"}, "BAD_CLOUDEVENT", "specversion"),
        ({"type": "com.example.order"}, "UNKNOWN_TYPE", "type"),
        ({"type": "touchledger.goodwill.v1"}, "BAD_CLOUDEVENT", "type"),
        ({"data": None}, "BAD_CLOUDEVENT", "data"),
        ({"data_base64": "e30="}, "BAD_CLOUDEVENT", "data"),
        ({"data": None, "data_base64": "?"}, "INVALID_TEXT", "data_base64"),
        ({"data": None, "data_base64": "/w=="}, "MALFORMED_JSON", ""),
        (
            {"data": None, "data_base64": "/w==", "datacontenttype": "application/protobuf"},
            "MALFORMED_PROTOBUF",
            "data",
        ),
        ({"source": "a\0b"}, "NUL", "attributes[cloudevents.source]"),
    ],
)
def test_an_envelope_that_is_wrong_is_rejected(
    stack: Stack, attributes: dict[str, Any], code: str, field: str
) -> None:
    said = cloud_event(new_event(), **attributes)
    status, told, _ = post(stack, said, path=PATH, content_type=STRUCTURED)
    assert (422, code, field) == (status, told["code"], told["field"])


def test_attributes_that_nobody_knows_are_left_out(stack: Stack) -> None:
    said = cloud_event(
        new_event(),
        subject="order 7",
        partitionkey="7",
        datacontenttype="2026-03-05T04:05:06Z",
        dataschema="about:blank",
    )
    assert 200 == post(stack, said, path=PATH, content_type=STRUCTURED)[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "application/json"},
        {"content_type": ""},
        {"content_type": "text/xml", "ce_specversion": "1.0"},
        {"content_type": "application/cloudevents+protobuf"},
    ],
)
def test_what_is_no_cloudevent_is_refused(stack: Stack, headers: dict[str, str]) -> None:
    status, told, _ = post(stack, new_event(), path=PATH, **headers)
    assert (415, "UNSUPPORTED_MEDIA_TYPE") == (status, told["code"])


def test_an_event_in_an_envelope_is_quarantined_with_what_the_envelope_says(stack: Stack) -> None:
    said = cloud_event({"occurredAt": "yesterday", "touchpoint": "web.shop"}, id="in quarantine")
    status, told, _ = post(stack, json.dumps(said), path=PATH, content_type=STRUCTURED)
    [result] = told["results"]
    assert (202, "INVALID_TIME") == (status, result["problem"]["code"])
    assert result["quarantineId"]


def ways(
    given: dict[str, Any], event_id: str, **attributes: str
) -> dict[str, tuple[Any, dict[str, str]]]:
    """One event in each mode: body and headers."""
    data = json.dumps(given).encode()
    headers = {"specversion": "1.0", "id": event_id, "source": "a", "type": "touchledger.event.v1"}
    binary = {f"ce_{name}": value for name, value in (headers | attributes).items()}
    structured = cloud_event(given, id=event_id, **attributes)
    encoded = cloud_event(
        None, id=event_id, data_base64=base64.b64encode(data).decode(), **attributes
    )
    return {
        "structured": (structured, {"content_type": STRUCTURED}),
        "data_base64": (encoded, {"content_type": STRUCTURED}),
        "binary": (data, {"content_type": "application/json"} | binary),
        "batch": ([structured], {"content_type": BATCH}),
        "batch of data_base64": ([encoded], {"content_type": BATCH}),
    }


@pytest.mark.parametrize(
    ("odd", "attributes", "disposition", "code"),
    [
        ({"feedbackReceived": {"channel": "CHANEL_STOR"}}, {}, "QUARANTINED", "INVALID_NAME"),
        ({"interaction": {}}, {"time": "nonsense"}, "QUARANTINED", "INVALID_TIME"),
        ({"interaction": {}, "occurredAt": 7}, {}, "QUARANTINED", "WRONG_TYPE"),
        ({"interaction": {}, "touchpoint": ""}, {}, "QUARANTINED", "MISSING"),
        ({"interaction": {}, "nonsense": 1}, {}, "REJECTED", "UNKNOWN_FIELD"),
        ({"interaction": {}, "eventId": "another"}, {}, "REJECTED", "BAD_CLOUDEVENT"),
        ({"interaction": {}}, {"source": "a", "type": "x"}, "REJECTED", "UNKNOWN_TYPE"),
        ({"interaction": {}}, {}, "RECORDED", ""),
    ],
)
def test_a_verdict_is_the_same_in_every_mode(
    stack: Stack, odd: dict[str, Any], attributes: dict[str, str], disposition: str, code: str
) -> None:
    verdicts = {}
    for way in ways({}, ""):
        event_id = str(uuid.uuid4())
        given = {"touchpoint": "web.shop", "occurredAt": "2026-08-03T10:15:30Z"} | odd
        if "time" in attributes:
            del given["occurredAt"]
        body, headers = ways(given, event_id, **attributes)[way]
        _, told, _ = post(stack, body, path=PATH, **headers)
        [result] = told["results"]
        verdicts[way] = (
            result["disposition"].removeprefix("DISPOSITION_"),
            result.get("problem", {}).get("code", ""),
            bool(result.get("quarantineId")),
        )
    assert dict.fromkeys(verdicts, (disposition, code, disposition == "QUARANTINED")) == verdicts


def test_what_base64_hides_is_counted_too(stack: Stack) -> None:
    hidden = base64.b64encode(b'{"x":[' + b"{}," * 500 + b"{}]}").decode()
    given = [cloud_event(None, data_base64=hidden) for _ in range(400)]
    status, told, _ = post(stack, given, path=PATH, content_type=BATCH)
    assert (413, "TOO_LARGE", "body") == (status, told["code"], told["field"])
