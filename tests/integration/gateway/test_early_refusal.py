"""A batch of a tenant that has all under way that it may is refused before it is read."""

import asyncio
import contextlib
import dataclasses
import http.client
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

import asyncpg
import grpc
import psycopg
import pytest

from services.chassis.errors import (
    ErrorInterceptor,
    Exhausted,
    Malformed,
    ServiceError,
    Unauthenticated,
    from_rpc,
)
from services.chassis.server import MESSAGE_BYTES_MAX, UNREAD_BYTES_MAX
from services.gateway import early_refusal
from services.gateway import limits as module
from services.gateway.access import PUBLISH, Access, Caller
from services.gateway.early_refusal import PUBLISH_BATCH, Arrivals, EarlyRefusal
from services.gateway.http_events import EARLY_BYTES_MIN
from services.gateway.limits import Limits
from services.gateway.outcomes import Outcomes
from services.gateway.servicer import IngestServicer
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream
from tests.support.events import event
from tests.support.gateway_keys import KEYRING, add_key, bearer, key_of
from tests.support.stack import Stack
from touchledger import event_json
from touchledger.v1 import ingest_pb2_grpc

# Whoever reads it finds out that it is no batch.
UNREADABLE = b"\xff\xff"
CALL_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Gateway:
    channel: grpc.aio.Channel
    access: Access
    limits: Limits
    key: str
    port: int
    url: str

    async def caller(self) -> Caller:
        return await self.access.admit_key(self.key, PUBLISH)

    async def refusal(self, *, key: str = "") -> ServiceError:
        """Of a batch that can't be read."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.channel.unary_unary(PUBLISH_BATCH)(
                UNREADABLE,
                metadata=bearer(key or self.key),
                timeout=CALL_SECONDS_MAX,
            )
        return from_rpc(refused.value)


@pytest.fixture
async def gateway(new_database: Callable[[str], str]) -> AsyncIterator[Gateway]:
    url = await asyncio.to_thread(new_database, "gateway")
    settings = Settings.model_validate({"database_url": url, "secret_key_file": "nowhere"})
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        key = await add_key(url, "acme", [PUBLISH])
        access, limits = Access(pool, KEYRING), Limits(settings, pool)
        server = grpc.aio.server(
            interceptors=[ErrorInterceptor(calls_max=10), EarlyRefusal(access, limits)]
        )
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(
            IngestServicer(access, limits, cast(Upstream, None), cast(Outcomes, None)), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield Gateway(channel, access, limits, key, port, url)
        finally:
            await server.stop(None)


async def test_a_batch_of_a_full_tenant_is_refused_unread_with_a_hint(gateway: Gateway) -> None:
    with gateway.limits.call(await gateway.caller(), events=module.WORK_ALONE_MAX, size=0):
        refused = await gateway.refusal()
    assert isinstance(refused, Exhausted)
    assert "BUSY" == refused.problem.code
    assert refused.problem.retry_after.ToNanoseconds() > 0


async def test_with_room_for_more_it_is_read(gateway: Gateway) -> None:
    under_way = int(module.WORK_ALONE_MAX * module.FULL_SHARE) - 1
    with gateway.limits.call(await gateway.caller(), events=under_way, size=0):
        assert isinstance(await gateway.refusal(), Malformed)
    assert isinstance(await gateway.refusal(), Malformed)


async def test_another_tenants_work_refuses_nobody(gateway: Gateway) -> None:
    other = Caller("other", "till", frozenset({PUBLISH}), key_id="b" * 12)
    with gateway.limits.call(other, events=module.WORK_ALONE_MAX, size=0):
        assert isinstance(await gateway.refusal(), Malformed)


async def test_a_stranger_does_not_learn_that_a_tenant_is_busy(gateway: Gateway) -> None:
    with gateway.limits.call(await gateway.caller(), events=module.WORK_ALONE_MAX, size=0):
        refused = await gateway.refusal(key=gateway.key[:-1] + "?")
    assert isinstance(refused, Unauthenticated)


async def test_an_early_refusal_says_what_the_call_would_and_takes_nothing(
    gateway: Gateway,
) -> None:
    caller = dataclasses.replace(
        await gateway.caller(), events_per_second=10, burst_events=10, bytes_per_second=1000
    )
    before = gateway.limits.state(caller)
    for _ in range(20):
        gateway.limits.refuse_early(caller, size=1000)
    assert before == gateway.limits.state(caller)
    with gateway.limits.call(caller, events=10, size=2000):
        pass
    with pytest.raises(Exhausted) as refused:
        gateway.limits.refuse_early(caller, size=1)
    assert "RATE_LIMITED" == refused.value.problem.code


def test_over_http_a_batch_is_refused_before_it_is_parsed(stack: Stack) -> None:
    key = asyncio.run(key_of(stack, "acme", PUBLISH))
    with psycopg.connect(stack.urls["gateway"], autocommit=True) as connection:
        connection.execute(
            "UPDATE gateway.api_key SET events_per_second = 1, burst_events = 1 "
            "WHERE tenant = 'acme'"
        )
    with contextlib.closing(http.client.HTTPConnection(stack.http_address)) as connected:

        def status_of(body: bytes, *, path: str = "events", kind: str = "json") -> int:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": f"application/{kind}"}
            connected.request("POST", f"/v1/{path}", body, headers)
            answer = connected.getresponse()
            answer.read()
            return answer.status

        assert 200 == status_of(event_json.to_json(event()).encode())
        large = b"[" * EARLY_BYTES_MIN
        assert 429 == status_of(large)
        assert 429 == status_of(large, path="cloudevents", kind="cloudevents-batch+json")
        # A small one is parsed first, and would be refused after.
        assert 400 == status_of(b"[")


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Released for each request whose reading begins."""
    came = asyncio.Semaphore(0)
    read = Arrivals.read

    async def watched(self: Arrivals, caller: Caller, context: grpc.aio.ServicerContext) -> bytes:
        came.release()
        return await read(self, caller, context)

    monkeypatch.setattr(Arrivals, "read", watched)
    return came


# Of HTTP/2 (RFC 9113): what a client begins with, and types and flags of frames.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
ACK, END_STREAM, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
WINDOW_BYTES, FRAME_BYTES_MAX = 65_535, 16_384


FIRST = b"first"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def half_of_a_batch(key: str, stream: int, *, size: int = 1000) -> bytes:
    """Headers, and the first bytes of a message."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": PUBLISH_BATCH,
        ":authority": "gateway",
        "te": "trailers",
        "content-type": "application/grpc",
        "authorization": dict(bearer(key))["authorization"],
    }
    # HPACK's literals that are not kept; no text here has 127 characters or more.
    block = b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in headers.items()
    )
    message = b"\0" + struct.pack(">I", size) + FIRST
    return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, 0, stream, message)


@contextlib.asynccontextmanager
async def half_sent(gateway: Gateway, *, calls: int) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        halves = b"".join(half_of_a_batch(gateway.key, 2 * each + 1) for each in range(calls))
        writer.write(PREFACE + frame(SETTINGS, 0, 0) + halves)
        await writer.drain()
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def until_it_ends(reader: asyncio.StreamReader, stream: int) -> None:
    while True:
        head = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(head[:3]))
        kind, flags, of = struct.unpack(">BBI", head[3:])
        if of == stream and (kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM)):
            return


async def test_a_request_that_is_not_whole_in_time_is_cut_off(
    gateway: Gateway, arrived: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_refusal, "REQUEST_SECONDS_MAX", 0.5)
    monkeypatch.setattr(early_refusal, "READS_OF_KEY_MAX", 1)
    async with half_sent(gateway, calls=1) as answers, asyncio.timeout(CALL_SECONDS_MAX):
        await arrived.acquire()
        await until_it_ends(answers, 1)
        # And its place is free, while its connection still stands.
        assert isinstance(await gateway.refusal(), Malformed)


async def test_half_sent_requests_of_one_key_are_bounded_and_keep_nobody_else_out(
    gateway: Gateway, arrived: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_refusal, "READS_OF_KEY_MAX", 1)
    monkeypatch.setattr(early_refusal, "ARRIVING_OF_KEY_MAX", 2)
    beside = await add_key(gateway.url, "acme", [PUBLISH])
    async with half_sent(gateway, calls=2):
        for _ in range(2):
            await arrived.acquire()
        refused = await gateway.refusal()
        assert isinstance(refused, Exhausted)
        assert "CONCURRENCY_LIMITED" == refused.problem.code
        assert refused.problem.retry_after.ToNanoseconds() > 0
        assert isinstance(await gateway.refusal(key=beside), Malformed)


async def test_half_sent_requests_of_one_tenant_are_bounded_and_keep_no_other_out(
    gateway: Gateway, arrived: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_refusal, "READS_OF_TENANT_MAX", 1)
    monkeypatch.setattr(early_refusal, "ARRIVING_OF_TENANT_MAX", 2)
    beside = await add_key(gateway.url, "acme", [PUBLISH])
    other = await add_key(gateway.url, "other", [PUBLISH])
    async with half_sent(gateway, calls=2):
        for _ in range(2):
            await arrived.acquire()
        assert isinstance(await gateway.refusal(key=beside), Exhausted)
        assert isinstance(await gateway.refusal(key=other), Malformed)


async def test_whoever_goes_away_in_the_middle_of_a_request_gives_its_place_back(
    gateway: Gateway, arrived: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_refusal, "READS_OF_KEY_MAX", 1)
    async with half_sent(gateway, calls=2):
        for _ in range(2):
            await arrived.acquire()
    # It waits for its turn until gRPC has told that the others are gone.
    assert isinstance(await gateway.refusal(), Malformed)


async def sent_at_most(address: str, key: str, *, calls: int, size: int, until: int) -> int:
    """Sends as much of so many messages, but their last byte, as it is let; returns how much that was.

    Ends when, beyond `until`, settings are acknowledged and nothing more is let. Pings would do, but the
    server closes a connection that sends many.
    """
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    streams = [2 * each + 1 for each in range(calls)]
    left = dict.fromkeys(streams, size - len(FIRST) - 1)
    windows = dict.fromkeys([0, *streams], WINDOW_BYTES)
    for stream in (0, *streams):
        windows[stream] -= (5 + len(FIRST)) * (calls if stream == 0 else 1)
    initial, sent, idle = WINDOW_BYTES, 0, 0
    halves = b"".join(half_of_a_batch(key, stream, size=size) for stream in streams)
    writer.write(PREFACE + frame(SETTINGS, 0, 0) + halves)
    while sent < until or idle < IDLE_ROUNDS:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3]))
        kind, flags, of = struct.unpack(">BBI", head[3:])
        assert kind not in (HEADERS, RST_STREAM), f"none of them ends: {payload!r}"
        if kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    for stream in streams:
                        windows[stream] += value - initial
                    initial = value
            writer.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            writer.write(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            windows[of] += int.from_bytes(payload)
        before = sent
        for stream in streams:
            while more := min(windows[0], windows[stream], left[stream], FRAME_BYTES_MAX):
                if more < 0:
                    break
                writer.write(frame(DATA, 0, stream, bytes(more)))
                windows[0] -= more
                windows[stream] -= more
                left[stream] -= more
                sent += more
        await writer.drain()
        if kind == SETTINGS and flags & ACK:
            idle = idle + 1 if sent == before else 0
            writer.write(frame(SETTINGS, 0, 0))
    writer.close()
    await writer.wait_closed()
    return sent


# Rounds to the server and back in which whatever it lets would come.
IDLE_ROUNDS = 20


async def test_what_a_key_half_sends_is_taken_in_for_as_many_as_are_read(stack: Stack) -> None:
    key = await key_of(stack, "acme", PUBLISH)
    calls, size = 3 * early_refusal.READS_OF_KEY_MAX, MESSAGE_BYTES_MAX - 100
    read = early_refusal.READS_OF_KEY_MAX * (size - 100)
    async with asyncio.timeout(early_refusal.REQUEST_SECONDS_MAX):
        sent = await sent_at_most(stack.gateway.address, key, calls=calls, size=size, until=read)
    assert sent <= read + calls * 2 * UNREAD_BYTES_MAX
