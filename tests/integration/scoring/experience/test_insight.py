"""Insights of staff: reused for other customers, and how these fare against the rest."""

from collections.abc import Iterator

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def hour(number: int) -> str:
    return f"2026-08-03T{number:02}:00:00Z"


def insight(step: str, event_id: str, at: int, **fields: object) -> events.Event:
    body: dict[str, object] = {"insight_id": "ask", "step": f"INSIGHT_STEP_{step}"}
    if about := fields.pop("about", ""):
        body["about"] = {"event_id": about}
    of = {"staff": "rep 1"} | fields
    return event(insight=body, event_id=event_id, occurred_at=hour(at), **of)


def met(customer: str, at: int, answer: str = "", **fields: object) -> Iterator[events.Event]:
    of = {"customer": customer, "correlation_id": f"journey of {customer}"} | fields
    yield event(event_id=f"meets {customer} at {at}", occurred_at=hour(at), **of)
    if answer:
        event_id = f"{customer} answers at {at}"
        yield feedback(csat(answer), event_id=event_id, occurred_at=hour(at + 1), **of)


CAPTURED = [
    event(
        staff_profile={"group": "calls"}, staff="rep 1", event_id="rep 1 joins", occurred_at=hour(1)
    ),
    *met("first", 5),
    insight("CAPTURED", "captured", 6, about="meets first at 5"),
]


def helped(*answers: str) -> Iterator[events.Event]:
    for number, answer in enumerate(answers):
        yield from met(f"helped {number}", 10, answer)
        yield insight("APPLIED", f"applied {number}", 10, about=f"meets helped {number} at 10")


def others(*answers: str) -> Iterator[events.Event]:
    for number, answer in enumerate(answers):
        yield from met(f"other {number}", 12, answer)


async def test_other_customers_fare_better_with_it(figures: Figures) -> None:
    await figures.know(
        *CAPTURED, *helped("5", "5", "4", "4", "5"), *others("1", "2", "3", "3", "4")
    )
    [row] = await figures.rows("insight")
    assert (row["captured_at"], row["captured_by"]) == (hour(6), "calls")
    assert (row["reuse_count"], row["answers_with"], row["answers_without"]) == ("5", "5", "5")
    assert (row["csat_with"], row["csat_without"], row["difference"]) == ("90.0", "40.0", "50.0")
    # t of 4 degrees of freedom is 2.776445; beyond 100 points there is nothing.
    bounds = [float(row[f"csat_{of}_{end}"]) for of in ("with", "without") for end in ("lo", "hi")]
    assert pytest.approx([72.9978, 100, 4.6073, 75.3927], abs=1e-3) == bounds
    # Variances 187.5 and 812.5: Welch's degrees of freedom are 1000²/((187.5² + 812.5²)/4), 5.7528. The
    # integral of Student's density up to t is 97.5 % there.
    t = 2.47262565315
    assert float(row["difference_lo"]) == pytest.approx(50 - t * 200**0.5)
    assert float(row["difference_hi"]) == pytest.approx(50 + t * 200**0.5)


async def test_where_one_side_agrees_the_degrees_of_freedom_are_those_of_the_other(
    figures: Figures,
) -> None:
    await figures.know(
        *CAPTURED, *helped("4", "4", "4", "4", "4"), *others("1", "2", "3", "3", "4")
    )
    [row] = await figures.rows("insight")
    # Student's t with four degrees of freedom.
    assert float(row["difference_lo"]) == pytest.approx(
        35 - 2.7764451051977944 * (812.5 / 5) ** 0.5
    )


async def test_reuse_is_for_other_customers_and_after_the_capture(figures: Figures) -> None:
    await figures.know(
        *CAPTURED,
        *(*met("early", 4), insight("APPLIED", "too early", 5, about="meets early at 4")),
        *(*met("first", 8), insight("APPLIED", "same customer", 8, about="meets first at 8")),
        *(*met("ann", 9), insight("APPLIED", "for ann", 9, about="meets ann at 9")),
        insight("APPLIED", "for ann again", 9, about="meets ann at 9"),
    )
    [row] = await figures.rows("insight")
    assert row["reuse_count"] == "1"
    assert {"for ann", "for ann again", "meets ann at 9", "captured", "rep 1 joins"} == set(
        await figures.events("insight")
    )


async def test_reuse_follows_the_correlation_ids(figures: Figures) -> None:
    await figures.know(
        *CAPTURED[:-1],
        insight("CAPTURED", "captured", 6, correlation_id="journey of first"),
        *met("", 9, correlation_id="journey 1"),
        insight("APPLIED", "on journey 1", 10, correlation_id="journey 1"),
        *met("first", 9, correlation_id="journey 2"),
        insight("APPLIED", "on journey 2", 10, correlation_id="journey 2"),
        # Of the journey before, with nobody named.
        insight("APPLIED", "on the first", 10, correlation_id="journey of first"),
    )
    [row] = await figures.rows("insight")
    assert row["reuse_count"] == "1"
    behind = ["rep 1 joins", "captured", "meets  at 9", "on journey 1"]
    assert behind == await figures.events("insight")


async def test_without_is_the_same_touchpoint_since_the_capture(figures: Figures) -> None:
    await figures.know(
        *CAPTURED,
        *met("before", 2, "1"),
        *helped("5", "5", "5", "5", "5"),
        *met("elsewhere", 12, "1", touchpoint="web.checkout"),
        *others("3", "3", "3", "3"),
    )
    [row] = await figures.rows("insight")
    assert (row["answers_with"], row["answers_without"], row["too_few"]) == ("5", "4", "true")
    assert not {"csat_with", "csat_without", "difference", "difference_lo"} & row.keys()


async def test_an_application_that_is_retracted_is_none_from_then_on(figures: Figures) -> None:
    retraction = event(retraction={}, amends={"event_id": "applied 0"}, event_id="retraction")
    await figures.know(*CAPTURED, *helped("5"), retraction)

    async def reuse(**asked: object) -> str:
        [row] = await figures.rows("insight", **asked)
        return row["reuse_count"]

    assert "0" == await reuse()
    assert "1" == await reuse(as_of_position={"number": "6"})
