"""`touchledger quarantine`, as somebody uses it after a day of wrong scales."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.cli.data_folder import DataFolder
from services.gateway.access import PUBLISH, RECOVER, Caller
from services.gateway.keyring import Keyring
from services.gateway.quarantine import Bad, Quarantine
from tests.support.events import OCCURRED_AT, csat
from tests.support.up import Key, Up, running_up, touchledger
from touchledger.v1.problem_pb2 import Problem


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running_up(tmp_path_factory.mktemp("quarantine")) as up:
        yield up


class Desk:
    """The commands, with a key of a tenant that nobody else has."""

    def __init__(self, system: Up, key: Key) -> None:
        self.key = key
        self._up = system
        self._system = ("--target", system.addresses["grpc"])

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return touchledger(*arguments, *self._system, TOUCHLEDGER_KEY=self.key.text, COLUMNS="200")

    def lines(self, *arguments: object) -> list[dict[str, Any]]:
        """What a command that goes well prints, one JSON object a line."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def publish_bad(self, *event_ids: str) -> None:
        for event_id in event_ids:
            event = {
                "event_id": event_id,
                "occurred_at": OCCURRED_AT,
                "touchpoint": "store.checkout",
                "feedback_received": {"signals": [csat("9")]},
            }
            done = self.run("publish", json.dumps(event), "--json")
            assert "QUARANTINED" == json.loads(done.stdout)["disposition"], done.stderr

    def keep_documents(self, *contents: bytes) -> None:
        """As a webhook does with what its adapter can't read."""
        problem = Problem(code="UNREADABLE_DELIVERY", got="other bytes", want="a sale")
        bad = [Bad("", content, "square.v1", problem) for content in contents]
        keyring = Keyring.read(DataFolder(self._up.data).gateway_key)

        async def keep() -> list[str]:
            url = self._up.database_url("gateway")
            async with asyncpg.create_pool(url, min_size=1) as pool:
                caller = Caller(self.key.tenant, "till", frozenset({PUBLISH}))
                return await Quarantine(pool, keyring).keep(caller, bad)

        assert all(asyncio.run(keep()))


@pytest.fixture
def desk(system: Up) -> Desk:
    return Desk(system, system.new_key(scopes=(PUBLISH, RECOVER)))


def test_the_local_key_lists_its_own_tenants_entries(system: Up, desk: Desk) -> None:
    desk.publish_bad("event-1")
    done = touchledger("quarantine", "list", "--data", system.data, "--json")
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    [entry] = desk.lines("quarantine", "list", "--json")
    assert "event-1" == entry["event_id"]


def test_the_table_shows_what_the_other_commands_take_and_what_is_wrong(desk: Desk) -> None:
    desk.publish_bad("event-1")
    [entry] = desk.lines("quarantine", "list", "--json")
    shown = desk.run("quarantine", "list").stdout
    assert entry["quarantine_id"] in shown
    assert "VALUE_OUTSIDE_SCALE" in shown


def test_what_is_shown_can_be_edited_and_replayed(desk: Desk, tmp_path: Path) -> None:
    desk.publish_bad("event-1")
    [entry] = desk.lines("quarantine", "list", "--json")
    quarantine_id = entry["quarantine_id"]
    shown = desk.run("quarantine", "show", quarantine_id)
    assert "got 9, want 1 to 5 (VALUE_OUTSIDE_SCALE)" in shown.stderr
    event = json.loads(shown.stdout)
    event["feedback_received"]["signals"][0]["value"] = "4"
    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps(event))

    [replayed] = desk.lines("quarantine", "replay", quarantine_id, "--event", mended, "--json")
    assert "RECORDED" == replayed["disposition"]
    [again] = desk.lines("quarantine", "replay", quarantine_id, "--json")
    assert ("DUPLICATE", replayed["position"]) == (again["disposition"], again["position"])
    assert [] == desk.lines("quarantine", "list", "--json")
    [released] = desk.lines("quarantine", "list", "--status", "released", "--json")
    assert quarantine_id == released["quarantine_id"]


def test_a_day_of_wrong_scales_is_mended_in_one_go(desk: Desk, tmp_path: Path) -> None:
    desk.publish_bad("event-1", "event-2", "event-3")
    exported = desk.lines("quarantine", "export", "--code", "VALUE_OUTSIDE_SCALE")
    assert {"event-1", "event-2", "event-3"} == {each["event"]["event_id"] for each in exported}
    for each in exported:
        each["event"]["feedback_received"]["signals"][0]["scale_max"] = "10"
    # One is not mended: it harms none of the others.
    exported[1]["event"]["feedback_received"]["signals"][0]["scale_max"] = "8"
    mended = tmp_path / "mended.ndjson"
    mended.write_text("\n".join(map(json.dumps, exported)))

    done = desk.run("quarantine", "replay", "--from", mended, "--json")
    assert 1 == done.returncode
    told = [json.loads(line)["disposition"] for line in done.stdout.splitlines()]
    assert ["RECORDED", "QUARANTINED", "RECORDED"] == told
    assert "got 9, want 1 to 8 (VALUE_OUTSIDE_SCALE)" in done.stderr
    assert 1 == len(desk.lines("quarantine", "list", "--json"))


def test_documents_of_vendors_are_left_out_of_an_export_which_says_so(
    desk: Desk, tmp_path: Path
) -> None:
    desk.publish_bad("event-1")
    desk.keep_documents(b"<sale/>", b'{"sale": 1}')
    done = desk.run("quarantine", "export")
    assert 0 == done.returncode, done.stderr
    assert "left out 2" in done.stderr
    [exported] = [json.loads(line) for line in done.stdout.splitlines()]
    exported["event"]["feedback_received"]["signals"][0]["value"] = "4"
    mended = tmp_path / "mended.ndjson"
    mended.write_text(json.dumps(exported))
    [replayed] = desk.lines("quarantine", "replay", "--from", mended, "--json")
    assert "RECORDED" == replayed["disposition"]


def test_all_are_replayed_as_they_came_and_what_is_bad_still_stays(desk: Desk) -> None:
    desk.publish_bad("event-1", "event-2")
    done = desk.run("quarantine", "replay", "--all", "--json")
    assert (1, 2) == (done.returncode, len(done.stdout.splitlines())), done.stderr
    assert 2 == len(desk.lines("quarantine", "list", "--json"))


def test_discarding_says_how_many_and_keeps_the_reason(desk: Desk) -> None:
    desk.publish_bad("event-1", "event-2", "event-3")
    first = desk.lines("quarantine", "list", "--json")[0]["quarantine_id"]
    one = desk.run("quarantine", "discard", first, "--reason", "test data")
    assert (0, "discarded 1\n") == (one.returncode, one.stdout)
    others = desk.run(
        *("quarantine", "discard", "--all", "--code", "VALUE_OUTSIDE_SCALE", "--reason", "demo")
    )
    assert (0, "discarded 2\n") == (others.returncode, others.stdout)
    discarded = desk.lines("quarantine", "list", "--status", "discarded", "--json")
    assert ["demo", "demo", "test data"] == sorted(each["reason"] for each in discarded)
    gone = desk.run("quarantine", "replay", first)
    assert 1 == gone.returncode
    assert "not discarded" in gone.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "0" * 32), 1),
        (("replay", "0" * 32), 1),
        (("discard", "0" * 32, "--reason", "none"), 1),
        (("discard", "0" * 32), 2),
        (("discard", "--reason", "none"), 2),
        (("discard", "0" * 32, "--all", "--reason", "none"), 2),
        (("discard", "0" * 32, "--code", "X", "--reason", "none"), 2),
        (("replay",), 2),
        (("replay", "0" * 32, "--all"), 2),
        (("replay", "--all", "--event", "-"), 2),
        (("replay", "--event", "/nowhere", "0" * 32), 2),
        (("replay", "--from", "/nowhere"), 2),
        (("list", "--status", "mended"), 2),
    ],
    ids=str,
)
def test_what_can_not_be_done_ends_with_one_line(
    desk: Desk, arguments: tuple[str, ...], code: int
) -> None:
    done = desk.run("quarantine", *arguments)
    assert code == done.returncode
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


@pytest.mark.parametrize(
    "line",
    ["[]", "{}", '{"quarantine_id": "x"}', '{"quarantine_id": "x", "event": {"evnt_id": 1}}', "{"],
)
def test_a_file_with_a_bad_line_replays_nothing(desk: Desk, tmp_path: Path, line: str) -> None:
    desk.publish_bad("event-1")
    [exported] = desk.lines("quarantine", "export")
    exported["event"]["feedback_received"]["signals"][0]["value"] = "4"
    file = tmp_path / "mended.ndjson"
    file.write_text(f"{json.dumps(exported)}\n\n{line}\n")
    done = desk.run("quarantine", "replay", "--from", file)
    assert 2 == done.returncode
    assert "--from, line 3: " in done.stderr
    assert 1 == len(desk.lines("quarantine", "list", "--json"))


def test_a_system_that_can_not_be_reached_is_told_by_its_own_exit_code(tmp_path: Path) -> None:
    assert 3 == touchledger("quarantine", "list", "--data", tmp_path).returncode
