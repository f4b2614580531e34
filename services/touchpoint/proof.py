"""The proof that one event is in the journal, for somebody who has a checkpoint and trusts nothing else here.

check_proof.py checks it and shares no line with us; PROOFS.md explains it. Its length grows with the commits
between the event and the checkpoint, a hundred bytes each: checkpoints that are exported often keep it short.
"""

import hashlib
from typing import Any
from uuid import UUID

from services.chassis.errors import Conflict, Corrupt, NotFound
from services.chassis.postgres import Connection
from services.touchpoint import stored_rows
from services.touchpoint.checkpoint import Checkpoint
from services.touchpoint.row import LEAF
from services.touchpoint.seal import NO_CHAIN, chain_of, path_to_root, root_of
from services.touchpoint.stored_rows import StoredRows

# A day at ten commits a second; the proof has 100 MB then.
COMMITS_MAX = 1_000_000
COMMITS_PAGE = 5_000

POSITION = """
SELECT notification_id FROM journal.stored_events
 WHERE originator_id = $1 AND originator_version = 1
"""
EVENT = """
SELECT tenant, source, received_at, sent_at, traceparent, originator_id, originator_version, topic,
       content_digest, state_digest, state
  FROM journal.stored_events
 WHERE notification_id = $1
"""
JOURNAL_ID = "SELECT journal_id FROM journal.head"
CHAIN_AT = "SELECT chain FROM journal.seals WHERE last_position = $1"
SEALS = """
SELECT first_position, last_position, recorded_at, root, chain
  FROM journal.seals
 WHERE last_position >= $1 AND ($2::bigint IS NULL OR last_position <= $2)
 ORDER BY last_position
 LIMIT $3
"""


async def journal_id_of(connection: Connection) -> str:
    return str(await connection.fetchval(JOURNAL_ID))


async def position_of(connection: Connection, originator_id: bytes) -> int:
    """Where the published event is that has this stream to itself."""
    position = await connection.fetchval(POSITION, UUID(bytes=originator_id))
    if position is None:
        raise NotFound("the id, tenant and source of an event", field="event")
    return int(position)


async def prove(
    connection: Connection, position: int, *, until: Checkpoint | None
) -> dict[str, Any]:
    """The proof, ready for JSON, from this event up to the checkpoint; None is the last commit.

    Raises Corrupt where what is stored proves nothing: then `verify` names the place.
    """
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _prove(connection, position, until)
    except OverflowError:
        # A time or position that was never written by the service.
        raise _nothing_proven(position) from None


async def _prove(connection: Connection, position: int, until: Checkpoint | None) -> dict[str, Any]:
    event = await connection.fetchrow(EVENT, position)
    last_wanted = until.position if until else None
    seals = await connection.fetch(SEALS, position, last_wanted, 1)
    if event is None or not seals:
        raise NotFound("a position of the journal", field="position", got=str(position))
    [seal] = seals
    first, last = seal["first_position"], seal["last_position"]
    leaves = await _leaves(connection, first, last)
    before = NO_CHAIN if first == 1 else await connection.fetchval(CHAIN_AT, first - 1)
    if not first <= position <= last or len(leaves) != last - first + 1 or before is None:
        raise _nothing_proven(position)
    chain = chain_of(
        before,
        first=first,
        last=last,
        recorded_at=seal["recorded_at"],
        root=root_of(leaves),
    )
    if chain != seal["chain"]:
        raise _nothing_proven(position)
    following, reached = await _following(connection, last, chain, last_wanted)
    if until and reached != (until.position, until.chain):
        raise _nothing_proven(until.position)
    state = event["state"]
    if hashlib.sha256(state).digest() != event["state_digest"]:
        raise _nothing_proven(position)
    shown = {name: _shown(value) for name, value in event.items() if name != "state"}
    return {
        "journal_id": await journal_id_of(connection),
        "position": position,
        "event": shown,
        "state": state.hex(),
        "commit": {
            "first": first,
            "last": last,
            "recorded_at": seal["recorded_at"].isoformat(),
            "chain_before": before.hex(),
            "path": [
                [child.hex() for child in group.children]
                for group in path_to_root(leaves, position - first)
            ],
        },
        "following": following,
    }


async def _leaves(connection: Connection, first: int, last: int) -> list[bytes]:
    rows, leaves = StoredRows(), list[bytes]()

    async def add(data: bytes) -> None:
        leaves.extend(hashlib.sha256(LEAF + row.sealed).digest() for row in rows.feed(data))

    await stored_rows.read(connection, first - 1, last, add)
    return leaves


async def _following(
    connection: Connection, end: int, chain: bytes, until: int | None
) -> tuple[list[list[Any]], tuple[int, bytes]]:
    """The commits after the event's own, and the position and chain that they lead to."""
    following = list[list[Any]]()
    while seals := await connection.fetch(SEALS, end + 1, until, COMMITS_PAGE):
        for seal in seals:
            last, recorded_at, root = seal["last_position"], seal["recorded_at"], seal["root"]
            if seal["first_position"] != end + 1:
                raise _nothing_proven(end + 1)
            chain = chain_of(chain, first=end + 1, last=last, recorded_at=recorded_at, root=root)
            if chain != seal["chain"]:
                raise _nothing_proven(end + 1)
            following.append([last, recorded_at.isoformat(), root.hex()])
            end = last
        if len(following) > COMMITS_MAX:
            raise Conflict(f"a checkpoint within {COMMITS_MAX} commits after the event")
    return following, (end, chain)


def _nothing_proven(position: int) -> Corrupt:
    return Corrupt("what was sealed", field="position", got=f"something else at {position}")


def _shown(value: Any) -> Any:
    if isinstance(value, UUID | bytes):
        return value.hex if isinstance(value, UUID) else value.hex()
    return value if value is None or isinstance(value, int | str) else value.isoformat()
