"""Who may talk to whom: the edges that the settings speak of, and no more."""

import re
from collections.abc import Iterator
from typing import Any

from tests.unit.deploy.manifests import POSTGRES, Manifests, container, matches, name, pod_labels
from tests.unit.deploy.settings_rules import PUBLIC

# A peer is the name of a workload, "postgres" for the operator's pods, "ns:NAME" for those of another
# namespace, "*" for anybody.
Edge = tuple[str, int]

POSTGRES_PORT, POSTGRES_STATUS_PORT = 5432, 8000
NATS_PORT, NATS_ROUTE_PORT = 4222, 6222
NATS_CLIENTS = ("gateway", "touchpoint")
API_PORTS = (443, 6443)
# The namespace of whoever scrapes.
MONITORING = "observability"
TARGET = re.compile(r"dns:///([a-z-]+):(\d+)")
COLLECTOR = re.compile(r"http://[a-z-]+\.([a-z-]+)\.svc:(\d+)")


def everything_else_is_denied(manifests: Manifests) -> Iterator[str]:
    policies = {name(each): each["spec"] for each in manifests.of("NetworkPolicy")}
    if policies.get("default-deny") != {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}:
        yield "NetworkPolicy default-deny: doesn't deny everything"
    dns = policies.get("dns", {})
    ports = {
        (each["protocol"], each["port"]) for to in dns.get("egress", ()) for each in to["ports"]
    }
    if dns.get("podSelector") != {} or ports != {("UDP", 53), ("TCP", 53)}:
        yield "NetworkPolicy dns: want port 53 by UDP and TCP for every pod"
    for policy, spec in policies.items():
        if policy not in ("default-deny", "dns") and not manifests.selected(spec["podSelector"]):
            yield f"NetworkPolicy {policy}: selects no pod"


def network_has_the_edges_and_no_more(manifests: Manifests) -> Iterator[str]:
    """Who calls whom is what the targets in the settings say."""
    calls = set[tuple[str, str, int]]()
    for one in manifests.services():
        for variable, value in manifests.environment(one).items():
            if not variable.endswith("_TARGET"):
                continue
            match = TARGET.fullmatch(value)
            service = manifests.named("Service", match[1]) if match else None
            if not match or not service or service["spec"].get("clusterIP") != "None":
                yield f"Deployment {name(one)}: {variable}={value} is no headless Service"
                continue
            if int(match[2]) not in {each["port"] for each in service["spec"]["ports"]}:
                yield f"Deployment {name(one)}: {variable}={value} is no port of {name(service)}"
            for called in manifests.selected({"matchLabels": service["spec"]["selector"]}):
                calls.add((name(one), called, int(match[2])))
    if len(calls) != 3:
        yield f"want gateway to touchpoint, gateway to scoring, scoring to touchpoint: got {calls}"
    labels = {name(each): pod_labels(each) for each in manifests.workloads()}
    wanted = {each: (set[Edge](), set[Edge]()) for each in labels}
    for caller, called, port in calls:
        wanted[called][0].add((caller, port))
        wanted[caller][1].add((called, port))
    _to_the_public(manifests, wanted)
    _to_the_database(manifests, wanted)
    _to_nats(manifests, wanted)
    for monitor in manifests.of("PodMonitor"):
        for scraped in manifests.selected(monitor["spec"]["selector"]):
            for each in monitor["spec"]["podMetricsEndpoints"]:
                port = _port(manifests, scraped, each["port"])
                wanted[scraped][0].add((f"ns:{MONITORING}", port))
    for one in manifests.services():
        collector = manifests.environment(one).get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if collector:
            match = COLLECTOR.fullmatch(collector)
            if not match:
                yield f"Deployment {name(one)}: the collector {collector} is no Service by its full name"
                continue
            wanted[name(one)][1].add((f"ns:{match[1]}", int(match[2])))
    if manifests.cluster():
        labels["postgres"] = POSTGRES
    for workload, (came, gone) in wanted.items():
        for side, words, want in (("ingress", "lets in", came), ("egress", "lets out", gone)):
            found = _allowed(manifests, labels[workload], side)
            if found != want:
                yield f"{workload}: {words} {sorted(found)}, want {sorted(want)}"


def _port(manifests: Manifests, workload: str, named: str) -> int:
    """0 where the pod has none of that name."""
    (one,) = (each for each in manifests.workloads() if name(each) == workload)
    listed = container(one)["ports"]
    return next((each["containerPort"] for each in listed if each["name"] == named), 0)


def _to_the_public(manifests: Manifests, wanted: dict[str, tuple[set[Edge], set[Edge]]]) -> None:
    proxies = "ns:gateway-system" if manifests.of("Gateway") else "*"
    for service in manifests.of("Service"):
        if name(service) == PUBLIC:
            wanted[PUBLIC][0].update((proxies, port["port"]) for port in service["spec"]["ports"])


def _to_the_database(manifests: Manifests, wanted: dict[str, tuple[set[Edge], set[Edge]]]) -> None:
    clients = [name(each) for each in manifests.of("Deployment", "Job")]
    if not manifests.cluster():
        for each in clients:
            wanted[each][1].add(("*", POSTGRES_PORT))
        return
    for each in clients:
        wanted[each][1].add(("postgres", POSTGRES_PORT))
    both = [
        (each, port) for each in ("postgres",) for port in (POSTGRES_PORT, POSTGRES_STATUS_PORT)
    ]
    came = {(each, POSTGRES_PORT) for each in clients} | set(both)
    came |= {("ns:cnpg-system", port) for _, port in both}
    if manifests.of("ScaledObject"):
        came.add(("ns:keda", POSTGRES_PORT))
    wanted["postgres"] = came, set(both) | {("*", port) for port in API_PORTS}


def _to_nats(manifests: Manifests, wanted: dict[str, tuple[set[Edge], set[Edge]]]) -> None:
    if "nats" not in wanted:
        return
    for client in NATS_CLIENTS:
        wanted[client][1].add(("nats", NATS_PORT))
        wanted["nats"][0].add((client, NATS_PORT))
    for side in wanted["nats"]:
        side.add(("nats", NATS_ROUTE_PORT))


def _allowed(manifests: Manifests, labels: Any, side: str) -> set[Edge]:
    """What all policies that select such pods allow together, but for names that every pod may look up."""
    peers = {"ingress": "from", "egress": "to"}[side]
    return {
        (peer, port["port"])
        for policy in manifests.of("NetworkPolicy")
        if name(policy) != "dns" and matches(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get(side, ())
        for port in rule.get("ports", [{"port": 0}])
        for peer in (
            [p for each in rule[peers] for p in _peers(manifests, each)] if peers in rule else "*"
        )
    }


def _peers(manifests: Manifests, peer: Any) -> list[str]:
    if "namespaceSelector" in peer:
        return [f"ns:{peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}"]
    return manifests.selected(peer["podSelector"])


RULES = (everything_else_is_denied, network_has_the_edges_and_no_more)
