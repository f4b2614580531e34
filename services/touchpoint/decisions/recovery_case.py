"""A recovery case: what may be decided from a failure to its end, and what was. cases.proto is the manual."""

from typing import Any
from uuid import UUID

from eventsourcing.domain import Aggregate

from services.chassis.errors import Conflict
from services.touchpoint.decisions.decided import Command, Decided

OPEN, ACKNOWLEDGED, REMEDIED, CLOSED = "open", "acknowledged", "remedied", "closed"
GOING_ON = (OPEN, ACKNOWLEDGED, REMEDIED)


class RecoveryCase(Decided):
    TOPIC = "touchledger.recovery_case.v1"
    KIND = "recovery_case"
    NAME_FIELD = "case_id"
    # A page of 100 such cases is one message of at most 8 MiB.
    DECISIONS_MAX = 100

    class Event(Decided.Event):
        pass

    # The library looks for this name.
    class Created(Event, Aggregate.Created):
        TOPIC = "touchledger.recovery_case.opened.v1"
        case_id: str
        touchpoint: str
        customer: str
        severity: str
        correlation_id: str
        failure: dict[str, Any] | None
        assignee: str

        def apply(self, aggregate: "RecoveryCase") -> None:
            super().apply(aggregate)
            aggregate.name, aggregate.touchpoint = self.case_id, self.touchpoint
            aggregate.owner = self.assignee
            aggregate.status, aggregate.opened = OPEN, self

    class Acknowledged(Event):
        TOPIC = "touchledger.recovery_case.acknowledged.v1"
        assignee: str

        def apply(self, aggregate: "RecoveryCase") -> None:
            super().apply(aggregate)
            aggregate.owner = self.assignee or aggregate.owner
            aggregate.status, aggregate.acknowledged = ACKNOWLEDGED, self

    class Remedied(Event):
        TOPIC = "touchledger.recovery_case.remedied.v1"
        remedy: dict[str, Any]

        def apply(self, aggregate: "RecoveryCase") -> None:
            super().apply(aggregate)
            aggregate.status = REMEDIED
            aggregate.remedies.append(self)

    class RemedyRetracted(Event):
        TOPIC = "touchledger.recovery_case.remedy_retracted.v1"
        # The request id of the remedy that was none.
        remedied_by: str

        def apply(self, aggregate: "RecoveryCase") -> None:
            super().apply(aggregate)
            aggregate.remedies = [
                each for each in aggregate.remedies if each.request_id != self.remedied_by
            ]
            if aggregate.status == REMEDIED and not aggregate.remedies_since_opening():
                aggregate.status = ACKNOWLEDGED if aggregate.acknowledged else OPEN

    class GoodwillGiven(Event):
        TOPIC = "touchledger.recovery_case.goodwill_given.v1"
        goodwill: dict[str, Any]

        def apply(self, aggregate: "RecoveryCase") -> None:
            super().apply(aggregate)
            aggregate.gestures.append(self)

    class Closed(Event):
        TOPIC = "touchledger.recovery_case.closed.v1"
        result: str
        reason: str

        def apply(self, aggregate: "RecoveryCase") -> None:
            super().apply(aggregate)
            aggregate.status, aggregate.closed = CLOSED, self

    class Reopened(Event):
        TOPIC = "touchledger.recovery_case.reopened.v1"
        reason: str

        def apply(self, aggregate: "RecoveryCase") -> None:
            super().apply(aggregate)
            aggregate.status, aggregate.acknowledged, aggregate.closed = OPEN, None, None
            aggregate.reopenings.append(self)

    def __init__(self) -> None:
        super().__init__()
        self.opened: RecoveryCase.Created
        self.acknowledged: RecoveryCase.Acknowledged | None = None
        self.remedies = list[RecoveryCase.Remedied]()
        self.gestures = list[RecoveryCase.GoodwillGiven]()
        self.closed: RecoveryCase.Closed | None = None
        self.reopenings = list[RecoveryCase.Reopened]()

    @classmethod
    def open(cls, originator_id: UUID, command: Command, **content: Any) -> "RecoveryCase":
        return cls._create(
            cls.Created,
            id=originator_id,
            timestamp=command.at,
            request_id=command.request_id,
            decided_by=command.decided_by,
            **content,
        )

    def open_again(self, command: Command, **content: Any) -> int:
        """Only the request that has opened it may come again."""
        exists = Conflict("an id of no other case", code="CASE_EXISTS", field="case_id")
        statuses = (*GOING_ON, CLOSED)
        return self.decide(
            self.Created, command, only_in=statuses, unless=exists, ends=True, **content
        )

    def acknowledge(self, command: Command, *, assignee: str) -> int:
        return self.decide(self.Acknowledged, command, only_in=(OPEN,), assignee=assignee)

    def remedy(self, command: Command, *, remedy: dict[str, Any]) -> int:
        return self.decide(self.Remedied, command, only_in=GOING_ON, remedy=remedy)

    def retract_remedy(self, command: Command, *, remedied_by: str) -> int:
        """A remedy did not happen. What was before a reopening was not enough anyhow, and stays told."""
        known = any(each.request_id == remedied_by for each in self.remedies_since_opening())
        none = Conflict("a remedy since the case was opened", code="NO_SUCH_REMEDY")
        return self.decide(
            self.RemedyRetracted,
            command,
            only_in=(*GOING_ON, CLOSED),
            unless=None if known else none,
            ends=True,
            remedied_by=remedied_by,
        )

    def remedies_since_opening(self) -> list[Remedied]:
        """Or since it was reopened."""
        since = self.reopenings[-1].originator_version if self.reopenings else 0
        return [each for each in self.remedies if each.originator_version > since]

    def give_goodwill(self, command: Command, *, goodwill: dict[str, Any]) -> int:
        return self.decide(self.GoodwillGiven, command, only_in=(REMEDIED,), goodwill=goodwill)

    def close(self, command: Command, *, result: str, reason: str) -> int:
        return self.decide(
            self.Closed,
            command,
            only_in=GOING_ON,
            unless=self._against_closing(result, reason),
            ends=True,
            result=result,
            reason=reason,
        )

    def end(self, command: Command, *, result: str, reason: str) -> int:
        """What events say about it is so, whatever was decided here."""
        return self.decide(
            self.Closed, command, only_in=GOING_ON, ends=True, result=result, reason=reason
        )

    def reopen(self, command: Command, *, reason: str) -> int:
        return self.decide(self.Reopened, command, only_in=(CLOSED,), reason=reason)

    def _against_closing(self, result: str, reason: str) -> Conflict | None:
        if self.status == REMEDIED:
            want = "what the customer made of the remedy"
            return None if result else Conflict(want, code="RESULT_MISSING", field="result")
        if result == "RECOVERY_RESULT_ACCEPTED":
            want = "a remedy before it is accepted"
            return Conflict(want, code="NOTHING_TO_ACCEPT", field="status", got=self.status)
        want = "why it is closed without a remedy"
        return None if reason else Conflict(want, code="REASON_MISSING", field="reason")
