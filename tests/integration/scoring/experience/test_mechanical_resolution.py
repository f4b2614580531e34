"""Technically resolved, yet let down: the four cells, and the rate per touchpoint."""

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def call(customer: str, outcome: str = "RESOLVED", **fields: object) -> events.Event:
    body = {"stage": "STAGE_SERVICE", "outcome": f"OUTCOME_{outcome}"}
    return event(interaction=body, customer=customer, event_id=f"call of {customer}", **fields)


def felt(customer: str, *signals: dict[str, str], **fields: object) -> events.Event:
    return feedback(*signals, customer=customer, event_id=f"answer of {customer}", **fields)


async def cells(figures: Figures, **asked: object) -> dict[tuple[str, str], str]:
    rows = await figures.rows("mechanical_resolution", **asked)
    return {(row["resolved"], row["felt"]): row["cases"] for row in rows}


async def test_the_four_cells_add_up_to_all_cases_with_an_answer(figures: Figures) -> None:
    await figures.know(
        *(call("ann"), felt("ann", csat("5"), csat("2", dimension="empathy"))),
        *(call("ben", "COMPLETED"), felt("ben", csat("2"), csat("5", dimension="empathy"))),
        *(call("cem"), felt("cem", csat("3"))),
        *(call("dee", "FAILED"), felt("dee", csat("1"))),
        *(call("eve", "TRANSFERRED"), felt("eve", csat("4", dimension="empathy"))),
        # Nothing was said of how it felt.
        *(call("fay"), felt("fay", csat("1", dimension="speed"))),
        call("gus"),
    )
    assert {
        ("false", "cared for"): "1",
        ("false", "let down"): "1",
        ("true", "cared for"): "1",
        ("true", "let down"): "2",
    } == await cells(figures)
    [row] = await figures.rows("mechanical_resolution_rate")
    assert (row["cases"], row["resolved"], row["let_down"]) == ("5", "3", "2")
    assert row["mechanical_resolution_rate"] == str(2 / 3)
    # Wilson 1927, of 2 in 3.
    assert float(row["mechanical_resolution_rate_lo"]) == pytest.approx(0.2076596, abs=1e-7)
    assert float(row["mechanical_resolution_rate_hi"]) == pytest.approx(0.9385081, abs=1e-7)


async def test_who_is_let_down_is_the_same_on_every_scale(figures: Figures) -> None:
    of_ten = {"scale_min": "0", "scale_max": "10"}
    effort = {"scale_min": "1", "scale_max": "5", "direction": "DIRECTION_LOWER_IS_BETTER"}
    await figures.know(
        *(call("ann"), felt("ann", csat("2.5", **of_ten))),
        *(call("ben"), felt("ben", csat("2.500001", **of_ten))),
        *(call("cem"), felt("cem", csat("4", **effort))),
        *(call("dee"), felt("dee", csat("2", **effort))),
    )
    found = await cells(figures)
    assert (found["true", "let down"], found["true", "cared for"]) == ("2", "2")


async def test_what_is_not_service_is_no_case(figures: Figures) -> None:
    await figures.know(event(customer="ann", event_id="sale"), felt("ann", csat("1")))
    rows = await figures.rows("mechanical_resolution")
    assert [("0", None)] * 4 == [(row["cases"], row.get("share")) for row in rows]
    assert [] == await figures.rows("mechanical_resolution_rate")


async def test_another_answer_about_the_same_call_makes_no_other_case(figures: Figures) -> None:
    later = feedback(
        *(csat("5"), csat("4", dimension="empathy")),
        customer="ann",
        event_id="later",
        occurred_at="2026-08-03T11:00:00Z",
    )
    await figures.know(call("ann"), felt("ann", csat("1")), later)
    assert (await cells(figures))["true", "let down"] == "1"
    assert ["call of ann", "answer of ann", "later"] == await figures.events(
        "mechanical_resolution", "resolved=true", "felt=let down"
    )


async def test_a_retracted_answer_is_taken_out_from_then_on(figures: Figures) -> None:
    retraction = event(retraction={}, amends={"event_id": "answer of ann"}, event_id="retraction")
    await figures.know(call("ann"), felt("ann", csat("1")), retraction)
    assert (await cells(figures))["true", "let down"] == "0"
    assert (await cells(figures, as_of_position={"number": "2"}))["true", "let down"] == "1"
