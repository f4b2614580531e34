"""Where the gateway is, and the key that opens it."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

KEY_VARIABLE = "TOUCHLEDGER_KEY"
CHANNEL_OPTIONS = (
    # A connection that lost its way is given up for a new one, which a shared one would not be.
    ("grpc.use_local_subchannel_pool", 1),
    # How often to try is decided in delivery.py alone.
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True, slots=True)
class Gateway:
    """HOST:PORT over TLS. In clear text the key can be read on the way: for the same machine alone."""

    target: str
    # Empty: the environment's TOUCHLEDGER_KEY. In no repr.
    key: str = field(default="", repr=False)
    # PEM of the authority that signed the gateway's certificate; None: those that gRPC trusts.
    ca_file: Path | None = None
    clear_text: bool = False
    _ca: bytes | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        key = (self.key or os.environ.get(KEY_VARIABLE, "")).strip()
        # Checked here, because gRPC would quote a key that it can't send.
        if not re.fullmatch(r"[!-~]+", key):
            raise ValueError(f"key: want an API key, as an argument or in {KEY_VARIABLE}")
        object.__setattr__(self, "key", key)
        if self.ca_file is not None:
            # Read once: a connection in a year's time needs no file.
            object.__setattr__(self, "_ca", self.ca_file.read_bytes())

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        return (("authorization", f"Bearer {self.key}"),)

    def channel(self) -> grpc.Channel:
        if self.clear_text:
            return grpc.insecure_channel(self.target, options=CHANNEL_OPTIONS)
        return grpc.secure_channel(self.target, self._credentials(), options=CHANNEL_OPTIONS)

    def aio_channel(self) -> grpc.aio.Channel:
        if self.clear_text:
            return grpc.aio.insecure_channel(self.target, options=CHANNEL_OPTIONS)
        return grpc.aio.secure_channel(self.target, self._credentials(), options=CHANNEL_OPTIONS)

    def _credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self._ca)
