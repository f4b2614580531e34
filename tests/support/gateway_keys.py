"""Keys for a gateway under test, put into its database as an operator would."""

import asyncpg

from services.gateway import access
from services.gateway.keyring import Keyring
from tests.support.stack import Stack

# Of `running_stack`.
KEYRING = Keyring(bytes.fromhex("17" * 32))


async def add_key(
    database_url: str, tenant: str, scopes: list[str], *, source: str = "till"
) -> str:
    """The whole key, ready to be sent."""
    key_id, secret = access.new_key()
    connection = await asyncpg.connect(database_url)
    try:
        digest = KEYRING.secret_digest(secret)
        await connection.execute(access.STORE, key_id, digest, tenant, source, scopes)
    finally:
        await connection.close()
    return access.whole(key_id, secret)


async def key_of(stack: Stack, tenant: str, *scopes: str, source: str = "till") -> str:
    return await add_key(stack.urls["gateway"], tenant, list(scopes), source=source)


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)
