"""Facts belong to the groups that their customer and their member of staff are known to be in."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis.postgres import Pool
from services.scoring.formulas import ROLLUPS
from services.scoring.scoreboard import Scoreboard
from tests.support.events import csat, event, feedback
from tests.support.journals import journal_of, project
from touchledger.v1 import events_pb2 as pb

PAGES = pytest.mark.parametrize("page_events", [1, 2, 3, 1000])


def answer(number: int, value: str, **fields: object) -> pb.Event:
    return feedback(csat(value), event_id=f"answer-{number}", **fields)


def born(number: int, first: int, last: int, **segments: str) -> pb.Event:
    profile = {"birth_year_from": first, "birth_year_to": last, "segments": segments}
    return event(event_id=f"profile-{number}", customer="card 1", customer_profile=profile)


def works(number: int, group: str, **fields: object) -> pb.Event:
    profile = {"group": group}
    return event(event_id=f"staff-{number}", staff="cashier", staff_profile=profile, **fields)


def at(day: int) -> datetime:
    return datetime(2026, 8, day, tzinfo=UTC)


async def answered_by(pool: Pool, group: str) -> dict[str, tuple[int, int]]:
    """How many CSAT answers, and their sum, for each value of the group."""
    rows = await pool.fetch(
        f"SELECT {group}, csat_answered, csat_sum FROM satisfaction_by_{group} "  # literals
        "WHERE csat_answered > 0"
    )
    return {row[group]: (row["csat_answered"], row["csat_sum"]) for row in rows}


@PAGES
async def test_a_profile_moves_what_was_said_before_it(
    scoring_pool: Pool, page_events: int
) -> None:
    journal = journal_of(
        answer(1, "5", customer="card 1"),
        answer(2, "1", customer="card 2"),
        born(1, 1970, 1975),
        answer(3, "3", customer="card 1"),
    )
    await project(Scoreboard(scoring_pool), journal, page_events=page_events)
    assert {"x": (2, 8), "unspecified": (1, 1)} == await answered_by(scoring_pool, "generation")


@PAGES
async def test_the_last_profile_counts_until_it_is_retracted(
    scoring_pool: Pool, page_events: int
) -> None:
    journal = journal_of(
        answer(1, "5", customer="card 1"), born(1, 1970, 1975), born(2, 1990, 1990)
    )
    scoreboard = Scoreboard(scoring_pool)
    await project(scoreboard, journal, page_events=page_events)
    assert {"millennial": (1, 5)} == await answered_by(scoring_pool, "generation")
    taken_back = event(event_id="back", amends={"event_id": "profile-2"}, retraction={})
    await project_more(scoreboard, [*journal_events(journal), taken_back], len(journal))
    assert {"x": (1, 5)} == await answered_by(scoring_pool, "generation")


@pytest.mark.parametrize(
    ("first", "last", "generation"),
    [
        (1964, 1964, "boomer"),
        (1965, 1965, "x"),
        (1965, 1980, "x"),
        (1964, 1965, "unspecified"),
        (1980, 1981, "unspecified"),
        (1997, 2012, "z"),
    ],
)
async def test_a_band_that_lies_in_two_generations_is_in_none(
    scoring_pool: Pool, first: int, last: int, generation: str
) -> None:
    journal = journal_of(born(1, first, last), answer(1, "4", customer="card 1"))
    await project(Scoreboard(scoring_pool), journal)
    assert {generation: (1, 4)} == await answered_by(scoring_pool, "generation")


@PAGES
async def test_staff_are_in_the_group_that_they_worked_in_at_the_time(
    scoring_pool: Pool, page_events: int
) -> None:
    journal = journal_of(
        works(1, "north", occurred_at="2026-08-03T12:00:00Z"),
        answer(1, "1", staff="cashier", occurred_at="2026-08-01T12:00:00Z"),
        answer(2, "2", staff="cashier", occurred_at="2026-08-04T12:00:00Z"),
        answer(3, "3", staff="cashier", occurred_at="2026-08-06T12:00:00Z"),
        works(2, "south", occurred_at="2026-08-05T12:00:00Z"),
        answer(4, "4", staff="somebody else", occurred_at="2026-08-06T12:00:00Z"),
    )
    await project(Scoreboard(scoring_pool), journal, page_events=page_events)
    want = {"unspecified": (2, 5), "north": (1, 2), "south": (1, 3)}
    assert want == await answered_by(scoring_pool, "staff_group")


@PAGES
async def test_a_segment_lasts_until_the_next_profile_that_names_it(
    scoring_pool: Pool, page_events: int
) -> None:
    journal = journal_of(born(1, 0, 0, status="silver"), born(2, 0, 0, region="west"))
    gold = born(3, 0, 0, status="gold")
    gold.occurred_at.FromDatetime(at(20))
    journal = journal_of(*journal_events(journal), gold)
    await project(Scoreboard(scoring_pool), journal, page_events=page_events)
    rows = await scoring_pool.fetch("SELECT segment, value, valid_to FROM dim_segment")
    assert {("status", "silver", at(20)), ("status", "gold", None), ("region", "west", None)} == {
        tuple(row) for row in rows
    }


@PAGES
async def test_groups_that_everything_left_leave_no_row(
    scoring_pool: Pool, page_events: int
) -> None:
    journal = journal_of(
        answer(1, "5", customer="card 1"),
        born(1, 1970, 1975),
        event(event_id="back", amends={"event_id": "answer-1"}, retraction={}),
    )
    await project(Scoreboard(scoring_pool), journal, page_events=page_events)
    for rollup in ROLLUPS:
        assert [] == await scoring_pool.fetch(f"SELECT * FROM {rollup}")  # literals


def journal_events(journal: list[Any]) -> list[pb.Event]:
    return [pb.Event.FromString(each.event) for each in journal]


async def project_more(scoreboard: Scoreboard, events: list[pb.Event], after: int) -> None:
    """What comes after a position of the same journal."""
    await project(scoreboard, journal_of(*events)[after:])
