"""Rules on what stands around the services: database, autoscaling, certificates, the way in, NATS."""

import re
from collections.abc import Iterator

from services.chassis.postgres import VERSION_MIN
from services.gateway import __main__ as gateway
from services.gateway.access import METHODS
from services.scoring import __main__ as scoring
from services.touchpoint import __main__ as touchpoint
from tests.unit.deploy.manifests import (
    Manifests,
    Object,
    container,
    name,
    pod,
    pod_labels,
    quantity,
)
from tests.unit.deploy.network_rules import TARGET

# Of one process.
CONNECTIONS = {
    "touchpoint": touchpoint.CONNECTIONS_MAX,
    "gateway": gateway.CONNECTIONS_MAX,
    "scoring": 2 * scoring.PROJECTING_CONNECTIONS_MAX
    + scoring.CHANGING_CONNECTIONS_MAX
    + scoring.ANSWERING_CONNECTIONS_MAX
    + scoring.ALERTING_CONNECTIONS_MAX,
}
# Of a Job that migrates.
JOB_CONNECTIONS = 1
# For people, the operator, the exporter and what PostgreSQL reserves.
SPARE_CONNECTIONS = 13
STABILIZATION_SECONDS_MIN = 300
NATS_SERVICE = "nats-headless"
NATS_STOP_SLACK_SECONDS = 10
GIB = 1024**3


def scaled_deployments_say_no_number(manifests: Manifests) -> Iterator[str]:
    scalers = manifests.of("HorizontalPodAutoscaler", "ScaledObject")
    targets = [each["spec"]["scaleTargetRef"]["name"] for each in scalers]
    for one in manifests.services():
        replicas = one["spec"].get("replicas")
        if targets.count(name(one)) > 1:
            yield f"Deployment {name(one)}: scaled by two"
        elif name(one) in targets and replicas is not None:
            yield f"Deployment {name(one)}: scaled, and each apply sets {replicas} replicas"
        elif name(one) not in targets and manifests.target.startswith("production"):
            yield f"Deployment {name(one)}: scaled by nobody"
        elif name(one) not in targets and manifests.target != "single-node" and (replicas or 1) < 2:
            yield f"Deployment {name(one)}: want two replicas"
    for one in scalers:
        spec, what = one["spec"], f"{one['kind']} {name(one)}"
        if not manifests.named("Deployment", spec["scaleTargetRef"]["name"]):
            yield f"{what}: scales {spec['scaleTargetRef']['name']}, which is not there"
        low, high = _range(one)
        if not 3 <= low < high:
            yield f"{what}: from {low} to {high} replicas, want three or more and room above"
        behavior = spec.get("behavior") or spec.get("advanced", {}).get(
            "horizontalPodAutoscalerConfig", {}
        ).get("behavior", {})
        window = behavior.get("scaleDown", {}).get("stabilizationWindowSeconds", 0)
        if window < STABILIZATION_SECONDS_MIN:
            yield f"{what}: takes pods away after {window} s"
        for trigger in spec.get("triggers", ()):
            credentials = trigger.get("authenticationRef", {}).get("name")
            if credentials and not manifests.named("TriggerAuthentication", credentials):
                yield f"{what}: no TriggerAuthentication {credentials}"


def _range(scaler: Object) -> tuple[int, int]:
    spec = scaler["spec"]
    if scaler["kind"] == "ScaledObject":
        return spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    return spec.get("minReplicas", 1), spec["maxReplicas"]


def the_database_has_connections_for_all(manifests: Manifests) -> Iterator[str]:
    cluster = manifests.cluster()
    if cluster is None:
        return
    most = {name(each): each["spec"].get("replicas", 1) for each in manifests.services()}
    for one in manifests.of("HorizontalPodAutoscaler", "ScaledObject"):
        most[one["spec"]["scaleTargetRef"]["name"]] = _range(one)[1]
    # One pod more of each during a rollout.
    wanted = sum((pods + 1) * CONNECTIONS.get(each, 0) for each, pods in most.items())
    wanted += JOB_CONNECTIONS * len(manifests.of("Job")) + SPARE_CONNECTIONS
    roles = cluster["spec"]["managed"]["roles"]
    wanted += sum(role.get("connectionLimit", 0) for role in roles)
    there = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    if there < wanted:
        yield f"Cluster {name(cluster)}: max_connections {there}, want {wanted} for all pods"


def the_database_keeps_what_it_acknowledged(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("Cluster"):
        spec, what = one["spec"], f"Cluster {name(one)}"
        if "recovery" in spec["bootstrap"]:
            continue  # a drill's, which nobody writes to
        synchronous = spec["postgresql"].get("synchronous")
        if manifests.target.startswith("production"):
            if spec["instances"] < 3:
                yield f"{what}: {spec['instances']} instances, want three"
            if (synchronous or {}).get("number", 0) < 1 or synchronous.get("method") != "any":
                yield f"{what}: no standby has to confirm a commit"
            elif synchronous.get("dataDurability") != "required":
                yield f"{what}: dataDurability {synchronous.get('dataDurability')}, want required"
            if spec["affinity"].get("podAntiAffinityType") != "required":
                yield f"{what}: two instances may share a node"
        elif spec["instances"] == 1 and synchronous:
            yield f"{what}: waits for a standby that is not there"
        if spec["enablePDB"] != (spec["instances"] > 1):
            yield f"{what}: enablePDB {spec['enablePDB']} with {spec['instances']} instances"
        for switch in ("fsync", "full_page_writes", "synchronous_commit"):
            if spec["postgresql"]["parameters"].get(switch, "on") != "on":
                yield f"{what}: {switch} is off"
        if spec["imageCatalogRef"]["major"] * 10_000 < VERSION_MIN:
            yield f"{what}: PostgreSQL {spec['imageCatalogRef']['major']} is too old"
        if spec["postgresql"]["pg_hba"][-1] != "host all all all reject":
            yield f"{what}: lets in who is not named"
        if any(not line.startswith("hostssl") for line in spec["postgresql"]["pg_hba"][:-1]):
            yield f"{what}: takes passwords in clear text"
        yield from _databases(manifests, one)
        yield from _space(one)


def _databases(manifests: Manifests, cluster: Object) -> Iterator[str]:
    made = cluster["spec"]["bootstrap"]["initdb"]
    owners = {made["database"]: made["owner"]}
    locales = [(made.get("localeProvider"), made.get("builtinLocale"))]
    for one in manifests.of("Database"):
        owners[one["spec"]["name"]] = one["spec"]["owner"]
        locales.append((one["spec"].get("localeProvider"), one["spec"].get("builtinLocale")))
        if one["spec"].get("databaseReclaimPolicy") != "retain":
            yield f"Database {name(one)}: dropped with its manifest"
    services = [name(each) for each in manifests.services()]
    if owners != {each: f"touchledger_{each}" for each in services}:
        yield f"Cluster {name(cluster)}: databases and owners {owners}, want one of each service"
    if set(locales) != {("builtin", "C.UTF-8")}:
        yield f"Cluster {name(cluster)}: sorts by {locales}, want the same on every server"
    roles = {each["name"] for each in cluster["spec"]["managed"]["roles"]} | {made["owner"]}
    if missing := set(owners.values()) - roles:
        yield f"Cluster {name(cluster)}: nobody makes the roles {sorted(missing)}"


def _space(cluster: Object) -> Iterator[str]:
    parameters = cluster["spec"]["postgresql"]["parameters"]
    kept = sum(
        int(parameters[each].removesuffix("GB")) * GIB
        for each in ("max_wal_size", "max_slot_wal_keep_size")
    )
    there = quantity(cluster["spec"].get("walStorage", {}).get("size"))
    if there is None or there < kept:
        yield f"Cluster {name(cluster)}: walStorage {there} can't hold {kept} bytes of WAL"


def the_database_is_archived(manifests: Manifests) -> Iterator[str]:
    cluster = manifests.cluster()
    if cluster is None:
        return
    archivers = [each for each in cluster["spec"].get("plugins", ()) if each.get("isWALArchiver")]
    stores = {name(each) for each in manifests.of("ObjectStore")}
    if [each["parameters"]["barmanObjectName"] in stores for each in archivers] != [True]:
        yield f"Cluster {name(cluster)}: archives to no ObjectStore"
    if "backup" in cluster["spec"]:
        yield f"Cluster {name(cluster)}: backs up by itself, which its operator gives up"
    plugin = [each["name"] for each in archivers]
    for one in manifests.of("ScheduledBackup"):
        spec = one["spec"]
        if spec["cluster"]["name"] != name(cluster) or not spec.get("immediate"):
            yield f"ScheduledBackup {name(one)}: want one of {name(cluster)}, and one at once"
        if [spec.get("pluginConfiguration", {}).get("name")] != plugin:
            yield f"ScheduledBackup {name(one)}: goes not where the archive is"
        if len(spec["schedule"].split()) != 6:
            yield f"ScheduledBackup {name(one)}: {spec['schedule']} has not six fields, seconds first"
    if not manifests.of("ScheduledBackup"):
        yield f"Cluster {name(cluster)}: no base backup, so its archive is worth nothing"
    for one in manifests.of("ObjectStore"):
        if "retentionPolicy" not in one["spec"]:
            yield f"ObjectStore {name(one)}: grows for ever"


def certificates_carry_the_names(manifests: Manifests) -> Iterator[str]:
    certificates = {
        each["spec"]["secretName"]: each["spec"] for each in manifests.of("Certificate")
    }
    if not certificates:
        return
    for one in manifests.services():
        for variable, value in manifests.environment(one).items():
            match = TARGET.fullmatch(value)
            if variable.endswith("_TARGET") and match:
                certificate = certificates.get(f"{match[1].removesuffix('-headless')}-tls", {})
                if match[1] not in certificate.get("dnsNames", ()):
                    yield f"Certificate of {match[1]}: doesn't carry the name that {variable} has"
    for secret, spec in certificates.items():
        issuer = spec["issuerRef"]
        if issuer["kind"] == "Issuer" and not manifests.named("Issuer", issuer["name"]):
            yield f"Certificate {secret}: no Issuer {issuer['name']}"
        if not spec.get("isCA") and spec["privateKey"].get("rotationPolicy") != "Always":
            yield f"Certificate {secret}: keeps its key for ever"
    used = {secret for _, secret, _ in manifests.wanted_secrets()}
    for unused in sorted(certificates.keys() - used):
        yield f"Certificate {unused}: used by nobody"
    made = certificates.keys()
    for missing in sorted(each for each in used if each.endswith("-tls") and each not in made):
        yield f"Secret {missing}: made by no Certificate"
    shown = {"server auth"} | ({"client auth"})
    for each in ("touchpoint-tls", "scoring-tls", "nats-tls"):
        if each in certificates and set(certificates[each]["usages"]) != shown:
            yield f"Certificate {each}: is for {certificates[each]['usages']}, want {sorted(shown)}"


def routes_lead_to_the_gateway(manifests: Manifests) -> Iterator[str]:
    listeners = {
        (name(each), listener["name"]): listener
        for each in manifests.of("Gateway")
        for listener in each["spec"]["listeners"]
    }
    for one in manifests.of("GRPCRoute", "HTTPRoute"):
        what = f"{one['kind']} {name(one)}"
        for parent in one["spec"]["parentRefs"]:
            listener = listeners.get((parent["name"], parent.get("sectionName")), {})
            if one["spec"]["hostnames"] != [listener.get("hostname")]:
                yield f"{what}: no listener of {parent} for {one['spec']['hostnames']}"
        for rule in one["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                service = manifests.named("Service", backend["name"]) or {"spec": {"ports": []}}
                if backend["port"] not in {each["port"] for each in service["spec"]["ports"]}:
                    yield f"{what}: no port {backend['port']} of {backend['name']}"
    for one in manifests.of("GRPCRoute"):
        routed = {m["method"]["service"] for rule in one["spec"]["rules"] for m in rule["matches"]}
        served = {method.split("/")[1] for method in METHODS}
        if routed != served:
            yield f"GRPCRoute {name(one)}: leads to {sorted(routed)}, served are {sorted(served)}"
    policies = manifests.of("BackendTLSPolicy")
    if listeners and [each["name"] for p in policies for each in p["spec"]["targetRefs"]] != [
        "gateway"
    ]:
        yield "Gateway: goes on to the pods in clear text"
    for one in policies:
        edge = manifests.named("Certificate", "gateway-edge-tls") or {"spec": {"dnsNames": []}}
        if one["spec"]["validation"]["hostname"] not in edge["spec"]["dnsNames"]:
            yield f"BackendTLSPolicy {name(one)}: asks for a name that the pods' certificate has not"


def every_service_is_scraped(manifests: Manifests) -> Iterator[str]:
    for one in manifests.of("PodMonitor"):
        scraped = manifests.selected(one["spec"]["selector"])
        if sorted(scraped) != sorted(name(each) for each in manifests.services()):
            yield f"PodMonitor {name(one)}: scrapes {scraped}"
        # What the alert of a service that is away asks for.
        for each in manifests.services():
            if pod_labels(each).get(one["spec"]["jobLabel"]) != "touchledger":
                yield f"PodMonitor {name(one)}: the job of {name(each)} is not called touchledger"
    if bool(manifests.of("PodMonitor")) != bool(manifests.of("PrometheusRule")):
        yield "want a PodMonitor and a PrometheusRule, or neither"


def nats_syncs_before_it_acknowledges(manifests: Manifests) -> Iterator[str]:
    servers = manifests.named("StatefulSet", "nats")
    if servers is None:
        return
    (config,) = (each for each in manifests.of("ConfigMap") if name(each).startswith("nats-config"))
    lines = (line.partition("#")[0].strip() for line in config["data"]["nats.conf"].splitlines())
    said = [line for line in lines if line]
    jetstream = said[said.index("jetstream {") :]
    if "sync_interval: always" not in jetstream[: jetstream.index("}")]:
        yield "nats.conf: jetstream acknowledges what is not on disk, want sync_interval: always"
    replicas = servers["spec"]["replicas"]
    routes = sorted(line for line in said if line.startswith("tls://"))
    if routes != [f"tls://nats-{n}.nats-headless:6222" for n in range(replicas)] or replicas < 3:
        yield f"nats.conf: routes {routes} for {replicas} servers, want three or more, each"
    users = {line.partition(": ")[2] for line in said if line.startswith("user: ")}
    names = {
        each for one in manifests.of("Certificate") for each in one["spec"].get("dnsNames", ())
    }
    if "verify_and_map: true" not in said or not users <= names:
        yield f"nats.conf: users {sorted(users)} are not those of certificates"
    store = next(line for line in said if line.startswith("max_file_store: "))
    (claim,) = servers["spec"]["volumeClaimTemplates"]
    volume = quantity(claim["spec"]["resources"]["requests"]["storage"])
    if volume is None or volume <= int(re.sub(r"\D", "", store)) * GIB:
        yield f"StatefulSet nats: a volume of {volume} bytes is full before {store}"
    kept = servers["spec"].get("persistentVolumeClaimRetentionPolicy", {})
    if set(kept.values()) != {"Retain"}:
        yield "StatefulSet nats: its volumes go with it"
    seconds = sum(
        int(line.partition(": ")[2].removesuffix("s"))
        for line in said
        if line.startswith("lame_duck")
    )
    if pod(servers).get("terminationGracePeriodSeconds", 30) < seconds + NATS_STOP_SLACK_SECONDS:
        yield f"StatefulSet nats: killed before the {seconds} s of its lame duck"
    stop = (
        container(servers)
        .get("lifecycle", {})
        .get("preStop", {})
        .get("exec", {})
        .get("command", [])
    )
    if "ldm=/var/run/nats/nats.pid" not in stop or "pid_file: /var/run/nats/nats.pid" not in said:
        yield "StatefulSet nats: ends without a word to its clients"


def both_sides_of_the_buffer_are_told_of_it(manifests: Manifests) -> Iterator[str]:
    """With NATS gateways queue and touchpoint services record, on all servers, within their store."""
    servers = manifests.named("StatefulSet", "nats")
    if servers is None:
        return
    for service in ("gateway", "touchpoint"):
        told, prefix = manifests.configured(service), f"TOUCHLEDGER_{service.upper()}_BUFFER"
        if told.get(prefix) != f"tls://{NATS_SERVICE}:4222":
            yield f"{service}: {prefix}={told.get(prefix)}, want tls://{NATS_SERVICE}:4222"
        if told.get(f"{prefix}_REPLICAS") != str(min(3, servers["spec"]["replicas"])):
            yield f"{service}: {prefix}_REPLICAS={told.get(f'{prefix}_REPLICAS')}, want 3"
    (config,) = (each for each in manifests.of("ConfigMap") if name(each).startswith("nats-config"))
    found = re.search(r"max_file_store: (\d+)GiB", config["data"]["nats.conf"])
    stream = manifests.configured("touchpoint").get("TOUCHLEDGER_TOUCHPOINT_BUFFER_BYTES_MAX", "0")
    if found is None or not 0 < int(stream) < int(found[1]) * GIB:
        yield f"touchpoint: a stream of {stream} bytes, want it within max_file_store of nats.conf"


RULES = (
    scaled_deployments_say_no_number,
    the_database_has_connections_for_all,
    the_database_keeps_what_it_acknowledged,
    the_database_is_archived,
    certificates_carry_the_names,
    routes_lead_to_the_gateway,
    every_service_is_scraped,
    nats_syncs_before_it_acknowledges,
    both_sides_of_the_buffer_are_told_of_it,
)
