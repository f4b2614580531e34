"""Peak and end of journeys beside their mean."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def at(hour: int) -> str:
    return f"2026-08-03T{hour:02}:00:00Z"


def rated(hour: int, value: str, **fields: object) -> events.Event:
    told = {"customer": "ann", "event_id": f"answer {hour}"} | fields
    return feedback(csat(value), occurred_at=at(hour), **told)


def touched(hour: int, touchpoint: str, **body: object) -> events.Event:
    told = {"event_id": f"touch {hour}", "occurred_at": at(hour), "touchpoint": touchpoint}
    return event(customer="ann", interaction={"stage": "STAGE_SERVICE"} | body, **told)


async def points(figures: Figures, **asked: object) -> list[str]:
    [row] = await figures.rows("peak_end", **asked)
    names = ("peak_points", "end_points", "peak_end", "mean_points", "difference")
    return [row[name] for name in names]


async def test_peak_and_end_are_remembered_and_the_mean_is_not(figures: Figures) -> None:
    # 50, 0, 75, 75: the worst is farther from the middle than anything.
    await figures.know(rated(8, "3"), rated(9, "1"), rated(10, "4"), rated(11, "4"))
    assert ["0.0", "75.0", "37.5", "50.0", "-12.5"] == await points(figures)
    # When only two had answered, the second answer was both.
    assert ["0.0", "0.0", "0.0", "25.0", "-25.0"] == await points(
        figures, occurred_before_time=at(10)
    )


async def test_a_moment_of_truth_is_the_peak_however_mild(figures: Figures) -> None:
    await figures.know(
        touched(8, "web.checkout"),
        touched(9, "call.help", moment_of_truth=True),
        rated(10, "1", touchpoint="web.checkout"),
        rated(11, "4", touchpoint="call.help"),
    )
    [row] = await figures.rows("peak_end")
    assert ("75.0", "75.0", "1") == (
        *(row["peak_points"], row["end_points"]),
        row["moments_of_truth"],
    )


async def test_answers_are_in_the_order_of_what_they_are_about(figures: Figures) -> None:
    await figures.know(
        touched(8, "web.checkout"),
        touched(9, "call.help"),
        rated(10, "5", touchpoint="call.help"),
        # It came last and is about what came first.
        rated(11, "1", touchpoint="web.checkout"),
    )
    assert "100.0" == (await points(figures))[1]


async def test_a_journey_with_one_answer_says_nothing_of_it(figures: Figures) -> None:
    await figures.know(
        rated(8, "1"),
        rated(9, "5", customer="ben"),
        feedback(csat("1", dimension="speed"), event_id="part", customer="ben"),
    )
    assert [] == await figures.rows("peak_end")


async def test_a_correction_changes_the_end(figures: Figures) -> None:
    right = {"feedback_received": {"signals": [csat("1")], "stage": "STAGE_PURCHASE"}}
    await figures.know(
        rated(8, "5"),
        rated(9, "5"),
        event(
            event_id="right",
            customer="ann",
            occurred_at=at(9),
            amends={"event_id": "answer 9"},
            correction=right,
        ),
    )
    assert "100.0" == (await points(figures, as_of_position={"number": "2"}))[1]
    assert "0.0" == (await points(figures))[1]
    told = await figures.events("peak_end", "end_stage=purchase")
    assert ["answer 8", "answer 9", "right"] == told
