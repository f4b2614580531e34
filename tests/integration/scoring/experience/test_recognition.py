"""Whom to recognise: ranked by what is certain, and recognised for what happened."""

from collections.abc import Iterable

from tests.support.events import csat, event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events


def served(staff: str, values: Iterable[str], *, customers: int = 0) -> list[events.Event]:
    """An interaction with each of as many customers as there are answers, or with these in turn."""
    made = []
    for number, value in enumerate(values):
        who = f"{staff} {number % customers if customers else number}"
        met = f"{staff} met {number}"
        about = {"event_id": met}
        said = {"stage": "STAGE_PURCHASE", "signals": [csat(value)], "about": about}
        made.append(event(event_id=met, staff=staff, customer=who))
        made.append(event(feedback_received=said, event_id=f"{met} said", customer=who))
    return made


def recognised(staff: str, met: str, given_by: str, event_id: str) -> events.Event:
    return event(
        recognition={"given_by": given_by, "interaction_id": met}, staff=staff, event_id=event_id
    )


async def by_staff(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["staff"]: row for row in await figures.rows("recognition", **asked)}


async def test_one_of_one_never_beats_180_of_200(figures: Figures) -> None:
    await figures.know(
        *served("sure", ["5"] * 180 + ["1"] * 20),
        *served("seven", ["5"] * 7),
        *served("new", ["5"]),
    )
    rows = await by_staff(figures)
    # 7 of 7 is the higher share, and the lower bound of it is lower.
    assert ("1", "0.9") == (rows["sure"]["rank"], rows["sure"]["top_share"])
    assert ("2", "1.0") == (rows["seven"]["rank"], rows["seven"]["top_share"])
    assert ("true", None, None, None) == (
        rows["new"]["too_few"],
        rows["new"].get("rank"),
        rows["new"].get("top"),
        rows["new"].get("top_share"),
    )


async def test_answers_of_four_customers_rank_nobody_however_many_they_are(
    figures: Figures,
) -> None:
    await figures.know(
        *served("four", ["5"] * 20, customers=4), *served("five", ["3"] * 20, customers=5)
    )
    rows = await by_staff(figures)
    assert ("20", "4", "true", None) == (
        rows["four"]["answered"],
        rows["four"]["customers"],
        rows["four"]["too_few"],
        rows["four"].get("rank"),
    )
    assert ("1", "0", "0.0") == (
        rows["five"]["rank"],
        rows["five"]["top"],
        rows["five"]["top_share"],
    )


async def test_the_last_answer_about_an_interaction_counts_and_dimensions_do_not(
    figures: Figures,
) -> None:
    again = {"signals": [csat("1")], "about": {"event_id": "ann met 0"}}
    of_speed = {"signals": [csat("1", dimension="speed")], "about": {"event_id": "ann met 1"}}
    await figures.know(
        *served("ann", ["5"] * 10),
        event(
            feedback_received=again,
            event_id="again",
            customer="ann 0",
            occurred_at="2026-08-03T11:00:00Z",
        ),
        event(feedback_received=of_speed, event_id="of speed", customer="ann 1"),
    )
    assert "9" == (await by_staff(figures))["ann"]["top"]
    assert "10" == (await by_staff(figures, as_of_position={"number": "20"}))["ann"]["top"]


async def test_a_recognition_counts_when_it_points_to_an_interaction_with_the_same_person(
    figures: Figures,
) -> None:
    await figures.know(
        *served("ann", ["5"]),
        *served("ben", ["5"]),
        recognised("ann", "ann met 0", "customer", "of a customer"),
        recognised("ann", "ann met 0", "manager", "of a manager"),
        recognised("ann", "ben met 0", "colleague", "of another's"),
        recognised("ann", "never", "colleague", "of nothing"),
        recognised("ann", "", "colleague", "in general"),
    )
    row = (await by_staff(figures))["ann"]
    assert ("2", "1", "0", "1", "3") == tuple(
        row[name]
        for name in (
            *("recognitions", "by_customer", "by_colleague", "by_manager"),
            "recognitions_unfounded",
        )
    )
    assert {"ann met 0", "ann met 0 said", "of a customer", "of a manager"} < set(
        await figures.events("recognition", "staff=ann")
    )
    assert "of a manager" not in await figures.events("recognition", "staff=ben")


async def test_a_retracted_interaction_leaves_its_recognition_unfounded(figures: Figures) -> None:
    await figures.know(
        *served("ann", ["5"]),
        recognised("ann", "ann met 0", "manager", "well done"),
        event(amends={"event_id": "ann met 0"}, retraction={"reason": "test sale"}, event_id="no"),
    )
    row = (await by_staff(figures))["ann"]
    assert ("0", "1") == (row["recognitions"], row["recognitions_unfounded"])
    row = (await by_staff(figures, as_of_position={"number": "3"}))["ann"]
    assert ("1", "0") == (row["recognitions"], row["recognitions_unfounded"])
