"""The dbt project that is made from the database builds, its tests pass, and they find what is wrong."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml

from services.cli import semantic_layer
from tests.bi.conftest import PROBE_SECONDS_MAX
from tests.support.up import Up, environment, touchledger

# "captured or applied.": all the words that a column may have, not one of them "another word".
LISTED_WORDS = re.compile(r"(^|: )[a-z_]+(, [a-z_]+)* or [a-z_]+[.;]")


@pytest.fixture(scope="module")
def project(system: Up, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dbt") / "project"
    done = touchledger("bi", "dbt", folder, "--data", system.data)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def sources(project: Path) -> dict[str, Any]:
    [source] = yaml.safe_load((project / "models" / "sources.yml").read_text())["sources"]
    return {table["name"]: table for table in source["tables"]}


def dbt(python: Path, project: Path, system: Up, *arguments: str) -> tuple[int, str, Path]:
    """Its exit code, what it said, and where it left its results."""
    target = project.parent / "target"
    done = subprocess.run(
        [
            str(python.parent / "dbt"),
            *arguments,
            *("--project-dir", str(project), "--profiles-dir", str(project)),
            *("--target-path", str(target), "--log-path", str(project.parent)),
        ],
        env=environment(TOUCHLEDGER_BI_PASSWORD=str(urlsplit(system.printed_sql).password)),
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS_MAX,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, target


def test_every_table_view_and_column_has_its_description(
    sources: dict[str, Any], bi: psycopg.Connection
) -> None:
    described = {(name, ""): table["description"] for name, table in sources.items()}
    for name, table in sources.items():
        for column in table["columns"]:
            described[name, column["name"]] = column["description"]

    rows = bi.execute("SELECT table_name, column_name, meaning FROM bi.data_dictionary").fetchall()
    assert {(table, column): meaning for table, column, meaning in rows} == described


def test_every_key_of_the_database_is_a_test(sources: dict[str, Any], system: Up) -> None:
    made = {"p": 0, "u": 0, "f": 0}
    for kind, count in system.rows(
        "scoring",
        "SELECT contype::text, count(*) FROM pg_constraint"
        " WHERE connamespace = 'bi'::regnamespace AND contype IN ('p', 'u', 'f') GROUP BY 1",
    ):
        made[kind] = count
    told = {"keys_exist": 0, "relationships": 0, "keys_are_unique": 0, "unique": 0}
    for table in sources.values():
        tests = [*table.get("data_tests", ())]
        for column in table["columns"]:
            tests += column.get("data_tests", ())
        for each in tests:
            name = each if isinstance(each, str) else next(iter(each))
            told[name] = told.get(name, 0) + 1

    assert made["f"] == told["keys_exist"] + told["relationships"]
    assert made["p"] + made["u"] == told["keys_are_unique"] + told["unique"]
    assert told["not_null"] > 0
    assert told["accepted_values"] > 0


def test_what_can_be_added_up_is_told_from_what_cannot(sources: dict[str, Any]) -> None:
    columns = {each["name"]: each for each in sources["satisfaction_by_touchpoint"]["columns"]}

    told = {
        name: columns[name]["config"]["meta"]["can_be_added_up"]
        for name in ("csat_answered", "csat_mean")
    }

    assert {"csat_answered": True, "csat_mean": False} == told


def test_columns_of_figures_are_told_from_sums_of_the_same_name(sources: dict[str, Any]) -> None:
    told = {
        (name, column["name"]): column["config"]["meta"]
        for name in ("asking", "rollup_day", "satisfaction_by_touchpoint")
        for column in sources[name]["columns"]
        if "config" in column
    }

    assert told["asking", "asked"]["metric"] == "asking"
    assert told["rollup_day", "asked"]["metric"] == "request"
    assert not any(meta["can_be_added_up"] for (name, _), meta in told.items() if name == "asking")
    assert all(meta["can_be_added_up"] for (name, _), meta in told.items() if name == "rollup_day")


def test_every_sum_of_the_rollups_is_compared_by_day_week_month_and_year(
    project: Path, bi: psycopg.Connection
) -> None:
    sums = bi.execute(
        """
        SELECT a.attname::text FROM pg_attribute a JOIN bi.dim_formula f ON f.name = a.attname
         WHERE a.attrelid = 'bi.rollup_day'::regclass AND f.kind = 'sum'
        """
    ).fetchall()

    compared = re.findall(r"sum\((\w+)\)", (project / "tests" / "rollups_agree.sql").read_text())

    assert {name: 5 for (name,) in sums} == Counter(compared)


def test_accepted_words_are_those_of_the_comments(sources: dict[str, Any]) -> None:
    told = {
        (name, column["name"]): (
            each["accepted_values"]["arguments"]["values"],
            column["description"],
        )
        for name, table in sources.items()
        for column in table["columns"]
        for each in column.get("data_tests", ())
        if "accepted_values" in each
    }

    # The one of every table is in each fact table.
    assert {place for place in semantic_layer.ACCEPTED if place[0]} <= told.keys()
    assert len(told) > len(semantic_layer.ACCEPTED)
    for place, (words, meaning) in told.items():
        # Of a metric there is none that is unspecified.
        named = set(re.findall(r"[a-z_]+", meaning)) | {"unspecified"}
        assert set(words) <= named, place


def test_whatever_lists_its_words_is_held_to_them(
    sources: dict[str, Any], bi: psycopg.Connection
) -> None:
    views = {
        name for (name,) in bi.execute("SELECT viewname FROM pg_views WHERE schemaname = 'bi'")
    }
    listing = {
        (name, column["name"])
        for name, table in sources.items()
        for column in table["columns"]
        if name not in views and LISTED_WORDS.search(column["description"])
    }
    held = {
        (name, column["name"])
        for name, table in sources.items()
        for column in table["columns"]
        if any("accepted_values" in each for each in column.get("data_tests", ()))
    }

    assert ("fact_insight", "step") in listing
    assert listing <= held


def test_no_password_is_in_the_project(project: Path, system: Up) -> None:
    password = urlsplit(system.printed_sql).password
    assert password
    assert [] == [
        path for path in project.rglob("*") if path.is_file() and password in path.read_text()
    ]


def test_what_a_user_has_changed_is_kept_and_the_sources_are_made_anew(
    system: Up, tmp_path: Path
) -> None:
    touchledger("bi", "dbt", tmp_path, "--data", system.data)
    changed = tmp_path / "models" / "current_answers.sql"
    changed.write_text("select 1 as mine\n")
    (tmp_path / "models" / "sources.yml").write_text("")

    done = touchledger("bi", "dbt", tmp_path, "--data", system.data)

    assert done.returncode == 0, done.stderr
    assert changed.read_text() == "select 1 as mine\n"
    assert "fact_feedback" in (tmp_path / "models" / "sources.yml").read_text()


def test_the_project_builds_and_all_its_tests_pass(
    client_python: Path, project: Path, system: Up
) -> None:
    code, told, target = dbt(client_python, project, system, "build")

    assert code == 0, told
    results = json.loads((target / "run_results.json").read_text())["results"]
    tests = [each for each in results if each["unique_id"].startswith("test.")]
    assert {"pass"} == {each["status"] for each in tests}
    # Each of the four kinds, and those of several columns, is among them.
    names = " ".join(each["unique_id"] for each in tests)
    for kind in ("not_null", "unique", "relationships", "accepted_values", "is_in_dim_touchpoint"):
        assert kind in names
    assert "deprecat" not in told.lower()


@pytest.fixture
def broken(system: Up) -> Iterator[psycopg.Connection]:
    """The owner's session, for what no projector would write."""
    with psycopg.connect(system.database_url("scoring"), autocommit=True) as owner:
        yield owner
        owner.execute("DELETE FROM bi.fact_interaction WHERE event_position = 1000000000")


def test_the_tests_find_what_is_wrong(
    client_python: Path, project: Path, system: Up, broken: psycopg.Connection
) -> None:
    broken.execute(
        "INSERT INTO bi.fact_interaction (tenant, event_position, from_position, occurred_at, occurred_date,"
        " reporting_date, touchpoint, stage, channel, service_mode, store, source, outcome,"
        " moment_of_truth)"
        " VALUES ('default', 1000000000, 1000000000, now(), '1900-01-01', '2026-01-01', 'nowhere', 'nowhen',"
        " 'store', 'self', 'cologne', 'till', 'astonished', false)"
    )

    code, told, target = dbt(
        client_python, project, system, "test", "--select", "source:touchledger.fact_interaction"
    )

    assert code == 1, told
    results = json.loads((target / "run_results.json").read_text())["results"]
    failed = {each["unique_id"].split(".")[2] for each in results if each["status"] == "fail"}
    assert 5 == len(failed), failed
    for wrong in ("dim_touchpoint", "event_", "stage", "occurred_date", "outcome"):
        assert any(wrong in each for each in failed), (wrong, failed)
