"""The five pillars that service stands on, team by team: what is known of each, and what it comes to."""

from datetime import UTC, datetime, timedelta

from tests.support.events import csat, event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

TEAM = "checkout.cologne"
NOW = datetime(2026, 8, 3, 10, tzinfo=UTC)


def ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


def team(members: int = 5) -> list[events.Event]:
    """Everybody's profile, and interactions at the very horizon, one of each."""
    profiles = [
        event(staff_profile={"group": TEAM}, staff=f"s{n}", event_id=f"p{n}", occurred_at=ago(9000))
        for n in range(members)
    ]
    met = [event(staff=f"s{n}", event_id=f"met {n}", occurred_at=ago(0)) for n in range(members)]
    return profiles + met


def step(
    name: str, *, hours: float = 1, staff: str = "", event_id: str = "", **body: object
) -> events.Event:
    given = {"step": f"FRONT_LINE_STEP_{name}", **body} | ({} if staff else {"group": TEAM})
    at = ago(hours)
    event_id = event_id or f"{name} {staff} {hours}"
    return event(front_line=given, staff=staff, event_id=event_id, occurred_at=at)


def pulses(*values: str, dimension: str = "passion") -> list[events.Event]:
    return [
        step(
            "PULSE", pulse=csat(value, dimension=dimension), event_id=f"{dimension} pulse {number}"
        )
        for number, value in enumerate(values)
    ]


async def pillars(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["pillar"]: row for row in await figures.rows("five_pillars", **asked)}


async def test_each_pillar_of_a_team_has_a_value_in_its_own_unit(figures: Figures) -> None:
    await figures.know(
        *team(),
        *pulses("1", "3", "4", "5", "5"),
        # About something else: no passion.
        *pulses("1", dimension="pay"),
        step("DECISION", staff="s1"),
        step("DECISION", staff="s2"),
        step("DECISION", staff="s3", approval_needed=True),
        event(recognition={"given_by": "customer"}, staff="s1", event_id="r", occurred_at=ago(2)),
        step("MANAGER_CONTACT", kind="director"),
        step("MANAGER_CONTACT", kind="team_lead", hours=700),
        step("FEEDBACK"),
    )
    rows = await pillars(figures)
    assert {name: (row["value"], row["unit"]) for name, row in rows.items()} == {
        "passion": ("65.0", "points"),
        "empowerment": (str(2 / 3), "share"),
        "rewards": ("20.0", "recognitions per 100 interactions"),
        "involvement": ("2.0", "contacts"),
        "feedback": ("1.0", "feedback"),
    }
    assert {row["staff"] for row in rows.values()} == {"5"}
    assert rows["passion"]["events"] == rows["rewards"]["interactions"] == "5"
    visits = await figures.events("five_pillars", "pillar=involvement")
    assert ["MANAGER_CONTACT  1", "MANAGER_CONTACT  700"] == visits


async def test_a_pillar_of_which_nothing_happened_in_90_days_is_unknown_and_not_zero(
    figures: Figures,
) -> None:
    # The last interaction is what today is reckoned from, to the microsecond after it.
    await figures.know(*team(), step("MANAGER_CONTACT", hours=2161), step("FEEDBACK", hours=2159))
    rows = await pillars(figures)
    assert {name: row["state"] for name, row in rows.items()} == {
        "passion": "unknown",
        "empowerment": "unknown",
        "rewards": "unknown",
        "involvement": "unknown",
        "feedback": "known",
    }
    assert "value" not in rows["involvement"]
    assert ("90", "0") == (rows["involvement"]["days_since"], rows["involvement"]["events"])
    assert "last_at" not in rows["passion"]
    # As of a moment before it was too long ago, it was known.
    earlier = await pillars(figures, occurred_before_time=ago(1))
    assert "known" == earlier["involvement"]["state"]


async def test_an_event_is_of_the_team_where_its_member_of_staff_worked_then(
    figures: Figures,
) -> None:
    moved = event(
        staff_profile={"group": "call"}, staff="s1", event_id="moved", occurred_at=ago(10)
    )
    await figures.know(
        *team(6),
        moved,
        step("DECISION", staff="s1", hours=11),
        step("DECISION", staff="s1", hours=9),
    )
    rows = await figures.rows("five_pillars")
    found = {row["staff_group"]: row for row in rows if row["pillar"] == "empowerment"}
    assert ("1", "6") == (found[TEAM]["events"], found[TEAM]["staff"])
    assert ("known", "true", None) == (
        found["call"]["state"],
        found["call"]["too_few"],
        found["call"].get("value"),
    )


async def test_of_a_team_of_four_no_value_is_told(figures: Figures) -> None:
    await figures.know(*team(4), step("DECISION", staff="s1"), *pulses("1", "1", "1", "1", "1"))
    for row in (await pillars(figures)).values():
        assert ("true", None, None) == (row["too_few"], row.get("value"), row.get("events"))


async def test_of_four_pulses_no_value_is_told(figures: Figures) -> None:
    await figures.know(*team(5), step("DECISION", staff="s1"), *pulses("1", "1", "1", "1"))
    rows = await pillars(figures)
    assert ("false", "1.0") == (rows["empowerment"]["too_few"], rows["empowerment"]["value"])
    assert ("true", None) == (rows["passion"]["too_few"], rows["passion"].get("value"))


async def test_a_pulse_that_is_retracted_no_longer_counts(figures: Figures) -> None:
    taken_back = event(
        amends={"event_id": "passion pulse 0"}, retraction={"reason": "sent twice"}, event_id="back"
    )
    await figures.know(*team(), *pulses("1", "5", "5", "5", "5", "5"), taken_back)
    assert "100.0" == (await pillars(figures))["passion"]["value"]
    before = await pillars(figures, as_of_position={"number": "16"})
    assert str(500 / 6)[:10] == before["passion"]["value"][:10]
    assert "passion pulse 0" not in await figures.events("five_pillars", "pillar=passion")


async def test_five_pulses_of_one_member_are_of_too_few(figures: Figures) -> None:
    mine = [
        step("PULSE", pulse=csat("1", dimension="passion"), staff="s0", event_id=f"pulse {number}")
        for number in range(5)
    ]
    await figures.know(*team(), *mine)
    passion = (await pillars(figures))["passion"]
    assert ("known", "true", None) == (passion["state"], passion["too_few"], passion.get("value"))
