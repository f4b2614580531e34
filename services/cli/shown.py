"""What is shown of a message by every command that shows one."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def utc(moment: Timestamp) -> str:
    shown: datetime = moment.ToDatetime(UTC)
    return f"{shown:%Y-%m-%d %H:%M:%S}Z"


def as_json(message: Message) -> Any:
    """With the names of the proto, and with what is 0 or empty."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
