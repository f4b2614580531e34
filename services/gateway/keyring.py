"""The keys that live outside the databases: one secret in a file, from which each tenant's are derived."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.chassis.errors import Corrupt
from services.chassis.postgres import Unsuitable

SECRET_BYTES = 32
# 128 bits: enough that no two customers of a tenant share a pseudonym, short enough for an index.
PSEUDONYM_HEX_DIGITS = 32
# First byte of what is sealed: AES-256-GCM, a random nonce, the tenant's key of this purpose.
SEALED_V1 = b"\x01"
# Of 96 bits, as NIST SP 800-38D has it; chosen at random, a key is good for 2^32 of them.
NONCE_BYTES = 12
SHA256_BLOCK_BYTES = 64
# Keys of the tenants used last; deriving one again costs microseconds.
TENANTS_CACHED_MAX = 1024


class Keyring:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._derive = lru_cache(maxsize=2 * TENANTS_CACHED_MAX)(self._derived)
        self._pads = lru_cache(maxsize=2 * TENANTS_CACHED_MAX)(self._padded)

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
        return self.pseudonyms(tenant, (customer,))[0]

    def pseudonyms(self, tenant: str, customers: Iterable[str]) -> list[str]:
        digests = self._digests("pseudonym", tenant, [each.encode() for each in customers])
        return [each.hex()[:PSEUDONYM_HEX_DIGITS] for each in digests]

    def content_digest(self, tenant: str, published: bytes) -> bytes:
        """Keyed, since the published bytes hold personal data that could be guessed from a plain hash."""
        return self.content_digests(tenant, (published,))[0]

    def content_digests(self, tenant: str, published: Iterable[bytes]) -> list[bytes]:
        return self._digests("content", tenant, published)

    def _digests(self, purpose: str, tenant: str, texts: Iterable[bytes]) -> list[bytes]:
        """HMAC-SHA-256. By hand, since hmac.digest takes twice the time, and this runs for each event."""
        sha256, (inner, outer) = hashlib.sha256, self._pads(purpose, tenant)
        return [sha256(outer + sha256(inner + text).digest()).digest() for text in texts]

    def secret_digest(self, secret: str) -> bytes:
        """How the secret part of an API key is stored. Its 256 random bits need no slow hash."""
        return hmac.digest(self._derive("api key", ""), secret.encode(), "sha256")

    def sealed(self, tenant: str, clear: bytes, *, place: str) -> bytes:
        """What only this keyring opens again, for the same tenant and at the same place alone.

        The place, such as "quarantine:ID", keeps a row's content from being put into another row.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher = AESGCM(self._derive("seal", tenant))
        return SEALED_V1 + nonce + cipher.encrypt(nonce, clear, place.encode())

    def opened(self, tenant: str, sealed: bytes, *, place: str) -> bytes:
        """The bytes that were sealed. Raises Corrupt where they were touched or are another secret's."""
        if sealed[:1] == SEALED_V1:
            nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
            try:
                return AESGCM(self._derive("seal", tenant)).decrypt(nonce, rest, place.encode())
            except (InvalidTag, ValueError):
                # A nonce that is cut short is a ValueError.
                pass
        raise Corrupt("content that was sealed here with this gateway's secret", got="other bytes")

    def _padded(self, purpose: str, tenant: str) -> tuple[bytes, bytes]:
        """The key as RFC 2104 puts it before the inner and the outer text."""
        block = self._derive(purpose, tenant).ljust(SHA256_BLOCK_BYTES, b"\0")
        return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)

    def _derived(self, purpose: str, tenant: str) -> bytes:
        # The length keeps ("a", "b:c") and ("a:b", "c") apart.
        return hmac.digest(self._secret, f"{len(purpose)}:{purpose}:{tenant}".encode(), "sha256")
