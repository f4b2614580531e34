import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import journal_pb2 as _journal_pb2
from touchledger.v1 import scoring_pb2 as _scoring_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListFiguresRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFiguresResponse(_message.Message):
    __slots__ = ("figures",)
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    figures: _containers.RepeatedCompositeFieldContainer[Figure]
    def __init__(self, figures: _Optional[_Iterable[_Union[Figure, _Mapping]]] = ...) -> None: ...

class Figure(_message.Message):
    __slots__ = ("name", "formula_version", "question", "columns")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORMULA_VERSION_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    name: str
    formula_version: str
    question: str
    columns: _containers.RepeatedCompositeFieldContainer[FigureColumn]
    def __init__(self, name: _Optional[str] = ..., formula_version: _Optional[str] = ..., question: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[FigureColumn, _Mapping]]] = ...) -> None: ...

class FigureColumn(_message.Message):
    __slots__ = ("name", "type", "meaning", "key")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MEANING_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    meaning: str
    key: bool
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., meaning: _Optional[str] = ..., key: _Optional[bool] = ...) -> None: ...

class GetFigureRequest(_message.Message):
    __slots__ = ("figure", "occurred_before_time", "occurred_before_date", "as_of_position", "as_of_time", "as_of_date", "at_least_position", "page_size", "page_token")
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_DATE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_DATE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    figure: str
    occurred_before_time: _timestamp_pb2.Timestamp
    occurred_before_date: str
    as_of_position: _journal_pb2.Position
    as_of_time: _timestamp_pb2.Timestamp
    as_of_date: str
    at_least_position: _journal_pb2.Position
    page_size: int
    page_token: str
    def __init__(self, figure: _Optional[str] = ..., occurred_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_before_date: _Optional[str] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_date: _Optional[str] = ..., at_least_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetFigureResponse(_message.Message):
    __slots__ = ("rows", "as_of_position", "horizon", "reporting_zone", "freshness", "next_page_token", "figure")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[FigureRow]
    as_of_position: _journal_pb2.Position
    horizon: _timestamp_pb2.Timestamp
    reporting_zone: str
    freshness: _scoring_pb2.Freshness
    next_page_token: str
    figure: Figure
    def __init__(self, rows: _Optional[_Iterable[_Union[FigureRow, _Mapping]]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., horizon: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reporting_zone: _Optional[str] = ..., freshness: _Optional[_Union[_scoring_pb2.Freshness, _Mapping]] = ..., next_page_token: _Optional[str] = ..., figure: _Optional[_Union[Figure, _Mapping]] = ...) -> None: ...

class FigureRow(_message.Message):
    __slots__ = ("keys", "values")
    class KeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEYS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.ScalarMap[str, str]
    values: _containers.ScalarMap[str, str]
    def __init__(self, keys: _Optional[_Mapping[str, str]] = ..., values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetFigureEventsRequest(_message.Message):
    __slots__ = ("figure", "keys", "occurred_before_time", "occurred_before_date", "as_of_position", "as_of_time", "as_of_date", "at_least_position", "page_size", "page_token")
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_BEFORE_DATE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_DATE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    figure: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    occurred_before_time: _timestamp_pb2.Timestamp
    occurred_before_date: str
    as_of_position: _journal_pb2.Position
    as_of_time: _timestamp_pb2.Timestamp
    as_of_date: str
    at_least_position: _journal_pb2.Position
    page_size: int
    page_token: str
    def __init__(self, figure: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., occurred_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., occurred_before_date: _Optional[str] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., as_of_date: _Optional[str] = ..., at_least_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetFigureEventsResponse(_message.Message):
    __slots__ = ("events", "as_of_position", "reporting_zone", "freshness", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_POSITION_FIELD_NUMBER: _ClassVar[int]
    REPORTING_ZONE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_scoring_pb2.LineageEvent]
    as_of_position: _journal_pb2.Position
    reporting_zone: str
    freshness: _scoring_pb2.Freshness
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[_scoring_pb2.LineageEvent, _Mapping]]] = ..., as_of_position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., reporting_zone: _Optional[str] = ..., freshness: _Optional[_Union[_scoring_pb2.Freshness, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
