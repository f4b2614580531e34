"""What deploy/k8s renders to, and how its objects refer to each other. The rules are beside this file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

ROOT = Path(__file__).parent.parent.parent.parent
K8S = ROOT / "deploy" / "k8s"
RENDERED = K8S / "rendered"
# What can be applied as it is, by the name of its file in rendered/.
TARGETS = {
    "base": K8S / "base",
    "single-node": K8S / "overlays" / "single-node",
    "production": K8S / "overlays" / "production",
    "production-jetstream": K8S / "overlays" / "production-jetstream",
    "restore": K8S / "restore",
    "mend": K8S / "mend",
}
# They stand beside a system, and what they refer to is there.
BESIDE = ("restore", "mend")
WORKLOADS = ("Deployment", "StatefulSet", "Job")
POSTGRES = {"cnpg.io/cluster": "postgres"}
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|[kMGTPE]|[KMGTPE]i)?", re.ASCII)
SUFFIXES = {
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** n for n, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{suffix: Decimal(1024) ** n for n, suffix in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}
SECRETS_ROW = re.compile(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)


@dataclass(frozen=True)
class Manifests:
    """One render. Names of generated ConfigMaps end in a hash."""

    target: str
    objects: list[Object]
    # Those that the README's table names, with their files.
    secrets: Mapping[str, frozenset[str]]

    def of(self, *kinds: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object | None:
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    def services(self) -> list[Object]:
        """Our own Deployments."""
        return self.of("Deployment")

    def workloads(self) -> list[Object]:
        return self.of(*WORKLOADS)

    def selected(self, selector: Mapping[str, Any]) -> list[str]:
        """The workloads whose pods a selector means, "postgres" for the operator's pods."""
        found = [name(each) for each in self.workloads() if matches(selector, pod_labels(each))]
        return found + ["postgres"] * (self.cluster() is not None and matches(selector, POSTGRES))

    def cluster(self) -> Object | None:
        return self.named("Cluster", "postgres")

    def environment(self, workload: Object) -> dict[str, str]:
        """What the container's process finds in its environment, as far as the manifests say it."""
        found: dict[str, str] = {}
        for source in container(workload).get("envFrom", ()):
            config = self.named("ConfigMap", source["configMapRef"]["name"])
            found |= config["data"] if config else {}
        listed = container(workload).get("env", ())
        return found | {each["name"]: each["value"] for each in listed if "value" in each}

    def configured(self, service: str) -> dict[str, str]:
        """The settings of a service, as its ConfigMap has them."""
        (found,) = (m for m in self.of("ConfigMap") if name(m).startswith(f"{service}-settings"))
        data: dict[str, str] = found["data"]
        return data

    def mounted(self, workload: Object) -> dict[str, str]:
        """Paths of the Secrets' files in the container, and the Secret that each is from."""
        files: dict[str, list[tuple[str, str]]] = {}
        for volume in pod(workload).get("volumes", ()):
            files[volume["name"]] = [
                (path, secret)
                for secret, items in _secrets_of(volume)
                for path in items or sorted(self.secrets.get(secret, frozenset()))
            ]
        return {
            f"{mount['mountPath']}/{path}": secret
            for mount in container(workload).get("volumeMounts", ())
            for path, secret in files.get(mount["name"], ())
        }

    def wanted_secrets(self) -> Iterator[tuple[str, str, frozenset[str]]]:
        """Who wants which Secret with which files; none where it takes what there is."""
        for one in self.workloads():
            for volume in pod(one).get("volumes", ()):
                for secret, items in _secrets_of(volume):
                    yield name(one), secret, frozenset(items)
        for one in self.of("Cluster"):
            spec = one["spec"]
            for bootstrap in spec["bootstrap"].values():
                if "secret" in bootstrap:
                    yield (
                        name(one),
                        bootstrap["secret"]["name"],
                        frozenset({"username", "password"}),
                    )
            for role in spec.get("managed", {}).get("roles", ()):
                password = role["passwordSecret"]["name"]
                yield name(one), password, frozenset({"username", "password"})
        for one in self.of("ObjectStore"):
            for each in one["spec"]["configuration"]["s3Credentials"].values():
                yield name(one), each["name"], frozenset({each["key"]})
        for one in self.of("TriggerAuthentication"):
            for each in one["spec"]["secretTargetRef"]:
                yield name(one), each["name"], frozenset({each["key"]})
        pair = frozenset({"tls.crt", "tls.key"})
        for one in self.of("Issuer"):
            if "ca" in one["spec"]:
                yield name(one), one["spec"]["ca"]["secretName"], pair
        for one in self.of("Gateway"):
            for listener in one["spec"]["listeners"]:
                for each in listener["tls"]["certificateRefs"]:
                    yield name(one), each["name"], pair


@cache
def rendered(target: str) -> Manifests:
    """The committed render; test_k8s.py holds that it is fresh. Whoever changes it takes a copy."""
    objects = objects_of((RENDERED / f"{target}.yaml").read_text())
    return Manifests(target, objects, secrets_of_the_readme())


def objects_of(text: str) -> list[Object]:
    # By the C library: Python's own reading of all renders takes half a minute.
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def secrets_of_the_readme() -> dict[str, frozenset[str]]:
    """By name, the files of the Secrets in its table."""
    rows = SECRETS_ROW.findall((K8S / "README.md").read_text())
    return {secret: frozenset(re.findall(r"`([^`]+)`", files)) for secret, files in rows}


def name(one: Object) -> str:
    found: str = one["metadata"]["name"]
    return found


def service_of(workload: Object) -> str:
    """touchpoint, for its Deployment and for the Job that migrates its database."""
    return name(workload).partition("-")[0]


def pod(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Object) -> Object:
    """The only one: a second container would need rules of its own."""
    (only,) = pod(workload)["containers"]
    assert isinstance(only, dict)
    return only


def pod_labels(workload: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """As Kubernetes does: a selector that says nothing means everything."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", ())
    )


def quantity(text: object) -> Decimal | None:
    """The schema takes any string for one, "256MiB" as well."""
    match = QUANTITY.fullmatch(str(text))
    return Decimal(match[1]) * SUFFIXES.get(match[2] or "", Decimal(1)) if match else None


def _secrets_of(volume: Object) -> Iterator[tuple[str, list[str]]]:
    """A volume's Secrets with the files that it takes of each; none are all."""
    sources = [volume, *volume.get("projected", {}).get("sources", ())]
    for secret in (each["secret"] for each in sources if "secret" in each):
        items = [each["path"] for each in secret.get("items", ())]
        yield secret.get("secretName") or secret.get("name"), items
