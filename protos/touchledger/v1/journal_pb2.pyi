import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import problem_pb2 as _problem_pb2
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

class AppendManyRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[AppendRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[AppendRequest, _Mapping]]] = ...) -> None: ...

class AppendManyResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[AppendOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[AppendOutcome, _Mapping]]] = ...) -> None: ...

class AppendOutcome(_message.Message):
    __slots__ = ("response", "problem")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    response: AppendResponse
    problem: _problem_pb2.Problem
    def __init__(self, response: _Optional[_Union[AppendResponse, _Mapping]] = ..., problem: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("after", "filter")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    after: Position
    filter: Filter
    def __init__(self, after: _Optional[_Union[Position, _Mapping]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("topics", "tenant", "source")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedScalarFieldContainer[str]
    tenant: str
    source: str
    def __init__(self, topics: _Optional[_Iterable[str]] = ..., tenant: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("journal_id", "events", "head", "scanned_to", "caught_up")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SCANNED_TO_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    events: _containers.RepeatedCompositeFieldContainer[RecordedEvent]
    head: int
    scanned_to: int
    caught_up: CaughtUp
    def __init__(self, journal_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[RecordedEvent, _Mapping]]] = ..., head: _Optional[int] = ..., scanned_to: _Optional[int] = ..., caught_up: _Optional[_Union[CaughtUp, _Mapping]] = ...) -> None: ...

class CaughtUp(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: Position
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class ReadRangeRequest(_message.Message):
    __slots__ = ("after", "to", "limit", "filter")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    after: Position
    to: int
    limit: int
    filter: Filter
    def __init__(self, after: _Optional[_Union[Position, _Mapping]] = ..., to: _Optional[int] = ..., limit: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class ReadRangeResponse(_message.Message):
    __slots__ = ("journal_id", "events", "head", "scanned_to")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SCANNED_TO_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    events: _containers.RepeatedCompositeFieldContainer[RecordedEvent]
    head: int
    scanned_to: int
    def __init__(self, journal_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[RecordedEvent, _Mapping]]] = ..., head: _Optional[int] = ..., scanned_to: _Optional[int] = ...) -> None: ...

class ReadStreamRequest(_message.Message):
    __slots__ = ("published", "stream_id", "from_version", "limit")
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    published: PublishedEvent
    stream_id: bytes
    from_version: int
    limit: int
    def __init__(self, published: _Optional[_Union[PublishedEvent, _Mapping]] = ..., stream_id: _Optional[bytes] = ..., from_version: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class PublishedEvent(_message.Message):
    __slots__ = ("tenant", "source", "event_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    source: str
    event_id: str
    def __init__(self, tenant: _Optional[str] = ..., source: _Optional[str] = ..., event_id: _Optional[str] = ...) -> None: ...

class ReadStreamResponse(_message.Message):
    __slots__ = ("journal_id", "events", "head", "last_version")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    LAST_VERSION_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    events: _containers.RepeatedCompositeFieldContainer[RecordedEvent]
    head: int
    last_version: int
    def __init__(self, journal_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[RecordedEvent, _Mapping]]] = ..., head: _Optional[int] = ..., last_version: _Optional[int] = ...) -> None: ...

class RecordedEvent(_message.Message):
    __slots__ = ("position", "tenant", "source", "topic", "event", "recorded_at", "received_at", "traceparent", "stream_id", "stream_version")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_VERSION_FIELD_NUMBER: _ClassVar[int]
    position: int
    tenant: str
    source: str
    topic: str
    event: bytes
    recorded_at: _timestamp_pb2.Timestamp
    received_at: _timestamp_pb2.Timestamp
    traceparent: str
    stream_id: bytes
    stream_version: int
    def __init__(self, position: _Optional[int] = ..., tenant: _Optional[str] = ..., source: _Optional[str] = ..., topic: _Optional[str] = ..., event: _Optional[bytes] = ..., recorded_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ..., stream_id: _Optional[bytes] = ..., stream_version: _Optional[int] = ...) -> None: ...

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

class FindEventsRequest(_message.Message):
    __slots__ = ("tenant", "source", "event_ids")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    source: str
    event_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tenant: _Optional[str] = ..., source: _Optional[str] = ..., event_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class FindEventsResponse(_message.Message):
    __slots__ = ("events", "journal_id")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[FoundEvent]
    journal_id: str
    def __init__(self, events: _Optional[_Iterable[_Union[FoundEvent, _Mapping]]] = ..., journal_id: _Optional[str] = ...) -> None: ...

class FoundEvent(_message.Message):
    __slots__ = ("position", "refused", "content_digest")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    position: int
    refused: _containers.RepeatedCompositeFieldContainer[RefusedEvent]
    content_digest: bytes
    def __init__(self, position: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[RefusedEvent, _Mapping]]] = ..., content_digest: _Optional[bytes] = ...) -> None: ...

class RefusedEvent(_message.Message):
    __slots__ = ("number", "tenant", "source", "event_id", "content_digest", "problem", "content", "format", "quarantine_id", "refused_at")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    REFUSED_AT_FIELD_NUMBER: _ClassVar[int]
    number: int
    tenant: str
    source: str
    event_id: str
    content_digest: bytes
    problem: _problem_pb2.Problem
    content: bytes
    format: str
    quarantine_id: str
    refused_at: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., tenant: _Optional[str] = ..., source: _Optional[str] = ..., event_id: _Optional[str] = ..., content_digest: _Optional[bytes] = ..., problem: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ..., content: _Optional[bytes] = ..., format: _Optional[str] = ..., quarantine_id: _Optional[str] = ..., refused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListRefusedRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRefusedResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[RefusedEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[RefusedEvent, _Mapping]]] = ...) -> None: ...

class SettleRefusedRequest(_message.Message):
    __slots__ = ("number", "quarantine_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    quarantine_id: str
    def __init__(self, number: _Optional[int] = ..., quarantine_id: _Optional[str] = ...) -> None: ...

class SettleRefusedResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
