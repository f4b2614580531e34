import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import events_pb2 as _events_pb2
from touchledger.v1 import journal_pb2 as _journal_pb2
from touchledger.v1 import problem_pb2 as _problem_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Disposition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISPOSITION_UNSPECIFIED: _ClassVar[Disposition]
    DISPOSITION_RECORDED: _ClassVar[Disposition]
    DISPOSITION_QUEUED: _ClassVar[Disposition]
    DISPOSITION_DUPLICATE: _ClassVar[Disposition]
    DISPOSITION_QUARANTINED: _ClassVar[Disposition]
    DISPOSITION_REJECTED: _ClassVar[Disposition]
    DISPOSITION_RETRY: _ClassVar[Disposition]
    DISPOSITION_VALID: _ClassVar[Disposition]
DISPOSITION_UNSPECIFIED: Disposition
DISPOSITION_RECORDED: Disposition
DISPOSITION_QUEUED: Disposition
DISPOSITION_DUPLICATE: Disposition
DISPOSITION_QUARANTINED: Disposition
DISPOSITION_REJECTED: Disposition
DISPOSITION_RETRY: Disposition
DISPOSITION_VALID: Disposition

class PublishRequest(_message.Message):
    __slots__ = ("event", "attempt", "validate_only")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    event: _events_pb2.Event
    attempt: Attempt
    validate_only: bool
    def __init__(self, event: _Optional[_Union[_events_pb2.Event, _Mapping]] = ..., attempt: _Optional[_Union[Attempt, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("sent_at",)
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    sent_at: _timestamp_pb2.Timestamp
    def __init__(self, sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: PublishResult
    def __init__(self, result: _Optional[_Union[PublishResult, _Mapping]] = ...) -> None: ...

class PublishBatchRequest(_message.Message):
    __slots__ = ("events", "attempt", "validate_only")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_events_pb2.Event]
    attempt: Attempt
    validate_only: bool
    def __init__(self, events: _Optional[_Iterable[_Union[_events_pb2.Event, _Mapping]]] = ..., attempt: _Optional[_Union[Attempt, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class PublishBatchResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[PublishResult]
    def __init__(self, results: _Optional[_Iterable[_Union[PublishResult, _Mapping]]] = ...) -> None: ...

class PublishStreamRequest(_message.Message):
    __slots__ = ("sequence", "events", "attempt")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    events: _containers.RepeatedCompositeFieldContainer[_events_pb2.Event]
    attempt: Attempt
    def __init__(self, sequence: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_events_pb2.Event, _Mapping]]] = ..., attempt: _Optional[_Union[Attempt, _Mapping]] = ...) -> None: ...

class PublishStreamResponse(_message.Message):
    __slots__ = ("sequence", "results", "problem", "credits")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    results: _containers.RepeatedCompositeFieldContainer[PublishResult]
    problem: _problem_pb2.Problem
    credits: int
    def __init__(self, sequence: _Optional[int] = ..., results: _Optional[_Iterable[_Union[PublishResult, _Mapping]]] = ..., problem: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ..., credits: _Optional[int] = ...) -> None: ...

class PublishResult(_message.Message):
    __slots__ = ("disposition", "position", "problem", "quarantine_id")
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_ID_FIELD_NUMBER: _ClassVar[int]
    disposition: Disposition
    position: _journal_pb2.Position
    problem: _problem_pb2.Problem
    quarantine_id: str
    def __init__(self, disposition: _Optional[_Union[Disposition, str]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ..., problem: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ..., quarantine_id: _Optional[str] = ...) -> None: ...
