"""Derived facts in schema bi, as they are now: a view of each kind, and one of its scores by touchpoint.

The same queries as those of questions, of every tenant that the role sees, up to the last position.
"""

from services.chassis.postgres import Connection
from services.scoring.derived import DERIVED, moments
from services.scoring.metric import Derived, Score, Sum

# The greatest bigint: what is known there is what is current.
LAST_POSITION = 9223372036854775807
# What derived facts share with the facts that they are made of, and mean the same by.
SHARED = (
    *("tenant", "event_position", "occurred_at", "occurred_date", "reporting_date", "touchpoint"),
    *("stage", "channel", "service_mode", "store", "source", "staff", "customer", "correlation_id"),
)
SHARED_MEANINGS = """
SELECT attname, col_description(attrelid, attnum) AS meaning
  FROM pg_attribute WHERE attrelid = 'fact_interaction'::regclass AND attname = ANY($1)
"""
HORIZON = (
    "What happened before this moment is taken to be known; whether something still comes within a"
    " window that ends after it is open."
)
VERSION = "The formula with its version."


def _of_tenant(query: str) -> str:
    return query.replace("$1", "of_tenant.tenant").replace("$2", str(LAST_POSITION))


def _facts(derived: Derived) -> str:
    own = ", ".join(
        f"known.{name}::{each.type} AS {name}" for name, each in derived.columns.items()
    )
    return f"""
CREATE VIEW {derived.name} WITH (security_invoker = true) AS
SELECT {", ".join(f"known.{name}" for name in SHARED)}, {own}, known.horizon
  FROM tenant AS of_tenant
 CROSS JOIN LATERAL (
   WITH moments AS MATERIALIZED ({_of_tenant(moments("NULL::timestamptz"))})
   SELECT facts.*, moments.horizon FROM ({_of_tenant(derived.sql)}) AS facts CROSS JOIN moments
 ) AS known
"""  # noqa: S608  # literals of DERIVED


def _scores(derived: Derived) -> str:
    summed = ", ".join(f"{each.sql} AS {name}" for name, each in derived.sums.items())
    scored = ", ".join(f"{each.sql} AS {name}" for name, each in derived.scores.items())
    return f"""
CREATE VIEW {derived.name}_by_touchpoint WITH (security_invoker = true) AS
SELECT tenant, touchpoint, {", ".join(derived.sums)}, {scored},
       '{derived.name}/{derived.version}'::text AS formula_version
  FROM (SELECT tenant, touchpoint, {summed}
          FROM {derived.name} CROSS JOIN (SELECT timestamptz 'infinity' AS occurred_before) AS moments
         GROUP BY tenant, touchpoint) AS sums
"""  # noqa: S608  # as above


TEXTS = [make(derived) for derived in DERIVED for make in (_facts, _scores)]


async def install(tx: Connection) -> None:
    """Makes the views anew."""
    for derived in DERIVED:
        await tx.execute(f"DROP VIEW IF EXISTS {derived.name}_by_touchpoint, {derived.name}")
    for text in TEXTS:
        await tx.execute(text)
    shared = {row["attname"]: row["meaning"] for row in await tx.fetch(SHARED_MEANINGS, SHARED)}
    for derived in DERIVED:
        own = {name: each.meaning for name, each in derived.columns.items()}
        await _comment(tx, derived.name, derived.meaning, shared | own | {"horizon": HORIZON})
        figures: dict[str, Sum | Score] = {**derived.sums, **derived.scores}
        own = {name: each.meaning for name, each in figures.items()}
        keys = {name: shared[name] for name in ("tenant", "touchpoint")}
        await _comment(
            *(tx, f"{derived.name}_by_touchpoint"),
            f"Scores of the current rows of {derived.name} per touchpoint.",
            keys | own | {"formula_version": VERSION},
        )


async def _comment(tx: Connection, view: str, meaning: str, columns: dict[str, str]) -> None:
    await tx.execute(f"COMMENT ON VIEW {view} IS {_quoted(meaning)}")
    for name, each in columns.items():
        await tx.execute(f"COMMENT ON COLUMN {view}.{name} IS {_quoted(each)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
