"""Watermelon teams: green outside, red inside; and whether both orders of the teams agree."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from math import atanh, tanh

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def team(
    name: str,
    *,
    kept: int,
    missed: int,
    answers: Sequence[str],
    staff: int = 5,
    customers: int = 99,
) -> Iterator[events.Event]:
    """Its members share the assessments and the answers."""
    members = [f"{name} {number}" for number in range(staff)]
    for member in members:
        yield event(
            staff_profile={"group": name},
            staff=member,
            event_id=f"{member} joins",
            occurred_at="2026-08-01T00:00:00Z",
        )
    within = [True] * kept + [False] * missed
    for number, (member, kept_it) in enumerate(zip(cycle(members), within, strict=False)):
        body = {"assessor": "system", "within_sla": kept_it}
        yield event(assessment=body, staff=member, event_id=f"{name} looked at {number}")
    for number, (member, each) in enumerate(zip(cycle(members), answers, strict=False)):
        yield feedback(
            csat(each),
            staff=member,
            customer=f"{name} customer {number % customers}",
            event_id=f"{name} answer {number}",
        )


BAD = ["1", "2"] * 10
GOOD = ["4", "5"] * 10


async def test_a_team_is_a_watermelon_when_it_is_green_and_red(figures: Figures) -> None:
    await figures.know(
        *team("billing", kept=9, missed=1, answers=BAD),
        *team("support", kept=9, missed=1, answers=GOOD),
        *team("stores", kept=8, missed=2, answers=BAD),
    )
    rows = {row["staff_group"]: row for row in await figures.rows("watermelon")}
    assert {name: row["watermelon"] for name, row in rows.items()} == {
        "billing": "true",
        "stores": "false",
        "support": "false",
    }
    billing = rows["billing"]
    assert (billing["sla_looked_at"], billing["sla_share"], billing["sla_green"]) == (
        *("10", "0.9", "true"),
    )
    # Twenty answers of 0 and 25 points: standard deviation 12.824729…, t with 19 degrees of freedom.
    half = 2.0930240544 * (12.5**2 * 20 / 19) ** 0.5 / 20**0.5
    assert (billing["csat_answers"], billing["csat_points"]) == ("20", "12.5")
    assert float(billing["csat_points_lo"]) == pytest.approx(12.5 - half)
    assert float(billing["csat_points_hi"]) == pytest.approx(12.5 + half)


async def test_no_team_is_red_by_bad_luck(figures: Figures) -> None:
    # Its mean is 56.25 points, and 60 is within the interval.
    await figures.know(*team("support", kept=10, missed=0, answers=["1", "4", "4", "4"] * 2))
    [row] = await figures.rows("watermelon")
    assert (row["csat_points"], row["customer_red"], row["watermelon"]) == (
        "56.25",
        "false",
        "false",
    )


async def test_of_few_members_or_few_customers_nothing_is_told(figures: Figures) -> None:
    await figures.know(
        *team("four members", kept=10, missed=0, answers=BAD, staff=4),
        *team("four customers", kept=10, missed=0, answers=BAD, customers=4),
        *team("five", kept=10, missed=0, answers=BAD, customers=5),
    )
    kept_back = {"staff_group", "too_few", "sla_looked_at", "csat_answers", "tenant"}
    rows = {row["staff_group"]: row for row in await figures.rows("watermelon")}
    assert rows["five"]["watermelon"] == "true"
    for name in ("four members", "four customers"):
        assert rows[name]["too_few"] == "true"
        assert rows[name].keys() <= kept_back


async def test_the_correlation_is_of_ranks_with_its_interval(figures: Figures) -> None:
    await figures.know(
        *team("a", kept=10, missed=0, answers=["3"] * 10),
        *team("b", kept=9, missed=1, answers=["5"] * 10),
        *team("c", kept=8, missed=2, answers=["4"] * 10),
        *team("d", kept=7, missed=3, answers=["2"] * 10),
        *team("e", kept=7, missed=3, answers=["1"] * 10),
    )
    rows = await figures.rows("watermelon")
    assert [(row["kpi_rank"], row["customer_rank"]) for row in rows] == [
        ("1.0", "3.0"),
        ("2.0", "1.0"),
        ("3.0", "2.0"),
        ("4.5", "4.0"),
        ("4.5", "5.0"),
    ]
    [row] = await figures.rows("watermelon_correlation")
    assert row["teams"] == "5"
    # The deviations of both ranks from 3: -2 -1 0 1.5 1.5 and 0 -2 -1 1 2.
    r = 6.5 / (9.5 * 10) ** 0.5
    assert float(row["spearman"]) == pytest.approx(r)
    spread = 1.959963984540054 * ((1 + r * r / 2) / 2) ** 0.5
    assert float(row["spearman_lo"]) == pytest.approx(tanh(atanh(r) - spread))
    assert float(row["spearman_hi"]) == pytest.approx(tanh(atanh(r) + spread))


async def test_three_teams_have_no_correlation(figures: Figures) -> None:
    three = [("a", "3"), ("b", "5"), ("c", "4")]
    of_three = [
        each
        for name, answer in three
        for each in team(name, kept=10, missed=0, answers=[answer] * 5)
    ]
    await figures.know(*of_three)
    [row] = await figures.rows("watermelon_correlation")
    assert row == {"teams": "3"}
    before = len(of_three) - 1
    [row] = await figures.rows("watermelon_correlation", as_of_position={"number": str(before)})
    # The third team's last customer had not answered: four are too few.
    assert row == {"teams": "2"}
    assert "a answer 0" in await figures.events("watermelon_correlation")
