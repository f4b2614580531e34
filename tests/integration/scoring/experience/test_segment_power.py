"""Generation against status: which of the two explains more of how satisfied customers are."""

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

# Ten customers: year of birth, status, answer. The old are pleased; gold and basic are mixed.
PEOPLE = [
    *((1950, "gold", "5"), (1951, "gold", "5"), (1952, "basic", "5"), (1953, "basic", "4")),
    (1954, "gold", "4"),
    *((2000, "gold", "2"), (2001, "basic", "2"), (2002, "basic", "1"), (2003, "gold", "1")),
    (2004, "basic", "3"),
]


def told(number: int, year: int, status: str, value: str) -> list[events.Event]:
    customer = f"customer {number}"
    profile = {
        "birth_year_from": year,
        "birth_year_to": year,
        "segments": {"status": status},
    }
    return [
        event(
            customer_profile=profile,
            customer=customer,
            event_id=f"profile {number}",
            occurred_at="2026-08-01T00:00:00Z",
        ),
        feedback(csat(value), customer=customer, event_id=f"answer {number}"),
    ]


def history(people: list[tuple[int, str, str]] = PEOPLE) -> list[events.Event]:
    return [each for number, person in enumerate(people) for each in told(number, *person)]


async def power(figures: Figures) -> dict[str, Row]:
    return {row["segmentation"]: row for row in await figures.rows("segment_power")}


async def test_the_segmentation_that_tells_the_pleased_from_the_others_explains_more(
    figures: Figures,
) -> None:
    await figures.know(*history())
    rows = await power(figures)
    # By hand, in answers: mean 3.2, squares 23.6; 4.6 and 1.8 leave 1.2 + 2.8; 3.4 and 3.0 leave 13.2 + 10.
    assert float(rows["generation"]["eta_squared"]) == pytest.approx(1 - 4 / 23.6)
    assert float(rows["status"]["eta_squared"]) == pytest.approx(1 - 23.2 / 23.6)
    # Adjusted: 1 - (n - 1) / (n - groups) · (1 - η²), below 0 where chance would explain more.
    assert float(rows["generation"]["epsilon_squared"]) == pytest.approx(1 - 9 / 8 * 4 / 23.6)
    assert float(rows["status"]["epsilon_squared"]) == pytest.approx(1 - 9 / 8 * 23.2 / 23.6)
    assert {name: row["explains_more"] for name, row in rows.items()} == {
        "generation": "true",
        "status": "false",
    }
    assert {row["n"] for row in rows.values()} == {"10"}
    assert {row["groups"] for row in rows.values()} == {"2"}


async def test_those_of_whom_nothing_is_known_are_a_group_of_their_own(figures: Figures) -> None:
    strangers = [feedback(csat("3"), event_id=f"stranger {each}") for each in range(3)]
    await figures.know(*history(), *strangers)
    rows = await power(figures)
    assert [(row["groups"], row["n"]) for row in rows.values()] == [("3", "13"), ("3", "13")]


async def test_where_all_answer_alike_there_is_nothing_to_explain(figures: Figures) -> None:
    await figures.know(*history([(year, status, "4") for year, status, _ in PEOPLE]))
    for row in (await power(figures)).values():
        assert row["n"] == "10"
        assert {"eta_squared", "epsilon_squared", "explains_more"} & row.keys() == set()


async def test_an_answer_taken_back_no_longer_counts_and_fewer_than_five_persons_are_not_told(
    figures: Figures,
) -> None:
    people = [*PEOPLE[:3], *PEOPLE[5:7]]
    taken_back = event(
        event_id="taken back", amends={"event_id": "answer 0"}, retraction={"reason": "test"}
    )
    await figures.know(*history(people), taken_back)
    before = {
        row["segmentation"]: row
        for row in await figures.rows("segment_power", as_of_position={"number": "10"})
    }
    # All five as their generation says: 5 5 5 and 2 2.
    assert before["generation"]["eta_squared"] == "1.0"
    assert before["generation"]["too_few"] == "false"
    for row in (await power(figures)).values():
        assert (row["n"], row["too_few"]) == ("4", "true")
        assert {"eta_squared", "epsilon_squared", "explains_more"} & row.keys() == set()


async def test_the_events_behind_a_row_are_the_answers_and_what_sorted_them(
    figures: Figures,
) -> None:
    await figures.know(*history(PEOPLE[:2]))
    ids = await figures.events("segment_power", "segmentation=status", "touchpoint=store.checkout")
    assert ids == ["profile 0", "answer 0", "profile 1", "answer 1"]
