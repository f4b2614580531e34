"""The whole journey by its stages: who is met where, and where nobody is."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

STAGES = [
    *("awareness", "consideration", "selection", "purchase"),
    *("delivery", "use", "service", "loyalty"),
]


def touched(event_id: str, stage: str, **fields: object) -> events.Event:
    body = {"stage": f"STAGE_{stage}", "outcome": "OUTCOME_COMPLETED"}
    return event(event_id=event_id, interaction=body, **fields)


async def test_a_stage_where_nobody_is_met_is_there_empty(figures: Figures) -> None:
    # The service ends at payment.
    await figures.know(
        touched("advert", "AWARENESS", customer="ann", touchpoint="advert.tv"),
        touched("sale", "PURCHASE", customer="ann", touchpoint="store.checkout"),
    )
    rows = await figures.rows("journey_stages")
    assert STAGES == [row["stage"] for row in rows]
    by_stage = {row["stage"]: row for row in rows}
    assert ("1", "1.0") == (by_stage["purchase"]["journeys"], by_stage["purchase"]["journey_share"])
    assert [("0", "0.0")] * 3 == [
        (by_stage[name]["journeys"], by_stage[name]["journey_share"])
        for name in ("delivery", "service", "loyalty")
    ]
    assert "csat_points" not in by_stage["loyalty"]


async def test_a_journey_is_that_of_a_correlation_id_or_else_of_a_person(figures: Figures) -> None:
    await figures.know(
        touched("1", "AWARENESS", correlation_id="one"),
        touched("2", "AWARENESS", correlation_id="one", customer="ann", touchpoint="web.home"),
        touched("3", "AWARENESS", correlation_id="two", customer="ann"),
        touched("4", "AWARENESS", customer="ann"),
        touched("5", "AWARENESS", customer="ben"),
        touched("of nobody", "AWARENESS"),
        touched("6", "USE", customer="ben"),
    )
    by_stage = {row["stage"]: row for row in await figures.rows("journey_stages")}
    awareness = by_stage["awareness"]
    assert ("4", "5", "2") == tuple(
        awareness[name] for name in ("journeys", "touches", "touchpoints")
    )
    assert "0.25" == by_stage["use"]["journey_share"]
    assert ["1", "2", "3", "4", "5"] == await figures.events("journey_stages", "stage=awareness")


async def test_answers_on_all_scales_make_the_points_of_a_stage(figures: Figures) -> None:
    def answered(number: int, **signal: str) -> events.Event:
        return feedback(csat(**signal), event_id=f"answer {number}")

    await figures.know(
        answered(1, value="4"),
        answered(2, value="10", scale_min="0", scale_max="10"),
        answered(3, value="2", direction="DIRECTION_LOWER_IS_BETTER"),
        answered(4, value="1", dimension="speed"),
    )
    by_stage = {row["stage"]: row for row in await figures.rows("journey_stages")}
    purchase = by_stage["purchase"]
    # 75, 100 and 75.
    assert ("3", str(250 / 3)) == (purchase["csat_n"], purchase["csat_points"])
    assert float(purchase["csat_points_lo"]) < 250 / 3 < float(purchase["csat_points_hi"])


async def test_a_retracted_touch_is_not_there_from_then_on(figures: Figures) -> None:
    retraction = event(event_id="no", amends={"event_id": "advert"}, retraction={"reason": "test"})
    await figures.know(
        touched("advert", "AWARENESS", customer="ann"),
        touched("sale", "PURCHASE", customer="ben"),
        retraction,
    )

    async def share(**asked: object) -> str:
        rows = await figures.rows("journey_stages", **asked)
        return next(row["journey_share"] for row in rows if row["stage"] == "purchase")

    assert "0.5" == await share(as_of_position={"number": "2"})
    assert "1.0" == await share()


async def test_stages_are_in_the_order_of_the_journey(figures: Figures) -> None:
    await figures.know(event())
    places = [int(row["place"]) for row in await figures.rows("journey_stages")]
    assert list(range(1, 9)) == places
