"""What the touchpoint service can be told by its environment."""

from decimal import Decimal
from pathlib import Path

from pydantic import Field

from services.chassis.settings import Address, ServiceSettings


class Settings(ServiceSettings, env_prefix="TOUCHLEDGER_TOUCHPOINT_"):
    """Variables start with TOUCHLEDGER_TOUCHPOINT_."""

    listen: Address = "127.0.0.1:50052"
    # Be ready although the server's fsync, full_page_writes or synchronous_commit is off: an acknowledged
    # event may then be lost.
    unsafe_durability: bool = False
    # Where signed checkpoints go, and the Ed25519 key that signs them (PEM, not readable for others). Worth
    # something where whoever administers the database can't write to the folder. Unset: none are exported.
    checkpoint_folder: Path | None = None
    checkpoint_key_file: Path | None = None
    # How long the last events can be without a checkpoint, and so be cut off unnoticed. A file of 300 bytes
    # each time, if anything was appended: with 600 at most 52 560 in a year.
    checkpoint_every_seconds: float = Field(default=600.0, ge=1.0)
    # Open recovery cases for failures and low scores by itself, and move them along with the events that
    # follow. It goes on where it stopped: what comes while it is off gets its cases once it is on again.
    recovery: bool = True
    # A score of the whole (CSAT or rating) of so many points or fewer opens one, of 100 in the good
    # direction: with 25 the two lowest of five answers. 0: no score does.
    recovery_score_points_max: Decimal = Field(default=Decimal(25), ge=0, le=100)
    # How long before it was recorded a failure or score may have occurred that still opens one. With more, a
    # history that is brought in opens a case for each failure in it, at some 2 ms each.
    recovery_age_days_max: int = Field(default=30, ge=1, le=36_500)
    # NATS servers in front of the journal, nats://HOST:PORT or tls://HOST:PORT with commas between: what
    # gateways have queued there is recorded by this service. Over tls:// with this service's own certificate
    # and tls_client_ca_file. Unset: nothing is queued.
    buffer: str | None = None
    # How the stream is made where there is none; the service does not start on one that is another way. Each
    # of 3 servers keeps all of it, and two have it when a gateway answers QUEUED; 1 is for one machine.
    buffer_replicas: int = Field(default=1, ge=1, le=5)
    # What recorders share: no more of them than this are at work. Events of one customer stay in one, and so
    # in order; another number needs an empty stream.
    buffer_partitions: int = Field(default=8, ge=1, le=256)
    # All that is not recorded yet, on each server's disk; must fit into its max_file_store.
    buffer_bytes_max: int = Field(default=8 * 1024**3, ge=1024**2)
    # Batches of one tenant in one partition, up to 256 KiB each: what one tenant can have unrecorded, so that
    # the others find room.
    buffer_tenant_messages_max: int = Field(default=10_000, ge=1)
    # Bring a stream that is another way to these settings instead of not starting: for the start that changes
    # its sizes or replicas. Its partitions are changed only while it is empty.
    buffer_change: bool = False
