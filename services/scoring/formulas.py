"""The SQL that METRICS stand for: the rollup's columns, the views of schema bi, scores as of a position.

All of it is put together from the metrics' own literals when the module is loaded; nothing that comes over
the wire is part of a statement's text.
"""

import structlog

from services.chassis.postgres import Connection
from services.scoring.facts import TABLES
from services.scoring.metrics import METRICS

log = structlog.get_logger()

VERSION = " ".join(f"{metric.name}/{metric.version}" for metric in METRICS)
SUMS = {name: each for metric in METRICS for name, each in metric.sums.items()}
SCORES_SQL = {name: each for metric in METRICS for name, each in metric.scores.items()}
COUNTS = [name for name, each in SUMS.items() if each.type == "bigint"]
GROUPS = {"touchpoint": "touchpoint", "stage": "stage", "channel": "channel", "all": "'all'::text"}
# What fits into one answer many times over. Names of touchpoints come from publishers: there may be more.
GROUPS_MAX = 10_000
DIMENSIONS = ("tenant", "occurred_date", "touchpoint", "stage", "channel")
VIEWS = {
    "satisfaction_by_touchpoint": ("touchpoint",),
    "satisfaction_by_stage": ("stage",),
    "satisfaction_by_channel": ("channel",),
    "satisfaction_by_touchpoint_day": ("touchpoint", "occurred_date"),
}
MEANINGS = {
    "tenant": "Who it belongs to.",
    "touchpoint": "Where customer and company met.",
    "stage": "Where on the journey.",
    "channel": "Through what.",
    "occurred_date": "The UTC day on which it happened.",
    "formula_version": "The formulas with their versions.",
}


def _sums_of(table: str) -> dict[str, str]:
    return {
        name: each.sql
        for metric in METRICS
        if metric.facts == table
        for name, each in metric.sums.items()
    }


def _added_up() -> str:
    return ", ".join(f"sum({name})::{each.type} AS {name}" for name, each in SUMS.items())


def _scored() -> str:
    return ", ".join(f"{each.sql} AS {name}" for name, each in SCORES_SQL.items())


def _scores(group: str) -> str:
    """$1 tenant, $2 as known at this position, $3 occurred before (NULL: any), $4 LIKE pattern."""
    parts = []
    for table in TABLES:
        own = _sums_of(table)
        if own:
            sums = ", ".join(
                f"{own[name]} AS {name}" if name in own else f"0::{each.type} AS {name}"
                for name, each in SUMS.items()
            )
            parts.append(f"""
  SELECT {group} AS grp, {sums}
    FROM bi.{table}
   WHERE tenant = $1 AND from_position <= $2 AND (to_position IS NULL OR to_position > $2)
     AND ($3::timestamptz IS NULL OR occurred_at < $3) AND touchpoint LIKE $4
   GROUP BY 1""")  # noqa: S608  # see the module's first lines
    union = "\n  UNION ALL".join(parts)
    return f"""
WITH parts AS ({union}
), sums AS (
  SELECT grp, {_added_up()} FROM parts GROUP BY grp
)
SELECT grp, {", ".join(SUMS)}, {_scored()} FROM sums ORDER BY grp COLLATE "C"
 LIMIT {GROUPS_MAX + 1}
"""  # noqa: S608  # see the module's first lines


SCORES = {name: _scores(group) for name, group in GROUPS.items()}


def _roll_up(table: str, sign: str, position: str) -> str:
    """$1 after, $2 up to and including, $3 tenants: what those positions began (+) or ended (-)."""
    sums = _sums_of(table)
    return f"""
INSERT INTO bi.rollup_touchpoint_day AS r ({", ".join(DIMENSIONS)}, {", ".join(sums)})
SELECT {", ".join(DIMENSIONS)}, {", ".join(f"{sign}({sql})" for sql in sums.values())}
  FROM bi.{table}
 WHERE tenant = ANY($3) AND {position} > $1 AND {position} <= $2
 GROUP BY {", ".join(DIMENSIONS)}
    ON CONFLICT ({", ".join(DIMENSIONS)})
    DO UPDATE SET {", ".join(f"{name} = r.{name} + EXCLUDED.{name}" for name in sums)}
"""  # noqa: S608  # see the module's first lines


ROLL_UPS = [
    _roll_up(table, sign, position)
    for table in TABLES
    if _sums_of(table)
    for sign, position in (("+", "from_position"), ("-", "to_position"))
]


async def roll_up(tx: Connection, *, after: int, to: int, tenants: list[str]) -> None:
    """Brings the rollup from one position to another; the facts of those positions are written already."""
    for statement in ROLL_UPS:
        await tx.execute(statement, after, to, tenants)


def _view(name: str, groups: tuple[str, ...]) -> str:
    keys = ", ".join(("tenant", *groups))
    return f"""
CREATE VIEW bi.{name} WITH (security_invoker = true) AS
SELECT {keys}, {", ".join(SUMS)}, {_scored()}, '{VERSION}'::text AS formula_version
  FROM (SELECT {keys}, {_added_up()} FROM bi.rollup_touchpoint_day GROUP BY {keys}) AS sums
 WHERE {" OR ".join(f"{name} <> 0" for name in SUMS)}
"""  # noqa: S608  # see the module's first lines


def _comment(view: str) -> list[str]:
    meanings = MEANINGS | {name: each.meaning for name, each in (SUMS | SCORES_SQL).items()}
    columns = ("tenant", *VIEWS[view], *SUMS, *SCORES_SQL, "formula_version")
    whole = f"COMMENT ON VIEW bi.{view} IS 'Scores of the current facts per {' and '.join(VIEWS[view])}.'"
    return [
        whole,
        *(f"COMMENT ON COLUMN bi.{view}.{name} IS '{meanings[name]}'" for name in columns),
    ]


def signature() -> str:
    """What the database was made for; anything that changes a stored sum or a view is in it."""
    return "\n".join([VERSION, *ROLL_UPS, *(_view(*view) for view in VIEWS.items())])


async def installed(tx: Connection) -> bool:
    """Whether the rollup is made for the formulas of this release."""
    return bool(await tx.fetchval("SELECT signature FROM scoring.formulas") == signature())


async def install(tx: Connection) -> None:
    """Adds the columns of new sums, makes the views, and fills the rollup from the facts, if need be.

    A metric that is new, or new in its version, needs no replay of the journal: the facts are all there.
    """
    # A BI tool that sits in a transaction must not make everybody queue behind this.
    await tx.execute("SET LOCAL lock_timeout = '10s'")
    # The lock that a projector takes first, too: one process installs at a time, and no page is written
    # meanwhile.
    checkpoint = await tx.fetchval(
        "SELECT position FROM bi.freshness WHERE projection = 'scoreboard' FOR UPDATE"
    )
    if await installed(tx):
        return
    for view in VIEWS:
        await tx.execute(f"DROP VIEW IF EXISTS bi.{view}")
    for name, each in SUMS.items():
        await tx.execute(
            f"ALTER TABLE bi.rollup_touchpoint_day "
            f"ADD COLUMN IF NOT EXISTS {name} {each.type} NOT NULL DEFAULT 0"
        )
        await tx.execute(f"COMMENT ON COLUMN bi.rollup_touchpoint_day.{name} IS '{each.meaning}'")
    await tx.execute("DELETE FROM bi.rollup_touchpoint_day")
    tenants = await tx.fetch("SELECT tenant FROM bi.tenant")
    await roll_up(tx, after=0, to=checkpoint, tenants=[row["tenant"] for row in tenants])
    for name, groups in VIEWS.items():
        await tx.execute(_view(name, groups))
        for comment in _comment(name):
            await tx.execute(comment)
    await tx.execute(
        "INSERT INTO scoring.formulas (signature) VALUES ($1) "
        "ON CONFLICT (singleton) DO UPDATE SET signature = EXCLUDED.signature",
        signature(),
    )
    log.info("formulas installed", version=VERSION, checkpoint=checkpoint)
