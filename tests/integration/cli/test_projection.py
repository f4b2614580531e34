"""`touchledger projection`, as somebody uses it who rebuilds the read models of a running system."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.gateway.access import ADMIN, OPERATE, PUBLISH, QUERY
from tests.support.events import OCCURRED_AT, csat
from tests.support.up import Key, Up, running_up, touchledger, wait_for


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running_up(tmp_path_factory.mktemp("projection")) as up:
        yield up


class Desk:
    """The commands, with a key."""

    def __init__(self, system: Up, key: Key) -> None:
        self._key = key
        self._system = ("--target", system.addresses["grpc"])

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return touchledger(*arguments, *self._system, TOUCHLEDGER_KEY=self._key.text, COLUMNS="200")

    def good(self, *arguments: object) -> str:
        """What a command that goes well prints."""
        done = self.run("projection", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, dict[str, Any]]:
        told = json.loads(self.good("status", "--json"))
        assert all(each["missing_positions"] == 0 for each in told["projections"])
        return {each["name"]: each for each in told["projections"]} | {"head": told["head"]}

    def publish(self, *event_ids: str) -> None:
        for event_id in event_ids:
            event = {
                "event_id": event_id,
                "occurred_at": OCCURRED_AT,
                "touchpoint": "store.checkout",
                "feedback_received": {"signals": [csat("4")]},
            }
            done = self.run("publish", json.dumps(event), "--json")
            assert "RECORDED" == json.loads(done.stdout)["disposition"], done.stderr

    def wait_until_caught_up(self, name: str) -> None:
        def is_at_the_head() -> bool:
            status = self.status()
            return name in status and status[name]["checkpoint"] == status["head"]

        wait_for(is_at_the_head, f"{name} at the head")


@pytest.fixture
def desk(system: Up) -> Desk:
    return Desk(system, system.new_key(scopes=(PUBLISH, QUERY, OPERATE)))


def test_the_read_models_are_rebuilt_compared_switched_and_taken_back(desk: Desk) -> None:
    desk.publish("event-1", "event-2")
    desk.wait_until_caught_up("live")
    assert "rebuild begun\n" == desk.good("rebuild")
    desk.wait_until_caught_up("next")
    told = desk.good("diff")
    assert "all rows are equal" in told
    assert "fact_feedback" in told
    # HOST:PID of the one process that does both.
    shown = desk.good("status")
    assert "next" in shown
    assert desk.status()["live"]["owner"] in shown
    assert desk.good("switch").startswith("switched at position ")
    assert {"live", "previous", "head"} == desk.status().keys()
    desk.publish("event-3")
    assert desk.good("rollback").startswith("rolled back; goes on from position ")
    desk.wait_until_caught_up("live")
    assert {"live", "next", "head"} == desk.status().keys()


def test_a_difference_is_shown_and_has_its_own_exit_code(system: Up, desk: Desk) -> None:
    desk.publish("event-4")
    desk.wait_until_caught_up("live")
    desk.good("rebuild", "--replace")
    desk.wait_until_caught_up("next")
    assert system.rows("scoring", "UPDATE bi.fact_feedback SET value = 1 RETURNING tenant")
    done = desk.run("projection", "diff", "--rows", "1")
    assert 1 == done.returncode
    assert "only live" in done.stdout
    assert "rows differ" in done.stderr
    refused = desk.run("projection", "switch")
    assert 1 == refused.returncode
    assert "even_if_different" in refused.stderr
    desk.good("switch", "--even-if-different")
    assert 0 == json.loads(desk.good("status", "--json").splitlines()[0])["projections"][0]["lag"]


@pytest.mark.parametrize("command", ["status", "rebuild", "diff", "switch", "rollback"])
def test_a_key_without_the_scope_changes_nothing(system: Up, command: str) -> None:
    done = Desk(system, system.new_key(scopes=(PUBLISH, QUERY, ADMIN))).run("projection", command)
    assert 1 == done.returncode
    assert "a key with the scope operate" in done.stderr


def test_a_system_that_can_not_be_reached_is_told_by_its_own_exit_code(tmp_path: Path) -> None:
    for command in ("status", "diff"):
        assert 3 == touchledger("projection", command, "--data", tmp_path).returncode
