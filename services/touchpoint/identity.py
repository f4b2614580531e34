"""The stream that a published event is version 1 of, derived: the primary key is the duplicate check."""

import hashlib
import re
from collections.abc import Sequence

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
# RFC 9562: version 8, "custom", in the first half of byte 6; the variant in the first bits of byte 8.
VERSION = bytes(0x80 | byte & 0x0F for byte in range(256))
VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))


def originator_ids(tenant: str, source: str, event_ids: Sequence[str]) -> list[bytes]:
    """The 16 bytes of each stream: others for another tenant, source or event id.

    They are the same for the same three, for ever. Where the event id is a UUIDv7 (in lower case, as
    libraries print it), its 48-bit time prefix is kept and only the rest is hash, so that new rows meet in
    one corner of the index: at 10 million rows, random keys wrote 4 to 10 times the WAL. 74 bits of hash
    within one millisecond leave no room for chance, and a publisher who searches for collisions finds them
    among his own ids at best: they show as conflicts.
    """
    prefix, sha256, is_uuid7 = (
        _with_length(tenant) + _with_length(source),
        hashlib.sha256,
        UUID7.fullmatch,
    )
    hashes = [sha256(prefix + _with_length(event_id)).digest() for event_id in event_ids]
    times = b"".join(
        [
            bytes.fromhex(event_id[:8] + event_id[9:13]) if is_uuid7(event_id) else hashed[:6]
            for event_id, hashed in zip(event_ids, hashes, strict=True)
        ]
    )
    # Byte by byte over all ids at once: half the time of putting each together, on the hot path.
    ids = bytearray(b"".join([hashed[:16] for hashed in hashes]))
    for byte in range(6):
        ids[byte::16] = times[byte::6]
    ids[6::16] = ids[6::16].translate(VERSION)
    ids[8::16] = ids[8::16].translate(VARIANT)
    joined = bytes(ids)
    return [joined[start : start + 16] for start in range(0, len(joined), 16)]


def _with_length(part: str) -> bytes:
    """Length first, so that ("ab", "c") and ("a", "bc") differ."""
    encoded = part.encode()
    return len(encoded).to_bytes(4, "big") + encoded
