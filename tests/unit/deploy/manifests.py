"""The rules that deploy/k8s/base keeps beyond what a schema can say, each a generator of problems.

A rule sees the objects of a render, from kubectl or from the plain files alike, and says in a sentence
what is wrong with which object.
"""

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from unittest import mock

import kubernetes_validate

from services.chassis.settings import ServiceSettings, is_loopback, load
from services.gateway.settings import Settings as GatewaySettings
from services.scoring.settings import Settings as ScoringSettings
from services.touchpoint.settings import Settings as TouchpointSettings

Object = dict[str, Any]

# The oldest and the newest Kubernetes that the manifests are for.
VERSIONS = ("1.33", "1.37")
SETTINGS: dict[str, type[ServiceSettings]] = {
    "touchpoint": TouchpointSettings,
    "scoring": ScoringSettings,
    "gateway": GatewaySettings,
}
# Its callers show API keys; those of the others have nothing but their certificates.
PUBLIC = "gateway"
POSTGRES_PORT = 5432
USER = 65532
SECRETS_DIR = "TOUCHLEDGER_SECRETS_DIR"
# What closing connections and sending the last spans may take after drain and grace.
STOP_SLACK_SECONDS = 10
LABELS = ("name", "component", "part-of", "version", "managed-by")
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|[kMGTPE]|[KMGTPE]i)?", re.ASCII)
SUFFIXES = {
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** n for n, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{suffix: Decimal(1024) ** n for n, suffix in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}


@dataclass(frozen=True)
class Manifests:
    objects: list[Object]
    # Secrets that the README has the operator make, with their files.
    secrets: Mapping[str, frozenset[str]]

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def named(self, kind: str, name: str) -> Object | None:
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    def selected(self, selector: Mapping[str, str]) -> list[str]:
        """The Deployments whose pods have these labels."""
        return [name(each) for each in self.of("Deployment") if _matches(selector, _labels(each))]

    def environment(self, deployment: Object) -> dict[str, str]:
        """What the container's process finds in its environment."""
        found: dict[str, str] = {}
        for source in container(deployment).get("envFrom", ()):
            config = self.named("ConfigMap", source["configMapRef"]["name"])
            found |= config["data"] if config else {}
        return found | {
            each["name"]: each["value"] for each in container(deployment).get("env", ())
        }


def name(one: Object) -> str:
    found: str = one["metadata"]["name"]
    return found


def pod(deployment: Object) -> Object:
    spec: Object = deployment["spec"]["template"]["spec"]
    return spec


def container(deployment: Object) -> Object:
    """The only one: a second container would need rules of its own."""
    (only,) = pod(deployment)["containers"]
    assert isinstance(only, dict)
    return only


def _labels(deployment: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return labels


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def fits_the_schemas(manifests: Manifests) -> Iterator[str]:
    for one in manifests.objects:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(map(str, error.path))
                yield f"{one['kind']} {name(one)} for {version}: {where}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError as error:
                # The command line only warns of these, and then lets the object pass unread.
                yield f"{one['kind']} {name(one)} for {version}: {error.message}"


def names_are_unique_and_labelled(manifests: Manifests) -> Iterator[str]:
    seen = set[tuple[str, str]]()
    for one in manifests.objects:
        key = one["kind"], name(one)
        if key in seen:
            yield f"{one['kind']} {name(one)}: defined twice"
        seen.add(key)
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name(one)):
            yield f"{one['kind']} {name(one)}: not a name by RFC 1123"
        if one["kind"] == "Deployment":
            missing = {f"app.kubernetes.io/{each}" for each in LABELS} - _labels(one).keys()
            if missing:
                yield f"Deployment {name(one)}: pods without the labels {sorted(missing)}"


def selectors_match(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment"):
        selector = one["spec"]["selector"]["matchLabels"]
        if manifests.selected(selector) != [name(one)]:
            yield f"Deployment {name(one)}: selects the pods of {manifests.selected(selector)}"
        if {"app.kubernetes.io/version"} & selector.keys():
            yield f"Deployment {name(one)}: selects by version, which no upgrade could change"
        spread = pod(one).get("topologySpreadConstraints", [])
        if {each["topologyKey"] for each in spread} != {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }:
            yield f"Deployment {name(one)}: not spread over zones and nodes"
        for each in spread:
            if each["labelSelector"]["matchLabels"] != selector:
                yield f"Deployment {name(one)}: spread counts other pods"
            if each.get("matchLabelKeys") != ["pod-template-hash"]:
                yield f"Deployment {name(one)}: spread counts the pods of other releases"
    for one in manifests.of("Service"):
        if len(manifests.selected(one["spec"]["selector"])) != 1:
            yield f"Service {name(one)}: selects no pod, or those of two Deployments"
    for one in manifests.of("Deployment"):
        for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
            selectors = [each["spec"][field].get("matchLabels") for each in manifests.of(kind)]
            if selectors.count(one["spec"]["selector"]["matchLabels"]) != 1:
                yield f"Deployment {name(one)}: want one {kind} that selects it"


def ports_agree(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment"):
        ports = {each["name"]: each["containerPort"] for each in container(one)["ports"]}
        if len(set(ports.values())) != len(container(one)["ports"]):
            yield f"Deployment {name(one)}: two ports with one name or number"
        prefix = SETTINGS[name(one)].model_config["env_prefix"]
        listened = {
            variable: int(address.rpartition(":")[2])
            for variable, address in manifests.environment(one).items()
            if variable.startswith(prefix) and variable.endswith("LISTEN")
        }
        if sorted(listened.values()) != sorted(ports.values()):
            yield f"Deployment {name(one)}: listens on {listened}, has ports {ports}"
        services = [
            each
            for each in manifests.of("Service")
            if name(one) in manifests.selected(each["spec"]["selector"])
        ]
        served = {each["targetPort"] for service in services for each in service["spec"]["ports"]}
        if served != ports.keys() - {"health"}:
            yield f"Deployment {name(one)}: serves {sorted(ports)}, Services lead to {sorted(served)}"
        for service in services:
            for each in service["spec"]["ports"]:
                # A headless Service can't translate: its callers go straight to the pod's port.
                if ports.get(each["targetPort"]) != each["port"]:
                    yield f"Service {name(service)}: port {each['port']} is another in the pod"
                if each.get("appProtocol") != "https":
                    yield f"Service {name(service)}: port {each['name']} speaks TLS and says it not"


def references_exist(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment"):
        if not manifests.named("ServiceAccount", pod(one).get("serviceAccountName", "default")):
            yield f"Deployment {name(one)}: no ServiceAccount {pod(one).get('serviceAccountName')}"
        for source in container(one).get("envFrom", ()):
            if not manifests.named("ConfigMap", source["configMapRef"]["name"]):
                yield f"Deployment {name(one)}: no ConfigMap {source['configMapRef']['name']}"
        volumes = {each["name"]: each for each in pod(one).get("volumes", ())}
        mounts = [each["name"] for each in container(one).get("volumeMounts", ())]
        if sorted(mounts) != sorted(volumes):
            yield f"Deployment {name(one)}: mounts {sorted(mounts)} of the volumes {sorted(volumes)}"
        for volume in volumes.values():
            match volume:
                case {"secret": secret}:
                    if secret["secretName"] not in manifests.secrets:
                        yield f"Deployment {name(one)}: README makes no Secret {secret['secretName']}"
                    if secret.get("defaultMode") != 0o440:
                        yield f"Deployment {name(one)}: {volume['name']} is open to more than its group"
                case {"emptyDir": {"sizeLimit": limit}}:
                    if quantity(limit) is None:
                        yield f"Deployment {name(one)}: sizeLimit {limit} is no quantity"
                case _:
                    yield f"Deployment {name(one)}: volume {volume['name']} is neither Secret nor bounded"
    used = {
        volume["secret"]["secretName"]
        for one in manifests.of("Deployment")
        for volume in pod(one).get("volumes", ())
        if "secret" in volume
    }
    for unused in sorted(manifests.secrets.keys() - used):
        yield f"README makes Secret {unused}, which no pod mounts"


def git_holds_no_secret(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Secret"):
        yield f"Secret {name(one)}: belongs into the cluster alone"


def images_are_of_one_release(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment"):
        image, _, tag = container(one)["image"].rpartition(":")
        if not image or tag != _labels(one).get("app.kubernetes.io/version"):
            yield f"Deployment {name(one)}: image {container(one)['image']} is not of the labelled version"
        if "/" in image:
            yield f"Deployment {name(one)}: image {image} names somebody's registry"
        if container(one).get("imagePullPolicy") != "IfNotPresent":
            yield f"Deployment {name(one)}: imagePullPolicy is not IfNotPresent"
        if container(one).get("command") != ["python", "-m", f"services.{name(one)}"]:
            yield f"Deployment {name(one)}: runs {container(one).get('command')}"


def pods_are_restricted(manifests: Manifests) -> Iterator[str]:
    """The restricted profile, field by field, and what goes beyond it."""
    for namespace in manifests.of("Namespace"):
        if (
            namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce")
            != "restricted"
        ):
            yield f"Namespace {name(namespace)}: doesn't enforce the restricted profile"
    for one in manifests.of("ServiceAccount"):
        if one.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {name(one)}: mounts its token"
    for one in manifests.of("Deployment"):
        spec, main = pod(one), container(one)
        wanted: Object = {"runAsNonRoot": True} | dict.fromkeys(
            ("runAsUser", "runAsGroup", "fsGroup"), USER
        )
        wanted |= {"seccompProfile": {"type": "RuntimeDefault"}}
        if spec.get("securityContext") != wanted:
            yield f"Deployment {name(one)}: securityContext of the pod is not {wanted}"
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
        wanted |= {"capabilities": {"drop": ["ALL"]}}
        if main.get("securityContext") != wanted:
            yield f"Deployment {name(one)}: securityContext of the container is not {wanted}"
        for field in ("automountServiceAccountToken", "enableServiceLinks"):
            if spec.get(field) is not False:
                yield f"Deployment {name(one)}: {field} is not false"
        forbidden = {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"}
        for field in sorted(forbidden & spec.keys()):
            yield f"Deployment {name(one)}: {field} is not allowed"
        if any("hostPort" in port for port in main["ports"]):
            yield f"Deployment {name(one)}: hostPort is not allowed"
        writable = {each["name"] for each in main["volumeMounts"] if not each.get("readOnly")}
        if writable != {"tmp"}:
            yield f"Deployment {name(one)}: may write to {sorted(writable)}"


def probes_ask_the_health_port(manifests: Manifests) -> Iterator[str]:
    wanted = {"startupProbe": "liveness", "readinessProbe": "", "livenessProbe": "liveness"}
    for one in manifests.of("Deployment"):
        ports = {each["name"]: each["containerPort"] for each in container(one)["ports"]}
        for field, service in wanted.items():
            probe = container(one).get(field)
            if probe is None:
                yield f"Deployment {name(one)}: no {field}"
            elif {"httpGet", "tcpSocket", "exec"} & probe.keys() or "grpc" not in probe:
                yield f"Deployment {name(one)}: {field} is not of gRPC alone"
            elif probe["grpc"] != {"port": ports["health"], "service": service}:
                yield f'Deployment {name(one)}: {field} asks not for "{service}" on the health port'


def resources_are_bounded(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment"):
        resources = container(one).get("resources", {})
        requests, limits = resources.get("requests", {}), resources.get("limits", {})
        for amount in (*requests.values(), *limits.values()):
            if quantity(amount) is None:
                yield f"Deployment {name(one)}: {amount} is no quantity"
        if not requests.get("memory") or requests["memory"] != limits.get("memory"):
            yield f"Deployment {name(one)}: memory requested is not its limit"
        if "cpu" not in requests or "cpu" in limits:
            yield f"Deployment {name(one)}: want a request of cpu and no limit"


def quantity(text: object) -> Decimal | None:
    """The schema takes any string for one, "256MiB" as well."""
    match = QUANTITY.fullmatch(str(text))
    return Decimal(match[1]) * SUFFIXES.get(match[2] or "", Decimal(1)) if match else None


def rollouts_lose_nothing(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment"):
        spec, settings = one["spec"], settings_of(manifests, one)
        if isinstance(settings, str):
            continue  # the rule about settings tells
        stop = settings.drain_seconds + settings.stop_grace_seconds + STOP_SLACK_SECONDS
        if pod(one).get("terminationGracePeriodSeconds", 30) < stop:
            yield f"Deployment {name(one)}: killed before the {stop} s that stopping may take"
        if settings.drain_seconds < 5:
            yield f"Deployment {name(one)}: stops serving before the endpoints have changed"
        if spec.get("replicas", 1) < 2 or not spec.get("minReadySeconds"):
            yield f"Deployment {name(one)}: want two replicas, and time to see a new one fail"
        budget = manifests.named("PodDisruptionBudget", name(one))
        if budget and budget["spec"].get("maxUnavailable") != 1:
            yield f"PodDisruptionBudget {name(one)}: want one pod at a time"
        want = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        if spec.get("strategy") != want:
            yield f"Deployment {name(one)}: strategy is not {want}"
        probe = container(one).get("startupProbe", {})
        startup = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        if not settings.database_wait_seconds < startup < spec.get("progressDeadlineSeconds", 600):
            yield f"Deployment {name(one)}: {startup} s to start fit not between wait and deadline"


def settings_are_understood(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment"):
        kind = SETTINGS[name(one)]
        prefix = str(kind.model_config["env_prefix"])
        known = {f"{prefix}{field}".upper() for field in kind.model_fields} | {SECRETS_DIR}
        environment = manifests.environment(one)
        for variable in sorted(environment.keys() - known):
            yield f"Deployment {name(one)}: no setting {variable}"
        files = _mounted(manifests, one)
        for variable, value in environment.items():
            if variable.endswith("_FILE") and value not in files:
                yield f"Deployment {name(one)}: {variable}={value} is in no Secret"
        settings = settings_of(manifests, one)
        if isinstance(settings, str):
            yield f"Deployment {name(one)}: {settings}"
            continue
        for field in ("listen", "health_listen", *(("http_listen",) * (name(one) == PUBLIC))):
            if is_loopback(getattr(settings, field) or "localhost:0"):
                yield f"Deployment {name(one)}: {field} can't be reached from outside the pod"
        if not (settings.tls_cert_file and settings.tls_key_file):
            yield f"Deployment {name(one)}: listens without a certificate"
        if (settings.tls_client_ca_file is None) != (name(one) == PUBLIC):
            yield f"Deployment {name(one)}: want certificates of all callers but publishers"


def settings_of(manifests: Manifests, deployment: Object) -> ServiceSettings | str:
    """The settings as the process would read them in the pod, or what it would say."""
    environment = manifests.environment(deployment)
    with tempfile.TemporaryDirectory() as folder:
        for path in _mounted(manifests, deployment):
            if PurePosixPath(path).parent == PurePosixPath(environment.get(SECRETS_DIR, "")):
                (Path(folder) / PurePosixPath(path).name).write_text("postgresql://u:p@h/d\n")
        said = io.StringIO()
        with (
            mock.patch.dict(os.environ, {**environment, SECRETS_DIR: folder}, clear=True),
            contextlib.redirect_stderr(said),
        ):
            try:
                return load(SETTINGS[name(deployment)])
            except SystemExit:
                return said.getvalue().strip()


def _mounted(manifests: Manifests, deployment: Object) -> set[str]:
    """Paths of the Secrets' files in the container."""
    secrets = {
        each["name"]: manifests.secrets.get(each["secret"]["secretName"], frozenset())
        for each in pod(deployment).get("volumes", ())
        if "secret" in each
    }
    return {
        f"{mount['mountPath']}/{file}"
        for mount in container(deployment).get("volumeMounts", ())
        for file in secrets.get(mount["name"], ())
    }


def network_has_the_edges_and_no_more(manifests: Manifests) -> Iterator[str]:
    """Who calls whom is what the targets in the settings say."""
    policies = {name(each): each["spec"] for each in manifests.of("NetworkPolicy")}
    if policies.get("default-deny") != {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}:
        yield "NetworkPolicy default-deny: doesn't deny everything"
    dns = policies.get("dns", {})
    ports = {
        (each["protocol"], each["port"]) for to in dns.get("egress", ()) for each in to["ports"]
    }
    if dns.get("podSelector") != {} or ports != {("UDP", 53), ("TCP", 53)}:
        yield "NetworkPolicy dns: want port 53 by UDP and TCP for every pod"
    calls = set[tuple[str, str, int]]()
    for one in manifests.of("Deployment"):
        for variable, value in manifests.environment(one).items():
            if not variable.endswith("_TARGET"):
                continue
            match = re.fullmatch(r"dns:///([a-z-]+):(\d+)", value)
            service = manifests.named("Service", match[1]) if match else None
            if not match or not service or service["spec"].get("clusterIP") != "None":
                yield f"Deployment {name(one)}: {variable}={value} is no headless Service"
                continue
            (called,) = manifests.selected(service["spec"]["selector"]) or ("nobody",)
            if int(match[2]) not in {each["port"] for each in service["spec"]["ports"]}:
                yield f"Deployment {name(one)}: {variable}={value} is no port of {name(service)}"
            calls.add((name(one), called, int(match[2])))
    if len(calls) != 3:
        yield f"want gateway to touchpoint, gateway to scoring, scoring to touchpoint: got {calls}"
    for one in manifests.of("Deployment"):
        policy = policies.get(name(one), {})
        came = _allowed(manifests, policy.get("ingress", ()), "from")
        want = {(caller, port) for caller, called, port in calls if called == name(one)}
        if name(one) == PUBLIC:
            services = [each for each in manifests.of("Service") if name(each) == PUBLIC]
            want |= {("*", port["port"]) for each in services for port in each["spec"]["ports"]}
        if came != want:
            yield f"NetworkPolicy {name(one)}: lets in {sorted(came)}, want {sorted(want)}"
        gone = _allowed(manifests, policy.get("egress", ()), "to")
        want = {(called, port) for caller, called, port in calls if caller == name(one)}
        want |= {("*", POSTGRES_PORT)}
        if gone != want:
            yield f"NetworkPolicy {name(one)}: lets out {sorted(gone)}, want {sorted(want)}"


def _allowed(manifests: Manifests, rules: Any, side: str) -> set[tuple[str, int]]:
    """Pairs of a Deployment, or "*" for anybody, and a port."""
    return {
        (peer, port["port"])
        for rule in rules
        for port in rule["ports"]
        for peer in (
            [
                peer
                for each in rule[side]
                for peer in manifests.selected(each["podSelector"]["matchLabels"])
            ]
            if side in rule
            else ["*"]
        )
    }


RULES: tuple[Callable[[Manifests], Iterator[str]], ...] = (
    fits_the_schemas,
    names_are_unique_and_labelled,
    selectors_match,
    ports_agree,
    references_exist,
    git_holds_no_secret,
    images_are_of_one_release,
    pods_are_restricted,
    probes_ask_the_health_port,
    resources_are_bounded,
    rollouts_lose_nothing,
    settings_are_understood,
    network_has_the_edges_and_no_more,
)
