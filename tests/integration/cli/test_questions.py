"""`touchledger scores`, series, bridge, lineage, journey and status, as somebody asks a running system."""

import json
import os
import subprocess
import sys
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from services.cli.__main__ import app
from tests.support.events import csat, event, feedback
from tests.support.stack import Stack
from touchledger.v1.ingest_pb2 import PublishBatchRequest
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub
from touchledger.v1.journal_pb2 import Position
from touchledger.v1.scoring_pb2 import GetScoresRequest
from touchledger.v1.scoring_pb2_grpc import ScoringServiceStub

COLUMNS = 80
DUE = "2026-03-05T12:00:00Z"
PROMISE = {"basis": "EXPECTATION_BASIS_PROMISE", "due_at": DUE}
EVENTS = [
    feedback(csat("4"), event_id="first", customer="card [7]", occurred_at="2026-03-02T10:00:00Z"),
    feedback(csat("5"), event_id="second", occurred_at="2026-03-09T10:00:00Z"),
    event(
        event_id="promise",
        customer="card [7]",
        occurred_at="2026-03-03T10:00:00Z",
        expectation=PROMISE,
    ),
    event(event_id="done", customer="card [7]", occurred_at="2026-03-04T10:00:00Z"),
    event(event_id="later", touchpoint="web.home", occurred_at="2026-03-10T10:00:00Z"),
    event(
        event_id="right",
        amends={"event_id": "first"},
        customer="card [7]",
        occurred_at="2026-03-02T10:00:00Z",
        correction={"feedback_received": {"signals": [csat("1")]}},
    ),
]


@pytest.fixture
def system(stack: Stack) -> Stack:
    """One that holds these events."""
    with grpc.insecure_channel(stack.gateway.address) as channel:
        answer = IngestServiceStub(channel).PublishBatch(
            PublishBatchRequest(events=EVENTS), metadata=stack.metadata, timeout=20
        )
        last = Position(number=answer.results[-1].position.number)
        ScoringServiceStub(channel).GetScores(
            GetScoresRequest(at_least_position=last), metadata=stack.metadata, timeout=20
        )
    return stack


def run(system: Stack, *arguments: str) -> Result:
    given = {"TOUCHLEDGER_KEY": system.key, "TOUCHLEDGER_TARGET": system.gateway.address}
    environment = {**given, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"}
    return CliRunner().invoke(app, arguments, env=environment)


def shown(system: Stack, *arguments: str) -> str:
    """What a person reads, with how fresh it is."""
    done = run(system, *arguments)
    assert 0 == done.exit_code, done.stderr
    assert COLUMNS >= max(map(len, done.stdout.splitlines())), done.stdout
    assert f"read models at position {len(EVENTS)}, recorded 20" in done.stdout
    assert "; 0 behind" in done.stdout
    return done.stdout


def told(system: Stack, *arguments: str) -> Any:
    done = run(system, *arguments, "--json")
    assert 0 == done.exit_code, done.stderr
    return json.loads(done.stdout)


def lines(text: str, *words: str) -> list[list[str]]:
    """The cells of the lines that hold all of these words."""
    found = [line for line in text.splitlines() if all(word in line for word in words)]
    return [line.split() for line in found]


def test_a_person_and_a_program_ask_every_question(system: Stack) -> None:
    _asks_for_scores(system)
    _asks_for_a_series(system)
    _asks_for_a_bridge(system)
    _asks_for_the_events_behind_a_score(system)
    _asks_for_a_journey(system)
    _is_told_what_can_not_be_asked(system)
    assert told(system, "status")["projected_by"].endswith(f":{_pid(system)}")
    assert f":{_pid(system)}" in run(system, "status").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["scores", "--touchpoint", b"\xff"],
        ["journey", b"caf\xe9"],
        ["alert", "list", "--rule", b"\xff"],
    ],
    ids=str,
)
def test_an_argument_that_is_no_text_is_refused_in_one_line(arguments: list[str | bytes]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        # Nobody is there: it is refused before, or at, the first call.
        env={**os.environ, "TOUCHLEDGER_KEY": "key", "TOUCHLEDGER_TARGET": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (2, "") == (done.returncode, done.stdout)
    assert "touchledger: got an argument of other bytes, want text in UTF-8\n" == done.stderr


def _asks_for_scores(system: Stack) -> None:
    [[touchpoint, answered, *_]] = lines(shown(system, "scores"), "store.checkout")
    assert ("store.checkout", "2/0") == (touchpoint, answered)
    named = ("scores", "--touchpoint", "store.*", "--score", "promise_kept_share")
    assert lines(shown(system, *named), "promise_kept_share", "1 [0.2065…1]", "promises 1")
    [row] = told(system, *named)
    assert (1.0, 1, 0) == (
        *(row["promise_kept_share"], row["counts"]["promises"]),
        row["counts"]["promises_pending"],
    )
    assert row["scores"]["promise_kept_share_lo"] < 1
    assert row["formula_version"].endswith(" promise/1")
    assert [] == told(system, "scores", "--only", "store=nowhere")
    late = told(system, "scores", "--occurred-from", "2026-03-08", "--only", "stage=purchase")
    assert [("store.checkout", 5.0), ("web.home", None)] == [
        (each["group"], each["csat_mean"]) for each in late
    ]


def _asks_for_a_series(system: Stack) -> None:
    text = shown(system, "series", "--period", "week", "--touchpoint", "store.*")
    assert [["2026-03-02", "1/0"], ["2026-03-09", "1/0"]] == [
        cells[:2] for cells in lines(text, "2026-03-")
    ]
    answer = told(system, "series", "--by", "touchpoint", "--score", "promises")
    assert ["1", "0"] == [
        each["counts"]["promises"] for each in answer["scores"] if "store" in each["group"]
    ]
    assert str(len(EVENTS)) == answer["freshness"]["position"]["number"]


def _asks_for_a_bridge(system: Stack) -> None:
    text = shown(system, "bridge", "csat_mean", "--seen", "5", "--events", "1")
    assert lines(text, "seen at position 5", "4.5")
    assert lines(text, "corrections", "1", "-1.5", "3")
    assert lines(text, "now at position 6", "-1.5", "3")
    assert lines(text, "first", "csat_sum -3")
    answer = told(system, "bridge", "csat_mean", "--seen", "5")
    assert ("4.5", "3", "-1.5", []) == (
        *(answer["seen"]["value"], answer["now"]["value"]),
        *(answer["difference"], answer["changes"]),
    )


def _asks_for_the_events_behind_a_score(system: Stack) -> None:
    text = shown(system, "lineage", "--score", "csat_mean")
    assert "2 events count, as of position 6" in text
    assert lines(text, "first", "counted")
    assert lines(text, "right", "amendment")
    assert "there are more, see --limit" in shown(system, "lineage", "--limit", "1")
    answer = told(system, "lineage", "--limit", "2", "--as-of", "4")
    assert ["first", "second"] == [each["event_id"] for each in answer["events"]]


def _asks_for_a_journey(system: Stack) -> None:
    text = shown(system, "journey", "card [7]")
    assert [["2026-03-02", "before"], ["2026-03-03", "before"], ["2026-03-04", "during"]] == [
        [cells[0], next(each for each in cells if each in ("before", "during", "after"))]
        for cells in lines(text, "10:00:00Z")
    ]
    assert "facts by stage: awareness 0" in text
    assert ["first", "promise"] == [
        each["event_id"] for each in told(system, "journey", "card [7]", "--limit", "2")["facts"]
    ]


def _is_told_what_can_not_be_asked(system: Stack) -> None:
    for code, arguments, said in (
        (1, ("bridge", "fcr_no_repeat", "--seen", "1"), "score: got fcr_no_repeat, want a name of"),
        (1, ("lineage", "--score", "promises"), "names: got promises, want a name of single facts"),
        (1, ("scores", "--score", "csat_moan"), "names: got 'csat_moan', want a count, sum or score"),
        (1, ("series", "--by", "month"), "groups: got a period, want groups other than periods"),
        (2, ("scores", "--only", "shop=1"), "--only: got 'shop=1', want NAME=VALUE with NAME stage"),
        (2, ("journey", "x", "--as-of", "soon"), "--as-of: got 'soon', want a date such as"),
        (1, ("lineage", "--as-of", "7"), "as_of_position.number: got 7, want at most 6"),
    ):  # fmt: skip
        done = run(system, *arguments)
        assert (code, "") == (done.exit_code, done.stdout)
        assert said in done.stderr, done.stderr


def _pid(system: Stack) -> int:
    assert system.scoring.process is not None
    return system.scoring.process.pid
