"""The restore drill: a backup under load, a disaster, and a system that is what it was at a moment."""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.json_format import MessageToDict

from tests.support.events import csat, event, feedback, nps
from tests.support.up import (
    Up,
    command,
    environment,
    processes_of,
    running_up,
    touchledger,
    wait_for,
)
from touchledger.v1 import events_pb2

TOUCHPOINTS = [f"store.{name}" for name in ("entrance", "shelf", "advice", "checkout")]
# A fifth is there before the backup, three fifths come during and after it, a fifth after the moment.
PARTS = 5
DISPOSITIONS = ("RECORDED", "QUEUED", "DUPLICATE", "QUARANTINED", "REJECTED")
ENDED_SECONDS_MAX = 120.0
# Each commit of a running system tells the log the time; the projection's lease makes one a second.
COMMITS_SECONDS = 1.5


@dataclass
class Drill:
    """What was done, and how long each step took."""

    steps: dict[str, float] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.steps[what] = time.monotonic() - began


def drill(folder: Path, *, events: int, seed: int, wholly: bool = True) -> Drill:
    """Ends with an AssertionError where something is not as it was.

    wholly: with a dump, a kill of what streams the log, and everything published again.
    """
    done = Drill()
    backups, elsewhere = folder / "backups", folder / "elsewhere"
    elsewhere.mkdir()
    public_key = _signing_key(folder)
    files = _histories(folder, events, seed)
    variables = {
        "TOUCHLEDGER_TOUCHPOINT_CHECKPOINT_FOLDER": str(elsewhere),
        "TOUCHLEDGER_TOUCHPOINT_CHECKPOINT_KEY_FILE": str(folder / "checkpoint.key"),
        "TOUCHLEDGER_TOUCHPOINT_CHECKPOINT_EVERY_SECONDS": "1",
    }
    before = Up(folder, ("--backup-folder", str(backups)), variables)
    try:
        before.wait_until_ready()
        _ok("replay", files[0], "--data", before.data)
        kept = _made_at_the_gateway(before)
        under_load = subprocess.Popen(
            command("replay", files[1], "--data", before.data),
            env=environment(),
            stdout=subprocess.DEVNULL,
        )
        with done.step("backup of a system under load"):
            made = json.loads(_ok("backup", backups, "--data", before.data, "--json"))
        assert under_load.wait(ENDED_SECONDS_MAX) == 0
        if wholly:
            # What could not be streamed meanwhile comes later.
            _kill_streaming(backups)
        position = before.caught_up()
        then = before.scores()
        wait_for(lambda: _streaming(backups), "somebody who streams the log again")
        time.sleep(COMMITS_SECONDS)
        moment = datetime.now(UTC)
        time.sleep(COMMITS_SECONDS)
        _ok("replay", files[2], "--data", before.data)
        lost_to = before.caught_up()
        assert before.scores("--as-of", position) == then
        assert before.scores() != then, "what came after the moment must show"
        wait_for(
            lambda: list(elsewhere.glob(f"*-{lost_to:019}.checkpoint")), "checkpoint of the end"
        )
        done.facts |= {"position of the backup, at least": made["position"]}
    finally:
        _disaster(before)
    with done.step("restore to the moment, verified"):
        restored = json.loads(
            _ok(
                *("restore", backups, "--data", before.data, "--to", moment.isoformat(), "--json"),
                *("--checkpoint", elsewhere, "--public-key", public_key),
            )
        )
    assert restored["intact"]
    assert restored["journal"]["position"] == position
    assert [each["position"] for each in restored["journal"]["ahead"]] == [lost_to]
    # A checkpoint folder is of one journal's life: what it knows of the lost end stays there.
    elsewhere = folder / "elsewhere-after"
    elsewhere.mkdir()
    variables["TOUCHLEDGER_TOUCHPOINT_CHECKPOINT_FOLDER"] = str(elsewhere)
    with contextlib.ExitStack() as running:
        with done.step("start"):
            after = running.enter_context(running_up(folder, **variables))
        assert _same(after.scores("--as-of", position), then)
        assert _same(after.scores(), then)
        assert _kept(after) == kept
        with done.step("rebuild of the read models, row for row equal"):
            _rebuild(after)
        assert _same(after.scores("--as-of", position), then)
        with done.step("what was lost, published again"):
            again = _replayed(after, files[2])
        assert again == {"RECORDED": lost_to - position}, again
        if wholly:
            # All of it was kept: nothing is recorded twice.
            assert _replayed(after, files[0]) == {"DUPLICATE": events // PARTS}
        assert after.caught_up() == lost_to
        if wholly:
            dump = _dump(done, after, backups)
    if wholly:
        _from_dump(done, backups, dump, folder / "from-dump", lost_to)
    done.facts |= {
        "positions restored": position,
        "positions lost, and named": f"{position + 1} to {lost_to}",
    }
    return done


def _histories(folder: Path, events: int, seed: int) -> list[Path]:
    """Three files: what is there before the backup, what comes with it, what comes after the moment."""
    choice = random.Random(seed)
    made = [_some_event(choice, number, events) for number in range(events)]
    cuts = 0, events // PARTS, events - events // PARTS, events
    files = []
    for index, (begin, end) in enumerate(itertools.pairwise(cuts)):
        files.append(folder / f"{index}.ndjson")
        lines = (json.dumps(MessageToDict(each)) for each in made[begin:end])
        files[-1].write_text("".join(f"{line}\n" for line in lines))
    return files


def _some_event(choice: random.Random, number: int, events: int) -> events_pb2.Event:
    occurred_at = datetime(2026, 8, 3, tzinfo=UTC) + timedelta(minutes=number % 10_000)
    envelope: dict[str, object] = {
        "event_id": f"event-{number}",
        "touchpoint": choice.choice(TOUCHPOINTS),
        "customer": f"customer {choice.randrange(500)}",
        "occurred_at": occurred_at.isoformat().replace("+00:00", "Z"),
    }
    kind = choice.random()
    if kind < 0.4:
        return event(**envelope)
    if kind < 0.9:
        signals = csat(str(choice.randint(1, 5))), nps(str(choice.randint(0, 10)))
        return feedback(*signals, **envelope)
    amends = {"event_id": f"event-{choice.randrange(events)}"}
    return event(**envelope, amends=amends, retraction={"reason": "test sale"})


def _made_at_the_gateway(up: Up) -> dict[str, Any]:
    """What only the gateway's database and key know."""
    key = _ok("key", "create", "till-7", "--data", up.data).strip().splitlines()[-1]
    _ok(
        "webhook",
        "create",
        "square.v1",
        "till-8",
        "--public-url",
        "https://x.test",
        "--data",
        up.data,
    )
    bad = up.data.parent / "bad.ndjson"
    body = MessageToDict(feedback(csat("5"), event_id="bad"))
    body["feedbackReceived"]["signals"][0]["value"] = "9"
    bad.write_text(json.dumps(body) + "\n")
    assert _replayed(up, bad) == {"QUARANTINED": 1}
    (up.data.parent / "till-7.key").write_text(key)
    return _kept(up)


def _kept(up: Up) -> dict[str, Any]:
    """As people see it; and that the key still opens."""
    key = (up.data.parent / "till-7.key").read_text()
    file = up.data.parent / "till-7.ndjson"
    file.write_text(json.dumps(MessageToDict(event(event_id="by till-7"))) + "\n")
    _ok("replay", file, "--from-start", "--data", up.data, "--key", key)
    [entry] = [
        json.loads(line)
        for line in _ok("quarantine", "export", "--data", up.data).splitlines()
        if line.strip()
    ]
    webhooks = json.loads(_ok("webhook", "list", "--json", "--data", up.data))
    return {"quarantine": entry, "webhooks": webhooks}


def _rebuild(up: Up) -> None:
    _ok("projection", "rebuild", "--data", up.data)
    head = up.caught_up()

    def filled() -> bool:
        found = up.rows("scoring", "SELECT to_regclass('bi_next.freshness')")
        if found == [(None,)]:
            return False
        return bool(up.rows("scoring", "SELECT position FROM bi_next.freshness") == [(head,)])

    wait_for(filled, "next model", seconds_max=ENDED_SECONDS_MAX)
    # Ends with 1 where a row differs.
    _ok("projection", "diff", "--data", up.data)
    _ok("projection", "switch", "--data", up.data)


def _replayed(up: Up, file: Path) -> dict[str, int]:
    """How many events came to which end."""
    counts = json.loads(_ok("replay", file, "--data", up.data, "--json", good=(0, 1)))
    return {name: count for name, count in counts.items() if count and name in DISPOSITIONS}


def _same(scores: list[dict[str, Any]], then: list[dict[str, Any]]) -> bool:
    """But for the id of the journal, which a restored one has anew, and the position they were asked at."""
    return [_figures(each) for each in scores] == [_figures(each) for each in then]


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in row.items() if name not in ("journal_id", "as_of_position")
    }


def _dump(done: Drill, up: Up, backups: Path) -> str:
    """Its name."""
    admin = up.database_url("postgres")
    with done.step("dump, as of a server that is not ours"):
        made = _ok("backup", backups, "--database-url", admin, "--data", up.data, "--json")
    return str(json.loads(made)["name"])


def _from_dump(done: Drill, backups: Path, name: str, folder: Path, position: int) -> None:
    with done.step("restore of the dump, verified"):
        restored = json.loads(_ok("restore", backups, "--backup", name, "--data", folder, "--json"))
    assert (restored["journal"]["position"], restored["intact"]) == (position, True)


def _streaming(backups: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "pg_receivewal" and str(backups) in " ".join(process.cmdline()):
                found.append(process)
    return found


def _kill_streaming(backups: Path) -> None:
    for process in _streaming(backups):
        process.kill()


def _disaster(up: Up) -> None:
    """kill -9 of all at once, and the data folder gone."""
    for process in processes_of(up.data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process.split()[0]), signal.SIGKILL)
    up.process.wait()
    wait_for(lambda: not processes_of(up.data), "end of all processes")
    shutil.rmtree(up.data)


def _ok(*arguments: object, good: tuple[int, ...] = (0,)) -> str:
    run = touchledger(*arguments)
    assert run.returncode in good, f"{arguments}: {run.stdout}{run.stderr}"
    return run.stdout


def _signing_key(folder: Path) -> Path:
    key, file, public = Ed25519PrivateKey.generate(), folder / "checkpoint.key", folder / "public"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    file.chmod(0o600)
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return public
