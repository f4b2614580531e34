"""What a customer is worth, by what was observed and what scenarios assume."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.events import event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

FIGURE = "customer_value"
FIRST = datetime(2026, 4, 1, 8, tzinfo=UTC)
NAMES = ("ann", "ben", "cem", "dee", "eva")


def seen(event_id: str, day: int, **fields: object) -> events.Event:
    occurred_at = (FIRST + timedelta(days=day)).isoformat()
    return event(**{"interaction": {}, "event_id": event_id, "occurred_at": occurred_at} | fields)


def paid(customer: str, day: int, amount: str = "100", currency: str = "EUR") -> events.Event:
    body = {"amount": {"amount": amount, "currency": currency}}
    return seen(f"{customer} {day} {amount}", day, customer=customer, interaction=body)


def assumed(name: str, **fields: object) -> events.Event:
    body = {"name": name, "loss_percent": "15", **fields}
    return event(scenario=body, touchpoint="", event_id=name, occurred_at=FIRST.isoformat())


def four_of_five_come_back() -> list[events.Event]:
    """Nine orders of 100 in the 100 days that are seen; the fifth comes back when it is too late."""
    return [
        *(paid(name, 0) for name in NAMES),
        *(paid(name, 30) for name in NAMES[:3]),
        # The last moment that counts, and the first that does not.
        paid("dee", 89),
        paid("eva", 90),
        seen("last", 100),
    ]


def by_scenario(rows: list[Row]) -> dict[str, Row]:
    return {row["scenario"]: row for row in rows}


async def test_what_was_observed_stands_beside_what_is_assumed(figures: Figures) -> None:
    margin = {"margin_percent": "30"}
    await figures.know(
        *four_of_five_come_back(), assumed("plain", **margin, discount_percent="10", years=3)
    )
    [row] = await figures.rows(FIGURE)
    assert ("plain", "EUR", "30", "10", "3") == tuple(
        row[name]
        for name in ("scenario", "currency", "margin_percent", "discount_percent", "years")
    )
    names = ("customers", "orders", "observed_days", "order_value_mean", "orders_per_year")
    # Ten orders of five customers in 100 days are 7.3 in 365.
    assert ["5", "10", "100", "100.0", "7.3"] == [row[name] for name in names]
    names = ("retention_n", "retention_pending", "retention", "yearly_value", "too_few")
    assert ["5", "0", "0.8", "730.0", "false"] == [row[name] for name in names]
    assert float(row["retention_lo"]) < 0.8 < float(row["retention_hi"])


async def test_the_worth_is_the_sum_of_discounted_margins(figures: Figures) -> None:
    margin = {"margin_percent": "30"}
    await figures.know(
        *four_of_five_come_back(),
        assumed("for ever", **margin),
        assumed("discounted", **margin, discount_percent="8"),
        assumed("two years", **margin, years=2),
        assumed("no margin"),
    )
    rows = by_scenario(await figures.rows(FIGURE))
    # 219 a year: m r / (1 + i - r), as Gupta and Lehmann have it.
    expected = {
        "for ever": 219 * 0.8 / 0.2,
        "discounted": 219 * 0.8 / 0.28,
        "two years": 219 * 1.44,
    }
    for name, worth in expected.items():
        assert abs(float(rows[name]["clv"]) - worth) < 1e-9, name
    assert "clv" not in rows["no margin"]


async def test_of_a_thousand_who_hardly_come_back_a_century_is_worth_no_more_than_what_is_left(
    figures: Figures,
) -> None:
    """0.0005 to the power of 100 is smaller than a number can be."""
    rates = {"margin_percent": "50", "discount_percent": "100"}
    await figures.know(
        *(paid(f"customer {n}", 0) for n in range(1000)),
        paid("customer 0", 30),
        seen("last", 100),
        assumed("century", **rates, years=100),
        assumed("decade", **rates, years=10),
        assumed("for ever", **rates),
    )
    rows = by_scenario(await figures.rows(FIGURE))
    assert "0.001" == rows["century"]["retention"]
    # A margin of half of 1001 * 365 / 1000, of which 0.0005 / 0.9995 is left.
    assert pytest.approx(50 * 3.65365 * 0.0005 / 0.9995) == float(rows["century"]["clv"])
    assert {rows["century"]["clv"]} == {row["clv"] for row in rows.values()}


async def test_money_that_went_back_lowers_the_value_and_not_the_number_of_orders(
    figures: Figures,
) -> None:
    await figures.know(
        *four_of_five_come_back(),
        paid("ann", 31, "-50"),
        # Who only got money back ordered nothing; of nobody nothing is known.
        *(paid("fay", 31, "-5"), paid("", 31)),
        assumed("plain"),
    )
    [row] = await figures.rows(FIGURE)
    names = ("customers", "orders", "order_value_mean")
    assert ["5", "10", "95.0"] == [row[name] for name in names]


async def test_who_may_still_come_back_is_pending_and_short_histories_are_not_scaled(
    figures: Figures,
) -> None:
    await figures.know(
        assumed("plain", margin_percent="30"),
        *(paid(name, 0) for name in NAMES),
        *(paid(name, 30) for name in NAMES),
        seen("after 89 days", 89),
        seen("after 90 days", 90),
    )
    [row] = await figures.rows(FIGURE, as_of_position={"number": "12"})
    assert ("0", "5", "89") == tuple(
        row[name] for name in ("retention_n", "retention_pending", "observed_days")
    )
    assert not {"retention", "orders_per_year", "yearly_value", "clv"} & row.keys()
    assert "100.0" == row["order_value_mean"]
    [row] = await figures.rows(FIGURE)
    # Nobody ever leaves and nothing is discounted: there is no end to it.
    assert ("5", "1.0", None) == (row["retention_n"], row["retention"], row.get("clv"))


async def test_of_fewer_than_five_customers_nothing_is_told_but_how_many_they_are(
    figures: Figures,
) -> None:
    await figures.know(
        *(paid(name, 0) for name in NAMES[:4]),
        *(paid(name, 50, currency="CHF") for name in NAMES),
        paid("fay", 0, "1", currency="CHF"),
        seen("last", 100),
        assumed("plain", margin_percent="30"),
    )
    abroad, home = await figures.rows(FIGURE)
    of_money = {"order_value_mean", "orders_per_year", "yearly_value"}
    assert ("4", "true") == (home["customers"], home["too_few"])
    assert not (of_money | {"retention", "clv"}) & home.keys()
    # Six customers, but the 90 days of one of them alone have passed.
    assert ("6", "1", "true") == tuple(
        abroad[name] for name in ("customers", "retention_n", "too_few")
    )
    assert of_money <= abroad.keys()
    assert not {"retention", "clv"} & abroad.keys()
