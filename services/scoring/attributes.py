"""What is known of customers and members of staff beside their facts: by it, facts belong to groups.

A profile may come long after the facts that it sorts, and may change. So facts do not hold what it says: the
dimensions do, and a page that changes a profile moves the facts of that customer, or member, in the rollups.
"""

from services.chassis.postgres import Connection

# A fact with the columns generation and staff_group, as they are known now: {table} is a fact table or a
# sub-select of its columns, {where} a condition on f.
WITH_ATTRIBUTES = """
SELECT f.*, coalesce(c.generation, 'unspecified') AS generation,
       coalesce(s.staff_group, 'unspecified') AS staff_group
  FROM {table} AS f
  LEFT JOIN dim_customer c ON c.tenant = f.tenant AND c.customer = f.customer
  LEFT JOIN dim_staff s ON s.tenant = f.tenant AND s.source = f.source AND s.staff = f.staff
                       AND s.valid_from <= f.occurred_at
                       AND (s.valid_to IS NULL OR s.valid_to > f.occurred_at)
 WHERE {where}
"""


def known_at(position: str) -> str:
    """The condition on a fact f for being known at the position, an SQL expression."""
    return (
        f"f.from_position <= {position} AND (f.to_position IS NULL OR f.to_position > {position})"
    )


# As known at a position: what dim_customer, dim_segment and dim_staff hold when it is the checkpoint. {of}
# narrows it to some, on f.
CUSTOMERS = """
SELECT p.tenant, p.customer, coalesce(g.generation, 'unspecified') AS generation,
       p.birth_year_from, p.birth_year_to
  FROM (SELECT DISTINCT ON (tenant, customer) tenant, customer, birth_year_from, birth_year_to
          FROM fact_customer_profile f
         WHERE {known} AND customer IS NOT NULL AND birth_year_from IS NOT NULL AND segment_index = 0
           AND {of}
         ORDER BY tenant, customer, occurred_at DESC, event_position DESC) AS p
  LEFT JOIN dim_generation g ON p.birth_year_from >= g.birth_year_from
                            AND p.birth_year_to <= g.birth_year_to
"""
SEGMENTS = """
SELECT tenant, customer, segment, occurred_at AS valid_from,
       lead(occurred_at) OVER (PARTITION BY tenant, customer, segment ORDER BY occurred_at) AS valid_to, value
  FROM (SELECT DISTINCT ON (tenant, customer, segment, occurred_at)
               tenant, customer, segment, occurred_at, value
          FROM fact_customer_profile f
         WHERE {known} AND customer IS NOT NULL AND segment IS NOT NULL AND {of}
         ORDER BY tenant, customer, segment, occurred_at, event_position DESC) AS p
"""
STAFF = """
SELECT tenant, source, staff, occurred_at AS valid_from,
       lead(occurred_at) OVER (PARTITION BY tenant, source, staff ORDER BY occurred_at) AS valid_to,
       staff_group, cohort, job_design, event_position
  FROM (SELECT DISTINCT ON (tenant, source, staff, occurred_at) tenant, source, staff, occurred_at,
               event_position,
               coalesce(staff_group, 'unspecified') AS staff_group,
               coalesce(cohort, 'unspecified') AS cohort,
               coalesce(job_design, 'unspecified') AS job_design
          FROM fact_staff_profile f
         WHERE {known} AND staff IS NOT NULL AND {of}
         ORDER BY tenant, source, staff, occurred_at, event_position DESC) AS p
"""

CHANGED = """
CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS
SELECT DISTINCT {keys} FROM {table}
 WHERE tenant = ANY($3) AND {key} IS NOT NULL
   AND (from_position > $1 AND from_position <= $2 OR to_position > $1 AND to_position <= $2)
"""
CHANGED_CUSTOMERS = CHANGED.format(
    name="changed_customer", keys="tenant, customer", key="customer", table="fact_customer_profile"
)
CHANGED_STAFF = CHANGED.format(
    name="changed_staff", keys="tenant, source, staff", key="staff", table="fact_staff_profile"
)
DIM_STAFF = f"""
SELECT tenant, source, staff, valid_from, valid_to, staff_group, cohort, job_design FROM ({STAFF}) AS s
"""  # noqa: S608  # a literal of this module
OF_CHANGED_CUSTOMERS = "(tenant, customer) IN (SELECT tenant, customer FROM changed_customer)"
OF_CHANGED_STAFF = "(tenant, source, staff) IN (SELECT tenant, source, staff FROM changed_staff)"
# $1 position.
RENEW = [
    statement
    for table, of, rows in (
        ("dim_customer", OF_CHANGED_CUSTOMERS, CUSTOMERS),
        ("dim_segment", OF_CHANGED_CUSTOMERS, SEGMENTS),
        ("dim_staff", OF_CHANGED_STAFF, DIM_STAFF),
    )
    for statement in (
        f"DELETE FROM {table} WHERE {of}",  # noqa: S608  # literals of this module
        f"INSERT INTO {table} {rows.format(known=known_at('$1'), of=of)}",
    )
]


async def note_changed(tx: Connection, *, after: int, to: int, tenants: list[str]) -> None:
    """Lists, for the rest of the transaction, whose profiles those positions change."""
    for statement in (CHANGED_CUSTOMERS, CHANGED_STAFF):
        await tx.execute(statement, after, to, tenants)


async def renew(tx: Connection, *, position: int) -> None:
    """Brings the dimensions of those whose profile changes to the position."""
    for statement in RENEW:
        if "$1" in statement:
            await tx.execute(statement, position)
        else:
            await tx.execute(statement)
