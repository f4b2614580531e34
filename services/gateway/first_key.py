"""Makes the first key of a tenant: python -m services.gateway.first_key TENANT.

KeyService makes keys of the tenant that asks, so a tenant that has none yet needs the operator: this runs
with the settings of the gateway, its database and its secret. The key may do what the local one may; further
ones are made with it.
"""

import argparse
import asyncio
import re

from services.chassis import settings
from services.chassis.postgres import Pool, Unsuitable, open_pool
from services.gateway.access import LOCAL_SCOPES, new_key, whole
from services.gateway.keyring import Keyring
from services.gateway.settings import Settings

SOURCE = "operator"
# It travels to the other services as metadata, which takes no other characters; the journal takes 64.
TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

STORE_FIRST = """
INSERT INTO gateway.api_key (key_id, secret_digest, tenant, source, scopes)
SELECT $1, $2, $3, $4, $5
 WHERE NOT EXISTS (SELECT FROM gateway.api_key WHERE tenant = $3 AND revoked_at IS NULL
                      AND (expires_at IS NULL OR expires_at > now()) AND 'admin' = ANY (scopes))
RETURNING key_id
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="first_key", description="Makes a tenant's first key.")
    parser.add_argument("tenant", metavar="TENANT")
    asyncio.run(_make(parser.parse_args().tenant))


async def _make(tenant: str) -> None:
    if not TENANT.fullmatch(tenant):
        raise Unsuitable(f"tenant: got {tenant!r}, want 1 to 64 letters, digits, '.', '_' or '-'")
    configured = settings.load(Settings)
    keyring = Keyring.read(configured.secret_key_file)
    async with open_pool(configured, name="first-key", size_max=1) as pool:
        print(await first_key(pool, keyring, tenant))


async def first_key(pool: Pool, keyring: Keyring, tenant: str) -> str:
    """The whole key. Ends the process where the tenant has a live one of its own that makes others."""
    key_id, secret = new_key()
    digest = keyring.secret_digest(secret)
    made = await pool.fetchval(STORE_FIRST, key_id, digest, tenant, SOURCE, list(LOCAL_SCOPES))
    if made is None:
        raise Unsuitable(
            f"tenant {tenant}: got one with an admin key, want that key to make others"
        )
    return whole(key_id, secret)


if __name__ == "__main__":
    main()
