"""Checks a proof of `touchledger verify --event`: python check_proof.py PROOF CHECKPOINT."""

import base64
import hashlib
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NAMES = "tenant source received_at sent_at traceparent originator_id originator_version topic"


def check(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"not proven: {what}")


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def number(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


def time(text: str) -> bytes:
    since_2000 = datetime.fromisoformat(text) - datetime(2000, 1, 1, tzinfo=UTC)
    return number(since_2000 // timedelta(microseconds=1))


proof = json.loads(Path(sys.argv[1]).read_text())
event, commit, position = proof["event"], proof["commit"], proof["position"]
check(sha256(bytes.fromhex(proof["state"])).hex() == event["state_digest"], "state")
text, binary, names = str.encode, bytes.fromhex, [*NAMES.split(), "content_digest", "state_digest"]
kinds: Any = (text, text, time, time, text, binary, number, text, binary, binary)
leaf = b"\x00"
for name, encoded in zip(names, kinds, strict=True):
    content = None if event[name] is None else encoded(event[name])
    leaf += b"\xff" * 4 if content is None else len(content).to_bytes(4, "big") + content
digest, index = sha256(leaf), position - commit["first"]
count = commit["last"] - commit["first"] + 1
check(0 <= index < count, "position")
for group in commit["path"]:
    children = [bytes.fromhex(child) for child in group]
    check(len(children) == min(16, count - index + index % 16), "size of a group")
    check({32} == set(map(len, children)) and children[index % 16] == digest, "path")
    digest, index, count = sha256(b"\x01", *children), index // 16, (count + 15) // 16
chain, first = bytes.fromhex(commit["chain_before"]), commit["first"]
own = commit["last"], commit["recorded_at"], digest.hex()
for last, recorded_at, root in [own, *proof["following"]]:
    parts = number(first), number(last), time(recorded_at), bytes.fromhex(root)
    chain, first = sha256(b"\x02", chain, *parts), last + 1
reached = [proof["journal_id"], str(first - 1), base64.b64encode(chain).decode()]
trusted = Path(sys.argv[2]).read_text().removeprefix("touchledger/journal/").split("\n")[:3]
check(reached == trusted, "checkpoint")
print(f"position {position} is in the journal, recorded at {commit['recorded_at']}:")
print(*(f"{name}={event[name]!r}" for name in ("tenant", "source", "topic", "originator_id")))
