"""Objects fit the schemas of the oldest and the newest Kubernetes that the manifests are for."""

import json
from collections.abc import Iterator
from functools import cache

import kubernetes_validate

from tests.unit.deploy.manifests import Manifests, name

VERSIONS = ("1.33", "1.37")
# Kinds that operators bring. Every other one has to be known to Kubernetes itself in both versions, so that a
# misspelled kind or a removed version of an API is told. None of these has a schema here; most have one in
# `make check/k8s`.
CUSTOM = frozenset(
    {
        ("cert-manager.io/v1", "Certificate"),
        ("cert-manager.io/v1", "Issuer"),
        ("postgresql.cnpg.io/v1", "Cluster"),
        ("postgresql.cnpg.io/v1", "Database"),
        ("postgresql.cnpg.io/v1", "ScheduledBackup"),
        ("barmancloud.cnpg.io/v1", "ObjectStore"),
        ("keda.sh/v1alpha1", "ScaledObject"),
        ("keda.sh/v1alpha1", "TriggerAuthentication"),
        ("monitoring.coreos.com/v1", "PodMonitor"),
        ("monitoring.coreos.com/v1", "PrometheusRule"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("gateway.networking.k8s.io/v1", "GRPCRoute"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("gateway.networking.k8s.io/v1", "BackendTLSPolicy"),
    }
)


def fits_the_schemas(manifests: Manifests) -> Iterator[str]:
    for one in manifests.objects:
        if (one["apiVersion"], one["kind"]) not in CUSTOM:
            yield from _problems(json.dumps(one))


@cache
def _problems(text: str) -> list[str]:
    """Most objects are the same in several renders."""
    one, found = json.loads(text), []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(map(str, error.path))
            found.append(f"{one['kind']} {name(one)} for {version}: {where}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            # The command line only warns of these, and then lets the object pass unread.
            found.append(f"{one['kind']} {name(one)} for {version}: {error.message}")
    return found
