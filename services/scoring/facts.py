"""From stored events to rows of the read models: pure, no clock, no database.

A body that has a fact table has one function here that makes its rows; the others have their row in event
alone. An amendment's rows stand in the place of its target's; `settle` says from which position on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from services.scoring.reporting_day import ReportingDays
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

log = structlog.get_logger()

Row = list[Any]
# Tenant, source, event id.
Key = tuple[str, str, str]

# The years that dim_date has from the start.
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2059, 12, 31)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Stands for none where scores are grouped by it.
UNSPECIFIED = "unspecified"
EVENT_COLUMNS = (
    *("tenant", "position", "source", "event_id", "topic", "occurred_at", "recorded_at"),
    *("causation_id", "device", "business_date"),
)
FACT_COLUMNS = (
    *("tenant", "event_position", "from_position", "to_position", "occurred_at", "occurred_date"),
    *("reporting_date", "touchpoint", "stage", "channel", "service_mode", "store", "source"),
    *("staff", "customer", "correlation_id"),
)
EVENT_POSITION, FROM_POSITION, TO_POSITION, OCCURRED_DATE, REPORTING_DATE = 1, 2, 3, 5, 6
SIGNAL_COLUMNS = ("value", "scale_min", "scale_max", "higher_is_better")
TABLES: dict[str, tuple[str, ...]] = {
    "fact_interaction": (
        *FACT_COLUMNS,
        *("outcome", "duration_seconds", "wait_seconds", "amount", "currency"),
        "options_presented",
    ),
    "fact_feedback_request": (*FACT_COLUMNS, "decision", "reason", "survey"),
    "fact_feedback": (
        *FACT_COLUMNS,
        *("signal_index", "kind", "request_id", "metric", *SIGNAL_COLUMNS),
        *("dimension", "question", "model"),
    ),
    "fact_expectation": (
        *FACT_COLUMNS,
        *("basis", "dimension", "metric", *SIGNAL_COLUMNS, "due_at", "within_seconds"),
    ),
    "fact_recovery": (
        *FACT_COLUMNS,
        *("step", "kind", "severity", "issue_code", "result", "amount", "currency"),
    ),
    "fact_public_post": (
        *FACT_COLUMNS,
        *("platform", "reach", "sentiment", "scale_min", "scale_max", "higher_is_better", "model"),
        *("post_id", "reply_to_post_id", "by_company"),
    ),
    "fact_recognition": (*FACT_COLUMNS, "given_by", "interaction_id"),
    "fact_customer_profile": (
        *FACT_COLUMNS,
        *("segment_index", "birth_year_from", "birth_year_to", "segment", "value"),
    ),
    "fact_staff_profile": (*FACT_COLUMNS, "staff_group", "cohort", "job_design"),
}
# What attributes.py reads: where a page writes them, or ends them, facts change their groups.
PROFILES = ("fact_customer_profile", "fact_staff_profile")


@dataclass(frozen=True, slots=True)
class Amendment:
    """A correction or retraction, and the event that it amends."""

    target: Key
    position: int
    event: pb.Event


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a touchpoint's definition: the library's JSON, as its topic says."""

    tenant: str
    position: int
    stream_id: bytes
    topic: str
    state: bytes


@dataclass(slots=True)
class Facts:
    """What a page adds: rows for each table, and the amendments to settle."""

    # By tenant, the reporting zone that the days of the rows are of.
    zones: dict[str, str] = field(default_factory=dict)

    events: list[Row] = field(default_factory=list)
    # Days of facts outside of those that dim_date has from the start.
    unusual_days: set[date] = field(default_factory=set)
    # First position at which a (tenant, touchpoint) was named.
    touchpoints: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})
    amendments: list[Amendment] = field(default_factory=list)
    definitions: list[Decision] = field(default_factory=list)
    # (tenant, position, reason) of events that can't be made facts of.
    parked: list[tuple[str, int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Settled:
    """What amendments change beyond the page's own rows."""

    # (tenant, event position, position that its stored rows end at), at most one for each event.
    endings: list[tuple[str, int, int]]
    # Those whose target is not there yet, or is itself an amendment.
    waiting: list[Amendment]


def columns(events: Iterable[RecordedEvent], days: Mapping[str, ReportingDays]) -> Facts:
    """The page's rows, as if nothing were ever amended. days: by tenant, for all in the page."""
    facts = Facts(zones={tenant: each.zone for tenant, each in days.items()})
    for recorded in events:
        topic = recorded.topic
        if topic not in BODY_TOPICS and not _is_published(topic):
            # Bytes of another kind, of which nothing may be taken for an Event by chance.
            event = pb.Event(event_id=f"decision at {recorded.position}")
            if topic.startswith(DEFINITIONS):
                facts.definitions.append(
                    Decision(
                        recorded.tenant,
                        recorded.position,
                        recorded.stream_id,
                        topic,
                        recorded.event,
                    )
                )
        else:
            event = read(recorded.event)
        tenant, position, source = recorded.tenant, recorded.position, recorded.source
        envelope = _envelope(event)
        _lineage(facts, recorded, event, envelope)
        kind = event.WhichOneof("body")
        if kind in BODIES:
            _add(
                facts,
                envelope,
                kind,
                getattr(event, kind),
                tenant,
                source,
                days,
                position,
                position,
            )
        elif kind in AMENDMENTS:
            # It may wait in this database for its target: without what is personal, which must not be here.
            event.ClearField("sealed_personal")
            target = (tenant, event.amends.source or source, event.amends.event_id)
            facts.amendments.append(Amendment(target, position, event))
        elif _is_published(topic):
            facts.parked.append((tenant, position, "no body that is known"))
    return facts


def settle(
    facts: Facts,
    amendments: Sequence[Amendment],
    stored: dict[Key, tuple[int, str]],
    days: Mapping[str, ReportingDays],
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
            made = _add(
                facts,
                _envelope(amendment.event),
                kind,
                getattr(amendment.event.correction, kind),
                tenant,
                amendment.target[1],
                days,
                position,
                since,
            )
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


DEFINITIONS = "touchledger.touchpoint_definition."
DECISIONS = (DEFINITIONS, "touchledger.recovery_case.")
AMENDMENTS = {"correction", "retraction"}
AMENDMENT_TOPICS = {"touchledger.correction.v1", "touchledger.retraction.v1"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an event says beside its body; None for what it does not say."""

    # As the source says, and as the gateway corrected it where the source's clock was off when it sent.
    occurred_at: datetime | None
    corrected_at: datetime | None
    # Seconds since 1970 of the corrected time.
    seconds: int
    touchpoint: str | None
    customer: str | None
    correlation_id: str | None
    staff: str | None
    store: str | None


def _envelope(event: pb.Event) -> Envelope:
    occurred_at = corrected_at = None
    seconds = 0
    if event.HasField("occurred_at"):
        stamp = event.occurred_at
        seconds = stamp.seconds
        occurred_at = corrected_at = EPOCH + timedelta(0, seconds, stamp.nanos // 1000)
        if event.HasField("intake") and event.intake.HasField("corrected_occurred_at"):
            stamp = event.intake.corrected_occurred_at
            seconds = stamp.seconds
            corrected_at = EPOCH + timedelta(0, seconds, stamp.nanos // 1000)
    return Envelope(
        occurred_at,
        corrected_at,
        seconds,
        event.touchpoint or None,
        event.customer or None,
        event.correlation_id or None,
        event.staff or None,
        event.place.store or None if event.HasField("place") else None,
    )


def _lineage(facts: Facts, recorded: RecordedEvent, event: pb.Event, envelope: Envelope) -> None:
    tenant, position = recorded.tenant, recorded.position
    device = business_date = None
    if event.HasField("place"):
        place = event.place
        device, business_date = place.device or None, _day(place.business_date)
    if envelope.touchpoint:
        _name(facts, tenant, envelope.touchpoint, position)
    stamp = recorded.recorded_at
    facts.events.append(
        [
            tenant,
            position,
            recorded.source,
            # Unreadable bytes have no id; the key needs one.
            event.event_id or f"unreadable at {position}",
            recorded.topic,
            envelope.occurred_at,
            EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1000),
            event.causation_id or None,
            device,
            business_date,
        ]
    )


def _name(facts: Facts, tenant: str, touchpoint: str, position: int) -> None:
    first = facts.touchpoints.get((tenant, touchpoint))
    if first is None or position < first:
        facts.touchpoints[tenant, touchpoint] = position


@lru_cache(maxsize=1024)
def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


# Scales and round prices come again and again.
@lru_cache(maxsize=4096)
def _decimal(text: str) -> Decimal:
    return Decimal(text)


def _add(
    facts: Facts,
    envelope: Envelope,
    kind: str,
    body: Any,
    tenant: str,
    source: str,
    days: Mapping[str, ReportingDays],
    event_position: int,
    from_position: int,
) -> list[Row]:
    """Adds the fact's rows and returns them; none where the event says what only a later release can read."""
    table, read_body, staged, moded = BODIES[kind]
    try:
        utc_day, reporting_day = days[tenant].of(envelope.seconds)
        touchpoint = envelope.touchpoint or UNSPECIFIED
        shared = [
            tenant,
            event_position,
            from_position,
            None,
            envelope.corrected_at or EPOCH,
            utc_day,
            reporting_day,
            touchpoint,
            STAGE[body.stage] if staged else UNSPECIFIED,
            CHANNEL[body.channel] if staged else UNSPECIFIED,
            SERVICE_MODE[body.service_mode] if moded else UNSPECIFIED,
            envelope.store or UNSPECIFIED,
            source,
            envelope.staff,
            envelope.customer,
            envelope.correlation_id,
        ]
        made = [shared + row for row in read_body(body)]
    except (KeyError, ArithmeticError, ValueError) as error:
        # Its row in event stays, and the stream goes on: the journal can't be mended, this release can.
        log.error("no fact", position=event_position, kind=kind, error=type(error).__name__)
        facts.parked.append((tenant, from_position, f"{kind}: {type(error).__name__}"))
        return []
    if not envelope.touchpoint:
        _name(facts, tenant, UNSPECIFIED, from_position)
    for day in (utc_day, reporting_day):
        if not FIRST_DAY <= day <= LAST_DAY:
            facts.unusual_days.add(day)
    facts.rows[table].extend(made)
    return made


def _words(enum: EnumTypeWrapper, prefix: str) -> dict[int, str]:
    """What read models call the values: STAGE_PURCHASE is "purchase"."""
    return {number: name.removeprefix(prefix).lower() for name, number in enum.items()}


STAGE = _words(pb.Stage, "STAGE_")
CHANNEL = _words(pb.Channel, "CHANNEL_")
SERVICE_MODE = _words(pb.ServiceMode, "SERVICE_MODE_")
OUTCOME = _words(pb.Outcome, "OUTCOME_")
METRIC = _words(pb.Metric, "METRIC_")
KIND = _words(pb.FeedbackKind, "FEEDBACK_KIND_")
BASIS = _words(pb.ExpectationBasis, "EXPECTATION_BASIS_")
SEVERITY = _words(pb.Severity, "SEVERITY_")
REMEDY = _words(pb.RemedyKind, "REMEDY_KIND_")
RESULT = _words(pb.RecoveryResult, "RECOVERY_RESULT_")


def _time(stamp: Timestamp) -> datetime:
    return EPOCH + timedelta(0, stamp.seconds, stamp.nanos // 1000)


def _seconds(duration: Duration) -> Decimal:
    if not duration.nanos:
        return Decimal(duration.seconds)
    return Decimal(duration.seconds) + Decimal(duration.nanos).scaleb(-9)


def _interaction(body: pb.Interaction) -> list[Row]:
    return [
        [
            OUTCOME[body.outcome],
            _seconds(body.duration) if body.HasField("duration") else None,
            _seconds(body.wait) if body.HasField("wait") else None,
            *_money(body, "amount"),
            body.options_presented if body.HasField("options_presented") else None,
        ]
    ]


def _money(body: Any, name: str) -> Row:
    if not body.HasField(name):
        return [None, None]
    money: pb.Money = getattr(body, name)
    return [_decimal(money.amount), money.currency]


def _requested(body: pb.FeedbackRequested) -> list[Row]:
    return [["requested", None, body.survey or None]]


def _suppressed(body: pb.FeedbackSuppressed) -> list[Row]:
    return [["suppressed", body.reason, body.survey or None]]


def _answer(signal: pb.Signal) -> Row:
    """A signal's value, its scale, and which end of it is good."""
    return [
        _decimal(signal.value),
        _decimal(signal.scale_min),
        _decimal(signal.scale_max),
        signal.direction == pb.DIRECTION_HIGHER_IS_BETTER,
    ]


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
            *_answer(signal),
            signal.dimension or None,
            signal.question or None,
            signal.model or None,
        ]
        for index, signal in enumerate(body.signals)
    ]


def _expectation(body: pb.Expectation) -> list[Row]:
    said = body.WhichOneof("expected")
    signal = body.signal if said == "signal" else None
    return [
        [
            BASIS[body.basis],
            body.dimension or (signal.dimension if signal else "") or None,
            METRIC[signal.metric] if signal else None,
            *(_answer(signal) if signal else [None] * 4),
            _time(body.due_at) if said == "due_at" else None,
            _seconds(body.within) if said == "within" else None,
        ]
    ]


def _failure(body: pb.Failure) -> list[Row]:
    severity = SEVERITY[body.severity]
    return [["failure", None, severity, body.issue_code or None, None, None, None]]


def _remedy(body: pb.Remedy) -> list[Row]:
    return [["remedy", REMEDY[body.kind], None, None, None, *_money(body, "cost")]]


def _goodwill(body: pb.Goodwill) -> list[Row]:
    return [["goodwill", body.kind, None, None, None, *_money(body, "value")]]


def _closed(body: pb.RecoveryClosed) -> list[Row]:
    return [["closed", None, None, None, RESULT[body.result], None, None]]


def _posted(body: pb.PublicPost) -> list[Row]:
    read_out = body.HasField("sentiment")
    return [
        [
            body.platform,
            body.reach,
            *(_answer(body.sentiment) if read_out else [None] * 4),
            body.sentiment.model or None,
            body.post_id or None,
            body.reply_to_post_id or None,
            body.by_company,
        ]
    ]


def _recognition(body: pb.Recognition) -> list[Row]:
    return [[body.given_by, body.interaction_id or None]]


def _customer_profile(body: pb.CustomerProfile) -> list[Row]:
    band = [body.birth_year_from or None, body.birth_year_to or None]
    segments: list[Row] = [list(each) for each in sorted(body.segments.items())]
    return [[index, *band, *each] for index, each in enumerate(segments or [[None, None]])]


def _staff_profile(body: pb.StaffProfile) -> list[Row]:
    return [[body.group or None, body.cohort or None, body.job_design or None]]


class Body(NamedTuple):
    table: str
    rows: Callable[[Any], list[Row]]
    # It says where on the journey, and who did the work.
    staged: bool = False
    moded: bool = False


BODIES: dict[str, Body] = {
    "interaction": Body("fact_interaction", _interaction, staged=True, moded=True),
    "feedback_requested": Body("fact_feedback_request", _requested, staged=True, moded=True),
    "feedback_suppressed": Body("fact_feedback_request", _suppressed, staged=True, moded=True),
    "feedback_received": Body("fact_feedback", _received, staged=True, moded=True),
    "expectation": Body("fact_expectation", _expectation),
    "failure": Body("fact_recovery", _failure, staged=True),
    "remedy": Body("fact_recovery", _remedy),
    "goodwill": Body("fact_recovery", _goodwill),
    "recovery_closed": Body("fact_recovery", _closed),
    "public_post": Body("fact_public_post", _posted),
    "recognition": Body("fact_recognition", _recognition),
    "customer_profile": Body("fact_customer_profile", _customer_profile),
    "staff_profile": Body("fact_staff_profile", _staff_profile),
}
BODY_TOPICS = {f"touchledger.{kind}.v1" for kind in BODIES} | AMENDMENT_TOPICS
