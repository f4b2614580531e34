"""Reads the body of a request within bounds of bytes and time, and inflates it no further than allowed."""

import asyncio
import contextlib
import zlib
from collections.abc import Iterator
from typing import Any

import zstandard
from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]  # it does export them

from services.chassis.errors import Exhausted, Malformed
from services.gateway.limits import Inflating

# A till on a bad line sends 4 MiB in less; a body that takes longer holds memory for nothing.
BODY_SECONDS_MAX = 20.0
# Bodies being read or worked on at once, and their bytes together: what this process can hold.
BODIES_MAX = 2048
BODIES_BYTES_MAX = 128 * 1024 * 1024
# A body that says to be smaller is read in one step: chunk by chunk costs a task switch for each.
ONE_STEP_BYTES_MAX = 64 * 1024
# What is too large is read to its end up to this much, and dropped: a client that writes all before it reads
# anything would otherwise see a broken connection in place of the reason.
DISCARDED_BYTES_MAX = 16 * 1024 * 1024
# A zstd frame says how much it wants to look back; RFC 9659 lets HTTP ask for no more than 8 MiB.
ZSTD_WINDOW_BYTES_MAX = 8 * 1024 * 1024
# The library inflates whatever it is given, without a bound. Four bytes can stand for a block of 128 KiB, so
# this many are 8 MiB at most.
ZSTD_STEP_BYTES = 256
# What is inflated at once, so that it is known of a body that turns out to be broken, too.
GZIP_STEP_BYTES = 256 * 1024
# gzip's members and zstd's frames, one after the other in one body. Each costs a copy of what follows it.
MEMBERS_MAX = 16
ENCODINGS = ("gzip", "zstd")
# What makes JSON costly is how many values it has, not its bytes: 4 MB of "{}," gzipped are 4 KB on the wire
# and took 1.3 s to parse. A batch of 500 events of 50 signals each, the most that events can hold, has 54 000
# brackets, 130 000 commas and 521 000 quotation marks, and takes 0.2 s. Those in texts count, too: a batch
# that is over it for its texts can be sent in parts.
BRACKETS_MAX = 100_000
COMMAS_MAX = 200_000
QUOTES_MAX = 800_000
# Of JSON lines: blank ones between the events cost, too.
LINE_ENDS_MAX = 10_000
# Of one event, for which there is one opening brace at least: its 64 KiB may be commas or quotation marks
# alone, beside those around its keys and values. 200,000 keys in one object took 0.1 s to parse.
MARKS_OF_EVENT_MAX = 72_000


class Bodies:
    """What all requests under way hold together."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0


class Body:
    """The body of one request. `release` when the request is done with."""

    __slots__ = ("_bodies", "_held", "_protocol")

    def __init__(self, protocol: Any, bodies: Bodies) -> None:
        self._protocol = protocol
        self._bodies = bodies
        # Bytes that are counted for this one; -1 before it is read.
        self._held = -1

    async def read(self, headers: Any, *, bytes_max: int, inflating: Inflating) -> bytes:
        encoding = (headers.get("content-encoding") or "").strip().lower()
        if encoding in ("", "identity"):
            return await self.read_raw(headers, bytes_max=bytes_max)
        if encoding not in ENCODINGS:
            raise Malformed(
                f"{', '.join(ENCODINGS)} or none",
                code="UNSUPPORTED_ENCODING",
                field="content-encoding",
                got="another",
            )
        raw = await self.read_raw(headers, bytes_max=bytes_max)
        with inflating:
            inflated = inflate(raw, encoding, inflating, bytes_max=bytes_max)
        self._hold(len(inflated))
        return inflated

    async def read_raw(self, headers: Any, *, bytes_max: int) -> bytes:
        self._begin()
        length = _length(headers)
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                if length is not None and length <= min(ONE_STEP_BYTES_MAX, bytes_max):
                    self._hold(length)
                    raw: bytes = await self._protocol()
                else:
                    raw = await self._chunks(length, bytes_max)
        except TimeoutError:
            raise Malformed(
                f"the whole body within {BODY_SECONDS_MAX:.0f} s",
                code="REQUEST_TIMEOUT",
                field="body",
                got="a part of it",
            ) from None
        except (ProtocolClosed, ProtocolError):
            raise _cut(length) from None
        if length is not None and len(raw) != length:
            raise _cut(length)
        return raw

    async def discard(self, headers: Any) -> None:
        """Reads what nobody has read, so that a refusal is seen; see DISCARDED_BYTES_MAX."""
        length = _length(headers)
        if self._held >= 0 or (length is None and headers.get("transfer-encoding") is None):
            return
        # The kernel holds what is smaller until it is dropped.
        if length is not None and not ONE_STEP_BYTES_MAX < length <= DISCARDED_BYTES_MAX:
            return
        with contextlib.suppress(TimeoutError, ProtocolClosed, ProtocolError):
            size = 0
            async with asyncio.timeout(BODY_SECONDS_MAX):
                async for chunk in self._protocol:
                    size += len(chunk)
                    if size > DISCARDED_BYTES_MAX:
                        return

    def release(self) -> None:
        if self._held >= 0:
            self._bodies.count -= 1
            self._bodies.bytes -= self._held
            self._held = -1

    def _begin(self) -> None:
        if self._bodies.count >= BODIES_MAX:
            raise Exhausted("fewer requests at once", field="body", got=f"{self._bodies.count}")
        self._bodies.count += 1
        self._held = 0

    def _hold(self, size: int) -> None:
        if self._bodies.bytes + size > BODIES_BYTES_MAX:
            raise Exhausted("fewer bytes at once", field="body", got=f"{self._bodies.bytes}")
        self._bodies.bytes += size
        self._held += size

    async def _chunks(self, length: int | None, bytes_max: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        too_large = length is not None and length > bytes_max
        if not too_large or (length is not None and length <= DISCARDED_BYTES_MAX):
            async for chunk in self._protocol:
                size += len(chunk)
                too_large = too_large or size > bytes_max
                if size > DISCARDED_BYTES_MAX:
                    break
                if not too_large:
                    self._hold(len(chunk))
                    chunks.append(chunk)
        if too_large:
            raise _too_large(bytes_max, f"{length} bytes" if length is not None else "more")
        return b"".join(chunks)


def _length(headers: Any) -> int | None:
    said = headers.get("content-length") or ""
    # The server has checked it; int() would take other digits, too, and refuses thousands of them.
    return int(said) if said.isdecimal() and len(said) < 20 else None


def inflate(raw: bytes, encoding: str, inflating: Inflating, *, bytes_max: int) -> bytes:
    """What was deflated, read a step further than what is allowed at most."""
    parts: list[bytes] = []
    try:
        for part in _gunzip(raw) if encoding == "gzip" else _unzstd(raw):
            parts.append(part)
            inflating.bytes += len(part)
            if inflating.bytes > bytes_max:
                raise _too_large(bytes_max, "more when inflated")
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise Malformed(
            f"a body in {encoding}, whole",
            code="MALFORMED_ENCODING",
            field="body",
            got=f"{len(raw)} other bytes",
        ) from None
    return b"".join(parts)


def _gunzip(raw: bytes) -> Iterator[bytes]:
    for _ in range(MEMBERS_MAX):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            part = member.decompress(raw, GZIP_STEP_BYTES)
            if not part and not member.eof:
                raise EOFError
            yield part
            raw = member.unconsumed_tail
        raw = member.unused_data
        if not raw:
            return
    raise EOFError


def _unzstd(raw: bytes) -> Iterator[bytes]:
    inflater = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    for _ in range(MEMBERS_MAX):
        frame = inflater.decompressobj()
        at = 0
        while at < len(raw) and not frame.eof:
            yield frame.decompress(raw[at : at + ZSTD_STEP_BYTES])
            at += ZSTD_STEP_BYTES
        if not frame.eof:
            raise EOFError
        raw = frame.unused_data + raw[at:]
        if not raw:
            return
    raise EOFError


def refuse_costly(
    body: bytes,
    *,
    brackets_max: int = BRACKETS_MAX,
    commas_max: int = COMMAS_MAX,
    quotes_max: int = QUOTES_MAX,
) -> None:
    """Before JSON is parsed: where it holds more values than good events do. Counting takes some ms."""
    if len(body) > MARKS_OF_EVENT_MAX:
        marks_max = MARKS_OF_EVENT_MAX * max(1, body.count(b"{"))
        commas_max, quotes_max = min(commas_max, marks_max), min(quotes_max, marks_max)
    for characters, count_max, name in (
        (b"{}[]", brackets_max, "brackets"),
        (b",", commas_max, "commas"),
        (b'"', quotes_max, "quotation marks"),
    ):
        _refuse_count(body, characters, count_max, name)


def refuse_costly_lines(body: bytes) -> None:
    refuse_costly(body)
    _refuse_count(body, b"\r\n", LINE_ENDS_MAX, "ends of lines")


def _refuse_count(body: bytes, characters: bytes, count_max: int, name: str) -> None:
    if len(body) <= count_max:
        return
    count = sum(body.count(each) for each in characters)
    if count > count_max:
        raise Malformed(
            f"at most {count_max} {name}", code="TOO_LARGE", field="body", got=f"{count}"
        )


def _too_large(bytes_max: int, got: str) -> Malformed:
    return Malformed(f"at most {bytes_max} bytes", code="TOO_LARGE", field="body", got=got)


def _cut(length: int | None) -> Malformed:
    want = "the whole body" if length is None else f"{length} bytes, as content-length says"
    return Malformed(want, code="BODY_CUT", field="body", got="a part of it")
