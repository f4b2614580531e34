"""A great brand and great care: the four quadrants of customers who rated both."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def rated(customer: str, *, brand: str = "", care: str = "", event_id: str = "") -> events.Event:
    signals = [
        csat(value, dimension=name) for name, value in (("brand", brand), ("care", care)) if value
    ]
    return feedback(*signals, customer=customer, event_id=event_id or f"of {customer}")


async def test_the_quadrants_add_up_to_all_who_rated_both(figures: Figures) -> None:
    await figures.know(
        rated("ann", brand="5", care="4"),
        rated("ben", brand="5", care="1"),
        rated("cem", brand="2", care="5"),
        rated("dee", brand="5"),
    )
    rows = await figures.rows("brand_and_care")
    assert [(row["brand"], row["care"], row["customers"]) for row in rows] == [
        ("high", "high", "1"),
        ("high", "low", "1"),
        ("low", "high", "1"),
        ("low", "low", "0"),
    ]
    assert [row["share"] for row in rows] == [str(1 / 3)] * 3 + ["0.0"]


async def test_nobody_who_rated_both_is_no_share(figures: Figures) -> None:
    await figures.know(rated("dee", brand="5"))
    assert [row.get("share") for row in await figures.rows("brand_and_care")] == [None] * 4


async def test_the_last_rating_of_a_customer_counts_as_known_then(figures: Figures) -> None:
    await figures.know(
        rated("ann", brand="5", care="5", event_id="first"),
        rated("ann", care="1", event_id="second"),
    )

    async def care(**asked: object) -> list[str]:
        rows = await figures.rows("brand_and_care", **asked)
        return [row["care"] for row in rows if row["customers"] != "0"]

    assert ["low"] == await care()
    assert ["high"] == await care(as_of_position={"number": "1"})
    assert ["first", "second"] == await figures.events("brand_and_care", "brand=high", "care=low")


async def test_two_references_of_one_customer_are_one_customer_until_they_are_parted(
    figures: Figures,
) -> None:
    def said(relation: str, hour: int) -> events.Event:
        body = {"same_as": "card", "relation": f"IDENTITY_RELATION_{relation}"}
        occurred_at = f"2026-08-04T{hour:02}:00:00Z"
        return event(identity=body, customer="web", event_id=relation, occurred_at=occurred_at)

    await figures.know(
        rated("web", brand="5"), rated("card", care="1"), said("SAME", 8), said("DIFFERENT", 9)
    )

    async def customers(position: int) -> list[str]:
        rows = await figures.rows("brand_and_care", as_of_position={"number": str(position)})
        return [row["customers"] for row in rows]

    assert ["0", "0", "0", "0"] == await customers(2)
    assert ["0", "1", "0", "0"] == await customers(3)
    assert ["0", "0", "0", "0"] == await customers(4)
