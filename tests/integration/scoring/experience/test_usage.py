"""Able to use it, and happy with the choice: those who were advised beside the others."""

import pytest

from tests.support.events import event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events


def advised(
    customer: str, *, at: str = "2026-08-01T10:00:00Z", chosen: str = "kettle"
) -> events.Event:
    body = {"options": [{"item": "kettle"}, {"item": "pan"}], "chosen": chosen}
    return event(advice=body, customer=customer, event_id=f"{customer} is advised", occurred_at=at)


def followed(customer: str, *, event_id: str = "", **said: bool) -> events.Event:
    return event(
        product_follow_up={"item": "kettle", **said},
        customer=customer,
        event_id=event_id or f"{customer} is asked",
    )


async def told(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["advised"]: row for row in await figures.rows("usage", **asked)}


async def test_usage_and_regret_are_linked_to_the_advice_that_was_given(figures: Figures) -> None:
    await figures.know(
        advised("ann"),
        advised("ben"),
        # Took the other one.
        advised("cem", chosen="pan"),
        followed("ann", usable=True, happy=True),
        followed("ben", usable=True, happy=False),
        followed("cem", usable=False, happy=True),
        followed("dee", usable=True),
        followed("eve", usable=False, happy=False),
        followed("fay", kept=True),
    )
    rows = await told(figures)
    columns = ("follow_ups", "usage_n", "usage_ok_rate", "choice_n", "regret_rate")
    assert {advised: [row[name] for name in columns] for advised, row in rows.items()} == {
        "true": ["2", "2", "1.0", "2", "0.5"],
        "false": ["4", "3", str(1 / 3), "2", "0.5"],
    }
    # Of 1 of 3, as a public calculator has it.
    bounds = [float(rows["false"][f"usage_ok_rate_{end}"]) for end in ("lo", "hi")]
    assert bounds == pytest.approx([0.061492, 0.792340], abs=1e-5)


async def test_nobody_asked_is_no_rate(figures: Figures) -> None:
    await figures.know(advised("ann"))
    rows = await told(figures)
    assert [row["follow_ups"] for row in rows.values()] == ["0", "0"]
    assert [{"usage_ok_rate", "regret_rate"} & row.keys() for row in rows.values()] == [
        set(),
        set(),
    ]


async def test_advice_that_came_later_did_not_help(figures: Figures) -> None:
    await figures.know(followed("ann", usable=False), advised("ann", at="2026-08-03T10:15:31Z"))
    rows = await told(figures)
    assert (rows["true"]["follow_ups"], rows["false"]["follow_ups"]) == ("0", "1")


async def test_advice_to_a_web_visitor_helps_the_holder_of_the_card_once_both_are_one(
    figures: Figures,
) -> None:
    same = {"same_as": "card", "relation": "IDENTITY_RELATION_SAME"}
    await figures.know(
        advised("web"),
        followed("card", usable=True),
        event(identity=same, customer="web", event_id="same"),
    )
    assert (await told(figures, as_of_position={"number": "2"}))["true"]["follow_ups"] == "0"
    assert (await told(figures))["true"]["follow_ups"] == "1"
    behind = ["web is advised", "card is asked", "same"]
    assert behind == await figures.events("usage", "advised=true")
