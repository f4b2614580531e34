"""From stored events to rows of schema bi: pure, no clock, no database.

A body that has a fact table has one function here that makes its rows; the others have their row in bi.event
alone. An amendment's rows stand in the place of its target's; `settle` says from which position on.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import DecodeError

from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

log = structlog.get_logger()

Row = list[Any]
# Tenant, source, event id.
Key = tuple[str, str, str]

# The years that bi.dim_date has from the start.
FIRST_YEAR, LAST_YEAR = 1990, 2059
EVENT_COLUMNS = (
    *(
        "tenant",
        "position",
        "source",
        "event_id",
        "topic",
        "occurred_at",
        "recorded_at",
        "touchpoint",
    ),
    *("customer", "correlation_id", "causation_id", "staff", "store", "device", "business_date"),
)
FACT_COLUMNS = (
    *("tenant", "event_position", "from_position", "to_position", "occurred_at", "occurred_date"),
    *("touchpoint", "stage", "channel", "customer"),
)
EVENT_POSITION, FROM_POSITION, TO_POSITION, OCCURRED_DATE = 1, 2, 3, 5
TABLES: dict[str, tuple[str, ...]] = {
    "fact_interaction": (
        *FACT_COLUMNS,
        *("service_mode", "outcome", "duration_seconds", "wait_seconds", "amount", "currency"),
        "options_presented",
    ),
    "fact_feedback_request": (*FACT_COLUMNS, "decision", "reason", "survey"),
    "fact_feedback": (
        *FACT_COLUMNS,
        *("signal_index", "kind", "request_id", "metric", "value", "scale_min", "scale_max"),
        *("higher_is_better", "dimension", "question", "model"),
    ),
}


@dataclass(frozen=True, slots=True)
class Amendment:
    """A correction or retraction, and the event that it amends."""

    target: Key
    position: int
    event: pb.Event


@dataclass(slots=True)
class Facts:
    """What a page adds: rows for each table, and the amendments to settle."""

    events: list[Row] = field(default_factory=list)
    # Days of facts outside of those that bi.dim_date has from the start.
    unusual_days: set[date] = field(default_factory=set)
    # First position at which a (tenant, touchpoint) was named.
    touchpoints: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})
    amendments: list[Amendment] = field(default_factory=list)


@dataclass(slots=True)
class Settled:
    """What amendments change beyond the page's own rows."""

    # (tenant, event position, position that its stored rows end at), at most one for each event.
    endings: list[tuple[str, int, int]]
    # Those whose target is not there yet, or is itself an amendment.
    waiting: list[Amendment]


def columns(events: Iterable[RecordedEvent]) -> Facts:
    """The page's rows, as if nothing were ever amended."""
    facts = Facts()
    for recorded in events:
        if not _is_published(recorded.topic):
            # Bytes of another kind, of which nothing may be taken for an Event by chance.
            event = pb.Event(event_id=f"decision at {recorded.position}")
        else:
            event = read(recorded.event)
        _lineage(facts, recorded, event)
        body = event.WhichOneof("body")
        if body in AMENDMENTS:
            # It may wait in this database for its target: without what is personal, which must not be here.
            event.ClearField("sealed_personal")
            target = (
                recorded.tenant,
                event.amends.source or recorded.source,
                event.amends.event_id,
            )
            facts.amendments.append(Amendment(target, recorded.position, event))
        elif body in BODIES:
            made = _rows(
                event,
                body,
                getattr(event, body),
                tenant=recorded.tenant,
                event_position=recorded.position,
                from_position=recorded.position,
            )
            facts.rows[BODIES[body][0]].extend(made)
            facts.unusual_days.update(_unusual_days(made))
    return facts


def settle(
    facts: Facts, amendments: Sequence[Amendment], stored: dict[Key, tuple[int, str]]
) -> Settled:
    """Applies the amendments to the page's rows, and says what they change outside of it.

    stored: position and topic of the targets that an earlier page held. The last amendment of an event in
    journal order counts, be it a correction after a retraction. One that came before its target works from
    the target's position on. One whose target is an amendment, or whose body is of another kind than the
    target's, is kept waiting and changes nothing.
    """
    targets = dict(stored)
    for row in facts.events:
        targets[row[0], row[2], row[3]] = row[1], row[4]
    by_event: dict[int, list[Row]] = {}
    for rows in facts.rows.values():
        for row in rows:
            by_event.setdefault(row[EVENT_POSITION], []).append(row)
    endings: dict[tuple[str, int], int] = {}
    waiting = []
    for amendment in sorted(amendments, key=lambda each: each.position):
        tenant, _, _ = amendment.target
        position, topic = targets.get(amendment.target, (0, ""))
        said = amendment.event.WhichOneof("body")
        kind = amendment.event.correction.WhichOneof("body") if said == "correction" else None
        if (
            not position
            or topic in AMENDMENT_TOPICS
            or (kind and topic != f"touchledger.{kind}.v1")
        ):
            waiting.append(amendment)
            continue
        since = max(amendment.position, position)
        endings.setdefault((tenant, position), since)
        for row in by_event.get(position, ()):
            row[TO_POSITION] = row[TO_POSITION] or since
        if kind in BODIES:
            made = _rows(
                amendment.event,
                kind,
                getattr(amendment.event.correction, kind),
                tenant=tenant,
                event_position=position,
                from_position=since,
            )
            facts.rows[BODIES[kind][0]].extend(made)
            facts.unusual_days.update(_unusual_days(made))
            by_event.setdefault(position, []).extend(made)
    for table, rows in facts.rows.items():
        # What would end where it begins was never known.
        facts.rows[table] = [row for row in rows if row[FROM_POSITION] != row[TO_POSITION]]
    return Settled([(*key, since) for key, since in endings.items()], waiting)


def read(state: bytes) -> pb.Event:
    """The event; an empty one where the bytes are none, so that it stays visible and stops nobody."""
    try:
        return pb.Event.FromString(state)
    except DecodeError:
        return pb.Event()


def _is_published(topic: str) -> bool:
    """Of a source. Others are decisions, of ours or of an application: no metric reads them."""
    return topic.startswith("touchledger.") and not topic.startswith(DECISIONS)


DECISIONS = ("touchledger.touchpoint_definition.", "touchledger.recovery_case.")
AMENDMENTS = {"correction", "retraction"}
AMENDMENT_TOPICS = {"touchledger.correction.v1", "touchledger.retraction.v1"}


def _lineage(facts: Facts, recorded: RecordedEvent, event: pb.Event) -> None:
    place = event.place
    occurred_at = (
        event.occurred_at.ToDatetime(tzinfo=UTC) if event.HasField("occurred_at") else None
    )
    if event.touchpoint:
        facts.touchpoints.setdefault((recorded.tenant, event.touchpoint), recorded.position)
    facts.events.append(
        [
            recorded.tenant,
            recorded.position,
            recorded.source,
            # Unreadable bytes have no id; the key needs one.
            event.event_id or f"unreadable at {recorded.position}",
            recorded.topic,
            occurred_at,
            recorded.recorded_at.ToDatetime(tzinfo=UTC),
            event.touchpoint or None,
            event.customer or None,
            event.correlation_id or None,
            event.causation_id or None,
            event.staff or None,
            place.store or None,
            place.device or None,
            _day(place.business_date),
        ]
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _rows(
    event: pb.Event,
    kind: str,
    body: Any,
    *,
    tenant: str,
    event_position: int,
    from_position: int,
) -> list[Row]:
    """The fact's rows; none where the event says what only a later release can read."""
    occurred_at: datetime = event.occurred_at.ToDatetime(tzinfo=UTC)
    try:
        shared = [
            tenant,
            event_position,
            from_position,
            None,
            occurred_at,
            occurred_at.date(),
            event.touchpoint,
            STAGE[body.stage],
            CHANNEL[body.channel],
            event.customer or None,
        ]
        return [shared + row for row in BODIES[kind][1](body)]
    except (KeyError, ArithmeticError) as error:
        # Its row in bi.event stays, and the stream goes on: the journal can't be mended, this release can.
        log.error("no fact", position=event_position, kind=kind, error=type(error).__name__)
        return []


def _unusual_days(rows: list[Row]) -> set[date]:
    return {
        row[OCCURRED_DATE] for row in rows if not FIRST_YEAR <= row[OCCURRED_DATE].year <= LAST_YEAR
    }


def _words(enum: EnumTypeWrapper, prefix: str) -> dict[int, str]:
    """What read models call the values: STAGE_PURCHASE is "purchase"."""
    return {number: name.removeprefix(prefix).lower() for name, number in enum.items()}


STAGE = _words(pb.Stage, "STAGE_")
CHANNEL = _words(pb.Channel, "CHANNEL_")
SERVICE_MODE = _words(pb.ServiceMode, "SERVICE_MODE_")
OUTCOME = _words(pb.Outcome, "OUTCOME_")
METRIC = _words(pb.Metric, "METRIC_")
KIND = _words(pb.FeedbackKind, "FEEDBACK_KIND_")


def _seconds(body: pb.Interaction, name: str) -> Decimal | None:
    if not body.HasField(name):
        return None
    duration: Duration = getattr(body, name)
    return Decimal(duration.seconds) + Decimal(duration.nanos).scaleb(-9)


def _interaction(body: pb.Interaction) -> list[Row]:
    paid = body.HasField("amount")
    return [
        [
            SERVICE_MODE[body.service_mode],
            OUTCOME[body.outcome],
            _seconds(body, "duration"),
            _seconds(body, "wait"),
            Decimal(body.amount.amount) if paid else None,
            body.amount.currency if paid else None,
            body.options_presented if body.HasField("options_presented") else None,
        ]
    ]


def _requested(body: pb.FeedbackRequested) -> list[Row]:
    return [["requested", None, body.survey or None]]


def _suppressed(body: pb.FeedbackSuppressed) -> list[Row]:
    return [["suppressed", body.reason, body.survey or None]]


def _received(body: pb.FeedbackReceived) -> list[Row]:
    kind, request = KIND[body.kind], body.request_id or None
    if not body.signals:
        return [[0, kind, request, *[None] * 8]]
    return [
        [
            index,
            kind,
            request,
            METRIC[signal.metric],
            Decimal(signal.value),
            Decimal(signal.scale_min),
            Decimal(signal.scale_max),
            signal.direction == pb.DIRECTION_HIGHER_IS_BETTER,
            signal.dimension or None,
            signal.question or None,
            signal.model or None,
        ]
        for index, signal in enumerate(body.signals)
    ]


BODIES: dict[str, tuple[str, Callable[[Any], list[Row]]]] = {
    "interaction": ("fact_interaction", _interaction),
    "feedback_requested": ("fact_feedback_request", _requested),
    "feedback_suppressed": ("fact_feedback_request", _suppressed),
    "feedback_received": ("fact_feedback", _received),
}
