"""Settings from the environment: one frozen class per service, all bad variables reported at once.

A variable is the service's prefix and the field's name in capitals, such as TOUCHLEDGER_SCORING_LISTEN.
A file of that name in the folder TOUCHLEDGER_SECRETS_DIR does as well, which suits mounted secrets; the
environment wins.
"""

import ipaddress
import os
import sys
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("want HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
    return value


Address = Annotated[str, AfterValidator(_address)]
MetricsAddress = Annotated[
    Address,
    BeforeValidator(lambda given: f"127.0.0.1:{given}" if f"{given}".isdecimal() else given),
]


class DatabaseSettings(BaseSettings):
    """What whatever uses a service's database can be told."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    database_url: SecretStr
    # How long to wait for the database at the start before giving up.
    database_wait_seconds: float = 60.0


class ServiceSettings(DatabaseSettings):
    """What every service can be told."""

    listen: Address
    # A second address that answers health checks alone, in clear text: probes have no certificate.
    health_listen: Address | None = None
    # Where Prometheus scrapes /metrics, in clear text; a port alone is on loopback. What is measured tells
    # nothing of what is published but how much it is. Unset: nobody can.
    metrics_listen: MetricsAddress | None = None
    # PEM files. Needed for an address beyond loopback, unless tls_in_front.
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    # Callers must show a certificate that this authority signed. The services behind the gateway need it
    # beyond loopback: it is their callers' credential.
    tls_client_ca_file: Path | None = None
    # A file with a secret that services on one machine show each other, where other users could reach their
    # ports, too. Unset: whoever reaches the port of a service behind the gateway is let in.
    peers_secret_file: Path | None = None
    # Something in front of this process ends TLS and checks who calls (a service mesh, a proxy in the pod).
    tls_in_front: bool = False
    # How long to go on serving after a stop was asked for, so that load balancers look away first. 0 suits
    # one machine; in Kubernetes 5 covers the spread of endpoint changes.
    drain_seconds: float = 0.0
    # How long calls under way may take to end after that.
    stop_grace_seconds: float = 10.0


Settings = TypeVar("Settings", bound=DatabaseSettings)


def load(kind: type[Settings]) -> Settings:
    """The settings, or an exit that names every bad variable and shows no value."""
    secrets_dir = os.environ.get("TOUCHLEDGER_SECRETS_DIR") or None
    try:
        return kind(_secrets_dir=secrets_dir)  # type: ignore[call-arg]  # BaseSettings takes it
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        for problem in error.errors(include_input=False, include_url=False):
            variable = f"{prefix}{'_'.join(str(part) for part in problem['loc'])}".upper()
            print(f"{variable}: {problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None


def is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
