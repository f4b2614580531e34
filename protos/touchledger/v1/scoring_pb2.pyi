import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import journal_pb2 as _journal_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GroupBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_BY_UNSPECIFIED: _ClassVar[GroupBy]
    GROUP_BY_TOUCHPOINT: _ClassVar[GroupBy]
    GROUP_BY_STAGE: _ClassVar[GroupBy]
    GROUP_BY_CHANNEL: _ClassVar[GroupBy]
    GROUP_BY_ALL: _ClassVar[GroupBy]
    GROUP_BY_SERVICE_MODE: _ClassVar[GroupBy]
    GROUP_BY_STORE: _ClassVar[GroupBy]
    GROUP_BY_STAFF_GROUP: _ClassVar[GroupBy]
    GROUP_BY_GENERATION: _ClassVar[GroupBy]
    GROUP_BY_SOURCE: _ClassVar[GroupBy]
    GROUP_BY_DAY: _ClassVar[GroupBy]
    GROUP_BY_WEEK: _ClassVar[GroupBy]
    GROUP_BY_MONTH: _ClassVar[GroupBy]

class Period(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PERIOD_UNSPECIFIED: _ClassVar[Period]
    PERIOD_DAY: _ClassVar[Period]
    PERIOD_WEEK: _ClassVar[Period]
    PERIOD_MONTH: _ClassVar[Period]

class BridgeCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BRIDGE_CAUSE_UNSPECIFIED: _ClassVar[BridgeCause]
    BRIDGE_CAUSE_LATE_ARRIVALS: _ClassVar[BridgeCause]
    BRIDGE_CAUSE_NEW_EVENTS: _ClassVar[BridgeCause]
    BRIDGE_CAUSE_CORRECTIONS: _ClassVar[BridgeCause]
    BRIDGE_CAUSE_RETRACTIONS: _ClassVar[BridgeCause]
    BRIDGE_CAUSE_PROFILES: _ClassVar[BridgeCause]
    BRIDGE_CAUSE_FORMULA: _ClassVar[BridgeCause]

class LineageRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LINEAGE_ROLE_UNSPECIFIED: _ClassVar[LineageRole]
    LINEAGE_ROLE_COUNTED: _ClassVar[LineageRole]
    LINEAGE_ROLE_AMENDMENT: _ClassVar[LineageRole]
    LINEAGE_ROLE_PROFILE: _ClassVar[LineageRole]
GROUP_BY_UNSPECIFIED: GroupBy
GROUP_BY_TOUCHPOINT: GroupBy
GROUP_BY_STAGE: GroupBy
GROUP_BY_CHANNEL: GroupBy
GROUP_BY_ALL: GroupBy
GROUP_BY_SERVICE_MODE: GroupBy
GROUP_BY_STORE: GroupBy
GROUP_BY_STAFF_GROUP: GroupBy
GROUP_BY_GENERATION: GroupBy
GROUP_BY_SOURCE: GroupBy
GROUP_BY_DAY: GroupBy
GROUP_BY_WEEK: GroupBy
GROUP_BY_MONTH: GroupBy
PERIOD_UNSPECIFIED: Period
PERIOD_DAY: Period
PERIOD_WEEK: Period
PERIOD_MONTH: Period
BRIDGE_CAUSE_UNSPECIFIED: BridgeCause
BRIDGE_CAUSE_LATE_ARRIVALS: BridgeCause
BRIDGE_CAUSE_NEW_EVENTS: BridgeCause
BRIDGE_CAUSE_CORRECTIONS: BridgeCause
BRIDGE_CAUSE_RETRACTIONS: BridgeCause
BRIDGE_CAUSE_PROFILES: BridgeCause
BRIDGE_CAUSE_FORMULA: BridgeCause
LINEAGE_ROLE_UNSPECIFIED: LineageRole
LINEAGE_ROLE_COUNTED: LineageRole
LINEAGE_ROLE_AMENDMENT: LineageRole
LINEAGE_ROLE_PROFILE: LineageRole

class Freshness(_message.Message):
    __slots__ = ("position", "recorded_at", "head", "lag")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    position: _journal_pb2.Position
    recorded_at: _timestamp_pb2.Timestamp
    head: int
    lag: int
    def __init__(self, position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., head: _Optional[int] = ..., lag: _Optional[int] = ...) -> None: ...

class GetScoresRequest(_message.Message):
    __slots__ = ("group_by", "touchpoint_glob", "occurred_before_time", "occurred_before_date", "as_of_position", "as_of_time", "as_of_date", "groups", "stage", "channel", "service_mode", "store", "source", "generation", "staff_group", "occurred_from_time", "occurred_from_date", "names", "at_least_position", "page_size", "page_token", "decayed_on_date")
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_GLOB_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_DATE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_DATE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STAFF_GROUP_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_DATE_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECAYED_ON_DATE_FIELD_NUMBER: _ClassVar[int]
    group_by: GroupBy
    touchpoint_glob: str
    occurred_before_time: _timestamp_pb2.Timestamp
    occurred_before_date: str
    as_of_position: _journal_pb2.Position
    as_of_time: _timestamp_pb2.Timestamp
    as_of_date: str
    groups: _containers.RepeatedScalarFieldContainer[GroupBy]
    stage: _containers.RepeatedScalarFieldContainer[str]
    channel: _containers.RepeatedScalarFieldContainer[str]
    service_mode: _containers.RepeatedScalarFieldContainer[str]
    store: _containers.RepeatedScalarFieldContainer[str]
    source: _containers.RepeatedScalarFieldContainer[str]
    generation: _containers.RepeatedScalarFieldContainer[str]
    staff_group: _containers.RepeatedScalarFieldContainer[str]
    occurred_from_time: _timestamp_pb2.Timestamp
    occurred_from_date: str
    names: _containers.RepeatedScalarFieldContainer[str]
    at_least_position: _journal_pb2.Position
    page_size: int
    page_token: str
    decayed_on_date: str
    def __init__(self, group_by: _Optional[_Union[GroupBy, str]] = ..., touchpoint_glob: _Optional[str] = ..., occurred_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_before_date: _Optional[str] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_date: _Optional[str] = ..., groups: _Optional[_Iterable[_Union[GroupBy, str]]] = ..., stage: _Optional[_Iterable[str]] = ..., channel: _Optional[_Iterable[str]] = ..., service_mode: _Optional[_Iterable[str]] = ..., store: _Optional[_Iterable[str]] = ..., source: _Optional[_Iterable[str]] = ..., generation: _Optional[_Iterable[str]] = ..., staff_group: _Optional[_Iterable[str]] = ..., occurred_from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_from_date: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., at_least_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., decayed_on_date: _Optional[str] = ...) -> None: ...

class GetScoresResponse(_message.Message):
    __slots__ = ("scores", "as_of_position", "formula_version", "reporting_zone", "freshness", "next_page_token")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    FORMULA_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    as_of_position: _journal_pb2.Position
    formula_version: str
    reporting_zone: str
    freshness: Freshness
    next_page_token: str
    def __init__(self, scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., formula_version: _Optional[str] = ..., reporting_zone: _Optional[str] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("group", "counts", "scores", "keys", "sums")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class KeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SumsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GROUP_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    group: str
    counts: _containers.ScalarMap[str, int]
    scores: _containers.ScalarMap[str, float]
    keys: _containers.ScalarMap[str, str]
    sums: _containers.ScalarMap[str, str]
    def __init__(self, group: _Optional[str] = ..., counts: _Optional[_Mapping[str, int]] = ..., scores: _Optional[_Mapping[str, float]] = ..., keys: _Optional[_Mapping[str, str]] = ..., sums: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("head", "checkpoint", "lag", "missing_positions", "checkpoint_recorded_at", "events", "waiting_amendments", "parked_events", "formula_version", "reporting_zone", "projected_by", "projected_by_since")
    class EventsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    MISSING_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_AMENDMENTS_FIELD_NUMBER: _ClassVar[int]
    PARKED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    FORMULA_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    PROJECTED_BY_FIELD_NUMBER: _ClassVar[int]
    PROJECTED_BY_SINCE_FIELD_NUMBER: _ClassVar[int]
    head: _journal_pb2.Position
    checkpoint: _journal_pb2.Position
    lag: int
    missing_positions: int
    checkpoint_recorded_at: _timestamp_pb2.Timestamp
    events: _containers.ScalarMap[str, int]
    waiting_amendments: int
    parked_events: int
    formula_version: str
    reporting_zone: str
    projected_by: str
    projected_by_since: _timestamp_pb2.Timestamp
    def __init__(self, head: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., checkpoint: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., lag: _Optional[int] = ..., missing_positions: _Optional[int] = ..., checkpoint_recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., events: _Optional[_Mapping[str, int]] = ..., waiting_amendments: _Optional[int] = ..., parked_events: _Optional[int] = ..., formula_version: _Optional[str] = ..., reporting_zone: _Optional[str] = ..., projected_by: _Optional[str] = ..., projected_by_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetSeriesRequest(_message.Message):
    __slots__ = ("period", "touchpoint_glob", "occurred_before_time", "occurred_before_date", "as_of_position", "as_of_time", "as_of_date", "groups", "stage", "channel", "service_mode", "store", "source", "generation", "staff_group", "occurred_from_time", "occurred_from_date", "names", "at_least_position", "page_size", "page_token")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_GLOB_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_DATE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_DATE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STAFF_GROUP_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_DATE_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    period: Period
    touchpoint_glob: str
    occurred_before_time: _timestamp_pb2.Timestamp
    occurred_before_date: str
    as_of_position: _journal_pb2.Position
    as_of_time: _timestamp_pb2.Timestamp
    as_of_date: str
    groups: _containers.RepeatedScalarFieldContainer[GroupBy]
    stage: _containers.RepeatedScalarFieldContainer[str]
    channel: _containers.RepeatedScalarFieldContainer[str]
    service_mode: _containers.RepeatedScalarFieldContainer[str]
    store: _containers.RepeatedScalarFieldContainer[str]
    source: _containers.RepeatedScalarFieldContainer[str]
    generation: _containers.RepeatedScalarFieldContainer[str]
    staff_group: _containers.RepeatedScalarFieldContainer[str]
    occurred_from_time: _timestamp_pb2.Timestamp
    occurred_from_date: str
    names: _containers.RepeatedScalarFieldContainer[str]
    at_least_position: _journal_pb2.Position
    page_size: int
    page_token: str
    def __init__(self, period: _Optional[_Union[Period, str]] = ..., touchpoint_glob: _Optional[str] = ..., occurred_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_before_date: _Optional[str] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_date: _Optional[str] = ..., groups: _Optional[_Iterable[_Union[GroupBy, str]]] = ..., stage: _Optional[_Iterable[str]] = ..., channel: _Optional[_Iterable[str]] = ..., service_mode: _Optional[_Iterable[str]] = ..., store: _Optional[_Iterable[str]] = ..., source: _Optional[_Iterable[str]] = ..., generation: _Optional[_Iterable[str]] = ..., staff_group: _Optional[_Iterable[str]] = ..., occurred_from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_from_date: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., at_least_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetSeriesResponse(_message.Message):
    __slots__ = ("scores", "as_of_position", "formula_version", "reporting_zone", "freshness", "next_page_token")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    FORMULA_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    as_of_position: _journal_pb2.Position
    formula_version: str
    reporting_zone: str
    freshness: Freshness
    next_page_token: str
    def __init__(self, scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., formula_version: _Optional[str] = ..., reporting_zone: _Optional[str] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetJourneyRequest(_message.Message):
    __slots__ = ("customer", "correlation_id", "occurred_before_time", "occurred_before_date", "as_of_position", "as_of_time", "as_of_date", "occurred_from_time", "occurred_from_date", "at_least_position", "page_size", "page_token")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_DATE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_DATE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_DATE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    customer: str
    correlation_id: str
    occurred_before_time: _timestamp_pb2.Timestamp
    occurred_before_date: str
    as_of_position: _journal_pb2.Position
    as_of_time: _timestamp_pb2.Timestamp
    as_of_date: str
    occurred_from_time: _timestamp_pb2.Timestamp
    occurred_from_date: str
    at_least_position: _journal_pb2.Position
    page_size: int
    page_token: str
    def __init__(self, customer: _Optional[str] = ..., correlation_id: _Optional[str] = ..., occurred_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_before_date: _Optional[str] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_date: _Optional[str] = ..., occurred_from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_from_date: _Optional[str] = ..., at_least_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetJourneyResponse(_message.Message):
    __slots__ = ("facts", "as_of_position", "stages", "reporting_zone", "freshness", "next_page_token")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    facts: _containers.RepeatedCompositeFieldContainer[JourneyFact]
    as_of_position: _journal_pb2.Position
    stages: _containers.RepeatedCompositeFieldContainer[JourneyStage]
    reporting_zone: str
    freshness: Freshness
    next_page_token: str
    def __init__(self, facts: _Optional[_Iterable[_Union[JourneyFact, _Mapping]]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[JourneyStage, _Mapping]]] = ..., reporting_zone: _Optional[str] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class JourneyFact(_message.Message):
    __slots__ = ("table", "source", "event_id", "position", "from_position", "occurred_at", "reporting_date", "touchpoint", "stage", "channel", "service_mode", "store", "correlation_id", "phase", "details")
    class DetailsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TABLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FROM_POSITION_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    REPORTING_DATE_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    table: str
    source: str
    event_id: str
    position: int
    from_position: int
    occurred_at: _timestamp_pb2.Timestamp
    reporting_date: str
    touchpoint: str
    stage: str
    channel: str
    service_mode: str
    store: str
    correlation_id: str
    phase: str
    details: _containers.ScalarMap[str, str]
    def __init__(self, table: _Optional[str] = ..., source: _Optional[str] = ..., event_id: _Optional[str] = ..., position: _Optional[int] = ..., from_position: _Optional[int] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reporting_date: _Optional[str] = ..., touchpoint: _Optional[str] = ..., stage: _Optional[str] = ..., channel: _Optional[str] = ..., service_mode: _Optional[str] = ..., store: _Optional[str] = ..., correlation_id: _Optional[str] = ..., phase: _Optional[str] = ..., details: _Optional[_Mapping[str, str]] = ...) -> None: ...

class JourneyStage(_message.Message):
    __slots__ = ("stage", "facts", "first_occurred_at", "last_occurred_at")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    facts: int
    first_occurred_at: _timestamp_pb2.Timestamp
    last_occurred_at: _timestamp_pb2.Timestamp
    def __init__(self, stage: _Optional[str] = ..., facts: _Optional[int] = ..., first_occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetBridgeRequest(_message.Message):
    __slots__ = ("score", "touchpoint_glob", "occurred_before_time", "occurred_before_date", "as_of_position", "as_of_time", "as_of_date", "stage", "channel", "service_mode", "store", "source", "generation", "staff_group", "occurred_from_time", "occurred_from_date", "at_least_position", "page_size", "page_token", "seen_position", "seen_time", "seen_date", "seen_score")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_GLOB_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_DATE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_DATE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STAFF_GROUP_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_DATE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEEN_POSITION_FIELD_NUMBER: _ClassVar[int]
    SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    SEEN_DATE_FIELD_NUMBER: _ClassVar[int]
    SEEN_SCORE_FIELD_NUMBER: _ClassVar[int]
    score: str
    touchpoint_glob: str
    occurred_before_time: _timestamp_pb2.Timestamp
    occurred_before_date: str
    as_of_position: _journal_pb2.Position
    as_of_time: _timestamp_pb2.Timestamp
    as_of_date: str
    stage: _containers.RepeatedScalarFieldContainer[str]
    channel: _containers.RepeatedScalarFieldContainer[str]
    service_mode: _containers.RepeatedScalarFieldContainer[str]
    store: _containers.RepeatedScalarFieldContainer[str]
    source: _containers.RepeatedScalarFieldContainer[str]
    generation: _containers.RepeatedScalarFieldContainer[str]
    staff_group: _containers.RepeatedScalarFieldContainer[str]
    occurred_from_time: _timestamp_pb2.Timestamp
    occurred_from_date: str
    at_least_position: _journal_pb2.Position
    page_size: int
    page_token: str
    seen_position: _journal_pb2.Position
    seen_time: _timestamp_pb2.Timestamp
    seen_date: str
    seen_score: str
    def __init__(self, score: _Optional[str] = ..., touchpoint_glob: _Optional[str] = ..., occurred_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_before_date: _Optional[str] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_date: _Optional[str] = ..., stage: _Optional[_Iterable[str]] = ..., channel: _Optional[_Iterable[str]] = ..., service_mode: _Optional[_Iterable[str]] = ..., store: _Optional[_Iterable[str]] = ..., source: _Optional[_Iterable[str]] = ..., generation: _Optional[_Iterable[str]] = ..., staff_group: _Optional[_Iterable[str]] = ..., occurred_from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_from_date: _Optional[str] = ..., at_least_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., seen_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seen_date: _Optional[str] = ..., seen_score: _Optional[str] = ...) -> None: ...

class GetBridgeResponse(_message.Message):
    __slots__ = ("seen", "now", "difference", "parts", "freshness", "next_page_token", "changes", "reporting_zone")
    SEEN_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    seen: BridgeState
    now: BridgeState
    difference: str
    parts: _containers.RepeatedCompositeFieldContainer[BridgePart]
    freshness: Freshness
    next_page_token: str
    changes: _containers.RepeatedCompositeFieldContainer[BridgeChange]
    reporting_zone: str
    def __init__(self, seen: _Optional[_Union[BridgeState, _Mapping]] = ..., now: _Optional[_Union[BridgeState, _Mapping]] = ..., difference: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[BridgePart, _Mapping]]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., next_page_token: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[BridgeChange, _Mapping]]] = ..., reporting_zone: _Optional[str] = ...) -> None: ...

class BridgeState(_message.Message):
    __slots__ = ("position", "score", "value", "counts", "sums")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class SumsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    position: _journal_pb2.Position
    score: str
    value: str
    counts: _containers.ScalarMap[str, int]
    sums: _containers.ScalarMap[str, str]
    def __init__(self, position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., score: _Optional[str] = ..., value: _Optional[str] = ..., counts: _Optional[_Mapping[str, int]] = ..., sums: _Optional[_Mapping[str, str]] = ...) -> None: ...

class BridgePart(_message.Message):
    __slots__ = ("cause", "difference", "value", "events")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    cause: BridgeCause
    difference: str
    value: str
    events: int
    def __init__(self, cause: _Optional[_Union[BridgeCause, str]] = ..., difference: _Optional[str] = ..., value: _Optional[str] = ..., events: _Optional[int] = ...) -> None: ...

class BridgeChange(_message.Message):
    __slots__ = ("cause", "source", "event_id", "position", "sums")
    class SumsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    cause: BridgeCause
    source: str
    event_id: str
    position: int
    sums: _containers.ScalarMap[str, str]
    def __init__(self, cause: _Optional[_Union[BridgeCause, str]] = ..., source: _Optional[str] = ..., event_id: _Optional[str] = ..., position: _Optional[int] = ..., sums: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetLineageRequest(_message.Message):
    __slots__ = ("touchpoint_glob", "occurred_before_time", "occurred_before_date", "as_of_position", "as_of_time", "as_of_date", "stage", "channel", "service_mode", "store", "source", "generation", "staff_group", "occurred_from_time", "occurred_from_date", "names", "at_least_position", "page_size", "page_token")
    TOUCHPOINT_GLOB_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_DATE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_DATE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STAFF_GROUP_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_FROM_DATE_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    touchpoint_glob: str
    occurred_before_time: _timestamp_pb2.Timestamp
    occurred_before_date: str
    as_of_position: _journal_pb2.Position
    as_of_time: _timestamp_pb2.Timestamp
    as_of_date: str
    stage: _containers.RepeatedScalarFieldContainer[str]
    channel: _containers.RepeatedScalarFieldContainer[str]
    service_mode: _containers.RepeatedScalarFieldContainer[str]
    store: _containers.RepeatedScalarFieldContainer[str]
    source: _containers.RepeatedScalarFieldContainer[str]
    generation: _containers.RepeatedScalarFieldContainer[str]
    staff_group: _containers.RepeatedScalarFieldContainer[str]
    occurred_from_time: _timestamp_pb2.Timestamp
    occurred_from_date: str
    names: _containers.RepeatedScalarFieldContainer[str]
    at_least_position: _journal_pb2.Position
    page_size: int
    page_token: str
    def __init__(self, touchpoint_glob: _Optional[str] = ..., occurred_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_before_date: _Optional[str] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_date: _Optional[str] = ..., stage: _Optional[_Iterable[str]] = ..., channel: _Optional[_Iterable[str]] = ..., service_mode: _Optional[_Iterable[str]] = ..., store: _Optional[_Iterable[str]] = ..., source: _Optional[_Iterable[str]] = ..., generation: _Optional[_Iterable[str]] = ..., staff_group: _Optional[_Iterable[str]] = ..., occurred_from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_from_date: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., at_least_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetLineageResponse(_message.Message):
    __slots__ = ("events", "as_of_position", "counted", "reporting_zone", "freshness", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[LineageEvent]
    as_of_position: _journal_pb2.Position
    counted: int
    reporting_zone: str
    freshness: Freshness
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[LineageEvent, _Mapping]]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., counted: _Optional[int] = ..., reporting_zone: _Optional[str] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LineageEvent(_message.Message):
    __slots__ = ("source", "event_id", "position", "topic", "occurred_at", "recorded_at", "role")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    source: str
    event_id: str
    position: int
    topic: str
    occurred_at: _timestamp_pb2.Timestamp
    recorded_at: _timestamp_pb2.Timestamp
    role: LineageRole
    def __init__(self, source: _Optional[str] = ..., event_id: _Optional[str] = ..., position: _Optional[int] = ..., topic: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., role: _Optional[_Union[LineageRole, str]] = ...) -> None: ...

class WatchScoresRequest(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: GetScoresRequest
    def __init__(self, question: _Optional[_Union[GetScoresRequest, _Mapping]] = ...) -> None: ...

class WatchScoresResponse(_message.Message):
    __slots__ = ("answer", "freshness")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    answer: GetScoresResponse
    freshness: Freshness
    def __init__(self, answer: _Optional[_Union[GetScoresResponse, _Mapping]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ...) -> None: ...
