"""How many would pay 5, 10 and 15 % more for better service."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

FIGURE = "premium"


def would_pay(customer: str, percent: str, hour: int = 8, **signal: str) -> events.Event:
    asked = {"metric": "METRIC_PREMIUM", "scale_min": "0", "scale_max": "100"} | signal
    return feedback(
        csat(percent, **asked),
        **{"customer": customer, "event_id": f"{customer} {percent}"},
        occurred_at=f"2026-07-01T{hour:02}:00:00Z",
    )


async def test_seven_of_ten_would_pay_fifteen_percent_more_and_the_curve_never_rises(
    figures: Figures,
) -> None:
    willing = [would_pay(f"willing {number}", "15") for number in range(7)]
    await figures.know(
        *willing, would_pay("ann", "14.999999"), would_pay("ben", "5"), would_pay("cem", "0")
    )
    rows = await figures.rows(FIGURE)
    assert [("5", "10", "9", "0.9"), ("10", "10", "8", "0.8"), ("15", "10", "7", "0.7")] == [
        (row["percent"], row["customers"], row["ok"], row["premium_ok_rate"]) for row in rows
    ]
    assert float(rows[2]["premium_ok_rate_lo"]) < 0.7 < float(rows[2]["premium_ok_rate_hi"])


async def test_the_last_answer_of_a_customer_counts_wherever_it_was_given(figures: Figures) -> None:
    await figures.know(
        would_pay("ann", "20", hour=9),
        would_pay("ann", "3", hour=8),
        would_pay("card", "1", hour=10),
        event(
            identity={"same_as": "card", "relation": "IDENTITY_RELATION_SAME"},
            **{"customer": "ann", "event_id": "same"},
        ),
    )

    async def ok(position: int) -> list[str]:
        rows = await figures.rows(FIGURE, as_of_position={"number": str(position)})
        return [f"{row['ok']} of {row['customers']}" for row in rows]

    assert ["1 of 1"] * 3 == await ok(2)
    assert ["1 of 2"] * 3 == await ok(3)
    assert ["0 of 1"] * 3 == await ok(4)
    assert ["card 1", "same"] == await figures.events(FIGURE, "percent=15")


async def test_of_nobody_who_was_asked_there_is_no_rate(figures: Figures) -> None:
    # Words about one dimension, and of nobody in particular, are no answers of a customer about the whole.
    await figures.know(would_pay("ann", "20", dimension="speed"), would_pay("", "20"))
    rows = await figures.rows(FIGURE)
    assert [("5", "0", None), ("10", "0", None), ("15", "0", None)] == [
        (row["percent"], row["customers"], row.get("premium_ok_rate")) for row in rows
    ]
