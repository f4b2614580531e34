"""Behind a row are also the events that say who somebody is: of staff and of customers."""

import pytest

from tests.support.events import csat, event
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

SAME = {"same_as": "card", "relation": "IDENTITY_RELATION_SAME"}


def works(staff: str, event_id: str, since: str, **profile: str) -> events.Event:
    return event(staff_profile=profile, staff=staff, event_id=event_id, occurred_at=since)


def day(number: int) -> str:
    return f"2026-06-{number:02}T10:00:00Z"


TEAM = {"group": "calls", "cohort": "spring", "job_design": "free"}


@pytest.mark.parametrize(
    ("figure", "key"),
    [
        ("cohort", "cohort=spring"),
        ("job_design", "job_design=free"),
        ("listening", "staff_group=calls"),
        ("watermelon", "staff_group=calls"),
        ("recognition_by_team", "staff_group=calls"),
        ("five_pillars", "staff_group=calls"),
        ("insight", "insight_id=ask"),
        ("training", "course=listening"),
    ],
)
async def test_the_profile_that_puts_staff_into_a_row_is_behind_it(
    figures: Figures, figure: str, key: str
) -> None:
    of = {"staff": "eve", "customer": "ann"}
    signals = [csat("4"), csat("4", dimension="understood"), csat("4", dimension="acknowledged")]
    training = {"step": "FRONT_LINE_STEP_TRAINING", "kind": "listening"}
    capture = {"insight_id": "ask", "step": "INSIGHT_STEP_CAPTURED"}
    await figures.know(
        works("eve", "eve before", day(1), group="shop", cohort="autumn"),
        works("eve", "eve then", day(2), **TEAM),
        works("eve", "eve later", day(9), group="shop", cohort="autumn"),
        works("bob", "bob", day(2), **TEAM),
        event(event_id="call", occurred_at=day(3), **of),
        event(
            feedback_received={"signals": signals, "about": {"event_id": "call"}},
            event_id="answer",
            occurred_at=day(4),
            **of,
        ),
        event(front_line=training, event_id="trained", occurred_at=day(5), staff="eve"),
        event(insight=capture, event_id="captured", occurred_at=day(5), staff="eve"),
        event(event_id="last", occurred_at="2026-07-20T10:00:00Z"),
    )
    profiles = {"eve before", "eve then", "eve later", "bob"}
    found = set(await figures.events(figure, key)) & profiles
    # Whoever has the first profile began with it; a colleague is who the trained are compared with.
    more = {"cohort": {"eve before"}, "training": {"bob"}}.get(figure, set())
    assert {"eve then"} | more == found


async def test_the_words_by_which_customers_are_one_are_behind_the_rows_of_that_person(
    figures: Figures,
) -> None:
    await figures.know(
        event(event_id="call of ann", customer="caller", occurred_at=day(3)),
        event(event_id="call of ben", customer="ben", occurred_at=day(3)),
        event(event_id="ann has a card", customer="caller", identity=SAME, occurred_at=day(4)),
        event(event_id="ben is dan", customer="ben", identity=SAME | {"same_as": "dan"}),
        event(event_id="not so", amends={"event_id": "ben is dan"}, retraction={}),
    )
    ann, ben = "journey=caller", "journey=ben"
    assert ["call of ann", "ann has a card"] == await figures.events("journey_step", ann)
    assert ["call of ben"] == await figures.events("journey_step", ben)
    # As known before, and before it was taken back.
    then = {"as_of_position": {"number": "2"}}
    assert ["call of ann"] == await figures.events("journey_step", ann, **then)
    then = {"as_of_position": {"number": "4"}}
    assert ["call of ben", "ben is dan"] == await figures.events("journey_step", ben, **then)


async def test_what_asks_nobody_who_he_is_has_no_such_words_behind_it(figures: Figures) -> None:
    await figures.know(
        event(event_id="visit", customer="caller"),
        event(event_id="same", customer="caller", identity=SAME),
    )
    assert ["visit"] == await figures.events("voice_and_silence")
