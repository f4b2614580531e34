import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetBufferRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBufferResponse(_message.Message):
    __slots__ = ("batches", "bytes", "bytes_max", "replicas", "replicas_current", "oldest_age", "made_at", "partitions", "tenants", "refused_waiting", "refused_of_nobody")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AGE_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_WAITING_FIELD_NUMBER: _ClassVar[int]
    REFUSED_OF_NOBODY_FIELD_NUMBER: _ClassVar[int]
    batches: int
    bytes: int
    bytes_max: int
    replicas: int
    replicas_current: int
    oldest_age: _duration_pb2.Duration
    made_at: _timestamp_pb2.Timestamp
    partitions: _containers.RepeatedCompositeFieldContainer[BufferPartition]
    tenants: _containers.RepeatedCompositeFieldContainer[BufferTenant]
    refused_waiting: int
    refused_of_nobody: int
    def __init__(self, batches: _Optional[int] = ..., bytes: _Optional[int] = ..., bytes_max: _Optional[int] = ..., replicas: _Optional[int] = ..., replicas_current: _Optional[int] = ..., oldest_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., made_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., partitions: _Optional[_Iterable[_Union[BufferPartition, _Mapping]]] = ..., tenants: _Optional[_Iterable[_Union[BufferTenant, _Mapping]]] = ..., refused_waiting: _Optional[int] = ..., refused_of_nobody: _Optional[int] = ...) -> None: ...

class BufferPartition(_message.Message):
    __slots__ = ("partition", "batches", "owner", "owned_since")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OWNED_SINCE_FIELD_NUMBER: _ClassVar[int]
    partition: int
    batches: int
    owner: str
    owned_since: _timestamp_pb2.Timestamp
    def __init__(self, partition: _Optional[int] = ..., batches: _Optional[int] = ..., owner: _Optional[str] = ..., owned_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BufferTenant(_message.Message):
    __slots__ = ("tenant", "batches", "batches_of_fullest_partition", "batches_max_of_partition")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    BATCHES_OF_FULLEST_PARTITION_FIELD_NUMBER: _ClassVar[int]
    BATCHES_MAX_OF_PARTITION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    batches: int
    batches_of_fullest_partition: int
    batches_max_of_partition: int
    def __init__(self, tenant: _Optional[str] = ..., batches: _Optional[int] = ..., batches_of_fullest_partition: _Optional[int] = ..., batches_max_of_partition: _Optional[int] = ...) -> None: ...

class ReconcileBufferRequest(_message.Message):
    __slots__ = ("page_token",)
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_token: str
    def __init__(self, page_token: _Optional[str] = ...) -> None: ...

class ReconcileBufferResponse(_message.Message):
    __slots__ = ("batches", "recorded", "refused", "unrecorded", "unreadable", "events", "next_page_token")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    UNRECORDED_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    batches: int
    recorded: int
    refused: int
    unrecorded: int
    unreadable: int
    events: _containers.RepeatedCompositeFieldContainer[UnrecordedEvent]
    next_page_token: str
    def __init__(self, batches: _Optional[int] = ..., recorded: _Optional[int] = ..., refused: _Optional[int] = ..., unrecorded: _Optional[int] = ..., unreadable: _Optional[int] = ..., events: _Optional[_Iterable[_Union[UnrecordedEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UnrecordedEvent(_message.Message):
    __slots__ = ("tenant", "source", "event_id", "queued_at", "partition")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUED_AT_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    source: str
    event_id: str
    queued_at: _timestamp_pb2.Timestamp
    partition: int
    def __init__(self, tenant: _Optional[str] = ..., source: _Optional[str] = ..., event_id: _Optional[str] = ..., queued_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., partition: _Optional[int] = ...) -> None: ...
