"""What deploy/k8s gives to NATS: its users can do what the services need, over TLS, and little more."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme
from nats import connect
from nats.errors import Error

from services.chassis.buffer import Link, subject_of
from services.chassis.errors import Unavailable
from services.chassis.postgres import Pool
from services.gateway.buffer import Buffer
from tests.support.buffered import recording, until
from tests.support.ingest import KEYRING
from tests.support.nats_server import NatsServer
from tests.unit.deploy.manifests import K8S

CONF = K8S / "components" / "nats" / "nats.conf"
# One server is enough to ask for permissions; what makes three of it is left out.
CLUSTER = re.compile(r"^cluster \{.*?^\}\n", re.MULTILINE | re.DOTALL)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    for name in ("nats-headless", "gateway", "touchpoint-headless"):
        issued = authority.issue_cert(name, "127.0.0.1" if name == "nats-headless" else name)
        (tmp_path / name).mkdir()
        issued.cert_chain_pems[0].write_to_path(tmp_path / name / "tls.crt")
        issued.private_key_pem.write_to_path(tmp_path / name / "tls.key")
    return tmp_path


@pytest.fixture
def nats(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NatsServer]:
    monkeypatch.setenv("POD_NAME", "nats-0")
    server = NatsServer(certificates / "nats")
    conf, replaced = CLUSTER.subn("", CONF.read_text())
    assert replaced == 1
    for theirs, ours in (
        ("port: 4222", f"listen: 127.0.0.1:{server.port}"),
        ("http_port: 8222", ""),
        ("store_dir: /data", f"store_dir: {certificates / 'nats' / 'store'}"),
        ("/etc/nats/tls/ca.crt", f"{certificates / 'ca.crt'}"),
        ("/etc/nats/tls", f"{certificates / 'nats-headless'}"),
        ("/var/run/nats", f"{certificates}"),
    ):
        assert theirs in conf
        conf = conf.replace(theirs, ours)
    (certificates / "nats" / "nats.conf").write_text(conf)
    server.url = f"tls://127.0.0.1:{server.port}"
    server.start()
    yield server
    server.kill()


def shown_by(certificates: Path, name: str) -> dict[str, Path]:
    folder = certificates / name
    return {
        "ca_file": certificates / "ca.crt",
        "cert_file": folder / "tls.crt",
        "key_file": folder / "tls.key",
    }


@pytest.fixture
async def gateway_link(nats: NatsServer, certificates: Path) -> AsyncIterator[Link]:
    link = Link(nats.url, name="gateway", **shown_by(certificates, "gateway"))
    running = asyncio.create_task(link.run())
    await until(lambda: link.generation)
    yield link
    running.cancel()
    await asyncio.wait([running])


async def test_gateways_queue_and_touchpoint_services_record(
    nats: NatsServer, certificates: Path, gateway_link: Link, journal_pool: Pool
) -> None:
    recorder = shown_by(certificates, "touchpoint-headless")
    buffer = Buffer(gateway_link, KEYRING, replicas=1)
    looking = asyncio.create_task(buffer.run())
    async with recording(
        journal_pool,
        nats,
        tls_client_ca_file=recorder["ca_file"],
        tls_cert_file=recorder["cert_file"],
        tls_key_file=recorder["key_file"],
    ) as running:
        await until(lambda: not buffer.ready())
        await gateway_link.request(subject_of(0, "acme"), b"no batch, and to be read all the same")
        assert await buffer.oldest_of("other") is None

        async def refused() -> bool:
            return bool(await journal_pool.fetch("SELECT FROM journal.buffer_refused"))

        await until(refused)

        async def taken_away() -> bool:
            return await buffer.oldest_of("acme") is None

        await until(taken_away)
        assert running.owned()
    looking.cancel()
    await asyncio.wait([looking])


async def test_a_gateway_can_neither_read_batches_nor_take_them_away(gateway_link: Link) -> None:
    asked = ("STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "DIRECT.GET")
    # The server says nothing to whoever may not ask.
    answers = await asyncio.gather(
        *(gateway_link.api(each, {"seq": 1}) for each in asked), return_exceptions=True
    )
    assert [type(each) for each in answers] == [Unavailable] * len(asked)


async def test_whoever_shows_no_certificate_gets_no_connection(
    nats: NatsServer, certificates: Path
) -> None:
    trusting = ssl.create_default_context(cafile=certificates / "ca.crt")
    with pytest.raises((OSError, Error)):
        await connect(nats.url, tls=trusting, allow_reconnect=False, connect_timeout=2)
