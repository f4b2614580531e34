import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import events_pb2 as _events_pb2
from touchledger.v1 import ingest_pb2 as _ingest_pb2
from touchledger.v1 import problem_pb2 as _problem_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QuarantineStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUARANTINE_STATUS_UNSPECIFIED: _ClassVar[QuarantineStatus]
    QUARANTINE_STATUS_OPEN: _ClassVar[QuarantineStatus]
    QUARANTINE_STATUS_RELEASED: _ClassVar[QuarantineStatus]
    QUARANTINE_STATUS_DISCARDED: _ClassVar[QuarantineStatus]
QUARANTINE_STATUS_UNSPECIFIED: QuarantineStatus
QUARANTINE_STATUS_OPEN: QuarantineStatus
QUARANTINE_STATUS_RELEASED: QuarantineStatus
QUARANTINE_STATUS_DISCARDED: QuarantineStatus

class QuarantineEntry(_message.Message):
    __slots__ = ("quarantine_id", "source", "event_id", "received_at", "last_received_at", "times_received", "format", "problem", "status", "resolved_at", "reason")
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    TIMES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    quarantine_id: str
    source: str
    event_id: str
    received_at: _timestamp_pb2.Timestamp
    last_received_at: _timestamp_pb2.Timestamp
    times_received: int
    format: str
    problem: _problem_pb2.Problem
    status: QuarantineStatus
    resolved_at: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, quarantine_id: _Optional[str] = ..., source: _Optional[str] = ..., event_id: _Optional[str] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., times_received: _Optional[int] = ..., format: _Optional[str] = ..., problem: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ..., status: _Optional[_Union[QuarantineStatus, str]] = ..., resolved_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class ListQuarantinedRequest(_message.Message):
    __slots__ = ("source", "code", "status", "page_size", "page_token")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    source: str
    code: str
    status: QuarantineStatus
    page_size: int
    page_token: str
    def __init__(self, source: _Optional[str] = ..., code: _Optional[str] = ..., status: _Optional[_Union[QuarantineStatus, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQuarantinedResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[QuarantineEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[QuarantineEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetQuarantinedRequest(_message.Message):
    __slots__ = ("quarantine_id",)
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    quarantine_id: str
    def __init__(self, quarantine_id: _Optional[str] = ...) -> None: ...

class GetQuarantinedResponse(_message.Message):
    __slots__ = ("entry", "content", "json")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    entry: QuarantineEntry
    content: bytes
    json: str
    def __init__(self, entry: _Optional[_Union[QuarantineEntry, _Mapping]] = ..., content: _Optional[bytes] = ..., json: _Optional[str] = ...) -> None: ...

class ReplayQuarantinedRequest(_message.Message):
    __slots__ = ("quarantine_id", "mended")
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    MENDED_FIELD_NUMBER: _ClassVar[int]
    quarantine_id: str
    mended: _events_pb2.Event
    def __init__(self, quarantine_id: _Optional[str] = ..., mended: _Optional[_Union[_events_pb2.Event, _Mapping]] = ...) -> None: ...

class ReplayQuarantinedResponse(_message.Message):
    __slots__ = ("result", "entry")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    result: _ingest_pb2.PublishResult
    entry: QuarantineEntry
    def __init__(self, result: _Optional[_Union[_ingest_pb2.PublishResult, _Mapping]] = ..., entry: _Optional[_Union[QuarantineEntry, _Mapping]] = ...) -> None: ...

class DiscardQuarantinedRequest(_message.Message):
    __slots__ = ("quarantine_id", "reason")
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    quarantine_id: str
    reason: str
    def __init__(self, quarantine_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DiscardQuarantinedResponse(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: QuarantineEntry
    def __init__(self, entry: _Optional[_Union[QuarantineEntry, _Mapping]] = ...) -> None: ...
