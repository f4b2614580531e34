import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Position(_message.Message):
    __slots__ = ("journal_id", "number")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    number: int
    def __init__(self, journal_id: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("tenant", "source", "entries", "received_at", "sent_at", "traceparent")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    source: str
    entries: _containers.RepeatedCompositeFieldContainer[AppendEntry]
    received_at: _timestamp_pb2.Timestamp
    sent_at: _timestamp_pb2.Timestamp
    traceparent: str
    def __init__(self, tenant: _Optional[str] = ..., source: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[AppendEntry, _Mapping]]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class AppendEntry(_message.Message):
    __slots__ = ("event_id", "topic", "event", "content_digest")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    topic: str
    event: bytes
    content_digest: bytes
    def __init__(self, event_id: _Optional[str] = ..., topic: _Optional[str] = ..., event: _Optional[bytes] = ..., content_digest: _Optional[bytes] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("results", "journal_id")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[AppendResult]
    journal_id: str
    def __init__(self, results: _Optional[_Iterable[_Union[AppendResult, _Mapping]]] = ..., journal_id: _Optional[str] = ...) -> None: ...

class AppendResult(_message.Message):
    __slots__ = ("status", "position")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_UNSPECIFIED: _ClassVar[AppendResult.Status]
        STATUS_RECORDED: _ClassVar[AppendResult.Status]
        STATUS_DUPLICATE: _ClassVar[AppendResult.Status]
        STATUS_CONFLICT: _ClassVar[AppendResult.Status]
    STATUS_UNSPECIFIED: AppendResult.Status
    STATUS_RECORDED: AppendResult.Status
    STATUS_DUPLICATE: AppendResult.Status
    STATUS_CONFLICT: AppendResult.Status
    STATUS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    status: AppendResult.Status
    position: int
    def __init__(self, status: _Optional[_Union[AppendResult.Status, str]] = ..., position: _Optional[int] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: Position
    def __init__(self, after: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("journal_id", "events", "head")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    events: _containers.RepeatedCompositeFieldContainer[RecordedEvent]
    head: int
    def __init__(self, journal_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[RecordedEvent, _Mapping]]] = ..., head: _Optional[int] = ...) -> None: ...

class RecordedEvent(_message.Message):
    __slots__ = ("position", "tenant", "source", "topic", "event", "recorded_at", "received_at", "traceparent")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    position: int
    tenant: str
    source: str
    topic: str
    event: bytes
    recorded_at: _timestamp_pb2.Timestamp
    received_at: _timestamp_pb2.Timestamp
    traceparent: str
    def __init__(self, position: _Optional[int] = ..., tenant: _Optional[str] = ..., source: _Optional[str] = ..., topic: _Optional[str] = ..., event: _Optional[bytes] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class GetHeadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHeadResponse(_message.Message):
    __slots__ = ("clock", "head")
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    clock: _timestamp_pb2.Timestamp
    head: Position
    def __init__(self, clock: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., head: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...
