"""Which system a command talks to, and that its key leaves the machine in no clear channel."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from services.cli.system import NoSystem, System, find, is_local, open_channel
from touchledger.v1 import ingest_pb2, ingest_pb2_grpc


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder as a running `up` leaves it; this process stands for the launcher."""
    key_file = tmp_path / "secrets" / "local.key"
    key_file.parent.mkdir()
    key_file.write_text("tl_local\n")
    write_system(tmp_path, pid=os.getpid(), key_file=str(key_file))
    return tmp_path


def write_system(folder: Path, *, pid: int, key_file: str) -> None:
    system = {
        "pid": pid,
        "grpc": "127.0.0.1:50051",
        "http": "http://127.0.0.1:8080",
        "sql": "postgresql://bi@127.0.0.1/scoring",
        "key_file": key_file,
    }
    (folder / "system.json").write_text(json.dumps(system))


def test_a_running_system_is_found_by_its_data_folder(folder: Path) -> None:
    assert System("127.0.0.1:50051", "tl_local") == find(data=folder)


def test_a_key_of_ones_own_goes_before_the_local_one(folder: Path) -> None:
    assert System("127.0.0.1:50051", "tl_other") == find(data=folder, key="tl_other")


def test_a_target_goes_before_the_data_folder(folder: Path) -> None:
    assert System("ledger:443", "k") == find(data=folder, target="ledger:443", key="k")


def test_a_target_without_a_key_is_refused() -> None:
    with pytest.raises(NoSystem, match="--target ledger:443: got no key, want --key"):
        find(target="ledger:443")


def test_a_folder_without_a_system_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NoSystem) as refused:
        find(data=tmp_path)
    assert (
        f"no running system in {tmp_path}: start one with `touchledger up --data {tmp_path}`, "
        "or name one with --target and --key"
    ) == str(refused.value)


def test_a_killed_system_is_no_system(folder: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_system(folder, pid=gone.pid, key_file=str(folder / "secrets" / "local.key"))
    with pytest.raises(NoSystem, match="no running system"):
        find(data=folder)


def test_a_missing_key_file_is_told(folder: Path) -> None:
    (folder / "secrets" / "local.key").unlink()
    with pytest.raises(NoSystem, match=r"local\.key: cannot be read \(No such file"):
        find(data=folder)


@pytest.mark.parametrize("key", ["   ", "a b", "a\nb", "schlüssel"])
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(NoSystem) as refused:
        find(target="ledger:443", key=key)
    assert str(refused.value).startswith("--key: got no key")


def test_the_key_is_in_no_traceback() -> None:
    assert "tl_secret" not in repr(System("127.0.0.1:1", "tl_secret"))


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "127.8.8.8:1",
        "localhost:50051",
        "LOCALHOST:1",
        "[::1]:50051",
        "dns:///localhost:50051",
        "ipv4:127.0.0.1:50051",
        "ipv4:127.0.0.1:50051,127.0.0.1:50061",
        "ipv6:[::1]:50051",
        "unix:/run/touchledger.sock",
    ],
)
def test_this_machine_is_local(target: str) -> None:
    assert is_local(target)


@pytest.mark.parametrize(
    "target",
    [
        "10.0.0.1:50051",
        "ledger.example:443",
        "localhost.example:443",
        "127.0.0.1.example:443",
        "::1:50051",
        "0.0.0.0:50051",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "ipv4:10.0.0.1:1,127.0.0.1:1",
        "dns://10.0.0.1/localhost:1",
        "127.0.0.1",
        "",
    ],
)
def test_anything_else_is_remote(target: str) -> None:
    assert not is_local(target)


def test_a_ca_that_is_none_is_told(tmp_path: Path) -> None:
    system = System("ledger:443", "k")
    with pytest.raises(NoSystem, match="No such file"):
        open_channel(system, ca=tmp_path / "none.pem")
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(NoSystem, match="without a certificate"):
        open_channel(system, ca=tmp_path / "empty.pem")


class Keys(ingest_pb2_grpc.IngestServiceServicer):
    """Remembers what calls were authorised with."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    async def GetOutcomes(
        self, request: ingest_pb2.GetOutcomesRequest, context: grpc.aio.ServicerContext
    ) -> ingest_pb2.GetOutcomesResponse:
        raise NotImplementedError

    def PublishStream(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[ingest_pb2.PublishStreamResponse]:
        raise NotImplementedError

    async def Publish(
        self, request: ingest_pb2.PublishRequest, context: Any
    ) -> ingest_pb2.PublishResponse:
        self.seen.append(dict(context.invocation_metadata()).get("authorization"))
        return ingest_pb2.PublishResponse()

    async def PublishBatch(
        self, request: ingest_pb2.PublishBatchRequest, context: Any
    ) -> ingest_pb2.PublishBatchResponse:
        raise NotImplementedError


async def test_the_key_travels_with_a_call_on_this_machine_past_any_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    keys, server = Keys(), grpc.aio.server()
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(keys, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    system = System(f"127.0.0.1:{port}", "tl_1")
    try:
        async with open_channel(system) as channel:
            stub = ingest_pb2_grpc.IngestServiceStub(channel)
            await stub.Publish(ingest_pb2.PublishRequest(), metadata=system.metadata, timeout=20)
    finally:
        await server.stop(None)
    assert keys.seen == ["Bearer tl_1"]


async def test_a_ca_makes_it_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    pair = (certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())
    keys, server = Keys(), grpc.aio.server()
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(keys, server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    system = System(f"localhost:{port}", "tl_1")
    try:
        async with open_channel(system, ca=tmp_path / "ca.pem") as channel:
            stub = ingest_pb2_grpc.IngestServiceStub(channel)
            await stub.Publish(ingest_pb2.PublishRequest(), metadata=system.metadata, timeout=20)
    finally:
        await server.stop(None)
    assert keys.seen == ["Bearer tl_1"]


async def test_nothing_but_tls_is_spoken_to_another_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server in clear text stands for one, its address taken as remote."""
    monkeypatch.setattr("services.cli.system.is_local", lambda target: False)
    keys, server = Keys(), grpc.aio.server()
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(keys, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    system = System(f"127.0.0.1:{port}", "tl_1")
    try:
        async with open_channel(system) as channel:
            stub = ingest_pb2_grpc.IngestServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Publish(
                    ingest_pb2.PublishRequest(), metadata=system.metadata, timeout=20
                )
    finally:
        await server.stop(None)
    assert (refused.value.code(), keys.seen) == (grpc.StatusCode.UNAVAILABLE, [])
