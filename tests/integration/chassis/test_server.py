"""What every service's server does: bounds calls, guards its port, tells errors and hides payloads."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import trustme
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from services.chassis import server as server_module
from services.chassis.client import open_channel
from services.chassis.errors import ErrorInterceptor
from services.chassis.peers import Guard
from services.chassis.postgres import Unsuitable
from services.chassis.server import Server
from services.chassis.settings import ServiceSettings
from tests.support.stack import free_port
from touchledger.v1 import journal_pb2, journal_pb2_grpc

CALLS_MAX = 3


class Slow(journal_pb2_grpc.JournalServiceServicer):
    """Answers GetHead when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.entered = asyncio.Semaphore(0)

    async def FindEvents(
        self, request: journal_pb2.FindEventsRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.FindEventsResponse:
        raise NotImplementedError

    async def ListRefused(
        self, request: journal_pb2.ListRefusedRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ListRefusedResponse:
        raise NotImplementedError

    async def SettleRefused(
        self, request: journal_pb2.SettleRefusedRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.SettleRefusedResponse:
        raise NotImplementedError

    async def GetHead(
        self, request: journal_pb2.GetHeadRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.GetHeadResponse:
        self.entered.release()
        await self.go.wait()
        return journal_pb2.GetHeadResponse()

    async def Append(
        self, request: journal_pb2.AppendRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendResponse:
        return journal_pb2.AppendResponse()

    async def AppendMany(
        self, request: journal_pb2.AppendManyRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.AppendManyResponse:
        raise NotImplementedError

    async def Subscribe(
        self, request: journal_pb2.SubscribeRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[journal_pb2.SubscribeResponse]:
        yield journal_pb2.SubscribeResponse()

    async def ReadRange(
        self, request: journal_pb2.ReadRangeRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ReadRangeResponse:
        raise NotImplementedError

    async def ReadStream(
        self, request: journal_pb2.ReadStreamRequest, context: grpc.aio.ServicerContext
    ) -> journal_pb2.ReadStreamResponse:
        raise NotImplementedError


@pytest.fixture
async def slow() -> Slow:
    return Slow()


@pytest.fixture
async def address(slow: Slow) -> AsyncIterator[str]:
    """Of a server that takes three calls at once from those who show the secret."""
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=CALLS_MAX), Guard("secret")])
    journal_pb2_grpc.add_JournalServiceServicer_to_server(slow, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    slow.go.set()
    await server.stop(None)


async def test_calls_beyond_the_bound_are_told_when_to_come_back(address: str, slow: Slow) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = journal_pb2_grpc.JournalServiceStub(channel)
        shown = (("touchledger-peer", "secret"),)
        request = journal_pb2.GetHeadRequest()
        taken = [stub.GetHead(request, metadata=shown, timeout=20) for _ in range(CALLS_MAX)]
        for _ in taken:
            await slow.entered.acquire()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetHead(request, metadata=shown, timeout=20)
        slow.go.set()
        await asyncio.gather(*taken)
        await stub.GetHead(request, metadata=shown, timeout=20)
    status = rpc_status.from_call(refused.value)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.value.code()
    assert status is not None
    assert any(each.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for each in status.details)


@pytest.mark.parametrize("shown", [(), (("touchledger-peer", "guess"),)])
async def test_who_does_not_show_the_secret_is_not_let_in(
    address: str, shown: tuple[tuple[str, str], ...]
) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = journal_pb2_grpc.JournalServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as call:
            await stub.GetHead(journal_pb2.GetHeadRequest(), metadata=shown, timeout=20)
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            await stub.Subscribe(journal_pb2.SubscribeRequest(), metadata=shown, timeout=20).read()
    assert {grpc.StatusCode.UNAUTHENTICATED} == {call.value.code(), stream.value.code()}


async def test_our_channels_show_the_secret(address: str, slow: Slow, tmp_path: Path) -> None:
    file = tmp_path / "peers.secret"
    file.write_text("secret\n")
    slow.go.set()
    async with open_channel(address, peers_secret_file=file) as channel:
        stub = journal_pb2_grpc.JournalServiceStub(channel)
        await stub.GetHead(journal_pb2.GetHeadRequest(), timeout=20)
        page = await stub.Subscribe(journal_pb2.SubscribeRequest(), timeout=20).read()
    assert journal_pb2.SubscribeResponse() == page


def settings_of(**given: object) -> ServiceSettings:
    return ServiceSettings.model_validate({"database_url": "postgresql://nowhere", **given})


async def never_ready() -> str:
    return "in a test"


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ({}, "want loopback, a certificate, or tls_in_front"),
        ({"tls_cert_file": "cert", "tls_key_file": "key"}, "without tls_client_ca_file"),
    ],
)
async def test_beyond_loopback_it_starts_with_certificates_or_not_at_all(
    tmp_path: Path, given: dict[str, str], want: str
) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("-----BEGIN X-----")
    files = {name: tmp_path / file for name, file in given.items()}
    configured = settings_of(listen=f"0.0.0.0:{free_port()}", **files)
    with pytest.raises(Unsuitable, match=want):
        Server(name="touchpoint", settings=configured, ready=never_ready)


async def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    configured = settings_of(
        listen="127.0.0.1:0", tls_cert_file=tmp_path / "no.crt", tls_key_file=tmp_path / "no.key"
    )
    with pytest.raises(Unsuitable, match=r"no\.crt: No such file"):
        Server(name="touchpoint", settings=configured, ready=never_ready)


async def test_callers_need_a_certificate_of_the_same_authority(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    for name, issuer in (("own", authority), ("other", stranger)):
        issued = issuer.issue_cert("localhost")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    port = free_port()
    configured = settings_of(
        listen=f"127.0.0.1:{port}",
        tls_cert_file=tmp_path / "own.crt",
        tls_key_file=tmp_path / "own.key",
        tls_client_ca_file=tmp_path / "ca.crt",
    )
    server = Server(name="touchpoint", settings=configured, ready=never_ready)
    await server.grpc.start()
    seen = {}
    for name in ("own", "other", ""):
        pair = (
            {"cert_file": tmp_path / f"{name}.crt", "key_file": tmp_path / f"{name}.key"}
            if name
            else {}
        )
        async with open_channel(
            f"localhost:{port}", ca_file=tmp_path / "ca.crt", **pair
        ) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
                seen[name] = "let in"
            except grpc.aio.AioRpcError as error:
                seen[name] = error.code().name
    await server.grpc.stop(None)
    assert {"own": "let in", "other": "UNAVAILABLE", "": "UNAVAILABLE"} == seen


CANARY = """
import asyncio, logging
from services.chassis import logs
from services.chassis.server import run_process
logs.configure("test")

async def fails(comment):
    raise ValueError(f"about {comment}")

async def main():
    comment = "Mrs Canary"
    try:
        await fails(comment)
    except ValueError:
        logging.getLogger("library").exception("failed")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fails(comment))

run_process(main)
"""


def test_a_log_tells_type_and_place_of_an_exception_and_nothing_that_it_quotes() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CANARY], capture_output=True, text=True, timeout=60, check=False
    )
    records = [json.loads(line) for line in ended.stderr.splitlines()]
    assert 1 == ended.returncode
    assert ["ValueError", "ValueError"] == [each["error"] for each in records]
    assert "Canary" not in ended.stderr + ended.stdout


# RFC 9113: the preface, and frames of a length, a type, flags and a stream.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME, PING_FRAME, GOAWAY_FRAME = 4, 6, 7
MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 3, 6


def frame(kind: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


async def next_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(9)
    return head[3], await reader.readexactly(int.from_bytes(head[:3], "big"))


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, int]]:
    """A server as every service has it, and its port."""
    port = free_port()
    server = Server(
        name="touchpoint", settings=settings_of(listen=f"127.0.0.1:{port}"), ready=never_ready
    )
    server.reflect(["touchledger.v1.JournalService"])
    await server.grpc.start()
    yield server, port
    await server.grpc.stop(None)


async def test_a_connection_is_told_how_many_calls_and_how_large_a_head_it_may_have(
    served: tuple[Server, int],
) -> None:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", served[1])
        writer.write(PREFACE + frame(SETTINGS_FRAME))
        kind, payload = await next_frame(reader)
        writer.close()
    assert SETTINGS_FRAME == kind
    told = {
        int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
        for at in range(0, len(payload), 6)
    }
    assert server_module.CONCURRENT_STREAMS_MAX == told[MAX_CONCURRENT_STREAMS]
    assert server_module.METADATA_BYTES_MAX == told[MAX_HEADER_LIST_SIZE]


async def test_a_flood_of_pings_ends_the_connection(served: tuple[Server, int]) -> None:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", served[1])
        writer.write(PREFACE + frame(SETTINGS_FRAME) + frame(PING_FRAME, bytes(8)) * 50)
        while (told := await next_frame(reader))[0] != GOAWAY_FRAME:
            pass
        writer.close()
    assert b"too_many_pings" in told[1]


async def test_who_connects_and_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_MS_MAX", 300)
    port = free_port()
    server = Server(
        name="touchpoint", settings=settings_of(listen=f"127.0.0.1:{port}"), ready=never_ready
    )
    await server.grpc.start()
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while await reader.read(4096):
            pass
        writer.close()
    await server.grpc.stop(None)


@pytest.mark.parametrize(("size", "code"), [(7_000, "OK"), (9_000, "RESOURCE_EXHAUSTED")])
async def test_metadata_has_one_limit_and_no_chance_in_it(
    served: tuple[Server, int], size: int, code: str
) -> None:
    seen = set()
    # The client has a limit of its own for what it receives, none for what it sends.
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served[1]}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for _ in range(20):
            try:
                request = health_pb2.HealthCheckRequest()
                await stub.Check(request, metadata=(("padding", "x" * size),), timeout=20)
                seen.add("OK")
            except grpc.aio.AioRpcError as error:
                seen.add(error.code().name)
    assert {code} == seen


async def test_a_message_that_inflates_beyond_the_limit_is_refused(
    served: tuple[Server, int],
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served[1]}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        bomb = bytes(4 * server_module.MESSAGE_BYTES_MAX)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(bomb, compression=grpc.Compression.Gzip, timeout=20)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.value.code()


async def listed(target: str) -> set[str]:
    async with grpc.aio.insecure_channel(target) as channel, asyncio.timeout(20):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = await stub.ServerReflectionInfo(iter([asked])).read()
    return {service.name for service in answer.list_services_response.service}


async def test_reflection_is_for_this_machine_alone(
    served: tuple[Server, int], tmp_path: Path
) -> None:
    assert "touchledger.v1.JournalService" in await listed(f"127.0.0.1:{served[1]}")
    port = free_port()
    public = Server(
        name="touchpoint",
        settings=settings_of(listen=f"0.0.0.0:{port}", tls_in_front=True),
        ready=never_ready,
    )
    public.reflect(["touchledger.v1.JournalService"])
    await public.grpc.start()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await listed(f"127.0.0.1:{port}")
    await public.grpc.stop(None)
    assert grpc.StatusCode.UNIMPLEMENTED == refused.value.code()
