"""Decisions as the journal stores them: literal topics, and the same JSON bytes for the same decision.

No float and no path of a module is in it: exact numbers are decimal strings, as on the wire.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar, cast
from uuid import UUID

import asyncpg
from eventsourcing.domain import CanMutateAggregate
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent
from eventsourcing.utils import TopicError

from services.chassis.errors import Corrupt
from services.touchpoint.decisions.decided import Decided
from services.touchpoint.row import Entry

D = TypeVar("D", bound=Decided)


def _mapper() -> Mapper[UUID]:
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    # Not in the order that the code happens to have.
    transcoder.encoder.sort_keys = True
    return Mapper(transcoder)


MAPPER = _mapper()


def entries(events: Iterable[CanMutateAggregate[UUID]]) -> list[Entry]:
    made = list[Entry]()
    for event in events:
        stored = MAPPER.to_stored_event(event)
        made.append(
            Entry(
                originator_id=event.originator_id.bytes,
                originator_version=event.originator_version,
                topic=stored.topic,
                state=stored.state,
                # Nothing personal is in it that a plain hash could give away.
                content_digest=hashlib.sha256(stored.state).digest(),
            )
        )
    return made


def fold(kind: type[D], rows: Sequence[asyncpg.Record]) -> D | None:
    """The aggregate after these first events of its stream; None when there are none."""
    aggregate: D | None = None
    for row in rows:
        stored = StoredEvent(
            row["originator_id"], row["originator_version"], row["topic"], row["state"]
        )
        try:
            event = cast(CanMutateAggregate[UUID], MAPPER.to_domain_event(stored))
        except TopicError:
            # By a later release, most likely, which this one was put in the place of.
            raise Corrupt(
                "topics that this release knows", field="topic", got=row["topic"]
            ) from None
        aggregate = event.mutate(aggregate)
    return aggregate
