"""Rules on pods and what makes them: generators of sentences that say what is wrong with which object."""

import re
from collections.abc import Iterator
from importlib.util import find_spec

from services.chassis.settings import ServiceSettings
from tests.unit.deploy.manifests import (
    Manifests,
    Object,
    container,
    name,
    pod,
    pod_labels,
    quantity,
)
from tests.unit.deploy.settings_rules import settings_of

USER = 65532
# What closing connections and sending the last spans may take after drain and grace.
STOP_SLACK_SECONDS = 10
DRAIN_SECONDS_MIN = 5
LABELS = ("name", "component", "part-of", "version", "managed-by")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
DIGEST = re.compile(r"[a-z0-9./-]+@sha256:[0-9a-f]{64}")
PROBES = {"startupProbe": "liveness", "readinessProbe": "", "livenessProbe": "liveness"}
HANDLERS = {"grpc", "httpGet", "tcpSocket", "exec"}


def names_are_unique_and_labelled(manifests: Manifests) -> Iterator[str]:
    seen = set[tuple[str, str]]()
    for one in manifests.objects:
        key = one["kind"], name(one)
        if key in seen:
            yield f"{one['kind']} {name(one)}: defined twice"
        seen.add(key)
        if not NAME.fullmatch(name(one)):
            yield f"{one['kind']} {name(one)}: not a name by RFC 1123"
        if one["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "touchledger":
            yield f"{one['kind']} {name(one)}: not labelled as part of touchledger"
        clusterwide = one["kind"] in ("Namespace", "PriorityClass")
        if one["metadata"].get("namespace") != (None if clusterwide else "touchledger"):
            yield f"{one['kind']} {name(one)}: in namespace {one['metadata'].get('namespace')}"
    for one in manifests.services():
        missing = {f"app.kubernetes.io/{each}" for each in LABELS} - pod_labels(one).keys()
        if missing:
            yield f"Deployment {name(one)}: pods without the labels {sorted(missing)}"


def selectors_match(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment", "StatefulSet"):
        selector = one["spec"]["selector"]
        if manifests.selected(selector) != [name(one)]:
            yield f"{one['kind']} {name(one)}: selects the pods of {manifests.selected(selector)}"
        if {"app.kubernetes.io/version"} & selector["matchLabels"].keys():
            yield f"{one['kind']} {name(one)}: selects by version, which no upgrade could change"
        spread = pod(one).get("topologySpreadConstraints", [])
        zones = {each["topologyKey"] for each in spread}
        apart = pod(one).get("affinity", {}).get("podAntiAffinity", {})
        if "requiredDuringSchedulingIgnoredDuringExecution" in apart:
            zones.add("kubernetes.io/hostname")
        if zones != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{one['kind']} {name(one)}: not spread over zones and nodes"
        for each in spread:
            if each["labelSelector"] != selector:
                yield f"{one['kind']} {name(one)}: spread counts other pods"
            if one["kind"] == "Deployment" and each.get("matchLabelKeys") != ["pod-template-hash"]:
                yield f"Deployment {name(one)}: spread counts the pods of other releases"
        budgets = [each["spec"]["selector"] for each in manifests.of("PodDisruptionBudget")]
        if budgets.count(selector) != 1:
            yield f"{one['kind']} {name(one)}: want one PodDisruptionBudget that selects it"
    for one in manifests.of("Service"):
        if len(manifests.selected({"matchLabels": one["spec"]["selector"]})) != 1:
            yield f"Service {name(one)}: selects no pod, or those of two workloads"


def ports_agree(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment", "StatefulSet"):
        ports = {each["name"]: each["containerPort"] for each in container(one)["ports"]}
        if len(set(ports.values())) != len(container(one)["ports"]):
            yield f"{one['kind']} {name(one)}: two ports with one name or number"
        services = [
            each
            for each in manifests.of("Service")
            if name(one) in manifests.selected({"matchLabels": each["spec"]["selector"]})
        ]
        served = {each["targetPort"] for service in services for each in service["spec"]["ports"]}
        if served != ports.keys() - {"health", "metrics"}:
            yield f"{one['kind']} {name(one)}: has ports {sorted(ports)}, Services lead to {sorted(served)}"
        for service in services:
            for each in service["spec"]["ports"]:
                # A headless Service can't translate: its callers go straight to the pod's port.
                if ports.get(each["targetPort"]) != each["port"]:
                    yield f"Service {name(service)}: port {each['port']} is another in the pod"
    for one in manifests.services():
        environment = manifests.environment(one)
        listened = {v: a for v, a in environment.items() if v.endswith("LISTEN")}
        numbers = sorted(int(address.rpartition(":")[2]) for address in listened.values())
        ports = {each["name"]: each["containerPort"] for each in container(one)["ports"]}
        if numbers != sorted(ports.values()):
            yield f"Deployment {name(one)}: listens on {listened}, has ports {ports}"
        for service in manifests.of("Service"):
            if name(one) in manifests.selected({"matchLabels": service["spec"]["selector"]}):
                for each in service["spec"]["ports"]:
                    if each.get("appProtocol") != "https":
                        yield f"Service {name(service)}: port {each['name']} speaks TLS and says it not"


def references_exist(manifests: Manifests) -> Iterator[str]:
    for one in manifests.workloads():
        what = f"{one['kind']} {name(one)}"
        if not manifests.named("ServiceAccount", pod(one).get("serviceAccountName", "default")):
            yield f"{what}: no ServiceAccount {pod(one).get('serviceAccountName')}"
        for source in container(one).get("envFrom", ()):
            if not manifests.named("ConfigMap", source["configMapRef"]["name"]):
                yield f"{what}: no ConfigMap {source['configMapRef']['name']}"
        volumes = {each["name"]: each for each in pod(one).get("volumes", ())}
        claimed = {each["metadata"]["name"] for each in one["spec"].get("volumeClaimTemplates", ())}
        mounts = [each["name"] for each in container(one).get("volumeMounts", ())]
        if sorted(mounts) != sorted(volumes.keys() | claimed):
            yield f"{what}: mounts {sorted(mounts)} of the volumes {sorted(volumes.keys() | claimed)}"
        for volume in volumes.values():
            match volume:
                case {"secret": holder} | {"projected": holder}:
                    if holder.get("defaultMode") != 0o440:
                        yield f"{what}: {volume['name']} is open to more than its group"
                case {"emptyDir": {"sizeLimit": limit}}:
                    if quantity(limit) is None:
                        yield f"{what}: sizeLimit {limit} is no quantity"
                case {"configMap": {"name": config}}:
                    if not manifests.named("ConfigMap", config):
                        yield f"{what}: no ConfigMap {config}"
                case _:
                    yield f"{what}: volume {volume['name']} is neither Secret nor bounded"
        priority = pod(one).get("priorityClassName")
        if priority and not manifests.named("PriorityClass", priority):
            yield f"{what}: no PriorityClass {priority}"
    for who, secret, files in manifests.wanted_secrets():
        if secret not in manifests.secrets:
            yield f"{who}: README has no Secret {secret}"
        elif not files <= manifests.secrets[secret]:
            yield f"{who}: README's Secret {secret} has no {sorted(files - manifests.secrets[secret])}"


def git_holds_no_secret(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Secret"):
        yield f"Secret {name(one)}: belongs into the cluster alone"


def images_are_of_one_release(manifests: Manifests) -> Iterator[str]:
    for one in manifests.workloads():
        what, image = f"{one['kind']} {name(one)}", container(one)["image"]
        if manifests.target.startswith("production"):
            if not DIGEST.fullmatch(image):
                yield f"{what}: image {image} has no digest"
        elif image != f"touchledger:{pod_labels(one).get('app.kubernetes.io/version')}":
            yield f"{what}: image {image} is not of the labelled version"
        if "/" in image:
            yield f"{what}: image {image} names somebody's registry"
        if container(one).get("imagePullPolicy") != "IfNotPresent":
            yield f"{what}: imagePullPolicy is not IfNotPresent"
        if "touchledger" in image:
            match container(one).get("command"):
                case ["python", "-m", module, *_] if find_spec(module):
                    pass
                case command:
                    yield f"{what}: runs {command}"


def pods_are_restricted(manifests: Manifests) -> Iterator[str]:
    """The restricted profile, field by field, and what goes beyond it."""
    for namespace in manifests.of("Namespace"):
        labels = namespace["metadata"]["labels"]
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace {name(namespace)}: doesn't enforce the restricted profile"
    for one in manifests.of("ServiceAccount"):
        if one.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {name(one)}: mounts its token"
    for one in manifests.workloads():
        what, spec, main = f"{one['kind']} {name(one)}", pod(one), container(one)
        wanted: Object = {"runAsNonRoot": True} | dict.fromkeys(
            ("runAsUser", "runAsGroup", "fsGroup"), USER
        )
        wanted |= {"seccompProfile": {"type": "RuntimeDefault"}}
        found = dict(spec.get("securityContext", {}))
        found.pop("fsGroupChangePolicy", None)
        if found != wanted:
            yield f"{what}: securityContext of the pod is not {wanted}"
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
        wanted |= {"capabilities": {"drop": ["ALL"]}}
        if main.get("securityContext") != wanted:
            yield f"{what}: securityContext of the container is not {wanted}"
        for field in ("automountServiceAccountToken", "enableServiceLinks"):
            if spec.get(field) is not False:
                yield f"{what}: {field} is not false"
        forbidden = {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"}
        for field in sorted(forbidden & spec.keys()):
            yield f"{what}: {field} is not allowed"
        if any("hostPort" in port for port in main.get("ports", ())):
            yield f"{what}: hostPort is not allowed"
        bounded = {each["name"] for each in spec["volumes"] if "emptyDir" in each}
        bounded |= {
            each["metadata"]["name"] for each in one["spec"].get("volumeClaimTemplates", ())
        }
        writable = {each["name"] for each in main["volumeMounts"] if not each.get("readOnly")}
        if not writable <= bounded:
            yield f"{what}: may write to {sorted(writable - bounded)}"


def probes_ask_the_health_port(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Deployment", "StatefulSet"):
        ports = {each["name"]: each["containerPort"] for each in container(one)["ports"]}
        for field, service in PROBES.items():
            what, probe = f"{one['kind']} {name(one)}", container(one).get(field)
            if probe is None:
                yield f"{what}: no {field}"
            elif len(HANDLERS & probe.keys()) != 1:
                yield f"{what}: {field} has {sorted(HANDLERS & probe.keys())}, want one handler"
            elif "health" not in ports:
                if probe.get("httpGet", {}).get("port") not in ports:
                    yield f"{what}: {field} asks no port of the pod"
            elif probe.get("grpc") != {"port": ports["health"], "service": service}:
                yield f'{what}: {field} asks not for "{service}" on the health port'


def resources_are_bounded(manifests: Manifests) -> Iterator[str]:
    for one in manifests.workloads():
        resources, what = container(one).get("resources", {}), f"{one['kind']} {name(one)}"
        yield from _resources(what, resources)
    for one in manifests.of("Cluster"):
        yield from _resources(f"Cluster {name(one)}", one["spec"].get("resources", {}))


def _resources(what: str, resources: Object) -> Iterator[str]:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for amount in (*requests.values(), *limits.values()):
        if quantity(amount) is None:
            yield f"{what}: {amount} is no quantity"
    if not requests.get("memory") or requests["memory"] != limits.get("memory"):
        yield f"{what}: memory requested is not its limit"
    if "cpu" not in requests or "cpu" in limits:
        yield f"{what}: want a request of cpu and no limit"


def rollouts_lose_nothing(manifests: Manifests) -> Iterator[str]:
    for one in manifests.services():
        settings = settings_of(manifests, one)
        if isinstance(settings, str):
            continue  # the rule about settings tells
        yield from _stops_in_time(one, settings)
        want = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        if one["spec"].get("strategy") != want:
            yield f"Deployment {name(one)}: strategy is not {want}"
        if not one["spec"].get("minReadySeconds"):
            yield f"Deployment {name(one)}: want time to see a new pod fail"
        probe = container(one).get("startupProbe", {})
        startup = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        deadline = one["spec"].get("progressDeadlineSeconds", 600)
        if not settings.database_wait_seconds < startup < deadline:
            yield f"Deployment {name(one)}: {startup} s to start fit not between wait and deadline"
    for one in manifests.of("PodDisruptionBudget"):
        if one["spec"].get("maxUnavailable") != 1:
            yield f"PodDisruptionBudget {name(one)}: want one pod at a time"
        if one["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"PodDisruptionBudget {name(one)}: keeps pods on a node that are not ready"


def _stops_in_time(one: Object, settings: ServiceSettings) -> Iterator[str]:
    """The process drains by itself, so there is no preStop: its sleep would come on top."""
    before = (
        container(one).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    )
    stop = before + settings.drain_seconds + settings.stop_grace_seconds + STOP_SLACK_SECONDS
    if pod(one).get("terminationGracePeriodSeconds", 30) < stop:
        yield f"Deployment {name(one)}: killed before the {stop} s that stopping may take"
    if settings.drain_seconds < DRAIN_SECONDS_MIN:
        yield f"Deployment {name(one)}: stops serving before the endpoints have changed"


def migrations_run_once_for_each_release(manifests: Manifests) -> Iterator[str]:
    for one in manifests.services():
        version = pod_labels(one).get("app.kubernetes.io/version", "").replace(".", "-")
        job = manifests.named("Job", f"{name(one)}-migrate-{version}")
        if job is None:
            yield f"Deployment {name(one)}: no Job {name(one)}-migrate-{version}"
            continue
        if container(job)["image"] != container(one)["image"]:
            yield f"Job {name(job)}: another image than the service's"
        if container(job)["command"] != ["python", "-m", f"services.{name(one)}.migrate"]:
            yield f"Job {name(job)}: runs {container(job)['command']}"
        if container(job).get("envFrom") != container(one)["envFrom"]:
            yield f"Job {name(job)}: other settings than the service's"
        if (
            "ttlSecondsAfterFinished" not in job["spec"]
            or "activeDeadlineSeconds" not in job["spec"]
        ):
            yield f"Job {name(job)}: want an end, and to be cleared away"


RULES = (
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
    migrations_run_once_for_each_release,
)
