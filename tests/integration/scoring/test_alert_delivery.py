"""An alert reaches who watches, and the tenant's webhook: signed, again after a failure, and nobody else."""

import asyncio
import base64
import hmac
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.chassis.errors import ErrorInterceptor
from services.chassis.postgres import Pool
from services.scoring.alerts import delivery as delivery_module
from services.scoring.alerts import servicer, webhook_post
from services.scoring.alerts.back_test import BackTests
from services.scoring.alerts.board import Board
from services.scoring.alerts.delivery import GIVE_UP_HOURS, Delivery
from services.scoring.alerts.points import Points
from services.scoring.alerts.rules import Rules
from services.scoring.alerts.servicer import AlertServicer
from services.scoring.alerts.webhook_post import Failed, Webhook, is_public, post, read_webhooks
from services.scoring.servicer import TENANT_METADATA
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1 import alerts_pb2_grpc

SECRET = bytes(range(32))
ALERT = """
INSERT INTO scoring.alert (
    tenant, number, alert_id, rule, rule_version, grouped_by, group_name, period_start, period_end, nth,
    part, whole, p0, statistic, lower_limit, upper_limit, p_value, judged_at, position)
SELECT $1, n, 'alert ' || n, 'bottom2', 1, 'touchpoint', 'store.checkout', '2026-08-03', '2026-08-04', n,
       9, 20, 0.1, 0.45, 0, 0.3, 0.0001, '2026-08-04T00:00:00Z', 20
  FROM generate_series($2::int, $3::int) AS n
"""
DELIVERY = """
INSERT INTO scoring.alert_delivery (tenant, number)
SELECT $1, n FROM generate_series($2::int, $3::int) AS n
"""
DUE_NOW = "UPDATE scoring.alert_delivery SET due_at = now()"
WAIT_SECONDS_MAX = 20.0


class Receiver:
    """Takes posts, and answers each with what a test says."""

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []
        self.lines: list[str] = []
        self.bodies: list[bytes] = []
        self.answers: list[bytes] = []
        self.port = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            head = {
                name.lower(): value
                for name, _, value in (each.partition(": ") for each in fields if each)
            }
            self.lines.append(line)
            self.heads.append(head)
            self.bodies.append(await reader.readexactly(int(head["content-length"])))
            writer.write(self.answers.pop(0) if self.answers else b"HTTP/1.1 204 Fine\r\n\r\n")
            await writer.drain()
        finally:
            writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def delivery_to(pool: Pool, receiver: Receiver, tenant: str = "default") -> Delivery:
    webhook = Webhook(f"http://127.0.0.1:{receiver.port}/alerts?of=shop", SECRET)
    return Delivery(pool, {tenant: webhook}, private_addresses=False)


async def deliveries(pool: Pool, tenant: str = "default") -> list[tuple[int, str, int, str]]:
    found = await Board(pool).deliveries(tenant, before_number=0, page_size=0)
    return [
        (
            each.number,
            pb.AlertDeliveryState.Name(each.state).removeprefix("ALERT_DELIVERY_STATE_"),
            each.attempts,
            each.last_result,
        )
        for each in found
    ]


async def test_an_alert_is_posted_signed(scoring_pool: Pool, receiver: Receiver) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 1)
    await scoring_pool.execute(DELIVERY, "default", 1, 1)
    delivery = delivery_to(scoring_pool, receiver)

    await delivery.look()
    await delivery.look()

    [head], [body] = receiver.heads, receiver.bodies
    assert ["POST /alerts?of=shop HTTP/1.1"] == receiver.lines
    assert "application/json" == head["content-type"]
    told = json.loads(body)
    assert ("alert 1", "bottom2", "store.checkout", 0.45) == (
        told["alert_id"],
        told["rule"],
        told["group"],
        told["statistic"],
    )
    # As a receiver checks it, by the text of the Standard Webhooks convention.
    assert "alert 1" == head["webhook-id"]
    at = datetime.fromtimestamp(int(head["webhook-timestamp"]), UTC)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.digest(SECRET, signed, "sha256")).decode()
    assert f"v1,{wanted}" == head["webhook-signature"]
    assert [(1, "DELIVERED", 1, "status 204")] == await deliveries(scoring_pool)


async def test_a_refused_alert_waits_and_comes_again_with_the_same_id(
    scoring_pool: Pool, receiver: Receiver
) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 2)
    await scoring_pool.execute(DELIVERY, "default", 1, 2)
    receiver.answers = [b"HTTP/1.1 503 Later\r\n\r\n"]
    delivery = delivery_to(scoring_pool, receiver)

    await delivery.look()
    assert [(2, "WAITING", 0, ""), (1, "WAITING", 1, "status 503")] == await deliveries(
        scoring_pool
    )
    await delivery.look()  # the first one is not due yet
    await scoring_pool.execute(DUE_NOW)
    await delivery.look()

    assert ["alert 1", "alert 2", "alert 1"] == [each["webhook-id"] for each in receiver.heads]
    assert [(2, "DELIVERED", 1, "status 204"), (1, "DELIVERED", 2, "status 204")] == (
        await deliveries(scoring_pool)
    )


async def test_pauses_grow_up_to_a_quarter_of_an_hour(
    scoring_pool: Pool, receiver: Receiver
) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 1)
    await scoring_pool.execute(DELIVERY, "default", 1, 1)
    delivery = delivery_to(scoring_pool, receiver)
    pauses = []
    for _ in range(10):
        receiver.answers = [b"HTTP/1.1 500 No\r\n\r\n"]
        await scoring_pool.execute(DUE_NOW)
        await delivery.look()
        pauses.append(
            await scoring_pool.fetchval(
                "SELECT extract(epoch FROM due_at - tried_at)::float FROM scoring.alert_delivery"
            )
        )

    assert [5, 10, 20, 40, 80, 160, 320, 640, 900, 900] == pauses


async def test_after_a_day_an_alert_is_given_up(scoring_pool: Pool, receiver: Receiver) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 1)
    await scoring_pool.execute(DELIVERY, "default", 1, 1)
    await scoring_pool.execute(
        "UPDATE scoring.alert_delivery SET made_at = made_at - make_interval(hours => $1)",
        GIVE_UP_HOURS,
    )
    receiver.answers = [b"HTTP/1.1 500 No\r\n\r\n"]
    delivery = delivery_to(scoring_pool, receiver)

    await delivery.look()
    await scoring_pool.execute(DUE_NOW)
    await delivery.look()

    assert [(1, "GIVEN_UP", 1, "status 500")] == await deliveries(scoring_pool)
    assert 1 == len(receiver.heads)


async def test_a_tenants_alerts_go_to_its_own_webhook_alone(
    scoring_pool: Pool, receiver: Receiver
) -> None:
    for tenant in ("default", "other"):
        await scoring_pool.execute(ALERT, tenant, 1, 1)
        await scoring_pool.execute(DELIVERY, tenant, 1, 1)

    await delivery_to(scoring_pool, receiver, "other").look()

    assert 1 == len(receiver.heads)
    assert [(1, "WAITING", 0, "")] == await deliveries(scoring_pool)
    assert [(1, "DELIVERED", 1, "status 204")] == await deliveries(scoring_pool, "other")


async def test_a_receiver_that_takes_its_time_leaves_the_rest_for_its_next_turn(
    scoring_pool: Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 3)
    await scoring_pool.execute(DELIVERY, "default", 1, 3)
    delivery = delivery_to(scoring_pool, receiver)
    monkeypatch.setattr(delivery_module, "TURN_SECONDS_MAX", 0.0)

    await delivery.look()
    assert ["alert 1"] == [each["webhook-id"] for each in receiver.heads]
    await delivery.look()

    assert [
        (3, "WAITING", 0, ""),
        (2, "DELIVERED", 1, "status 204"),
        (1, "DELIVERED", 1, "status 204"),
    ] == await deliveries(scoring_pool)


async def posted(url: str, *, private_addresses: bool = False) -> str:
    return await post(
        Webhook(url, SECRET),
        message_id="1",
        body=b"{}",
        seconds=1_800_000_000,
        private_addresses=private_addresses,
    )


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (b"HTTP/1.1 301 There\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "status 301"),
        (b"HTTP/1.1 200", "no connection, or no answer (IncompleteReadError)"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "an answer that is no HTTP/1.1"),
        (
            b"HTTP/1.1 200 Fine\r\nX: " + b"x" * 20_000,
            "no connection, or no answer (LimitOverrunError)",
        ),
        (b"HTTP/1.1 100 Go on\r\n\r\n" * 5, "interim answers alone"),
    ],
)
async def test_whatever_is_no_2xx_is_a_failure(receiver: Receiver, answer: bytes, got: str) -> None:
    receiver.answers = [answer]

    with pytest.raises(Failed) as failed:
        await posted(f"http://127.0.0.1:{receiver.port}/")

    assert got == str(failed.value)
    assert 1 == len(receiver.heads)


async def test_an_interim_answer_is_followed_by_the_one_that_counts(receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 202 Taken\r\n\r\n"]

    assert "status 202" == await posted(f"http://127.0.0.1:{receiver.port}/")


async def test_an_answer_that_drips_is_waited_for_no_longer_than_one_that_never_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            writer.close()
            gone.set()

    monkeypatch.setattr(webhook_post, "ATTEMPT_SECONDS_MAX", 0.3)
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        with pytest.raises(Failed, match="no answer within"):
            await posted(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await gone.wait()


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "[fd00::1]", "0.0.0.0"]
)
async def test_a_private_address_is_not_connected_to(host: str) -> None:
    with pytest.raises(Failed, match="an address that is not public"):
        await posted(f"https://{host}/")


async def test_a_name_that_leads_to_a_private_address_among_others_is_not_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(host: str, port: int, **_: Any) -> list[Any]:
        assert "hooks.example" == host
        return [(0, 0, 0, "", (address, port)) for address in ("93.184.215.14", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answered)

    with pytest.raises(Failed, match="an address that is not public"):
        await posted(f"https://hooks.example:{receiver.port}/")

    assert [] == receiver.heads


async def test_names_that_nobody_answers_for_keep_no_thread_from_other_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The projection reads its pages in threads of the loop."""
    answered = threading.Event()

    def hang(*_: Any, **__: Any) -> None:
        answered.wait(WAIT_SECONDS_MAX)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(webhook_post, "ATTEMPT_SECONDS_MAX", 0.1)
    try:
        posts = [posted(f"https://hooks-{nth}.example/") for nth in range(50)]
        results = await asyncio.gather(*posts, return_exceptions=True)
        assert {"no answer within 0 s"} == {str(each) for each in results}

        async with asyncio.timeout(WAIT_SECONDS_MAX / 4):
            assert "read" == await asyncio.to_thread(lambda: "read")
    finally:
        answered.set()


def test_addresses_that_stand_for_others_are_as_public_as_those() -> None:
    assert {
        "93.184.215.14": True,
        "2606:2800:21f::1": True,
        "127.0.0.1": False,
        "::1": False,
        "::ffff:10.0.0.1": False,
        "::ffff:93.184.215.14": True,
        "64:ff9b::a00:1": False,
        "64:ff9b::5db8:d70e": True,
        "2002:a00:1::1": False,
        "fe80::1%eth0": False,
        "224.0.1.1": False,
        "ff0e::1": False,
        "fec0::1": False,
        "::7f00:1": False,
        "::ffff:0:7f00:1": False,
        "64:ff9b:1::7f00:1": False,
    } == {
        address: is_public(address)
        for address in (
            *("93.184.215.14", "2606:2800:21f::1", "127.0.0.1", "::1", "::ffff:10.0.0.1"),
            *("::ffff:93.184.215.14", "64:ff9b::a00:1", "64:ff9b::5db8:d70e", "2002:a00:1::1"),
            *("fe80::1%eth0", "224.0.1.1", "ff0e::1", "fec0::1", "::7f00:1", "::ffff:0:7f00:1"),
            "64:ff9b:1::7f00:1",
        )
    }


async def test_a_certificate_must_be_one_that_is_trusted(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = _certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(Failed, match="no valid certificate"):
            await posted(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert "status 204" == await posted(url)
        with pytest.raises(Failed, match="no valid certificate"):
            await posted(url.replace("localhost", "127.0.0.1"))


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


GOOD_SECRET = f"whsec_{base64.b64encode(SECRET).decode()}"


@pytest.mark.parametrize(
    "given",
    [
        "no JSON",
        "[]",
        '{"shop": "https://hooks.example/"}',
        {"url": "https://hooks.example/"},
        {"url": "https://hooks.example/", "secret": "whsec_c2hvcnQ="},
        {"url": "https://hooks.example/", "secret": "whsec_%%%"},
        {"url": "https://hooks.example/", "secret": GOOD_SECRET, "more": 1},
        {"url": "http://hooks.example/", "secret": GOOD_SECRET},
        {"url": "ftp://hooks.example/", "secret": GOOD_SECRET},
        {"url": "https://user:word@hooks.example/", "secret": GOOD_SECRET},
        {"url": "https://hooks.example/a b", "secret": GOOD_SECRET},
        {"url": "https://hooks.example/\r\nX: y", "secret": GOOD_SECRET},
        {"url": "https://hooks.example/#x", "secret": GOOD_SECRET},
        {"url": "https://hooks.example:99999/", "secret": GOOD_SECRET},
        {"url": "https:///x", "secret": GOOD_SECRET},
        {"url": f"https://{'a' * 64}.example/", "secret": GOOD_SECRET},
        {"url": "https://hooks..example/", "secret": GOOD_SECRET},
        {"url": "https://hooks.example:0/", "secret": GOOD_SECRET},
    ],
)
def test_a_file_of_webhooks_that_is_not_good_ends_the_start_without_its_content(
    tmp_path: Path, given: Any
) -> None:
    file = tmp_path / "webhooks.json"
    file.write_text(given if isinstance(given, str) else json.dumps({"shop": given}))

    with pytest.raises(SystemExit) as ended:
        read_webhooks(file)

    assert "alert_webhooks_file" in str(ended.value)
    assert base64.b64encode(SECRET).decode() not in str(ended.value)
    assert "hooks.example" not in str(ended.value)


def test_a_file_of_webhooks_says_where_each_tenants_alerts_go(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.json"
    urls = {"shop": "https://hooks.example/a?b=c", "till": "http://127.0.0.1:8099/"}
    file.write_text(
        json.dumps({tenant: {"url": url, "secret": GOOD_SECRET} for tenant, url in urls.items()})
    )

    assert {tenant: Webhook(url, SECRET) for tenant, url in urls.items()} == read_webhooks(file)
    assert {} == read_webhooks(None)


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def stub(
    scoring_pool: Pool, stopping: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[alerts_pb2_grpc.AlertServiceStub]:
    monkeypatch.setattr(servicer, "LOOK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(servicer, "SIGN_OF_LIFE_SECONDS", 0.1)
    points = Points(scoring_pool)
    rules = Rules(scoring_pool, points)
    server = grpc.aio.server(interceptors=[ErrorInterceptor(calls_max=100)])
    alerts_pb2_grpc.add_AlertServiceServicer_to_server(
        AlertServicer(
            *(rules, Board(scoring_pool), BackTests(points, rules)),
            stopping=stopping,
            delivered=("default",),
        ),
        server,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield alerts_pb2_grpc.AlertServiceStub(channel)
    await server.stop(None)


def watch(stub: alerts_pb2_grpc.AlertServiceStub, tenant: str = "default", **fields: Any) -> Any:
    request = pb.WatchAlertsRequest(**fields)
    return stub.WatchAlerts(request, metadata=((TENANT_METADATA, tenant),))


async def begins(stream: Any) -> grpc.StatusCode | None:
    """None when the stream has begun, else why not."""
    try:
        await stream.read()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


async def next_alert(stream: Any) -> int:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            message = await stream.read()
            if message.HasField("alert"):
                assert message.number == message.alert.number
                number: int = message.number
                return number


async def test_who_watches_gets_what_it_has_missed_and_then_what_comes(
    scoring_pool: Pool, stub: alerts_pb2_grpc.AlertServiceStub
) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 3)
    await scoring_pool.execute(ALERT, "other", 1, 7)
    missed, new = watch(stub, after_number=1), watch(stub, only_new=True)
    assert 3 == (await new.read()).number

    assert [2, 3] == [await next_alert(missed) for _ in range(2)]
    await scoring_pool.execute(ALERT, "default", 4, 4)

    assert [4, 4] == [await next_alert(stream) for stream in (missed, new)]


async def test_more_alerts_than_a_page_come_without_a_pause(
    scoring_pool: Pool, stub: alerts_pb2_grpc.AlertServiceStub
) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 250)
    stream = watch(stub)

    assert list(range(1, 251)) == [await next_alert(stream) for _ in range(250)]


async def test_a_silent_stream_gives_signs_of_life_with_the_number_to_go_on_from(
    scoring_pool: Pool, stub: alerts_pb2_grpc.AlertServiceStub
) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 2)
    stream = watch(stub, after_number=1)
    assert 2 == await next_alert(stream)

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        message = await stream.read()

    assert (False, 2) == (message.HasField("alert"), message.number)


async def test_a_stop_ends_streams_with_a_word_of_when_to_come_back(
    stub: alerts_pb2_grpc.AlertServiceStub, stopping: asyncio.Event
) -> None:
    stream = watch(stub)
    await stream.read()

    stopping.set()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        ended = await stream.code()

    assert grpc.StatusCode.UNAVAILABLE == ended


async def test_a_tenant_has_so_many_watchers_and_another_one_is_not_harmed(
    stub: alerts_pb2_grpc.AlertServiceStub,
) -> None:
    streams = [watch(stub) for _ in range(servicer.WATCHERS_OF_TENANT_MAX)]
    for stream in streams:
        await stream.read()

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == await begins(watch(stub))
    assert None is await begins(watch(stub, "other"))
    streams[0].cancel()

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        # The server learns of the cancellation a moment later.
        while await begins(watch(stub)) is not None:
            pass


async def test_a_tenant_that_nobody_named_is_asked_for(
    stub: alerts_pb2_grpc.AlertServiceStub,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListAlerts(pb.ListAlertsRequest())

    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()


@pytest.mark.parametrize(
    "fields",
    [{"page_size": 1001}, {"after_number": 2**63}, {"rule": "a\0b"}],
)
async def test_a_page_of_alerts_that_cannot_be_is_refused(
    stub: alerts_pb2_grpc.AlertServiceStub, fields: dict[str, Any]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListAlerts(
            pb.ListAlertsRequest(**fields), metadata=((TENANT_METADATA, "default"),)
        )

    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()


@pytest.mark.parametrize("fields", [{"page_size": 1001}, {"before_number": 2**63}])
async def test_a_page_of_deliveries_that_cannot_be_is_refused(
    stub: alerts_pb2_grpc.AlertServiceStub, fields: dict[str, Any]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListAlertDeliveries(
            pb.ListAlertDeliveriesRequest(**fields), metadata=((TENANT_METADATA, "default"),)
        )

    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()


async def test_deliveries_are_listed_from_before_a_number(
    scoring_pool: Pool, stub: alerts_pb2_grpc.AlertServiceStub
) -> None:
    await scoring_pool.execute(ALERT, "default", 1, 3)
    await scoring_pool.execute(DELIVERY, "default", 1, 3)

    found = [
        [
            each.number
            for each in (
                await stub.ListAlertDeliveries(
                    pb.ListAlertDeliveriesRequest(before_number=number, page_size=2),
                    metadata=((TENANT_METADATA, "default"),),
                )
            ).deliveries
        ]
        for number in (0, 2, 2**63 - 1)
    ]

    assert [[3, 2], [1], [3, 2]] == found


async def test_a_back_test_of_nothing_is_refused(stub: alerts_pb2_grpc.AlertServiceStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.BackTest(pb.BackTestRequest(), metadata=((TENANT_METADATA, "default"),))

    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()
