"""Event ids that ascend whatever the clock does: UUIDv7 (RFC 9562), each made from the one before."""

import secrets
from uuid import UUID

# The counter begins in its lower half, so that a whole millisecond's worth of ids follows before it is full.
COUNTER_START_BITS = 11
COUNTER_MAX = (1 << 12) - 1
RANDOM_BITS = 62
# 48 bits hold the milliseconds. A clock beyond the year 6400 is a broken one; this leaves room to count on.
MILLISECONDS_MAX = 1 << 47


def next_event_id(last: str, now_ms: int) -> str:
    """Greater than `last`, which is an id made here, or "" for the first.

    Where the clock stands still or went back, the last id's time goes on being counted up.
    """
    milliseconds, counter = _parts(last)
    now_ms = min(now_ms, MILLISECONDS_MAX)
    if now_ms > milliseconds:
        milliseconds, counter = now_ms, secrets.randbits(COUNTER_START_BITS)
    elif counter < COUNTER_MAX:
        counter += 1
    else:
        milliseconds, counter = milliseconds + 1, secrets.randbits(COUNTER_START_BITS)
    number = milliseconds << 80 | 7 << 76 | counter << 64 | 2 << 62 | secrets.randbits(RANDOM_BITS)
    return str(UUID(int=number))


def _parts(event_id: str) -> tuple[int, int]:
    """Its milliseconds and its counter; before any clock for none."""
    if not event_id:
        return -1, COUNTER_MAX
    number = UUID(event_id).int
    return number >> 80, number >> 64 & COUNTER_MAX
