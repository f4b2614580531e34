"""Times as systems of a place write them: with a zone of their own, or by the clock on the wall there.

The rule for the two hours of a year that a wall clock can't name: in the one that is skipped, the clock had
not been put forward yet and is read by the offset before; in the one that comes twice, it is the first,
unless that would put an end before its beginning.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from services.gateway.checks import ZONES

# xs:dateTime of XML Schema, which RFC 3339 is a part of.
TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d{1,12}))?(Z|[+-](?:0\d|1[0-4]):[0-5]\d)?",
    re.ASCII,
)
NEEDED = "a time such as 2026-03-01T12:00:00"


def read_time(text: str) -> datetime:
    """The time that the text tells, without a zone when the text has none. Raises ValueError."""
    match = TIME.fullmatch(text)
    if match is None:
        raise ValueError(NEEDED)
    whole, fraction, zone = match.groups()
    # A datetime holds microseconds; what is finer is cut off, always alike.
    return datetime.fromisoformat(f"{whole}.{(fraction or '').ljust(6, '0')[:6]}{zone or ''}")


def is_zone(name: str) -> bool:
    """Whether the name is one of the IANA time zones, the same on every machine."""
    return name in ZONES


def moment(wall: datetime, zone: ZoneInfo, *, not_before: datetime | None = None) -> datetime:
    """When it was that time on the wall, in UTC. Raises ValueError at the ends of the calendar."""
    try:
        first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if not_before is not None and first < not_before:
            second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
            # In the skipped hour the second reading is the earlier one, which mends nothing.
            return max(first, second)
    except OverflowError:
        raise ValueError(NEEDED) from None
    return first


def between(first: datetime, last: datetime) -> timedelta | None:
    """How long it took; None when a clock was put back in between."""
    return last - first if last >= first else None
