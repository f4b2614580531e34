"""The heat map of what each generation expected and got, dimension by dimension."""

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

BORN = {"old": 1950, "young": 2000}


def profiles(count: int = 5) -> list[events.Event]:
    return [
        event(
            customer_profile={"birth_year_from": year, "birth_year_to": year},
            customer=f"{age} {number}",
            event_id=f"{age} {number} is born",
        )
        for age, year in BORN.items()
        for number in range(count)
    ]


def expects(customer: str, value: str, dimension: str, *, hour: int = 8) -> events.Event:
    said = {"basis": "EXPECTATION_BASIS_SURVEY", "dimension": dimension}
    return event(
        expectation=said | {"signal": csat(value, dimension=dimension)},
        customer=customer,
        event_id=f"{customer} expects {dimension} at {hour}",
        occurred_at=f"2026-08-03T{hour:02}:00:00Z",
    )


def answers(customer: str, value: str, dimension: str, *, hour: int = 12) -> events.Event:
    return feedback(
        csat(value, dimension=dimension),
        customer=customer,
        event_id=f"{customer} answers {dimension} at {hour}",
        occurred_at=f"2026-08-03T{hour:02}:00:00Z",
    )


def filled(rows: list[Row], *columns: str) -> dict[tuple[str, str], list[str | None]]:
    return {
        (row["dimension"], row["generation"]): [row.get(name) for name in columns]
        for row in rows
        if row["n"] != "0"
    }


async def test_one_generation_misses_respect_and_the_other_gets_more_than_it_expected(
    figures: Figures,
) -> None:
    old, young = [f"old {each}" for each in range(5)], [f"young {each}" for each in range(5)]
    await figures.know(
        *profiles(),
        *(expects(each, "5", "empathy") for each in old),
        *(answers(each, "3", "empathy") for each in old[:4]),
        answers(old[4], "5", "empathy"),
        *(expects(each, "3", "empathy") for each in young),
        *(answers(each, "4", "empathy") for each in young),
        *(expects(each, "4", "speed") for each in young),
        *(answers(each, "4", "speed") for each in young),
    )
    rows = await figures.rows("expectation_gap_by_generation")
    columns = ("n", "gap_mean", "met_share", "perceived_mean")
    assert filled(rows, *columns) == {
        ("empathy", "boomer"): ["5", "-40.0", "0.2", "60.0"],
        ("empathy", "z"): ["5", "25.0", "1.0", "75.0"],
        ("speed", "z"): ["5", "0.0", "1.0", "75.0"],
    }
    # -40 ± 2.776 · √(2000 / 4 / 5).
    [row] = [row for row in rows if row["generation"] == "boomer" and row["n"] != "0"]
    bounds = [float(row["gap_mean_lo"]), float(row["gap_mean_hi"])]
    assert bounds == pytest.approx([-67.7645, -12.2355], abs=1e-4)


async def test_the_five_dimensions_of_servqual_are_there_for_each_generation_even_if_empty(
    figures: Figures,
) -> None:
    await figures.know(expects("ann", "4", "speed"), answers("ann", "4", "speed"))
    rows = await figures.rows("expectation_gap_by_generation")
    assert {row["dimension"] for row in rows} == {
        *("assurance", "empathy", "reliability", "responsiveness", "tangibles", "speed")
    }
    assert len(rows) == 6 * 8
    for row in rows:
        if row["n"] == "0":
            assert row["too_few"] == "false"
            assert {"gap_mean", "met_share", "perceived_mean_lo"} & row.keys() == set()


async def test_what_is_expected_only_afterwards_is_no_expectation_and_the_last_before_counts(
    figures: Figures,
) -> None:
    people = [f"old {each}" for each in range(5)]
    meetings = [
        event(customer=each, event_id=f"{each} came", occurred_at="2026-08-03T10:00:00Z")
        for each in people
    ]
    await figures.know(
        *profiles(),
        *meetings,
        *(expects(each, "1", "empathy", hour=7) for each in people),
        *(expects(each, "5", "empathy", hour=9) for each in people),
        # After the visit, before the answer about it.
        *(expects(each, "2", "empathy", hour=11) for each in people),
        *(answers(each, "4", "empathy") for each in people),
    )
    rows = await figures.rows("expectation_gap_by_generation")
    assert filled(rows, "gap_mean", "met_share") == {("empathy", "boomer"): ["-25.0", "0.0"]}


async def test_an_answer_about_the_whole_is_in_no_cell(figures: Figures) -> None:
    await figures.know(expects("ann", "4", ""), answers("ann", "2", ""))
    assert filled(await figures.rows("expectation_gap_by_generation"), "n") == {}


async def test_who_expects_on_the_web_and_answers_with_a_card_is_known_once_both_are_one(
    figures: Figures,
) -> None:
    same = {"same_as": "card", "relation": "IDENTITY_RELATION_SAME"}
    await figures.know(
        expects("web", "5", "empathy"),
        answers("card", "4", "empathy"),
        event(identity=same, customer="web", event_id="same"),
    )
    before = await figures.rows("expectation_gap_by_generation", as_of_position={"number": "2"})
    assert filled(before, "n") == {}
    rows = await figures.rows("expectation_gap_by_generation")
    # One person: what this one got and expected is nobody else's business.
    columns = ("n", "persons", "too_few", "gap_mean", "met_share_lo", "perceived_mean")
    assert filled(rows, *columns) == {
        ("empathy", "unspecified"): ["1", "1", "true", None, None, None]
    }
    ids = await figures.events(
        "expectation_gap_by_generation", "dimension=empathy", "generation=unspecified"
    )
    assert ids == ["web expects empathy at 8", "card answers empathy at 12", "same"]
