import datetime

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

class CaseStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CASE_STATUS_UNSPECIFIED: _ClassVar[CaseStatus]
    CASE_STATUS_OPEN: _ClassVar[CaseStatus]
    CASE_STATUS_ACKNOWLEDGED: _ClassVar[CaseStatus]
    CASE_STATUS_REMEDIED: _ClassVar[CaseStatus]
    CASE_STATUS_CLOSED: _ClassVar[CaseStatus]
CASE_STATUS_UNSPECIFIED: CaseStatus
CASE_STATUS_OPEN: CaseStatus
CASE_STATUS_ACKNOWLEDGED: CaseStatus
CASE_STATUS_REMEDIED: CaseStatus
CASE_STATUS_CLOSED: CaseStatus

class RecoveryCase(_message.Message):
    __slots__ = ("case_id", "status", "touchpoint", "customer", "severity", "correlation_id", "failure", "assignee", "version", "opened_at", "opened_by", "reopened_at", "reopened_times", "acknowledged_at", "remedies", "goodwill", "closed_at", "result", "close_reason", "decided_at", "decided_by")
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    OPENED_BY_FIELD_NUMBER: _ClassVar[int]
    REOPENED_AT_FIELD_NUMBER: _ClassVar[int]
    REOPENED_TIMES_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_AT_FIELD_NUMBER: _ClassVar[int]
    REMEDIES_FIELD_NUMBER: _ClassVar[int]
    GOODWILL_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    CLOSE_REASON_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    status: CaseStatus
    touchpoint: str
    customer: str
    severity: _events_pb2.Severity
    correlation_id: str
    failure: _events_pb2.EventReference
    assignee: str
    version: int
    opened_at: _timestamp_pb2.Timestamp
    opened_by: str
    reopened_at: _timestamp_pb2.Timestamp
    reopened_times: int
    acknowledged_at: _timestamp_pb2.Timestamp
    remedies: _containers.RepeatedCompositeFieldContainer[GivenRemedy]
    goodwill: _containers.RepeatedCompositeFieldContainer[GivenGoodwill]
    closed_at: _timestamp_pb2.Timestamp
    result: _events_pb2.RecoveryResult
    close_reason: str
    decided_at: _timestamp_pb2.Timestamp
    decided_by: str
    def __init__(self, case_id: _Optional[str] = ..., status: _Optional[_Union[CaseStatus, str]] = ..., touchpoint: _Optional[str] = ..., customer: _Optional[str] = ..., severity: _Optional[_Union[_events_pb2.Severity, str]] = ..., correlation_id: _Optional[str] = ..., failure: _Optional[_Union[_events_pb2.EventReference, _Mapping]] = ..., assignee: _Optional[str] = ..., version: _Optional[int] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., opened_by: _Optional[str] = ..., reopened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reopened_times: _Optional[int] = ..., acknowledged_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., remedies: _Optional[_Iterable[_Union[GivenRemedy, _Mapping]]] = ..., goodwill: _Optional[_Iterable[_Union[GivenGoodwill, _Mapping]]] = ..., closed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., result: _Optional[_Union[_events_pb2.RecoveryResult, str]] = ..., close_reason: _Optional[str] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_by: _Optional[str] = ...) -> None: ...

class GivenRemedy(_message.Message):
    __slots__ = ("remedy", "decided_at", "decided_by")
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    remedy: _events_pb2.Remedy
    decided_at: _timestamp_pb2.Timestamp
    decided_by: str
    def __init__(self, remedy: _Optional[_Union[_events_pb2.Remedy, _Mapping]] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_by: _Optional[str] = ...) -> None: ...

class GivenGoodwill(_message.Message):
    __slots__ = ("goodwill", "decided_at", "decided_by")
    GOODWILL_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    goodwill: _events_pb2.Goodwill
    decided_at: _timestamp_pb2.Timestamp
    decided_by: str
    def __init__(self, goodwill: _Optional[_Union[_events_pb2.Goodwill, _Mapping]] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_by: _Optional[str] = ...) -> None: ...

class OpenCaseRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "case_id", "touchpoint", "customer", "severity", "correlation_id", "failure", "assignee")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    case_id: str
    touchpoint: str
    customer: str
    severity: _events_pb2.Severity
    correlation_id: str
    failure: _events_pb2.EventReference
    assignee: str
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., case_id: _Optional[str] = ..., touchpoint: _Optional[str] = ..., customer: _Optional[str] = ..., severity: _Optional[_Union[_events_pb2.Severity, str]] = ..., correlation_id: _Optional[str] = ..., failure: _Optional[_Union[_events_pb2.EventReference, _Mapping]] = ..., assignee: _Optional[str] = ...) -> None: ...

class OpenCaseResponse(_message.Message):
    __slots__ = ("recovery_case", "position")
    RECOVERY_CASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    recovery_case: RecoveryCase
    position: _journal_pb2.Position
    def __init__(self, recovery_case: _Optional[_Union[RecoveryCase, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class AcknowledgeCaseRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "case_id", "expected_version", "assignee")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    case_id: str
    expected_version: int
    assignee: str
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., case_id: _Optional[str] = ..., expected_version: _Optional[int] = ..., assignee: _Optional[str] = ...) -> None: ...

class AcknowledgeCaseResponse(_message.Message):
    __slots__ = ("recovery_case", "position")
    RECOVERY_CASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    recovery_case: RecoveryCase
    position: _journal_pb2.Position
    def __init__(self, recovery_case: _Optional[_Union[RecoveryCase, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class RemedyCaseRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "case_id", "expected_version", "remedy")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    case_id: str
    expected_version: int
    remedy: _events_pb2.Remedy
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., case_id: _Optional[str] = ..., expected_version: _Optional[int] = ..., remedy: _Optional[_Union[_events_pb2.Remedy, _Mapping]] = ...) -> None: ...

class RemedyCaseResponse(_message.Message):
    __slots__ = ("recovery_case", "position")
    RECOVERY_CASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    recovery_case: RecoveryCase
    position: _journal_pb2.Position
    def __init__(self, recovery_case: _Optional[_Union[RecoveryCase, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class GiveGoodwillRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "case_id", "expected_version", "goodwill")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    GOODWILL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    case_id: str
    expected_version: int
    goodwill: _events_pb2.Goodwill
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., case_id: _Optional[str] = ..., expected_version: _Optional[int] = ..., goodwill: _Optional[_Union[_events_pb2.Goodwill, _Mapping]] = ...) -> None: ...

class GiveGoodwillResponse(_message.Message):
    __slots__ = ("recovery_case", "position")
    RECOVERY_CASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    recovery_case: RecoveryCase
    position: _journal_pb2.Position
    def __init__(self, recovery_case: _Optional[_Union[RecoveryCase, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class CloseCaseRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "case_id", "expected_version", "result", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    case_id: str
    expected_version: int
    result: _events_pb2.RecoveryResult
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., case_id: _Optional[str] = ..., expected_version: _Optional[int] = ..., result: _Optional[_Union[_events_pb2.RecoveryResult, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class CloseCaseResponse(_message.Message):
    __slots__ = ("recovery_case", "position")
    RECOVERY_CASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    recovery_case: RecoveryCase
    position: _journal_pb2.Position
    def __init__(self, recovery_case: _Optional[_Union[RecoveryCase, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class ReopenCaseRequest(_message.Message):
    __slots__ = ("request_id", "decided_by", "case_id", "expected_version", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decided_by: str
    case_id: str
    expected_version: int
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., decided_by: _Optional[str] = ..., case_id: _Optional[str] = ..., expected_version: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ReopenCaseResponse(_message.Message):
    __slots__ = ("recovery_case", "position")
    RECOVERY_CASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    recovery_case: RecoveryCase
    position: _journal_pb2.Position
    def __init__(self, recovery_case: _Optional[_Union[RecoveryCase, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class GetCaseRequest(_message.Message):
    __slots__ = ("case_id",)
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    case_id: str
    def __init__(self, case_id: _Optional[str] = ...) -> None: ...

class GetCaseResponse(_message.Message):
    __slots__ = ("recovery_case", "position")
    RECOVERY_CASE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    recovery_case: RecoveryCase
    position: _journal_pb2.Position
    def __init__(self, recovery_case: _Optional[_Union[RecoveryCase, _Mapping]] = ..., position: _Optional[_Union[_journal_pb2.Position, _Mapping]] = ...) -> None: ...

class ListCasesRequest(_message.Message):
    __slots__ = ("status", "touchpoint", "assignee", "page_size", "page_token")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TOUCHPOINT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    status: CaseStatus
    touchpoint: str
    assignee: str
    page_size: int
    page_token: str
    def __init__(self, status: _Optional[_Union[CaseStatus, str]] = ..., touchpoint: _Optional[str] = ..., assignee: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCasesResponse(_message.Message):
    __slots__ = ("recovery_cases", "next_page_token")
    RECOVERY_CASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    recovery_cases: _containers.RepeatedCompositeFieldContainer[RecoveryCase]
    next_page_token: str
    def __init__(self, recovery_cases: _Optional[_Iterable[_Union[RecoveryCase, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
