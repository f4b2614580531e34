"""`touchledger verify` as its users run it, on a real system in whose tables a superuser changes things."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.cli.data_folder import DataFolder
from services.cli.databases import OWNERS, role_url
from services.touchpoint.checkpoint import sign
from tests.support.up import Up, running_up, touchledger, wait_for

ROOT = Path(__file__).parent.parent.parent
TABLES = ("stored_events", "seals", "head")
EVENTS = 40


@dataclass(frozen=True)
class Sealed:
    """A system with events, the first EVENTS of which a checkpoint holds, and its files elsewhere."""

    up: Up
    checkpoints: Path
    public_key: Path

    def verify(self, *options: object) -> subprocess.CompletedProcess[str]:
        return touchledger("verify", "--data", self.up.data, *options)

    def told(self, *options: object) -> dict[str, Any]:
        run = self.verify("--json", *options)
        told: dict[str, Any] = json.loads(run.stdout)
        assert run.returncode == (0 if told["intact"] else 1), run.stderr
        return told

    @property
    def with_checkpoints(self) -> tuple[object, ...]:
        return ("--checkpoint", self.checkpoints, "--public-key", self.public_key)

    def change(self, *statements: str) -> None:
        with psycopg.connect(self.up.database_url("touchpoint")) as connection:
            # No trigger: whoever changes everything can switch them off.
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.encode())


def events(count: int) -> str:
    return "".join(
        json.dumps(
            {
                "eventId": f"event-{number}",
                "occurredAt": "2026-08-03T10:15:30Z",
                "touchpoint": "store.checkout",
                "interaction": {"stage": "STAGE_PURCHASE", "channel": "CHANNEL_STORE"},
            }
        )
        + "\n"
        for number in range(count)
    )


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    folder = tmp_path_factory.mktemp("tampering")
    checkpoints = folder / "elsewhere"
    checkpoints.mkdir()
    key, key_file = Ed25519PrivateKey.generate(), folder / "checkpoint.key"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    key_file.chmod(0o600)
    public_key = folder / "checkpoint.pub"
    public_key.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    variables = {
        "TOUCHLEDGER_TOUCHPOINT_CHECKPOINT_FOLDER": str(checkpoints),
        "TOUCHLEDGER_TOUCHPOINT_CHECKPOINT_KEY_FILE": str(key_file),
        "TOUCHLEDGER_TOUCHPOINT_CHECKPOINT_EVERY_SECONDS": "1",
    }
    with running_up(folder, **variables) as up:
        (folder / "events.ndjson").write_text(events(EVENTS))
        run = touchledger("replay", folder / "events.ndjson", "--data", up.data)
        assert run.returncode == 0, run.stderr
        name = f"*-{EVENTS:019}.checkpoint"
        wait_for(lambda: list(checkpoints.glob(name)), "checkpoint of all events")
        yield Sealed(up, checkpoints, public_key)


@pytest.fixture
def system(sealed: Sealed) -> Iterator[Sealed]:
    """The tables are afterwards as they were before."""
    sealed.change(*(f"CREATE TABLE saved_{each} AS TABLE journal.{each}" for each in TABLES))
    yield sealed
    for each in TABLES:
        sealed.change(
            f"DELETE FROM journal.{each}",
            f"INSERT INTO journal.{each} SELECT (rows).* FROM "
            f"(SELECT saved::text::journal.{each} AS rows FROM saved_{each} AS saved) AS all_rows",
            f"DROP TABLE saved_{each}",
        )
    assert sealed.told(*sealed.with_checkpoints)["intact"]


def test_an_untouched_journal_is_intact_and_what_is_not_proven_is_said(sealed: Sealed) -> None:
    without = sealed.told()
    assert (without["intact"], without["position"], without["checkpoint_position"]) == (
        True,
        EVENTS,
        None,
    )
    assert any("cut off the end" in each for each in without["not_proven"])
    with_them = sealed.told(*sealed.with_checkpoints)
    assert (with_them["intact"], with_them["checkpoint_position"]) == (True, EVENTS)
    assert not any("cut off" in each for each in with_them["not_proven"])
    for_people = sealed.verify()
    assert for_people.returncode == 0
    assert "40 events" in for_people.stdout
    assert "not proven: that nothing was cut off the end" in for_people.stdout
    # No bar where nobody looks on.
    assert "━" not in for_people.stderr


@pytest.mark.parametrize(
    ("statement", "range_named", "what"),
    [
        (
            "UPDATE journal.stored_events SET state = state || '\\x00' WHERE notification_id = 17",
            (17, 17),
            "state",
        ),
        (
            "DELETE FROM journal.stored_events WHERE notification_id = 17",
            (17, 17),
            "missing",
        ),
        (
            "UPDATE journal.stored_events SET recorded_at = now() WHERE notification_id = 17",
            (17, 17),
            "recorded_at",
        ),
        ("DELETE FROM journal.stored_events WHERE notification_id > 30", (31, 40), "missing"),
        ("UPDATE journal.head SET position = 30", (31, 40), "beyond the head"),
    ],
    ids=["state", "deleted", "time", "tail", "head"],
)
def test_a_change_is_named_and_the_exit_code_is_1(
    system: Sealed, statement: str, range_named: tuple[int, int], what: str
) -> None:
    system.change(statement)
    problem = system.told()["problem"]
    assert (problem["first"], problem["last"]) == range_named
    assert what in problem["what"]
    run = system.verify()
    assert run.returncode == 1
    first, last = range_named
    named = f"position {first}: " if first == last else f"positions {first} to {last}: "
    assert f"touchledger: {named}" in run.stderr


def test_a_change_of_a_tenant_is_named_by_its_commit(system: Sealed) -> None:
    [[first, last]] = system.up.rows(
        "touchpoint",
        "SELECT first_position, last_position FROM journal.seals "
        "WHERE first_position <= 17 AND last_position >= 17",
    )
    system.change("UPDATE journal.stored_events SET tenant = 'b' WHERE notification_id = 17")
    problem = system.told()["problem"]
    assert (first, last) == (problem["first"], problem["last"])


def test_a_tail_cut_off_without_a_trace_needs_a_checkpoint(system: Sealed) -> None:
    # In a commit of their own, so that they can be cut off whole.
    before = EVENTS
    run = touchledger(
        "publish", "--touchpoint", "store.checkout", "--csat", "5", "--data", system.up.data
    )
    assert run.returncode == 0, run.stderr
    name = f"*-{before + 1:019}.checkpoint"
    [file] = wait_for(lambda: list(system.checkpoints.glob(name)), "checkpoint")
    system.change(
        f"DELETE FROM journal.stored_events WHERE notification_id > {before}",
        f"DELETE FROM journal.seals WHERE last_position > {before}",
        "UPDATE journal.head SET (position, recorded_at, chain) = (SELECT last_position, recorded_at, "
        f"chain FROM journal.seals WHERE last_position = {before})",
    )
    without = system.told()
    assert without["intact"]
    assert any("cut off the end" in each for each in without["not_proven"])
    problem = system.told(*system.with_checkpoints)["problem"]
    assert (problem["first"], problem["last"]) == (before + 1, before + 1)
    assert file.name in problem["what"]
    # The journal that the other tests go on with does not hold it.
    file.unlink()


def test_the_proof_of_an_event_is_checked_without_us(sealed: Sealed, tmp_path: Path) -> None:
    run = sealed.verify("--event", "event-16", *sealed.with_checkpoints)
    assert run.returncode == 0, run.stderr
    proof_file = tmp_path / "proof.json"
    proof_file.write_text(run.stdout)
    script = tmp_path / "check_proof.py"
    script.write_text((ROOT / "services" / "touchpoint" / "check_proof.py").read_text())
    proof = json.loads(run.stdout)
    position = proof["position"]
    [checkpoint] = [
        each for each in sealed.checkpoints.iterdir() if each.name.endswith(f"{EVENTS}.checkpoint")
    ]

    def check() -> subprocess.CompletedProcess[str]:
        # -I: nothing of ours can be imported; -O: no check is an assert.
        return subprocess.run(
            [sys.executable, "-I", "-O", script, proof_file, checkpoint],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"position {position} is in the journal" in done.stdout
    assert "tenant='default' source='local'" in done.stdout
    proof["event"]["tenant"] = "another"
    proof_file.write_text(json.dumps(proof))
    done = check()
    assert (done.returncode, done.stdout) == (1, "")
    assert "not proven" in done.stderr
    by_position = sealed.verify("--position", position, *sealed.with_checkpoints)
    assert by_position.stdout == run.stdout
    unknown = sealed.verify("--event", "event-16", "--source", "till")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert unknown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--event", "no such"), "want the id, tenant and source of an event"),
        (("--position", 10**9), "got 1000000000, want a position"),
        (("--position", 2**63), "want 1 to"),
        (("--event", b"\xff"), "--event: got other bytes than UTF-8"),
        (("--event", "event-16", "--tenant", b"\xff"), "--tenant: got other bytes than UTF-8"),
    ],
)
def test_what_can_not_be_proven_is_one_line_and_exit_code_2(
    sealed: Sealed, options: tuple[object, ...], told: str
) -> None:
    run = sealed.verify(
        *(os.fsdecode(each) if isinstance(each, bytes) else each for each in options)
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("touchledger: ")
    assert run.stderr.count("\n") == 1
    assert told in run.stderr


def test_a_proof_ends_at_a_checkpoint_of_this_journal(sealed: Sealed, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public_key = tmp_path / "key.pub"
    public_key.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    told = sealed.told()
    folder = tmp_path / "checkpoints"
    folder.mkdir()

    def export(journal_id: str) -> None:
        signed = sign(
            key,
            journal_id=journal_id,
            position=told["position"],
            chain=bytes.fromhex(told["chain"]),
        )
        (folder / f"{journal_id}.checkpoint").write_text(signed)

    options = ("--event", "event-16", "--checkpoint", folder, "--public-key", public_key)
    export("00000000-0000-0000-0000-000000000007")
    refused = sealed.verify(*options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"got no checkpoint of journal {told['journal_id']} from position" in refused.stderr
    export(told["journal_id"])
    made = sealed.verify(*options)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["journal_id"] == told["journal_id"]


def test_a_policy_that_hides_rows_is_an_error(system: Sealed) -> None:
    system.change(
        "ALTER TABLE journal.seals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        "CREATE POLICY hides ON journal.seals USING (last_position < 10)",
    )
    try:
        run = system.verify()
        assert (run.returncode, run.stdout) == (3, "")
        assert "row-level security" in run.stderr
    finally:
        system.change(
            "DROP POLICY hides ON journal.seals",
            "ALTER TABLE journal.seals DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY",
        )


def test_checkpoints_that_are_not_ours_are_refused(sealed: Sealed, tmp_path: Path) -> None:
    other = tmp_path / "other.pub"
    other.write_bytes(
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for options, told in (
        (("--checkpoint", sealed.checkpoints, "--public-key", other), "no valid signature"),
        (("--checkpoint", tmp_path / "none", "--public-key", other), "No such file"),
        (("--checkpoint", sealed.checkpoints), "--public-key"),
    ):
        run = sealed.verify(*options)
        assert (run.returncode, run.stdout) == (2, "")
        assert told in run.stderr
        assert "Traceback" not in run.stderr


def test_a_database_by_its_url_is_verified(sealed: Sealed, tmp_path: Path) -> None:
    role = OWNERS["touchpoint"]
    password = DataFolder(sealed.up.data).password(role, must_exist=True)
    url = role_url(sealed.up.addresses["sql"], role=role, password=password, database="touchpoint")
    command = ("verify", "--json", "--data", tmp_path / "none")
    for run in (
        touchledger(*command, "--database-url", url),
        touchledger(*command, TOUCHLEDGER_TOUCHPOINT_DATABASE_URL=url),
    ):
        assert json.loads(run.stdout)["position"] == EVENTS, run.stderr


def test_no_database_is_no_verdict(sealed: Sealed, tmp_path: Path) -> None:
    secret = base64.b16encode(b"secret").decode()
    for options, told in (
        (("--data", tmp_path / "none"), "no running system"),
        (("--database-url", f"postgresql://x:{secret}@127.0.0.1:1/touchpoint"), "can't be asked"),
        (("--database-url", sealed.up.database_url("gateway")), "no sealed journal"),
    ):
        run = touchledger("verify", *options)
        assert (run.returncode, run.stdout) == (3, "")
        assert told in run.stderr
        assert "Traceback" not in run.stderr
        assert secret not in run.stderr
