"""The Python client comes in one wheel with the wire contract, and needs nothing of the services."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROTOS = ROOT / "protos" / "touchledger" / "v1"
USES_ALL = """
import sys
import touchledger_client
from touchledger.v1 import events_pb2
client = touchledger_client.Client(
    touchledger_client.Gateway("127.0.0.1:1", "tl_key", clear_text=True), sys.argv[1]
)
print(client.record(events_pb2.Event(event_id="a")))
client.close(0)
print({name.split(".")[0] for name in sys.modules} & {"services"} or "alone")
print(touchledger_client.__file__, events_pb2.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed in."""
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, since setuptools leaves its own folders beside the sources.
    for part in ("clients/python", "protos"):
        shutil.copytree(ROOT / part, folder / "checkout" / part)
    # Neither a network nor more than this environment has.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--root-user-action=ignore"]
    command += ["--target", str(folder / "installed"), str(folder / "checkout/clients/python")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    return folder / "installed"


def test_the_wheel_records_events_without_the_services(installed: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", USES_ALL, tmp_path / "till.spool"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # It may say on stderr that no gateway is there, when it comes to try before it is closed.
    assert run.returncode == 0, run.stderr
    event_id, alone, *files = run.stdout.split()
    assert (event_id, alone) == ("a", "alone")
    assert [Path(each).is_relative_to(installed) for each in files] == [True, True]


def test_the_wheel_holds_the_whole_contract_and_its_types(installed: Path) -> None:
    for part in (ROOT / "protos" / "touchledger", ROOT / "clients/python/touchledger_client"):
        for source in part.rglob("*"):
            if source.suffix in (".py", ".pyi", ".proto", ".typed"):
                copy = installed / part.name / source.relative_to(part)
                assert copy.read_bytes() == source.read_bytes()


def test_the_wheel_asks_for_the_versions_that_the_stubs_were_made_for() -> None:
    project = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]
    asked = dict(each.split(">=") for each in project["dependencies"])
    stub = (PROTOS / "ingest_pb2.py").read_text()
    numbers = re.search(r"ValidateProtobufRuntimeVersion\(\s*\S+,\s*(\d+),\s*(\d+),\s*(\d+),", stub)
    grpc = re.search(r"GRPC_GENERATED_VERSION = (.*)", (PROTOS / "ingest_pb2_grpc.py").read_text())
    assert numbers is not None
    assert grpc is not None
    assert asked["protobuf"] == ".".join(numbers.groups())
    assert asked["grpcio"] == ast.literal_eval(grpc[1])
