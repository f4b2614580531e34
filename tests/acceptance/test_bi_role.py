"""BI tools read schema bi by the printed DSN: the same figures, one tenant's rows, nothing to be written."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import errors
from psycopg.rows import dict_row

from tests.acceptance.test_real_orders import DATES, FIGURES, STATUSES, close
from tests.support.events import csat, feedback
from tests.support.up import Key, Up, touchledger
from touchledger.v1 import ingest_pb2

# All rows of each table and view. Times with a zone compare as moments.
SUMS_OF_ALL = """
SELECT c.relname,
       format('SELECT count(*), sum(hashtextextended(ROW(%s)::text, 0)) FROM bi.%I',
              string_agg(CASE WHEN a.atttypid = 'timestamptz'::regtype
                              THEN format('extract(epoch FROM %I)', a.attname)
                              ELSE quote_ident(a.attname) END, ', '), c.relname)
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind IN ('r', 'v')
 GROUP BY c.relname
"""
BY_STATUS = """
SELECT touchpoint, csat_answered AS answered, csat_mean, top2, bottom2, top2_lo, top2_hi
  FROM bi.satisfaction_by_touchpoint
 WHERE touchpoint LIKE 'outcome.%'
"""
# What a BI tool would write that knows the facts alone, and only the comments on them.
BEFORE_DAY = """
WITH answers AS (
    SELECT f.value
      FROM bi.fact_feedback f
      JOIN bi.tenant t ON t.tenant = f.tenant
     WHERE f.metric = 'csat' AND f.dimension IS NULL AND f.scale_min = 1 AND f.scale_max = 5
       AND f.to_position IS NULL AND f.touchpoint LIKE 'outcome.%%'
       AND f.occurred_at < (%s::date)::timestamp AT TIME ZONE t.reporting_zone
), sums AS (
    SELECT count(*) AS answered, avg(value)::float8 AS csat_mean,
           count(*) FILTER (WHERE value >= 4) AS top, count(*) FILTER (WHERE value <= 2) AS bottom
      FROM answers
)
SELECT answered, csat_mean, top / answered::float8 AS top2, bottom / answered::float8 AS bottom2,
       bi.wilson_lower(top, answered) AS top2_lo, bi.wilson_upper(top, answered) AS top2_hi
  FROM sums
"""
WRITES = (
    "INSERT INTO bi.tenant VALUES ('mine', 'UTC')",
    "UPDATE bi.fact_feedback SET value = 5",
    "UPDATE bi.freshness SET position = 0",
    "DELETE FROM bi.event",
    "MERGE INTO bi.tenant t USING bi.tenant s ON t.tenant = s.tenant WHEN MATCHED THEN DELETE",
    "TRUNCATE bi.fact_feedback",
    "SELECT 1 FROM bi.event FOR UPDATE",
    "BEGIN; LOCK TABLE bi.freshness IN ROW EXCLUSIVE MODE",
    "CREATE TABLE mine (id int)",
    "CREATE TABLE bi.mine (id int)",
    "CREATE TABLE public.mine (id int)",
    "CREATE TABLE bi.mine AS SELECT 1 AS id",
    "CREATE TEMP TABLE mine (id int)",
    "CREATE TEMP SEQUENCE mine",
    "SELECT 1 AS id INTO TEMP mine",
    "CREATE VIEW bi.mine AS SELECT 1 AS id",
    "CREATE FUNCTION bi.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SEQUENCE bi.mine",
    "CREATE SCHEMA mine",
    "CREATE PUBLICATION mine",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "DROP TABLE bi.event CASCADE",
    "DROP VIEW bi.data_dictionary",
    "DROP SCHEMA bi CASCADE",
    "DROP POLICY own_tenant ON bi.event",
    "ALTER TABLE bi.event ADD COLUMN mine int",
    "ALTER TABLE bi.event DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE bi.event OWNER TO touchledger_bi",
    "ALTER ROLE touchledger_bi BYPASSRLS",
    "ALTER ROLE touchledger_bi CONNECTION LIMIT 90",
    "COMMENT ON TABLE bi.event IS 'mine'",
    "REINDEX TABLE bi.event",
    "COPY bi.tenant FROM STDIN",
    "COPY bi.tenant FROM PROGRAM 'true'",
    "COPY bi.tenant TO '/tmp/touchledger-mine'",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'mine')",
    "SET ROLE touchledger_scoring",
    "SET ROLE touchledger_admin",
    "SET SESSION AUTHORIZATION touchledger_scoring",
    "INSERT INTO scoring.bi_role VALUES ('touchledger_bi', 'another')",
    "UPDATE scoring.bi_role SET tenant = 'another'",
    "DELETE FROM fold.waiting_amendment",
    "DELETE FROM public.schema_migration",
    "CREATE TABLE scoring.mine (id int)",
    "CREATE TABLE fold.mine (id int)",
    "SET ROLE touchledger_bi_readers",
    "GRANT touchledger_bi_readers TO touchledger_gateway",
)
SECRETS = (
    "SELECT * FROM scoring.bi_role",
    "SELECT * FROM fold.waiting_amendment",
    "SELECT * FROM fold.formulas",
    "SELECT * FROM public.schema_migration",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'touchledger_scoring'",
)


@pytest.fixture
def bi(system: Up) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A session of a BI tool."""
    with psycopg.connect(system.printed_sql, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def writing(
    bi: psycopg.Connection[dict[str, Any]],
) -> psycopg.Connection[dict[str, Any]]:
    """A session that has taken off what is only a default."""
    bi.execute("SET default_transaction_read_only = off")
    bi.execute("SET statement_timeout = '10s'")
    return bi


@pytest.fixture(scope="module")
def others(system: Up) -> Iterator[str]:
    """The URL of a BI role that is bound to a tenant with one answer of its own."""
    key = system.new_key()
    answered(system, key)
    made = touchledger("bi", "role", "add", key.tenant, "--data", system.data)
    assert made.returncode == 0, made.stderr
    url = made.stdout.strip()
    yield url
    removed = touchledger("bi", "role", "remove", urlsplit(url).username, "--data", system.data)
    assert removed.returncode == 0, removed.stderr


def answered(system: Up, key: Key) -> None:
    """One answer of the key's tenant, in the read models."""
    now = Timestamp()
    now.FromJsonString("2026-08-03T10:15:30Z")
    with system.ingest() as stub:
        request = ingest_pb2.PublishBatchRequest(events=[feedback(csat("4"), customer="somebody")])
        answer = stub.PublishBatch(request, metadata=key.metadata, timeout=30)
    assert answer.results[0].disposition == ingest_pb2.DISPOSITION_RECORDED
    system.caught_up()


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12) if isinstance(value, float) else value


def tables_with_tenant(system: Up) -> list[str]:
    rows = system.rows(
        "scoring",
        "SELECT table_name FROM information_schema.columns "
        "WHERE table_schema = 'bi' AND column_name = 'tenant' ORDER BY 1",
    )
    return [name for [name] in rows]


def test_the_printed_dsn_is_the_one_of_system_json(system: Up) -> None:
    assert system.addresses["sql"] == system.printed_sql


@pytest.mark.usefixtures("replayed")
def test_satisfaction_by_order_status_is_as_expected_in_sql(
    system: Up, bi: psycopg.Connection[dict[str, Any]], expected: dict[str, Any]
) -> None:
    system.caught_up()

    rows = bi.execute(BY_STATUS).fetchall()

    figures = expected["satisfaction_by_order_status"]
    assert {f"outcome.{status}": close(figures[status]) for status in STATUSES} == {
        row.pop("touchpoint"): row for row in rows
    }


@pytest.mark.usefixtures("replayed")
@pytest.mark.parametrize("date", DATES)
def test_satisfaction_of_answers_before_a_day_is_as_expected_in_sql(
    system: Up, bi: psycopg.Connection[dict[str, Any]], expected: dict[str, Any], date: str
) -> None:
    system.caught_up()

    row = bi.execute(BEFORE_DAY, (date,)).fetchone()

    assert close(expected["as_of_answer_time"][date]) == row


@pytest.mark.usefixtures("replayed")
def test_the_views_give_what_the_command_line_gives(
    system: Up, bi: psycopg.Connection[dict[str, Any]]
) -> None:
    asked = {row["touchpoint"]: row for row in system.scores()}

    rows = bi.execute("SELECT * FROM bi.satisfaction_by_touchpoint").fetchall()

    assert asked.keys() == {row["touchpoint"] for row in rows}
    for row in rows:
        names = row.keys() & asked[row["touchpoint"]].keys()
        assert set(FIGURES) < names
        assert {name: near(asked[row["touchpoint"]][name]) for name in names} == {
            name: row[name] for name in names
        }


@pytest.mark.parametrize("statement", [*WRITES, *SECRETS])
def test_a_session_that_may_write_is_denied(
    writing: psycopg.Connection[dict[str, Any]], statement: str
) -> None:
    # The second is said of a table without a schema, where the role may make none in any.
    with pytest.raises((errors.InsufficientPrivilege, errors.InvalidSchemaName)):
        writing.execute(statement.encode())


def test_there_is_no_sequence_to_draw_from(system: Up) -> None:
    sequences = system.rows("scoring", "SELECT oid::regclass FROM pg_class WHERE relkind = 'S'")

    assert [] == sequences


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO bi.tenant VALUES ('mine', 'UTC')", "SELECT lo_create(0)", "CREATE TABLE mine ()"],
)
def test_a_session_begins_read_only(bi: psycopg.Connection[dict[str, Any]], statement: str) -> None:
    with pytest.raises((errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)):
        bi.execute(statement.encode())


def test_no_right_to_write_is_granted_anywhere(system: Up, others: str) -> None:
    rights = system.rows(
        "scoring",
        """
        WITH r (role) AS (VALUES ('touchledger_bi'), ('touchledger_bi_readers'), (%s))
        SELECT role, c.oid::regclass::text, p.may
          FROM r, pg_class c
         CROSS JOIN (VALUES ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('TRIGGER'), ('MAINTAIN'))
               AS p (may)
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
           AND has_table_privilege(role, c.oid, p.may)
           -- Where PostgreSQL itself lets everybody change settings of the session.
           AND c.oid <> 'pg_settings'::regclass
        UNION ALL
        SELECT role, nspname, p.may
          FROM r, pg_namespace CROSS JOIN (VALUES ('CREATE')) AS p (may)
         WHERE has_schema_privilege(role, oid, p.may)
        UNION ALL
        SELECT role, datname, p.may
          FROM r, pg_database CROSS JOIN (VALUES ('CREATE'), ('TEMPORARY')) AS p (may)
         WHERE datname <> 'postgres' AND has_database_privilege(role, oid, p.may)
        """,
        urlsplit(others).username,
    )

    assert [] == rights


@pytest.mark.parametrize("database", ["touchpoint", "gateway", "postgres", "template1"])
def test_it_is_not_let_into_another_database(system: Up, database: str) -> None:
    url = urlunsplit(urlsplit(system.printed_sql)._replace(path=f"/{database}"))

    with (
        pytest.raises(psycopg.OperationalError, match="permission denied for database"),
        psycopg.connect(url),
    ):
        pass


def test_a_role_of_another_tenant_sees_its_own_rows_alone(system: Up, others: str) -> None:
    with psycopg.connect(others, autocommit=True) as session:
        owners = {
            name: session.execute(f"SELECT DISTINCT tenant FROM bi.{name}").fetchall()
            for name in tables_with_tenant(system)
        }
        own = session.execute("SELECT bi.current_tenant()").fetchall()
        seen = session.execute(
            "SELECT answered, csat_mean FROM bi.satisfaction_by_stage"
        ).fetchall()

    assert [(1, 4.0)] == seen
    assert own == owners["fact_feedback"]
    assert {} == {name: rows for name, rows in owners.items() if rows not in ([], own)}


def test_the_own_role_sees_nothing_of_another_tenant(
    system: Up, bi: psycopg.Connection[dict[str, Any]], others: str
) -> None:
    seen = {
        name: bi.execute(f"SELECT count(*) FROM bi.{name} WHERE tenant <> 'default'").fetchone()
        for name in tables_with_tenant(system)
    }

    assert {name: {"count": 0} for name in tables_with_tenant(system)} == seen
    assert [] != system.rows("scoring", "SELECT FROM bi.event WHERE tenant <> 'default'"), others


def test_a_role_that_is_bound_to_no_tenant_sees_nothing(system: Up, others: str) -> None:
    role = urlsplit(others).username
    with (
        psycopg.connect(system.database_url("scoring")) as admin,
        psycopg.connect(others) as session,
    ):
        admin.execute("UPDATE scoring.bi_role SET tenant = 'nobody' WHERE role_name = %s", (role,))
        admin.commit()
        try:
            seen = {
                name: session.execute(f"SELECT count(*) FROM bi.{name}").fetchone()
                for name in tables_with_tenant(system)
            }
        finally:
            admin.execute("DELETE FROM scoring.bi_role WHERE role_name = %s", (role,))
            admin.commit()
        unbound = session.execute("SELECT count(*) FROM bi.event").fetchone()

    assert dict.fromkeys(tables_with_tenant(system), (0,)) == seen
    assert (0,) == unbound


@pytest.mark.usefixtures("replayed")
def test_sessions_in_different_time_zones_read_the_same(
    system: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.caught_up()
    queries = system.rows("scoring", SUMS_OF_ALL)
    read = {}

    for zone in ("Pacific/Kiritimati", "America/Los_Angeles"):
        monkeypatch.setenv("PGTZ", zone)
        with psycopg.connect(system.printed_sql) as session:
            assert (zone,) == session.execute("SHOW timezone").fetchone()
            read[zone] = {name: session.execute(query).fetchall() for name, query in queries}

    assert read["Pacific/Kiritimati"] == read["America/Los_Angeles"]
