"""Each journey step by step."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

ROAD = ("AWARENESS", "SELECTION", "PURCHASE", "DELIVERY", "SERVICE")


def at(hour: int) -> str:
    return f"2026-08-03T{hour:02}:00:00Z"


def touched(event_id: str, hour: int, stage: str = "USE", **fields: object) -> events.Event:
    body = {"stage": f"STAGE_{stage}"} | fields.pop("body", {})  # type: ignore[operator]  # it is a dict
    return event(event_id=event_id, occurred_at=at(hour), interaction=body, **fields)


def answered(event_id: str, hour: int, value: str, **fields: object) -> events.Event:
    about = fields.pop("about", None)
    made = feedback(csat(value), event_id=event_id, occurred_at=at(hour), **fields)
    if about:
        made.feedback_received.about.event_id = str(about)
    return made


async def test_a_journey_with_five_stages_has_five_steps_in_order(figures: Figures) -> None:
    # Recorded the other way round.
    steps = [
        touched(stage, hour, stage, correlation_id="one", customer="ann")
        for hour, stage in enumerate(ROAD)
    ]
    await figures.know(*reversed(steps))
    rows = await figures.rows("journey_step")
    assert [("one", str(number), stage.lower()) for number, stage in enumerate(ROAD, 1)] == [
        (row["journey"], row["step_no"], row["stage"]) for row in rows
    ]


async def test_a_step_ends_with_its_duration_or_else_when_the_next_one_begins(
    figures: Figures,
) -> None:
    await figures.know(
        touched("1", 8, correlation_id="one", body={"duration": "90.5s"}),
        touched("2", 9, correlation_id="one"),
        touched("3", 11, correlation_id="one"),
    )
    assert ["2026-08-03T08:01:30.500000Z", "2026-08-03T11:00:00Z", None] == [
        row.get("exited_at") for row in await figures.rows("journey_step")
    ]


async def test_a_step_has_the_points_of_the_last_answer_about_it(figures: Figures) -> None:
    await figures.know(
        touched("1", 8, customer="ann", touchpoint="web.help"),
        touched("2", 9, customer="ann", touchpoint="web.help"),
        # About the first one, as it says; about the second, which is the last one before it.
        answered("named", 12, "1", customer="ann", touchpoint="web.help", about="1"),
        answered("early", 13, "2", customer="ann", touchpoint="web.help"),
        answered("late", 14, "5", customer="ann", touchpoint="web.help"),
        answered("elsewhere", 15, "1", customer="ann", touchpoint="call.help"),
    )
    assert ["0", "100"] == [row["csat_points"] for row in await figures.rows("journey_step")]
    assert ["2", "late"] == await figures.events("journey_step", "journey=ann", "step_no=2")


async def test_a_late_report_of_a_step_moves_the_steps_after_it(figures: Figures) -> None:
    await figures.know(
        touched("first", 8, "AWARENESS", customer="ann"),
        touched("last", 10, "PURCHASE", customer="ann"),
        touched("late", 9, "SELECTION", customer="ann"),
    )

    async def stages(**asked: object) -> list[str]:
        return [row["stage"] for row in await figures.rows("journey_step", **asked)]

    assert ["awareness", "purchase"] == await stages(as_of_position={"number": "2"})
    assert ["awareness", "selection", "purchase"] == await stages()
    assert ["awareness"] == await stages(occurred_before_time=at(9))
