"""`touchledger key` makes keys that work, lists them without secrets, and revokes them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SERVICES
from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("keys")
    with running_stack(folder, {name: new_database(name) for name in SERVICES}) as stack:
        yield stack


def run(system: Stack, *arguments: str, key: str = "") -> "subprocess.CompletedProcess[str]":
    given = {"TOUCHLEDGER_KEY": key or system.key, "TOUCHLEDGER_TARGET": system.gateway.address}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env={**os.environ, **given, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def made(system: Stack, *arguments: str) -> dict[str, Any]:
    ended = run(system, "key", "create", *arguments, "--json")
    assert 0 == ended.returncode, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


EVENT = (
    '{"eventId": "%s", "occurredAt": "2026-08-03T10:00:00Z", "touchpoint": "a", "interaction": {}}'
)


def test_a_new_key_is_alone_on_stdout_and_works_until_it_is_revoked(system: Stack) -> None:
    ended = run(system, "key", "create", "till-1")
    assert 0 == ended.returncode, ended.stderr
    [key] = ended.stdout.splitlines()
    assert 0 == run(system, "publish", EVENT % "by-till-1", key=key).returncode
    key_id = key.split("_")[1]
    assert key_id in ended.stderr
    assert key not in ended.stderr
    revoked = run(system, "key", "revoke", key_id)
    assert (0, f"revoked {key_id} of till-1\n") == (revoked.returncode, revoked.stdout)
    refused = run(system, "publish", EVENT % "by-nobody", key=key)
    assert 0 != refused.returncode
    assert key.split("_", 2)[2] not in refused.stderr


def test_what_a_key_allows_is_said_in_options(system: Stack) -> None:
    document = made(
        system,
        *("web-1", "--scope", "publish", "--scope", "query", "--trust", "audited"),
        *("--expires", "90d", "--events-per-second", "5", "--burst", "6"),
        *("--bytes-per-second", "7", "--calls", "8", "--events-per-day", "9"),
    )
    assert ["publish", "query"] == document["scopes"]
    assert ("web-1", "TRUST_AUDITED") == (document["source"], document["trust"])
    assert document["expires_at"] > document["created_at"]
    limits = ("events_per_second", "burst_events", "bytes_per_second", "concurrent_calls")
    assert [5, 6, 7, 8] == [document[name] for name in limits]
    assert 9 == document["events_per_day"]


def test_a_list_shows_live_keys_without_secrets_as_a_table_and_as_json(system: Stack) -> None:
    beacon = made(system, "shop", "--scope", "beacon", "--origin", "https://shop.example")
    revoked = made(system, "old-till")
    assert 0 == run(system, "key", "revoke", revoked["key_id"]).returncode
    table = run(system, "key", "list").stdout
    assert beacon["key_id"] in table
    assert revoked["key_id"] not in table
    listed = run(system, "key", "list", "--json")
    assert beacon["secret"] not in listed.stdout + table
    documents = {each["key_id"]: each for each in json.loads(listed.stdout)}
    secret = beacon.pop("secret")
    assert beacon == documents[beacon["key_id"]]
    assert secret.split("_")[1] == beacon["key_id"]
    both = run(system, "key", "list", "--source", "old-till", "--all").stdout
    assert revoked["key_id"] in both
    assert "revoked" in both


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("create", "till", "--expires", "soon"), 2, "--expires: got 'soon', want a span"),
        (("create", "till", "--expires", "2027-01-01T00:00:00"), 2, "without an offset"),
        (("create", "till", "--scope", "everything"), 2, "everything"),
        (("create", "till", "--scope", "beacon"), 1, "key.origins: got 0, want 1 to 32"),
        (("create", "till", "--burst", "5000000000"), 2, "'--burst'"),
        (("revoke", "nobody"), 1, "key_id"),
    ],
)
def test_what_can_not_be_ends_with_one_line(
    system: Stack, arguments: tuple[str, ...], code: int, told: str
) -> None:
    ended = run(system, "key", *arguments)
    assert code == ended.returncode
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_third_key_for_a_source_says_what_to_do(system: Stack) -> None:
    for _ in range(2):
        made(system, "till-3")
    ended = run(system, "key", "create", "till-3")
    assert 1 == ended.returncode
    assert "revoke the older one first" in ended.stderr


def test_keys_are_for_admins(system: Stack) -> None:
    key = made(system, "analyst", "--scope", "query")["secret"]
    ended = run(system, "key", "list", key=key)
    assert (1, True) == (ended.returncode, "a key with the scope admin" in ended.stderr)


def test_the_operator_makes_a_tenants_first_key_and_no_second_one(system: Stack) -> None:
    def first(tenant: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "services.gateway.first_key", tenant],
            env={**os.environ, **system.gateway.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    [key] = first("newcomer").stdout.splitlines()
    listed = run(system, "key", "list", "--json", key=key)
    assert ["operator"] == [each["source"] for each in json.loads(listed.stdout)]
    again, misspelt = first("newcomer"), first("new comer")
    assert (1, "") == (again.returncode, again.stdout)
    assert "want that key to make others" in again.stderr
    assert "got 'new comer', want 1 to 64 letters" in misspelt.stderr
