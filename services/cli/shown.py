"""What is shown of a message by every command that shows one."""

import re
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.markup import escape

# What publishers write may be anything. A terminal obeys control characters, and shows what comes after a
# bidirectional one (UAX #9) in another order than it is in, or as if it were another column's.
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def utc(moment: Timestamp) -> str:
    shown: datetime = moment.ToDatetime(UTC)
    return f"{shown:%Y-%m-%d %H:%M:%S}Z"


def as_json(message: Message) -> Any:
    """With the names of the proto, and with what is 0 or empty."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def visible(text: str) -> str:
    """The text with what a terminal would obey written out: \\u202e. JSON has it as it is."""
    return OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cell(text: str) -> str:
    """The text as it is shown in a table of rich, which has a markup of its own."""
    return escape(visible(text))
