"""Versions of the read models: the one that answers, one that is being filled, and the one before.

A model is a schema for BI tools with a private one beside it (model/bi.sql, model/fold.sql). Statements name
tables alone: the search path of a connection says which model it works on, so that a rebuild runs the same
SQL beside the live one, and a switch is a change of names.
"""

from dataclasses import dataclass
from pathlib import Path

from services.chassis.postgres import Connection

FOLDER = Path(__file__).parent / "model"
# Of the tables. Raised with each change of the files in FOLDER: a model of an older shape is made anew and
# filled from the journal at the next start.
SHAPE = 3
# Sorting a hundred million rows takes some minutes.
LOOKUPS_SECONDS_MAX = 3600

HAS_LOOKUPS = "SELECT to_regclass('fact_interaction_customer_idx') IS NOT NULL"
# In place of the page's limit (lease.py), which is taken off first: while one runs, another does not count.
# PostgreSQL would not see that the process has died before the indexes are made, and hold until then what the
# next one needs to start. It can look for that everywhere but on Windows.
ALLOW_LOOKUPS = f"""
SET LOCAL transaction_timeout = 0;
SET LOCAL transaction_timeout = '{LOOKUPS_SECONDS_MAX}s';
DO $$
BEGIN
    SET LOCAL client_connection_check_interval = '1s';
EXCEPTION WHEN invalid_parameter_value THEN
    NULL;
END
$$
"""


@dataclass(frozen=True, slots=True)
class Model:
    bi: str
    fold: str

    @property
    def search_path(self) -> str:
        return f"{self.bi}, {self.fold}"


LIVE = Model("bi", "fold")
NEXT = Model("bi_next", "fold_next")
PREVIOUS = Model("bi_previous", "fold_previous")


async def exists(tx: Connection, model: Model) -> bool:
    return bool(await tx.fetchval("SELECT to_regnamespace($1) IS NOT NULL", model.bi))


async def shape(tx: Connection, model: Model) -> int:
    """That of an existing model."""
    number: int = await tx.fetchval(f"SELECT number FROM {model.fold}.shape")  # noqa: S608  # a constant's
    return number


async def create(tx: Connection, model: Model) -> None:
    """Its tables, empty; within a transaction."""
    before = await tx.fetchval("SELECT current_setting('search_path')")
    # The first schema of the path is where things are made.
    for schema, path, file in (
        (model.fold, f"{model.fold}, {model.bi}", "fold.sql"),
        (model.bi, model.search_path, "bi.sql"),
    ):
        await tx.execute(f"CREATE SCHEMA {schema}")
        await _work_on(tx, path)
        await tx.execute((FOLDER / file).read_text())
    await tx.execute("INSERT INTO shape (number) VALUES ($1)", SHAPE)
    await _work_on(tx, before)


async def make_anew(tx: Connection, model: Model) -> None:
    """Its tables, empty again; the reporting zones that were declared stay so."""
    zones = await tx.fetch(f"SELECT tenant, reporting_zone FROM {model.bi}.tenant")  # noqa: S608  # a constant's
    await drop(tx, model)
    await create(tx, model)
    await tx.executemany(
        f"INSERT INTO {model.bi}.tenant (tenant, reporting_zone) VALUES ($1, $2)",  # noqa: S608  # as above
        [tuple(zone) for zone in zones],
    )


async def make_lookups(tx: Connection) -> None:
    """Makes the indexes that a model is filled without, unless it has them; within a page's transaction."""
    if not await tx.fetchval(HAS_LOOKUPS):
        await tx.execute(ALLOW_LOOKUPS)
        await tx.execute((FOLDER / "lookups.sql").read_text(), timeout=LOOKUPS_SECONDS_MAX)


async def drop(tx: Connection, model: Model) -> None:
    await tx.execute(f"DROP SCHEMA IF EXISTS {model.bi}, {model.fold} CASCADE")


async def switch(tx: Connection) -> None:
    """The next one answers from the commit on; what answered before is kept as the previous one."""
    await drop(tx, PREVIOUS)
    await _rename(tx, LIVE, PREVIOUS)
    await _rename(tx, NEXT, LIVE)


async def roll_back(tx: Connection) -> None:
    """The previous one answers again; what answered before is kept as the next one."""
    await drop(tx, NEXT)
    await _rename(tx, LIVE, NEXT)
    await _rename(tx, PREVIOUS, LIVE)


async def _rename(tx: Connection, model: Model, to: Model) -> None:
    await tx.execute(f"ALTER SCHEMA {model.bi} RENAME TO {to.bi}")
    await tx.execute(f"ALTER SCHEMA {model.fold} RENAME TO {to.fold}")


async def _work_on(tx: Connection, path: str) -> None:
    await tx.execute("SELECT set_config('search_path', $1, true)", path)
