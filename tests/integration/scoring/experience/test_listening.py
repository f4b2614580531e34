"""Understanding what is meant and acknowledging what is felt: per team, and apart by who judged."""

from collections.abc import Iterator
from itertools import cycle

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

TEAM = [f"staff {number}" for number in range(1, 6)]


def of_team(*team: str, group: str = "calls") -> Iterator[events.Event]:
    for member in team:
        yield event(
            staff_profile={"group": group},
            staff=member,
            event_id=f"{member} in {group}",
            occurred_at="2026-08-01T00:00:00Z",
        )


def heard(understood: str, acknowledged: str) -> list[dict[str, str]]:
    answers = {"understood": understood, "acknowledged": acknowledged}
    return [csat(value, dimension=name) for name, value in answers.items() if value]


def by_customers(*answers: tuple[str, str]) -> Iterator[events.Event]:
    """Of customers of the members in turn."""
    for number, (member, each) in enumerate(zip(cycle(TEAM), answers, strict=False)):
        customer = f"customer {number}"
        yield feedback(*heard(*each), customer=customer, staff=member, event_id=f"of {customer}")


def by_quality(member: str, understood: str, acknowledged: str, **about: object) -> events.Event:
    body = {"assessor": "quality", "signals": heard(understood, acknowledged), **about}
    return event(assessment=body, staff=member, event_id=f"quality of {member}")


async def test_the_gap_is_of_those_who_judge_both(figures: Figures) -> None:
    both = [("5", "1"), ("5", "2"), ("4", "2"), ("5", "2"), ("4", "1")]
    await figures.know(*of_team(*TEAM), *by_customers(*both, ("4", ""), ("", "3")))
    [row] = await figures.rows("listening")
    assert (row["staff_group"], row["assessor"], row["too_few"]) == ("calls", "customer", "false")
    assert (row["understood_answers"], row["understood_points"]) == ("6", "87.5")
    assert (row["acknowledged_answers"], row["pairs"]) == ("6", "5")
    assert float(row["acknowledged_points"]) == pytest.approx(125 / 6)
    # 100, 75, 50, 75 and 75 points: variance 312.5, t with four degrees of freedom.
    half = 2.7764451051977944 * (312.5 / 5) ** 0.5
    assert row["empathy_gap"] == "75.0"
    assert float(row["empathy_gap_lo"]) == pytest.approx(75 - half)
    assert float(row["empathy_gap_hi"]) == pytest.approx(75 + half)


async def test_customers_and_quality_are_never_mixed(figures: Figures) -> None:
    await figures.know(
        *of_team(*TEAM),
        *by_customers(*[("5", "1")] * 5),
        *(by_quality(member, "4", "4") for member in TEAM),
    )
    rows = await figures.rows("listening")
    assert [("customer", "100.0"), ("quality", "0.0")] == [
        (row["assessor"], row["empathy_gap"]) for row in rows
    ]
    assert ["quality of staff 1"] == [
        each
        for each in await figures.events("listening", "staff_group=calls", "assessor=quality")
        if each.endswith("staff 1")
    ]


async def test_fewer_than_five_members_of_staff_or_customers_are_kept_back(
    figures: Figures,
) -> None:
    one_customer = (
        feedback(*heard("5", "1"), customer="ann", staff=member, event_id=f"ann of {member}")
        for member in TEAM
    )
    await figures.know(
        *of_team(*TEAM), *one_customer, *(by_quality(each, "4", "2") for each in TEAM[:4])
    )
    rows = await figures.rows("listening")
    assert [("5", "true", None), ("4", "true", None)] == [
        (row["pairs"], row["too_few"], row.get("empathy_gap")) for row in rows
    ]


async def test_each_kind_of_answers_is_kept_back_by_itself(figures: Figures) -> None:
    await figures.know(*of_team(*TEAM), *by_customers(*[("5", "1")] * 4, ("5", "")))
    [row] = await figures.rows("listening")
    assert (row["too_few"], row["understood_points"]) == ("true", "100.0")
    assert (row["pairs"], row.get("empathy_gap")) == ("4", None)


async def test_the_team_at_the_time_of_the_interaction_is_judged(figures: Figures) -> None:
    moved = event(
        staff_profile={"group": "chats"},
        staff="staff 1",
        event_id="moved",
        occurred_at="2026-08-10T00:00:00Z",
    )
    call = event(staff="staff 1", customer="ann", event_id="call")
    # Weeks later, and the survey does not know who served.
    answer = feedback(
        *heard("5", "1"), customer="ann", event_id="answer", occurred_at="2026-08-20T00:00:00Z"
    )
    await figures.know(*of_team("staff 1"), moved, call, answer)
    [row] = await figures.rows("listening")
    assert row["staff_group"] == "calls"
    # And the profile that says so, which is not that of the move.
    assert ["staff 1 in calls", "call", "answer"] == await figures.events("listening")


async def test_a_correction_counts_from_its_position_on(figures: Figures) -> None:
    correction = event(
        correction={"assessment": {"assessor": "quality", "signals": heard("5", "5")}},
        amends={"event_id": "quality of staff 5"},
        staff="staff 5",
        event_id="correction",
    )
    judged = [by_quality(each, "5", "1") for each in TEAM]
    await figures.know(*of_team(*TEAM), *judged, correction)

    async def gap(**asked: object) -> str:
        [row] = await figures.rows("listening", **asked)
        return row["empathy_gap"]

    assert await gap() == "80.0"
    assert await gap(as_of_position={"number": "10"}) == "100.0"
    assert "correction" in await figures.events("listening")
