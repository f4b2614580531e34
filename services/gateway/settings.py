"""What the gateway can be told by its environment."""

from pathlib import Path

from services.chassis.settings import Address, ServiceSettings


class Settings(ServiceSettings, env_prefix="TOUCHLEDGER_GATEWAY_"):
    """Variables start with TOUCHLEDGER_GATEWAY_."""

    listen: Address = "127.0.0.1:50051"
    http_listen: Address = "127.0.0.1:8080"
    # The services behind it: HOST:PORT, or dns:///NAME:PORT for all replicas.
    touchpoint_target: str = "127.0.0.1:50052"
    scoring_target: str = "127.0.0.1:50053"
    # PEM files for calls to them; without a CA they go in clear text.
    services_ca_file: Path | None = None
    services_cert_file: Path | None = None
    services_key_file: Path | None = None
    # 64 hexadecimal digits. Pseudonyms and content digests are made with keys derived from it: all gateways
    # share it, it lives outside the databases, and losing it means that no repeated event is recognised.
    secret_key_file: Path
    # Where a key for this machine's own command line is kept, made at the first start. Unset: none is made.
    local_key_file: Path | None = None
