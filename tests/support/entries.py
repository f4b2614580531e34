"""Events for the journal's tests, as its servicer hands them over, and the results that tests expect."""

import hashlib
from datetime import UTC, datetime

from services.touchpoint.appender import Outcome, Result
from services.touchpoint.identity import originator_ids
from services.touchpoint.journal import Journal
from services.touchpoint.row import Attempt, Entry, encode

TOPIC = "touchledger.interaction.v1"


def entry(
    event_id: str, content: str = "as ever", *, tenant: str = "acme", source: str = "till"
) -> Entry:
    return Entry(
        originator_id=originator_ids(tenant, source, [event_id])[0],
        originator_version=1,
        topic=TOPIC,
        state=f"{event_id} {content}".encode(),
        content_digest=hashlib.sha256(content.encode()).digest(),
    )


def attempt(*, tenant: str = "acme", source: str = "till", traceparent: str = "") -> Attempt:
    return Attempt(
        tenant=tenant,
        source=source,
        received_at=datetime(2026, 8, 3, 10, tzinfo=UTC),
        sent_at=None,
        traceparent=traceparent,
    )


async def append(journal: Journal, *entries: Entry) -> list[Result]:
    return await journal.append(encode(attempt(), entries))


def recorded(position: int) -> Result:
    return Result(Outcome.RECORDED, position)


def duplicate(position: int) -> Result:
    return Result(Outcome.DUPLICATE, position)


def id_conflict(position: int) -> Result:
    return Result(Outcome.ID_CONFLICT, position)
