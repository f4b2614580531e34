"""What the gateway can be told by its environment."""

from pathlib import Path

from pydantic import Field

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
    # NATS servers, nats://HOST:PORT or tls://HOST:PORT with commas between: events are queued there and
    # answered QUEUED, and the touchpoint services that have the same setting record them. Over tls:// with
    # the PEM files above. Unset: events go to the journal at once and are answered RECORDED.
    buffer: str | None = None
    # How many servers must keep what is queued: what the touchpoint services are told, too.
    buffer_replicas: int = Field(default=1, ge=1, le=5)
    # 64 hexadecimal digits. Pseudonyms and content digests are made with keys derived from it: all gateways
    # share it, it lives outside the databases, and losing it means that no repeated event is recognised.
    secret_key_file: Path
    # Where a key for this machine's own command line is kept, made at the first start. Unset: none is made.
    local_key_file: Path | None = None
    # What a key may do for which no limit of its own is set, in one gateway process; the quota of the day is
    # shared by all gateways. The rates are above what a process reaches: lower them to give less than all of
    # it. A tenant that floods is held back by its share of the work under way, whatever they are.
    key_events_per_second: int = Field(default=100_000, gt=0)
    # Events at once beyond that, after a silence.
    key_burst_events: int = Field(default=200_000, gt=0)
    key_bytes_per_second: int = Field(default=128 * 1024 * 1024, gt=0)
    key_concurrent_calls: int = Field(default=512, gt=0)
    # Events of a UTC day; 0 sets no quota.
    key_events_per_day: int = Field(default=0, ge=0)
    # The same for all keys of a tenant together.
    tenant_events_per_second: int = Field(default=200_000, gt=0)
    tenant_burst_events: int = Field(default=400_000, gt=0)
    tenant_bytes_per_second: int = Field(default=256 * 1024 * 1024, gt=0)
    tenant_events_per_day: int = Field(default=0, ge=0)
