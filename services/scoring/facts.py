"""From stored events to rows of the read models: pure, no clock, no database.

A body that has a fact table has one function here that makes its rows; the others have their row in event
alone. An amendment's rows stand in the place of its target's; `settle` says from which position on.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import repeat
from struct import Struct
from typing import Any, NamedTuple

import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import DecodeError

from services.scoring.binary_copy import (
    EPOCH,
    KEPT_VALUES,
    NULL,
    POSTGRES_EPOCH_SECONDS,
    bigint,
    boolean,
    day,
    integer,
    microseconds,
    moment,
    name_or_null,
    numeric,
    text,
    text_or_null,
    texts,
    texts_or_null,
)
from services.scoring.reporting_day import ReportingDays
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

log = structlog.get_logger()

# Tenant, source, event id.
Key = tuple[str, str, str]

# The years that dim_date has from the start.
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2059, 12, 31)
# Of so few events what one column was read from is still at hand for the next one. Of a whole page it is not,
# and that took half as long again.
AT_ONCE_EVENTS = 200
# Stands for none where scores are grouped by it.
UNSPECIFIED = "unspecified"
# In the order in which rows are put together, which is not that of the tables: first what many rows share.
EVENT_COLUMNS = (
    *("tenant", "source", "topic", "position", "recorded_at", "occurred_at", "event_id"),
    *("causation_id", "device", "business_date"),
)
FACT_COLUMNS = (
    *("tenant", "touchpoint", "stage", "channel", "service_mode", "store", "source"),
    *("event_position", "from_position", "to_position"),
    *("occurred_at", "occurred_date", "reporting_date", "staff", "customer", "correlation_id"),
)
SIGNAL_COLUMNS = ("value", "scale_min", "scale_max", "higher_is_better")
ABOUT_COLUMNS = ("about_source", "about_event_id")
TABLES: dict[str, tuple[str, ...]] = {
    "fact_interaction": (
        *FACT_COLUMNS,
        *("outcome", "duration_seconds", "wait_seconds", "amount", "currency"),
        *("options_presented", "script", "moment_of_truth"),
    ),
    "fact_feedback_request": (*FACT_COLUMNS, "decision", "reason", "survey"),
    "fact_feedback": (
        *FACT_COLUMNS,
        *("signal_index", "kind", "request_id", "metric", *SIGNAL_COLUMNS),
        *("dimension", "question", "model", *ABOUT_COLUMNS),
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
    "fact_assessment": (
        *FACT_COLUMNS,
        *("signal_index", "assessor", "within_sla", "metric", *SIGNAL_COLUMNS, "dimension"),
        *ABOUT_COLUMNS,
    ),
    "fact_reason": (*FACT_COLUMNS, "issue_code", "reason_code"),
    "fact_insight": (*FACT_COLUMNS, "insight_id", "step", *ABOUT_COLUMNS),
    "fact_advice": (*FACT_COLUMNS, "option_index", "item", "chosen"),
    "fact_product_follow_up": (*FACT_COLUMNS, "item", "kept", "usable", "happy"),
    "fact_post_removal": (*FACT_COLUMNS, "platform", "post_id"),
    "fact_service_claim": (*FACT_COLUMNS, "metric", *SIGNAL_COLUMNS, "dimension"),
    "fact_front_line": (
        *FACT_COLUMNS,
        *("step", "kind", "metric", *SIGNAL_COLUMNS, "dimension", "amount", "currency"),
        *("approval_needed", "staff_group"),
    ),
    "fact_identity": (*FACT_COLUMNS, "same_as", "relation"),
    "fact_scenario": (
        *FACT_COLUMNS,
        *("scenario", "loss_percent", "competitor_percent", "revenue", "currency"),
        *("margin_percent", "discount_percent", "years"),
    ),
}
# What attributes.py reads: where a page writes them, or ends them, facts change their groups.
PROFILES = ("fact_customer_profile", "fact_staff_profile")


# Of a fact table: what comes before its positions as COPY takes it; event, from and to position; the rest.
Row = tuple[bytes, int, int, int | None, bytes]
FROM_POSITION, TO_POSITION = 2, 3
# Tenant, source, event id, position and topic of an event, and its row as COPY takes it.
Lineage = tuple[str, str, str, int, str, bytes]


@dataclass(frozen=True, slots=True)
class Amendment:
    """A correction or retraction, and the event that it amends."""

    target: Key
    position: int
    event: pb.Event


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a touchpoint's definition or a case: the library's JSON, as its topic says."""

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

    events: list[Lineage] = field(default_factory=list)
    # Days of facts outside of those that dim_date has from the start.
    unusual_days: set[date] = field(default_factory=set)
    # First position at which a (tenant, touchpoint) was named.
    touchpoints: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})
    amendments: list[Amendment] = field(default_factory=list)
    definitions: list[Decision] = field(default_factory=list)
    cases: list[Decision] = field(default_factory=list)
    # (tenant, position, reason) of events that can't be made facts of.
    parked: list[tuple[str, int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Settled:
    """What amendments change beyond the page's own rows."""

    # (tenant, event position, position that its stored rows end at), at most one for each event.
    endings: list[tuple[str, int, int]]
    # Those whose target is not there yet, or is itself an amendment.
    waiting: list[Amendment]


def columns(events: Sequence[RecordedEvent], days: Mapping[str, ReportingDays]) -> Facts:
    """The page's rows, as if nothing were ever amended. days: by tenant, for all in the page."""
    facts = Facts(zones={tenant: each.zone for tenant, each in days.items()})
    for start in range(0, len(events), AT_ONCE_EVENTS):
        _read(facts, events[start : start + AT_ONCE_EVENTS], days)
    return facts


def _read(facts: Facts, events: Sequence[RecordedEvent], days: Mapping[str, ReportingDays]) -> None:
    """By columns rather than event by event, here and below: it is most of what a page costs this process."""
    topics = [each.topic for each in events]
    told = [
        # Bytes of another kind: nothing of them may be taken for an Event by chance.
        read(each.event) if topic in BODY_TOPICS or _is_published(topic) else pb.Event()
        for each, topic in zip(events, topics, strict=True)
    ]
    tenants, sources = [each.tenant for each in events], [each.source for each in events]
    positions = [each.position for each in events]
    occurred = microseconds([event.occurred_at for event in told])
    touchpoints = [event.touchpoint for event in told]
    places = [event.place for event in told]
    facts.events += _lineage(events, topics, told, tenants, sources, positions, occurred, places)
    of_events = zip(
        *(told, told, tenants, sources, positions, positions, occurred, touchpoints),
        (place.store for place in places),
        strict=True,
    )
    by_kind = defaultdict[str | None, list[Said]](list)
    for said in of_events:
        by_kind[said[0].WhichOneof("body")].append(said)
    named = zip(tenants, touchpoints, strict=True)
    # The last one of a key stays: that is the first one of the page.
    first = dict(zip(reversed(list(named)), reversed(positions), strict=True))
    for (tenant, touchpoint), position in first.items():
        if touchpoint:
            _name(facts, tenant, touchpoint, position)
    for kind, group in by_kind.items():
        if kind in BODIES:
            facts.rows[BODIES[kind].table] += _rows(facts, kind, group, days)
        elif kind in AMENDMENTS:
            facts.amendments += [_amendment(each) for each in group]
        else:
            _without_fact(facts, group, events)


def _amendment(said: "Said") -> Amendment:
    event, _, tenant, source, position, *_ = said
    # It may wait in this database for its target: without what is personal, which must not be here.
    event.ClearField("sealed_personal")
    return Amendment(
        (tenant, event.amends.source or source, event.amends.event_id), position, event
    )


def _without_fact(facts: Facts, said: "Sequence[Said]", events: Sequence[RecordedEvent]) -> None:
    """Decisions, and what only a later release can read."""
    positions = {position for _, _, _, _, position, *_ in said}
    for recorded in events:
        if recorded.position not in positions:
            continue
        tenant, position, topic = recorded.tenant, recorded.position, recorded.topic
        if topic.startswith(DECISIONS):
            decision = Decision(tenant, position, recorded.stream_id, topic, recorded.event)
            of_case = topic.startswith(CASES)
            (facts.cases if of_case else facts.definitions).append(decision)
        elif _is_published(topic):
            facts.parked.append((tenant, position, "no body that is known"))


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
    for tenant, source, event_id, position, topic, _ in facts.events:
        targets[tenant, source, event_id] = position, topic
    # By table, the rows of each event.
    tables = {table: _by_event(rows) for table, rows in facts.rows.items()}
    endings: dict[tuple[str, int], int] = {}
    waiting = []
    for amendment in sorted(amendments, key=lambda each: each.position):
        tenant, source, _ = amendment.target
        position, topic = targets.get(amendment.target, (0, ""))
        event = amendment.event
        kind = event.correction.WhichOneof("body") if event.HasField("correction") else None
        if (
            not position
            or topic in AMENDMENT_TOPICS
            or (kind and topic != f"touchledger.{kind}.v1")
        ):
            waiting.append(amendment)
            continue
        since = max(amendment.position, position)
        endings.setdefault((tenant, position), since)
        for by_event in tables.values():
            if position in by_event:
                by_event[position] = [
                    (head, of, start, end or since, rest)
                    for head, of, start, end, rest in by_event[position]
                ]
        if kind in BODIES:
            [occurred] = microseconds([event.occurred_at])
            place = (event.touchpoint, event.place.store)
            said = (event, event.correction, tenant, source, position, since, occurred, *place)
            made = _rows(facts, kind, [said], days)
            tables[BODIES[kind].table].setdefault(position, []).extend(made)
    for table, by_event in tables.items():
        # What would end where it begins was never known.
        facts.rows[table] = [
            row
            for rows in by_event.values()
            for row in rows
            if row[FROM_POSITION] != row[TO_POSITION]
        ]
    return Settled([(*key, since) for key, since in endings.items()], waiting)


def _by_event(rows: Iterable[Row]) -> dict[int, list[Row]]:
    by_event: dict[int, list[Row]] = {}
    for row in rows:
        _, event_position, _, _, _ = row
        by_event.setdefault(event_position, []).append(row)
    return by_event


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
CASES = "touchledger.recovery_case."
DECISIONS = (DEFINITIONS, CASES)
AMENDMENTS = {"correction", "retraction"}
AMENDMENT_TOPICS = {"touchledger.correction.v1", "touchledger.retraction.v1"}


def _lineage(
    events: Sequence[RecordedEvent],
    topics: Sequence[str],
    told: Sequence[pb.Event],
    tenants: Sequence[str],
    sources: Sequence[str],
    positions: Sequence[int],
    occurred: Sequence[int],
    places: Sequence[pb.Place],
) -> list[Lineage]:
    event_ids = [
        # Decisions and unreadable bytes have no id; the key needs one.
        event.event_id or _nameless(topic, position)
        for event, topic, position in zip(told, topics, positions, strict=True)
    ]
    moments = [
        _three(8, position, 8, recorded_at, 8, occurred_at)
        for position, recorded_at, occurred_at in zip(
            positions, microseconds([each.recorded_at for each in events]), occurred, strict=True
        )
    ]
    for index in [index for index, at in enumerate(occurred) if at == EPOCH]:
        if not told[index].HasField("occurred_at"):
            moments[index] = moments[index][: -len(bigint(0))] + NULL
    rows = map(
        b"".join,
        zip(
            map(_origin, tenants, sources, topics),
            moments,
            texts(event_ids),
            texts_or_null(event.causation_id for event in told),
            [_device(place.device, place.business_date) for place in places],
            strict=True,
        ),
    )
    return list(zip(tenants, sources, event_ids, positions, topics, rows, strict=True))


def _nameless(topic: str, position: int) -> str:
    unreadable = topic in BODY_TOPICS or _is_published(topic)
    return f"{'unreadable' if unreadable else 'decision'} at {position}"


# Of eight bytes each.
_three, _two_and_null = Struct(">iqiqiq").pack, Struct(">iqiqi").pack
EVENT_FIELDS = len(EVENT_COLUMNS).to_bytes(2, "big")


@lru_cache(KEPT_VALUES)
def _origin(tenant: str, source: str, topic: str) -> bytes:
    return EVENT_FIELDS + text(tenant) + text(source) + text(topic)


@lru_cache(KEPT_VALUES)
def _device(device: str, business_date: str) -> bytes:
    try:
        booked = day(date.fromisoformat(business_date))
    except ValueError:
        booked = NULL
    return text_or_null(device) + booked


def parked_lineage(recorded: RecordedEvent) -> bytes:
    """The row in event of one that can't be stored: under another id than it may have."""
    return b"".join(
        (
            _origin(recorded.tenant, recorded.source, recorded.topic),
            bigint(recorded.position),
            moment(recorded.recorded_at),
            NULL,
            text(f"parked at {recorded.position}"),
            NULL * 3,
        )
    )


def _name(facts: Facts, tenant: str, touchpoint: str, position: int) -> None:
    key = (tenant, touchpoint)
    if position < facts.touchpoints.setdefault(key, position):
        facts.touchpoints[key] = position


# An event, and the message that holds its body; tenant, source and position of the event that the fact is of;
# from which position on it is known; occurred_at in microseconds, touchpoint and store of the first.
Said = tuple[pb.Event, Any, str, str, int, int, int, str, str]


def _rows(
    facts: Facts, kind: str, said: Sequence[Said], days: Mapping[str, ReportingDays]
) -> list[Row]:
    """The facts' rows; none where an event says what only a later release can read."""
    try:
        return _made(facts, kind, said, days)
    except (LookupError, ArithmeticError, ValueError) as error:
        if len(said) > 1:
            middle = len(said) // 2
            return _rows(facts, kind, said[:middle], days) + _rows(facts, kind, said[middle:], days)
        # Its row in event stays, and the stream goes on: the journal can't be mended, this release can.
        [(_, _, tenant, _, position, since, *_)] = said
        log.error("no fact", position=position, kind=kind, error=type(error).__name__)
        facts.parked.append((tenant, since, f"{kind}: {type(error).__name__}"))
        return []


def _made(
    facts: Facts, kind: str, said: Sequence[Said], days: Mapping[str, ReportingDays]
) -> list[Row]:
    _, fields, tails, staged, moded = BODIES[kind]
    told, tellers, tenants, sources, positions, since, occurred, touchpoints, stores = zip(
        *said, strict=True
    )
    bodies = [getattr(each, kind) for each in tellers]
    heads = map(
        _group,
        repeat(fields),
        tenants,
        touchpoints,
        [body.stage for body in bodies] if staged else repeat(None),
        [body.channel for body in bodies] if staged else repeat(None),
        [body.service_mode for body in bodies] if moded else repeat(None),
        stores,
        sources,
    )
    moments = [
        _corrected(event, at) if event.intake.HasField("corrected_occurred_at") else at
        for event, at in zip(told, occurred, strict=True)
    ]
    dates = [
        _dates(*days[tenant].of(POSTGRES_EPOCH_SECONDS + at // 1_000_000))
        for tenant, at in zip(tenants, moments, strict=True)
    ]
    shared = map(
        b"".join,
        zip(
            map(bigint, moments),
            (both for both, _ in dates),
            [name_or_null(event.staff) for event in told],
            texts_or_null(event.customer for event in told),
            texts_or_null(event.correlation_id for event in told),
            strict=True,
        ),
    )
    rows: list[Row] = [
        (head, position, from_position, None, before + tail)
        for head, position, from_position, before, body in zip(
            heads, positions, since, shared, bodies, strict=True
        )
        for tail in tails(body)
    ]
    facts.unusual_days.update(*(unusual for _, unusual in dates if unusual))
    for tenant, touchpoint, from_position in zip(tenants, touchpoints, since, strict=True):
        if not touchpoint:
            _name(facts, tenant, UNSPECIFIED, from_position)
    return rows


def _corrected(event: pb.Event, at: int) -> int:
    """Where the source's clock was off when it sent, as the gateway corrected it."""
    if not event.HasField("occurred_at"):
        return at
    [corrected] = microseconds([event.intake.corrected_occurred_at])
    return corrected


@lru_cache(KEPT_VALUES)
def _dates(utc_day: date, reporting_day: date) -> tuple[bytes, frozenset[date]]:
    """Both for COPY, and those of them that dim_date may not have."""
    unusual = {each for each in (utc_day, reporting_day) if not FIRST_DAY <= each <= LAST_DAY}
    return day(utc_day) + day(reporting_day), frozenset(unusual)


@lru_cache(KEPT_VALUES)
def _group(
    fields: bytes,
    tenant: str,
    touchpoint: str,
    stage: int | None,
    channel: int | None,
    service_mode: int | None,
    store: str,
    source: str,
) -> bytes:
    """What a fact is of, which is that of many. None: its body says no such thing."""
    return b"".join(
        (
            fields,
            text(tenant),
            text(touchpoint or UNSPECIFIED),
            text(UNSPECIFIED) if stage is None else STAGE[stage],
            text(UNSPECIFIED) if channel is None else CHANNEL[channel],
            text(UNSPECIFIED) if service_mode is None else SERVICE_MODE[service_mode],
            text(store or UNSPECIFIED),
            text(source),
        )
    )


def put_together(rows: Iterable[Row]) -> Iterator[bytes]:
    """As COPY takes them."""
    for head, event_position, from_position, to_position, rest in rows:
        if to_position is None:
            positions = _two_and_null(8, event_position, 8, from_position, -1)
        else:
            positions = _three(8, event_position, 8, from_position, 8, to_position)
        yield b"%b%b%b" % (head, positions, rest)


def _words(enum: EnumTypeWrapper, prefix: str) -> dict[int, bytes]:
    """What read models call the values: STAGE_PURCHASE is "purchase"."""
    return {number: text(name.removeprefix(prefix).lower()) for name, number in enum.items()}


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
INSIGHT_STEP = _words(pb.InsightStep, "INSIGHT_STEP_")
FRONT_LINE_STEP = _words(pb.FrontLineStep, "FRONT_LINE_STEP_")
RELATION = _words(pb.IdentityRelation, "IDENTITY_RELATION_")


# Scales, round prices and waits come again and again.
@lru_cache(KEPT_VALUES)
def _decimal(exact: str) -> bytes:
    return numeric(Decimal(exact))


# To look whether a message is there takes a quarter of reading an empty one.
def _seconds(body: Any, name: str) -> bytes:
    if not body.HasField(name):
        return NULL
    duration: Duration = getattr(body, name)
    return _elapsed(duration.seconds, duration.nanos)


@lru_cache(KEPT_VALUES)
def _elapsed(seconds: int, nanos: int) -> bytes:
    return numeric(Decimal(seconds) + Decimal(nanos).scaleb(-9))


def _interaction(body: pb.Interaction) -> list[bytes]:
    counted = body.HasField("options_presented")
    return [
        b"".join(
            (
                OUTCOME[body.outcome],
                _seconds(body, "duration"),
                _seconds(body, "wait"),
                _money(body, "amount"),
                bigint(body.options_presented) if counted else NULL,
                text_or_null(body.script),
                boolean(body.moment_of_truth),
            )
        )
    ]


def _money(body: Any, name: str) -> bytes:
    if not body.HasField(name):
        return NULL + NULL
    money: pb.Money = getattr(body, name)
    return _amount(money.amount, money.currency)


@lru_cache(KEPT_VALUES)
def _amount(exact: str, currency: str) -> bytes:
    return _decimal(exact) + text(currency)


def _requested(body: pb.FeedbackRequested) -> list[bytes]:
    return [text("requested") + NULL + text_or_null(body.survey)]


def _suppressed(body: pb.FeedbackSuppressed) -> list[bytes]:
    return [text("suppressed") + text(body.reason) + text_or_null(body.survey)]


def _answer(signal: pb.Signal) -> bytes:
    """A signal's value, its scale, and which end of it is good."""
    return _on_scale(signal.value, signal.scale_min, signal.scale_max, signal.direction)


@lru_cache(KEPT_VALUES)
def _on_scale(value: str, scale_min: str, scale_max: str, direction: int) -> bytes:
    higher_is_better = boolean(direction == pb.DIRECTION_HIGHER_IS_BETTER)
    return _decimal(value) + _decimal(scale_min) + _decimal(scale_max) + higher_is_better


def _received(body: pb.FeedbackReceived) -> list[bytes]:
    said = KIND[body.kind] + text_or_null(body.request_id)
    about = _about(body)
    return [
        b"".join(
            (
                integer(index),
                said,
                METRIC[signal.metric],
                _answer(signal),
                name_or_null(signal.dimension),
                name_or_null(signal.question),
                name_or_null(signal.model),
                about,
            )
        )
        for index, signal in enumerate(body.signals)
    ] or [integer(0) + said + NULL * 8 + about]


def _about(body: pb.FeedbackReceived | pb.Assessment | pb.Insight) -> bytes:
    """Which event the body is about; its source is the event's own where it names none."""
    if not body.HasField("about"):
        return NULL + NULL
    return text_or_null(body.about.source) + text(body.about.event_id)


def _expectation(body: pb.Expectation) -> list[bytes]:
    said = body.WhichOneof("expected")
    signal = body.signal if said == "signal" else None
    due_at = body.due_at
    return [
        b"".join(
            (
                BASIS[body.basis],
                text_or_null(body.dimension or (signal.dimension if signal else "")),
                METRIC[signal.metric] if signal else NULL,
                _answer(signal) if signal else NULL * 4,
                moment(due_at) if said == "due_at" else NULL,
                _seconds(body, "within"),
            )
        )
    ]


def _failure(body: pb.Failure) -> list[bytes]:
    said = SEVERITY[body.severity] + text_or_null(body.issue_code)
    return [text("failure") + NULL + said + NULL * 3]


def _remedy(body: pb.Remedy) -> list[bytes]:
    return [text("remedy") + REMEDY[body.kind] + NULL * 3 + _money(body, "cost")]


def _goodwill(body: pb.Goodwill) -> list[bytes]:
    return [text("goodwill") + text(body.kind) + NULL * 3 + _money(body, "value")]


def _closed(body: pb.RecoveryClosed) -> list[bytes]:
    return [text("closed") + NULL * 3 + RESULT[body.result] + NULL * 2]


def _posted(body: pb.PublicPost) -> list[bytes]:
    sentiment = body.sentiment
    return [
        b"".join(
            (
                text(body.platform),
                numeric(Decimal(body.reach)),
                _answer(sentiment) if body.HasField("sentiment") else NULL * 4,
                text_or_null(sentiment.model),
                text_or_null(body.post_id),
                text_or_null(body.reply_to_post_id),
                boolean(body.by_company),
            )
        )
    ]


def _recognition(body: pb.Recognition) -> list[bytes]:
    return [text(body.given_by) + text_or_null(body.interaction_id)]


def _customer_profile(body: pb.CustomerProfile) -> list[bytes]:
    band = b"".join(
        integer(year) if year else NULL for year in (body.birth_year_from, body.birth_year_to)
    )
    segments = [text(name) + text(value) for name, value in sorted(body.segments.items())]
    return [integer(index) + band + segment for index, segment in enumerate(segments or [NULL * 2])]


def _staff_profile(body: pb.StaffProfile) -> list[bytes]:
    said = (body.group, body.cohort, body.job_design)
    return [b"".join(text_or_null(each) for each in said)]


def _assessment(body: pb.Assessment) -> list[bytes]:
    said = text(body.assessor) + _yes_or_no(body, "within_sla")
    about = _about(body)
    return [
        integer(index) + said + _judged(signal) + about for index, signal in enumerate(body.signals)
    ] or [integer(0) + said + NULL * 6 + about]


def _judged(signal: pb.Signal) -> bytes:
    return METRIC[signal.metric] + _answer(signal) + name_or_null(signal.dimension)


def _yes_or_no(body: Any, name: str) -> bytes:
    return boolean(getattr(body, name)) if body.HasField(name) else NULL


def _reason(body: pb.ReasonStated) -> list[bytes]:
    return [text(body.issue_code) + text(body.reason_code)]


def _insight(body: pb.Insight) -> list[bytes]:
    return [text(body.insight_id) + INSIGHT_STEP[body.step] + _about(body)]


def _advice(body: pb.Advice) -> list[bytes]:
    return [
        integer(index) + text(option.item) + boolean(option.item == body.chosen)
        for index, option in enumerate(body.options)
    ]


def _follow_up(body: pb.ProductFollowUp) -> list[bytes]:
    return [text(body.item) + b"".join(_yes_or_no(body, each) for each in FOLLOWED_UP)]


FOLLOWED_UP = ("kept", "usable", "happy")


def _post_removed(body: pb.PublicPostRemoved) -> list[bytes]:
    return [text(body.platform) + text(body.post_id)]


def _claim(body: pb.ServiceClaim) -> list[bytes]:
    return [_judged(body.claimed)]


def _front_line(body: pb.FrontLine) -> list[bytes]:
    return [
        b"".join(
            (
                FRONT_LINE_STEP[body.step],
                text_or_null(body.kind),
                _judged(body.pulse) if body.HasField("pulse") else NULL * 6,
                _money(body, "value"),
                boolean(body.approval_needed),
                text_or_null(body.group),
            )
        )
    ]


def _identity(body: pb.Identity) -> list[bytes]:
    return [text(body.same_as) + RELATION[body.relation]]


def _scenario(body: pb.Scenario) -> list[bytes]:
    return [
        b"".join(
            (
                text(body.name),
                _decimal(body.loss_percent),
                _decimal(body.competitor_percent or "100"),
                _money(body, "revenue"),
                _decimal(body.margin_percent) if body.margin_percent else NULL,
                _decimal(body.discount_percent or "0"),
                integer(body.years),
            )
        )
    ]


class Body(NamedTuple):
    table: str
    # How many its rows have, as COPY takes it.
    fields: bytes
    # What comes after the columns that all facts have, one for each row.
    tails: Callable[[Any], list[bytes]]
    # It says where on the journey, and who did the work.
    staged: bool
    moded: bool


def _body(
    table: str, tails: Callable[[Any], list[bytes]], *, staged: bool = False, moded: bool = False
) -> Body:
    return Body(table, len(TABLES[table]).to_bytes(2, "big"), tails, staged, moded)


BODIES: dict[str, Body] = {
    "interaction": _body("fact_interaction", _interaction, staged=True, moded=True),
    "feedback_requested": _body("fact_feedback_request", _requested, staged=True, moded=True),
    "feedback_suppressed": _body("fact_feedback_request", _suppressed, staged=True, moded=True),
    "feedback_received": _body("fact_feedback", _received, staged=True, moded=True),
    "expectation": _body("fact_expectation", _expectation),
    "failure": _body("fact_recovery", _failure, staged=True),
    "remedy": _body("fact_recovery", _remedy),
    "goodwill": _body("fact_recovery", _goodwill),
    "recovery_closed": _body("fact_recovery", _closed),
    "public_post": _body("fact_public_post", _posted),
    "recognition": _body("fact_recognition", _recognition),
    "customer_profile": _body("fact_customer_profile", _customer_profile),
    "staff_profile": _body("fact_staff_profile", _staff_profile),
    "assessment": _body("fact_assessment", _assessment),
    "reason_stated": _body("fact_reason", _reason),
    "insight": _body("fact_insight", _insight),
    "advice": _body("fact_advice", _advice),
    "product_follow_up": _body("fact_product_follow_up", _follow_up),
    "public_post_removed": _body("fact_post_removal", _post_removed),
    "service_claim": _body("fact_service_claim", _claim),
    "front_line": _body("fact_front_line", _front_line),
    "identity": _body("fact_identity", _identity),
    "scenario": _body("fact_scenario", _scenario),
}
BODY_TOPICS = {f"touchledger.{kind}.v1" for kind in BODIES} | AMENDMENT_TOPICS
