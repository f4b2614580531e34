"""Satisfaction by generation and by status: boundaries of years, rules of their time, and too few to tell."""

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events


def answer(
    customer: str, value: str = "4", *, at: str = "2026-08-03T10:00:00Z", **fields: object
) -> events.Event:
    given = {"event_id": f"{customer} answers", "occurred_at": at}
    return feedback(csat(value), customer=customer, **(given | fields))


def born(customer: str, first: int, last: int = 0) -> events.Event:
    band = {"birth_year_from": first, "birth_year_to": last or first}
    return event(customer_profile=band, customer=customer, event_id=f"{customer} is born")


def status(customer: str, value: str, at: str) -> events.Event:
    profile = {"segments": {"status": value}}
    event_id = f"{customer} is {value}"
    return event(customer_profile=profile, customer=customer, event_id=event_id, occurred_at=at)


def told(rows: list[Row], segmentation: str, *columns: str) -> dict[str, list[str | None]]:
    return {
        row["segment"]: [row.get(name) for name in columns]
        for row in rows
        if row["segmentation"] == segmentation
    }


async def test_the_same_answers_are_sorted_by_generation_and_by_status_and_unknown_is_a_row(
    figures: Figures,
) -> None:
    old, young = [f"old {each}" for each in range(5)], [f"young {each}" for each in range(5)]
    strangers = [answer("", "3", event_id=f"stranger {each}") for each in range(5)]
    await figures.know(
        *(born(each, 1950) for each in old),
        *(born(each, 1999) for each in young),
        *(status(each, "gold", "2026-08-01T00:00:00Z") for each in old[:3] + young[:2]),
        *(answer(each, "5") for each in old[:4]),
        answer(old[4], "1"),
        *(answer(each, "2") for each in young),
        *strangers,
    )
    rows = await figures.rows("score_by_segment")
    columns = ("n", "persons", "csat_points", "bottom2_share")
    assert told(rows, "generation", *columns) == {
        "boomer": ["5", "5", "80.0", "0.2"],
        "unspecified": ["5", "5", "50.0", "0.0"],
        "z": ["5", "5", "25.0", "1.0"],
    }
    assert told(rows, "status", *columns) == {
        "gold": ["5", "5", "70.0", "0.4"],
        "unspecified": ["10", "10", "42.5", "0.4"],
    }
    # Of 1 of 5, as a public calculator has it; and 80 ± 2.776 · √(2000 / 5).
    [bounds] = [
        [float(row[f"{name}_{end}"]) for name in ("csat_points", "bottom2_share") for end in ("lo", "hi")]
        for row in rows
        if row["segment"] == "boomer"
    ]  # fmt: skip
    assert bounds == pytest.approx([24.4711, 100, 0.036224, 0.624465], abs=1e-4)


async def test_boundary_years_belong_to_the_generation_that_they_begin_or_end(
    figures: Figures,
) -> None:
    years = (1927, 1928, 1945, 1946, 1964, 1965, 1980, 1981, 1996, 1997, 2012, 2013)
    people = [f"{year} {each}" for year in years for each in range(5)]
    await figures.know(*(born(each, int(each[:4])) for each in people), *map(answer, people))
    rows = await figures.rows("score_by_segment")
    assert told(rows, "generation", "n") == {
        "alpha": ["5"],
        "boomer": ["10"],
        "greatest": ["5"],
        "millennial": ["10"],
        "silent": ["10"],
        "x": ["10"],
        "z": ["10"],
    }


async def test_the_rule_that_was_valid_when_an_answer_was_given_names_its_generation(
    figures: Figures,
) -> None:
    await figures.know(
        born("ann", 1997),
        answer("ann", at="2019-01-16T23:59:59Z", event_id="before"),
        answer("ann", at="2019-01-17T00:00:00Z", event_id="after"),
    )
    rows = await figures.rows("score_by_segment")
    assert told(rows, "generation", "n") == {"millennial": ["1"], "z": ["1"]}
    ids = await figures.events("score_by_segment", "segment=millennial")
    assert ids == ["ann is born", "before"]


async def test_a_band_of_years_across_a_boundary_is_no_generation(figures: Figures) -> None:
    await figures.know(
        born("ann", 1980, 1981), answer("ann"), born("ben", 1981, 1996), answer("ben")
    )
    rows = await figures.rows("score_by_segment")
    assert told(rows, "generation", "n") == {"millennial": ["1"], "unspecified": ["1"]}


async def test_status_is_that_of_the_moment_of_the_answer_as_known_then(figures: Figures) -> None:
    await figures.know(
        status("ann", "basic", "2026-08-01T00:00:00Z"),
        answer("ann", at="2026-08-03T11:59:59Z", event_id="before"),
        answer("ann", at="2026-08-03T12:00:00Z", event_id="after"),
        status("ann", "gold", "2026-08-03T12:00:00Z"),
        event(
            event_id="never so",
            customer="ann",
            amends={"event_id": "ann is gold"},
            retraction={"reason": "typo"},
        ),
    )

    async def statuses(position: int) -> dict[str, list[str | None]]:
        asked = {"as_of_position": {"number": str(position)}}
        return told(await figures.rows("score_by_segment", **asked), "status", "n")

    assert await statuses(3) == {"basic": ["2"]}
    assert await statuses(4) == {"basic": ["1"], "gold": ["1"]}
    assert await statuses(5) == {"basic": ["2"]}


async def test_of_four_persons_nothing_is_told_but_how_often_they_answered(
    figures: Figures,
) -> None:
    # Two references of one customer are one person.
    same = {"same_as": "e", "relation": "IDENTITY_RELATION_SAME"}
    people = [answer(each) for each in "abcde"]
    await figures.know(*people, event(identity=same, customer="d", event_id="same"))
    asked = {"as_of_position": {"number": "5"}}
    columns = ("n", "persons", "too_few", "csat_points", "csat_points_lo", "bottom2_share_hi")
    [five] = told(await figures.rows("score_by_segment", **asked), "status", *columns).values()
    assert five[:4] == ["5", "5", "false", "75.0"]
    [four] = told(await figures.rows("score_by_segment"), "status", *columns).values()
    assert four == ["5", "4", "true", None, None, None]


async def test_what_four_persons_answered_can_not_be_taken_off_what_is_told(
    figures: Figures,
) -> None:
    gold, silver, basic = (
        ["g"],
        [f"s{each}" for each in range(5)],
        [f"b{each}" for each in range(6)],
    )
    day = "2026-08-01T00:00:00Z"
    await figures.know(
        *(status(each, "gold", day) for each in gold),
        *(status(each, "silver", day) for each in silver),
        *(status(each, "basic", day) for each in basic),
        *(answer(each) for each in gold + silver + basic),
    )
    rows = await figures.rows("score_by_segment")
    # The other segmentation tells all twelve; the one is not what is left without the six.
    assert told(rows, "generation", "persons", "too_few") == {"unspecified": ["12", "false"]}
    assert told(rows, "status", "persons", "too_few", "csat_points") == {
        "basic": ["6", "false", "75.0"],
        "gold": ["1", "true", None],
        "silver": ["5", "true", None],
    }
