"""Applications of the eventsourcing library on a journal: their environment, and what holds afterwards."""

import asyncio

import asyncpg

from tests.support.sealed import assert_sealed


def environment(url: str, *, tenant: str = "acme") -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "services.touchpoint.library",
        "TOUCHLEDGER_DATABASE_URL": url,
        "TOUCHLEDGER_TENANT": tenant,
    }


def assert_seal_holds(url: str) -> None:
    """Once nobody appends any more."""

    async def check() -> None:
        connection = await asyncpg.connect(url)
        try:
            await assert_sealed(connection)
        finally:
            await connection.close()

    asyncio.run(check())
