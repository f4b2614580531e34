"""The HTTP port bounds what it reads, and for how long."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import grpc
import pytest

from services.chassis.postgres import Pool
from services.gateway import access, http
from services.gateway.access import PUBLISH, Access
from services.gateway.http import Http
from services.gateway.keyring import Keyring
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream
from tests.support.stack import free_port

KEYRING = Keyring(bytes(32))
SECRET = "s" * 43
AUTHORIZATION = f"authorization: bearer tl_{'a' * 12}_{SECRET}\r\n"


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    url = await asyncio.to_thread(new_database, "gateway")
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as opened:
        digest = KEYRING.secret_digest(SECRET)
        await opened.execute(access.STORE, "a" * 12, digest, "acme", "till", [PUBLISH])
        yield opened


@pytest.fixture
async def port(pool: Pool, tmp_path: Path) -> AsyncIterator[int]:
    """Of an HTTP port in front of a journal that is nowhere."""
    chosen = free_port()
    settings = Settings.model_validate(
        {
            "http_listen": f"127.0.0.1:{chosen}",
            "database_url": "postgresql://nowhere",
            "secret_key_file": tmp_path,
        }
    )

    async def ready() -> str:
        raise ConnectionRefusedError

    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        served = Http(settings, Access(pool, KEYRING), Upstream(channel, KEYRING), ready)
        running = asyncio.create_task(served.run())
        yield chosen
        await served.stop(5)
        await running


async def answer_to(port: int, request: str) -> tuple[int, dict[str, object], str]:
    """Status, document and head of the answer to these raw bytes; the connection stays open until then."""
    async with asyncio.timeout(30):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0)  # the server's thread is about to listen
        writer.write(request.encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        [length] = [
            int(line.partition(":")[2])
            for line in head.splitlines()
            if line.lower().startswith("content-length")
        ]
        document = json.loads(await reader.readexactly(length))
        writer.close()
        await writer.wait_closed()
    return int(head.split()[1]), document, head.lower()


def post(body: str, *, length: int | None = None, headers: str = AUTHORIZATION) -> str:
    size = len(body) if length is None else length
    return f"POST /v1/events HTTP/1.1\r\nhost: x\r\n{headers}content-length: {size}\r\n\r\n{body}"


async def test_a_body_that_does_not_come_is_waited_for_within_a_bound(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS_MAX", 0.2)
    status, document, _ = await answer_to(port, post("{", length=4_000_000))
    assert (408, "body", "1 bytes") == (status, document["field"], document["got"])


async def test_more_bodies_than_fit_are_told_when_to_come_back(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODIES_MAX", 0)
    status, _, head = await answer_to(port, post("{}"))
    assert 503 == status
    assert "retry-after: 1" in head


async def test_a_journal_that_is_away_is_told_with_when_to_come_back(port: int) -> None:
    event = '{"eventId": "a", "occurredAt": "2026-08-03T10:00:00Z", "touchpoint": "a", "interaction": {}}'
    status, document, head = await answer_to(port, post(event))
    assert (503, "UNAVAILABLE") == (status, document["title"])
    assert "retry-after: 1" in head
    assert "127.0.0.1" not in json.dumps(document)


async def test_readiness_has_one_form(port: int) -> None:
    status, document, _ = await answer_to(port, "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (503, {"status"}) == (status, set(document))


async def test_an_unknown_path_names_those_that_there_are(port: int) -> None:
    status, document, _ = await answer_to(port, "GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (404, "GET /v2") == (status, document["got"])
