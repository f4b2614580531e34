import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Trust(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRUST_UNSPECIFIED: _ClassVar[Trust]
    TRUST_OPEN: _ClassVar[Trust]
    TRUST_SOURCE: _ClassVar[Trust]
    TRUST_AUDITED: _ClassVar[Trust]

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_AWARENESS: _ClassVar[Stage]
    STAGE_CONSIDERATION: _ClassVar[Stage]
    STAGE_SELECTION: _ClassVar[Stage]
    STAGE_PURCHASE: _ClassVar[Stage]
    STAGE_DELIVERY: _ClassVar[Stage]
    STAGE_USE: _ClassVar[Stage]
    STAGE_SERVICE: _ClassVar[Stage]
    STAGE_LOYALTY: _ClassVar[Stage]

class Channel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_UNSPECIFIED: _ClassVar[Channel]
    CHANNEL_STORE: _ClassVar[Channel]
    CHANNEL_PHONE: _ClassVar[Channel]
    CHANNEL_WEB: _ClassVar[Channel]
    CHANNEL_APP: _ClassVar[Channel]
    CHANNEL_CHAT: _ClassVar[Channel]
    CHANNEL_EMAIL: _ClassVar[Channel]
    CHANNEL_SOCIAL: _ClassVar[Channel]
    CHANNEL_KIOSK: _ClassVar[Channel]
    CHANNEL_POST: _ClassVar[Channel]
    CHANNEL_ADVERT: _ClassVar[Channel]

class ServiceMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVICE_MODE_UNSPECIFIED: _ClassVar[ServiceMode]
    SERVICE_MODE_SELF: _ClassVar[ServiceMode]
    SERVICE_MODE_ASSISTED: _ClassVar[ServiceMode]
    SERVICE_MODE_ADVISED: _ClassVar[ServiceMode]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_COMPLETED: _ClassVar[Outcome]
    OUTCOME_RESOLVED: _ClassVar[Outcome]
    OUTCOME_ABANDONED: _ClassVar[Outcome]
    OUTCOME_TRANSFERRED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_RETURNED: _ClassVar[Outcome]

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    METRIC_CSAT: _ClassVar[Metric]
    METRIC_NPS: _ClassVar[Metric]
    METRIC_CES: _ClassVar[Metric]
    METRIC_RATING: _ClassVar[Metric]
    METRIC_THUMBS: _ClassVar[Metric]
    METRIC_SENTIMENT: _ClassVar[Metric]
    METRIC_COMPARISON: _ClassVar[Metric]
    METRIC_PREMIUM: _ClassVar[Metric]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_HIGHER_IS_BETTER: _ClassVar[Direction]
    DIRECTION_LOWER_IS_BETTER: _ClassVar[Direction]

class FeedbackKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEEDBACK_KIND_UNSPECIFIED: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_COMMENT: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_COMPLAINT: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_COMPLIMENT: _ClassVar[FeedbackKind]

class ExpectationBasis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPECTATION_BASIS_UNSPECIFIED: _ClassVar[ExpectationBasis]
    EXPECTATION_BASIS_SURVEY: _ClassVar[ExpectationBasis]
    EXPECTATION_BASIS_PROMISE: _ClassVar[ExpectationBasis]
    EXPECTATION_BASIS_SLA: _ClassVar[ExpectationBasis]

class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEVERITY_UNSPECIFIED: _ClassVar[Severity]
    SEVERITY_MINOR: _ClassVar[Severity]
    SEVERITY_MAJOR: _ClassVar[Severity]
    SEVERITY_CRITICAL: _ClassVar[Severity]

class RemedyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REMEDY_KIND_UNSPECIFIED: _ClassVar[RemedyKind]
    REMEDY_KIND_REFUND: _ClassVar[RemedyKind]
    REMEDY_KIND_EXCHANGE: _ClassVar[RemedyKind]
    REMEDY_KIND_REPAIR: _ClassVar[RemedyKind]
    REMEDY_KIND_REDO: _ClassVar[RemedyKind]
    REMEDY_KIND_APOLOGY: _ClassVar[RemedyKind]

class RecoveryResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECOVERY_RESULT_UNSPECIFIED: _ClassVar[RecoveryResult]
    RECOVERY_RESULT_ACCEPTED: _ClassVar[RecoveryResult]
    RECOVERY_RESULT_REFUSED: _ClassVar[RecoveryResult]
    RECOVERY_RESULT_NO_ANSWER: _ClassVar[RecoveryResult]

class InsightStep(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSIGHT_STEP_UNSPECIFIED: _ClassVar[InsightStep]
    INSIGHT_STEP_CAPTURED: _ClassVar[InsightStep]
    INSIGHT_STEP_APPLIED: _ClassVar[InsightStep]

class FrontLineStep(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRONT_LINE_STEP_UNSPECIFIED: _ClassVar[FrontLineStep]
    FRONT_LINE_STEP_PULSE: _ClassVar[FrontLineStep]
    FRONT_LINE_STEP_DECISION: _ClassVar[FrontLineStep]
    FRONT_LINE_STEP_MANAGER_CONTACT: _ClassVar[FrontLineStep]
    FRONT_LINE_STEP_FEEDBACK: _ClassVar[FrontLineStep]
    FRONT_LINE_STEP_TRAINING: _ClassVar[FrontLineStep]

class IdentityRelation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDENTITY_RELATION_UNSPECIFIED: _ClassVar[IdentityRelation]
    IDENTITY_RELATION_SAME: _ClassVar[IdentityRelation]
    IDENTITY_RELATION_DIFFERENT: _ClassVar[IdentityRelation]
TRUST_UNSPECIFIED: Trust
TRUST_OPEN: Trust
TRUST_SOURCE: Trust
TRUST_AUDITED: Trust
STAGE_UNSPECIFIED: Stage
STAGE_AWARENESS: Stage
STAGE_CONSIDERATION: Stage
STAGE_SELECTION: Stage
STAGE_PURCHASE: Stage
STAGE_DELIVERY: Stage
STAGE_USE: Stage
STAGE_SERVICE: Stage
STAGE_LOYALTY: Stage
CHANNEL_UNSPECIFIED: Channel
CHANNEL_STORE: Channel
CHANNEL_PHONE: Channel
CHANNEL_WEB: Channel
CHANNEL_APP: Channel
CHANNEL_CHAT: Channel
CHANNEL_EMAIL: Channel
CHANNEL_SOCIAL: Channel
CHANNEL_KIOSK: Channel
CHANNEL_POST: Channel
CHANNEL_ADVERT: Channel
SERVICE_MODE_UNSPECIFIED: ServiceMode
SERVICE_MODE_SELF: ServiceMode
SERVICE_MODE_ASSISTED: ServiceMode
SERVICE_MODE_ADVISED: ServiceMode
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_COMPLETED: Outcome
OUTCOME_RESOLVED: Outcome
OUTCOME_ABANDONED: Outcome
OUTCOME_TRANSFERRED: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_RETURNED: Outcome
METRIC_UNSPECIFIED: Metric
METRIC_CSAT: Metric
METRIC_NPS: Metric
METRIC_CES: Metric
METRIC_RATING: Metric
METRIC_THUMBS: Metric
METRIC_SENTIMENT: Metric
METRIC_COMPARISON: Metric
METRIC_PREMIUM: Metric
DIRECTION_UNSPECIFIED: Direction
DIRECTION_HIGHER_IS_BETTER: Direction
DIRECTION_LOWER_IS_BETTER: Direction
FEEDBACK_KIND_UNSPECIFIED: FeedbackKind
FEEDBACK_KIND_COMMENT: FeedbackKind
FEEDBACK_KIND_COMPLAINT: FeedbackKind
FEEDBACK_KIND_COMPLIMENT: FeedbackKind
EXPECTATION_BASIS_UNSPECIFIED: ExpectationBasis
EXPECTATION_BASIS_SURVEY: ExpectationBasis
EXPECTATION_BASIS_PROMISE: ExpectationBasis
EXPECTATION_BASIS_SLA: ExpectationBasis
SEVERITY_UNSPECIFIED: Severity
SEVERITY_MINOR: Severity
SEVERITY_MAJOR: Severity
SEVERITY_CRITICAL: Severity
REMEDY_KIND_UNSPECIFIED: RemedyKind
REMEDY_KIND_REFUND: RemedyKind
REMEDY_KIND_EXCHANGE: RemedyKind
REMEDY_KIND_REPAIR: RemedyKind
REMEDY_KIND_REDO: RemedyKind
REMEDY_KIND_APOLOGY: RemedyKind
RECOVERY_RESULT_UNSPECIFIED: RecoveryResult
RECOVERY_RESULT_ACCEPTED: RecoveryResult
RECOVERY_RESULT_REFUSED: RecoveryResult
RECOVERY_RESULT_NO_ANSWER: RecoveryResult
INSIGHT_STEP_UNSPECIFIED: InsightStep
INSIGHT_STEP_CAPTURED: InsightStep
INSIGHT_STEP_APPLIED: InsightStep
FRONT_LINE_STEP_UNSPECIFIED: FrontLineStep
FRONT_LINE_STEP_PULSE: FrontLineStep
FRONT_LINE_STEP_DECISION: FrontLineStep
FRONT_LINE_STEP_MANAGER_CONTACT: FrontLineStep
FRONT_LINE_STEP_FEEDBACK: FrontLineStep
FRONT_LINE_STEP_TRAINING: FrontLineStep
IDENTITY_RELATION_UNSPECIFIED: IdentityRelation
IDENTITY_RELATION_SAME: IdentityRelation
IDENTITY_RELATION_DIFFERENT: IdentityRelation

class Event(_message.Message):
    __slots__ = ("event_id", "occurred_at", "touchpoint", "customer", "correlation_id", "causation_id", "place", "staff", "attributes", "amends", "personal", "sealed_personal", "intake", "interaction", "feedback_requested", "feedback_suppressed", "feedback_received", "expectation", "public_post", "failure", "remedy", "goodwill", "recovery_closed", "recognition", "customer_profile", "correction", "retraction", "staff_profile", "assessment", "reason_stated", "insight", "advice", "product_follow_up", "public_post_removed", "service_claim", "front_line", "identity", "scenario")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSATION_ID_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    STAFF_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    AMENDS_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    SEALED_PERSONAL_FIELD_NUMBER: _ClassVar[int]
    INTAKE_FIELD_NUMBER: _ClassVar[int]
    INTERACTION_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_POST_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    GOODWILL_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_CLOSED_FIELD_NUMBER: _ClassVar[int]
    RECOGNITION_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_PROFILE_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    RETRACTION_FIELD_NUMBER: _ClassVar[int]
    STAFF_PROFILE_FIELD_NUMBER: _ClassVar[int]
    ASSESSMENT_FIELD_NUMBER: _ClassVar[int]
    REASON_STATED_FIELD_NUMBER: _ClassVar[int]
    INSIGHT_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FOLLOW_UP_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_POST_REMOVED_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLAIM_FIELD_NUMBER: _ClassVar[int]
    FRONT_LINE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    occurred_at: _timestamp_pb2.Timestamp
    touchpoint: str
    customer: str
    correlation_id: str
    causation_id: str
    place: Place
    staff: str
    attributes: _containers.ScalarMap[str, str]
    amends: EventReference
    personal: PersonalData
    sealed_personal: SealedPersonalData
    intake: Intake
    interaction: Interaction
    feedback_requested: FeedbackRequested
    feedback_suppressed: FeedbackSuppressed
    feedback_received: FeedbackReceived
    expectation: Expectation
    public_post: PublicPost
    failure: Failure
    remedy: Remedy
    goodwill: Goodwill
    recovery_closed: RecoveryClosed
    recognition: Recognition
    customer_profile: CustomerProfile
    correction: Correction
    retraction: Retraction
    staff_profile: StaffProfile
    assessment: Assessment
    reason_stated: ReasonStated
    insight: Insight
    advice: Advice
    product_follow_up: ProductFollowUp
    public_post_removed: PublicPostRemoved
    service_claim: ServiceClaim
    front_line: FrontLine
    identity: Identity
    scenario: Scenario
    def __init__(self, event_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., touchpoint: _Optional[str] = ..., customer: _Optional[str] = ..., correlation_id: _Optional[str] = ..., causation_id: _Optional[str] = ..., place: _Optional[_Union[Place, _Mapping]] = ..., staff: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ..., amends: _Optional[_Union[EventReference, _Mapping]] = ..., personal: _Optional[_Union[PersonalData, _Mapping]] = ..., sealed_personal: _Optional[_Union[SealedPersonalData, _Mapping]] = ..., intake: _Optional[_Union[Intake, _Mapping]] = ..., interaction: _Optional[_Union[Interaction, _Mapping]] = ..., feedback_requested: _Optional[_Union[FeedbackRequested, _Mapping]] = ..., feedback_suppressed: _Optional[_Union[FeedbackSuppressed, _Mapping]] = ..., feedback_received: _Optional[_Union[FeedbackReceived, _Mapping]] = ..., expectation: _Optional[_Union[Expectation, _Mapping]] = ..., public_post: _Optional[_Union[PublicPost, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., remedy: _Optional[_Union[Remedy, _Mapping]] = ..., goodwill: _Optional[_Union[Goodwill, _Mapping]] = ..., recovery_closed: _Optional[_Union[RecoveryClosed, _Mapping]] = ..., recognition: _Optional[_Union[Recognition, _Mapping]] = ..., customer_profile: _Optional[_Union[CustomerProfile, _Mapping]] = ..., correction: _Optional[_Union[Correction, _Mapping]] = ..., retraction: _Optional[_Union[Retraction, _Mapping]] = ..., staff_profile: _Optional[_Union[StaffProfile, _Mapping]] = ..., assessment: _Optional[_Union[Assessment, _Mapping]] = ..., reason_stated: _Optional[_Union[ReasonStated, _Mapping]] = ..., insight: _Optional[_Union[Insight, _Mapping]] = ..., advice: _Optional[_Union[Advice, _Mapping]] = ..., product_follow_up: _Optional[_Union[ProductFollowUp, _Mapping]] = ..., public_post_removed: _Optional[_Union[PublicPostRemoved, _Mapping]] = ..., service_claim: _Optional[_Union[ServiceClaim, _Mapping]] = ..., front_line: _Optional[_Union[FrontLine, _Mapping]] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., scenario: _Optional[_Union[Scenario, _Mapping]] = ...) -> None: ...

class EventReference(_message.Message):
    __slots__ = ("source", "event_id")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    source: str
    event_id: str
    def __init__(self, source: _Optional[str] = ..., event_id: _Optional[str] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("store", "gln", "device", "business_date", "time_zone")
    STORE_FIELD_NUMBER: _ClassVar[int]
    GLN_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    BUSINESS_DATE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    store: str
    gln: str
    device: str
    business_date: str
    time_zone: str
    def __init__(self, store: _Optional[str] = ..., gln: _Optional[str] = ..., device: _Optional[str] = ..., business_date: _Optional[str] = ..., time_zone: _Optional[str] = ...) -> None: ...

class PersonalData(_message.Message):
    __slots__ = ("comment", "contact", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    comment: str
    contact: str
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, comment: _Optional[str] = ..., contact: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SealedPersonalData(_message.Message):
    __slots__ = ("key_id", "data")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    key_id: int
    data: bytes
    def __init__(self, key_id: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Intake(_message.Message):
    __slots__ = ("trust", "corrected_occurred_at", "late", "future", "adapter")
    TRUST_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    FUTURE_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    trust: Trust
    corrected_occurred_at: _timestamp_pb2.Timestamp
    late: bool
    future: bool
    adapter: str
    def __init__(self, trust: _Optional[_Union[Trust, str]] = ..., corrected_occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., late: _Optional[bool] = ..., future: _Optional[bool] = ..., adapter: _Optional[str] = ...) -> None: ...

class Money(_message.Message):
    __slots__ = ("amount", "currency")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    amount: str
    currency: str
    def __init__(self, amount: _Optional[str] = ..., currency: _Optional[str] = ...) -> None: ...

class Interaction(_message.Message):
    __slots__ = ("stage", "channel", "service_mode", "outcome", "duration", "wait", "amount", "options_presented", "script", "moment_of_truth")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_PRESENTED_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    MOMENT_OF_TRUTH_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    channel: Channel
    service_mode: ServiceMode
    outcome: Outcome
    duration: _duration_pb2.Duration
    wait: _duration_pb2.Duration
    amount: Money
    options_presented: int
    script: str
    moment_of_truth: bool
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., service_mode: _Optional[_Union[ServiceMode, str]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., amount: _Optional[_Union[Money, _Mapping]] = ..., options_presented: _Optional[int] = ..., script: _Optional[str] = ..., moment_of_truth: _Optional[bool] = ...) -> None: ...

class FeedbackRequested(_message.Message):
    __slots__ = ("stage", "channel", "asked_via", "survey", "service_mode")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ASKED_VIA_FIELD_NUMBER: _ClassVar[int]
    SURVEY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    channel: Channel
    asked_via: Channel
    survey: str
    service_mode: ServiceMode
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., asked_via: _Optional[_Union[Channel, str]] = ..., survey: _Optional[str] = ..., service_mode: _Optional[_Union[ServiceMode, str]] = ...) -> None: ...

class FeedbackSuppressed(_message.Message):
    __slots__ = ("stage", "channel", "reason", "survey", "service_mode")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SURVEY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    channel: Channel
    reason: str
    survey: str
    service_mode: ServiceMode
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., reason: _Optional[str] = ..., survey: _Optional[str] = ..., service_mode: _Optional[_Union[ServiceMode, str]] = ...) -> None: ...

class Signal(_message.Message):
    __slots__ = ("metric", "value", "scale_min", "scale_max", "direction", "dimension", "question", "model")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SCALE_MIN_FIELD_NUMBER: _ClassVar[int]
    SCALE_MAX_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    metric: Metric
    value: str
    scale_min: str
    scale_max: str
    direction: Direction
    dimension: str
    question: str
    model: str
    def __init__(self, metric: _Optional[_Union[Metric, str]] = ..., value: _Optional[str] = ..., scale_min: _Optional[str] = ..., scale_max: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., dimension: _Optional[str] = ..., question: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class FeedbackReceived(_message.Message):
    __slots__ = ("stage", "channel", "signals", "kind", "request_id", "answered_via", "survey", "service_mode", "about")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_VIA_FIELD_NUMBER: _ClassVar[int]
    SURVEY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    channel: Channel
    signals: _containers.RepeatedCompositeFieldContainer[Signal]
    kind: FeedbackKind
    request_id: str
    answered_via: Channel
    survey: str
    service_mode: ServiceMode
    about: EventReference
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., signals: _Optional[_Iterable[_Union[Signal, _Mapping]]] = ..., kind: _Optional[_Union[FeedbackKind, str]] = ..., request_id: _Optional[str] = ..., answered_via: _Optional[_Union[Channel, str]] = ..., survey: _Optional[str] = ..., service_mode: _Optional[_Union[ServiceMode, str]] = ..., about: _Optional[_Union[EventReference, _Mapping]] = ...) -> None: ...

class Expectation(_message.Message):
    __slots__ = ("basis", "dimension", "signal", "due_at", "within")
    BASIS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    basis: ExpectationBasis
    dimension: str
    signal: Signal
    due_at: _timestamp_pb2.Timestamp
    within: _duration_pb2.Duration
    def __init__(self, basis: _Optional[_Union[ExpectationBasis, str]] = ..., dimension: _Optional[str] = ..., signal: _Optional[_Union[Signal, _Mapping]] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PublicPost(_message.Message):
    __slots__ = ("platform", "reach", "sentiment", "post_id", "reply_to_post_id", "by_company")
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    REACH_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    POST_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_POST_ID_FIELD_NUMBER: _ClassVar[int]
    BY_COMPANY_FIELD_NUMBER: _ClassVar[int]
    platform: str
    reach: int
    sentiment: Signal
    post_id: str
    reply_to_post_id: str
    by_company: bool
    def __init__(self, platform: _Optional[str] = ..., reach: _Optional[int] = ..., sentiment: _Optional[_Union[Signal, _Mapping]] = ..., post_id: _Optional[str] = ..., reply_to_post_id: _Optional[str] = ..., by_company: _Optional[bool] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("stage", "channel", "severity", "issue_code")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    ISSUE_CODE_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    channel: Channel
    severity: Severity
    issue_code: str
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., severity: _Optional[_Union[Severity, str]] = ..., issue_code: _Optional[str] = ...) -> None: ...

class Remedy(_message.Message):
    __slots__ = ("kind", "cost")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    kind: RemedyKind
    cost: Money
    def __init__(self, kind: _Optional[_Union[RemedyKind, str]] = ..., cost: _Optional[_Union[Money, _Mapping]] = ...) -> None: ...

class Goodwill(_message.Message):
    __slots__ = ("kind", "value")
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    value: Money
    def __init__(self, kind: _Optional[str] = ..., value: _Optional[_Union[Money, _Mapping]] = ...) -> None: ...

class RecoveryClosed(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: RecoveryResult
    def __init__(self, result: _Optional[_Union[RecoveryResult, str]] = ...) -> None: ...

class Recognition(_message.Message):
    __slots__ = ("given_by", "interaction_id")
    GIVEN_BY_FIELD_NUMBER: _ClassVar[int]
    INTERACTION_ID_FIELD_NUMBER: _ClassVar[int]
    given_by: str
    interaction_id: str
    def __init__(self, given_by: _Optional[str] = ..., interaction_id: _Optional[str] = ...) -> None: ...

class CustomerProfile(_message.Message):
    __slots__ = ("birth_year_from", "birth_year_to", "segments")
    class SegmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    BIRTH_YEAR_FROM_FIELD_NUMBER: _ClassVar[int]
    BIRTH_YEAR_TO_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    birth_year_from: int
    birth_year_to: int
    segments: _containers.ScalarMap[str, str]
    def __init__(self, birth_year_from: _Optional[int] = ..., birth_year_to: _Optional[int] = ..., segments: _Optional[_Mapping[str, str]] = ...) -> None: ...

class StaffProfile(_message.Message):
    __slots__ = ("group", "cohort", "job_design")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    JOB_DESIGN_FIELD_NUMBER: _ClassVar[int]
    group: str
    cohort: str
    job_design: str
    def __init__(self, group: _Optional[str] = ..., cohort: _Optional[str] = ..., job_design: _Optional[str] = ...) -> None: ...

class Assessment(_message.Message):
    __slots__ = ("assessor", "signals", "within_sla", "about")
    ASSESSOR_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_SLA_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    assessor: str
    signals: _containers.RepeatedCompositeFieldContainer[Signal]
    within_sla: bool
    about: EventReference
    def __init__(self, assessor: _Optional[str] = ..., signals: _Optional[_Iterable[_Union[Signal, _Mapping]]] = ..., within_sla: _Optional[bool] = ..., about: _Optional[_Union[EventReference, _Mapping]] = ...) -> None: ...

class ReasonStated(_message.Message):
    __slots__ = ("issue_code", "reason_code")
    ISSUE_CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_CODE_FIELD_NUMBER: _ClassVar[int]
    issue_code: str
    reason_code: str
    def __init__(self, issue_code: _Optional[str] = ..., reason_code: _Optional[str] = ...) -> None: ...

class Insight(_message.Message):
    __slots__ = ("insight_id", "step", "about")
    INSIGHT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    insight_id: str
    step: InsightStep
    about: EventReference
    def __init__(self, insight_id: _Optional[str] = ..., step: _Optional[_Union[InsightStep, str]] = ..., about: _Optional[_Union[EventReference, _Mapping]] = ...) -> None: ...

class AdviceOption(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: str
    def __init__(self, item: _Optional[str] = ...) -> None: ...

class Advice(_message.Message):
    __slots__ = ("options", "chosen")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    options: _containers.RepeatedCompositeFieldContainer[AdviceOption]
    chosen: str
    def __init__(self, options: _Optional[_Iterable[_Union[AdviceOption, _Mapping]]] = ..., chosen: _Optional[str] = ...) -> None: ...

class ProductFollowUp(_message.Message):
    __slots__ = ("item", "kept", "usable", "happy")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    USABLE_FIELD_NUMBER: _ClassVar[int]
    HAPPY_FIELD_NUMBER: _ClassVar[int]
    item: str
    kept: bool
    usable: bool
    happy: bool
    def __init__(self, item: _Optional[str] = ..., kept: _Optional[bool] = ..., usable: _Optional[bool] = ..., happy: _Optional[bool] = ...) -> None: ...

class PublicPostRemoved(_message.Message):
    __slots__ = ("platform", "post_id")
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    POST_ID_FIELD_NUMBER: _ClassVar[int]
    platform: str
    post_id: str
    def __init__(self, platform: _Optional[str] = ..., post_id: _Optional[str] = ...) -> None: ...

class ServiceClaim(_message.Message):
    __slots__ = ("claimed",)
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    claimed: Signal
    def __init__(self, claimed: _Optional[_Union[Signal, _Mapping]] = ...) -> None: ...

class FrontLine(_message.Message):
    __slots__ = ("step", "kind", "pulse", "value", "approval_needed", "group")
    STEP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PULSE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_NEEDED_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    step: FrontLineStep
    kind: str
    pulse: Signal
    value: Money
    approval_needed: bool
    group: str
    def __init__(self, step: _Optional[_Union[FrontLineStep, str]] = ..., kind: _Optional[str] = ..., pulse: _Optional[_Union[Signal, _Mapping]] = ..., value: _Optional[_Union[Money, _Mapping]] = ..., approval_needed: _Optional[bool] = ..., group: _Optional[str] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("same_as", "relation")
    SAME_AS_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    same_as: str
    relation: IdentityRelation
    def __init__(self, same_as: _Optional[str] = ..., relation: _Optional[_Union[IdentityRelation, str]] = ...) -> None: ...

class Scenario(_message.Message):
    __slots__ = ("name", "loss_percent", "competitor_percent", "revenue", "margin_percent", "discount_percent", "years")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOSS_PERCENT_FIELD_NUMBER: _ClassVar[int]
    COMPETITOR_PERCENT_FIELD_NUMBER: _ClassVar[int]
    REVENUE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_PERCENT_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_PERCENT_FIELD_NUMBER: _ClassVar[int]
    YEARS_FIELD_NUMBER: _ClassVar[int]
    name: str
    loss_percent: str
    competitor_percent: str
    revenue: Money
    margin_percent: str
    discount_percent: str
    years: int
    def __init__(self, name: _Optional[str] = ..., loss_percent: _Optional[str] = ..., competitor_percent: _Optional[str] = ..., revenue: _Optional[_Union[Money, _Mapping]] = ..., margin_percent: _Optional[str] = ..., discount_percent: _Optional[str] = ..., years: _Optional[int] = ...) -> None: ...

class Correction(_message.Message):
    __slots__ = ("reason", "interaction", "feedback_requested", "feedback_suppressed", "feedback_received", "expectation", "public_post", "failure", "remedy", "goodwill", "recovery_closed", "recognition", "customer_profile", "staff_profile", "assessment", "reason_stated", "insight", "advice", "product_follow_up", "public_post_removed", "service_claim", "front_line", "scenario")
    REASON_FIELD_NUMBER: _ClassVar[int]
    INTERACTION_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_POST_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    GOODWILL_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_CLOSED_FIELD_NUMBER: _ClassVar[int]
    RECOGNITION_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_PROFILE_FIELD_NUMBER: _ClassVar[int]
    STAFF_PROFILE_FIELD_NUMBER: _ClassVar[int]
    ASSESSMENT_FIELD_NUMBER: _ClassVar[int]
    REASON_STATED_FIELD_NUMBER: _ClassVar[int]
    INSIGHT_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FOLLOW_UP_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_POST_REMOVED_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLAIM_FIELD_NUMBER: _ClassVar[int]
    FRONT_LINE_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    reason: str
    interaction: Interaction
    feedback_requested: FeedbackRequested
    feedback_suppressed: FeedbackSuppressed
    feedback_received: FeedbackReceived
    expectation: Expectation
    public_post: PublicPost
    failure: Failure
    remedy: Remedy
    goodwill: Goodwill
    recovery_closed: RecoveryClosed
    recognition: Recognition
    customer_profile: CustomerProfile
    staff_profile: StaffProfile
    assessment: Assessment
    reason_stated: ReasonStated
    insight: Insight
    advice: Advice
    product_follow_up: ProductFollowUp
    public_post_removed: PublicPostRemoved
    service_claim: ServiceClaim
    front_line: FrontLine
    scenario: Scenario
    def __init__(self, reason: _Optional[str] = ..., interaction: _Optional[_Union[Interaction, _Mapping]] = ..., feedback_requested: _Optional[_Union[FeedbackRequested, _Mapping]] = ..., feedback_suppressed: _Optional[_Union[FeedbackSuppressed, _Mapping]] = ..., feedback_received: _Optional[_Union[FeedbackReceived, _Mapping]] = ..., expectation: _Optional[_Union[Expectation, _Mapping]] = ..., public_post: _Optional[_Union[PublicPost, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., remedy: _Optional[_Union[Remedy, _Mapping]] = ..., goodwill: _Optional[_Union[Goodwill, _Mapping]] = ..., recovery_closed: _Optional[_Union[RecoveryClosed, _Mapping]] = ..., recognition: _Optional[_Union[Recognition, _Mapping]] = ..., customer_profile: _Optional[_Union[CustomerProfile, _Mapping]] = ..., staff_profile: _Optional[_Union[StaffProfile, _Mapping]] = ..., assessment: _Optional[_Union[Assessment, _Mapping]] = ..., reason_stated: _Optional[_Union[ReasonStated, _Mapping]] = ..., insight: _Optional[_Union[Insight, _Mapping]] = ..., advice: _Optional[_Union[Advice, _Mapping]] = ..., product_follow_up: _Optional[_Union[ProductFollowUp, _Mapping]] = ..., public_post_removed: _Optional[_Union[PublicPostRemoved, _Mapping]] = ..., service_claim: _Optional[_Union[ServiceClaim, _Mapping]] = ..., front_line: _Optional[_Union[FrontLine, _Mapping]] = ..., scenario: _Optional[_Union[Scenario, _Mapping]] = ...) -> None: ...

class Retraction(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...
