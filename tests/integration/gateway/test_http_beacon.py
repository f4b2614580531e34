"""POST /v1/beacon: a key that stands in a web page opens nothing but this, from its own origins alone."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing

import grpc
import pytest

from tests.conftest import SERVICES
from tests.integration.gateway.test_http_events import bad_answer, new_event, new_key, post, stored
from tests.support.stack import Stack, running_stack
from touchledger.v1 import events_pb2, ingest_pb2, ingest_pb2_grpc

SHOP, OTHER = "https://shop.example", "https://other.example"


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    urls = {name: new_database(name) for name in SERVICES}
    with running_stack(tmp_path_factory.mktemp("stack"), urls) as running:
        yield running


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    return new_key(
        stack, source="web", scopes=["beacon"], origins=[SHOP, "https://www.shop.example"]
    )


def send(
    stack: Stack, key: str, body: object, *, method: str = "POST", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    host, _, port = stack.http_address.partition(":")
    given = {"content-type": "text/plain;charset=UTF-8", "origin": SHOP} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    sent = body if isinstance(body, (bytes, str)) else json.dumps(body)
    with closing(http.client.HTTPConnection(host, int(port), timeout=15)) as connection:
        connection.request(
            method,
            f"/v1/beacon?key={key}",
            sent if method == "POST" else None,
            {name: value for name, value in given.items() if value},
        )
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, answer.read(), names


def test_a_beacon_of_an_own_origin_is_recorded_and_told_nothing(stack: Stack, key: str) -> None:
    given = [new_event(), new_event()]
    for body in (given, given[0]):
        status, told, headers = send(stack, key, body)
        assert (204, b"") == (status, told)
        assert (SHOP, "true") == (
            headers["access-control-allow-origin"],
            headers["access-control-allow-credentials"],
        )
    [(source, state)] = stored(stack, given[0]["eventId"], "source, state")
    event = events_pb2.Event.FromString(state)
    assert ("web", events_pb2.TRUST_OPEN) == (source, event.intake.trust)


@pytest.mark.parametrize("origin", [OTHER, "", "null", "https://shop.example.evil", SHOP.upper()])
def test_a_beacon_of_another_origin_is_refused(stack: Stack, key: str, origin: str) -> None:
    given = new_event()
    status, told, headers = send(stack, key, given, origin=origin)
    assert (403, "ORIGIN_NOT_ALLOWED") == (status, json.loads(told)["code"])
    assert "access-control-allow-origin" not in headers
    assert [] == stored(stack, given["eventId"])


def test_a_browser_that_asks_first_is_answered(stack: Stack, key: str) -> None:
    asked = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "content-type",
    }
    status, told, headers = send(stack, key, "", method="OPTIONS", **asked)
    assert (204, b"", SHOP) == (status, told, headers["access-control-allow-origin"])
    assert "content-type" in headers["access-control-allow-headers"]
    assert ("POST", "origin") == (headers["access-control-allow-methods"], headers["vary"])
    status, _, headers = send(stack, key, "", method="OPTIONS", origin=OTHER, **asked)
    assert (403, True) == (status, "access-control-allow-origin" not in headers)


def test_an_event_that_was_not_recorded_is_told_as_such_and_no_more(stack: Stack, key: str) -> None:
    for bad in (bad_answer(), new_event(nonsense=1)):
        status, told, _ = send(stack, key, [new_event(), bad])
        assert (202, b"") == (status, told)


def test_a_beacon_is_no_larger_than_browsers_let_it_be(stack: Stack, key: str) -> None:
    fits = new_event(personal={"comment": "x" * 1000})
    body = json.dumps([fits])
    assert 204 == send(stack, key, body + " " * (65_536 - len(body)))[0]
    status, told, headers = send(stack, key, " " * 65_537)
    assert (413, "TOO_LARGE") == (status, json.loads(told)["code"])
    # The page may read why.
    assert SHOP == headers["access-control-allow-origin"]


def test_other_types_and_bodies_are_refused(stack: Stack, key: str) -> None:
    assert 415 == send(stack, key, new_event(), content_type="application/xml")[0]
    assert 400 == send(stack, key, "{")[0]
    assert 204 == send(stack, key, new_event(), content_type="application/json")[0]


def test_a_beacon_key_opens_nothing_else(stack: Stack, key: str) -> None:
    for path in ("/v1/events", "/v1/cloudevents"):
        assert 403 == post(stack, new_event(), path=path, key=key)[0]
    with grpc.insecure_channel(stack.gateway.address) as channel:
        call = ingest_pb2_grpc.IngestServiceStub(channel).Publish.future(
            ingest_pb2.PublishRequest(),
            metadata=(("authorization", f"Bearer {key}"),),
            timeout=15,
        )
        assert grpc.StatusCode.PERMISSION_DENIED is call.code()


def test_another_key_sends_no_beacons(stack: Stack) -> None:
    assert 403 == send(stack, stack.key, new_event())[0]
    for wrong in ("", "nonsense", "tl_aaaaaaaaaaaa_" + "A" * 43):
        assert 401 == send(stack, wrong, new_event())[0]
