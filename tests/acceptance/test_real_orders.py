"""Real orders give the figures that a script without a line of ours has worked out from the same tables."""

import json
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.up import Up, command, environment, touchledger, wait_for

DATES = ("2017-12-01", "2018-03-01", "2018-06-01", "2018-09-01")
STATUSES = (
    *("approved", "canceled", "created", "delivered"),
    *("invoiced", "processing", "shipped", "unavailable"),
)
FIGURES = ("answered", "csat_mean", "top2", "bottom2", "top2_lo", "top2_hi")
# The expected figures have six digits after the point.
TOLERANCE = 1e-6
JOURNAL = """
SELECT count(*), max(notification_id), min(notification_id),
       sum(hashtextextended(s::text, 0)) FROM journal.stored_events s
"""
# As a BI tool would ask: of delivered orders, the day of delivery against the promised one, and the last
# answer.
PROMISE_KEPT = """
WITH answer AS (
  SELECT DISTINCT ON (f.correlation_id) f.correlation_id, f.value
    FROM bi.fact_feedback f
    JOIN bi.event e ON e.tenant = f.tenant AND e.position = f.event_position
   WHERE f.tenant = %s AND f.to_position IS NULL AND f.touchpoint = 'outcome.delivered'
   ORDER BY f.correlation_id, f.occurred_at DESC, e.event_id DESC
), kept AS (
  SELECT a.value, d.reporting_date - (p.due_at AT TIME ZONE t.reporting_zone)::date AS days
    FROM answer a
    JOIN bi.fact_interaction d ON d.correlation_id = a.correlation_id AND d.to_position IS NULL
                              AND d.touchpoint = 'order.delivery'
    JOIN bi.fact_expectation p ON p.tenant = d.tenant AND p.correlation_id = a.correlation_id
                              AND p.to_position IS NULL AND p.basis = 'promise'
                              AND p.occurred_at <= d.occurred_at
    JOIN bi.tenant t ON t.tenant = d.tenant
   WHERE d.tenant = %s
), named AS (
  SELECT value, CASE WHEN days <= -15 THEN 'early_15_or_more' WHEN days <= -8 THEN 'early_8_14'
                     WHEN days <= -1 THEN 'early_1_7' WHEN days = 0 THEN 'on_the_day'
                     WHEN days <= 3 THEN 'late_1_3' WHEN days <= 7 THEN 'late_4_7'
                     ELSE 'late_over_7' END AS bucket
    FROM kept
), sums AS (
  SELECT bucket, count(*) AS answered, avg(value)::float8 AS csat_mean,
         count(*) FILTER (WHERE value >= 4) AS satisfied, count(*) FILTER (WHERE value <= 2) AS dissatisfied
    FROM named GROUP BY bucket
)
SELECT bucket, answered, csat_mean, satisfied::float8 / answered, dissatisfied::float8 / answered,
       bi.wilson_lower(satisfied, answered), bi.wilson_upper(satisfied, answered)
  FROM sums
"""
# Where the journal stood when everything that had occurred by then was recorded, and nothing else.
RECORDED_BEFORE = """
SELECT max(position) FILTER (WHERE occurred_at < start), min(position) FILTER (WHERE occurred_at >= start)
  FROM bi.event e, (SELECT %s::timestamp AT TIME ZONE 'America/Sao_Paulo' AS start) AS day
 WHERE tenant = %s
"""
TENANT = "default"
BI_RELATIONS = """
SELECT relname FROM pg_class WHERE relnamespace = 'bi'::regnamespace AND relkind IN ('r', 'v')
 ORDER BY relname
"""


def close(figures: Mapping[str, Any]) -> Any:
    assert set(FIGURES) == set(figures)
    return pytest.approx(figures, abs=TOLERANCE, rel=0)


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in FIGURES}


def everything(system: Up) -> dict[str, Any]:
    """The journal and every table and view of schema bi, as sums over all rows."""
    system.caught_up()
    state = {"journal": system.rows("touchpoint", JOURNAL)}
    for [name] in system.rows("scoring", BI_RELATIONS):
        query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM bi.{name} t"
        state[name] = system.rows("scoring", query)
    return state


def test_the_first_replay_records_every_event(
    replayed: dict[str, Any], expected: dict[str, Any]
) -> None:
    # And a promise for each order.
    published = sum(expected["events"].values()) + expected["orders"]

    assert (published, 0, True) == (
        replayed["RECORDED"],
        replayed["REJECTED"],
        replayed["complete"],
    )


def test_every_kind_of_event_is_counted(
    system: Up, replayed: dict[str, Any], expected: dict[str, Any]
) -> None:
    rows = {row["touchpoint"]: row for row in system.scores()}

    counted = {
        **{
            name: rows[f"order.{name}"]["interactions"]
            for name in ("purchase", "approval", "handover", "delivery")
        },
        "feedback_requested": sum(row["asked"] for row in rows.values()),
        "feedback_received": sum(row["answered"] for row in rows.values()),
    }
    assert expected["events"] == counted


def test_satisfaction_is_known_for_every_status(expected: dict[str, Any]) -> None:
    assert set(STATUSES) == set(expected["satisfaction_by_order_status"])
    assert set(DATES) == set(expected["as_of_answer_time"])


@pytest.mark.usefixtures("replayed")
def test_satisfaction_by_order_status_is_as_expected(system: Up, expected: dict[str, Any]) -> None:
    rows = system.scores("--touchpoint", "outcome.*")

    figures = expected["satisfaction_by_order_status"]
    assert {f"outcome.{status}": close(figures[status]) for status in STATUSES} == {
        row["touchpoint"]: told(row) for row in rows
    }


@pytest.mark.usefixtures("replayed")
@pytest.mark.parametrize("date", DATES)
def test_satisfaction_of_answers_before_local_midnight_is_as_expected(
    system: Up, expected: dict[str, Any], date: str
) -> None:
    [row] = system.scores(*("--by", "all", "--touchpoint", "outcome.*", "--occurred-before", date))

    assert close(expected["as_of_answer_time"][date]) == told(row)
    assert ("America/Sao_Paulo", row["answered"]) == (row["reporting_zone"], row["csat_answered"])


@pytest.mark.usefixtures("replayed")
def test_months_and_touchpoints_add_up_to_what_came_since(
    system: Up, expected: dict[str, Any]
) -> None:
    since = ("--occurred-from", "2018-03-01", "--touchpoint", "outcome.*")
    rows = system.scores("--by", "month", "--by", "touchpoint", *since)

    answered = [
        figures["answered"] for figures in expected["satisfaction_by_order_status"].values()
    ]
    before = expected["as_of_answer_time"]["2018-03-01"]["answered"]
    assert sum(answered) - before == sum(row["answered"] for row in rows)
    assert all(row["by"] == "month | touchpoint" for row in rows)
    assert "2018-03-01" == min(row["keys"]["month_start"] for row in rows)


@pytest.mark.usefixtures("replayed")
@pytest.mark.parametrize("date", DATES)
def test_satisfaction_as_known_when_that_day_began_is_as_expected(
    system: Up, expected: dict[str, Any], date: str
) -> None:
    system.caught_up()
    [[last, next_one]] = system.rows("scoring", RECORDED_BEFORE, date, TENANT)
    # The replay publishes in the order of occurrence, so both clocks tell the same story.
    assert next_one is None or last < next_one
    [row] = system.scores(*("--by", "all", "--touchpoint", "outcome.*", "--as-of", last))

    assert close(expected["as_of_answer_time"][date]) == told(row)
    assert last == row["as_of_position"]


@pytest.mark.usefixtures("replayed")
def test_satisfaction_by_how_the_promise_was_kept_is_as_expected(
    system: Up, expected: dict[str, Any]
) -> None:
    system.caught_up()
    rows = system.rows("scoring", PROMISE_KEPT, TENANT, TENANT)

    assert {
        name: close(figures) for name, figures in expected["delivered_by_promise_kept"].items()
    } == {bucket: dict(zip(FIGURES, figures, strict=True)) for bucket, *figures in rows}


def test_replaying_again_records_nothing_and_changes_nothing(
    system: Up, orders: Path, replayed: dict[str, Any]
) -> None:
    before = everything(system)

    run = touchledger("replay", "--format", "olist", orders, "--data", system.data, "--json")

    again = json.loads(run.stdout)
    assert (0, 0, replayed["RECORDED"]) == (run.returncode, again["RECORDED"], again["DUPLICATE"])
    assert before == everything(system)


@pytest.mark.usefixtures("replayed")
def test_a_replay_killed_half_way_and_started_again_gives_the_same_figures(
    system: Up, orders: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    key = system.new_key()
    total = sum(expected["events"].values()) + expected["orders"]
    replay = ("replay", "--format", "olist", orders, "--target", system.addresses["grpc"], "--json")
    own = "SELECT count(*) FROM journal.stored_events WHERE tenant = %s"
    variables = {"TOUCHLEDGER_KEY": key.text}
    with subprocess.Popen(
        command(*replay), cwd=tmp_path, env=environment(**variables), stdout=subprocess.PIPE
    ) as killed:
        wait_for(lambda: system.rows("touchpoint", own, key.tenant)[0][0] > 2000, "recorded events")
        killed.send_signal(signal.SIGKILL)
        assert (-signal.SIGKILL, b"") == (killed.wait(), killed.stdout and killed.stdout.read())
    [[half]] = system.rows("touchpoint", own, key.tenant)
    assert 2000 < half < total

    again = touchledger(*replay, folder=tmp_path, **variables)

    answer = json.loads(again.stdout)
    assert (0, True, total) == (again.returncode, answer["complete"], answer["settled_through"])
    # A call that was under way at the kill may have been recorded after the count above.
    assert answer["RECORDED"] <= total - half
    assert total == answer["resumed_after"] + answer["RECORDED"] + answer["DUPLICATE"]
    assert [(total, total)] == system.rows(
        "touchpoint", own.replace("count(*)", "count(*), count(DISTINCT originator_id)"), key.tenant
    )
    assert {
        f"outcome.{status}": close(figures)
        for status, figures in expected["satisfaction_by_order_status"].items()
    } == {
        row["touchpoint"]: told(row) for row in system.scores("--touchpoint", "outcome.*", key=key)
    }
    for date, figures in expected["as_of_answer_time"].items():
        [row] = system.scores(
            *("--by", "all", "--touchpoint", "outcome.*", "--occurred-before", date), key=key
        )
        assert close(figures) == told(row)
