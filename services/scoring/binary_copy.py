"""Values as COPY … (FORMAT binary) takes them: four bytes of length, then the value, big end first.

Rows are put together from these while PostgreSQL writes the page before: half of what they cost as Python
objects that the driver encodes, and most values come again and again.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from struct import Struct

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.postgres import Connection

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
TRUE, FALSE = b"\x00\x00\x00\x01\x01", b"\x00\x00\x00\x01\x00"
# Some hundred kilobytes go out at once: asked for more rows at a time, the event loop would stand still.
CHUNK_ROWS = 1000
# What is kept of values that come again: names of touchpoints, stores and staff, scales and round prices.
KEPT_VALUES = 8192

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
POSTGRES_EPOCH_SECONDS = int(POSTGRES_EPOCH.timestamp())
# 1970, where seconds are counted from that are not told.
EPOCH = -POSTGRES_EPOCH_SECONDS * 1_000_000
POSTGRES_EPOCH_ORDINAL = POSTGRES_EPOCH.toordinal()
# The moments that Python, and so every reader of ours, can name. PostgreSQL would take later ones.
MOMENT_MIN, MOMENT_MAX = (
    (moment - POSTGRES_EPOCH) // timedelta(microseconds=1)
    for moment in (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    )
)
# Of a numeric: more than any column takes, few enough to be written out.
DIGITS_MAX = 100
POSITIVE, NEGATIVE = 0x0000, 0x4000

EIGHT, FOUR = (8).to_bytes(4, "big"), (4).to_bytes(4, "big")
# No text is longer than an event. One that claims to be ends as LookupError.
LENGTHS = tuple(length.to_bytes(4, "big") for length in range(64 * 1024))
LENGTHS_OR_NULL = (NULL, *LENGTHS[1:])
_numeric = Struct(">ihhHh").pack


def text(value: str) -> bytes:
    encoded = value.encode()
    return LENGTHS[len(encoded)] + encoded


def text_or_null(value: str) -> bytes:
    """NULL for the empty text."""
    return text(value) if value else NULL


# For what comes again and again.
@lru_cache(KEPT_VALUES)
def name_or_null(value: str) -> bytes:
    return text_or_null(value)


def texts(values: Iterable[str]) -> list[bytes]:
    """As text(), of a whole column: half the time."""
    encoded = list(map(str.encode, values))
    return list(map(bytes.__add__, map(LENGTHS.__getitem__, map(len, encoded)), encoded))


def texts_or_null(values: Iterable[str]) -> list[bytes]:
    encoded = list(map(str.encode, values))
    return list(map(bytes.__add__, map(LENGTHS_OR_NULL.__getitem__, map(len, encoded)), encoded))


def bigint(value: int) -> bytes:
    return EIGHT + value.to_bytes(8, "big", signed=True)


def integer(value: int) -> bytes:
    return FOUR + value.to_bytes(4, "big", signed=True)


def boolean(value: bool) -> bytes:
    return TRUE if value else FALSE


def day(value: date) -> bytes:
    return integer(value.toordinal() - POSTGRES_EPOCH_ORDINAL)


def moment(stamp: Timestamp) -> bytes:
    return bigint(*microseconds([stamp]))


def microseconds(stamps: Sequence[Timestamp]) -> list[int]:
    """As PostgreSQL counts them. Raises OverflowError for a year that is not of four digits."""
    counted = [
        (stamp.seconds - POSTGRES_EPOCH_SECONDS) * 1_000_000 + stamp.nanos // 1000
        for stamp in stamps
    ]
    if counted and not (MOMENT_MIN <= min(counted) and max(counted) <= MOMENT_MAX):
        raise OverflowError("moment")
    return counted


def numeric(value: Decimal) -> bytes:
    """Raises ValueError for what is no number, OverflowError for one that no column takes."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("numeric")
    scale = max(0, -exponent)
    if scale > DIGITS_MAX or len(digits) + max(0, exponent) > DIGITS_MAX:
        raise OverflowError("numeric")
    # In digits of 10,000 to both sides of the point.
    fraction = -(-scale // 4)
    rest = int("".join(map(str, digits))) * 10 ** (exponent + 4 * fraction)
    groups = list[int]()
    while rest:
        rest, group = divmod(rest, 10_000)
        groups.append(group)
    groups.reverse()
    head = _numeric(
        8 + 2 * len(groups),
        len(groups),
        len(groups) - fraction - 1,
        NEGATIVE if sign else POSITIVE,
        scale,
    )
    return head + b"".join(group.to_bytes(2, "big") for group in groups)


async def copy(tx: Connection, table: str, names: Sequence[str], rows: Iterable[bytes]) -> None:
    """rows: each with the number of its fields before them."""

    async def chunks() -> AsyncIterator[bytes]:
        yield HEADER
        rest = iter(rows)
        while chunk := b"".join(islice(rest, CHUNK_ROWS)):
            yield chunk
        yield TRAILER

    await tx.copy_to_table(table, source=chunks(), columns=names, format="binary")
