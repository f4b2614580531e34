"""touchledger.v1.KeyService: makes, lists and revokes API keys of the caller's own tenant."""

import asyncio
import re
from datetime import UTC

import asyncpg
import grpc
import structlog
from google.protobuf.message import Message

from services.chassis import clock
from services.chassis.errors import Conflict, Malformed, NotFound
from services.chassis.postgres import Pool
from services.gateway.access import (
    ADMIN,
    BEACON,
    RESERVED_SOURCE,
    SCOPES,
    Access,
    new_key,
    whole,
)
from services.gateway.keyring import Keyring
from services.gateway.limits import Limits
from touchledger.v1 import events_pb2, keys_pb2, keys_pb2_grpc

log = structlog.get_logger()

SOURCE_CHARACTERS_MAX = 128
ORIGINS_MAX = 32
ORIGIN_CHARACTERS_MAX = 255
KEYS_LISTED_MAX = 1000
# Each is one small statement, or three; more is a database that hangs.
DEADLINE_SECONDS = 10.0
# For a source and a scope: the one in use, and the one that is being put in its place.
LIVE_KEYS_MAX = 2
# A scheme, a host in lower case and a port: what a browser sends as Origin, letter by letter.
ORIGIN = re.compile(
    r"https?://[a-z0-9.-]+(:[1-9][0-9]{0,4})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?"
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
BIGINT_MAX = 2**63 - 1
# 9999-12-31: the last day that a Timestamp can say.
SECONDS_MAX = 253_402_300_799
SET_BY_SERVER = ("key_id", "created_at", "revoked_at")

# Two keys made at once for one source would not see each other. Held until the transaction ends.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(1) || $2, 0))"
FULL = """
SELECT scope
  FROM gateway.api_key, unnest(scopes) AS scope
 WHERE tenant = $1 AND source = $2 AND scope = ANY($3) AND revoked_at IS NULL
   AND (expires_at IS NULL OR expires_at > now())
 GROUP BY scope HAVING count(*) >= $4
 ORDER BY scope LIMIT 1
"""
CREATE = """
INSERT INTO gateway.api_key
       (key_id, secret_digest, tenant, source, scopes, trust, origins, expires_at,
        events_per_second, burst_events, bytes_per_second, concurrent_calls, events_per_day)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING created_at
"""
LIST = """
SELECT key_id, source, scopes, trust, origins, expires_at, events_per_second, burst_events,
       bytes_per_second, concurrent_calls, events_per_day, created_at, revoked_at
  FROM gateway.api_key
 WHERE tenant = $1 AND ($2 = '' OR source = $2)
   AND ($3 OR revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))
 ORDER BY created_at DESC, key_id LIMIT $4
"""
REVOKE = """
UPDATE gateway.api_key SET revoked_at = coalesce(revoked_at, now())
 WHERE key_id = $1 AND tenant = $2
RETURNING key_id, source, scopes, trust, origins, expires_at, events_per_second, burst_events,
          bytes_per_second, concurrent_calls, events_per_day, created_at, revoked_at
"""


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    def __init__(self, access: Access, limits: Limits, pool: Pool, keyring: Keyring) -> None:
        self._access = access
        self._limits = limits
        self._pool = pool
        self._keyring = keyring

    async def CreateKey(
        self, request: keys_pb2.CreateKeyRequest, context: grpc.aio.ServicerContext
    ) -> keys_pb2.CreateKeyResponse:
        caller = await self._access.admit(context.invocation_metadata(), ADMIN)
        _refuse_unknown(request)
        wanted = checked(request.key)
        with self._limits.question(caller):
            async with asyncio.timeout(DEADLINE_SECONDS):
                secret = await self._create(caller.tenant, wanted)
        # Who can do what is what an auditor asks first.
        log.info("key made", key_id=wanted.key_id, scopes=list(wanted.scopes), by=caller.key_id)
        return keys_pb2.CreateKeyResponse(key=wanted, secret=secret)

    async def ListKeys(
        self, request: keys_pb2.ListKeysRequest, context: grpc.aio.ServicerContext
    ) -> keys_pb2.ListKeysResponse:
        caller = await self._access.admit(context.invocation_metadata(), ADMIN)
        if request.source:
            _refuse_bad_line(request.source, "source")
        with self._limits.question(caller):
            async with asyncio.timeout(DEADLINE_SECONDS):
                rows = await self._pool.fetch(
                    LIST, caller.tenant, request.source, request.include_dead, KEYS_LISTED_MAX
                )
        return keys_pb2.ListKeysResponse(keys=map(_shown, rows))

    async def RevokeKey(
        self, request: keys_pb2.RevokeKeyRequest, context: grpc.aio.ServicerContext
    ) -> keys_pb2.RevokeKeyResponse:
        caller = await self._access.admit(context.invocation_metadata(), ADMIN)
        if request.key_id:
            _refuse_bad_line(request.key_id, "key_id")
        with self._limits.question(caller):
            async with asyncio.timeout(DEADLINE_SECONDS):
                row = await self._pool.fetchrow(REVOKE, request.key_id, caller.tenant)
        if row is None:
            raise NotFound("the id of one of your keys", field="key_id", got="another")
        self._access.forget(request.key_id)
        log.info("key revoked", key_id=request.key_id, by=caller.key_id)
        return keys_pb2.RevokeKeyResponse(key=_shown(row))

    async def _create(self, tenant: str, key: keys_pb2.Key) -> str:
        """Stores the key, completes it with what is set here, and gives the whole of it, told once."""
        key.key_id, secret = new_key()
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(LOCK, tenant, key.source)
            full = await connection.fetchval(
                FULL, tenant, key.source, list(key.scopes), LIVE_KEYS_MAX
            )
            if full is not None:
                raise Conflict(
                    f"at most {LIVE_KEYS_MAX} live keys: revoke the older one first",
                    code="TOO_MANY_KEYS",
                    field="key.scopes",
                    got=f"{LIVE_KEYS_MAX} of this source with {full}",
                )
            key.created_at = await connection.fetchval(
                CREATE,
                key.key_id,
                self._keyring.secret_digest(secret),
                tenant,
                key.source,
                list(key.scopes),
                key.trust,
                list(key.origins),
                key.expires_at.ToDatetime(tzinfo=UTC) if key.HasField("expires_at") else None,
                key.events_per_second,
                key.burst_events,
                key.bytes_per_second,
                key.concurrent_calls,
                key.events_per_day,
            )
        return whole(key.key_id, secret)


def checked(asked: keys_pb2.Key) -> keys_pb2.Key:
    """The key as it will be made, but for what is set here. Raises Malformed."""
    for name in SET_BY_SERVER:
        if asked.DESCRIPTOR.fields_by_name[name].has_presence:
            given = asked.HasField(name)
        else:
            given = bool(getattr(asked, name))
        if given:
            raise _malformed(name, "a value", "none: the gateway sets it")
    key = keys_pb2.Key()
    key.CopyFrom(asked)
    _refuse_bad_line(key.source, "key.source")
    if key.source == RESERVED_SOURCE:
        raise _malformed("source", key.source, "another name: decisions are of this one")
    _check_scopes(key)
    _check_trust(key)
    _check_origins(key)
    if key.HasField("expires_at") and not (
        clock.now().seconds < key.expires_at.seconds <= SECONDS_MAX
        and 0 <= key.expires_at.nanos < 1_000_000_000
    ):
        raise _malformed("expires_at", "another", "a moment to come, before the year 10000")
    for name in ("events_per_day", "bytes_per_second"):
        if getattr(key, name) > BIGINT_MAX:
            raise _malformed(name, f"{getattr(key, name)}", f"at most {BIGINT_MAX}")
    return key


def _check_scopes(key: keys_pb2.Key) -> None:
    scopes = sorted(set(key.scopes), key=SCOPES.index) if set(key.scopes) <= set(SCOPES) else []
    if not scopes:
        raise _malformed("scopes", f"{len(key.scopes)} others", f"some of {', '.join(SCOPES)}")
    if BEACON in scopes and len(scopes) > 1:
        raise _malformed("scopes", "beacon and others", "beacon alone: anybody can read a web page")
    key.scopes[:] = scopes


def _check_trust(key: keys_pb2.Key) -> None:
    beacon = BEACON in key.scopes
    usual = events_pb2.TRUST_OPEN if beacon else events_pb2.TRUST_SOURCE
    key.trust = key.trust or usual
    if key.trust not in events_pb2.Trust.values():
        raise _malformed("trust", f"{key.trust}", "a value of Trust")
    if beacon and key.trust != events_pb2.TRUST_OPEN:
        raise _malformed(
            "trust", events_pb2.Trust.Name(key.trust), "TRUST_OPEN: anybody can use a beacon key"
        )


def _check_origins(key: keys_pb2.Key) -> None:
    if BEACON not in key.scopes:
        if key.origins:
            raise _malformed("origins", f"{len(key.origins)}", "none: they are of beacon keys")
        return
    if not 1 <= len(key.origins) <= ORIGINS_MAX:
        raise _malformed("origins", f"{len(key.origins)}", f"1 to {ORIGINS_MAX}")
    for origin in key.origins:
        if len(origin) > ORIGIN_CHARACTERS_MAX or not ORIGIN.fullmatch(origin):
            raise _malformed(
                "origins",
                f"{len(origin)} characters",
                "web origins such as https://shop.example: no path, no capitals, no *",
            )


def _refuse_bad_line(text: str, field: str) -> None:
    if not 1 <= len(text) <= SOURCE_CHARACTERS_MAX or CONTROL.search(text):
        raise Malformed(
            f"1 to {SOURCE_CHARACTERS_MAX} characters, none of them a control character",
            field=field,
            got=f"{len(text)} characters",
        )


def _refuse_unknown(request: Message) -> None:
    """What a newer client asks for must not be left out in silence: it may be a limit."""
    known = type(request)()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    if known.ByteSize() != request.ByteSize():
        raise Malformed("fields that touchledger.v1 has", code="UNKNOWN_FIELD", got="others")


def _malformed(field: str, got: str, want: str) -> Malformed:
    return Malformed(want, field=f"key.{field}", got=got)


def _shown(row: asyncpg.Record) -> keys_pb2.Key:
    fields = dict(row)
    for name in ("expires_at", "created_at", "revoked_at"):
        if fields[name] is None:
            del fields[name]
    return keys_pb2.Key(**fields)
