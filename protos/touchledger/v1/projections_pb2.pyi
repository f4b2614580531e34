import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import journal_pb2 as _journal_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetProjectionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetProjectionsResponse(_message.Message):
    __slots__ = ("projections", "head", "comparison")
    PROJECTIONS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    projections: _containers.RepeatedCompositeFieldContainer[Projection]
    head: _journal_pb2.Position
    comparison: Comparison
    def __init__(self, projections: _Optional[_Iterable[_Union[Projection, _Mapping]]] = ..., head: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., comparison: _Optional[_Union[Comparison, _Mapping]] = ...) -> None: ...

class Projection(_message.Message):
    __slots__ = ("name", "checkpoint", "lag", "checkpoint_recorded_at", "missing_positions", "parked_events", "owner", "owned_since")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    MISSING_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    PARKED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OWNED_SINCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    checkpoint: _journal_pb2.Position
    lag: int
    checkpoint_recorded_at: _timestamp_pb2.Timestamp
    missing_positions: int
    parked_events: int
    owner: str
    owned_since: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., checkpoint: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., lag: _Optional[int] = ..., checkpoint_recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., missing_positions: _Optional[int] = ..., parked_events: _Optional[int] = ..., owner: _Optional[str] = ..., owned_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("position", "differing_rows", "compared_at")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DIFFERING_ROWS_FIELD_NUMBER: _ClassVar[int]
    COMPARED_AT_FIELD_NUMBER: _ClassVar[int]
    position: _journal_pb2.Position
    differing_rows: int
    compared_at: _timestamp_pb2.Timestamp
    def __init__(self, position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., differing_rows: _Optional[int] = ..., compared_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RebuildProjectionRequest(_message.Message):
    __slots__ = ("replace",)
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    replace: bool
    def __init__(self, replace: _Optional[bool] = ...) -> None: ...

class RebuildProjectionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DiffProjectionRequest(_message.Message):
    __slots__ = ("rows_max",)
    ROWS_MAX_FIELD_NUMBER: _ClassVar[int]
    rows_max: int
    def __init__(self, rows_max: _Optional[int] = ...) -> None: ...

class DiffProjectionResponse(_message.Message):
    __slots__ = ("table", "result")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    table: TableComparison
    result: Comparison
    def __init__(self, table: _Optional[_Union[TableComparison, _Mapping]] = ..., result: _Optional[_Union[Comparison, _Mapping]] = ...) -> None: ...

class TableComparison(_message.Message):
    __slots__ = ("table", "live_rows", "next_rows", "only_live_rows", "only_next_rows", "differing", "uncompared_columns")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    LIVE_ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_ROWS_FIELD_NUMBER: _ClassVar[int]
    ONLY_LIVE_ROWS_FIELD_NUMBER: _ClassVar[int]
    ONLY_NEXT_ROWS_FIELD_NUMBER: _ClassVar[int]
    DIFFERING_FIELD_NUMBER: _ClassVar[int]
    UNCOMPARED_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    table: str
    live_rows: int
    next_rows: int
    only_live_rows: int
    only_next_rows: int
    differing: _containers.RepeatedCompositeFieldContainer[DifferingRow]
    uncompared_columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, table: _Optional[str] = ..., live_rows: _Optional[int] = ..., next_rows: _Optional[int] = ..., only_live_rows: _Optional[int] = ..., only_next_rows: _Optional[int] = ..., differing: _Optional[_Iterable[_Union[DifferingRow, _Mapping]]] = ..., uncompared_columns: _Optional[_Iterable[str]] = ...) -> None: ...

class DifferingRow(_message.Message):
    __slots__ = ("only_in", "copies", "json")
    ONLY_IN_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    only_in: str
    copies: int
    json: str
    def __init__(self, only_in: _Optional[str] = ..., copies: _Optional[int] = ..., json: _Optional[str] = ...) -> None: ...

class SwitchProjectionRequest(_message.Message):
    __slots__ = ("even_if_different",)
    EVEN_IF_DIFFERENT_FIELD_NUMBER: _ClassVar[int]
    even_if_different: bool
    def __init__(self, even_if_different: _Optional[bool] = ...) -> None: ...

class SwitchProjectionResponse(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: _journal_pb2.Position
    def __init__(self, position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class RollBackProjectionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RollBackProjectionResponse(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: _journal_pb2.Position
    def __init__(self, position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...
