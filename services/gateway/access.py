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

import asyncpg

from services.chassis import clock
from services.chassis.errors import Exhausted, Forbidden, Unauthenticated
from services.chassis.postgres import Pool, Unsuitable
from services.gateway.keyring import Keyring
from touchledger.v1 import events_pb2

KEY = re.compile(r"tl_([a-z0-9]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
BEARER = re.compile(r"bearer +(\S+)", re.ASCII | re.IGNORECASE)
# How long a key that was revoked may still work.
TRUSTED_SECONDS = 5.0
KEYS_CACHED_MAX = 10_000
# Of "Bearer KEY" as it came, so that a key that comes again and again is hashed once. A longer one, which
# blanks can make of any, is not kept.
BEARER_CACHED_LENGTH_MAX = 128
# How long an id that is nobody's is refused without another look, which is also what the first call with a
# new key may have to wait where somebody tried it before it was made.
UNKNOWN_SECONDS = 1.0
UNKNOWN_CACHED_MAX = 10_000
# Whoever guesses keys invents another id for each. All ids that came meanwhile are looked up in one
# statement, and the next one is no sooner than this: guessing costs the database 100 statements a second
# at most, however many guess, and a caller whose key is not known here yet waits this long at most.
LOOK_UPS_APART_SECONDS = 0.01
KEYS_LOOKED_UP_MAX = 1000
LOOK_UP_DEADLINE_SECONDS = 5.0

PUBLISH, QUERY, RECOVER, ADMIN, BEACON = "publish", "query", "recover", "admin", "beacon"
SCOPES = (PUBLISH, QUERY, RECOVER, ADMIN, BEACON)
# What the key of this machine's own command line may do. A beacon key is for web pages, and for them alone.
LOCAL_SCOPES = (PUBLISH, QUERY, RECOVER, ADMIN)
# What concerns the data of all tenants. Only the key of this machine's own command line has it: no key that
# is made for a tenant can do what others would notice.
OPERATE = "operate"

# The journal keeps decisions under it, and takes nothing else from it.
RESERVED_SOURCE = "touchledger"

# The scope that each RPC needs. Whatever is not here is not served; what tells nothing of anybody's data
# (health, and reflection on loopback) needs no key.
METHODS = {
    "/touchledger.v1.IngestService/Publish": PUBLISH,
    "/touchledger.v1.IngestService/PublishBatch": PUBLISH,
    "/touchledger.v1.IngestService/PublishStream": PUBLISH,
    "/touchledger.v1.IngestService/GetOutcomes": PUBLISH,
    "/touchledger.v1.BufferService/GetBuffer": OPERATE,
    "/touchledger.v1.BufferService/ReconcileBuffer": OPERATE,
    "/touchledger.v1.ScoringService/GetScores": QUERY,
    "/touchledger.v1.ScoringService/GetStatus": QUERY,
    "/touchledger.v1.ScoringService/GetSeries": QUERY,
    "/touchledger.v1.ScoringService/GetJourney": QUERY,
    "/touchledger.v1.ScoringService/GetBridge": QUERY,
    "/touchledger.v1.ScoringService/GetLineage": QUERY,
    "/touchledger.v1.ScoringService/WatchScores": QUERY,
    "/touchledger.v1.ExperienceService/ListFigures": QUERY,
    "/touchledger.v1.ExperienceService/GetFigure": QUERY,
    "/touchledger.v1.ExperienceService/GetFigureEvents": QUERY,
    "/touchledger.v1.ProjectionService/GetProjections": OPERATE,
    "/touchledger.v1.ProjectionService/RebuildProjection": OPERATE,
    "/touchledger.v1.ProjectionService/DiffProjection": OPERATE,
    "/touchledger.v1.ProjectionService/SwitchProjection": OPERATE,
    "/touchledger.v1.ProjectionService/RollBackProjection": OPERATE,
    "/touchledger.v1.AlertService/PutAlertRule": ADMIN,
    "/touchledger.v1.AlertService/ListAlertRules": QUERY,
    "/touchledger.v1.AlertService/RemoveAlertRule": ADMIN,
    "/touchledger.v1.AlertService/ListAlerts": QUERY,
    "/touchledger.v1.AlertService/BackTest": QUERY,
    "/touchledger.v1.AlertService/WatchAlerts": QUERY,
    "/touchledger.v1.AlertService/ListAlertDeliveries": QUERY,
    "/touchledger.v1.TouchpointCatalogService/DefineTouchpoint": ADMIN,
    "/touchledger.v1.TouchpointCatalogService/ChangeTouchpoint": ADMIN,
    "/touchledger.v1.TouchpointCatalogService/RetireTouchpoint": ADMIN,
    "/touchledger.v1.TouchpointCatalogService/GetTouchpoint": QUERY,
    "/touchledger.v1.TouchpointCatalogService/ListTouchpoints": QUERY,
    "/touchledger.v1.RecoveryCaseService/OpenCase": RECOVER,
    "/touchledger.v1.RecoveryCaseService/AcknowledgeCase": RECOVER,
    "/touchledger.v1.RecoveryCaseService/RemedyCase": RECOVER,
    "/touchledger.v1.RecoveryCaseService/GiveGoodwill": RECOVER,
    "/touchledger.v1.RecoveryCaseService/CloseCase": RECOVER,
    "/touchledger.v1.RecoveryCaseService/ReopenCase": RECOVER,
    "/touchledger.v1.RecoveryCaseService/GetCase": QUERY,
    "/touchledger.v1.RecoveryCaseService/ListCases": QUERY,
    "/touchledger.v1.KeyService/CreateKey": ADMIN,
    "/touchledger.v1.KeyService/ListKeys": ADMIN,
    "/touchledger.v1.KeyService/RevokeKey": ADMIN,
    "/touchledger.v1.QuarantineService/ListQuarantined": RECOVER,
    "/touchledger.v1.QuarantineService/GetQuarantined": RECOVER,
    "/touchledger.v1.QuarantineService/ReplayQuarantined": RECOVER,
    "/touchledger.v1.QuarantineService/DiscardQuarantined": RECOVER,
    "/touchledger.v1.WebhookService/CreateWebhook": ADMIN,
    "/touchledger.v1.WebhookService/ListWebhooks": ADMIN,
    "/touchledger.v1.WebhookService/UpdateWebhook": ADMIN,
    "/touchledger.v1.WebhookService/DeleteWebhook": ADMIN,
    "/touchledger.v1.WebhookService/ReplayDeliveries": RECOVER,
}

LOOK_UP = """
SELECT key_id, secret_digest, tenant, source, scopes, trust, origins, expires_at,
       events_per_second, burst_events, bytes_per_second, concurrent_calls, events_per_day
  FROM gateway.api_key
 WHERE key_id = ANY($1) AND revoked_at IS NULL
"""
# A key of an earlier release has fewer scopes. One that was revoked stays so.
STORE = """
INSERT INTO gateway.api_key AS k (key_id, secret_digest, tenant, source, scopes)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key_id) DO UPDATE SET scopes = excluded.scopes
 WHERE k.secret_digest = excluded.secret_digest AND k.scopes <> excluded.scopes
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made. A limit of 0 is the gateway's default."""

    tenant: str
    source: str
    scopes: frozenset[str]
    key_id: str = ""
    trust: events_pb2.Trust = events_pb2.TRUST_SOURCE
    # The web origins that a beacon key may be used from.
    origins: tuple[str, ...] = ()
    events_per_second: int = 0
    burst_events: int = 0
    bytes_per_second: int = 0
    concurrent_calls: int = 0
    events_per_day: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    """A key as it was looked up; without a caller it is nobody's."""

    key_id: str
    caller: Caller | None
    secret_digest: bytes
    # On the wall clock; None means never.
    expires_at_seconds: float | None
    # On the loop's clock.
    looked_up_at: float

    def has_expired(self) -> bool:
        return (
            self.expires_at_seconds is not None and self.expires_at_seconds <= clock.now().seconds
        )

    def is_fresh(self) -> bool:
        age = asyncio.get_running_loop().time() - self.looked_up_at
        return age < (TRUSTED_SECONDS if self.caller else UNKNOWN_SECONDS)


class Access:
    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        # By key id, what was looked up last at the end.
        self._known: OrderedDict[str, _Known] = OrderedDict()
        # Apart from the others, so that guessing drives no good key out.
        self._unknown: OrderedDict[str, _Known] = OrderedDict()
        # What was shown with the right secret, and the look-up that said so: good as long as that one is.
        self._shown: OrderedDict[str, _Known] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[_Known]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def admit(self, metadata: Iterable[tuple[str, str | bytes]] | None, scope: str) -> Caller:
        """The caller, by the metadata "authorization: Bearer KEY"."""
        for name, value in metadata or ():
            if name == "authorization":
                return await self.admit_bearer(str(value), scope)
        raise Unauthenticated("Bearer KEY", field="authorization", got="nothing")

    async def admit_bearer(self, shown: str, scope: str) -> Caller:
        """The caller, by "Bearer KEY"."""
        known = self._shown.get(shown)
        if (
            known is None
            or self._known.get(known.key_id) is not known
            or not known.is_fresh()
            or known.has_expired()
        ):
            scheme = BEARER.fullmatch(shown)
            known = await self._proven(scheme[1] if scheme else "")
            self._remember_shown(shown, known)
        return _allowed(known, scope)

    async def admit_key(self, key: str, scope: str) -> Caller:
        return _allowed(await self._proven(key), scope)

    async def _proven(self, key: str) -> _Known:
        match = KEY.fullmatch(key)
        if match is None:
            raise Unauthenticated(
                "an API key of the form tl_ID_SECRET", field="authorization", got="none"
            )
        key_id, secret = match.groups()
        digest = self._keyring.secret_digest(secret)
        known = self._known.get(key_id) or self._unknown.get(key_id)
        if known is None or not known.is_fresh():
            known = await self._look_up(key_id)
        if (
            known.caller is None
            or not hmac.compare_digest(known.secret_digest, digest)
            or known.has_expired()
        ):
            raise Unauthenticated(
                "a key that is known and neither revoked nor expired",
                field="authorization",
                got="another",
            )
        return known

    def _remember_shown(self, shown: str, known: _Known) -> None:
        if len(shown) <= BEARER_CACHED_LENGTH_MAX:
            self._shown[shown] = known
            if len(self._shown) > KEYS_CACHED_MAX:
                self._shown.popitem(last=False)

    def forget(self, key_id: str) -> None:
        """Has the key looked up again; other gateways do so within TRUSTED_SECONDS."""
        self._known.pop(key_id, None)
        self._unknown.pop(key_id, None)

    async def _look_up(self, key_id: str) -> _Known:
        known = self._wanted.get(key_id)
        if known is None:
            if len(self._wanted) >= KEYS_LOOKED_UP_MAX:
                raise Exhausted("fewer unknown keys at once", got=f"{len(self._wanted)}")
            known = self._wanted[key_id] = asyncio.get_running_loop().create_future()
            if self._looking is None:
                self._looking = asyncio.create_task(self._look(), name="look up keys")
        # A caller that gives up does not take the answer away from the others that wait for it.
        return await asyncio.shield(known)

    async def _look(self) -> None:
        """One statement after the other, each for all that came meanwhile, as long as any came."""
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            now = asyncio.get_running_loop().time()
            try:
                # A free connection is waited for, too.
                async with asyncio.timeout(LOOK_UP_DEADLINE_SECONDS):
                    rows = await self._pool.fetch(LOOK_UP, list(wanted))
            except Exception as error:
                for waiting in wanted.values():
                    waiting.set_exception(error)
                    waiting.exception()  # seen, even if nobody waits any more
            else:
                found = {row["key_id"]: _known(row, now) for row in rows}
                for key_id, waiting in wanted.items():
                    known = found.get(key_id) or _Known(key_id, None, b"", None, now)
                    self._remember(key_id, known)
                    waiting.set_result(known)
            await asyncio.sleep(LOOK_UPS_APART_SECONDS)
        self._looking = None

    def _remember(self, key_id: str, known: _Known) -> None:
        self.forget(key_id)
        cache, most = (
            (self._known, KEYS_CACHED_MAX) if known.caller else (self._unknown, UNKNOWN_CACHED_MAX)
        )
        cache[key_id] = known
        if len(cache) > most:
            cache.popitem(last=False)

    async def keep_local_key(self, file: Path) -> None:
        """Makes the key of this machine's command line, once, readable by its owner alone."""
        try:
            if not file.exists():
                _write_private(file, f"{whole(*new_key())}\n")
            match = KEY.fullmatch(file.read_text().strip())
        except OSError as error:
            raise Unsuitable(f"gateway: local_key_file {file}: {error.strerror}") from None
        if match is None:
            raise Unsuitable(f"gateway: local_key_file {file}: got something else, want an API key")
        key_id, secret = match.groups()
        digest = self._keyring.secret_digest(secret)
        await self._pool.execute(
            STORE, key_id, digest, "default", "local", [*LOCAL_SCOPES, OPERATE]
        )


def _allowed(known: _Known, scope: str) -> Caller:
    caller = known.caller
    if caller is None or scope not in caller.scopes:
        raise Forbidden(f"a key with the scope {scope}", field="authorization", got="one without")
    return caller


def new_key() -> tuple[str, str]:
    """Id and secret of a new key; the secret has 256 random bits."""
    return secrets.token_hex(6), secrets.token_urlsafe(32)


def whole(key_id: str, secret: str) -> str:
    """What callers send."""
    return f"tl_{key_id}_{secret}"


def _known(row: asyncpg.Record, now: float) -> _Known:
    caller = Caller(
        tenant=row["tenant"],
        source=row["source"],
        scopes=frozenset(row["scopes"]),
        key_id=row["key_id"],
        trust=row["trust"],
        origins=tuple(row["origins"]),
        events_per_second=row["events_per_second"],
        burst_events=row["burst_events"],
        bytes_per_second=row["bytes_per_second"],
        concurrent_calls=row["concurrent_calls"],
        events_per_day=row["events_per_day"],
    )
    expires_at = row["expires_at"]
    return _Known(
        row["key_id"],
        caller,
        row["secret_digest"],
        expires_at.timestamp() if expires_at else None,
        now,
    )


def _write_private(file: Path, text: str) -> None:
    """Whole or not at all, and never readable by anybody else."""
    beside = file.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
