"""Cohorts of staff on a control chart: a drop at a change of batch is seen."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

START = datetime(2026, 5, 1, tzinfo=UTC)


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def batch(
    name: str, *answers: str, hours: float = 0, staff: int = 5, met: float = 24
) -> Iterator[events.Event]:
    """They begin at that hour; each answer is about an interaction some hours later."""
    for number in range(staff):
        yield event(
            staff_profile={"cohort": name},
            staff=f"{name} {number}",
            event_id=f"{name} {number} begins",
            occurred_at=at(hours),
        )
    for number, value in enumerate(answers):
        of = {"customer": f"{name} customer {number}"}
        yield event(
            staff=f"{name} {number % staff}",
            event_id=f"{name} meets {number}",
            occurred_at=at(hours + met),
            **of,
        )
        yield feedback(
            csat(value), event_id=f"{name} hears {number}", occurred_at=at(hours + met + 1), **of
        )


async def test_a_drop_at_the_change_of_batch_is_seen(figures: Figures) -> None:
    usual = ["3", "4", "5"] * 40
    await figures.know(
        *batch("spring", *usual),
        *batch("summer", *usual, hours=500),
        *batch("autumn", *["2", "3", "4"] * 10, hours=1000),
    )
    rows = {row["cohort"]: row for row in await figures.rows("cohort")}
    assert {"spring": "false", "summer": "false", "autumn": "true"} == {
        name: row["out_of_control"] for name, row in rows.items()
    }
    autumn = rows["autumn"]
    assert (autumn["tenure_month"], autumn["interactions"], autumn["staff"]) == ("0", "30", "5")
    counts = {25: 10, 50: 90, 75: 90, 100: 80}
    mean = sum(points * n for points, n in counts.items()) / 270
    deviation = (sum((points - mean) ** 2 * n for points, n in counts.items()) / 269) ** 0.5
    assert autumn["csat_points"] == "50.0"
    assert float(autumn["center_line"]) == pytest.approx(mean)
    assert float(autumn["lower_limit"]) == pytest.approx(mean - 3 * deviation / 30**0.5)
    assert float(autumn["upper_limit"]) == pytest.approx(mean + 3 * deviation / 30**0.5)


async def test_a_month_of_service_is_720_hours_from_the_first_profile_or_interaction(
    figures: Figures,
) -> None:
    before_profile = event(staff="new", event_id="before", occurred_at=at(0))
    joins = event(staff_profile={"cohort": "b"}, staff="new", event_id="joins", occurred_at=at(100))
    await figures.know(
        *batch("a", "4", met=719.9),
        *batch("c", "4", met=720),
        *(before_profile, joins),
        *(
            event(staff="new", event_id=f"at {hours}", occurred_at=at(hours))
            for hours in (700, 730)
        ),
    )
    rows = await figures.rows("cohort")
    assert [("a", "0"), ("b", "0"), ("b", "1"), ("c", "1"), ("unspecified", "0")] == [
        (row["cohort"], row["tenure_month"]) for row in rows
    ]
    assert ["joins", "at 730"] == await figures.events("cohort", "cohort=b", "tenure_month=1")


async def test_of_few_members_or_few_customers_nothing_is_told(figures: Figures) -> None:
    await figures.know(*batch("four", *["4"] * 9, staff=4), *batch("five", *["4"] * 4))
    kept_back = {"cohort", "tenure_month", "interactions", "staff", "answers", "too_few"}
    for row in await figures.rows("cohort"):
        assert row.keys() == kept_back
        assert row["too_few"] == "true"


async def test_an_answer_belongs_to_the_interaction_it_is_about_and_follows_its_correction(
    figures: Figures,
) -> None:
    other = event(
        interaction={"stage": "STAGE_PURCHASE"},
        staff="summer 0",
        customer="spring customer 0",
        event_id="other",
        occurred_at=at(26),
    )
    named = {
        "stage": "STAGE_PURCHASE",
        "signals": [csat("1")],
        "about": {"event_id": "other"},
    }
    correction = event(
        correction={"feedback_received": named},
        amends={"event_id": "spring hears 0"},
        customer="spring customer 0",
        event_id="correction",
        occurred_at=at(27),
    )
    await figures.know(*batch("spring", "5"), *batch("summer"), other, correction)

    async def answers(**asked: object) -> dict[str, str]:
        return {row["cohort"]: row["answers"] for row in await figures.rows("cohort", **asked)}

    assert {"spring": "1", "summer": "0"} == await answers(as_of_position={"number": "13"})
    assert {"spring": "0", "summer": "1"} == await answers()


async def test_the_center_line_gives_nothing_away_of_rows_that_are_kept_back(
    figures: Figures,
) -> None:
    await figures.know(*batch("told", *["4"] * 10), *batch("kept back", "1", "1"))
    rows = {row["cohort"]: row for row in await figures.rows("cohort")}
    assert "true" == rows["kept back"]["too_few"]
    assert "75.0" == rows["told"]["center_line"]
