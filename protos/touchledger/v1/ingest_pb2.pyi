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
    DISPOSITION_UNKNOWN: _ClassVar[Disposition]
DISPOSITION_UNSPECIFIED: Disposition
DISPOSITION_RECORDED: Disposition
DISPOSITION_QUEUED: Disposition
DISPOSITION_DUPLICATE: Disposition
DISPOSITION_QUARANTINED: Disposition
DISPOSITION_REJECTED: Disposition
DISPOSITION_RETRY: Disposition
DISPOSITION_VALID: Disposition
DISPOSITION_UNKNOWN: Disposition

class GetOutcomesRequest(_message.Message):
    __slots__ = ("event_ids",)
    EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    event_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, event_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class GetOutcomesResponse(_message.Message):
    __slots__ = ("outcomes", "settled_to")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    SETTLED_TO_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[EventOutcome]
    settled_to: _timestamp_pb2.Timestamp
    def __init__(self, outcomes: _Optional[_Iterable[_Union[EventOutcome, _Mapping]]] = ..., settled_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EventOutcome(_message.Message):
    __slots__ = ("event_id", "result", "conflict")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    result: PublishResult
    conflict: _problem_pb2.Problem
    def __init__(self, event_id: _Optional[str] = ..., result: _Optional[_Union[PublishResult, _Mapping]] = ..., conflict: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("sequence", "events", "attempt", "want_outcomes")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    WANT_OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    events: _containers.RepeatedCompositeFieldContainer[_events_pb2.Event]
    attempt: Attempt
    want_outcomes: bool
    def __init__(self, sequence: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_events_pb2.Event, _Mapping]]] = ..., attempt: _Optional[_Union[Attempt, _Mapping]] = ..., want_outcomes: _Optional[bool] = ...) -> None: ...

class PublishStreamResponse(_message.Message):
    __slots__ = ("sequence", "results", "problem", "credits", "outcomes")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    results: _containers.RepeatedCompositeFieldContainer[PublishResult]
    problem: _problem_pb2.Problem
    credits: int
    outcomes: _containers.RepeatedCompositeFieldContainer[EventOutcome]
    def __init__(self, sequence: _Optional[int] = ..., results: _Optional[_Iterable[_Union[PublishResult, _Mapping]]] = ..., problem: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ..., credits: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[EventOutcome, _Mapping]]] = ...) -> None: ...

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
