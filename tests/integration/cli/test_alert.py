"""`touchledger alert` puts rules, shows what they told and would have told, and watches: by the gateway."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import grpc
import pytest

from tests.support.events import csat, feedback
from tests.support.stack import Stack
from touchledger.v1.ingest_pb2 import PublishBatchRequest
from touchledger.v1.ingest_pb2_grpc import IngestServiceStub

WAIT_SECONDS_MAX = 30.0
# Every answer of this day is low, as is every third of those before.
BAD_DAY = "2026-03-20"
RULE = (
    *("--baseline", "2026-03-01..2026-03-15", "--period", "day", "--limits", "exact"),
    *("--touchpoint", "store.*"),
)


def run(system: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    given = {"TOUCHLEDGER_KEY": system.key, "TOUCHLEDGER_TARGET": system.gateway.address}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "alert", *arguments],
        env={**os.environ, **given, "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def publish_march(system: Stack) -> None:
    events = [
        feedback(
            csat("1" if f"2026-03-{day:02}" == BAD_DAY or not nth % 3 else "5"),
            event_id=f"{day}-{nth}",
            occurred_at=f"2026-03-{day:02}T10:00:00Z",
        )
        for day in range(1, 25)
        for nth in range(12)
    ]
    with grpc.insecure_channel(system.gateway.address) as channel:
        answer = IngestServiceStub(channel).PublishBatch(
            PublishBatchRequest(events=events), metadata=system.metadata, timeout=20
        )
    assert len(events) == len(answer.results)


def wait_for_alerts(system: Stack, *, at_least: int) -> list[Any]:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        told: list[Any] = json.loads(run(system, "list", "--json").stdout)
        if len(told) >= at_least:
            return told
        assert time.monotonic() < deadline, told


def put_when_projected(system: Stack) -> "subprocess.CompletedProcess[str]":
    """A rule judges what is known when it is put, so that has to be everything."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        tested = run(system, "backtest", "any", *RULE, "--json")
        if tested.returncode == 0 and json.loads(tested.stdout)["points"] == "24":
            return run(system, "rule", "put", "low.daily", *RULE)
        assert time.monotonic() < deadline, tested


@pytest.mark.timeout(240)
def test_a_rule_from_its_first_test_to_its_end(stack: Stack) -> None:
    publish_march(stack)

    put = put_when_projected(stack)
    assert 0 == put.returncode, put.stderr
    assert "low.daily, version 1: csat_bottom2 of csat_answered, up, by touchpoint and day" in (
        put.stdout
    )
    assert "in-control run length" in put.stdout
    assert "1 chart;" in put.stdout

    [alert] = wait_for_alerts(stack, at_least=1)
    assert ("store.checkout", BAD_DAY, "12", "12", False) == (
        alert["group"],
        alert["period_start"],
        alert["part"],
        alert["whole"],
        alert["withdrawn"],
    )
    listed = run(stack, "list")
    assert (True, True) == (BAD_DAY in listed.stdout, "100.0%" in listed.stdout)

    tested = json.loads(run(stack, "backtest", "low.daily", "--json").stdout)
    assert [alert | {"number": "0"}] == tested["alerts"]
    shown = run(stack, "backtest", "low.daily")
    assert 0 == shown.returncode, shown.stderr
    assert "24 periods judged, 1 of them alarms as known now" in shown.stdout

    watched = run(stack, "watch", "--after", "0", "--limit", "1")
    assert f"1 ALARM low.daily store.checkout {BAD_DAY}: 12 of 12, 100.0% outside" in watched.stdout

    delivered = run(stack, "deliveries")
    assert (0, True) == (delivered.returncode, "no webhook" in delivered.stderr)

    asked = ("--share", "not_asked", "--grace", "30d", "--period", "day", "--p0", "0.000001")
    silent = run(stack, "rule", "put", "silent", *asked, "--from", "2026-01-01")
    assert "asking_lapsed of asking_due, up, by touchpoint and day" in silent.stdout
    assert "ended silent\n" == run(stack, "rule", "remove", "silent").stdout

    assert "low.daily" in run(stack, "rule", "list").stdout
    assert "ended low.daily\n" == run(stack, "rule", "remove", "low.daily").stdout
    assert "" == run(stack, "rule", "list").stdout
    # The other rule may have been judged before it ended.
    told = wait_for_alerts(stack, at_least=1)
    assert [alert] == [each for each in told if each["rule"] == "low.daily"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rule", "put", "a"), "want --baseline or --p0"),
        (("rule", "put", "a", "--p0", "0.1", "--share", "a-b"), "--share: got 'a-b'"),
        (("rule", "put", "a", "--p0", "0.1", "--grace", "soon"), "--grace: got 'soon'"),
        (("rule", "put", "a", "--baseline", "2026-01-01"), "--baseline: got '2026-01-01'"),
        (
            ("rule", "put", "a", "--p0", "0.1", "--weight", "0.1"),
            "--weight: got one with --chart p",
        ),
        (
            ("rule", "put", "a", "--p0", "0.1", "--chart", "ewma", "--limits", "exact"),
            "--limits: got exact with --chart ewma",
        ),
        (
            ("rule", "put", "a", "--p0", "0.1", "--limits", "exact", "--width", "2"),
            "--width: got one with --limits exact",
        ),
        # It is not the rule of that name that is asked about.
        (("backtest", "a", "--width", "2"), "want --baseline or --p0"),
        (("backtest", "a", "--p0", "0"), "want --baseline or --p0"),
        (("list", "--after", f"{2**64}"), "--after"),
        (("watch", "--after", f"{2**64}"), "--after"),
    ],
)
def test_an_option_that_says_nothing_is_bad_usage(arguments: tuple[str, ...], told: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "services.cli", "alert", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (2, True) == (result.returncode, told in result.stderr), result.stderr
