"""A dbt project over schema bi, made from what the database says of itself.

Tables, columns, comments and keys come from its catalogue and the formulas from bi.dim_formula, so that the
project cannot say anything else than what is there. dbt's role can only read: the models that come with the
project are ephemeral, and building it runs tests alone.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from services.cli.data_folder import LaunchError
from touchledger.v1 import events_pb2 as pb

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

CONNECT_SECONDS_MAX = 10.0
COMMAND_SECONDS_MAX = 60.0
# dbt runs as many tests at a time; a BI role's connections are few.
THREADS = 4

COLUMNS = """
SELECT c.relname AS table_name, c.relkind = 'v' AS is_view,
       coalesce(obj_description(c.oid, 'pg_class'), '') AS table_meaning,
       a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       coalesce(col_description(c.oid, a.attnum), '') AS meaning
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind IN ('r', 'v')
 ORDER BY c.relname, a.attnum
"""
KEYS = """
SELECT t.relname AS table_name, k.contype::text AS kind, k.conname AS name,
       (SELECT array_agg(a.attname ORDER BY n) FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, n)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum)::text[] AS columns,
       r.relname AS to_table,
       (SELECT array_agg(a.attname ORDER BY n) FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, n)
          JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum)::text[] AS to_columns
  FROM pg_constraint k
  JOIN pg_class t ON t.oid = k.conrelid AND t.relnamespace = 'bi'::regnamespace
  LEFT JOIN pg_class r ON r.oid = k.confrelid
 WHERE k.contype IN ('p', 'u', 'f')
 ORDER BY t.relname, k.conname
"""
FORMULAS = "SELECT formula, version, name, kind FROM bi.dim_formula"

ROLLUPS = (
    "rollup_day",
    "rollup_touchpoint_day",
    "rollup_touchpoint_week",
    "rollup_touchpoint_month",
    "rollup_touchpoint_year",
)


def _words(enum: EnumTypeWrapper, prefix: str) -> list[str]:
    """What read models call the values: STAGE_PURCHASE is "purchase"."""
    return [name.removeprefix(prefix).lower() for name in enum.keys()]  # noqa: SIM118  # no dict


METRICS = _words(pb.Metric, "METRIC_")
# Words that a column is limited to and that are no key of a dimension; NULL is always allowed.
# An empty table name is every one.
ACCEPTED = {
    ("", "service_mode"): _words(pb.ServiceMode, "SERVICE_MODE_"),
    ("case_decision", "decision"): [
        *(
            "opened",
            "acknowledged",
            "remedied",
            "remedy_retracted",
            "goodwill_given",
            "closed",
            "reopened",
        )
    ],
    ("case_decision", "result"): _words(pb.RecoveryResult, "RECOVERY_RESULT_"),
    ("case_decision", "severity"): _words(pb.Severity, "SEVERITY_"),
    ("dim_formula", "kind"): ["sum", "score", "figure"],
    ("dim_service_standard", "metric"): METRICS,
    ("fact_assessment", "metric"): METRICS,
    ("fact_expectation", "basis"): _words(pb.ExpectationBasis, "EXPECTATION_BASIS_"),
    ("fact_expectation", "metric"): METRICS,
    ("fact_feedback", "kind"): _words(pb.FeedbackKind, "FEEDBACK_KIND_"),
    ("fact_feedback", "metric"): METRICS,
    ("fact_feedback_request", "decision"): ["requested", "suppressed"],
    ("fact_front_line", "metric"): METRICS,
    ("fact_front_line", "step"): _words(pb.FrontLineStep, "FRONT_LINE_STEP_"),
    ("fact_identity", "relation"): _words(pb.IdentityRelation, "IDENTITY_RELATION_"),
    ("fact_insight", "step"): _words(pb.InsightStep, "INSIGHT_STEP_"),
    ("fact_interaction", "outcome"): _words(pb.Outcome, "OUTCOME_"),
    ("fact_recovery", "result"): _words(pb.RecoveryResult, "RECOVERY_RESULT_"),
    ("fact_recovery", "severity"): _words(pb.Severity, "SEVERITY_"),
    ("fact_recovery", "step"): ["failure", "remedy", "goodwill", "closed"],
    ("fact_service_claim", "metric"): METRICS,
    ("standard_declaration", "metric"): METRICS,
}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    not_null: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class Key:
    # p: primary, u: unique, f: foreign.
    kind: str
    columns: tuple[str, ...]
    to_table: str
    to_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    name: str
    is_view: bool
    meaning: str
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Formula:
    metric: str
    version: int
    # sum: can be added up; score and figure: can not.
    kind: str


@dataclass(frozen=True, slots=True)
class Star:
    """Schema bi, as a BI role finds it."""

    relations: tuple[Relation, ...]
    # By view and column. The view of a figure has its own; those of sums and scores are the same in all
    # others, whose name here is empty.
    formulas: dict[tuple[str, str], Formula]

    def formula(self, relation: str, column: str) -> Formula | None:
        return self.formulas.get((relation, column)) or self.formulas.get(("", column))


async def read_star(url: str) -> Star:
    """url: of a BI role; the database is asked for nothing that such a one may not read."""
    try:
        connection = await asyncpg.connect(
            url, timeout=CONNECT_SECONDS_MAX, command_timeout=COMMAND_SECONDS_MAX
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _read(connection)
        finally:
            await connection.close(timeout=CONNECT_SECONDS_MAX)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise LaunchError(f"schema bi: cannot be read ({told})") from error
    except ValueError:
        # Its text may quote a part of the password that was taken for a port.
        raise LaunchError(
            "SQL URL: not readable, want postgresql://ROLE:PASSWORD@HOST:PORT/scoring", exit_code=2
        ) from None


async def _read(connection: Connection) -> Star:
    keys = defaultdict(list)
    for row in await connection.fetch(KEYS):
        keys[row["table_name"]].append(
            Key(
                row["kind"],
                tuple(row["columns"]),
                row["to_table"] or "",
                tuple(row["to_columns"] or ()),
            )
        )
    tables: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in await connection.fetch(COLUMNS):
        tables[row["table_name"]].append(row)
    return Star(
        tuple(
            Relation(
                name,
                rows[0]["is_view"],
                rows[0]["table_meaning"],
                tuple(Column(r["name"], r["type"], r["not_null"], r["meaning"]) for r in rows),
                tuple(keys[name]),
            )
            for name, rows in tables.items()
        ),
        {
            (row["formula"] if row["kind"] == "figure" else "", row["name"]): Formula(
                row["formula"], row["version"], row["kind"]
            )
            for row in await connection.fetch(FORMULAS)
        },
    )


def dbt_project(star: Star, url: str) -> dict[str, str]:
    """By path in the project's folder, the files that say what the database says: written anew each time."""
    return {
        "profiles.yml": _yaml(_profile(url)),
        "models/sources.yml": _yaml(_sources(star)),
        "tests/rollups_agree.sql": _rollups_agree(star),
    }


def dbt_skeleton() -> dict[str, str]:
    """The files that a user goes on from: written where they are missing."""
    folder = resources.files("services.cli") / "dbt"
    return {
        name: (folder / name).read_text()
        for name in (
            "dbt_project.yml",
            "models/csat_by_store_week.sql",
            "models/current_answers.sql",
            "models/models.yml",
            "tests/generic/keys_are_unique.sql",
            "tests/generic/keys_exist.sql",
            "tests/no_event_is_missing.sql",
        )
    }


def _profile(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    # Of several servers the first: a profile names one. A standby answers questions, too.
    parts = parts._replace(netloc=parts.netloc.partition(",")[0])
    options = dict(parse_qsl(parts.query))
    output = {
        "type": "postgres",
        "host": parts.hostname or options.get("host", "127.0.0.1"),
        "port": parts.port or 5432,
        "user": unquote(parts.username or ""),
        # Never in a file that goes into a repository.
        "password": "{{ env_var('TOUCHLEDGER_BI_PASSWORD') }}",
        "dbname": unquote(parts.path.lstrip("/")),
        "schema": "bi",
        "threads": THREADS,
    }
    if "sslmode" in options:
        output["sslmode"] = options["sslmode"]
    return {"touchledger": {"target": "bi", "outputs": {"bi": output}}}


def _sources(star: Star) -> dict[str, Any]:
    return {
        "version": 2,
        "sources": [
            {
                "name": "touchledger",
                "schema": "bi",
                "description": "Touchledger's read models: the rows of one tenant.",
                "tables": [_table(star, each) for each in star.relations],
            }
        ],
    }


def _table(star: Star, relation: Relation) -> dict[str, Any]:
    table: dict[str, Any] = {"name": relation.name, "description": relation.meaning}
    tests = list(_tests_of_keys(relation))
    if tests:
        table["data_tests"] = tests
    table["columns"] = [_column(star, relation, each) for each in relation.columns]
    return table


def _tests_of_keys(relation: Relation) -> Iterable[dict[str, Any]]:
    """Keys of several columns; dbt's own tests know those of one."""
    for key in relation.keys:
        if len(key.columns) == 1:
            continue
        if key.kind == "f":
            yield {
                "keys_exist": {
                    "name": _test_name(relation, key),
                    "arguments": {
                        "columns": list(key.columns),
                        "to": _source(key.to_table),
                        "to_columns": list(key.to_columns),
                    },
                }
            }
        else:
            yield {
                "keys_are_unique": {
                    "name": _test_name(relation, key),
                    "arguments": {"columns": list(key.columns)},
                }
            }


def _test_name(relation: Relation, key: Key) -> str:
    """Short: dbt makes aliases of long names that nobody can read."""
    what = f"is_in_{key.to_table}" if key.kind == "f" else "is_unique"
    return f"{relation.name}_{'_'.join(key.columns[:2])}_{what}"


def _column(star: Star, relation: Relation, column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": column.name,
        "description": column.meaning,
        "data_type": column.type,
    }
    formula = star.formula(relation.name, column.name)
    if formula and not relation.name.startswith(("dim_", "fact_")):
        described["config"] = {
            "meta": {
                "metric": formula.metric,
                "formula_version": formula.version,
                "can_be_added_up": formula.kind == "sum",
            }
        }
    keyed = any(column.name in key.columns for key in relation.keys)
    # PostgreSQL enforces these; a test of each sum in each rollup would read all rows for nothing.
    tests: list[Any] = ["not_null"] if column.not_null and keyed else []
    for key in relation.keys:
        if key.columns != (column.name,):
            continue
        if key.kind == "f":
            to = {"to": _source(key.to_table), "field": key.to_columns[0]}
            tests.append({"relationships": {"arguments": to}})
        else:
            tests.append("unique")
    accepted = ACCEPTED.get((relation.name, column.name)) or ACCEPTED.get(("", column.name))
    if accepted and not relation.is_view:
        tests.append({"accepted_values": {"arguments": {"values": accepted}}})
    if tests:
        described["data_tests"] = tests
    return described


def _source(table: str) -> str:
    return f"source('touchledger', '{table}')"


def _rollups_agree(star: Star) -> str:
    """UNION keeps one of equal rows: a second one is a rollup that says something else."""
    names = {each.name: {column.name for column in each.columns} for each in star.relations}
    sums = [
        name
        for (_, name), formula in star.formulas.items()
        if formula.kind == "sum" and all(name in names[each] for each in ROLLUPS)
    ]
    totals = ",\n       ".join(f"sum({name}) as {name}" for name in sums)
    selects = "\nunion\n".join(
        f"select {totals}\n  from {{{{ {_source(each)} }}}}"  # noqa: S608  # names of our own columns
        for each in ROLLUPS
    )
    return (
        "-- Days, weeks and so on add up to the same. Of equal rows union keeps one; any other is a fault.\n"
        f"select * from (\n{selects}\n) as totals offset 1\n"
    )


def _yaml(value: Any) -> str:
    header = "# Made from the database by `touchledger bi dbt`, which writes it anew each time.\n"
    return header + "\n".join(_block(value, 0)) + "\n"


def _block(value: Any, depth: int) -> Iterable[str]:
    """Blocks of mappings and lists; scalars and lists of them as JSON, which is YAML."""
    indent = "  " * depth
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _entry(f"{indent}{name}:", each, depth)
    else:
        for each in value:
            if isinstance(each, dict):
                first, *others = _block(each, depth + 1)
                yield f"{indent}- {first.lstrip()}"
                yield from others
            else:
                yield f"{indent}- {_scalar(each)}"


def _entry(head: str, value: Any, depth: int) -> Iterable[str]:
    if isinstance(value, dict) or (_is_list(value) and any(isinstance(e, dict) for e in value)):
        yield head
        yield from _block(value, depth + 1)
    elif _is_list(value):
        yield f"{head} [{', '.join(map(_scalar, value))}]"
    else:
        yield f"{head} {_scalar(value)}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
