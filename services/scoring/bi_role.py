"""What BI tools may do: read schema bi, the rows of one tenant, and nothing else.

scoring.bi_role says which tenant each role sees. `touchledger bi role add` makes the roles, as an admin of
the server; what they may read is granted here, by the owner of the tables, at each start and whenever another
version of the read models becomes schema bi.
"""

import structlog

from services.chassis.postgres import Connection, Pool

log = structlog.get_logger()

# The role that BI roles are members of (services/cli/databases.py): one grant, however many they are.
READERS = "touchledger_bi_readers"

LOCK = "LOCK TABLE scoring.bi_role IN EXCLUSIVE MODE"
BIND = """
INSERT INTO scoring.bi_role (role_name, tenant) VALUES ($1, $2)
ON CONFLICT (role_name) DO UPDATE SET tenant = EXCLUDED.tenant
"""
EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
# The readers, and bound roles that are none of them: such as an operator made by hand.
GRANTEES = """
SELECT r.oid, quote_ident(r.rolname) AS name
  FROM pg_roles r
  LEFT JOIN pg_roles readers ON readers.rolname = $1
 WHERE r.oid = readers.oid
    OR (r.rolname IN (SELECT role_name FROM scoring.bi_role)
        AND (readers.oid IS NULL OR NOT pg_has_role(r.oid, readers.oid, 'USAGE')))
"""
# A schema keeps its grants when it is renamed: what was bi would stay open. Schemas of somebody else are left
# alone.
OTHER_SCHEMAS = """
SELECT DISTINCT quote_ident(n.nspname)
  FROM pg_namespace n, aclexplode(n.nspacl) AS a
 WHERE n.nspname <> $1 AND a.grantee = ANY($2) AND pg_has_role(n.nspowner, 'USAGE')
"""
# REFERENCES lets tools that read information_schema find the star's keys; without CREATE it can't be used.
GRANTS = (
    "GRANT USAGE ON SCHEMA {schema} TO {roles}",
    "GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA {schema} TO {roles}",
)
REVOKE = "REVOKE USAGE ON SCHEMA {schema} FROM {roles}"
CLOSE_PUBLIC = "REVOKE ALL ON SCHEMA public FROM PUBLIC"


async def admit(pool: Pool, *, role: str, tenant: str) -> None:
    """Binds the role to the tenant, or says that there is none; grants every bound role schema bi."""
    async with pool.acquire() as tx, tx.transaction():
        await tx.execute(LOCK)
        await tx.execute(CLOSE_PUBLIC)
        if await tx.fetchval(EXISTS, role):
            await tx.execute(BIND, role, tenant)
        else:
            log.warning("no BI role", want=role)
        await grant_all(tx, "bi")


async def grant_all(tx: Connection, schema: str) -> None:
    """Lets every BI role read this schema and none of the other versions."""
    # Two processes that grant at once would fail with "tuple concurrently updated".
    await tx.execute(LOCK)
    grantees = await tx.fetch(GRANTEES, READERS)
    if not grantees:
        return
    roles = ", ".join(each["name"] for each in grantees)
    for other in await tx.fetch(OTHER_SCHEMAS, schema, [each["oid"] for each in grantees]):
        await tx.execute(REVOKE.format(schema=other[0], roles=roles))
    quoted = await tx.fetchval("SELECT quote_ident($1)", schema)
    for grant in GRANTS:
        await tx.execute(grant.format(schema=quoted, roles=roles))
