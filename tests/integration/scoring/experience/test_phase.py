"""Before, during and after a purchase, by the order of events."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def at(hour: int) -> str:
    return f"2026-08-03T{hour:02}:00:00Z"


def touched(event_id: str, hour: int, stage: str = "USE", **fields: object) -> events.Event:
    told = {"customer": "ann", "touchpoint": "web.shop"} | fields
    body = {"stage": f"STAGE_{stage}", "outcome": told.pop("outcome", "OUTCOME_COMPLETED")}
    return event(event_id=event_id, occurred_at=at(hour), interaction=body, **told)


def answered(event_id: str, hour: int, value: str, **fields: object) -> events.Event:
    told = {"customer": "ann", "touchpoint": "web.shop"} | fields
    return feedback(csat(value), event_id=event_id, occurred_at=at(hour), **told)


async def touches(figures: Figures, **asked: object) -> dict[str, str]:
    rows = await figures.rows("phase", **asked)
    return {row["phase"]: row["touches"] for row in rows}


async def test_the_order_of_events_decides_and_not_the_label_sent(figures: Figures) -> None:
    await figures.know(
        touched("before", 8, "LOYALTY"),
        touched("sale", 9, "PURCHASE"),
        touched("after", 10, "AWARENESS"),
        touched("gave up", 7, "PURCHASE", outcome="OUTCOME_ABANDONED"),
    )
    assert {"before": "2", "during": "1", "after": "1"} == await touches(figures)
    assert ["after"] == await figures.events("phase", "phase=after")


async def test_each_journey_with_a_correlation_id_has_its_own_purchases(figures: Figures) -> None:
    one, two = {"correlation_id": "one"}, {"correlation_id": "two"}
    await figures.know(
        touched("sale", 9, "PURCHASE", **one),
        touched("between", 10, **one),
        touched("second sale", 11, "PURCHASE", **one),
        touched("next journey", 12, **two),
        touched("next sale", 13, "PURCHASE", **two),
        # Nothing was bought on it: all that the customer bought before counts.
        touched("third journey", 14, correlation_id="three"),
    )
    assert {"before": "1", "during": "4", "after": "1"} == await touches(figures)


async def test_what_tells_neither_person_nor_journey_has_no_phase(figures: Figures) -> None:
    await figures.know(
        touched("of nobody", 8, customer=""),
        touched("sale to nobody", 9, "PURCHASE", customer=""),
        touched("later", 10, customer="ben"),
    )
    want = {"before": "1", "during": "1", "after": "0", "unspecified": "1"}
    assert want == await touches(figures)


async def test_an_answer_is_in_the_phase_of_what_it_is_about(figures: Figures) -> None:
    await figures.know(
        touched("advice", 8, touchpoint="store.advice"),
        touched("sale", 9, "PURCHASE"),
        answered("late", 12, "2", touchpoint="store.advice"),
        answered("on the whole", 13, "5", touchpoint="web.account"),
    )
    rows = {row["phase"]: row for row in await figures.rows("phase")}
    assert ("1", "25.0", "1.0") == tuple(
        rows["before"][name] for name in ("answers", "csat_points", "bottom2_share")
    )
    assert ("1", "100.0", "1.0") == tuple(
        rows["after"][name] for name in ("answers", "csat_points", "top2_share")
    )
    assert ("0", None) == (rows["during"]["answers"], rows["during"].get("csat_points"))


async def test_two_references_of_one_person_have_one_purchase(figures: Figures) -> None:
    same = {"same_as": "card", "relation": "IDENTITY_RELATION_SAME"}
    await figures.know(
        touched("sale", 9, "PURCHASE", customer="card"),
        touched("call", 12, "SERVICE", customer="caller"),
        event(event_id="same", customer="caller", identity=same, occurred_at=at(14)),
    )
    assert {"before": "1", "during": "1", "after": "0"} == await touches(
        figures, as_of_position={"number": "2"}
    )
    assert {"before": "0", "during": "1", "after": "1"} == await touches(figures)


async def test_a_journey_is_of_its_correlation_id_whoever_takes_part(figures: Figures) -> None:
    one = {"correlation_id": "one"}
    await figures.know(
        touched("visitor", 8, customer="", **one),
        touched("sale", 9, "PURCHASE", **one),
        touched("anonymous call", 10, customer="", **one),
        touched("call of another", 11, customer="ben", **one),
    )
    assert {"before": "1", "during": "1", "after": "2"} == await touches(figures)
    assert ["anonymous call", "call of another"] == await figures.events("phase", "phase=after")
