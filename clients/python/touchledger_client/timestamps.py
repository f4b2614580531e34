"""Times on the wire, whatever a broken clock says."""

from google.protobuf.timestamp_pb2 import Timestamp

# A till whose clock is outside of these years has lost it; the wire could not say the time.
FIRST_SECONDS = 0.0  # 1970
LAST_SECONDS = 32_503_680_000.0  # the year 3000


def timestamp(seconds: float) -> Timestamp:
    """The moment so many seconds after 1970, exact to the microsecond."""
    moment = Timestamp()
    moment.FromMicroseconds(round(min(max(seconds, FIRST_SECONDS), LAST_SECONDS) * 1e6))
    return moment
