"""`touchledger webhook` makes a place to deliver to, shows what came, and maps it again."""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.stack import Stack

MAPPING: dict[str, Any] = {
    "event": {
        "event_id": "id",
        "occurred_at": "at",
        "touchpoint": "'call.support'",
        "interaction": {"stage": "'STAGE_SERVICE'"},
    },
    "signature": {"algorithm": "plain", "header": "x-token"},
}
MAPPED_SECONDS_MAX = 20.0
SECRET = "vendors-secret"
BODY = json.dumps({"id": "call-1", "at_last": "2026-08-03T10:00:00Z"}).encode()


def run(system: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    given = {"TOUCHLEDGER_KEY": system.key, "TOUCHLEDGER_TARGET": system.gateway.address}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "webhook", *arguments],
        env={**os.environ, **given, "COLUMNS": "240", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def deliver(system: Stack, url: str, body: bytes, token: str) -> int:
    connection = http.client.HTTPConnection(system.http_address, timeout=20)
    try:
        connection.request("POST", urlsplit(url).path, body, {"x-token": token})
        return connection.getresponse().status
    finally:
        connection.close()


def wait_until_mapped(system: Stack, *, deliveries: int) -> None:
    deadline = time.monotonic() + MAPPED_SECONDS_MAX
    while True:
        [row] = json.loads(run(system, "list", "--json").stdout)
        if deliveries == row["counts"]["deliveries"]:
            return
        assert time.monotonic() < deadline, row


def test_a_vendors_calls_from_the_first_url_to_the_mended_mapping(
    stack: Stack, tmp_path: Path
) -> None:
    config, secret = tmp_path / "config.json", tmp_path / "secret"
    config.write_text(json.dumps(MAPPING))
    secret.write_text(f"{SECRET}\n")

    created = run(
        stack,
        *("create", "mapped.v1", "call-center", "--public-url", "https://events.shop.example"),
        *("--config", str(config)),
    )
    assert 0 == created.returncode, created.stderr
    [url] = created.stdout.splitlines()
    webhook_id = url.rpartition("/")[2]
    assert f"https://events.shop.example/v1/webhooks/mapped.v1/{webhook_id}" == url
    assert 401 == deliver(stack, url, BODY, SECRET)

    changed = run(stack, "update", webhook_id, "--secret-file", str(secret))
    assert 0 == changed.returncode, changed.stderr
    assert 202 == deliver(stack, url, BODY, SECRET)
    assert 401 == deliver(stack, url, BODY, "guessed")

    wait_until_mapped(stack, deliveries=1)
    failed = run(stack, "replay", webhook_id)
    assert 1 == failed.returncode
    assert "occurred_at" in failed.stderr
    assert "recorded 0" in failed.stdout

    mended = MAPPING | {"event": MAPPING["event"] | {"occurred_at": "at_last"}}
    config.write_text(json.dumps(mended))
    assert 0 == run(stack, "update", webhook_id, "--config", str(config)).returncode
    replayed = run(stack, "replay", webhook_id, "--from", "2026-01-01T00:00:00Z", "--json")
    assert 0 == replayed.returncode, replayed.stderr
    assert 1 == json.loads(replayed.stdout)["recorded"]

    [row] = json.loads(run(stack, "list", "--json").stdout)
    assert (webhook_id, True) == (row["webhook_id"], row["has_secret"])
    assert mended == row["config"]
    shown = run(stack, "list").stdout
    assert webhook_id in shown
    assert SECRET not in shown

    assert 0 == run(stack, "delete", webhook_id).returncode
    assert [] == json.loads(run(stack, "list", "--json").stdout)


def test_what_can_not_be_done_ends_with_one_line(stack: Stack) -> None:
    nothing = run(stack, "update", "some-id")
    assert (2, 1) == (nothing.returncode, len(nothing.stderr.splitlines()))
    unknown = run(stack, "delete", "some-id")
    assert (1, 1) == (unknown.returncode, len(unknown.stderr.splitlines()))
    zoneless = run(stack, "replay", "some-id", "--from", "2026-01-01")
    assert (2, 1) == (zoneless.returncode, len(zoneless.stderr.splitlines()))
