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
