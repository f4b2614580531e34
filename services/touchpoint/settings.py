"""What the touchpoint service can be told by its environment."""

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
