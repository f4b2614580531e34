"""What better service would be worth if customers paid what the premium curve says, as of its position."""

import pytest

from tests.integration.scoring.experience.test_premium import would_pay
from tests.integration.scoring.experience.test_scenario import MILLION, assumed, paid
from tests.support.experience import Figures, Row

FIGURE = "premium_scenario"
NAMES = ("premium_ok_rate", "gain_if_offered", "gain_if_raised")


def numbers(row: Row, end: str = "") -> list[float]:
    return [float(row[name + end]) for name in NAMES]


async def test_seven_of_ten_at_fifteen_percent_are_worth_105_000_of_a_million_and_no_rise_for_all(
    figures: Figures,
) -> None:
    await figures.know(
        assumed("loss.15", "15", revenue=MILLION),
        *(would_pay(f"willing {nth}", "15") for nth in range(7)),
        *(would_pay(f"unwilling {nth}", "0") for nth in range(3)),
    )
    rows = await figures.rows(FIGURE)
    assert [("5", "10"), ("10", "10"), ("15", "10")] == [
        (row["percent"], row["customers"]) for row in rows
    ]
    assert ("loss.15", "EUR", "false", "1000000") == tuple(
        rows[2][name] for name in ("scenario", "currency", "observed", "revenue_year")
    )
    # Those who agree pay 15 % more: 1,000,000 x 0.7 x 0.15; or all others leave: 0.7 x 1.15 - 1.
    assert pytest.approx([0.7, 105_000, -195_000]) == numbers(rows[2])
    # Wilson 7 of 10 is 0.396778 ... 0.892209.
    assert pytest.approx([0.396778, 59_516.7, -543_705.1], rel=1e-5) == numbers(rows[2], "_lo")
    assert pytest.approx([0.892209, 133_831.3, 26_040.0], rel=1e-5) == numbers(rows[2], "_hi")
    assert rows[2]["assumption"].startswith("Customers do as they say")


async def test_the_curve_is_that_of_the_same_position_and_time(figures: Figures) -> None:
    await figures.know(
        assumed("loss", "15", revenue=MILLION),
        *(would_pay(f"c{nth}", "20", hour=10) for nth in range(5)),
        would_pay("late", "0", hour=12),
    )

    async def share(**asked: object) -> str | None:
        row = (await figures.rows(FIGURE, **asked))[0]
        assert row.get("premium_ok_rate") == (await figures.rows("premium", **asked))[0].get(
            "premium_ok_rate"
        )
        return row.get("premium_ok_rate")

    assert pytest.approx(5 / 6) == float(await share() or 0)
    assert "1.0" == await share(as_of_position={"number": "6"})
    assert "1.0" == await share(occurred_before_time="2026-07-01T11:00:00Z")
    found = await figures.events(FIGURE, "percent=15")
    assert ["loss 8", *(f"c{nth} 20" for nth in range(5)), "late 0"] == found


async def test_what_fewer_than_five_said_or_paid_is_not_told(figures: Figures) -> None:
    await figures.know(
        assumed("assumed", "15", revenue=MILLION),
        assumed("observed", "15"),
        paid("60", "sale"),
        *(would_pay(f"c{nth}", "20") for nth in range(4)),
        would_pay("c4", "20"),
    )
    for row in await figures.rows(FIGURE, as_of_position={"number": "7"}):
        assert ("4", "true") == (row["customers"], row["too_few"])
        assert not {*NAMES, "revenue_year"} & row.keys()
    too_few = {row["scenario"]: row["too_few"] for row in await figures.rows(FIGURE)}
    assert {"assumed": "false", "observed": "true"} == too_few


async def test_while_nobody_was_asked_there_is_a_revenue_and_no_gain(figures: Figures) -> None:
    await figures.know(assumed("loss", "15", revenue=MILLION))
    for row in await figures.rows(FIGURE):
        assert ("0", "false", "1000000") == (
            *(row["customers"], row["too_few"]),
            row["revenue_year"],
        )
        assert not set(NAMES) & row.keys()
