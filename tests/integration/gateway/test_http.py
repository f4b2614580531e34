"""The HTTP port bounds what it reads, and for how long."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import grpc
import pytest

from services.chassis.postgres import Pool
from services.gateway import access, http, http_body
from services.gateway.access import PUBLISH, Access
from services.gateway.beacon import HttpBeacon
from services.gateway.cloudevents import HttpCloudEvents
from services.gateway.docs import HttpDocs
from services.gateway.http import Http
from services.gateway.http_events import HttpEvents, HttpPublisher
from services.gateway.http_health import HttpHealth
from services.gateway.keyring import Keyring
from services.gateway.limits import Limits
from services.gateway.quarantine import Quarantine
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
def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def port(pool: Pool, tmp_path: Path, stopping: asyncio.Event) -> AsyncIterator[int]:
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

    admitting = Access(pool, KEYRING)
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        publisher = HttpPublisher(
            admitting,
            Limits(settings, pool),
            Upstream(channel, KEYRING, Quarantine(pool, KEYRING)),
        )
        routes = [
            *HttpHealth(ready).routes(),
            *HttpEvents(publisher).routes(),
            *HttpCloudEvents(publisher).routes(),
            *HttpBeacon(admitting, publisher).routes(),
        ]
        served = Http(settings, routes=[*routes, *HttpDocs(routes).routes()], stopping=stopping)
        running = asyncio.create_task(served.run())
        yield chosen
        await served.stop(5)
        await running


async def answer_to(port: int, request: str) -> tuple[int, dict[str, object], str]:
    """Status, document and head of the answer to these raw bytes; the connection stays open until then."""
    status, body, head = await exchange(port, request)
    return status, json.loads(body), head


async def status_of(port: int, request: str) -> int:
    """Of an answer that need not be ours."""
    return (await exchange(port, request))[0]


async def exchange(port: int, request: str) -> tuple[int, bytes, str]:
    async with asyncio.timeout(30):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0)  # the server's thread is about to listen
        writer.write(request.encode("utf-8", "surrogateescape"))
        # It may answer, and close, before it has read everything.
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        [length] = [
            int(line.partition(":")[2])
            for line in head.splitlines()
            if line.lower().startswith("content-length")
        ] or [0]
        body = b"" if request.startswith("HEAD") else await reader.readexactly(length)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return int(head.split()[1]), body, head.lower()


def post(body: str, *, length: int | None = None, headers: str = AUTHORIZATION) -> str:
    size = len(body) if length is None else length
    return f"POST /v1/events HTTP/1.1\r\nhost: x\r\n{headers}content-length: {size}\r\n\r\n{body}"


async def test_a_body_that_does_not_come_is_waited_for_within_a_bound(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_body, "BODY_SECONDS_MAX", 0.2)
    status, document, _ = await answer_to(port, post("{", length=4_000_000))
    assert (408, "REQUEST_TIMEOUT", "body") == (status, document["code"], document["field"])


async def test_more_bodies_than_fit_are_told_when_to_come_back(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_body, "BODIES_MAX", 0)
    status, _, head = await answer_to(port, post("{}"))
    assert 429 == status
    assert "retry-after: 1" in head


async def test_more_bytes_than_fit_are_told_when_to_come_back(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_body, "BODIES_BYTES_MAX", 1000)
    assert 400 == (await answer_to(port, post("{" * 999)))[0]
    status, _, head = await answer_to(port, post("{" * 1001))
    assert 429 == status
    assert "retry-after: 1" in head
    # What was held is given back.
    assert 400 == (await answer_to(port, post("{" * 999)))[0]


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
    assert "POST /v1/events" in str(document["want"])


async def test_a_body_of_chunks_is_bounded_as_it_comes(port: int) -> None:
    chunk = f"{1_000_000:x}\r\n{' ' * 1_000_000}\r\n"
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: x\r\n{AUTHORIZATION}transfer-encoding: chunked\r\n\r\n"
    )
    # Dropped, so that who writes first and reads then is told; without an end it is cut off.
    for body in (chunk * 5 + "0\r\n\r\n", chunk * 17):
        status, document, _ = await answer_to(port, head + body)
        assert (413, "TOO_LARGE") == (status, document["code"])


async def test_a_body_that_says_to_be_far_too_large_is_not_waited_for(port: int) -> None:
    status, document, _ = await answer_to(port, post("", length=50_000_000))
    assert (413, "TOO_LARGE") == (status, document["code"])


async def test_a_body_that_is_too_large_is_told_so_after_it_was_written(port: int) -> None:
    status, document, _ = await answer_to(port, post(" " * 10_000_000))
    assert (413, "TOO_LARGE", "10000000 bytes") == (status, document["code"], document["got"])


@pytest.mark.parametrize(
    "lie",
    [
        "content-length: -1",
        "content-length: x",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2\r\ntransfer-encoding: chunked",
        "content-length: 99999999999999999999999",
        "transfer-encoding: gzip",
    ],
)
async def test_a_length_that_is_none_is_a_bad_request(port: int, lie: str) -> None:
    request = f"POST /v1/events HTTP/1.1\r\nhost: x\r\n{AUTHORIZATION}{lie}\r\n\r\n{{}}"
    assert (await status_of(port, request)) in (400, 413)


async def test_what_is_no_http_is_a_bad_request(port: int) -> None:
    assert 400 == await status_of(port, "\x16\x03\x01 hello\r\n\r\n")


async def test_headers_above_16_kib_are_refused(port: int) -> None:
    request = f"GET /livez HTTP/1.1\r\nhost: x\r\nx-long: {'x' * 20_000}\r\n\r\n"
    assert 431 == await status_of(port, request)


async def test_a_header_that_is_no_text_harms_nobody(port: int) -> None:
    for name in ("authorization", "content-type", "traceparent", "x-other"):
        request = post("{}", headers=f"{name}: \udce9\udcff\r\n")
        assert 401 == (await answer_to(port, request))[0]


async def test_an_attribute_of_a_cloudevent_that_is_no_text_harms_nobody(port: int) -> None:
    headers = (
        "content-type: application/json\r\nce-specversion: 1.0\r\nce-type: touchledger.event.v1\r\n"
        f"ce-source: a\r\nce-id: \udce9\udcff\r\n{AUTHORIZATION}"
    )
    request = post("{}", headers=headers).replace("/v1/events", "/v1/cloudevents")
    status, document, _ = await answer_to(port, request)
    assert (422, "BAD_CLOUDEVENT", "id") == (status, document["code"], document["field"])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """`usefixtures` comes before `port`, which reads it as it starts."""
    monkeypatch.setattr(http, "HEADER_MS_MAX", 300)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("before", ["", "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"])
async def test_headers_that_do_not_come_are_waited_for_within_a_bound(
    port: int, before: str
) -> None:
    assert 200 == await status_of(port, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{before}GET /livez HTTP/1.1\r\nhost:".encode())
        told = await reader.read()
        writer.close()
    assert before.count("GET") == told.count(b"alive")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.json", "/docs"])
async def test_what_can_be_got_can_be_asked_by_head(port: int, path: str) -> None:
    got, document, _ = await exchange(port, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
    head, nothing, told = await exchange(
        port, f"HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert (got, True, b"") == (head, bool(document), nothing)
    assert f"content-length: {len(document)}\r\n" in told


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/events", "POST"),
        ("DELETE", "/v1/cloudevents", "POST"),
        ("PUT", "/v1/beacon", "POST, OPTIONS"),
        ("POST", "/livez", "GET, HEAD"),
        ("PATCH", "/docs", "GET, HEAD"),
    ],
)
async def test_another_method_is_told_those_that_are_allowed(
    port: int, method: str, path: str, allow: str
) -> None:
    request = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    status, document, head = await answer_to(port, request)
    assert (405, "METHOD_NOT_ALLOWED", allow) == (status, document["code"], document["want"])
    assert f"allow: {allow.lower()}" in head


async def test_a_refusal_is_a_problem_document(port: int) -> None:
    status, document, head = await answer_to(port, post("{", headers=""))
    assert 401 == status
    assert "content-type: application/problem+json" in head
    assert {
        "type": "/docs#UNAUTHENTICATED",
        "title": "UNAUTHENTICATED",
        "status": 401,
        "detail": f"authorization: got {document['got']}, want {document['want']}",
        "instance": "/v1/events",
        "code": "UNAUTHENTICATED",
        "field": "authorization",
        "got": document["got"],
        "want": document["want"],
    } == document


async def test_a_gateway_that_stops_sends_its_clients_elsewhere(
    port: int, stopping: asyncio.Event
) -> None:
    _, _, before = await answer_to(port, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    stopping.set()
    _, _, after = await answer_to(port, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    assert ("connection: close" in before, "connection: close" in after) == (False, True)
