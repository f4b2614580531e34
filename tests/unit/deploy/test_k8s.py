"""deploy/k8s/base renders, fits the schemas of Kubernetes and keeps the rules of manifests.py."""

import copy
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.manifests import (
    RULES,
    Manifests,
    Object,
    container,
    fits_the_schemas,
    pod,
)

ROOT = Path(__file__).parent.parent.parent.parent
BASE = ROOT / "deploy" / "k8s" / "base"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((BASE / "kustomization.yaml").read_text())
KUSTOMIZE_VERSION_MIN = 5
RENDER_SECONDS_MAX = 60
MAKES_SECRET = re.compile(r"create secret generic (\S+)((?:\s+--from-file=\S+)+)")


def secrets_of_the_readme() -> dict[str, frozenset[str]]:
    """By name, the files of the Secrets that its commands make."""
    commands = (ROOT / "deploy" / "k8s" / "README.md").read_text().replace("\\\n", " ")
    return {
        made[1]: frozenset(re.findall(r"--from-file=([^=\s]+)=", made[2]))
        for made in MAKES_SECRET.finditer(commands)
    }


def plain() -> Manifests:
    """The files as kustomize puts them together, without the hashes in the names of ConfigMaps."""
    (labels,), (image,) = KUSTOMIZATION["labels"], KUSTOMIZATION["images"]
    assert labels["includeTemplates"]
    objects = list(_objects((BASE / file).read_text() for file in KUSTOMIZATION["resources"]))
    for generated in KUSTOMIZATION["configMapGenerator"]:
        (file,) = generated["envs"]
        lines = (BASE / file).read_text().splitlines()
        data = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        metadata = {"name": generated["name"]}
        objects.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        )
    for one in objects:
        one["metadata"]["labels"] = one["metadata"].get("labels", {}) | labels["pairs"]
        if one["kind"] == "Deployment":
            one["spec"]["template"]["metadata"]["labels"] |= labels["pairs"]
            assert container(one)["image"] == image["name"]
            container(one)["image"] = f"{image['newName']}:{image['newTag']}"
    return Manifests(objects, secrets_of_the_readme())


def _objects(texts: Iterator[str]) -> Iterator[Object]:
    for text in texts:
        yield from yaml.safe_load_all(text)


@pytest.fixture(scope="session")
def rendered() -> Manifests:
    """What `kubectl kustomize` makes of the base."""
    if not shutil.which("kubectl"):
        pytest.skip("NOT CHECKED: no kubectl on the PATH to render deploy/k8s/base with")
    asked = ["kubectl", "version", "--client", "--output=json"]
    told = subprocess.run(asked, capture_output=True, timeout=RENDER_SECONDS_MAX, check=True)
    version = json.loads(told.stdout).get("kustomizeVersion", "v0")
    if int(version.lstrip("v").partition(".")[0]) < KUSTOMIZE_VERSION_MIN:
        pytest.skip(f"NOT CHECKED: kubectl has kustomize {version}, want {KUSTOMIZE_VERSION_MIN}")
    done = subprocess.run(
        ["kubectl", "kustomize", str(BASE)], capture_output=True, timeout=RENDER_SECONDS_MAX
    )
    # Deprecated fields are only warned of.
    assert (b"", 0) == (done.stderr, done.returncode)
    return Manifests(list(yaml.safe_load_all(done.stdout)), secrets_of_the_readme())


def test_the_kustomization_lists_every_file_and_no_other() -> None:
    listed = [
        *KUSTOMIZATION["resources"],
        *(file for each in KUSTOMIZATION["configMapGenerator"] for file in each["envs"]),
        "kustomization.yaml",
    ]
    present = [str(path.relative_to(BASE)) for path in BASE.rglob("*") if path.is_file()]
    assert sorted(present) == sorted(listed)


def test_the_labelled_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (labels,) = KUSTOMIZATION["labels"]
    assert project["version"] == labels["pairs"]["app.kubernetes.io/version"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_plain_files_keep_the_rules(rule: Callable[[Manifests], Iterator[str]]) -> None:
    assert [] == list(rule(plain()))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_render_keeps_the_rules(
    rule: Callable[[Manifests], Iterator[str]], rendered: Manifests
) -> None:
    assert [] == list(rule(rendered))


def test_the_render_is_what_these_tests_make_of_the_plain_files(rendered: Manifests) -> None:
    def comparable(manifests: Manifests) -> dict[tuple[str, str], Object]:
        text = json.dumps(manifests.objects)
        objects = json.loads(re.sub(r"(-settings)-[a-z0-9]{10}\b", r"\1", text))
        for one in objects:
            one["metadata"].pop("namespace", None)
        return {(one["kind"], one["metadata"]["name"]): one for one in objects}

    assert comparable(plain()) == comparable(rendered)
    namespaces = {each["metadata"].get("namespace") for each in rendered.objects}
    assert {None, "touchledger"} == namespaces


def deployment(manifests: Manifests, name: str) -> Object:
    found = manifests.named("Deployment", name)
    assert found is not None
    return found


def configured(manifests: Manifests, service: str) -> dict[str, str]:
    found = manifests.named("ConfigMap", f"{service}-settings")
    assert found is not None
    data: dict[str, str] = found["data"]
    return data


def spec(manifests: Manifests, kind: str, name: str) -> Object:
    found = manifests.named(kind, name)
    assert found is not None
    inner: Object = found["spec"]
    return inner


def remove(manifests: Manifests, kind: str, name: str) -> None:
    manifests.objects.remove(manifests.named(kind, name) or {})


def requests(manifests: Manifests) -> dict[str, str]:
    found: dict[str, str] = container(deployment(manifests, "scoring"))["resources"]["requests"]
    return found


Planted = tuple[str, Callable[[Manifests], object], str]
MISTAKES: tuple[Planted, ...] = (
    (
        "a typo in a field",
        lambda m: spec(m, "Deployment", "gateway").update(replica=3),
        "Additional properties are not allowed ('replica' was unexpected)",
    ),
    (
        "a wrong type",
        lambda m: spec(m, "Deployment", "gateway").update(replicas="two"),
        "'two' is not of type 'integer'",
    ),
    (
        "a kind that no schema knows",
        lambda m: m.objects.append({**m.objects[1], "kind": "Deploymint"}),
        "Couldn't find schema for kind Deploymint",
    ),
    (
        "an object twice",
        lambda m: m.objects.append(m.objects[-1]),
        "defined twice",
    ),
    (
        "pods on one node",
        lambda m: pod(deployment(m, "touchpoint")).pop("topologySpreadConstraints"),
        "Deployment touchpoint: not spread over zones and nodes",
    ),
    (
        "a rollout that stops all pods first",
        lambda m: spec(m, "Deployment", "scoring").update(strategy={"type": "Recreate"}),
        "Deployment scoring: strategy is not",
    ),
    (
        "a Service that selects nobody",
        lambda m: spec(m, "Service", "gateway")["selector"].update({"app.kubernetes.io/name": "x"}),
        "Service gateway: selects no pod",
    ),
    (
        "a Deployment that selects another's pods",
        lambda m: spec(m, "Deployment", "scoring")["selector"]["matchLabels"].update(
            {"app.kubernetes.io/name": "gateway"}
        ),
        "Deployment scoring: selects the pods of ['gateway']",
    ),
    (
        "a port that nobody listens on",
        lambda m: configured(m, "touchpoint").update(TOUCHLEDGER_TOUCHPOINT_LISTEN="0.0.0.0:1"),
        "Deployment touchpoint: listens on",
    ),
    (
        "a targetPort that does not exist",
        lambda m: spec(m, "Service", "gateway")["ports"][0].update(targetPort="grcp"),
        "Services lead to ['grcp', 'http']",
    ),
    (
        "no disruption budget",
        lambda m: remove(m, "PodDisruptionBudget", "gateway"),
        "Deployment gateway: want one PodDisruptionBudget",
    ),
    (
        "no account",
        lambda m: remove(m, "ServiceAccount", "scoring"),
        "Deployment scoring: no ServiceAccount scoring",
    ),
    (
        "no settings",
        lambda m: remove(m, "ConfigMap", "scoring-settings"),
        "Deployment scoring: no ConfigMap scoring-settings",
    ),
    (
        "a Secret that nobody makes",
        lambda m: pod(deployment(m, "gateway"))["volumes"][0]["secret"].update(secretName="x"),
        "README makes no Secret x",
    ),
    (
        "a mount without a volume",
        lambda m: pod(deployment(m, "gateway"))["volumes"].pop(0),
        "Deployment gateway: mounts",
    ),
    (
        "a Secret with data",
        lambda m: m.objects.append(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "eA=="}}
        ),
        "Secret x: belongs into the cluster alone",
    ),
    (
        "whatever image is the latest",
        lambda m: container(deployment(m, "gateway")).update(image="touchledger:latest"),
        "image touchledger:latest is not of the labelled version",
    ),
    (
        "a root file system that can be written",
        lambda m: container(deployment(m, "gateway"))["securityContext"].update(
            readOnlyRootFilesystem=False
        ),
        "securityContext of the container",
    ),
    (
        "root",
        lambda m: pod(deployment(m, "gateway"))["securityContext"].update(runAsUser=0),
        "securityContext of the pod",
    ),
    (
        "a token in the pod",
        lambda m: pod(deployment(m, "gateway")).pop("automountServiceAccountToken"),
        "automountServiceAccountToken is not false",
    ),
    (
        "no readiness",
        lambda m: container(deployment(m, "scoring")).pop("readinessProbe"),
        "Deployment scoring: no readinessProbe",
    ),
    (
        "liveness that hangs on the database",
        lambda m: container(deployment(m, "scoring"))["livenessProbe"]["grpc"].update(service=""),
        'livenessProbe asks not for "liveness"',
    ),
    (
        "a quantity that only looks like one",
        lambda m: requests(m).update(memory="256MiB"),
        "256MiB is no quantity",
    ),
    (
        "a kill before the end of the drain",
        lambda m: pod(deployment(m, "gateway")).update(terminationGracePeriodSeconds=20),
        "Deployment gateway: killed before",
    ),
    (
        "a variable that no setting reads",
        lambda m: configured(m, "gateway").update(TOUCHLEDGER_GATEWAY_DRAIN_SECOND="5"),
        "Deployment gateway: no setting TOUCHLEDGER_GATEWAY_DRAIN_SECOND",
    ),
    (
        "a value that does not parse",
        lambda m: configured(m, "gateway").update(TOUCHLEDGER_GATEWAY_LISTEN="50051"),
        "TOUCHLEDGER_GATEWAY_LISTEN: Value error, want HOST:PORT",
    ),
    (
        "no database",
        lambda m: configured(m, "gateway").pop("TOUCHLEDGER_SECRETS_DIR"),
        "TOUCHLEDGER_GATEWAY_DATABASE_URL: Field required",
    ),
    (
        "a file that no Secret has",
        lambda m: configured(m, "gateway").update(
            TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE="/etc/touchledger/keys/secret"
        ),
        "TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE=/etc/touchledger/keys/secret is in no Secret",
    ),
    (
        "callers without a certificate",
        lambda m: configured(m, "scoring").pop("TOUCHLEDGER_SCORING_TLS_CLIENT_CA_FILE"),
        "Deployment scoring: want certificates of all callers",
    ),
    (
        "a target that is no Service",
        lambda m: configured(m, "scoring").update(
            TOUCHLEDGER_SCORING_JOURNAL_TARGET="dns:///touchpoint:50052"
        ),
        "TOUCHLEDGER_SCORING_JOURNAL_TARGET=dns:///touchpoint:50052 is no headless Service",
    ),
    (
        "an edge that is closed",
        lambda m: spec(m, "NetworkPolicy", "touchpoint")["ingress"][0]["from"].pop(),
        "NetworkPolicy touchpoint: lets in [('gateway', 50052)]",
    ),
    (
        "an edge that is open",
        lambda m: spec(m, "NetworkPolicy", "touchpoint")["ingress"][0].pop("from"),
        "NetworkPolicy touchpoint: lets in [('*', 50052)]",
    ),
)


@pytest.mark.parametrize(
    ("mistake", "told"), [each[1:] for each in MISTAKES], ids=[each[0] for each in MISTAKES]
)
def test_a_planted_mistake_is_told(mistake: Callable[[Manifests], object], told: str) -> None:
    right = plain().objects
    manifests = Manifests(copy.deepcopy(right), secrets_of_the_readme())
    mistake(manifests)
    changed = [each for each in manifests.objects if each not in right]
    # The other rules rely on shapes that the schemas secure.
    problems = list(fits_the_schemas(Manifests(changed, {}))) or [
        problem for rule in RULES if rule is not fits_the_schemas for problem in rule(manifests)
    ]
    assert any(told in problem for problem in problems), problems
