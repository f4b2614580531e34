"""What BI tools may do: read schema bi, the rows of one tenant, and nothing else."""

import structlog

from services.chassis.postgres import Pool

log = structlog.get_logger()

LOCK = "LOCK TABLE scoring.bi_role IN EXCLUSIVE MODE"
BIND = """
INSERT INTO scoring.bi_role (role_name, tenant) VALUES ($1, $2)
ON CONFLICT (role_name) DO UPDATE SET tenant = EXCLUDED.tenant
"""
# REFERENCES lets tools that read information_schema find the star's keys; without CREATE it can't be used.
GRANTS = (
    "GRANT USAGE ON SCHEMA bi TO {role}",
    "GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA bi TO {role}",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
)


async def admit(pool: Pool, *, role: str, tenant: str) -> None:
    """Grants the role what it needs and binds it to the tenant; says so when there is no such role."""
    async with pool.acquire() as tx, tx.transaction():
        # Two processes that grant at once would fail with "tuple concurrently updated".
        await tx.execute(LOCK)
        quoted = await tx.fetchval(
            "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = $1", role
        )
        if quoted is None:
            log.warning("no BI role", want=role)
            return
        for grant in GRANTS:
            await tx.execute(grant.format(role=quoted))
        await tx.execute(BIND, role, tenant)
