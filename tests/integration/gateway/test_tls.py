"""With a certificate both ports of the gateway speak TLS, and nothing else."""

import asyncio
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.gateway_keys import add_key, bearer
from tests.support.stack import READY_SECONDS_MAX, Service, free_port
from touchledger.v1 import keys_pb2, keys_pb2_grpc

ENDS = datetime(2036, 2, 29, tzinfo=UTC)
ALIVE = health_pb2.HealthCheckRequest(service="liveness")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def gateway(
    tmp_path: Path, new_database: Callable[[str], str], authority: trustme.CA
) -> Iterator[Service]:
    """Without services behind it, which no test here asks."""
    issued = authority.issue_cert("localhost", not_after=ENDS)
    issued.private_key_pem.write_to_path(tmp_path / "tls.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    (tmp_path / "gateway.key").write_text("17" * 32)
    service = Service(
        "gateway",
        {
            "TOUCHLEDGER_GATEWAY_DATABASE_URL": new_database("gateway"),
            "TOUCHLEDGER_GATEWAY_HTTP_LISTEN": f"127.0.0.1:{free_port()}",
            "TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE": str(tmp_path / "gateway.key"),
            "TOUCHLEDGER_GATEWAY_TLS_CERT_FILE": str(tmp_path / "tls.crt"),
            "TOUCHLEDGER_GATEWAY_TLS_KEY_FILE": str(tmp_path / "tls.key"),
            "TOUCHLEDGER_GATEWAY_METRICS_LISTEN": f"{free_port()}",
        },
        tmp_path / "gateway.log",
    )
    service.start()
    try:
        yield service
    finally:
        service.kill()


def secure(gateway: Service, authority: trustme.CA) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(root_certificates=authority.cert_pem.bytes())
    return grpc.aio.secure_channel(f"localhost:{gateway.address.rpartition(':')[2]}", credentials)


async def alive(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    await stub.Check(ALIVE, timeout=READY_SECONDS_MAX, wait_for_ready=True)


async def test_grpc_is_for_those_who_speak_tls(gateway: Service, authority: trustme.CA) -> None:
    url = gateway.environment["TOUCHLEDGER_GATEWAY_DATABASE_URL"]
    async with secure(gateway, authority) as channel:
        await alive(channel)
        key = await add_key(url, "acme", ["admin"])
        listed = await keys_pb2_grpc.KeyServiceStub(channel).ListKeys(
            keys_pb2.ListKeysRequest(), metadata=bearer(key), timeout=20
        )
        assert ["till"] == [each.source for each in listed.keys]
    async with grpc.aio.insecure_channel(gateway.address) as clear:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health_pb2_grpc.HealthStub(clear).Check(ALIVE, timeout=5)
    assert refused.value.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )


async def test_http_is_for_those_who_speak_tls(gateway: Service, authority: trustme.CA) -> None:
    async with secure(gateway, authority) as channel:
        await alive(channel)
    port = int(gateway.environment["TOUCHLEDGER_GATEWAY_HTTP_LISTEN"].rpartition(":")[2])
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    assert b"200" in await first_line(port, trusting)
    assert b"200" not in await first_line(port, None)
    old = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert b"200" in await first_line(port, old)


async def test_when_its_certificate_ends_is_told(gateway: Service, authority: trustme.CA) -> None:
    async with secure(gateway, authority) as channel:
        await alive(channel)
    port = gateway.environment["TOUCHLEDGER_GATEWAY_METRICS_LISTEN"]
    answer = await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/metrics")
    with answer:
        lines = answer.read().decode().splitlines()
    [told] = [each for each in lines if each.startswith("touchledger_certificate_expiry_seconds")]
    labels, _, value = told.partition(" ")
    assert 'certificate="tls_cert_file"' in labels
    assert ENDS.timestamp() == float(value)


async def first_line(port: int, tls: ssl.SSLContext | None) -> bytes:
    """Of the answer to GET /livez; empty where the connection ends without one."""
    async with asyncio.timeout(READY_SECONDS_MAX):
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
                )
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)  # its thread is about to listen
        writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        try:
            line = await reader.readline()
            await reader.read()
        except ConnectionResetError:
            line = b""
        writer.close()
    return line
