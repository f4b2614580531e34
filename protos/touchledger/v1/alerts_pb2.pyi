import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import journal_pb2 as _journal_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlertGroupBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_GROUP_BY_UNSPECIFIED: _ClassVar[AlertGroupBy]
    ALERT_GROUP_BY_TOUCHPOINT: _ClassVar[AlertGroupBy]
    ALERT_GROUP_BY_STAGE: _ClassVar[AlertGroupBy]
    ALERT_GROUP_BY_CHANNEL: _ClassVar[AlertGroupBy]
    ALERT_GROUP_BY_SERVICE_MODE: _ClassVar[AlertGroupBy]
    ALERT_GROUP_BY_STORE: _ClassVar[AlertGroupBy]
    ALERT_GROUP_BY_SOURCE: _ClassVar[AlertGroupBy]
    ALERT_GROUP_BY_ALL: _ClassVar[AlertGroupBy]

class AlertPeriod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_PERIOD_UNSPECIFIED: _ClassVar[AlertPeriod]
    ALERT_PERIOD_DAY: _ClassVar[AlertPeriod]
    ALERT_PERIOD_WEEK: _ClassVar[AlertPeriod]

class AlertDirection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_DIRECTION_UNSPECIFIED: _ClassVar[AlertDirection]
    ALERT_DIRECTION_UP: _ClassVar[AlertDirection]
    ALERT_DIRECTION_DOWN: _ClassVar[AlertDirection]
    ALERT_DIRECTION_BOTH: _ClassVar[AlertDirection]

class AlertDatedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_DATED_BY_UNSPECIFIED: _ClassVar[AlertDatedBy]
    ALERT_DATED_BY_OCCURRED: _ClassVar[AlertDatedBy]
    ALERT_DATED_BY_REQUEST: _ClassVar[AlertDatedBy]

class AlertLimits(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_LIMITS_UNSPECIFIED: _ClassVar[AlertLimits]
    ALERT_LIMITS_NORMAL: _ClassVar[AlertLimits]
    ALERT_LIMITS_EXACT: _ClassVar[AlertLimits]

class AlertDeliveryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_DELIVERY_STATE_UNSPECIFIED: _ClassVar[AlertDeliveryState]
    ALERT_DELIVERY_STATE_WAITING: _ClassVar[AlertDeliveryState]
    ALERT_DELIVERY_STATE_DELIVERED: _ClassVar[AlertDeliveryState]
    ALERT_DELIVERY_STATE_GIVEN_UP: _ClassVar[AlertDeliveryState]
ALERT_GROUP_BY_UNSPECIFIED: AlertGroupBy
ALERT_GROUP_BY_TOUCHPOINT: AlertGroupBy
ALERT_GROUP_BY_STAGE: AlertGroupBy
ALERT_GROUP_BY_CHANNEL: AlertGroupBy
ALERT_GROUP_BY_SERVICE_MODE: AlertGroupBy
ALERT_GROUP_BY_STORE: AlertGroupBy
ALERT_GROUP_BY_SOURCE: AlertGroupBy
ALERT_GROUP_BY_ALL: AlertGroupBy
ALERT_PERIOD_UNSPECIFIED: AlertPeriod
ALERT_PERIOD_DAY: AlertPeriod
ALERT_PERIOD_WEEK: AlertPeriod
ALERT_DIRECTION_UNSPECIFIED: AlertDirection
ALERT_DIRECTION_UP: AlertDirection
ALERT_DIRECTION_DOWN: AlertDirection
ALERT_DIRECTION_BOTH: AlertDirection
ALERT_DATED_BY_UNSPECIFIED: AlertDatedBy
ALERT_DATED_BY_OCCURRED: AlertDatedBy
ALERT_DATED_BY_REQUEST: AlertDatedBy
ALERT_LIMITS_UNSPECIFIED: AlertLimits
ALERT_LIMITS_NORMAL: AlertLimits
ALERT_LIMITS_EXACT: AlertLimits
ALERT_DELIVERY_STATE_UNSPECIFIED: AlertDeliveryState
ALERT_DELIVERY_STATE_WAITING: AlertDeliveryState
ALERT_DELIVERY_STATE_DELIVERED: AlertDeliveryState
ALERT_DELIVERY_STATE_GIVEN_UP: AlertDeliveryState

class PChart(_message.Message):
    __slots__ = ("limits", "sigmas", "tail")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SIGMAS_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    limits: AlertLimits
    sigmas: float
    tail: float
    def __init__(self, limits: _Optional[_Union[AlertLimits, str]] = ..., sigmas: _Optional[float] = ..., tail: _Optional[float] = ...) -> None: ...

class EwmaChart(_message.Message):
    __slots__ = ("weight", "width")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    weight: float
    width: float
    def __init__(self, weight: _Optional[float] = ..., width: _Optional[float] = ...) -> None: ...

class AlertBaseline(_message.Message):
    __slots__ = ("before",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    before: str
    def __init__(self, before: _Optional[str] = ..., **kwargs) -> None: ...

class AlertRule(_message.Message):
    __slots__ = ("name", "version", "part", "whole", "group_by", "touchpoint_glob", "stage", "channel", "service_mode", "store", "source", "period", "dated_by", "direction", "p_chart", "ewma", "baseline", "p0", "starts_on", "grace", "false_discovery_rate")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_GLOB_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_MODE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    DATED_BY_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    P_CHART_FIELD_NUMBER: _ClassVar[int]
    EWMA_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    P0_FIELD_NUMBER: _ClassVar[int]
    STARTS_ON_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    FALSE_DISCOVERY_RATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    part: str
    whole: str
    group_by: AlertGroupBy
    touchpoint_glob: str
    stage: str
    channel: str
    service_mode: str
    store: str
    source: str
    period: AlertPeriod
    dated_by: AlertDatedBy
    direction: AlertDirection
    p_chart: PChart
    ewma: EwmaChart
    baseline: AlertBaseline
    p0: float
    starts_on: str
    grace: _duration_pb2.Duration
    false_discovery_rate: float
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., part: _Optional[str] = ..., whole: _Optional[str] = ..., group_by: _Optional[_Union[AlertGroupBy, str]] = ..., touchpoint_glob: _Optional[str] = ..., stage: _Optional[str] = ..., channel: _Optional[str] = ..., service_mode: _Optional[str] = ..., store: _Optional[str] = ..., source: _Optional[str] = ..., period: _Optional[_Union[AlertPeriod, str]] = ..., dated_by: _Optional[_Union[AlertDatedBy, str]] = ..., direction: _Optional[_Union[AlertDirection, str]] = ..., p_chart: _Optional[_Union[PChart, _Mapping]] = ..., ewma: _Optional[_Union[EwmaChart, _Mapping]] = ..., baseline: _Optional[_Union[AlertBaseline, _Mapping]] = ..., p0: _Optional[float] = ..., starts_on: _Optional[str] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., false_discovery_rate: _Optional[float] = ...) -> None: ...

class AlertRuleFigures(_message.Message):
    __slots__ = ("groups", "groups_without_baseline", "run_length", "run_length_method", "false_alarms_per_year", "trouble")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_WITHOUT_BASELINE_FIELD_NUMBER: _ClassVar[int]
    RUN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    RUN_LENGTH_METHOD_FIELD_NUMBER: _ClassVar[int]
    FALSE_ALARMS_PER_YEAR_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    groups: int
    groups_without_baseline: int
    run_length: float
    run_length_method: str
    false_alarms_per_year: float
    trouble: str
    def __init__(self, groups: _Optional[int] = ..., groups_without_baseline: _Optional[int] = ..., run_length: _Optional[float] = ..., run_length_method: _Optional[str] = ..., false_alarms_per_year: _Optional[float] = ..., trouble: _Optional[str] = ...) -> None: ...

class PutAlertRuleRequest(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: AlertRule
    def __init__(self, rule: _Optional[_Union[AlertRule, _Mapping]] = ...) -> None: ...

class PutAlertRuleResponse(_message.Message):
    __slots__ = ("rule", "figures")
    RULE_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    rule: AlertRule
    figures: AlertRuleFigures
    def __init__(self, rule: _Optional[_Union[AlertRule, _Mapping]] = ..., figures: _Optional[_Union[AlertRuleFigures, _Mapping]] = ...) -> None: ...

class ListAlertRulesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAlertRulesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[ListedAlertRule]
    def __init__(self, rules: _Optional[_Iterable[_Union[ListedAlertRule, _Mapping]]] = ...) -> None: ...

class ListedAlertRule(_message.Message):
    __slots__ = ("rule", "figures", "put_at", "judged_at")
    RULE_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    PUT_AT_FIELD_NUMBER: _ClassVar[int]
    JUDGED_AT_FIELD_NUMBER: _ClassVar[int]
    rule: AlertRule
    figures: AlertRuleFigures
    put_at: _timestamp_pb2.Timestamp
    judged_at: _timestamp_pb2.Timestamp
    def __init__(self, rule: _Optional[_Union[AlertRule, _Mapping]] = ..., figures: _Optional[_Union[AlertRuleFigures, _Mapping]] = ..., put_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., judged_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RemoveAlertRuleRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveAlertRuleResponse(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: AlertRule
    def __init__(self, rule: _Optional[_Union[AlertRule, _Mapping]] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("number", "alert_id", "rule", "rule_version", "group", "period_start", "period_end", "withdrawn", "supersedes", "part", "whole", "p0", "statistic", "lower", "upper", "p_value", "judged_at", "as_of_position")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    RULE_VERSION_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PERIOD_START_FIELD_NUMBER: _ClassVar[int]
    PERIOD_END_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    P0_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    JUDGED_AT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    number: int
    alert_id: str
    rule: str
    rule_version: int
    group: str
    period_start: str
    period_end: str
    withdrawn: bool
    supersedes: int
    part: int
    whole: int
    p0: float
    statistic: float
    lower: float
    upper: float
    p_value: float
    judged_at: _timestamp_pb2.Timestamp
    as_of_position: _journal_pb2.Position
    def __init__(self, number: _Optional[int] = ..., alert_id: _Optional[str] = ..., rule: _Optional[str] = ..., rule_version: _Optional[int] = ..., group: _Optional[str] = ..., period_start: _Optional[str] = ..., period_end: _Optional[str] = ..., withdrawn: _Optional[bool] = ..., supersedes: _Optional[int] = ..., part: _Optional[int] = ..., whole: _Optional[int] = ..., p0: _Optional[float] = ..., statistic: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., p_value: _Optional[float] = ..., judged_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class ListAlertsRequest(_message.Message):
    __slots__ = ("rule", "after_number", "page_size")
    RULE_FIELD_NUMBER: _ClassVar[int]
    AFTER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    after_number: int
    page_size: int
    def __init__(self, rule: _Optional[str] = ..., after_number: _Optional[int] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListAlertsResponse(_message.Message):
    __slots__ = ("alerts",)
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    def __init__(self, alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ...) -> None: ...

class BackTestRequest(_message.Message):
    __slots__ = ("rule", "name")
    RULE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    rule: AlertRule
    name: str
    def __init__(self, rule: _Optional[_Union[AlertRule, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class BackTestResponse(_message.Message):
    __slots__ = ("alerts", "alarms_now", "points", "false_alarms_expected", "figures", "as_of_position", "truncated")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    ALARMS_NOW_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    FALSE_ALARMS_EXPECTED_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    alarms_now: _containers.RepeatedCompositeFieldContainer[Alert]
    points: int
    false_alarms_expected: float
    figures: AlertRuleFigures
    as_of_position: _journal_pb2.Position
    truncated: bool
    def __init__(self, alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., alarms_now: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., points: _Optional[int] = ..., false_alarms_expected: _Optional[float] = ..., figures: _Optional[_Union[AlertRuleFigures, _Mapping]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., truncated: _Optional[bool] = ...) -> None: ...

class WatchAlertsRequest(_message.Message):
    __slots__ = ("after_number", "only_new")
    AFTER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ONLY_NEW_FIELD_NUMBER: _ClassVar[int]
    after_number: int
    only_new: bool
    def __init__(self, after_number: _Optional[int] = ..., only_new: _Optional[bool] = ...) -> None: ...

class WatchAlertsResponse(_message.Message):
    __slots__ = ("alert", "number")
    ALERT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    alert: Alert
    number: int
    def __init__(self, alert: _Optional[_Union[Alert, _Mapping]] = ..., number: _Optional[int] = ...) -> None: ...

class ListAlertDeliveriesRequest(_message.Message):
    __slots__ = ("before_number", "page_size")
    BEFORE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    before_number: int
    page_size: int
    def __init__(self, before_number: _Optional[int] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListAlertDeliveriesResponse(_message.Message):
    __slots__ = ("deliveries", "has_webhook")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    HAS_WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[AlertDelivery]
    has_webhook: bool
    def __init__(self, deliveries: _Optional[_Iterable[_Union[AlertDelivery, _Mapping]]] = ..., has_webhook: _Optional[bool] = ...) -> None: ...

class AlertDelivery(_message.Message):
    __slots__ = ("number", "alert_id", "state", "attempts", "last_result", "due_at", "tried_at")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LAST_RESULT_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    TRIED_AT_FIELD_NUMBER: _ClassVar[int]
    number: int
    alert_id: str
    state: AlertDeliveryState
    attempts: int
    last_result: str
    due_at: _timestamp_pb2.Timestamp
    tried_at: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., alert_id: _Optional[str] = ..., state: _Optional[_Union[AlertDeliveryState, str]] = ..., attempts: _Optional[int] = ..., last_result: _Optional[str] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tried_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
