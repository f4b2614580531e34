"""The places that vendors deliver to: who made them for which source, how deliveries are verified and read.

What is delivered there is taken by http_webhooks.py, kept by deliveries.py and mapped by mapper.py.
"""

import asyncio
import base64
import binascii
import hmac
import json
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import asyncpg

from services.chassis import clock
from services.chassis.errors import Conflict, Malformed, NotFound
from services.chassis.postgres import Pool
from services.gateway.access import PUBLISH, RESERVED_SOURCE, Caller
from services.gateway.adapters import ADAPTERS
from services.gateway.adapters.adapter import Adapter, Config
from services.gateway.keyring import Keyring
from touchledger.v1 import events_pb2
from touchledger.v1 import webhooks_pb2 as pb

# How long a gateway goes by what it knows of a webhook.
KNOWN_SECONDS = 5.0
KNOWN_MAX = 10_000
# It takes a millisecond; a vendor is better told to come again than kept waiting for longer.
FIND_SECONDS_MAX = 5.0
WEBHOOKS_OF_TENANT_MAX = 1000
# A mapping of an event with everything in it has some 10 KiB.
CONFIG_BYTES_MAX = 64 * 1024
# What waits for one webhook to be mapped: beyond it the vendor is told to come again.
WAITING_MAX = 10_000
# An id is 96 random bits and as many of their digest: whoever guesses ids costs the database nothing.
ID_PART_BYTES = 12
PATH = "/v1/webhooks"

SET_BY_SERVER = ("webhook_id", "url", "has_secret", "created_at", "counts")
NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,128}")
SECRET = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,512}")
PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,255}", re.ASCII)

CREATE = """
INSERT INTO gateway.webhook (
    webhook_id, tenant, source, trust, adapter, url, config, with_api_key, secret, created_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
 WHERE (SELECT count(*) FROM gateway.webhook WHERE tenant = $2 AND deleted_at IS NULL) < $11
RETURNING webhook_id, source, trust, adapter, url, config, with_api_key, secret IS NOT NULL AS has_secret,
          created_at, deliveries, empty, recorded, duplicates, quarantined, rejected, conflicts
"""
LIST = """
SELECT webhook_id, source, trust, adapter, url, config, with_api_key, secret IS NOT NULL AS has_secret,
       created_at, deliveries, empty, recorded, duplicates, quarantined, rejected, conflicts,
       (SELECT count(*) FROM (
           SELECT FROM gateway.delivery AS d
            WHERE d.webhook_id = w.webhook_id AND d.due_at IS NOT NULL LIMIT $3) AS waits) AS waiting
  FROM gateway.webhook AS w
 WHERE tenant = $1 AND deleted_at IS NULL AND ($2 = '' OR source = $2)
 ORDER BY created_at DESC
"""
GET = """
SELECT adapter FROM gateway.webhook WHERE tenant = $1 AND webhook_id = $2 AND deleted_at IS NULL
"""
UPDATE = """
UPDATE gateway.webhook
   SET secret = coalesce($3, secret), config = coalesce($4, config), url = coalesce($5, url)
 WHERE tenant = $1 AND webhook_id = $2 AND deleted_at IS NULL
RETURNING webhook_id, source, trust, adapter, url, config, with_api_key, secret IS NOT NULL AS has_secret,
          created_at, deliveries, empty, recorded, duplicates, quarantined, rejected, conflicts
"""
DELETE = """
UPDATE gateway.webhook SET deleted_at = coalesce(deleted_at, $3)
 WHERE tenant = $1 AND webhook_id = $2
RETURNING webhook_id, source, trust, adapter, url, config, with_api_key, secret IS NOT NULL AS has_secret,
          created_at, deliveries, empty, recorded, duplicates, quarantined, rejected, conflicts
"""
FIND = """
SELECT tenant, source, trust, adapter, url, config, with_api_key, secret,
       (SELECT count(*) FROM (
           SELECT FROM gateway.delivery AS d
            WHERE d.webhook_id = w.webhook_id AND d.due_at IS NOT NULL LIMIT $2) AS waits) AS waiting
  FROM gateway.webhook AS w
 WHERE webhook_id = $1 AND deleted_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Webhook:
    """What a delivery needs to know of where it came."""

    webhook_id: str
    adapter: Adapter
    url: str
    config: Config
    with_api_key: bool
    # Empty as long as nobody knows it.
    secret: str
    # On whose behalf its events are published.
    caller: Caller
    # Deliveries that waited to be mapped when it was looked up.
    waiting: int


class Webhooks:
    def __init__(self, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        # By id, with when it was looked up, what was looked up last at the end; None is nobody's.
        self._known: OrderedDict[str, tuple[Webhook | None, float]] = OrderedDict()

    async def find(self, webhook_id: str) -> Webhook | None:
        """The webhook as it was within KNOWN_SECONDS."""
        if not self._is_ours(webhook_id):
            return None
        now = asyncio.get_running_loop().time()
        known = self._known.get(webhook_id)
        if known and now - known[1] < KNOWN_SECONDS:
            return known[0]
        async with asyncio.timeout(FIND_SECONDS_MAX):
            row = await self._pool.fetchrow(FIND, webhook_id, WAITING_MAX)
        # An adapter that is not here is one of a newer release.
        found = self._webhook(webhook_id, row) if row and row["adapter"] in ADAPTERS else None
        self._known[webhook_id] = found, now
        self._known.move_to_end(webhook_id)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return found

    async def of_tenant(self, tenant: str, webhook_id: str) -> Webhook:
        """Raises NotFound, also where it is another tenant's."""
        self._known.pop(webhook_id, None)
        found = await self.find(webhook_id)
        if found is None or found.caller.tenant != tenant:
            raise _not_found()
        return found

    async def create(self, tenant: str, request: pb.CreateWebhookRequest) -> pb.Webhook:
        wanted = request.webhook
        adapter = ADAPTERS.get(wanted.adapter)
        if adapter is None:
            raise Malformed(f"one of {', '.join(ADAPTERS)}", field="webhook.adapter", got="another")
        set_here = {each.name for each, _ in wanted.ListFields()}
        for name in SET_BY_SERVER:
            if name in set_here:
                raise Malformed(
                    "none: the gateway sets it",
                    code="SET_BY_SERVER",
                    field=f"webhook.{name}",
                    got="a value",
                )
        _check_name(wanted.source, "webhook.source")
        if wanted.source == RESERVED_SOURCE:
            raise Malformed(
                "another name: decisions are of this one",
                field="webhook.source",
                got=wanted.source,
            )
        if wanted.trust not in events_pb2.Trust.values():
            raise Malformed("a value of Trust", field="webhook.trust", got=f"{wanted.trust}")
        config = checked_config(adapter, wanted.config_json)
        webhook_id = self._new_id()
        secret = self._sealed(tenant, webhook_id, request.secret) if request.secret else None
        row = await self._pool.fetchrow(
            CREATE,
            webhook_id,
            tenant,
            wanted.source,
            wanted.trust or events_pb2.TRUST_SOURCE,
            adapter.name,
            _url(request.public_url, adapter.name, webhook_id),
            config,
            wanted.with_api_key,
            secret,
            clock.now().ToDatetime(UTC),
            WEBHOOKS_OF_TENANT_MAX,
        )
        if row is None:
            raise Conflict(
                f"at most {WEBHOOKS_OF_TENANT_MAX} webhooks: delete some first",
                code="TOO_MANY_WEBHOOKS",
                field="webhook",
                got=f"{WEBHOOKS_OF_TENANT_MAX} of this tenant",
            )
        return _told(row)

    async def page(self, tenant: str, source: str) -> list[pb.Webhook]:
        if source:
            _check_name(source, "source")
        rows = await self._pool.fetch(LIST, tenant, source, WAITING_MAX)
        return [_told(row) for row in rows]

    async def update(self, tenant: str, request: pb.UpdateWebhookRequest) -> pb.Webhook:
        webhook_id = request.webhook_id
        name = (
            await self._pool.fetchval(GET, tenant, webhook_id)
            if self._is_ours(webhook_id)
            else None
        )
        adapter = ADAPTERS.get(name or "")
        if adapter is None:
            raise _not_found()
        row = await self._pool.fetchrow(
            UPDATE,
            tenant,
            webhook_id,
            self._sealed(tenant, webhook_id, request.secret)
            if request.HasField("secret")
            else None,
            checked_config(adapter, request.config_json)
            if request.HasField("config_json")
            else None,
            _url(request.public_url, adapter.name, webhook_id)
            if request.HasField("public_url")
            else None,
        )
        if row is None:
            raise _not_found()
        self._known.pop(webhook_id, None)
        return _told(row)

    async def delete(self, tenant: str, webhook_id: str) -> pb.Webhook:
        row = (
            await self._pool.fetchrow(DELETE, tenant, webhook_id, clock.now().ToDatetime(UTC))
            if self._is_ours(webhook_id)
            else None
        )
        if row is None:
            raise _not_found()
        self._known.pop(webhook_id, None)
        return _told(row)

    def _webhook(self, webhook_id: str, row: asyncpg.Record) -> Webhook:
        sealed = row["secret"]
        return Webhook(
            webhook_id=webhook_id,
            adapter=ADAPTERS[row["adapter"]],
            url=row["url"],
            config=json.loads(row["config"]),
            with_api_key=row["with_api_key"],
            secret=self._keyring.opened(
                row["tenant"], sealed, place=_place_of_secret(webhook_id)
            ).decode()
            if sealed
            else "",
            caller=Caller(
                tenant=row["tenant"],
                source=row["source"],
                scopes=frozenset((PUBLISH,)),
                # What limits are kept by. The whole id would open the door for whoever reads it there.
                key_id=f"webhook:{webhook_id[:8]}",
                trust=row["trust"],
            ),
            waiting=row["waiting"],
        )

    def _sealed(self, tenant: str, webhook_id: str, secret: str) -> bytes:
        if not SECRET.fullmatch(secret):
            got = f"{len(secret)} characters"
            raise Malformed("1 to 512 printable characters", field="secret", got=got)
        return self._keyring.sealed(tenant, secret.encode(), place=_place_of_secret(webhook_id))

    def _new_id(self) -> str:
        # From 0xF8 on it would begin with a hyphen, which command lines take for an option, or an underscore.
        drawn = bytes([secrets.randbelow(0xF8)]) + secrets.token_bytes(ID_PART_BYTES - 1)
        return base64.urlsafe_b64encode(drawn + self._check(drawn)).decode()

    def _is_ours(self, webhook_id: str) -> bool:
        try:
            raw = base64.b64decode(webhook_id, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return False
        drawn, check = raw[:ID_PART_BYTES], raw[ID_PART_BYTES:]
        return hmac.compare_digest(check, self._check(drawn))

    def _check(self, drawn: bytes) -> bytes:
        return self._keyring.secret_digest(f"webhook:{drawn.hex()}")[:ID_PART_BYTES]


def checked_config(adapter: Adapter, text: str) -> str:
    """The configuration as it is stored. Raises Malformed where the adapter can't work with it."""
    if len(text.encode()) > CONFIG_BYTES_MAX:
        raise Malformed(
            f"at most {CONFIG_BYTES_MAX} bytes", code="TOO_LARGE", field="config", got="more"
        )
    try:
        config: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise Malformed(
            "a JSON object", code="MALFORMED_JSON", field="config", got="other text"
        ) from None
    if not isinstance(config, dict):
        raise Malformed(
            "a JSON object", code="WRONG_TYPE", field="config", got="another JSON value"
        )
    adapter.check_config(config)
    return json.dumps(config)


def _check_name(name: str, at: str) -> None:
    if not NAME.fullmatch(name):
        raise Malformed("1 to 128 printable characters", field=at, got="other text")


def _url(public_url: str, adapter: str, webhook_id: str) -> str:
    if not PUBLIC_URL.fullmatch(public_url):
        raise Malformed(
            "a URL without a path, such as https://events.shop.example",
            field="public_url",
            got="another" if public_url else "nothing",
        )
    return f"{public_url}{PATH}/{adapter}/{webhook_id}"


def _place_of_secret(webhook_id: str) -> str:
    return f"webhook:{webhook_id}:secret"


def _not_found() -> NotFound:
    return NotFound("a webhook of this tenant", field="webhook_id", got="another")


def _told(row: asyncpg.Record) -> pb.Webhook:
    told = pb.Webhook(
        webhook_id=row["webhook_id"],
        adapter=row["adapter"],
        source=row["source"],
        trust=row["trust"],
        url=row["url"],
        config_json=row["config"],
        with_api_key=row["with_api_key"],
        has_secret=row["has_secret"],
        counts=pb.WebhookCounts(
            deliveries=row["deliveries"],
            empty=row["empty"],
            recorded=row["recorded"],
            duplicates=row["duplicates"],
            quarantined=row["quarantined"],
            rejected=row["rejected"],
            conflicts=row["conflicts"],
            waiting=row.get("waiting", 0),
        ),
    )
    told.created_at.FromDatetime(row["created_at"])
    return told
