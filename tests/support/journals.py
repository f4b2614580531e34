"""A journal for the projection's tests: recorded events made by hand, and their projection in pages."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.encoding import TOPICS
from services.scoring.scoreboard import Progress, Scoreboard
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

JOURNAL_ID = "journal-1"
# Position 1 is recorded a second later, position 2 two seconds, and so on.
RECORDED_FROM = datetime(2026, 8, 3, 12, tzinfo=UTC)


def recorded(
    event: pb.Event, position: int, *, tenant: str = "default", source: str = "till"
) -> RecordedEvent:
    body = event.WhichOneof("body")
    assert body is not None
    recorded_at = Timestamp()
    recorded_at.FromDatetime(recorded_at_position(position))
    return RecordedEvent(
        position=position,
        tenant=tenant,
        source=source,
        topic=TOPICS[body],
        event=event.SerializeToString(deterministic=True),
        recorded_at=recorded_at,
    )


def recorded_at_position(position: int) -> datetime:
    return RECORDED_FROM + timedelta(seconds=position)


def journal_of(*events: pb.Event, tenant: str = "default") -> list[RecordedEvent]:
    """These events at positions 1, 2, 3 …"""
    return [recorded(each, number, tenant=tenant) for number, each in enumerate(events, start=1)]


def declared(
    position: int,
    topic: str,
    at: datetime,
    said: Mapping[str, object],
    *,
    tenant: str = "default",
    stream: bytes = b"1" * 16,
) -> RecordedEvent:
    """A decision of the catalogue, as the touchpoint service writes it."""
    state = {"timestamp": {"_type_": "datetime_iso", "_data_": at.isoformat()}, **said}
    recorded_at = Timestamp()
    recorded_at.FromDatetime(recorded_at_position(position))
    return RecordedEvent(
        position=position,
        tenant=tenant,
        source="touchledger",
        topic=topic,
        event=json.dumps(state).encode(),
        recorded_at=recorded_at,
        stream_id=stream,
    )


async def project(
    scoreboard: Scoreboard,
    journal: Sequence[RecordedEvent],
    *,
    page_events: int = 1000,
    head: int | None = None,
) -> None:
    """Projects these events in pages of this size; head: of the journal, if they are not all of it."""
    for start in range(0, len(journal), page_events):
        page = journal[start : start + page_events]
        progress = Progress(
            journal_id=JOURNAL_ID,
            after=page[0].position - 1,
            to=page[-1].position,
            events=len(page),
            recorded_at=page[-1].recorded_at.ToDatetime(tzinfo=UTC),
            head=head or journal[-1].position,
        )
        await scoreboard.project(page, progress)
