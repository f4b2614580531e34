"""Each rule on the manifests tells a mistake that is planted against it in the largest render."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.deploy import network_rules, platform_rules, settings_rules, workload_rules
from tests.unit.deploy.manifests import Manifests, Object, container, name, pod, rendered
from tests.unit.deploy.schema_rules import fits_the_schemas
from tests.unit.deploy.test_k8s import RULES, Rule

TARGET = "production-jetstream"


def found(manifests: Manifests, kind: str, name: str) -> Object:
    one = manifests.named(kind, name)
    assert one is not None
    return one


def deployment(manifests: Manifests, name: str) -> Object:
    return found(manifests, "Deployment", name)


def spec(manifests: Manifests, kind: str, name: str) -> Object:
    inner: Object = found(manifests, kind, name)["spec"]
    return inner


def remove(manifests: Manifests, kind: str, name: str) -> None:
    manifests.objects.remove(found(manifests, kind, name))


def remove_settings(manifests: Manifests, service: str) -> None:
    (config,) = (m for m in manifests.of("ConfigMap") if name(m).startswith(f"{service}-settings"))
    manifests.objects.remove(config)


def requests(manifests: Manifests) -> dict[str, str]:
    wanted: dict[str, str] = container(deployment(manifests, "scoring"))["resources"]["requests"]
    return wanted


def postgres(manifests: Manifests) -> Object:
    return spec(manifests, "Cluster", "postgres")


def environment(manifests: Manifests, variable: str) -> dict[str, str]:
    listed: list[dict[str, str]] = container(deployment(manifests, "gateway"))["env"]
    (one,) = (each for each in listed if each["name"] == variable)
    return one


def edit_nats(manifests: Manifests, old: str, new: str) -> None:
    (config,) = (m for m in manifests.of("ConfigMap") if name(m).startswith("nats-config"))
    assert old in config["data"]["nats.conf"]
    config["data"]["nats.conf"] = config["data"]["nats.conf"].replace(old, new)


def ingress(manifests: Manifests, policy: str) -> list[Any]:
    rules: list[Any] = spec(manifests, "NetworkPolicy", policy)["ingress"]
    return rules


# What is wrong, which rule tells it, how it is planted, and what is told.
Planted = tuple[str, Rule, Callable[[Manifests], object], str]
MISTAKES: tuple[Planted, ...] = (
    (
        "a typo in a field",
        fits_the_schemas,
        lambda m: spec(m, "Deployment", "gateway").update(replica=3),
        "Additional properties are not allowed ('replica' was unexpected)",
    ),
    (
        "a wrong type",
        fits_the_schemas,
        lambda m: spec(m, "PodDisruptionBudget", "gateway").update(selector="gateway"),
        "'gateway' is not of type 'object'",
    ),
    (
        "a kind that no schema knows",
        fits_the_schemas,
        lambda m: m.objects.append({**deployment(m, "gateway"), "kind": "Deploymint"}),
        "Couldn't find schema for kind Deploymint",
    ),
    (
        "an API that was removed",
        fits_the_schemas,
        lambda m: found(m, "HorizontalPodAutoscaler", "scoring").update(
            apiVersion="autoscaling/v2beta2"
        ),
        "Couldn't find schema for kind HorizontalPodAutoscaler with api version autoscaling/v2beta2",
    ),
    (
        "an operator's kind in a version that is not listed",
        fits_the_schemas,
        lambda m: found(m, "GRPCRoute", "gateway").update(
            apiVersion="gateway.networking.k8s.io/v1alpha2"
        ),
        "Couldn't find schema for kind GRPCRoute",
    ),
    (
        "an object twice",
        workload_rules.names_are_unique_and_labelled,
        lambda m: m.objects.append(m.objects[-1]),
        "defined twice",
    ),
    (
        "a name that is none",
        workload_rules.names_are_unique_and_labelled,
        lambda m: found(m, "Service", "gateway")["metadata"].update(name="Gateway_1"),
        "Service Gateway_1: not a name by RFC 1123",
    ),
    (
        "an object in another namespace",
        workload_rules.names_are_unique_and_labelled,
        lambda m: found(m, "Service", "gateway")["metadata"].update(namespace="default"),
        "Service gateway: in namespace default",
    ),
    (
        "pods on one node",
        workload_rules.selectors_match,
        lambda m: pod(deployment(m, "touchpoint")).pop("topologySpreadConstraints"),
        "Deployment touchpoint: not spread over zones and nodes",
    ),
    (
        "a rollout that stops all pods first",
        workload_rules.rollouts_lose_nothing,
        lambda m: spec(m, "Deployment", "scoring").update(strategy={"type": "Recreate"}),
        "Deployment scoring: strategy is not",
    ),
    (
        "a Service that selects nobody",
        workload_rules.selectors_match,
        lambda m: spec(m, "Service", "gateway")["selector"].update({"app.kubernetes.io/name": "x"}),
        "Service gateway: selects no pod",
    ),
    (
        "a Deployment that selects another's pods",
        workload_rules.selectors_match,
        lambda m: spec(m, "Deployment", "scoring")["selector"]["matchLabels"].update(
            {"app.kubernetes.io/name": "gateway"}
        ),
        "Deployment scoring: selects the pods of ['gateway']",
    ),
    (
        "a port that nobody listens on",
        workload_rules.ports_agree,
        lambda m: m.configured("touchpoint").update(TOUCHLEDGER_TOUCHPOINT_LISTEN="0.0.0.0:1"),
        "Deployment touchpoint: listens on",
    ),
    (
        "a targetPort that does not exist",
        workload_rules.ports_agree,
        lambda m: spec(m, "Service", "gateway")["ports"][0].update(targetPort="grcp"),
        "Services lead to ['grcp', 'http']",
    ),
    (
        "two ports with one number",
        workload_rules.ports_agree,
        lambda m: container(deployment(m, "gateway"))["ports"][1].update(containerPort=50051),
        "Deployment gateway: two ports with one name or number",
    ),
    (
        "no disruption budget",
        workload_rules.selectors_match,
        lambda m: remove(m, "PodDisruptionBudget", "nats"),
        "StatefulSet nats: want one PodDisruptionBudget",
    ),
    (
        "a disruption budget that keeps a dead pod",
        workload_rules.rollouts_lose_nothing,
        lambda m: spec(m, "PodDisruptionBudget", "scoring").pop("unhealthyPodEvictionPolicy"),
        "PodDisruptionBudget scoring: keeps pods on a node",
    ),
    (
        "no account",
        workload_rules.references_exist,
        lambda m: remove(m, "ServiceAccount", "scoring"),
        "Deployment scoring: no ServiceAccount scoring",
    ),
    (
        "no settings",
        workload_rules.references_exist,
        lambda m: remove_settings(m, "scoring"),
        "Deployment scoring: no ConfigMap scoring-settings",
    ),
    (
        "a Secret that nobody makes",
        workload_rules.references_exist,
        lambda m: pod(deployment(m, "gateway"))["volumes"][1]["secret"].update(secretName="x"),
        "gateway: README has no Secret x",
    ),
    (
        "a Secret without the file",
        workload_rules.references_exist,
        lambda m: pod(deployment(m, "gateway"))["volumes"][0]["projected"]["sources"][1]["secret"][
            "items"
        ][0].update(path="ca.pem"),
        "gateway: README's Secret postgres-ca has no ['ca.pem']",
    ),
    (
        "a mount without a volume",
        workload_rules.references_exist,
        lambda m: pod(deployment(m, "gateway"))["volumes"].pop(0),
        "Deployment gateway: mounts",
    ),
    (
        "a folder that grows for ever",
        workload_rules.references_exist,
        lambda m: pod(deployment(m, "gateway"))["volumes"][-1].update(emptyDir={}),
        "Deployment gateway: volume tmp is neither Secret nor bounded",
    ),
    (
        "a Secret with data",
        workload_rules.git_holds_no_secret,
        lambda m: m.objects.append(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "eA=="}}
        ),
        "Secret x: belongs into the cluster alone",
    ),
    (
        "whatever image is the latest",
        workload_rules.images_are_of_one_release,
        lambda m: container(deployment(m, "gateway")).update(image="touchledger:latest"),
        "image touchledger:latest has no digest",
    ),
    (
        "a command that is not there",
        workload_rules.images_are_of_one_release,
        lambda m: container(deployment(m, "gateway")).update(
            command=["python", "-m", "services.gatway"]
        ),
        "Deployment gateway: runs ['python', '-m', 'services.gatway']",
    ),
    (
        "a root file system that can be written",
        workload_rules.pods_are_restricted,
        lambda m: container(found(m, "StatefulSet", "nats"))["securityContext"].update(
            readOnlyRootFilesystem=False
        ),
        "StatefulSet nats: securityContext of the container",
    ),
    (
        "root",
        workload_rules.pods_are_restricted,
        lambda m: pod(found(m, "Job", "scoring-migrate-0-1-0"))["securityContext"].update(
            runAsUser=0
        ),
        "Job scoring-migrate-0-1-0: securityContext of the pod",
    ),
    (
        "a token in the pod",
        workload_rules.pods_are_restricted,
        lambda m: pod(deployment(m, "gateway")).pop("automountServiceAccountToken"),
        "automountServiceAccountToken is not false",
    ),
    (
        "a namespace that lets root in",
        workload_rules.pods_are_restricted,
        lambda m: found(m, "Namespace", "touchledger")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "baseline"}
        ),
        "Namespace touchledger: doesn't enforce the restricted profile",
    ),
    (
        "no readiness",
        workload_rules.probes_ask_the_health_port,
        lambda m: container(deployment(m, "scoring")).pop("readinessProbe"),
        "Deployment scoring: no readinessProbe",
    ),
    (
        "liveness that hangs on the database",
        workload_rules.probes_ask_the_health_port,
        lambda m: container(deployment(m, "scoring"))["livenessProbe"]["grpc"].update(service=""),
        'livenessProbe asks not for "liveness"',
    ),
    (
        "two handlers of one probe",
        workload_rules.probes_ask_the_health_port,
        lambda m: container(deployment(m, "scoring"))["livenessProbe"].update(
            tcpSocket={"port": 9090}
        ),
        "livenessProbe has ['grpc', 'tcpSocket'], want one handler",
    ),
    (
        "a quantity that only looks like one",
        workload_rules.resources_are_bounded,
        lambda m: requests(m).update(memory="256MiB"),
        "256MiB is no quantity",
    ),
    (
        "a limit of CPU",
        workload_rules.resources_are_bounded,
        lambda m: container(deployment(m, "touchpoint"))["resources"]["limits"].update(cpu="1"),
        "Deployment touchpoint: want a request of cpu and no limit",
    ),
    (
        "a kill before the end of the drain",
        workload_rules.rollouts_lose_nothing,
        lambda m: pod(deployment(m, "gateway")).update(terminationGracePeriodSeconds=20),
        "Deployment gateway: killed before",
    ),
    (
        "a sleep that the kill does not wait for",
        workload_rules.rollouts_lose_nothing,
        lambda m: container(deployment(m, "gateway")).update(
            lifecycle={"preStop": {"sleep": {"seconds": 30}}}
        ),
        "Deployment gateway: killed before",
    ),
    (
        "a migration of another release",
        workload_rules.migrations_run_once_for_each_release,
        lambda m: found(m, "Job", "gateway-migrate-0-1-0")["metadata"].update(
            name="gateway-migrate-0-0-9"
        ),
        "Deployment gateway: no Job gateway-migrate-0-1-0",
    ),
    (
        "a migration with another image",
        workload_rules.migrations_run_once_for_each_release,
        lambda m: container(found(m, "Job", "gateway-migrate-0-1-0")).update(
            image=f"touchledger@sha256:{'1' * 64}"
        ),
        "Job gateway-migrate-0-1-0: another image",
    ),
    (
        "a variable that no setting reads",
        settings_rules.settings_are_understood,
        lambda m: m.configured("gateway").update(TOUCHLEDGER_GATEWAY_DRAIN_SECOND="5"),
        "Deployment gateway: no setting TOUCHLEDGER_GATEWAY_DRAIN_SECOND",
    ),
    (
        "a value that does not parse",
        settings_rules.settings_are_understood,
        lambda m: m.configured("gateway").update(TOUCHLEDGER_GATEWAY_LISTEN="50051"),
        "TOUCHLEDGER_GATEWAY_LISTEN: Value error, want HOST:PORT",
    ),
    (
        "no database",
        settings_rules.settings_are_understood,
        lambda m: m.configured("gateway").pop("TOUCHLEDGER_SECRETS_DIR"),
        "TOUCHLEDGER_GATEWAY_DATABASE_URL: Field required",
    ),
    (
        "a file that no Secret has",
        settings_rules.settings_are_understood,
        lambda m: m.configured("gateway").update(
            TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE="/etc/touchledger/keys/secret"
        ),
        "TOUCHLEDGER_GATEWAY_SECRET_KEY_FILE=/etc/touchledger/keys/secret is in no Secret",
    ),
    (
        "callers without a certificate",
        settings_rules.settings_are_understood,
        lambda m: m.configured("scoring").pop("TOUCHLEDGER_SCORING_TLS_CLIENT_CA_FILE"),
        "Deployment scoring: want certificates of all callers",
    ),
    (
        "a target that is no Service",
        network_rules.network_has_the_edges_and_no_more,
        lambda m: m.configured("scoring").update(
            TOUCHLEDGER_SCORING_JOURNAL_TARGET="dns:///touchpoint:50052"
        ),
        "TOUCHLEDGER_SCORING_JOURNAL_TARGET=dns:///touchpoint:50052 is no headless Service",
    ),
    (
        "a policy that denies nothing",
        network_rules.everything_else_is_denied,
        lambda m: remove(m, "NetworkPolicy", "default-deny"),
        "NetworkPolicy default-deny: doesn't deny everything",
    ),
    (
        "an edge that is closed",
        network_rules.network_has_the_edges_and_no_more,
        lambda m: ingress(m, "touchpoint")[0]["from"].pop(),
        "touchpoint: lets in [('gateway', 50052)",
    ),
    (
        "an edge that is open",
        network_rules.network_has_the_edges_and_no_more,
        lambda m: ingress(m, "touchpoint")[0].pop("from"),
        "touchpoint: lets in [('*', 50052)",
    ),
    (
        "the way around the proxies",
        network_rules.network_has_the_edges_and_no_more,
        lambda m: ingress(m, "gateway")[0].pop("from"),
        "gateway: lets in [('*', 8080), ('*', 50051)",
    ),
    (
        "a database that anybody reaches",
        network_rules.network_has_the_edges_and_no_more,
        lambda m: ingress(m, "postgres").append({"ports": [{"port": 5432}]}),
        "postgres: lets in [('*', 5432)",
    ),
    (
        "a collector that no policy lets through",
        network_rules.network_has_the_edges_and_no_more,
        lambda m: environment(m, "OTEL_EXPORTER_OTLP_ENDPOINT").update(
            value="http://collector.elsewhere.svc:4317"
        ),
        "gateway: lets out",
    ),
    (
        "a number of replicas beside an autoscaler",
        platform_rules.scaled_deployments_say_no_number,
        lambda m: spec(m, "Deployment", "scoring").update(replicas=2),
        "Deployment scoring: scaled, and each apply sets 2 replicas",
    ),
    (
        "two autoscalers of one Deployment",
        platform_rules.scaled_deployments_say_no_number,
        lambda m: spec(m, "ScaledObject", "gateway")["scaleTargetRef"].update(name="scoring"),
        "Deployment scoring: scaled by two",
    ),
    (
        "an autoscaler that goes down at once",
        platform_rules.scaled_deployments_say_no_number,
        lambda m: spec(m, "HorizontalPodAutoscaler", "scoring").pop("behavior"),
        "HorizontalPodAutoscaler scoring: takes pods away after 0 s",
    ),
    (
        "more pods than connections",
        platform_rules.the_database_has_connections_for_all,
        lambda m: spec(m, "HorizontalPodAutoscaler", "scoring").update(maxReplicas=12),
        "Cluster postgres: max_connections 340, want",
    ),
    (
        "a standby that need not confirm",
        platform_rules.the_database_keeps_what_it_acknowledged,
        lambda m: postgres(m)["postgresql"].pop("synchronous"),
        "Cluster postgres: no standby has to confirm a commit",
    ),
    (
        "a standby that confirms if it likes",
        platform_rules.the_database_keeps_what_it_acknowledged,
        lambda m: postgres(m)["postgresql"]["synchronous"].update(dataDurability="preferred"),
        "Cluster postgres: dataDurability preferred, want required",
    ),
    (
        "a commit that is not on disk",
        platform_rules.the_database_keeps_what_it_acknowledged,
        lambda m: postgres(m)["postgresql"]["parameters"].update(synchronous_commit="off"),
        "Cluster postgres: synchronous_commit is off",
    ),
    (
        "all instances on one node",
        platform_rules.the_database_keeps_what_it_acknowledged,
        lambda m: postgres(m)["affinity"].update(podAntiAffinityType="preferred"),
        "Cluster postgres: two instances may share a node",
    ),
    (
        "a PostgreSQL that is too old",
        platform_rules.the_database_keeps_what_it_acknowledged,
        lambda m: postgres(m)["imageCatalogRef"].update(major=17),
        "Cluster postgres: PostgreSQL 17 is too old",
    ),
    (
        "passwords in clear text",
        platform_rules.the_database_keeps_what_it_acknowledged,
        lambda m: postgres(m)["postgresql"]["pg_hba"].insert(0, "host all all all scram-sha-256"),
        "Cluster postgres: takes passwords in clear text",
    ),
    (
        "a database that goes with its manifest",
        platform_rules.the_database_keeps_what_it_acknowledged,
        lambda m: spec(m, "Database", "scoring").update(databaseReclaimPolicy="delete"),
        "Database scoring: dropped with its manifest",
    ),
    (
        "a volume that WAL fills",
        platform_rules.the_database_keeps_what_it_acknowledged,
        lambda m: postgres(m)["walStorage"].update(size="10Gi"),
        "Cluster postgres: walStorage 10737418240 can't hold",
    ),
    (
        "an archive that nobody writes",
        platform_rules.the_database_is_archived,
        lambda m: postgres(m).pop("plugins"),
        "Cluster postgres: archives to no ObjectStore",
    ),
    (
        "no base backup",
        platform_rules.the_database_is_archived,
        lambda m: remove(m, "ScheduledBackup", "nightly"),
        "Cluster postgres: no base backup",
    ),
    (
        "a backup each minute of the second hour",
        platform_rules.the_database_is_archived,
        lambda m: spec(m, "ScheduledBackup", "nightly").update(schedule="30 2 * * *"),
        "ScheduledBackup nightly: 30 2 * * * has not six fields",
    ),
    (
        "a certificate for another name",
        platform_rules.certificates_carry_the_names,
        lambda m: spec(m, "Certificate", "touchpoint-tls").update(dnsNames=["touchpoint"]),
        "Certificate of touchpoint-headless: doesn't carry the name",
    ),
    (
        "a certificate that may not serve",
        platform_rules.certificates_carry_the_names,
        lambda m: spec(m, "Certificate", "scoring-tls").update(usages=["client auth"]),
        "Certificate scoring-tls: is for ['client auth']",
    ),
    (
        "a service that can't be reached from outside",
        platform_rules.routes_lead_to_the_gateway,
        lambda m: spec(m, "GRPCRoute", "gateway")["rules"][0]["matches"].pop(),
        "GRPCRoute gateway: leads to",
    ),
    (
        "a service that should not be reached from outside",
        platform_rules.routes_lead_to_the_gateway,
        lambda m: spec(m, "GRPCRoute", "gateway")["rules"][0]["matches"].append(
            {"method": {"service": "touchledger.v1.JournalService"}}
        ),
        "GRPCRoute gateway: leads to",
    ),
    (
        "a route to a port that is not there",
        platform_rules.routes_lead_to_the_gateway,
        lambda m: spec(m, "HTTPRoute", "gateway")["rules"][0]["backendRefs"][0].update(port=80),
        "HTTPRoute gateway: no port 80 of gateway",
    ),
    (
        "clear text from the proxy on",
        platform_rules.routes_lead_to_the_gateway,
        lambda m: remove(m, "BackendTLSPolicy", "gateway"),
        "Gateway: goes on to the pods in clear text",
    ),
    (
        "a job that no alert asks for",
        platform_rules.every_service_is_scraped,
        lambda m: spec(m, "PodMonitor", "touchledger").update(jobLabel="app.kubernetes.io/name"),
        "PodMonitor touchledger: the job of gateway is not called touchledger",
    ),
    (
        "a port that nobody may scrape",
        network_rules.network_has_the_edges_and_no_more,
        lambda m: remove(m, "NetworkPolicy", "metrics"),
        "gateway: lets in",
    ),
    (
        "a NATS that syncs every two minutes",
        platform_rules.nats_syncs_before_it_acknowledges,
        lambda m: edit_nats(m, "sync_interval: always", "# sync_interval: always"),
        "nats.conf: jetstream acknowledges what is not on disk",
    ),
    (
        "a NATS that lets anybody in",
        platform_rules.nats_syncs_before_it_acknowledges,
        lambda m: edit_nats(m, "verify_and_map: true", "verify_and_map: false"),
        "nats.conf: users ['gateway', 'touchpoint-headless'] are not those of certificates",
    ),
    (
        "a NATS server that the others do not know",
        platform_rules.nats_syncs_before_it_acknowledges,
        lambda m: spec(m, "StatefulSet", "nats").update(replicas=5),
        "nats.conf: routes",
    ),
    (
        "a NATS whose batches go with it",
        platform_rules.nats_syncs_before_it_acknowledges,
        lambda m: spec(m, "StatefulSet", "nats").pop("persistentVolumeClaimRetentionPolicy"),
        "StatefulSet nats: its volumes go with it",
    ),
    (
        "a gateway that queues where nobody records",
        platform_rules.both_sides_of_the_buffer_are_told_of_it,
        lambda m: m.configured("touchpoint").pop("TOUCHLEDGER_TOUCHPOINT_BUFFER"),
        "touchpoint: TOUCHLEDGER_TOUCHPOINT_BUFFER=None, want tls://nats-headless:4222",
    ),
    (
        "a gateway that answers QUEUED for one server's word",
        platform_rules.both_sides_of_the_buffer_are_told_of_it,
        lambda m: m.configured("gateway").pop("TOUCHLEDGER_GATEWAY_BUFFER_REPLICAS"),
        "gateway: TOUCHLEDGER_GATEWAY_BUFFER_REPLICAS=None, want 3",
    ),
    (
        "a stream that is larger than its servers",
        platform_rules.both_sides_of_the_buffer_are_told_of_it,
        lambda m: edit_nats(m, "max_file_store: 45GiB", "max_file_store: 4GiB"),
        "touchpoint: a stream of 42949672960 bytes",
    ),
)


@pytest.mark.parametrize(
    ("rule", "mistake", "told"), [each[1:] for each in MISTAKES], ids=[each[0] for each in MISTAKES]
)
def test_a_planted_mistake_is_told(
    rule: Rule, mistake: Callable[[Manifests], object], told: str
) -> None:
    right = rendered(TARGET)
    wrong = Manifests(TARGET, copy.deepcopy(right.objects), right.secrets)
    mistake(wrong)
    if rule is fits_the_schemas:
        # The others fit, as test_k8s.py holds.
        wrong = Manifests(
            TARGET, [each for each in wrong.objects if each not in right.objects], right.secrets
        )
    problems = list(rule(wrong))
    assert any(told in problem for problem in problems), problems


def test_every_rule_has_a_mistake_planted_against_it() -> None:
    """A rule that no mistake makes speak might be one that can't."""
    assert set(RULES) == {rule for _, rule, _, _ in MISTAKES}
