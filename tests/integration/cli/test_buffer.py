"""`touchledger buffer` and HTTP, as somebody uses them on a running system with a buffer."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SERVICES
from tests.support.events import event
from tests.support.nats_server import nats_server
from tests.support.stack import Stack, running_stack
from tests.support.up import touchledger, wait_for
from touchledger import event_json

SECONDS_MAX = 20.0


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("buffered")
    with nats_server(folder / "nats") as nats:
        urls = {name: new_database(name) for name in SERVICES}
        environment = {f"TOUCHLEDGER_{each}_BUFFER": nats.url for each in ("TOUCHPOINT", "GATEWAY")}
        with running_stack(folder, urls, environment=environment) as running:
            yield running


def ask(stack: Stack, method: str, path: str, body: str = "") -> tuple[int, Any]:
    host, _, port = stack.http_address.partition(":")
    headers = {"content-type": "application/json", "authorization": f"Bearer {stack.key}"}
    with closing(http.client.HTTPConnection(host, int(port), timeout=SECONDS_MAX)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def run(stack: Stack, *arguments: str) -> tuple[int, str]:
    done = touchledger(*arguments, "--target", stack.gateway.address, TOUCHLEDGER_KEY=stack.key)
    return done.returncode, done.stdout + done.stderr


def test_a_post_that_is_queued_is_202_and_has_its_outcome_later(stack: Stack) -> None:
    status, told = ask(stack, "POST", "/v1/events", event_json.to_json(event(event_id="posted")))
    assert (status, told["results"]) == (202, [{"disposition": "DISPOSITION_QUEUED"}])

    def outcome() -> dict[str, Any]:
        status, told = ask(stack, "GET", "/v1/outcomes?event_id=posted")
        assert status == 200
        found: dict[str, Any] = told["outcomes"][0]
        return found

    wait_for(lambda: outcome()["result"]["disposition"] == "DISPOSITION_RECORDED", "recorded")
    assert outcome()["result"]["position"]["number"] == "1"
    status, told = ask(stack, "GET", "/v1/outcomes?event=posted")
    assert (status, told["code"]) == (400, "UNKNOWN_FIELD")


def test_status_says_who_records_and_reconcile_that_nothing_is_left(stack: Stack) -> None:
    code, told = run(stack, "buffer", "status")
    assert code == 0
    assert "Each is kept by 1 servers, of which 1 are up to date." in told
    assert "nobody" not in told
    code, told = run(stack, "buffer", "reconcile", "--json")
    assert (code, json.loads(told)["unrecorded"]) == (0, "0")


def test_gateways_queue_while_nobody_records(stack: Stack) -> None:
    [recorder] = stack.touchpoints
    # It is away for the gateway, which queues all the same.
    recorder.stop()
    status, _ = ask(stack, "POST", "/v1/events", event_json.to_json(event(event_id="left")))
    assert status == 202
    recorder.start()
    recorder.wait_until_ready()

    def recorded() -> bool:
        _, told = ask(stack, "GET", "/v1/outcomes?event_id=left")
        return bool(told["outcomes"][0]["result"]["disposition"] == "DISPOSITION_RECORDED")

    wait_for(recorded, "recorded after the recorder came back")
