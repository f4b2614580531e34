"""Walks the journal and its seal from the first position on and names the first that is not as it was sealed.

Reads the tables alone, in one snapshot and page by page. What the walk can't see is said by verify.py.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

import asyncpg

from services.chassis.postgres import Connection
from services.touchpoint import stored_rows
from services.touchpoint.checkpoint import Checkpoint
from services.touchpoint.row import LEAF, THIRTY_TWO
from services.touchpoint.seal import COMMIT, NO_CHAIN, root_of
from services.touchpoint.stored_rows import StoredRow, StoredRows

# A view or a foreign table would show what its maker wants, rather than what is stored.
NO_TABLES = """
SELECT relname, relkind::text
  FROM pg_catalog.pg_class
 WHERE relnamespace = to_regnamespace('journal') AND relname IN ('head', 'seals', 'stored_events')
   AND NOT (relkind = 'r' OR relkind = 'p' AND relname = 'stored_events')
 ORDER BY relname
"""
# Nothing stands for what was deleted: NOT NULL holds for those alone who can't drop it.
HEAD = """
SELECT journal_id, coalesce(position, 0) AS position, chain,
       coalesce(timestamptz_send(recorded_at), '') AS recorded_at
  FROM journal.head
"""
SEALS = """
SELECT first_position, last_position, coalesce(timestamptz_send(recorded_at), '') AS recorded_at,
       coalesce(root, '') AS root, chain
  FROM journal.seals
 WHERE last_position >= $1
 ORDER BY last_position
 LIMIT $2
"""
SEALS_COUNT = "SELECT count(*) FROM journal.seals"
BEFORE_FIRST = """
SELECT notification_id FROM journal.stored_events
 WHERE notification_id < 1 OR notification_id IS NULL
 ORDER BY notification_id
 LIMIT 1
"""
NEXT = """
SELECT notification_id FROM journal.stored_events
 WHERE notification_id > $1
 ORDER BY notification_id
 LIMIT 1
"""
# Where seals are read from at first: one that was moved before position 1 is found, too.
LOWEST = -(2**63)
# A page is checked in about 0.1 s, so that progress is shown and a table scan is never chosen.
PAGE_EVENTS = 20_000
PAGE_SEALS = 5_000


class Problem(NamedTuple):
    """The first positions that are not as they were sealed. Of a range, one at least; what says which."""

    first: int
    last: int
    what: str

    def __str__(self) -> str:
        if self.first == self.last:
            return f"position {self.first}: {self.what}"
        return f"positions {self.first} to {self.last}: {self.what}"


class Seal(NamedTuple):
    """One commit as journal.seals has it."""

    first: int
    last: int
    recorded_at: bytes
    root: bytes
    chain: bytes


@dataclass(slots=True)
class Walked:
    """How far everything fits, and what ended the walk before the head."""

    journal_id: UUID | None = None
    position: int = 0
    chain: bytes = NO_CHAIN
    commits: int = 0
    # The last position at which an exported checkpoint says the same.
    agreed: int = 0
    problem: Problem | None = None


async def walk(
    connection: Connection,
    checkpoints: Sequence[Checkpoint] = (),
    *,
    restored_from: Collection[str] = (),
    on_progress: Callable[[int, int], None] = lambda position, head: None,
) -> Walked:
    """`checkpoints`: what was signed for this journal, whose signatures have been checked.

    restored_from: ids of journals whose checkpoints hold for this one, too. The chain does not hold the id,
    and a restored journal goes on with the chain of the one that was backed up.
    on_progress: called with the position up to which all fits, and the head.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _Walk(connection, on_progress).to_the_end(checkpoints, restored_from)


class _Walk:
    def __init__(self, connection: Connection, on_progress: Callable[[int, int], None]) -> None:
        self._connection = connection
        # Those that are still to be met, in the order of positions.
        self._checkpoints = deque[Checkpoint]()
        self._on_progress = on_progress
        self._walked = Walked()
        self._recorded_at = LOWEST
        # A seal that ends before it begins: at no place in the order.
        self._astray: asyncpg.Record | None = None

    async def to_the_end(
        self, checkpoints: Sequence[Checkpoint], restored_from: Collection[str]
    ) -> Walked:
        walked = self._walked
        for name, kind in await self._connection.fetch(NO_TABLES):
            walked.problem = Problem(1, 1, f"can't be told: journal.{name} is no table ({kind})")
            return walked
        heads = await self._connection.fetch(HEAD)
        walked.journal_id = heads[0]["journal_id"] if heads else None
        known = {str(walked.journal_id), *restored_from}
        for each in sorted(checkpoints, key=attrgetter("position")):
            if each.journal_id in known:
                self._checkpoints.append(each)
        walked.problem = (
            await self._before_first()
            or await self._commits(heads)
            or await self._end(heads)
            or _of_another(walked, checkpoints, known)
        )
        return walked

    async def _before_first(self) -> Problem | None:
        rows = await self._connection.fetch(BEFORE_FIRST)
        if not rows:
            return None
        position = rows[0]["notification_id"] or 0
        return Problem(position, position, "no position at all, want 1 and more")

    async def _commits(self, heads: list[asyncpg.Record]) -> Problem | None:
        walked = self._walked
        head = heads[0]["position"] if heads else 0
        read_from = LOWEST
        while rows := await self._connection.fetch(SEALS, read_from, PAGE_SEALS):
            read_from = rows[-1]["last_position"] + 1
            page, out_of_place = self._contiguous(rows)
            while page:
                part = _up_to(page, PAGE_EVENTS)
                page = page[len(part) :]
                if problem := await self._page(part):
                    return problem
                self._on_progress(walked.position, head)
            if out_of_place is not None:
                return await self._unsealed(
                    f"want a seal that begins here, got one of {out_of_place['first_position']} "
                    f"to {out_of_place['last_position']}"
                )
        return None

    def _contiguous(self, rows: list[asyncpg.Record]) -> tuple[list[Seal], asyncpg.Record | None]:
        """The seals that each begin where the one before ended, and the first that does not."""
        seals, after = list[Seal](), self._walked.position
        for row in rows:
            first, last = row["first_position"], row["last_position"]
            if first is None or last < first:
                self._astray = self._astray or row
            elif first != after + 1:
                return seals, row
            else:
                seals.append(Seal(*row.values()))
                after = last
        return seals, None

    async def _page(self, seals: list[Seal]) -> Problem | None:
        walked = self._walked
        rows = StoredRows()
        commits = deque(seals)
        leaves = list[bytes]()
        problem: Problem | None = None

        async def check(data: bytes) -> None:
            nonlocal problem
            if problem:
                return
            for row in rows.feed(data):
                problem = _misplaced(row, walked.position + len(leaves) + 1) or _altered(
                    row, commits[0]
                )
                if problem:
                    return
                leaves.append(hashlib.sha256(LEAF + row.sealed).digest())
                if row.position == commits[0].last:
                    problem = self._commit(commits.popleft(), leaves)
                    leaves.clear()
                    if problem:
                        return

        await stored_rows.read(self._connection, walked.position, seals[-1].last, check)
        if not problem and commits:
            missing = walked.position + len(leaves) + 1
            problem = Problem(missing, commits[0].last, "missing")
        return problem

    def _commit(self, seal: Seal, leaves: list[bytes]) -> Problem | None:
        """One commit whose rows are all there: its root, its link in the chain, its time, its checkpoints."""
        walked = self._walked
        root = root_of(leaves)
        chain = _chain_of(walked.chain, seal, root)
        if (root, chain) != (seal.root, seal.chain):
            return Problem(seal.first, seal.last, _broken(seal, walked.chain, root, chain))
        recorded_at = int.from_bytes(seal.recorded_at, "big", signed=True)
        if recorded_at < self._recorded_at:
            return Problem(seal.first, seal.last, "recorded before the position before")
        self._recorded_at = recorded_at
        walked.position, walked.chain = seal.last, chain
        walked.commits += 1
        while self._checkpoints and self._checkpoints[0].position <= seal.last:
            signed = self._checkpoints.popleft()
            if (signed.position, signed.chain) != (seal.last, chain):
                return Problem(
                    walked.agreed + 1,
                    signed.position,
                    f"not those of checkpoint {signed.name}: written anew, seal and all",
                )
            walked.agreed = signed.position
        return None

    async def _end(self, heads: list[asyncpg.Record]) -> Problem | None:
        """Nothing behind the last seal, a head that stands there, and no checkpoint of more."""
        last = self._walked.position
        if len(heads) != 1:
            return Problem(last, last, f"got {len(heads)} rows in journal.head, want 1")
        [head] = heads
        if head["position"] > last:
            return await self._unsealed("not sealed", last=head["position"])
        if head["position"] < last:
            return Problem(
                head["position"] + 1, last, f"beyond the head, which is at {head['position']}"
            )
        beyond = await self._connection.fetchval(NEXT, last)
        if beyond is not None:
            return Problem(beyond, beyond, f"beyond the head, which is at {last}, and not sealed")
        if self._astray is not None:
            first = self._astray["first_position"]
            return Problem(last, last, f"got a seal of {first} to {self._astray['last_position']}")
        # One with the end of another, or with none, can be where no page begins.
        count = await self._connection.fetchval(SEALS_COUNT)
        if count != self._walked.commits:
            return Problem(last, last, f"got {count} seals, want {self._walked.commits}")
        if head["chain"] != self._walked.chain:
            return Problem(last, last, "the head's chain is not that of the last seal")
        if last and int.from_bytes(head["recorded_at"], "big", signed=True) != self._recorded_at:
            return Problem(last, last, "the head's recorded_at is not that of the last seal")
        if self._checkpoints:
            signed = self._checkpoints[-1]
            return Problem(
                last + 1, signed.position, f"cut off: checkpoint {signed.name} was signed for them"
            )
        return None

    async def _unsealed(self, what: str, *, last: int | None = None) -> Problem:
        """What is wrong with the position after the walked ones, where no seal begins."""
        first = self._walked.position + 1
        following = await self._connection.fetchval(NEXT, self._walked.position)
        if following == first:
            return Problem(first, last or first, what)
        missing = last if following is None else following - 1
        return Problem(first, missing or first, "missing")


def _of_another(
    walked: Walked, checkpoints: Sequence[Checkpoint], known: Collection[str]
) -> Problem | None:
    for each in checkpoints:
        if each.journal_id not in known:
            return Problem(
                each.position,
                each.position,
                f"checkpoint {each.name} is of journal {each.journal_id}, this is {walked.journal_id}: "
                "if it was restored from that one, say so (--restored-from)",
            )
    return None


def _up_to(seals: list[Seal], events_max: int) -> list[Seal]:
    """The first of them that have no more events together, one at least."""
    count = 1
    while count < len(seals) and seals[count].last - seals[0].first < events_max:
        count += 1
    return seals[:count]


def _misplaced(row: StoredRow, want: int) -> Problem | None:
    if row.position == want:
        return None
    if row.position > want:
        return Problem(want, row.position - 1, "missing")
    return Problem(row.position, row.position, "stored more than once")


def _altered(row: StoredRow, seal: Seal) -> Problem | None:
    """What can be said of one row by itself; whatever else was changed shows in the root of its commit."""
    if row.recorded_at != seal.recorded_at:
        return Problem(row.position, row.position, "its recorded_at is not that of its seal")
    state_digest = hashlib.sha256(row.state or b"").digest()
    if row.state is None or not row.sealed.endswith(THIRTY_TWO + state_digest):
        return Problem(row.position, row.position, "its state does not fit its state_digest")
    return None


def _broken(seal: Seal, before: bytes, root: bytes, chain: bytes) -> str:
    """Which of the events, the root and the chain differs, where two of them fit each other."""
    if chain == seal.chain:
        return "their seal's root was changed"
    if root == seal.root:
        return "their seal's chain does not continue the one before"
    if _chain_of(before, seal, seal.root) != seal.chain:
        return "neither they nor their seal are as sealed"
    return "not as sealed" if seal.first == seal.last else "one of them is not as sealed"


def _chain_of(before: bytes, seal: Seal, root: bytes) -> bytes:
    """seal.chain_of, of a recorded_at that may be a time which Python can't hold."""
    parts = (
        COMMIT,
        before,
        seal.first.to_bytes(8, "big"),
        seal.last.to_bytes(8, "big"),
        seal.recorded_at,
        root,
    )
    return hashlib.sha256(b"".join(parts)).digest()
