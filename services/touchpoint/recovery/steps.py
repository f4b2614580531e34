"""What an event asks of recovery cases: to open one, to move some along, to close one. Pure."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from services.touchpoint.decisions.checks import CHARACTERS_MAX, PSEUDONYM, TOUCHPOINT, WORD
from services.touchpoint.decisions.decided import Command
from services.touchpoint.decisions.recovery_case import RecoveryCase
from touchledger.v1 import events_pb2 as pb

# Of the events that may ask something.
TOPICS = (
    "touchledger.failure.v1",
    "touchledger.feedback_received.v1",
    "touchledger.remedy.v1",
    "touchledger.goodwill.v1",
    "touchledger.recovery_closed.v1",
    "touchledger.correction.v1",
    "touchledger.retraction.v1",
)
# Who decides, as decisions tell it.
DECIDED_BY = "touchledger/recovery"
# Why it closes a case: the event RecoveryClosed said so; what had opened it did not happen; the score was
# corrected to one that opens none.
ENDED, RETRACTED, CORRECTED = "recovery_closed", "retracted", "corrected"
# Goodwill of a kind that is no word, as decisions have them.
OTHER_GESTURE = "other"
# The body of the event, and what its request id begins with.
REMEDY = "remedy"
OF_THE_WHOLE = (pb.METRIC_CSAT, pb.METRIC_RATING)


@dataclass(frozen=True, slots=True)
class Reference:
    source: str
    event_id: str

    def named(self, prefix: str) -> str:
        """PREFIX/SOURCE/EVENT ID, or a hash where that is too long or could be read in two ways."""
        whole = f"{prefix}/{self.source}/{self.event_id}"
        if len(whole) <= CHARACTERS_MAX and "/" not in self.source:
            return whole
        # Length first, so that ("ab", "c") and ("a", "bc") differ.
        said = f"{len(self.source)}/{self.source}/{self.event_id}"
        return f"{prefix}/{hashlib.sha256(said.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Opening:
    """A failure, or a low score where no case of the episode is open."""

    event: Reference
    case_id: str
    request_id: str
    is_score: bool
    # Of RecoveryCase.Created.
    content: dict[str, Any]
    # As it is counted, here and below.
    name: str = "open"

    @property
    def correlation_id(self) -> str:
        return str(self.content["correlation_id"])

    @property
    def episode(self) -> str:
        return self.correlation_id or str(self.content["customer"])


@dataclass(frozen=True, slots=True)
class Moving:
    """Something that was done about the episode, which is that of a correlation id or else of a customer."""

    event: Reference
    correlation_id: str
    customer: str
    request_id: str
    name: str
    take: Callable[[RecoveryCase, Command], int]

    @property
    def episode(self) -> str:
        return self.correlation_id or self.customer


@dataclass(frozen=True, slots=True)
class Retracting:
    """What had opened the case, or had remedied it, did not happen, or not so."""

    target: Reference
    request_id: str
    reason: str
    name: str = "retraction"

    @property
    def of_remedy(self) -> "TakingBack":
        return TakingBack(self.target.named(REMEDY), self.request_id)


@dataclass(frozen=True, slots=True)
class TakingBack:
    """A remedy that had moved the case did not happen."""

    # The request id of the remedy.
    remedied_by: str
    request_id: str
    name: str = "remedy_retraction"


Step = Opening | Moving | Retracting


@dataclass(frozen=True, slots=True)
class Rules:
    """What opens a case."""

    # Of 100 in the good direction; 0 means that no score does.
    score_points_max: Decimal
    # Between that it occurred and that it was recorded: a history that is brought in opens none.
    age_max: timedelta


def step_of(rules: Rules, source: str, recorded_at: datetime, state: bytes | None) -> Step | None:
    """None where the event asks nothing, or can't be read."""
    try:
        return _step_of(rules, source, recorded_at, pb.Event.FromString(state or b""))
    # The latter two of a time or a number that only a later release knows, or that is none.
    except (DecodeError, ValueError, ArithmeticError):
        return None


def _step_of(rules: Rules, source: str, recorded_at: datetime, event: pb.Event) -> Step | None:
    said = Reference(source, event.event_id)
    target = Reference(event.amends.source or source, event.amends.event_id)
    body = event.WhichOneof("body")
    if body == "retraction":
        return Retracting(target, said.named("retraction"), RETRACTED)
    if body == "correction":
        return _corrected(rules, said, target, recorded_at, event)
    if body in ("failure", "feedback_received"):
        return _opening(rules, said, said, recorded_at, event)
    if body in MOVES and (event.correlation_id or _customer(event)):
        return Moving(
            said, event.correlation_id, _customer(event), said.named(body), body, MOVES[body](event)
        )
    return None


def _corrected(
    rules: Rules, said: Reference, target: Reference, recorded_at: datetime, event: pb.Event
) -> Step | None:
    """As if its target had come as it says, in the place of what had come."""
    body = event.correction.WhichOneof("body")
    if body == "feedback_received" and not _is_low(rules, event.correction.feedback_received):
        return Retracting(target, said.named("correction"), CORRECTED)
    if body in ("failure", "feedback_received"):
        right = pb.Event()
        right.CopyFrom(event)
        getattr(right, body).CopyFrom(getattr(event.correction, body))
        return _opening(rules, said, target, recorded_at, right)
    return None


def _opening(
    rules: Rules, said: Reference, of: Reference, recorded_at: datetime, event: pb.Event
) -> Opening | None:
    """A case of a failure or score that an event has told of."""
    is_score = event.WhichOneof("body") == "feedback_received"
    intake = event.intake
    # By the better clock: a till that is weeks behind tells of today's failures, too.
    corrected = intake.HasField("corrected_occurred_at")
    occurred_at = intake.corrected_occurred_at if corrected else event.occurred_at
    recent = recorded_at - occurred_at.ToDatetime(tzinfo=UTC) <= rules.age_max
    if not recent or not TOUCHPOINT.fullmatch(event.touchpoint):
        return None
    if is_score and not _is_low(rules, event.feedback_received):
        return None
    case_id = of.named("score" if is_score else "failure")
    content = {
        "case_id": case_id,
        "touchpoint": event.touchpoint,
        "customer": _customer(event),
        "severity": pb.Severity.Name(event.failure.severity),
        "correlation_id": event.correlation_id,
        "failure": MessageToDict(
            pb.EventReference(source=of.source, event_id=of.event_id),
            preserving_proto_field_name=True,
        ),
        "assignee": "",
    }
    return Opening(of, case_id, said.named("open"), is_score, content)


def _is_low(rules: Rules, feedback: pb.FeedbackReceived) -> bool:
    return rules.score_points_max > 0 and any(
        _points(each) <= rules.score_points_max
        for each in feedback.signals
        if each.metric in OF_THE_WHOLE and not each.dimension
    )


def _points(signal: pb.Signal) -> Decimal:
    """0 to 100, in the good direction."""
    value, low, high = map(Decimal, (signal.value, signal.scale_min, signal.scale_max))
    points = 100 * (value - low) / (high - low)
    return 100 - points if signal.direction == pb.DIRECTION_LOWER_IS_BETTER else points


def _customer(event: pb.Event) -> str:
    # Decisions can't be erased, so nothing but a pseudonym gets into them.
    return event.customer if PSEUDONYM.fullmatch(event.customer) else ""


def _remedy(event: pb.Event) -> Callable[[RecoveryCase, Command], int]:
    remedy = MessageToDict(event.remedy, preserving_proto_field_name=True)
    return lambda case, command: case.remedy(command, remedy=remedy)


def _goodwill(event: pb.Event) -> Callable[[RecoveryCase, Command], int]:
    goodwill = MessageToDict(event.goodwill, preserving_proto_field_name=True)
    if not WORD.fullmatch(event.goodwill.kind):
        goodwill["kind"] = OTHER_GESTURE
    return lambda case, command: case.give_goodwill(command, goodwill=goodwill)


def _close(event: pb.Event) -> Callable[[RecoveryCase, Command], int]:
    number = event.recovery_closed.result
    result = pb.RecoveryResult.Name(number) if number else ""
    return lambda case, command: case.end(command, result=result, reason=ENDED)


MOVES: dict[str, Callable[[pb.Event], Callable[[RecoveryCase, Command], int]]] = {
    REMEDY: _remedy,
    "goodwill": _goodwill,
    "recovery_closed": _close,
}
