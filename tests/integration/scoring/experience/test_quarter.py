"""On the simulated quarter no figure lacks data, and each finds what is planted.

The quarter is that of seed 1, as the demo's; of other seeds see services/scoring/README.md.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from services.cli.simulator import quarter, retailer
from services.cli.simulator.company import CLAIMS, FORGOTTEN_TEAM
from services.cli.simulator.recovery import VIRAL_REACH
from services.scoring.experience import BY_NAME, FIGURES
from services.scoring.experience.figure import Figure, rows
from services.scoring.scoreboard import Scoreboard
from tests.conftest import SEARCH_PATH
from tests.support.fact_tables import FactTables, fact_tables
from tests.support.journals import RECORDED_FROM, journal_of, project

Row = dict[str, Any]
END = datetime(2026, 10, 1, tzinfo=UTC)
AT_ITS_END = ("'default'", "9223372036854775807", f"timestamptz '{END.isoformat()}'")


class Quarter:
    def __init__(self, sql: FactTables) -> None:
        self._sql = sql

    def rows(self, figure: Figure) -> list[Row]:
        return self._sql.rows(rows(figure, *AT_ITS_END))


@pytest.fixture(scope="module")
def known(new_database: Callable[[str], str]) -> Iterator[Quarter]:
    journal = journal_of(*quarter())
    for each in journal:
        # After all of it has happened: what was not recorded yet is not known to have passed.
        each.recorded_at.seconds += int((END - RECORDED_FROM).total_seconds())

    async def fill(url: str) -> None:
        async with asyncpg.create_pool(url, server_settings=SEARCH_PATH) as pool:
            await project(Scoreboard(pool), journal, page_events=5000)

    with fact_tables(new_database) as sql:
        asyncio.run(fill(sql.url))
        # As questions have it.
        sql.value("SELECT set_config('enable_nestloop', 'off', false)")
        yield Quarter(sql)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_no_figure_lacks_data(known: Quarter, figure: Figure) -> None:
    found = known.rows(figure)
    assert found
    for name in figure.columns:
        assert any(row[name] is not None for row in found), name


# What is planted in the simulated quarter (services/cli/simulator) is found, and nothing else is.


def rows_of(known: Quarter, name: str) -> list[Row]:
    return known.rows(BY_NAME[name])


def where(known: Quarter, name: str, key: str, says: Callable[[Row], Any]) -> set[str]:
    """The keys of the rows that say so."""
    return {row[key] for row in rows_of(known, name) if says(row)}


def test_the_one_team_that_is_green_inside_and_red_outside(known: Quarter) -> None:
    found = where(known, "watermelon", "staff_group", lambda row: row["watermelon"])
    assert {"call.billing"} == found


def test_the_one_claim_that_customers_refute(known: Quarter) -> None:
    found = where(known, "claim", "touchpoint", lambda row: row["refuted"])
    assert {retailer.CALL_BILLING.name} == found
    assert {each.touchpoint.name for each in CLAIMS} == {
        row["touchpoint"] for row in rows_of(known, "claim")
    }


def test_the_touchpoints_that_never_ask(known: Quarter) -> None:
    silent = {each.name for each in retailer.TOUCHPOINTS if not each.questions}
    assert silent == where(known, "asking", "touchpoint", lambda row: row["never_asked"])


def test_the_self_checkout_that_leaks(known: Quarter) -> None:
    rates = {row["touchpoint"]: row["leak_rate"] or 0 for row in rows_of(known, "self_service")}
    given_up = {row["touchpoint"]: row["given_up"] for row in rows_of(known, "self_service")}
    leaks = {name for name, rate in rates.items() if rate > 0.8 and given_up[name] > 50}
    assert {retailer.STORE_SELF_CHECKOUT.name} == leaks


def test_the_post_that_goes_round_the_world_and_stays_a_fact_when_it_is_taken_down(
    known: Quarter,
) -> None:
    [worst] = [row for row in rows_of(known, "public_post_trace") if row["rank"] == 1]
    assert VIRAL_REACH == worst["reach"]
    assert worst["removed_at"] > worst["posted_at"]
    others = [row["angry_reach"] for row in rows_of(known, "public_post_trace") if row["rank"] != 1]
    assert worst["angry_reach"] > sum(others)


def test_the_recovery_that_works_and_the_one_that_does_not(known: Quarter) -> None:
    none, remedy, gesture = (
        {row["recovery_level"]: row for row in rows_of(known, "recovery")}[level]
        for level in ("none", "remedy", "remedy_plus_gesture")
    )
    assert none["srp_delta_hi"] < 0
    assert gesture["srp_delta_hi"] > 0
    assert none["post_csat"] < remedy["post_csat"] < gesture["post_csat"]
    assert gesture["trumpeter_14d_lo"] > remedy["trumpeter_14d_hi"]


def test_the_words_that_are_remarked_on_and_those_that_are_wallpaper(known: Quarter) -> None:
    wallpaper = {row["script"]: row["wallpaper"] for row in rows_of(known, "script_difference")}
    assert wallpaper.pop(retailer.REMARKABLE_SCRIPT) is False
    assert wallpaper["have_a_nice_day"] is True


def test_the_team_that_no_manager_has_come_to(known: Quarter) -> None:
    unknown = where(
        *(known, "five_pillars", "staff_group"),
        lambda row: row["pillar"] == "involvement" and row["state"] == "unknown",
    )
    assert {FORGOTTEN_TEAM} == unknown


def test_the_training_that_helps(known: Quarter) -> None:
    [course] = rows_of(known, "training")
    assert (retailer.COURSE, len(retailer.TRAINED)) == (course["course"], course["trained"])
    assert course["did_estimate_lo"] > 0


def test_feelings_that_are_not_heard_where_work_is_by_the_book(known: Quarter) -> None:
    gaps = where(
        *(known, "listening", "staff_group"),
        lambda row: row["assessor"] == "customer" and (row["empathy_gap_lo"] or 0) > 10,
    )
    assert {"call.billing"} == gaps


def test_too_many_options_are_regretted(known: Quarter) -> None:
    few, many = (
        {row["options_band"]: row for row in rows_of(known, "advice")}[band]
        for band in ("up to 3", "more than 3")
    )
    assert many["happy_rate_hi"] < few["happy_rate_lo"]
    assert many["kept_30d_rate"] < few["kept_30d_rate"]


def test_fifteen_of_a_hundred_who_leave(known: Quarter) -> None:
    [told] = [row for row in rows_of(known, "scenario") if row["scenario"] == "loss.15"]
    assert (-150_000, 150_000, 300_000) == (
        *(told["revenue_lost"], told["competitor_gain"], told["net_gap"]),
    )
