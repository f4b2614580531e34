"""Who is met again after payment."""

from tests.support.events import event
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def touched(
    event_id: str, hour: int, stage: str, outcome: str = "COMPLETED", **fields: object
) -> events.Event:
    body = {"stage": f"STAGE_{stage}", "outcome": f"OUTCOME_{outcome}"}
    occurred_at = f"2026-06-03T{hour:02}:00:00Z"
    return event(event_id=event_id, occurred_at=occurred_at, interaction=body, **fields)


# What the last interaction is at is what today is reckoned from: the 30 days are over by then.
LATER = event(event_id="later", occurred_at="2026-07-04T00:00:00Z")


async def answer(figures: Figures, **asked: object) -> tuple[str, str, str | None]:
    [row] = await figures.rows("after_payment", **asked)
    return row["journeys_paid"], row["journeys_after"], row.get("after_share")


async def test_a_service_that_ends_at_payment_has_a_share_of_0(figures: Figures) -> None:
    await figures.know(
        touched("advert", 8, "AWARENESS", customer="ann"),
        touched("sale", 9, "PURCHASE", customer="ann"),
        LATER,
    )
    assert ("1", "0", "0.0") == await answer(figures)


async def test_where_nobody_paid_there_is_no_share(figures: Figures) -> None:
    await figures.know(
        touched("given up", 9, "PURCHASE", "ABANDONED", customer="ann"),
        touched("declined", 10, "PURCHASE", "FAILED", customer="ann"),
        touched("call", 11, "SERVICE", customer="ann"),
    )
    assert ("0", "0", None) == await answer(figures)


async def test_the_order_decides_and_neither_the_label_nor_another_payment(
    figures: Figures,
) -> None:
    await figures.know(
        # Recorded first, and later than the payment; whatever its stage says.
        touched("advert", 12, "AWARENESS", customer="ann"),
        touched("sale of ann", 9, "PURCHASE", customer="ann"),
        # Delivered before it was paid.
        touched("parcel", 8, "DELIVERY", customer="ben"),
        touched("sale of ben", 9, "PURCHASE", customer="ben"),
        # Paid twice, and no more.
        touched("sale of cem", 9, "PURCHASE", customer="cem"),
        touched("second sale", 10, "PURCHASE", customer="cem"),
        # Another journey of the same customer.
        touched("sale of dee", 9, "PURCHASE", customer="dee", correlation_id="one"),
        touched("call", 10, "SERVICE", customer="dee", correlation_id="two"),
        LATER,
    )
    assert ("4", "1", "0.25") == await answer(figures)
    assert ["advert", "sale of ann"] == (await figures.events("after_payment"))[:2]


async def test_a_journey_is_pending_until_its_30_days_are_over_whatever_is_known_of_it(
    figures: Figures,
) -> None:
    await figures.know(
        touched("sale", 9, "PURCHASE", customer="ann"),
        touched("use", 12, "USE", customer="ann"),
        touched("sale of ben", 9, "PURCHASE", customer="ben"),
        # A moment after the 30 days: it is no part of them.
        event(event_id="call", customer="ben", occurred_at="2026-07-03T09:00:00Z"),
    )
    [row] = await figures.rows("after_payment")
    # What is seen last is a moment before the horizon, at which the 30 days are over.
    assert ("2", "0", "1") == (
        *(row["journeys_paid"], row["journeys_pending"]),
        row["journeys_after"],
    )
    assert "0.5" == row["after_share"]
    assert ["sale", "use", "sale of ben"] == await figures.events("after_payment")
    [row] = await figures.rows("after_payment", occurred_before_time="2026-07-03T08:59:59Z")
    assert ("2", "2", "0", None) == (
        *(row["journeys_paid"], row["journeys_pending"]),
        *(row["journeys_after"], row.get("after_share")),
    )


async def test_it_is_as_of_a_position(figures: Figures) -> None:
    await figures.know(
        LATER,
        touched("sale", 9, "PURCHASE", customer="ann"),
        touched("use", 12, "USE", customer="ann"),
    )
    assert ("1", "1", "1.0") == await answer(figures)
    assert ("1", "0", "0.0") == await answer(figures, as_of_position={"number": "2"})


async def test_two_references_of_one_person_are_on_one_journey(figures: Figures) -> None:
    same = {"same_as": "card", "relation": "IDENTITY_RELATION_SAME"}
    await figures.know(
        LATER,
        touched("sale", 9, "PURCHASE", customer="card"),
        touched("call", 12, "SERVICE", customer="caller"),
        event(event_id="same", customer="caller", identity=same),
    )
    assert ("1", "0", "0.0") == await answer(figures, as_of_position={"number": "3"})
    assert ("1", "1", "1.0") == await answer(figures)
