"""What the autoscaler of deploy/k8s asks the gateway's database, with the rights that its README grants."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import asyncpg
import pytest

from tests.unit.deploy.manifests import K8S, rendered

ROLE = "touchledger_scaler"
GRANT = re.compile(rf"^GRANT .* TO {ROLE};$", re.MULTILINE)
WEBHOOK = """
INSERT INTO gateway.webhook
       (webhook_id, tenant, source, trust, adapter, url, config, with_api_key, created_at)
VALUES ('w', 'acme', 'shop', 1, 'square', '', '{}', true, now())
"""
DELIVERIES = """
INSERT INTO gateway.delivery (webhook_id, received_at, content, due_at)
SELECT 'w', now(), '', due_at
  FROM unnest(ARRAY[now() - interval '1 second', now(), now() + interval '1 hour', NULL]) AS due_at
"""


@pytest.fixture
async def scaler(new_database: Callable[[str], str]) -> AsyncIterator[asyncpg.Connection]:
    """A session with no more than what the README grants, in a database with deliveries."""
    owner = await asyncpg.connect(await asyncio.to_thread(new_database, "gateway"))
    # Roles are of the whole server, which tests share.
    role = f"{ROLE}_{uuid4().hex[:8]}"
    try:
        await owner.execute(f"CREATE ROLE {role}")
        grants = GRANT.findall((K8S / "README.md").read_text())
        assert 2 == len(grants)
        for grant in grants:
            await owner.execute(grant.replace(ROLE, role))
        await owner.execute(WEBHOOK)
        await owner.execute(DELIVERIES)
        await owner.execute(f"SET ROLE {role}")
        yield owner
        await owner.execute("RESET ROLE")
        await owner.execute(f"DROP OWNED BY {role}")
        await owner.execute(f"DROP ROLE {role}")
    finally:
        await owner.close()


async def test_the_autoscaler_counts_what_is_due(scaler: asyncpg.Connection) -> None:
    (scaled,) = rendered("production").of("ScaledObject")
    (query,) = (
        each["metadata"]["query"]
        for each in scaled["spec"]["triggers"]
        if each["type"] == "postgresql"
    )
    assert 2 == await scaler.fetchval(query)


async def test_the_autoscaler_can_read_nothing_else(scaler: asyncpg.Connection) -> None:
    for query in ("SELECT content FROM gateway.delivery", "SELECT FROM gateway.webhook"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await scaler.fetch(query)
