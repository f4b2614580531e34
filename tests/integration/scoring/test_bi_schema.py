"""Schema bi keeps its contract with BI tools, on a stream with every kind of fact of two tenants."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg import errors, sql

from services.chassis.postgres import Connection
from services.cli.databases import BI_READERS, role_url
from services.cli.simulator import quarter
from services.scoring import bi_role, formulas, models
from services.scoring.derived import DERIVED
from services.scoring.experience import FIGURES
from services.scoring.facts import TABLES
from services.scoring.metric import Derived, Metric
from services.scoring.metrics import METRICS
from services.scoring.models import LIVE, NEXT
from services.scoring.scoreboard import Scoreboard
from tests.support.events import event, of_every_body
from tests.support.journals import project, recorded
from touchledger.v1 import events_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

OWN, OTHER = "acme", "zebra"
PASSWORD = "bi"
NAME_LENGTH_MAX = 63

RELATIONS = """
SELECT relname, relkind::text FROM pg_class
 WHERE relnamespace = 'bi'::regnamespace AND relkind NOT IN ('i', 'I', 't')
"""
NAMES = """
SELECT relname FROM pg_class WHERE relnamespace = 'bi'::regnamespace
UNION SELECT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
 WHERE relnamespace = 'bi'::regnamespace AND attnum > 0 AND NOT attisdropped
UNION SELECT conname FROM pg_constraint WHERE connamespace = 'bi'::regnamespace
UNION SELECT proname FROM pg_proc WHERE pronamespace = 'bi'::regnamespace
"""
UNCOMMENTED = """
SELECT c.relname || coalesce('.' || a.attname, '')
  FROM pg_class c
  LEFT JOIN LATERAL (
      SELECT NULL::name AS attname, 0 AS attnum
      UNION ALL
      SELECT attname, attnum FROM pg_attribute
       WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
  ) AS a ON true
 WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND coalesce(
       CASE a.attnum WHEN 0 THEN obj_description(c.oid, 'pg_class') ELSE col_description(c.oid, a.attnum) END,
       '') = ''
UNION ALL
SELECT p.oid::regprocedure::text
  FROM pg_proc p
 WHERE p.pronamespace = 'bi'::regnamespace AND coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
"""
# Domains and ranges count as what they are made of: something that a BI tool may not know. So does uuid.
UNFIT_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
 WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND (t.typtype <> 'b' OR t.typcategory = 'A'
        OR t.typname NOT IN ('text', 'int4', 'int8', 'float8', 'numeric', 'bool', 'date', 'timestamptz'))
"""
# A numeric of no declared scale is shown with scale 0 by JDBC. Sums in rollups need one of any size.
KEYS = """
SELECT t.relname AS table_name, k.contype::text AS kind, k.conname AS name, k.conenforced AS enforced,
       (SELECT array_agg(a.attname::text ORDER BY n) FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, n)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS columns,
       r.relname AS to_table,
       (SELECT array_agg(a.attname::text ORDER BY n) FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, n)
          JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS to_columns
  FROM pg_constraint k
  JOIN pg_class t ON t.oid = k.conrelid AND t.relnamespace = 'bi'::regnamespace
  LEFT JOIN pg_class r ON r.oid = k.confrelid
 WHERE k.contype IN ('p', 'u', 'f')
"""
WITH_TENANT = """
SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
 WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY 1
"""

# So that no figure is without rows.
CUSTOMERS = 150


@dataclass(frozen=True, slots=True)
class Filled:
    """A database whose read models hold the stream, and a role of each tenant."""

    admin_url: str
    roles: dict[str, str]

    def url(self, tenant: str) -> str:
        return role_url(
            self.admin_url,
            role=self.roles[tenant],
            password=PASSWORD,
            database=self.admin_url.rpartition("/")[2],
        )

    def rows(self, query: str, *, tenant: str | None = None, zone: str = "UTC") -> list[Any]:
        """As the owner, or as the role of the tenant."""
        url = self.url(tenant) if tenant else self.admin_url
        with psycopg.connect(url, autocommit=True, options=f"-c timezone={zone}") as session:
            return session.execute(query.encode()).fetchall()

    def relations(self) -> list[str]:
        return sorted(name for name, _ in self.rows(RELATIONS))


def stream() -> list[RecordedEvent]:
    """A simulated quarter of two tenants in turn, and one event of every body, amended ones among them."""
    events: list[pb.Event] = []
    for number, each in enumerate(of_every_body().values()):
        each.event_id = f"of every body {number}"
        events.append(each)
    events.append(event(event_id="event-0"))
    events += quarter(seed=7, customers=CUSTOMERS)
    # Of a year that dim_date does not have from the start.
    events.append(event(event_id="long ago", occurred_at="1931-02-03T04:05:06Z"))
    twice = [(each, tenant) for each in events for tenant in (OWN, OTHER)]
    return [
        recorded(each, position, tenant=tenant)
        for position, (each, tenant) in enumerate(twice, start=1)
    ]


@pytest.fixture(scope="module")
def journal() -> list[RecordedEvent]:
    return stream()


@pytest.fixture(scope="module")
def filled(new_database: Callable[[str], str], journal: list[RecordedEvent]) -> Iterator[Filled]:
    url = new_database("scoring")
    database = url.rpartition("/")[2]
    given = Filled(url, {tenant: f"{database}_{tenant}" for tenant in (OWN, OTHER)})

    async def fill() -> None:
        path = {"search_path": LIVE.search_path}
        async with asyncpg.create_pool(url, min_size=1, max_size=2, server_settings=path) as pool:
            scoreboard = Scoreboard(pool, reporting_zone="America/Sao_Paulo")
            await scoreboard.install()
            await project(scoreboard, journal, page_events=1000)
            await pool.execute(
                f"DO $$ BEGIN CREATE ROLE {BI_READERS}; EXCEPTION WHEN duplicate_object THEN END $$"
            )
            for tenant, role in given.roles.items():
                await pool.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
                await pool.execute(f"GRANT {BI_READERS} TO {role} WITH INHERIT TRUE, SET FALSE")
                await bi_role.admit(pool, role=role, tenant=tenant)

    asyncio.run(fill())
    yield given
    with psycopg.connect(url, autocommit=True) as admin:
        for role in given.roles.values():
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_schema_bi_is_made_of_plain_tables_and_views(filled: Filled) -> None:
    # So there are no materialised views, no partitions, and no sequences to draw from.
    assert {"r", "v"} == {kind for _, kind in filled.rows(RELATIONS)}


def test_the_stream_fills_every_fact_table_for_both_tenants(filled: Filled) -> None:
    counts = {
        table: [row for (row,) in filled.rows(f"SELECT DISTINCT tenant FROM bi.{table} ORDER BY 1")]
        for table in TABLES
    }

    assert {table: [OWN, OTHER] for table in TABLES} == counts


def test_every_name_is_lower_snake_case_of_at_most_63_characters(filled: Filled) -> None:
    names = [name for (name,) in filled.rows(NAMES)]

    assert [] == [
        name
        for name in names
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > NAME_LENGTH_MAX
    ]


def test_no_name_is_a_word_that_needs_quotes(filled: Filled) -> None:
    # R and T: those that can't name a column as they are.
    reserved = {
        w for (w,) in filled.rows("SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")
    }

    assert set() == reserved & {name for (name,) in filled.rows(NAMES)}


def test_every_table_column_and_function_has_a_comment(filled: Filled) -> None:
    assert [] == filled.rows(UNCOMMENTED)


def test_no_column_is_of_a_type_that_bi_tools_do_not_know(filled: Filled) -> None:
    assert [] == filled.rows(UNFIT_COLUMNS)


def test_every_table_has_a_primary_key_without_nulls(filled: Filled) -> None:
    tables = {name for name, kind in filled.rows(RELATIONS) if kind == "r"}

    assert tables == {name for name, kind, *_ in filled.rows(KEYS) if kind == "p"}


def test_the_tenant_comes_first_in_every_key_of_a_table_that_has_one(filled: Filled) -> None:
    with_tenant = {name for (name,) in filled.rows(WITH_TENANT)}

    wrong = [
        (table, name)
        for table, kind, name, _, columns, *_ in filled.rows(KEYS)
        if table in with_tenant and kind in "pu" and columns[0] != "tenant"
    ]

    assert [] == wrong


def test_foreign_keys_are_declared_and_not_enforced(filled: Filled) -> None:
    assert {False} == {enforced for _, kind, _, enforced, *_ in filled.rows(KEYS) if kind == "f"}


def test_every_fact_is_tied_to_its_event_touchpoint_stage_channel_and_days(filled: Filled) -> None:
    tied: dict[str, set[tuple[str, ...]]] = {table: set() for table in TABLES}
    for table, kind, _, _, columns, to_table, _ in filled.rows(KEYS):
        if kind == "f" and table in tied:
            tied[table].add((to_table, *columns))

    assert {
        table: {
            ("event", "tenant", "event_position"),
            ("dim_touchpoint", "tenant", "touchpoint"),
            ("dim_stage", "stage"),
            ("dim_channel", "channel"),
            ("dim_date", "occurred_date"),
            ("dim_date", "reporting_date"),
        }
        for table in TABLES
    } == tied


def test_every_foreign_key_holds(filled: Filled) -> None:
    orphans = {}
    for table, kind, name, _, columns, to_table, to_columns in filled.rows(KEYS):
        if kind == "f":
            same = " AND ".join(
                f"r.{to} = f.{own}" for own, to in zip(columns, to_columns, strict=True)
            )
            given = " AND ".join(f"f.{own} IS NOT NULL" for own in columns)
            orphans[name] = filled.rows(
                f"SELECT {', '.join('f.' + own for own in columns)} FROM bi.{table} f WHERE {given}"
                f" AND NOT EXISTS (SELECT FROM bi.{to_table} r WHERE {same}) LIMIT 3"
            )

    assert orphans
    assert {} == {name: rows for name, rows in orphans.items() if rows}


def test_what_joins_its_dimensions_loses_no_fact(filled: Filled) -> None:
    for table in TABLES:
        [[alone, joined]] = filled.rows(
            f"""
            SELECT (SELECT count(*) FROM bi.{table}),
                   (SELECT count(*)
                      FROM bi.{table} f
                      JOIN bi.event e ON e.tenant = f.tenant AND e.position = f.event_position
                      JOIN bi.dim_touchpoint t ON t.tenant = f.tenant AND t.touchpoint = f.touchpoint
                      JOIN bi.dim_stage s ON s.stage = f.stage
                      JOIN bi.dim_channel c ON c.channel = f.channel
                      JOIN bi.dim_date d ON d.date_key = f.reporting_date)
            """
        )
        assert alone == joined, table


def test_information_schema_shows_the_keys_to_a_bi_role(filled: Filled) -> None:
    seen = {
        name
        for (name,) in filled.rows(
            "SELECT constraint_name FROM information_schema.referential_constraints", tenant=OWN
        )
    }

    assert {name for _, kind, name, *_ in filled.rows(KEYS) if kind == "f"} == seen


def test_the_data_dictionary_has_every_table_and_column(filled: Filled) -> None:
    rows = filled.rows(
        "SELECT table_name, column_name, data_type, meaning FROM bi.data_dictionary", tenant=OWN
    )

    columns = filled.rows(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'bi'"
    )
    tables = {(name, "") for name in filled.relations()}
    assert tables | set(columns) == {(table, column) for table, column, *_ in rows}
    assert len(rows) == len(tables) + len(columns)
    assert all(meaning for *_, meaning in rows)
    assert all(type_ for _, column, type_, _ in rows if column)


def test_dim_formula_says_what_every_sum_and_score_is_of(filled: Filled) -> None:
    listed = filled.rows("SELECT formula, version, name, kind FROM bi.dim_formula", tenant=OWN)

    metrics: tuple[Metric | Derived, ...] = (*METRICS, *DERIVED)
    made = [
        (metric.name, metric.version, name, kind)
        for metric in metrics
        for kind, names in (("sum", metric.sums), ("score", metric.scores))
        for name in names
    ]
    made += [
        (figure.name, figure.version, name, "figure")
        for figure in FIGURES
        for name in figure.columns
    ]
    assert sorted(made) == sorted(listed)
    assert [] == filled.rows("SELECT name FROM bi.dim_formula WHERE meaning = ''")


def test_every_figure_of_a_view_is_in_dim_formula(filled: Filled) -> None:
    columns = filled.rows(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'bi'"
    )
    groups = {"tenant", "formula_version"} | {
        key for _, keys in formulas.VIEWS.values() for key in keys
    }
    named: dict[str, set[str]] = {}
    for formula, name in filled.rows("SELECT formula, name FROM bi.dim_formula"):
        named.setdefault(formula, set()).add(name)
    views = {f"{each.name}_by_touchpoint": named.pop(each.name) for each in DERIVED}
    views |= {figure.name: named.pop(figure.name) | {*figure.keys} for figure in FIGURES}
    views |= dict.fromkeys(formulas.VIEWS, set().union(*named.values()))

    for view, figures in views.items():
        told = {column for table, column in columns if table == view}
        assert figures - groups == told - groups, view


def test_every_view_of_scores_says_its_formulas(filled: Filled) -> None:
    for view in formulas.VIEWS:
        rows = filled.rows(f"SELECT DISTINCT formula_version FROM bi.{view}", tenant=OWN)
        assert [(formulas.VERSION,)] == rows, view
    for each in DERIVED:
        rows = filled.rows(
            f"SELECT DISTINCT formula_version FROM bi.{each.name}_by_touchpoint", tenant=OWN
        )
        assert [(f"{each.name}/{each.version}",)] == rows
    for figure in FIGURES:
        rows = filled.rows(f"SELECT DISTINCT formula_version FROM bi.{figure.name}", tenant=OWN)
        assert [(figure.formula_version,)] == rows


def test_freshness_says_how_far_the_tables_are(
    filled: Filled, journal: list[RecordedEvent]
) -> None:
    last = journal[-1]

    rows = filled.rows(
        "SELECT projection, position, events, extract(epoch FROM recorded_at)::bigint, journal_head"
        " FROM bi.freshness",
        tenant=OWN,
    )

    assert [
        ("scoreboard", last.position, len(journal), last.recorded_at.seconds, last.position)
    ] == rows


def test_days_weeks_months_years_and_facts_add_up_to_the_same(filled: Filled) -> None:
    names = list(formulas.SUMS)
    totals = ", ".join(f"sum({name})" for name in names)
    by_rollup = {
        rollup: filled.rows(f"SELECT tenant, {totals} FROM bi.{rollup} GROUP BY 1 ORDER BY 1")
        for rollup in formulas.ROLLUPS
    }
    of_facts = []
    for tenant in (OWN, OTHER):
        row: list[Any] = [tenant]
        for metric in METRICS:
            for each in metric.sums.values():
                [[value]] = filled.rows(
                    f"SELECT {each.sql} FROM bi.{metric.facts}"
                    f" WHERE tenant = '{tenant}' AND to_position IS NULL"
                )
                row.append(value)
        of_facts.append(tuple(row))

    assert dict.fromkeys(formulas.ROLLUPS, of_facts) == by_rollup
    assert all(any(row[number] for row in of_facts) for number in range(1, 3))


def test_weeks_begin_on_monday_and_months_and_years_on_the_first(filled: Filled) -> None:
    assert [] == filled.rows(
        "SELECT week_start FROM bi.rollup_touchpoint_week WHERE extract(isodow FROM week_start) <> 1"
    )
    assert [] == filled.rows(
        "SELECT month_start FROM bi.rollup_touchpoint_month WHERE extract(day FROM month_start) <> 1"
    )
    assert [] == filled.rows(
        "SELECT year_start FROM bi.rollup_touchpoint_year WHERE extract(doy FROM year_start) <> 1"
    )


@pytest.mark.parametrize("tenant", [OWN, OTHER])
def test_a_role_reads_the_same_in_every_time_zone(filled: Filled, tenant: str) -> None:
    for name in filled.relations():
        # Times with a zone compare as moments.
        far_east, far_west = (
            sorted(filled.rows(f"SELECT * FROM bi.{name}", tenant=tenant, zone=zone), key=_no_times)
            for zone in ("Pacific/Kiritimati", "America/Los_Angeles")
        )
        assert far_east == far_west, name


def _no_times(row: tuple[Any, ...]) -> list[str]:
    return [repr(each) for each in row if not hasattr(each, "tzinfo")]


def test_a_view_needs_no_search_path(filled: Filled) -> None:
    views = [name for name, kind in filled.rows(RELATIONS) if kind == "v"]

    with psycopg.connect(filled.url(OWN), options="-c search_path=") as session:
        empty = [
            view for view in views if not session.execute(f"SELECT * FROM bi.{view}").fetchall()
        ]
    # Nobody has put a rule.
    assert ["alert"] == empty


@pytest.mark.parametrize(("tenant", "stranger"), [(OWN, OTHER), (OTHER, OWN)])
def test_a_role_sees_its_tenants_rows_and_nobody_elses(
    filled: Filled, tenant: str, stranger: str
) -> None:
    for (name,) in filled.rows(WITH_TENANT):
        seen = filled.rows(f"SELECT tenant, count(*) FROM bi.{name} GROUP BY 1", tenant=tenant)
        own = filled.rows(
            f"SELECT tenant, count(*) FROM bi.{name} WHERE tenant = '{tenant}' GROUP BY 1"
        )
        assert own == seen, name
        assert [] == filled.rows(
            f"SELECT 1 FROM bi.{name} WHERE tenant = '{stranger}'", tenant=tenant
        )


def test_what_has_no_tenant_holds_nothing_of_one(filled: Filled) -> None:
    without = set(filled.relations()) - {name for (name,) in filled.rows(WITH_TENANT)}

    assert {
        *(
            "data_dictionary",
            "dim_channel",
            "dim_date",
            "dim_formula",
            "dim_generation",
            "dim_generation_rule",
            "dim_stage",
        ),
        "freshness",
    } == without


def test_no_statistics_of_a_table_show_values_of_another_tenant(filled: Filled) -> None:
    with psycopg.connect(filled.admin_url, autocommit=True) as admin:
        admin.execute("ANALYZE")

    assert filled.rows("SELECT 1 FROM pg_stats WHERE schemaname = 'bi' AND attname = 'tenant'")
    assert [] == filled.rows(
        "SELECT tablename, attname FROM pg_stats WHERE schemaname = 'bi' AND tablename IN "
        f"({', '.join(repr(name) for (name,) in filled.rows(WITH_TENANT))})",
        tenant=OWN,
    )


def test_the_function_that_says_the_tenant_says_that_of_the_session(filled: Filled) -> None:
    for tenant in (OWN, OTHER):
        assert [(tenant,)] == filled.rows("SELECT bi.current_tenant()", tenant=tenant)
    assert [(None,)] == filled.rows("SELECT bi.current_tenant()")


def test_no_other_function_reads_anything(filled: Filled) -> None:
    rows = filled.rows(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'bi'::regnamespace"
        " AND (provolatile <> 'i' OR prosecdef)"
    )

    assert [("current_tenant",)] == rows


def test_queries_of_a_role_may_run_in_parallel(filled: Filled) -> None:
    # One function that may not, in a policy or a view, and none that reads the table can.
    assert [] == filled.rows(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'bi'::regnamespace AND proparallel <> 's'"
    )
    with psycopg.connect(filled.url(OWN)) as session:
        session.execute("SET debug_parallel_query = on")
        plan = session.execute(
            "EXPLAIN SELECT channel, count(*) FROM bi.fact_interaction GROUP BY 1"
        ).fetchall()
        counted = session.execute("SELECT DISTINCT tenant FROM bi.fact_interaction").fetchall()
    assert any("Gather" in line for (line,) in plan)
    assert [(OWN,)] == counted


def test_a_role_that_is_bound_to_no_tenant_sees_no_row(filled: Filled) -> None:
    with (
        psycopg.connect(filled.admin_url) as admin,
        psycopg.connect(filled.url(OWN), autocommit=True) as session,
    ):
        admin.execute("DELETE FROM scoring.bi_role WHERE role_name = %s", (filled.roles[OWN],))
        admin.commit()
        try:
            seen = {
                name: session.execute(f"SELECT 1 FROM bi.{name} LIMIT 1").fetchall()
                for (name,) in filled.rows(WITH_TENANT)
            }
        finally:
            admin.execute("INSERT INTO scoring.bi_role VALUES (%s, %s)", (filled.roles[OWN], OWN))
            admin.commit()

    assert {} == {name: rows for name, rows in seen.items() if rows}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO bi.tenant VALUES ('mine', 'UTC')",
        "UPDATE bi.fact_feedback SET value = 5",
        "DELETE FROM bi.event",
        "TRUNCATE bi.rollup_day",
        "CREATE TABLE bi.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE VIEW bi.mine AS SELECT 1 AS id",
        # REFERENCES alone is of no use.
        "CREATE TABLE public.mine (d date REFERENCES bi.dim_date)",
        "SELECT * FROM scoring.bi_role",
        "SELECT * FROM fold.waiting_amendment",
        f"SET ROLE {BI_READERS}",
    ],
)
def test_a_role_may_only_read_schema_bi(filled: Filled, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        filled.rows(statement, tenant=OWN)


# What a switch of models does to the roles: in a database of their own, as a service that is no superuser.


@pytest.fixture
async def twice(
    new_database: Callable[[str], str],
) -> AsyncIterator[tuple[Connection, str, str]]:
    """A session of the service, with two models; a bound role that was made by hand, and its URL."""
    url = await asyncio.to_thread(new_database, "scoring")
    database = url.rpartition("/")[2]
    service, role = f"{database}_service", f"{database}_by_hand"
    session = await asyncpg.connect(url)
    try:
        # Made by a superuser, who may do more than a service.
        await models.drop(session, LIVE)
        await session.execute(
            f"CREATE ROLE {service}; GRANT CREATE ON DATABASE {database} TO {service};"
            f"GRANT USAGE ON SCHEMA scoring TO {service};"
            f"GRANT ALL ON ALL TABLES IN SCHEMA scoring TO {service};"
            f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}';"
            f"SET ROLE {service}"
        )
        await session.execute("INSERT INTO scoring.bi_role VALUES ($1, $2)", role, OWN)
        for model in (LIVE, NEXT):
            async with session.transaction():
                await models.create(session, model)
        async with session.transaction():
            await bi_role.grant_all(session, LIVE.bi)
        yield session, role, role_url(url, role=role, password=PASSWORD, database=database)
        await session.execute(
            f"RESET ROLE; DROP OWNED BY {service} CASCADE; DROP OWNED BY {role};"
            f"DROP ROLE {service}, {role}"
        )
    finally:
        await session.close()


async def readable(url: str) -> list[str]:
    """The schemas that the role may look into, the server's own apart."""
    session = await asyncpg.connect(url)
    try:
        rows = await session.fetch(
            "SELECT nspname FROM pg_namespace WHERE nspname ~ '^(bi|fold|marts|scoring)'"
            " AND has_schema_privilege(oid, 'USAGE') ORDER BY 1"
        )
        await session.fetch("SELECT * FROM bi.event")
        return [row["nspname"] for row in rows]
    finally:
        await session.close()


async def test_a_role_that_an_operator_made_is_granted_what_it_is_bound_to(
    twice: tuple[Connection, str, str],
) -> None:
    _, _, url = twice

    assert ["bi"] == await readable(url)


async def test_after_a_switch_and_after_a_rollback_a_role_reads_what_is_bi_and_nothing_else(
    twice: tuple[Connection, str, str],
) -> None:
    service, _, url = twice
    async with service.transaction():
        await models.switch(service)
        await bi_role.grant_all(service, LIVE.bi)
    switched = await readable(url)
    async with service.transaction():
        await models.roll_back(service)
        await bi_role.grant_all(service, LIVE.bi)

    assert (["bi"], ["bi"]) == (switched, await readable(url))


async def test_a_schema_of_somebody_else_keeps_its_grants(
    twice: tuple[Connection, str, str],
) -> None:
    service, role, url = twice
    await service.execute(
        f"RESET ROLE; CREATE SCHEMA marts; GRANT USAGE ON SCHEMA marts TO {role};"
        f"SET ROLE {role.replace('by_hand', 'service')}"
    )

    async with service.transaction():
        await bi_role.grant_all(service, LIVE.bi)

    assert ["bi", "marts"] == await readable(url)
