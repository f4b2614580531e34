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
GROUP_BY_UNSPECIFIED: GroupBy
GROUP_BY_TOUCHPOINT: GroupBy
GROUP_BY_STAGE: GroupBy
GROUP_BY_CHANNEL: GroupBy
GROUP_BY_ALL: GroupBy

class GetScoresRequest(_message.Message):
    __slots__ = ("group_by", "touchpoint_glob", "occurred_before_time", "occurred_before_date", "as_of_position", "as_of_time", "as_of_date")
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_GLOB_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_DATE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_DATE_FIELD_NUMBER: _ClassVar[int]
    group_by: GroupBy
    touchpoint_glob: str
    occurred_before_time: _timestamp_pb2.Timestamp
    occurred_before_date: str
    as_of_position: _journal_pb2.Position
    as_of_time: _timestamp_pb2.Timestamp
    as_of_date: str
    def __init__(self, group_by: _Optional[_Union[GroupBy, str]] = ..., touchpoint_glob: _Optional[str] = ..., occurred_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_before_date: _Optional[str] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_date: _Optional[str] = ...) -> None: ...

class GetScoresResponse(_message.Message):
    __slots__ = ("scores", "as_of_position", "formula_version", "reporting_zone")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    FORMULA_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    as_of_position: _journal_pb2.Position
    formula_version: str
    reporting_zone: str
    def __init__(self, scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., formula_version: _Optional[str] = ..., reporting_zone: _Optional[str] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("group", "counts", "scores")
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
    GROUP_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    group: str
    counts: _containers.ScalarMap[str, int]
    scores: _containers.ScalarMap[str, float]
    def __init__(self, group: _Optional[str] = ..., counts: _Optional[_Mapping[str, int]] = ..., scores: _Optional[_Mapping[str, float]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("head", "checkpoint", "lag", "missing_positions", "checkpoint_recorded_at", "events", "waiting_amendments")
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
    head: _journal_pb2.Position
    checkpoint: _journal_pb2.Position
    lag: int
    missing_positions: int
    checkpoint_recorded_at: _timestamp_pb2.Timestamp
    events: _containers.ScalarMap[str, int]
    waiting_amendments: int
    def __init__(self, head: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., checkpoint: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., lag: _Optional[int] = ..., missing_positions: _Optional[int] = ..., checkpoint_recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., events: _Optional[_Mapping[str, int]] = ..., waiting_amendments: _Optional[int] = ...) -> None: ...
