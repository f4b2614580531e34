"""What is lost, and what competitors gain, as a scenario assumes; nothing that was observed changes."""

import asyncpg

from services.chassis.postgres import Pool
from services.scoring.scoreboard import Scoreboard
from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from tests.support.journals import journal_of, project
from touchledger.v1 import events_pb2 as events

FIGURE = "scenario"
MILLION = {"amount": "1000000", "currency": "EUR"}
# What a scenario is in, and what is reckoned from it.
OF_SCENARIOS = {"fact_scenario", "scenario", "premium_scenario", "customer_value"}
# How far the tables are, and which events there are.
OF_EVENTS = {"freshness", "event"}


def assumed(name: str, loss: str, hour: int = 8, **fields: object) -> events.Event:
    body = {"name": name, "loss_percent": loss, **fields}
    occurred_at = f"2026-07-01T{hour:02}:00:00Z"
    return event(scenario=body, touchpoint="", event_id=f"{name} {hour}", occurred_at=occurred_at)


def paid(
    amount: str, event_id: str, when: str = "2026-07-30", currency: str = "EUR"
) -> events.Event:
    body = {"amount": {"amount": amount, "currency": currency}}
    return event(interaction=body, event_id=event_id, occurred_at=f"{when}T08:00:00Z")


def money(row: Row) -> tuple[str | None, ...]:
    names = ("revenue_year", "revenue_lost", "competitor_gain", "net_gap")
    return tuple(row.get(name) for name in names)


async def test_fifteen_percent_of_a_million_move_the_gap_by_three_hundred_thousand(
    figures: Figures,
) -> None:
    await figures.know(assumed("loss.15", "15", revenue=MILLION))
    [row] = await figures.rows(FIGURE)
    assert ("1000000", "-150000", "150000", "300000") == money(row)
    assert ("loss.15", "EUR", "false") == (row["scenario"], row["currency"], row["observed"])


async def test_what_competitors_do_not_get_is_in_no_gap_and_all_is_exact(figures: Figures) -> None:
    revenue = {"amount": "999999999999999.999999", "currency": "EUR"}
    await figures.know(
        assumed("some", "33.333333", competitor_percent="66.666667", revenue=revenue)
    )
    [row] = await figures.rows(FIGURE)
    lost, gained = "333333329999999.99999966666667", "222222221111111.0999997777777788888889"
    assert ("-" + lost, gained) == (row["revenue_lost"], row["competitor_gain"])
    assert "555555551111111.0999994444444488888889" == row["net_gap"]


async def test_without_a_revenue_that_of_the_last_365_days_counts_in_each_currency(
    figures: Figures,
) -> None:
    await figures.know(
        paid("500", "before", when="2025-07-29"),
        # From exactly 365 days before what is seen last on.
        paid("100", "first", when="2025-07-31"),
        paid("60", "sale"),
        paid("-10", "refund"),
        paid("7", "abroad", currency="CHF"),
        paid("0.01", "last", when="2026-07-30"),
        paid("0", "free"),
        assumed("loss", "10"),
    )
    abroad, home = await figures.rows(FIGURE)
    assert ("CHF", "true", "10") == (abroad["currency"], abroad["too_few"], abroad["loss_percent"])
    # What one customer paid is nobody's business.
    assert (None, None, None, None) == money(abroad)
    assert ("-15.001", "15.001", "30.002") == money(home)[1:]
    assert ("150.01", "true") == (home["revenue_year"], home["observed"])
    found = await figures.events(FIGURE, "currency=EUR")
    assert ["first", "sale", "refund", "last", "free", "loss 8"] == found


async def test_five_payments_of_one_customer_are_not_told(figures: Figures) -> None:
    def of_ann(nth: int) -> events.Event:
        made = paid("10", f"sale {nth}")
        made.customer = "ann"
        return made

    await figures.know(*map(of_ann, range(5)), assumed("loss", "10"))
    [row] = await figures.rows(FIGURE)
    assert ("true", (None, None, None, None)) == (row["too_few"], money(row))


async def test_nothing_paid_is_no_revenue_and_the_last_of_a_name_counts(figures: Figures) -> None:
    await figures.know(assumed("loss", "15", hour=9), assumed("loss", "5", hour=8, revenue=MILLION))
    [row] = await figures.rows(FIGURE)
    assert (None, None, None, None) == money(row)
    assert ("15", None) == (row["loss_percent"], row.get("currency"))
    [row] = await figures.rows(FIGURE, occurred_before_time="2026-07-01T09:00:00Z")
    assert "-50000" == row["revenue_lost"]


async def test_a_scenario_changes_nothing_that_was_observed(scoring_pool: Pool) -> None:
    scoreboard = Scoreboard(scoring_pool)
    await scoreboard.install()
    journal = journal_of(
        paid("60", "sale"),
        feedback(csat("2"), customer="ann", event_id="answer"),
        event(failure={}, customer="ann", event_id="failure"),
        event(customer_profile={}, customer="ann", touchpoint="", event_id="profile"),
        assumed("loss.15", "15", margin_percent="30", revenue=MILLION),
    )
    await project(scoreboard, journal[:-1])
    before = await told(scoring_pool)
    await project(scoreboard, journal[-1:])
    after = await told(scoring_pool)
    assert {"rollup_day", "fact_interaction", "revenue_at_risk"} <= before.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert OF_SCENARIOS | OF_EVENTS == changed


async def told(pool: Pool) -> dict[str, list[asyncpg.Record]]:
    """Everything that is in schema bi, by table and view."""
    async with pool.acquire() as connection, connection.transaction():
        # As questions of figures have it.
        await connection.execute("SET LOCAL enable_nestloop = off")
        names = await connection.fetch(
            "SELECT DISTINCT table_name FROM information_schema.columns"
            " WHERE table_schema = 'bi' AND column_name = 'tenant'"
            " UNION VALUES ('freshness')"
        )
        return {
            name: await connection.fetch(f"SELECT t::text FROM {name} AS t ORDER BY 1")
            for [name] in names
        }
