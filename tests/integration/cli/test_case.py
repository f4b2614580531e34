"""`touchledger case`, as who owns a touchpoint uses it on a day with failures."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.__main__ import app
from services.gateway.access import QUERY, RECOVER
from tests.support.up import Up, running_up
from touchledger.v1 import cases_pb2 as pb
from touchledger.v1.cases_pb2_grpc import RecoveryCaseServiceStub


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running_up(tmp_path_factory.mktemp("case")) as up:
        yield up


class Desk:
    """The commands, with a key of a tenant that nobody else has."""

    def __init__(self, system: Up) -> None:
        self._up = system
        self._key = system.new_key(scopes=(QUERY, RECOVER)).text

    def open(self, *case_ids: str, **fields: Any) -> None:
        with self._up.channel() as channel:
            for case_id in case_ids:
                given = {
                    "request_id": f"open {case_id}",
                    "case_id": case_id,
                    "touchpoint": "store.checkout",
                    "severity": "SEVERITY_MAJOR",
                }
                RecoveryCaseServiceStub(channel).OpenCase(
                    pb.OpenCaseRequest(**(given | fields)),
                    metadata=[("authorization", f"Bearer {self._key}")],
                    timeout=30,
                )

    def version(self, case_id: str) -> int:
        with self._up.channel() as channel:
            answer = RecoveryCaseServiceStub(channel).GetCase(
                pb.GetCaseRequest(case_id=case_id),
                metadata=[("authorization", f"Bearer {self._key}")],
                timeout=30,
            )
        return int(answer.recovery_case.version)

    def run(self, *arguments: object) -> Result:
        """In this process: to start one takes ten times as long as the call."""
        given = ("case", *arguments, "--target", self._up.addresses["grpc"])
        of_terminal = {"TOUCHLEDGER_KEY": self._key, "COLUMNS": "200", "NO_COLOR": "1"}
        return CliRunner().invoke(app, [*map(str, given)], env=of_terminal)

    def told(self, *arguments: object) -> Any:
        """What a command that goes well prints as JSON."""
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def listed(self, *arguments: object) -> list[str]:
        return [each["case_id"] for each in self.told("list", *arguments)]


@pytest.fixture
def desk(system: Up) -> Desk:
    return Desk(system)


def test_a_case_goes_from_open_to_closed_and_back_by_hand(desk: Desk) -> None:
    desk.open("case-1")
    taken = desk.told("acknowledge", "case-1", "--assignee", "ines", "--by", "ines")
    assert ("CASE_STATUS_ACKNOWLEDGED", "ines") == (taken["status"], taken["assignee"])
    assert "till/ines" == taken["decided_by"]
    desk.told("remedy", "case-1", "--kind", "refund", "--cost", "12.50 EUR")
    desk.told("goodwill", "case-1", "--kind", "voucher", "--value", "5 EUR")
    closed = desk.told("close", "case-1", "--result", "no-answer")
    assert "RECOVERY_RESULT_NO_ANSWER" == closed["result"]

    shown = desk.run("show", "case-1").stdout
    assert "case-1: closed, version 5" in shown
    for done in ("remedy refund 12.50 EUR", "goodwill voucher 5 EUR", "closed by till: no answer"):
        assert done in shown
    reopened = desk.told("reopen", "case-1", "--reason", "failed_again")
    assert ("CASE_STATUS_OPEN", 1) == (reopened["status"], reopened["reopened_times"])
    told = [line.split(" ", 4)[4] for line in desk.run("show", "case-1").stdout.splitlines()[-4:]]
    assert [
        "opened by till",
        "remedy refund 12.50 EUR by till",
        "goodwill voucher 5 EUR by till",
        "reopened (1 ×)",
    ] == told


def test_cases_are_listed_by_touchpoint_status_and_assignee_over_pages(desk: Desk) -> None:
    many = [f"case-{nth:03}" for nth in range(103)]
    desk.open(*many)
    desk.open("web-1", touchpoint="web.home", assignee="ines")
    desk.open("web-2", touchpoint="web.home")
    desk.told("acknowledge", "web-2")
    assert [*many, "web-1", "web-2"] == desk.listed("--limit", 200)
    assert ["web-1", "web-2"] == desk.listed("--touchpoint", "web.home")
    assert ["web-1"] == desk.listed("--assignee", "ines")
    assert [] == desk.listed("--assignee", "ines", "--touchpoint", "store.checkout")
    assert ["web-2"] == desk.listed("--status", "acknowledged")
    shown = desk.run("list", "--limit", 102)
    assert "case-101" in shown.stdout
    assert "case-102" not in shown.stdout
    assert "there are more than 102" in shown.stderr


def test_a_command_that_is_repeated_decides_once(desk: Desk) -> None:
    desk.open("case-1")
    given = ("remedy", "case-1", "--kind", "apology", "--request-id", "one")
    assert desk.told(*given) == desk.told(*given)
    assert 2 == desk.version("case-1")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("show", "none"), 1, "case_id"),
        (("goodwill", "case-1", "--kind", "voucher"), 1, "got open, want remedied"),
        (("close", "case-1"), 1, "reason"),
        (("remedy", "case-1", "--kind", "redo", "--version", 7), 1, "version"),
        (("remedy", "case-1", "--kind", "redo", "--cost", "x EUR"), 1, "cost"),
        (("remedy", "case-1", "--kind", "redo", "--cost", "12"), 2, "--cost: got '12', want"),
        (("remedy", "case-1", "--kind", "cake"), 2, "--kind"),
    ],
    ids=str,
)
def test_what_can_not_be_done_says_what_is_wanted(
    desk: Desk, arguments: tuple[object, ...], code: int, told: str
) -> None:
    desk.open("case-1")
    done = desk.run(*arguments)
    assert code == done.exit_code
    assert "Traceback" not in done.stderr
    assert told in done.stderr
    assert 1 == desk.version("case-1")
