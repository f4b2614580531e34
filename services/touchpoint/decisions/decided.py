"""What aggregates of decisions share: each command counts once, by its request id, whenever it is repeated.

Pure: no clock and no database; the time of a decision comes with its command. What is stored of an event is
its literal TOPIC and, as JSON, its own fields and those of Event. A field that is added makes a class_version
2 and an upcast_v1_v2 of the event class, another meaning makes another topic; both are kept for ever.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventsourcing.domain import Aggregate

from services.chassis.errors import Conflict

ENVELOPE = {"originator_id", "originator_version", "originator_topic", "timestamp", "request_id"}


@dataclass(frozen=True, slots=True)
class Command:
    """Who decides, when, under which id the command is repeated, and on which version it rests if any."""

    request_id: str
    decided_by: str
    at: datetime
    expected_version: int | None = None


class Decided(Aggregate):
    # What kind of stream it is, in stream ids and lists, and the field of requests that names one. Without
    # annotations, which the library would make a dataclass of.
    KIND = ""
    NAME_FIELD = ""
    # Each command reads its whole stream, so that streams are bounded; what ends it is always taken.
    DECISIONS_MAX = 0

    def __init__(self) -> None:
        # What it is called within tenant and kind, and by what else lists find it.
        self.name: str
        self.status: str
        self.touchpoint: str
        self.owner: str
        self.last: Decided.Event
        self.requests = dict[str, Decided.Event]()

    class Event(Aggregate.Event):
        request_id: str
        decided_by: str

        def apply(self, aggregate: Any) -> None:
            aggregate.requests[self.request_id] = self
            aggregate.last = self

        def content(self) -> dict[str, Any]:
            """What was decided, whenever and wherever."""
            return {name: value for name, value in vars(self).items() if name not in ENVELOPE}

    def decide(
        self,
        event: type[Event],
        command: Command,
        *,
        only_in: Collection[str],
        unless: Conflict | None = None,
        ends: bool = False,
        **content: Any,
    ) -> int:
        """The version that the command makes now or, when it is a repeated one, has made then.

        A new one is taken in some states only, and unless a rule of its kind is against it.
        """
        earlier = self.requests.get(command.request_id)
        if earlier is not None:
            content |= {"decided_by": command.decided_by}
            if type(earlier) is event and earlier.content() == content:
                return earlier.originator_version
            raise Conflict(
                "another request id for another command",
                code="REQUEST_ID_CONFLICT",
                field="request_id",
                got=command.request_id,
            )
        if command.expected_version not in (None, self.version):
            raise Conflict(
                f"{self.version}, the version that is stored",
                code="VERSION_MISMATCH",
                field="expected_version",
                got=str(command.expected_version),
            )
        if self.status not in only_in:
            want = " or ".join(only_in)
            raise Conflict(want, code="WRONG_STATUS", field="status", got=self.status)
        if self.version >= self.DECISIONS_MAX and not ends:
            raise Conflict(
                f"at most {self.DECISIONS_MAX} decisions",
                code="TOO_MANY_DECISIONS",
                got=f"{self.version}",
            )
        if unless is not None:
            raise unless
        self.trigger_event(
            event,
            timestamp=command.at,
            request_id=command.request_id,
            decided_by=command.decided_by,
            **content,
        )
        return self.version
