"""Who calls: an API key says whose tenant and source it is, and no body can say otherwise."""

import asyncio
import hmac
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.chassis.errors import Forbidden, Unauthenticated
from services.chassis.postgres import Pool, Unsuitable
from services.gateway.keyring import Keyring

KEY = re.compile(r"tl_([a-z0-9]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
BEARER = re.compile(r"bearer +(\S+)", re.ASCII | re.IGNORECASE)
# How long a key that was revoked may still work.
TRUSTED_SECONDS = 5.0
KEYS_CACHED_MAX = 10_000
PUBLISH, QUERY = "publish", "query"

LOOK_UP = """
SELECT secret_digest, tenant, source, scopes
  FROM gateway.api_key
 WHERE key_id = $1 AND revoked_at IS NULL
"""
STORE = """
INSERT INTO gateway.api_key (key_id, secret_digest, tenant, source, scopes) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made."""

    tenant: str
    source: str
    scopes: frozenset[str]


class Access:
    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        # Key id to (secret digest, caller, when it was looked up), the one looked up last at the end.
        self._known: OrderedDict[str, tuple[bytes, Caller, float]] = OrderedDict()

    async def admit(self, metadata: Iterable[tuple[str, str | bytes]] | None, scope: str) -> Caller:
        """The caller, by the metadata "authorization: Bearer KEY"."""
        for name, value in metadata or ():
            if name == "authorization":
                scheme = BEARER.fullmatch(str(value))
                return await self.admit_key(scheme[1] if scheme else "", scope)
        raise Unauthenticated("Bearer KEY", field="authorization", got="nothing")

    async def admit_key(self, key: str, scope: str) -> Caller:
        match = KEY.fullmatch(key)
        if match is None:
            raise Unauthenticated(
                "an API key of the form tl_ID_SECRET", field="authorization", got="none"
            )
        key_id, secret = match.groups()
        digest = self._keyring.secret_digest(secret)
        stored, caller = await self._look_up(key_id)
        if caller is None or not hmac.compare_digest(stored, digest):
            raise Unauthenticated(
                "a key that is known and not revoked", field="authorization", got="another"
            )
        if scope not in caller.scopes:
            raise Forbidden(
                f"a key with the scope {scope}", field="authorization", got="one without"
            )
        return caller

    async def _look_up(self, key_id: str) -> tuple[bytes, Caller | None]:
        now = asyncio.get_running_loop().time()
        known = self._known.get(key_id)
        if known and now - known[2] < TRUSTED_SECONDS:
            return known[0], known[1]
        row = await self._pool.fetchrow(LOOK_UP, key_id)
        if row is None:
            self._known.pop(key_id, None)
            return b"", None
        caller = Caller(row["tenant"], row["source"], frozenset(row["scopes"]))
        self._known[key_id] = row["secret_digest"], caller, now
        self._known.move_to_end(key_id)
        if len(self._known) > KEYS_CACHED_MAX:
            self._known.popitem(last=False)
        return row["secret_digest"], caller

    async def keep_local_key(self, file: Path) -> None:
        """Makes the key of this machine's command line, once, readable by its owner alone."""
        try:
            if not file.exists():
                _write_private(file, f"tl_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}\n")
            match = KEY.fullmatch(file.read_text().strip())
        except OSError as error:
            raise Unsuitable(f"gateway: local_key_file {file}: {error.strerror}") from None
        if match is None:
            raise Unsuitable(f"gateway: local_key_file {file}: got something else, want an API key")
        key_id, secret = match.groups()
        digest = self._keyring.secret_digest(secret)
        await self._pool.execute(STORE, key_id, digest, "default", "local", [PUBLISH, QUERY])


def _write_private(file: Path, text: str) -> None:
    """Whole or not at all, and never readable by anybody else."""
    beside = file.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
