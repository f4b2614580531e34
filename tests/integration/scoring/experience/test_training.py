"""What a training does to what customers say, against what would have happened without it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.events import csat, event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

TRAINED_AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
TRAINED = [f"t{number}" for number in range(5)]
CONTROLS = [f"c{number}" for number in range(5)]


def at(hours: float) -> str:
    return (TRAINED_AT + timedelta(hours=hours)).isoformat()


def profiles(*staff: str, team: str = "support") -> list[events.Event]:
    profile = {"group": team}
    return [
        event(staff_profile=profile, staff=each, event_id=f"{each} joins", occurred_at=at(-9000))
        for each in staff
    ]


def trained(*staff: str, hours: float = 0) -> list[events.Event]:
    body = {"step": "FRONT_LINE_STEP_TRAINING", "kind": "listening"}
    return [
        event(front_line=body, staff=each, event_id=f"{each} trained", occurred_at=at(hours))
        for each in staff
    ]


def served(staff: str, value: str, *, hours: float, said_hours: float = 0) -> list[events.Event]:
    """An interaction, and what its customer says of it, at once or hours later."""
    met = f"{staff} {hours}"
    said = {"signals": [csat(value)], "about": {"event_id": met}}
    answer_at = at(hours + said_hours)
    return [
        event(event_id=met, staff=staff, customer=f"of {met}", occurred_at=at(hours)),
        event(
            feedback_received=said,
            event_id=f"{met} said",
            customer=f"of {met}",
            occurred_at=answer_at,
        ),
    ]


def answers(staff: list[str], pre: str, post: str) -> list[events.Event]:
    return [
        each
        for who in staff
        for value, hours in ((pre, -100), (post, 100))
        for each in served(who, value, hours=hours)
    ]


# What the last interaction is at is what today is reckoned from: the 30 days are over by then.
LATER = event(event_id="later", occurred_at=at(721))


async def row(figures: Figures, **asked: object) -> Row:
    [row] = await figures.rows("training", **asked)
    return row


async def test_what_changed_for_those_without_it_is_taken_off(figures: Figures) -> None:
    await figures.know(
        *profiles(*TRAINED, *CONTROLS),
        *trained(*TRAINED),
        # 25 points up, of which 100 / 5 = 20 would have been anyway.
        *answers(TRAINED, "3", "4"),
        *answers(CONTROLS[:4], "2", "3"),
        *answers(CONTROLS[4:], "3", "3"),
        LATER,
    )
    found = await row(figures)
    assert ("5", "5", "0", "false") == tuple(
        found[name] for name in ("trained", "controls", "pending", "too_few")
    )
    assert ("50.0", "75.0", "30.0", "50.0") == tuple(
        found[name] for name in ("trained_pre", "trained_post", "controls_pre", "controls_post")
    )
    assert "5.0" == found["did_estimate"]
    # The only spread is that of the controls before: 25, 25, 25, 25, 50 have the variance 125.
    half = 1.959963984540054 * (125 / 5) ** 0.5
    assert pytest.approx([5 - half, 5 + half]) == [
        float(found["did_estimate_lo"]),
        float(found["did_estimate_hi"]),
    ]


async def test_it_refuses_where_a_mean_is_of_four_members_or_answers(figures: Figures) -> None:
    known = [*profiles(*TRAINED, *CONTROLS), *trained(*TRAINED), *answers(TRAINED, "3", "4")]
    of_four = [each for n in range(3) for who in CONTROLS[:4] for each in served(who, "3", hours=n)]
    before = [each for who in CONTROLS for each in served(who, "2", hours=-1)]
    fifth = served(CONTROLS[4], "3", hours=4)
    await figures.know(*known, *of_four, *before, LATER, *fifth)
    # As known before the fifth member's answer came.
    found = await row(figures, as_of_position={"number": str(len(known) + 24 + 10 + 1)})
    assert ("12", "5", "true") == tuple(
        found[name] for name in ("controls_post_n", "controls_pre_n", "too_few")
    )
    refused = (
        "did_estimate",
        "did_estimate_lo",
        "did_estimate_hi",
        "trained_pre",
        "controls_pre",
        "controls_pre_lo",
    )
    assert not [name for name in refused if name in found]
    assert "false" == (await row(figures))["too_few"]


async def test_it_refuses_where_a_mean_is_of_answers_of_fewer_than_five_customers(
    figures: Figures,
) -> None:
    known = [*profiles(*TRAINED, *CONTROLS), *trained(*TRAINED), *answers(TRAINED, "3", "4")]
    of_one = answers(CONTROLS, "3", "3")
    for each in of_one:
        if each.event_id.startswith(("c3 100", "c4 100")):
            each.customer = "ann"
    await figures.know(*known, *of_one, LATER)
    found = await row(figures)
    assert ("5", "true") == (found["controls_post_n"], found["too_few"])
    assert "did_estimate" not in found


async def test_a_training_whose_30_days_are_not_over_is_pending(figures: Figures) -> None:
    known = [*profiles(*TRAINED, *CONTROLS), *trained(*TRAINED), *trained("c0", hours=3)]
    known += answers(TRAINED, "3", "4")
    await figures.know(*known, event(event_id="later", occurred_at=at(722)))
    found = await row(figures)
    # c0 is no control either.
    assert ("5", "1", "4") == (found["trained"], found["pending"], found["controls"])
    assert "5" == found["trained_post_n"]
    earlier = await row(figures, occurred_before_time=at(719))
    assert ("0", "6", "0") == (earlier["trained"], earlier["pending"], earlier["controls"])


async def test_an_answer_counts_when_its_interaction_was_within_30_days(figures: Figures) -> None:
    await figures.know(
        *profiles("t0"),
        *trained("t0"),
        *served("t0", "1", hours=-720.01),
        *served("t0", "2", hours=-720),
        # Served before, whenever the customer says so.
        *served("t0", "3", hours=-0.01, said_hours=100),
        *served("t0", "4", hours=0),
        *served("t0", "5", hours=720),
        LATER,
    )
    found = await row(figures)
    assert ("2", "1") == (found["trained_pre_n"], found["trained_post_n"])
    assert {"t0 joins", "t0 trained", "t0 -720", "t0 -720 said", "t0 -0.01", "t0 -0.01 said"} | {
        "t0 0",
        "t0 0 said",
    } == set(await figures.events("training", "course=listening"))


async def test_controls_are_of_the_same_teams_and_a_retracted_training_is_none(
    figures: Figures,
) -> None:
    await figures.know(
        *profiles(*TRAINED, "c0"),
        *profiles("elsewhere", team="billing"),
        *trained(*TRAINED),
        LATER,
        event(amends={"event_id": "t4 trained"}, retraction={"reason": "missed"}, event_id="no"),
    )
    found = await row(figures)
    assert ("4", "2") == (found["trained"], found["controls"])
    before = await row(figures, as_of_position={"number": "13"})
    assert ("5", "1") == (before["trained"], before["controls"])
