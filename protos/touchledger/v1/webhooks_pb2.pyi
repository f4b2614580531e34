import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from touchledger.v1 import events_pb2 as _events_pb2
from touchledger.v1 import problem_pb2 as _problem_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Webhook(_message.Message):
    __slots__ = ("webhook_id", "adapter", "source", "trust", "url", "config_json", "with_api_key", "has_secret", "created_at", "counts")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    WITH_API_KEY_FIELD_NUMBER: _ClassVar[int]
    HAS_SECRET_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    adapter: str
    source: str
    trust: _events_pb2.Trust
    url: str
    config_json: str
    with_api_key: bool
    has_secret: bool
    created_at: _timestamp_pb2.Timestamp
    counts: WebhookCounts
    def __init__(self, webhook_id: _Optional[str] = ..., adapter: _Optional[str] = ..., source: _Optional[str] = ..., trust: _Optional[_Union[_events_pb2.Trust, str]] = ..., url: _Optional[str] = ..., config_json: _Optional[str] = ..., with_api_key: _Optional[bool] = ..., has_secret: _Optional[bool] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., counts: _Optional[_Union[WebhookCounts, _Mapping]] = ...) -> None: ...

class WebhookCounts(_message.Message):
    __slots__ = ("deliveries", "empty", "recorded", "duplicates", "quarantined", "rejected", "conflicts", "waiting")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    EMPTY_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    deliveries: int
    empty: int
    recorded: int
    duplicates: int
    quarantined: int
    rejected: int
    conflicts: int
    waiting: int
    def __init__(self, deliveries: _Optional[int] = ..., empty: _Optional[int] = ..., recorded: _Optional[int] = ..., duplicates: _Optional[int] = ..., quarantined: _Optional[int] = ..., rejected: _Optional[int] = ..., conflicts: _Optional[int] = ..., waiting: _Optional[int] = ...) -> None: ...

class CreateWebhookRequest(_message.Message):
    __slots__ = ("webhook", "public_url", "secret")
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_URL_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    public_url: str
    secret: str
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ..., public_url: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...

class CreateWebhookResponse(_message.Message):
    __slots__ = ("webhook",)
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ...) -> None: ...

class ListWebhooksRequest(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: str
    def __init__(self, source: _Optional[str] = ...) -> None: ...

class ListWebhooksResponse(_message.Message):
    __slots__ = ("webhooks",)
    WEBHOOKS_FIELD_NUMBER: _ClassVar[int]
    webhooks: _containers.RepeatedCompositeFieldContainer[Webhook]
    def __init__(self, webhooks: _Optional[_Iterable[_Union[Webhook, _Mapping]]] = ...) -> None: ...

class UpdateWebhookRequest(_message.Message):
    __slots__ = ("webhook_id", "secret", "config_json", "public_url")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_URL_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    secret: str
    config_json: str
    public_url: str
    def __init__(self, webhook_id: _Optional[str] = ..., secret: _Optional[str] = ..., config_json: _Optional[str] = ..., public_url: _Optional[str] = ...) -> None: ...

class UpdateWebhookResponse(_message.Message):
    __slots__ = ("webhook",)
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ...) -> None: ...

class DeleteWebhookRequest(_message.Message):
    __slots__ = ("webhook_id",)
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    def __init__(self, webhook_id: _Optional[str] = ...) -> None: ...

class DeleteWebhookResponse(_message.Message):
    __slots__ = ("webhook",)
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ...) -> None: ...

class ReplayDeliveriesRequest(_message.Message):
    __slots__ = ("webhook_id", "received_from", "page_token")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FROM_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    received_from: _timestamp_pb2.Timestamp
    page_token: str
    def __init__(self, webhook_id: _Optional[str] = ..., received_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_token: _Optional[str] = ...) -> None: ...

class ReplayDeliveriesResponse(_message.Message):
    __slots__ = ("counts", "next_page_token", "troubles")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TROUBLES_FIELD_NUMBER: _ClassVar[int]
    counts: WebhookCounts
    next_page_token: str
    troubles: _containers.RepeatedCompositeFieldContainer[ReplayTrouble]
    def __init__(self, counts: _Optional[_Union[WebhookCounts, _Mapping]] = ..., next_page_token: _Optional[str] = ..., troubles: _Optional[_Iterable[_Union[ReplayTrouble, _Mapping]]] = ...) -> None: ...

class ReplayTrouble(_message.Message):
    __slots__ = ("received_at", "event_id", "problem")
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    received_at: _timestamp_pb2.Timestamp
    event_id: str
    problem: _problem_pb2.Problem
    def __init__(self, received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event_id: _Optional[str] = ..., problem: _Optional[_Union[_problem_pb2.Problem, _Mapping]] = ...) -> None: ...
