"""What events say once amendments are taken into account: an independent reading for folds to start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from touchledger.v1.events_pb2 import Event
from touchledger.v1.journal_pb2 import RecordedEvent


@dataclass(frozen=True)
class Told:
    """An event as it is known at the end: its envelope and body are those of the last correction, if any."""

    position: int
    source: str
    event_id: str
    kind: str
    body: Any
    # Of occurred_at, touchpoint, customer, staff and the rest.
    envelope: Event

    # Kept, since folds sort by it again and again.
    @cached_property
    def occurred_at(self) -> datetime:
        moment: datetime = self.envelope.occurred_at.ToDatetime(tzinfo=UTC)
        return moment

    @cached_property
    def order(self) -> tuple[datetime, int]:
        return self.occurred_at, self.position


def told(journal: Sequence[RecordedEvent], *, before: datetime | None = None) -> list[Told]:
    """Of one tenant, in the order of positions, without what was retracted or occurred later."""
    events = [(each, Event.FromString(each.event)) for each in journal]
    by_key = {(each.source, event.event_id): event for each, event in events}
    last: dict[tuple[str, str], Event] = {}
    for each, event in events:
        if event.HasField("amends"):
            key = (event.amends.source or each.source, event.amends.event_id)
            target = by_key.get(key)
            if target is None or target.HasField("amends"):
                continue
            if event.HasField("correction") and (
                event.correction.WhichOneof("body") != target.WhichOneof("body")
            ):
                continue
            last[key] = event
    found = []
    for each, event in events:
        if event.HasField("amends"):
            continue
        said = last.get((each.source, event.event_id), event)
        if said.HasField("retraction"):
            continue
        kind = str(event.WhichOneof("body"))
        body = getattr(said.correction if said.HasField("correction") else said, kind)
        found.append(Told(each.position, each.source, event.event_id, kind, body, said))
    return [each for each in found if before is None or each.occurred_at < before]
