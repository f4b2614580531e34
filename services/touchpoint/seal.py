"""The seal: one Merkle root for each commit, chained to the one before. Pure; walk.py checks it.

    root  = the leaves of a commit (row.py) in the order of their positions, hashed up in groups of FAN_OUT:
            SHA-256(0x01 ‖ children), level by level, until one is left; a leaf alone is its own root
    chain = SHA-256(0x02 ‖ chain of the commit before ‖ first position ‖ last position ‖ recorded_at ‖ root)

Positions as eight bytes, recorded_at as in row.py; the chain before the first commit is 32 zero bytes. A
leaf's place in its tree and the first position give its own position, so that a moved row does not fit.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.touchpoint.row import microseconds

NODE = b"\x01"
COMMIT = b"\x02"
# Inner nodes cost a tenth of what they do with two children; a proof of one event in 1000 has 45 hashes
# instead of 10, which nobody notices.
FAN_OUT = 16
NO_CHAIN = bytes(32)


class Group(NamedTuple):
    """A node's children on the way from a leaf to its root, and which of them the way comes from."""

    place: int
    children: list[bytes]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over one leaf or more."""
    level = leaves
    while len(level) > 1:
        level = _above(level)
    return level[0]


def path_to_root(leaves: Sequence[bytes], index: int) -> list[Group]:
    """What is needed besides the leaf at `index` to get to the root."""
    path, level = list[Group](), leaves
    while len(level) > 1:
        start = index - index % FAN_OUT
        path.append(Group(index - start, list(level[start : start + FAN_OUT])))
        level, index = _above(level), index // FAN_OUT
    return path


def chain_of(before: bytes, *, first: int, last: int, recorded_at: datetime, root: bytes) -> bytes:
    parts = (
        COMMIT,
        before,
        first.to_bytes(8, "big"),
        last.to_bytes(8, "big"),
        microseconds(recorded_at),
        root,
    )
    return hashlib.sha256(b"".join(parts)).digest()


def _above(level: Sequence[bytes]) -> list[bytes]:
    return [
        hashlib.sha256(NODE + b"".join(level[start : start + FAN_OUT])).digest()
        for start in range(0, len(level), FAN_OUT)
    ]
