"""The SQL that METRICS stand for: the rollups' columns, the views of the read models, blocks of questions.

All of it is put together from the metrics' own literals when the module is loaded; nothing that comes over
the wire is part of a statement's text. Tables are those of the model that a connection works on (models.py).
"""

import hashlib
import re
from functools import cache

import structlog

from services.chassis.postgres import Connection
from services.scoring import experience
from services.scoring.attributes import WITH_ATTRIBUTES, known_at
from services.scoring.derived import DERIVED, views
from services.scoring.experience import views as experience_views
from services.scoring.facts import TABLES
from services.scoring.metric import Derived, Metric
from services.scoring.metrics import METRICS

log = structlog.get_logger()

VERSION = " ".join(f"{metric.name}/{metric.version}" for metric in METRICS)
SUMS = {name: each for metric in METRICS for name, each in metric.sums.items()}
SCORES_SQL = {name: each for metric in METRICS for name, each in metric.scores.items()}
COUNTS = [name for name, each in SUMS.items() if each.type == "bigint"]
# Sums over all that the tenant has, which a score may use beside those of its group.
PARENT_SUMS = sorted(
    {name for each in SCORES_SQL.values() for name in re.findall(r"\bparent_(\w+)", each.sql)}
)
# The tables that metrics read.
SUMMED = [table for table in TABLES if any(metric.facts == table for metric in METRICS)]
# Everything that scores are grouped by: a column of a fact with its attributes.
DIMENSIONS = (
    *("reporting_date", "touchpoint", "stage", "channel", "service_mode", "store"),
    *("staff_group", "generation", "source"),
)
# Rollups, from fine to coarse: their keys beside the tenant, and the SQL that makes a key of DIMENSIONS.
ROLLUPS: dict[str, dict[str, str]] = {
    "rollup_day": {name: name for name in DIMENSIONS},
    **{
        f"rollup_touchpoint_{name}": {key: sql}
        | {each: each for each in ("touchpoint", "stage", "channel")}
        for name, key, sql in (
            ("day", "reporting_date", "reporting_date"),
            ("week", "week_start", "date_trunc('week', reporting_date::timestamp)::date"),
            ("month", "month_start", "date_trunc('month', reporting_date::timestamp)::date"),
            ("year", "year_start", "date_trunc('year', reporting_date::timestamp)::date"),
        )
    },
}
# The rollup that a view reads, and what it groups by.
VIEWS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        f"satisfaction_by_{name}": ("rollup_touchpoint_year", (name,))
        for name in ("touchpoint", "stage", "channel")
    },
    **{
        f"satisfaction_by_{name}": ("rollup_day", (name,))
        for name in ("service_mode", "store", "staff_group", "generation", "source")
    },
    "satisfaction_by_touchpoint_day": ("rollup_touchpoint_day", ("touchpoint", "reporting_date")),
    "satisfaction_by_touchpoint_week": ("rollup_touchpoint_week", ("touchpoint", "week_start")),
    "satisfaction_by_touchpoint_month": ("rollup_touchpoint_month", ("touchpoint", "month_start")),
}
MEANINGS = {
    "tenant": "Who it belongs to.",
    "touchpoint": "Where customer and company met.",
    "stage": "Where on the journey.",
    "channel": "Through what.",
    "service_mode": "Who did the work.",
    "store": "Store or site.",
    "staff_group": "Team of the member of staff at that time.",
    "generation": "Generation of the customer.",
    "source": "The system that published the events.",
    "reporting_date": "The day in the tenant''s reporting zone on which it happened.",
    "week_start": "The Monday that the week begins with.",
    "month_start": "The first of the month.",
    "formula_version": "The formulas with their versions.",
}


def sums_of(table: str) -> dict[str, str]:
    """The sums that read the fact table, by name."""
    return {
        name: each.sql
        for metric in METRICS
        if metric.facts == table
        for name, each in metric.sums.items()
    }


def added_up() -> str:
    """Sums of sums, under their names."""
    return ", ".join(f"sum({name})::{each.type} AS {name}" for name, each in SUMS.items())


def parents() -> str:
    """As added_up(), of those that scores need over all that the tenant has."""
    return ", ".join(f"sum({name})::{SUMS[name].type} AS parent_{name}" for name in PARENT_SUMS)


def scored() -> str:
    """Every score, from columns that are named as the sums are, and as PARENT_SUMS are with parent_."""
    return ", ".join(f"{each.sql} AS {name}" for name, each in SCORES_SQL.items())


# The rollups: what a page changes in them.


def _part(table: str, facts: str, sign: str) -> str:
    """What the facts contribute, by the keys of the finest rollup."""
    keys = ", ".join(("tenant", *DIMENSIONS))
    sums = ", ".join(f"{sign}({sql}) AS {name}" for name, sql in sums_of(table).items())
    return (
        f"SELECT {keys}, {sign}count(*) AS facts, {sums} "  # noqa: S608  # see the module's first lines
        f"FROM ({facts}) AS given GROUP BY {keys}"
    )


def _add(rollup: str, table: str) -> str:
    keys = ROLLUPS[rollup]
    sums = ("facts", *sums_of(table))
    return f"""
INSERT INTO {rollup} AS r (tenant, {", ".join(keys)}, {", ".join(sums)})
SELECT tenant, {", ".join(keys.values())}, {", ".join(f"sum({name})" for name in sums)}
  FROM change
 GROUP BY tenant, {", ".join(keys.values())}
    ON CONFLICT (tenant, {", ".join(keys)})
    DO UPDATE SET {", ".join(f"{name} = r.{name} + EXCLUDED.{name}" for name in sums)}
"""  # noqa: S608  # see the module's first lines


def _change(table: str, *parts: tuple[str, str]) -> str:
    """One statement that brings what the parts (facts, sign) say into each rollup."""
    change = "\nUNION ALL\n".join(_part(table, *part) for part in parts)
    *finer, last = (_add(rollup, table) for rollup in ROLLUPS)
    others = "".join(f", added_{number} AS ({each})" for number, each in enumerate(finer))
    return f"WITH change AS MATERIALIZED ({change}){others}{last}"


# A fact of somebody whose profile the page changes is in other groups after it: all of theirs are taken out
# as they were and put in as they are.
MOVED = (
    "(EXISTS (SELECT FROM changed_customer c WHERE (c.tenant, c.customer) = (f.tenant, f.customer))"
    " OR EXISTS (SELECT FROM changed_staff s"
    " WHERE (s.tenant, s.source, s.staff) = (f.tenant, f.source, f.staff)))"
)


def _begun(table: str, also: str = "") -> str:
    where = f"f.tenant = ANY($3) AND f.from_position > $1 AND f.from_position <= $2{also}"
    return WITH_ATTRIBUTES.format(table=table, where=where)


def _ended(table: str, also: str = "") -> str:
    where = f"f.tenant = ANY($3) AND f.to_position > $1 AND f.to_position <= $2{also}"
    return WITH_ATTRIBUTES.format(table=table, where=where)


def _of_moved(table: str, position: str) -> str:
    """Facts as known at the position of those whose profile changes; by the indexes of each."""
    known = known_at(position)
    return WITH_ATTRIBUTES.format(  # see the module's first lines
        table=f"""(SELECT f.* FROM {table} f JOIN changed_customer USING (tenant, customer) WHERE {known}
 UNION SELECT f.* FROM {table} f JOIN changed_staff USING (tenant, source, staff) WHERE {known})""",  # noqa: S608
        where="true",
    )


# $1 after, $2 up to and including, $3 tenants.
ROLL_UP = {table: _change(table, (_begun(table), "+"), (_ended(table), "-")) for table in SUMMED}
# Of most pages, which end no fact.
ROLL_UP_BEGUN = {table: _change(table, (_begun(table), "+")) for table in SUMMED}
ROLL_UP_UNMOVED = {
    table: _change(
        table,
        (_begun(table, f" AND NOT {MOVED}"), "+"),
        (_ended(table, f" AND NOT {MOVED}"), "-"),
    )
    for table in SUMMED
}
# $1 position.
TAKE_OUT_MOVED = {table: _change(table, (_of_moved(table, "$1"), "-")) for table in SUMMED}
PUT_IN_MOVED = {table: _change(table, (_of_moved(table, "$1"), "+")) for table in SUMMED}
# Whatever came and went leaves no trace, so that the rows do not depend on how the journal was paged.
REMOVE_EMPTY = [f"DELETE FROM {rollup} WHERE facts = 0" for rollup in ROLLUPS]  # noqa: S608  # as above


async def roll_up(tx: Connection, *, after: int, to: int, tenants: list[str]) -> None:
    """Brings the rollups from one position to another, whose facts and attributes are written already."""
    for statement in ROLL_UP.values():
        await tx.execute(statement, after, to, tenants)
    await remove_empty(tx)


async def remove_empty(tx: Connection) -> None:
    for statement in REMOVE_EMPTY:
        await tx.execute(statement)


# The views, and the columns of the rollups.


def _view(name: str) -> str:
    rollup, groups = VIEWS[name]
    keys = ", ".join(("tenant", *groups))
    parent = (
        f" JOIN (SELECT tenant, {parents()} FROM rollup_touchpoint_year"  # noqa: S608  # as above
        " GROUP BY tenant) AS parent USING (tenant)"
        if PARENT_SUMS
        else ""
    )
    return f"""
CREATE VIEW {name} WITH (security_invoker = true) AS
SELECT {keys}, {", ".join(SUMS)}, {scored()}, '{VERSION}'::text AS formula_version
  FROM (SELECT {keys}, {added_up()} FROM {rollup} GROUP BY {keys}) AS sums{parent}
 WHERE {" OR ".join(f"{name} <> 0" for name in SUMS)}
"""  # noqa: S608  # see the module's first lines


def _comments(view: str) -> list[str]:
    groups = VIEWS[view][1]
    meanings = MEANINGS | {name: each.meaning for name, each in (SUMS | SCORES_SQL).items()}
    columns = ("tenant", *groups, *SUMS, *SCORES_SQL, "formula_version")
    whole = f"COMMENT ON VIEW {view} IS 'Scores of the current facts per {' and '.join(groups)}.'"
    return [
        whole,
        *(f"COMMENT ON COLUMN {view}.{name} IS '{meanings[name]}'" for name in columns),
    ]


@cache
def signature() -> str:
    """Of what the rollups and views were made for: anything that changes a stored sum or a view changes it.

    Looked at with each page, of which there are some hundreds of kilobytes of text.
    """
    texts = [VERSION, *ROLL_UP.values(), *map(_view, VIEWS), *views.TEXTS, *experience_views.TEXTS]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


async def installed(tx: Connection) -> bool:
    """Whether the rollups are made for the formulas of this release."""
    return bool(await tx.fetchval("SELECT signature FROM formulas") == signature())


async def install(tx: Connection) -> None:
    """Adds the columns of new sums, makes the views, and fills the rollups from the facts, if need be.

    A metric that is new, or new in its version, needs no replay of the journal: the facts are all there.
    """
    # A BI tool that sits in a transaction must not make everybody queue behind this.
    await tx.execute("SET LOCAL lock_timeout = '10s'")
    # The lock that a projector takes first, too: one process installs at a time, and no page is written
    # meanwhile.
    await tx.execute("SELECT FROM freshness WHERE projection = 'scoreboard' FOR UPDATE")
    if await installed(tx):
        return
    for view in VIEWS:
        await tx.execute(f"DROP VIEW IF EXISTS {view}")
    for rollup in ROLLUPS:
        for name, each in SUMS.items():
            await tx.execute(
                f"ALTER TABLE {rollup} "
                f"ADD COLUMN IF NOT EXISTS {name} {each.type} NOT NULL DEFAULT 0"
            )
            await tx.execute(f"COMMENT ON COLUMN {rollup}.{name} IS '{each.meaning}'")
    await _list_formulas(tx)
    await refill(tx)
    for view in VIEWS:
        await tx.execute(_view(view))
        for comment in _comments(view):
            await tx.execute(comment)
    await views.install(tx)
    await experience_views.install(tx)
    await tx.execute(
        "INSERT INTO formulas (signature) VALUES ($1) "
        "ON CONFLICT (singleton) DO UPDATE SET signature = EXCLUDED.signature",
        signature(),
    )
    log.info("formulas installed", version=VERSION)


async def refill(tx: Connection) -> None:
    """The rollups anew from the facts; the checkpoint's row is locked."""
    for rollup in ROLLUPS:
        await tx.execute(f"DELETE FROM {rollup}")  # noqa: S608  # see the module's first lines
    checkpoint = await tx.fetchval("SELECT position FROM freshness WHERE projection = 'scoreboard'")
    tenants = await tx.fetch("SELECT tenant FROM tenant")
    await roll_up(tx, after=0, to=checkpoint, tenants=[row["tenant"] for row in tenants])


async def _list_formulas(tx: Connection) -> None:
    listed: tuple[Metric | Derived, ...] = (*METRICS, *DERIVED)
    await tx.execute("DELETE FROM dim_formula")
    await tx.executemany(
        "INSERT INTO dim_formula (formula, version, name, kind, meaning) VALUES ($1, $2, $3, $4, $5)",
        [
            (metric.name, metric.version, name, kind, each.meaning.replace("''", "'"))
            for metric in listed
            for kind, named in (("sum", metric.sums), ("score", metric.scores))
            for name, each in named.items()
        ]
        + [
            (figure.name, figure.version, name, "figure", each.meaning)
            for figure in experience.FIGURES
            for name, each in figure.columns.items()
        ],
    )
