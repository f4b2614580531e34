"""Which teams to recognise: where each member of staff worked when the customer was served."""

from tests.integration.scoring.experience.test_recognition import recognised, served
from tests.support.events import event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

# Builders of interactions say that these were at 10:15:30 of this day.
BEFORE, LATER = "2026-08-01T00:00:00Z", "2026-08-03T11:00:00Z"


def joins(staff: str, team: str, at: str = BEFORE) -> events.Event:
    event_id = f"{staff} joins {team}"
    return event(staff_profile={"group": team}, staff=staff, event_id=event_id, occurred_at=at)


async def by_team(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["staff_group"]: row for row in await figures.rows("recognition_by_team", **asked)}


async def test_a_team_has_the_answers_of_its_members_at_the_time(figures: Figures) -> None:
    members = [f"s{number}" for number in range(5)]
    await figures.know(
        *(joins(each, "checkout") for each in members),
        joins("s0", "advice", LATER),
        *(each for member in members for each in served(member, ["5", "1"])),
        recognised("s1", "s1 met 0", "customer", "thanks"),
    )
    rows = await by_team(figures)
    row = rows["checkout"]
    assert ("10", "5", "5", "0.5", "1", "1") == (
        row["answered"],
        row["staff"],
        row["top"],
        row["top_share"],
        row["rank"],
        row["recognitions"],
    )
    # Who moved there was not served by then.
    assert "advice" not in rows


async def test_of_a_team_of_four_no_share_is_told(figures: Figures) -> None:
    members = [f"s{number}" for number in range(4)]
    await figures.know(
        *(joins(each, "checkout") for each in members),
        *(each for member in members for each in served(member, ["5"] * 4)),
    )
    row = (await by_team(figures))["checkout"]
    assert ("16", "4", "true", None, None) == (
        row["answered"],
        row["staff"],
        row["too_few"],
        row.get("top_share"),
        row.get("rank"),
    )


async def test_a_move_that_becomes_known_later_moves_the_answers_from_then_on(
    figures: Figures,
) -> None:
    await figures.know(joins("s0", "checkout"), *served("s0", ["5"]), joins("s0", "advice"))
    assert ["advice"] == list(await by_team(figures))
    assert ["checkout"] == list(await by_team(figures, as_of_position={"number": "3"}))
    assert ["s0 met 0", "s0 met 0 said", "s0 joins advice"] == await figures.events(
        "recognition_by_team", "staff_group=advice"
    )


async def test_what_customers_say_of_a_member_can_not_be_taken_off_the_team(
    figures: Figures,
) -> None:
    members = [f"s{number}" for number in range(5)]
    await figures.know(
        *(joins(each, "checkout") for each in members),
        *(each for member in members[1:] for each in served(member, ["5"] * 5)),
        *served("s0", ["1"] * 4),
    )
    of_staff = {row["staff"]: row["too_few"] for row in await figures.rows("recognition")}
    assert ["s0"] == [staff for staff, too_few in of_staff.items() if too_few == "true"]
    # 20 of 24 less the 20 of the others would be the four of s0.
    row = (await by_team(figures))["checkout"]
    assert ("24", "true", None) == (row["answered"], row["too_few"], row.get("top"))
