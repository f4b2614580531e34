"""Checks a journal's rows against its seal, with nothing of the journal's own reading."""

import hashlib

from services.chassis.postgres import Connection, Pool
from services.touchpoint.row import leaf
from services.touchpoint.seal import NO_CHAIN, chain_of, root_of

SEALS = """
SELECT first_position, last_position, recorded_at, root, chain FROM journal.seals ORDER BY last_position
"""
EVENTS = "SELECT * FROM journal.stored_events ORDER BY notification_id"
HEAD = "SELECT position, chain FROM journal.head"


async def assert_sealed(journal: Pool | Connection) -> int:
    """Computes the chain from the stored rows, while nobody appends; the number of seals."""
    events = await journal.fetch(EVENTS)
    assert [event["notification_id"] for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert event["state_digest"] == hashlib.sha256(event["state"]).digest()
    chain, after = NO_CHAIN, 0
    seals = await journal.fetch(SEALS)
    for seal in seals:
        first, last = seal["first_position"], seal["last_position"]
        assert first == after + 1
        sealed = events[after:last]
        assert {seal["recorded_at"]} == {event["recorded_at"] for event in sealed}
        assert seal["root"] == root_of([leaf(event) for event in sealed])
        chain = chain_of(
            chain, first=first, last=last, recorded_at=seal["recorded_at"], root=seal["root"]
        )
        assert seal["chain"] == chain
        after = last
    head = await journal.fetchrow(HEAD)
    assert head is not None
    assert (head["position"], head["chain"]) == (after, chain)
    assert len(events) == after
    return len(seals)
