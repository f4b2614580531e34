"""The wall clock, read in one place so that tests can set it."""

import time

from google.protobuf import timestamp_pb2


def now() -> timestamp_pb2.Timestamp:
    timestamp = timestamp_pb2.Timestamp()
    timestamp.FromNanoseconds(time.time_ns())
    return timestamp
