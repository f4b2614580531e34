"""A moment that a person gives as an option."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.cli.system import EXIT_USAGE, stop


def moment(option: str, text: str, *, want: str) -> Timestamp:
    """Ends the command, saying what is wanted, where it is no time with an offset."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        stop(f"{option}: got {text!r}, want {want}", EXIT_USAGE)
    if given.tzinfo is None:
        stop(f"{option}: got {text!r} without an offset, want {want}", EXIT_USAGE)
    timestamp = Timestamp()
    timestamp.FromDatetime(given)
    return timestamp
