"""Who buys again within 90 days, by what was worst on the journey; and what comes before a loss."""

from datetime import UTC, datetime, timedelta

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
CUSTOMERS = ("ann", "ben", "cem", "dee", "eva")


def at(day: float) -> str:
    return (START + timedelta(days=day)).isoformat().replace("+00:00", "Z")


def bought(customer: str, day: float, journey: str = "", **fields: object) -> events.Event:
    told = {"event_id": f"{customer} bought on {day}"} | fields
    return event(customer=customer, occurred_at=at(day), correlation_id=journey, **told)


def rated(
    customer: str, day: float, value: str, journey: str = "", **fields: object
) -> events.Event:
    told = {"event_id": f"{customer} rated {value} on {day}", "touchpoint": "web.delivery"} | fields
    return feedback(
        csat(value), customer=customer, occurred_at=at(day), correlation_id=journey, **told
    )


def later(day: float) -> events.Event:
    """Something else that was seen to happen."""
    return event(event_id="later", occurred_at=at(day), touchpoint="web.home", interaction={})


async def retention(figures: Figures, **asked: object) -> dict[str, Row]:
    rows = await figures.rows("retention", **asked)
    return {row["lowest_touchpoint"]: row for row in rows}


async def test_who_buys_again_within_90_days_came_back(figures: Figures) -> None:
    await figures.know(
        *(bought(customer, 0) for customer in CUSTOMERS),
        *(bought("ann", 10), bought("ben", 89.9), bought("cem", 90)),
        later(200),
    )
    row = (await retention(figures))["unspecified"]
    assert ("5", "0", "2", "3", "0.4", "false") == tuple(
        row[name]
        for name in ("customers", "pending", "repeat_90d", "lost_90d", "repeat_share", "too_few")
    )
    assert float(row["repeat_share_lo"]) < 0.4 < float(row["repeat_share_hi"])


async def test_whose_90_days_are_not_over_is_pending_even_when_back(figures: Figures) -> None:
    await figures.know(
        *(bought(customer, 0) for customer in CUSTOMERS),
        *(bought("fay", 1), bought("fay", 2)),
        later(89.9),
        event(event_id="more", occurred_at=at(90), interaction={}),
    )
    row = (await retention(figures))["unspecified"]
    assert ("6", "1", "5") == (row["customers"], row["pending"], row["lost_90d"])
    # A moment before, nobody's 90 days are over.
    row = (await retention(figures, occurred_before_time=at(89.95)))["unspecified"]
    assert ("6", "6", "true") == (row["customers"], row["pending"], row["too_few"])
    assert "lost_90d" not in row


async def test_payments_of_one_journey_are_one_purchase(figures: Figures) -> None:
    await figures.know(
        *(bought(customer, 0, f"first of {customer}") for customer in CUSTOMERS),
        bought("ann", 1, "first of ann"),
        bought("ben", 1, "second of ben"),
        later(200),
    )
    assert "1" == (await retention(figures))["unspecified"]["repeat_90d"]


async def test_the_lowest_answer_of_the_journey_says_where(figures: Figures) -> None:
    await figures.know(
        *(bought(customer, 0, f"first of {customer}") for customer in CUSTOMERS),
        *(rated(customer, 1, "2", f"first of {customer}") for customer in CUSTOMERS),
        *(
            rated(customer, 2, "3", f"first of {customer}", touchpoint="store.checkout")
            for customer in CUSTOMERS
        ),
        # On another journey; after the next purchase; after the 90 days.
        rated("ann", 3, "1", "second of ann", touchpoint="call.help"),
        *(bought("ben", 5, "second of ben"), rated("ben", 6, "1", touchpoint="call.help")),
        rated("cem", 90, "1", touchpoint="call.help"),
        later(200),
    )
    assert ["web.delivery"] == list(await retention(figures))
    told = await figures.events("retention", "lowest_touchpoint=web.delivery")
    assert 11 == len(told)
    assert "ann rated 2 on 1" in told
    assert "ben bought on 5" in told


async def test_what_fewer_than_five_customers_did_is_not_told(figures: Figures) -> None:
    await figures.know(*(bought(customer, 0) for customer in CUSTOMERS[:4]), later(200))
    row = (await retention(figures))["unspecified"]
    assert ("4", "true") == (row["customers"], row["too_few"])
    assert not {"repeat_90d", "lost_90d", "repeat_share", "repeat_share_lo"} & row.keys()


async def test_customers_who_turn_out_to_be_one_person_are_one(figures: Figures) -> None:
    same = {"same_as": "card", "relation": "IDENTITY_RELATION_SAME"}
    await figures.know(
        *(bought(customer, 0) for customer in (*CUSTOMERS, "card")),
        bought("visitor", 20),
        later(200),
        event(event_id="same", customer="visitor", identity=same, occurred_at=at(100)),
        event(event_id="no", amends={"event_id": "same"}, retraction={"reason": "two people"}),
    )

    async def told(position: int) -> tuple[str, str]:
        row = (await retention(figures, as_of_position={"number": str(position)}))["unspecified"]
        return row["customers"], row["repeat_90d"]

    assert [("7", "0"), ("6", "1"), ("7", "0")] == [await told(each) for each in (8, 9, 10)]


def unhappy(touchpoint: str, *customers: str) -> list[events.Event]:
    return [
        made
        for customer in customers
        for made in (bought(customer, 0), rated(customer, 1, "1", touchpoint=touchpoint))
    ]


async def test_touchpoints_before_losses_are_ranked_by_the_lower_bound(figures: Figures) -> None:
    calls, parcels = [f"c{n}" for n in range(6)], [f"p{n}" for n in range(20)]
    await figures.know(
        *unhappy("call.billing", *calls),
        *unhappy("web.delivery", *parcels),
        *unhappy("store.pickup", "x1", "x2"),
        *(bought(each, 9) for each in (parcels[0], calls[0])),
        later(200),
    )
    rows = {row["touchpoint"]: row for row in await figures.rows("before_loss")}
    assert ["web.delivery", "call.billing", "store.pickup"] == list(rows)
    # 19 of 20 before 5 of 6; two are too few, though both were lost.
    assert ["1", "2", None] == [row.get("loss_rank") for row in rows.values()]
    assert ["19", "5", None] == [row.get("lost_90d") for row in rows.values()]
    assert ["20", "6", "2"] == [row["customers"] for row in rows.values()]
    assert ["x1 bought on 0", "x1 rated 1 on 1"] == (
        await figures.events("before_loss", "touchpoint=store.pickup")
    )[:2]


async def test_the_pending_are_not_lost_and_the_unrated_have_no_touchpoint(
    figures: Figures,
) -> None:
    unrated = [bought(customer, 0) for customer in CUSTOMERS]
    parcels = [f"p{n}" for n in range(6)]
    await figures.know(*unrated, *unhappy("web.delivery", *parcels), later(80))
    [row] = await figures.rows("before_loss")
    assert ("web.delivery", "6", "6", "true") == tuple(
        row[name] for name in ("touchpoint", "customers", "pending", "too_few")
    )
    assert not {"lost_90d", "lost_share", "loss_rank"} & row.keys()
