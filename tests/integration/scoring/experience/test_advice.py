"""Advice with up to three options against more: taken, kept for thirty days, and not regretted."""

import pytest

from tests.support.events import event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

AT = "2026-07-01T10:00:00Z"
# Thirty days after AT; the horizon is just after it.
TODAY = event(event_id="today", touchpoint="store.door", occurred_at="2026-07-31T10:00:00Z")


def advised(
    customer: str, options: int, rank: int, *, at: str = AT, **fields: object
) -> events.Event:
    items = [f"kettle-{number}" for number in range(1, options + 1)]
    body = {
        "options": [{"item": item} for item in items],
        "chosen": items[rank - 1] if rank else "",
    }
    given = {"event_id": f"{customer} is advised", "occurred_at": at}
    return event(advice=body, customer=customer, **(given | fields))


def followed(customer: str, rank: int, at: str, **said: bool) -> events.Event:
    return event(
        product_follow_up={"item": f"kettle-{rank}", **said},
        customer=customer,
        event_id=f"{customer} is asked {at}",
        occurred_at=at,
    )


async def bands(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["options_band"]: row for row in await figures.rows("advice", **asked)}


async def test_four_options_are_recorded_like_three_but_flagged(figures: Figures) -> None:
    await figures.know(
        advised("ann", 3, 1), advised("ben", 2, 2), advised("cem", 4, 3), advised("dee", 3, 0)
    )
    rows = await bands(figures)
    columns = (
        "over_three",
        "advices",
        "options_mean",
        "chosen",
        "chosen_share",
        "chosen_rank_mean",
    )
    assert {band: [row[name] for name in columns] for band, row in rows.items()} == {
        "up to 3": ["false", "3", str(8 / 3), "2", str(2 / 3), "1.5"],
        "more than 3": ["true", "1", "4.0", "1", "1.0", "3.0"],
    }
    # Of 2 of 3, as a public calculator has it.
    bounds = [float(rows["up to 3"][f"chosen_share_{end}"]) for end in ("lo", "hi")]
    assert bounds == pytest.approx([0.207660, 0.938508], abs=1e-5)


async def test_without_advice_both_bands_are_there_and_empty(figures: Figures) -> None:
    await figures.know(TODAY)
    rows = await bands(figures)
    assert [row["advices"] for row in rows.values()] == ["0", "0"]
    assert [
        {"options_mean", "chosen_share", "kept_30d_rate"} & row.keys() for row in rows.values()
    ] == [*(set(), set())]


async def test_given_back_anywhere_in_thirty_days_is_not_kept(figures: Figures) -> None:
    await figures.know(
        advised("ann", 3, 1),
        followed("ann", 1, "2026-07-05T10:00:00Z", kept=True, happy=True),
        advised("ben", 3, 2),
        followed("ben", 2, "2026-07-05T10:00:00Z", kept=True, happy=True),
        followed("ben", 2, "2026-07-31T09:59:59Z", kept=False, happy=False),
        advised("cem", 3, 1),
        # After the thirty days, and of another item: neither says anything about them.
        followed("cem", 1, "2026-07-31T10:00:00Z", kept=False),
        followed("cem", 2, "2026-07-05T10:00:00Z", kept=False),
        TODAY,
    )
    row = (await bands(figures))["up to 3"]
    columns = ("pending", "unheard", "kept_n", "kept_30d_rate", "happy_n", "happy_rate")
    assert [row[name] for name in columns] == ["0", "1", "2", "0.5", "2", "0.5"]


async def test_advice_is_pending_until_its_thirty_days_are_over_whatever_is_known(
    figures: Figures,
) -> None:
    await figures.know(
        advised("ann", 3, 1, at="2026-07-01T10:00:01Z"),
        followed("ann", 1, "2026-07-02T10:00:00Z", kept=False),
        advised("ben", 3, 1),
        followed("ben", 1, "2026-07-02T10:00:00Z", kept=True),
        TODAY,
    )
    row = (await bands(figures))["up to 3"]
    assert [row[name] for name in ("pending", "kept_n", "kept_30d_rate")] == ["1", "1", "1.0"]
    # A moment before, as of today, nothing of it was settled.
    before = (await bands(figures, occurred_before_time="2026-07-31T09:59:59Z"))["up to 3"]
    assert [before[name] for name in ("pending", "kept_n")] == ["2", "0"]
    assert "kept_30d_rate" not in before


async def test_an_interaction_that_counted_options_is_advice_unless_an_advice_tells_more(
    figures: Figures,
) -> None:
    def visit(customer: str, options: int, **fields: object) -> events.Event:
        given = {"event_id": f"{customer} came", "occurred_at": AT}
        body = {"options_presented": options}
        return event(interaction=body, customer=customer, **(given | fields))

    await figures.know(
        visit("ann", 5),
        advised("ann", 5, 1, at="2026-07-01T10:20:00Z"),
        visit("ben", 5),
        visit("cem", 0),
        # Nobody knows who they were; the journey tells which advice belongs to which visit.
        visit("", 4, event_id="stranger", correlation_id="a"),
        advised("", 4, 1, event_id="advice of a", correlation_id="a"),
        visit("", 4, event_id="other stranger", correlation_id="b"),
    )
    row = (await bands(figures))["more than 3"]
    columns = ("advices", "choice_n", "chosen_share", "pending", "options_mean")
    assert [row[name] for name in columns] == ["4", "2", "1.0", "1", "4.5"]
    ids = await figures.events("advice", "options_band=more than 3")
    assert ids == ["ann is advised", "ben came", "advice of a", "other stranger"]


async def test_a_corrected_choice_is_followed_instead(figures: Figures) -> None:
    right = {"options": [{"item": "kettle-1"}, {"item": "kettle-2"}], "chosen": "kettle-2"}
    await figures.know(
        advised("ann", 2, 1),
        followed("ann", 1, "2026-07-05T10:00:00Z", kept=False),
        followed("ann", 2, "2026-07-06T10:00:00Z", kept=True),
        TODAY,
        event(
            event_id="right",
            customer="ann",
            occurred_at=AT,
            amends={"event_id": "ann is advised"},
            correction={"advice": right},
        ),
    )

    async def told(position: int) -> list[str]:
        row = (await bands(figures, as_of_position={"number": str(position)}))["up to 3"]
        return [row["chosen_rank_mean"], row["kept_30d_rate"]]

    assert await told(4) == ["1.0", "0.0"]
    assert await told(5) == ["2.0", "1.0"]
