"""A touchpoint's definition: what may be decided about it, and what was. catalog.proto is the manual."""

from typing import Any
from uuid import UUID

from eventsourcing.domain import Aggregate

from services.touchpoint.decisions.decided import Command, Decided

ACTIVE, RETIRED = "active", "retired"


class TouchpointDefinition(Decided):
    TOPIC = "touchledger.touchpoint_definition.v1"
    KIND = "touchpoint_definition"
    NAME_FIELD = "touchpoint"
    # One a month for forty years.
    DECISIONS_MAX = 500

    class Event(Decided.Event):
        pass

    # The library looks for this name.
    class Created(Event, Aggregate.Created):
        TOPIC = "touchledger.touchpoint_definition.registered.v1"
        touchpoint: str
        stage: str
        channel: str
        owner: str
        weight: str
        expectation: dict[str, Any] | None

        def apply(self, aggregate: "TouchpointDefinition") -> None:
            super().apply(aggregate)
            aggregate.name = aggregate.touchpoint = self.touchpoint
            aggregate.is_as_in(self)

    class Reinstated(Event):
        TOPIC = "touchledger.touchpoint_definition.reinstated.v1"
        touchpoint: str
        stage: str
        channel: str
        owner: str
        weight: str
        expectation: dict[str, Any] | None

        def apply(self, aggregate: "TouchpointDefinition") -> None:
            super().apply(aggregate)
            aggregate.is_as_in(self)

    class Moved(Event):
        TOPIC = "touchledger.touchpoint_definition.moved.v1"
        stage: str
        channel: str

        def apply(self, aggregate: "TouchpointDefinition") -> None:
            super().apply(aggregate)
            aggregate.stage, aggregate.channel = self.stage, self.channel

    class OwnerChanged(Event):
        TOPIC = "touchledger.touchpoint_definition.owner_changed.v1"
        owner: str

        def apply(self, aggregate: "TouchpointDefinition") -> None:
            super().apply(aggregate)
            aggregate.owner = self.owner

    class WeightChanged(Event):
        TOPIC = "touchledger.touchpoint_definition.weight_changed.v1"
        weight: str

        def apply(self, aggregate: "TouchpointDefinition") -> None:
            super().apply(aggregate)
            aggregate.weight = self.weight

    class ExpectationChanged(Event):
        TOPIC = "touchledger.touchpoint_definition.expectation_changed.v1"
        expectation: dict[str, Any]

        def apply(self, aggregate: "TouchpointDefinition") -> None:
            super().apply(aggregate)
            aggregate.expectation = self.expectation

    class Retired(Event):
        TOPIC = "touchledger.touchpoint_definition.retired.v1"
        reason: str

        def apply(self, aggregate: "TouchpointDefinition") -> None:
            super().apply(aggregate)
            aggregate.status = RETIRED

    def __init__(self) -> None:
        super().__init__()
        self.stage: str
        self.channel: str
        self.weight: str
        self.expectation: dict[str, Any] | None

    def is_as_in(self, event: "Created | Reinstated") -> None:
        self.status = ACTIVE
        self.stage, self.channel = event.stage, event.channel
        self.owner, self.weight = event.owner, event.weight
        self.expectation = event.expectation

    @classmethod
    def define(
        cls, originator_id: UUID, command: Command, **content: Any
    ) -> "TouchpointDefinition":
        return cls._create(
            cls.Created,
            id=originator_id,
            timestamp=command.at,
            request_id=command.request_id,
            decided_by=command.decided_by,
            **content,
        )

    def define_again(self, command: Command, **content: Any) -> int:
        """A retired one; or the request that has defined it comes again."""
        earlier = type(self.requests.get(command.request_id))
        event = self.Created if earlier is self.Created else self.Reinstated
        return self.decide(event, command, only_in=(RETIRED,), **content)

    def change(self, command: Command, event: type[Decided.Event], **content: Any) -> int:
        return self.decide(event, command, only_in=(ACTIVE,), **content)

    def retire(self, command: Command, *, reason: str) -> int:
        return self.decide(self.Retired, command, only_in=(ACTIVE,), ends=True, reason=reason)
