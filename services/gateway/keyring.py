"""The keys that live outside the databases: one secret in a file, from which each tenant's are derived."""

import hmac
from functools import lru_cache
from pathlib import Path

from services.chassis.postgres import Unsuitable

SECRET_BYTES = 32
# 128 bits: enough that no two customers of a tenant share a pseudonym, short enough for an index.
PSEUDONYM_HEX_DIGITS = 32
# Keys of the tenants used last; deriving one again costs microseconds.
TENANTS_CACHED_MAX = 1024


class Keyring:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._derive = lru_cache(maxsize=2 * TENANTS_CACHED_MAX)(self._derived)

    @classmethod
    def read(cls, file: Path) -> "Keyring":
        try:
            secret = bytes.fromhex(file.read_text().strip())
        except (OSError, ValueError) as error:
            raise Unsuitable(
                f"gateway: secret_key_file {file}: {type(error).__name__}, "
                f"want {2 * SECRET_BYTES} hexadecimal digits"
            ) from None
        if len(secret) != SECRET_BYTES:
            raise Unsuitable(
                f"gateway: secret_key_file {file}: got {len(secret)} bytes, want {SECRET_BYTES}"
            )
        return cls(secret)

    def pseudonym(self, tenant: str, customer: str) -> str:
        """What stands for the customer in journal and read models; the same for ever within a tenant."""
        key = self._derive("pseudonym", tenant)
        return hmac.digest(key, customer.encode(), "sha256").hex()[:PSEUDONYM_HEX_DIGITS]

    def content_digest(self, tenant: str, published: bytes) -> bytes:
        """Keyed, since the published bytes hold personal data that could be guessed from a plain hash."""
        return hmac.digest(self._derive("content", tenant), published, "sha256")

    def secret_digest(self, secret: str) -> bytes:
        """How the secret part of an API key is stored. Its 256 random bits need no slow hash."""
        return hmac.digest(self._derive("api key", ""), secret.encode(), "sha256")

    def _derived(self, purpose: str, tenant: str) -> bytes:
        # The length keeps ("a", "b:c") and ("a:b", "c") apart.
        return hmac.digest(self._secret, f"{len(purpose)}:{purpose}:{tenant}".encode(), "sha256")
