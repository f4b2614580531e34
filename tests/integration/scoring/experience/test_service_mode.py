"""Customers left alone, assisted and advised: how satisfied they are, and whether it is done."""

from tests.support.events import csat, event
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

WHOLE = ("interactions", "csat_n", "csat_points", "outcome_n", "resolved_share")


def met(mode: str, outcome: str, event_id: str) -> events.Event:
    body = {"service_mode": f"SERVICE_MODE_{mode}", "outcome": f"OUTCOME_{outcome}"}
    return event(interaction=body, event_id=event_id)


def answered(mode: str, event_id: str, **signal: str) -> events.Event:
    body = {"service_mode": f"SERVICE_MODE_{mode}", "signals": [csat(**signal)]}
    return event(feedback_received=body, event_id=event_id)


async def test_each_mode_has_a_row_and_what_nobody_did_is_empty(figures: Figures) -> None:
    await figures.know(
        met("ASSISTED", "RESOLVED", "solved"),
        met("ASSISTED", "COMPLETED", "done"),
        met("ASSISTED", "TRANSFERRED", "passed on"),
        met("ASSISTED", "UNSPECIFIED", "not said"),
        met("SELF", "FAILED", "broken"),
    )
    rows = {row["service_mode"]: row for row in await figures.rows("service_mode")}
    assert {mode: [row.get(name) for name in WHOLE] for mode, row in rows.items()} == {
        "advised": ["0", "0", None, "0", None],
        "assisted": ["4", "0", None, "3", str(2 / 3)],
        "self": ["1", "0", None, "1", "0.0"],
        "unspecified": ["0", "0", None, "0", None],
    }


async def test_answers_on_different_scales_meet_in_points_and_no_dimension_is_the_whole(
    figures: Figures,
) -> None:
    await figures.know(
        answered("ADVISED", "five", value="5"),
        answered("ADVISED", "of ten", value="5", scale_min="0", scale_max="10"),
        answered(
            "ADVISED",
            "less is better",
            value="7",
            scale_max="7",
            direction="DIRECTION_LOWER_IS_BETTER",
        ),
        answered("ADVISED", "empathy", value="5", dimension="empathy"),
    )
    rows = {row["service_mode"]: row for row in await figures.rows("service_mode")}
    assert (rows["advised"]["csat_n"], rows["advised"]["csat_points"]) == ("3", "50.0")
    # ± 4.303 · 50 / √3 is more than the scale has.
    assert (rows["advised"]["csat_points_lo"], rows["advised"]["csat_points_hi"]) == (
        "0.0",
        "100.0",
    )


async def test_a_correction_moves_an_interaction_to_another_mode(figures: Figures) -> None:
    right = {"service_mode": "SERVICE_MODE_SELF", "outcome": "OUTCOME_COMPLETED"}
    await figures.know(
        met("ASSISTED", "FAILED", "visit"),
        event(event_id="right", amends={"event_id": "visit"}, correction={"interaction": right}),
    )

    async def shares(position: int) -> dict[str, str | None]:
        rows = await figures.rows("service_mode", as_of_position={"number": str(position)})
        return {
            row["service_mode"]: row.get("resolved_share")
            for row in rows
            if row["outcome_n"] != "0"
        }

    assert await shares(1) == {"assisted": "0.0"}
    assert await shares(2) == {"self": "1.0"}
    assert await figures.events("service_mode", "service_mode=self") == ["visit", "right"]
