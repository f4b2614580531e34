import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import events_pb2 as _events_pb2
from touchledger.v1 import journal_pb2 as _journal_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TouchpointStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOUCHPOINT_STATUS_UNSPECIFIED: _ClassVar[TouchpointStatus]
    TOUCHPOINT_STATUS_ACTIVE: _ClassVar[TouchpointStatus]
    TOUCHPOINT_STATUS_RETIRED: _ClassVar[TouchpointStatus]
TOUCHPOINT_STATUS_UNSPECIFIED: TouchpointStatus
TOUCHPOINT_STATUS_ACTIVE: TouchpointStatus
TOUCHPOINT_STATUS_RETIRED: TouchpointStatus

class ServiceStandard(_message.Message):
    __slots__ = ("answers", "wait_within", "answer_within", "resolve_within")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    WAIT_WITHIN_FIELD_NUMBER: _ClassVar[int]
    ANSWER_WITHIN_FIELD_NUMBER: _ClassVar[int]
    RESOLVE_WITHIN_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[_events_pb2.Signal]
    wait_within: _duration_pb2.Duration
    answer_within: _duration_pb2.Duration
    resolve_within: _duration_pb2.Duration
    def __init__(self, answers: _Optional[_Iterable[_Union[_events_pb2.Signal, _Mapping]]] = ..., wait_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., answer_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resolve_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("stage", "channel")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    stage: _events_pb2.Stage
    channel: _events_pb2.Channel
    def __init__(self, stage: _Optional[_Union[_events_pb2.Stage, str]] = ..., channel: _Optional[_Union[_events_pb2.Channel, str]] = ...) -> None: ...

class TouchpointDefinition(_message.Message):
    __slots__ = ("touchpoint", "status", "placement", "owner", "weight", "expectation", "version", "defined_at", "decided_at", "decided_by")
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEFINED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    touchpoint: str
    status: TouchpointStatus
    placement: Placement
    owner: str
    weight: str
    expectation: ServiceStandard
    version: int
    defined_at: _timestamp_pb2.Timestamp
    decided_at: _timestamp_pb2.Timestamp
    decided_by: str
    def __init__(self, touchpoint: _Optional[str] = ..., status: _Optional[_Union[TouchpointStatus, str]] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., owner: _Optional[str] = ..., weight: _Optional[str] = ..., expectation: _Optional[_Union[ServiceStandard, _Mapping]] = ..., version: _Optional[int] = ..., defined_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_by: _Optional[str] = ...) -> None: ...

class DefineTouchpointRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "touchpoint", "placement", "owner", "weight", "expectation")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    touchpoint: str
    placement: Placement
    owner: str
    weight: str
    expectation: ServiceStandard
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., touchpoint: _Optional[str] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., owner: _Optional[str] = ..., weight: _Optional[str] = ..., expectation: _Optional[_Union[ServiceStandard, _Mapping]] = ...) -> None: ...

class DefineTouchpointResponse(_message.Message):
    __slots__ = ("touchpoint", "position")
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    touchpoint: TouchpointDefinition
    position: _journal_pb2.Position
    def __init__(self, touchpoint: _Optional[_Union[TouchpointDefinition, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class ChangeTouchpointRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "touchpoint", "expected_version", "placement", "owner", "weight", "expectation")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    EXPECTATION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    touchpoint: str
    expected_version: int
    placement: Placement
    owner: str
    weight: str
    expectation: ServiceStandard
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., touchpoint: _Optional[str] = ..., expected_version: _Optional[int] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., owner: _Optional[str] = ..., weight: _Optional[str] = ..., expectation: _Optional[_Union[ServiceStandard, _Mapping]] = ...) -> None: ...

class ChangeTouchpointResponse(_message.Message):
    __slots__ = ("touchpoint", "position")
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    touchpoint: TouchpointDefinition
    position: _journal_pb2.Position
    def __init__(self, touchpoint: _Optional[_Union[TouchpointDefinition, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class RetireTouchpointRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "touchpoint", "expected_version", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    touchpoint: str
    expected_version: int
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., touchpoint: _Optional[str] = ..., expected_version: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class RetireTouchpointResponse(_message.Message):
    __slots__ = ("touchpoint", "position")
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    touchpoint: TouchpointDefinition
    position: _journal_pb2.Position
    def __init__(self, touchpoint: _Optional[_Union[TouchpointDefinition, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class GetTouchpointRequest(_message.Message):
    __slots__ = ("touchpoint",)
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    touchpoint: str
    def __init__(self, touchpoint: _Optional[str] = ...) -> None: ...

class GetTouchpointResponse(_message.Message):
    __slots__ = ("touchpoint", "position")
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    touchpoint: TouchpointDefinition
    position: _journal_pb2.Position
    def __init__(self, touchpoint: _Optional[_Union[TouchpointDefinition, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class ListTouchpointsRequest(_message.Message):
    __slots__ = ("status", "owner", "page_size", "page_token")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    status: TouchpointStatus
    owner: str
    page_size: int
    page_token: str
    def __init__(self, status: _Optional[_Union[TouchpointStatus, str]] = ..., owner: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTouchpointsResponse(_message.Message):
    __slots__ = ("touchpoints", "next_page_token")
    TOUCHPOINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    touchpoints: _containers.RepeatedCompositeFieldContainer[TouchpointDefinition]
    next_page_token: str
    def __init__(self, touchpoints: _Optional[_Iterable[_Union[TouchpointDefinition, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
