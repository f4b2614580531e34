"""Variants of the job's design side by side, and that nobody's age is anywhere."""

import re

from services.chassis.postgres import Pool
from services.scoring.experience import FIGURES
from services.scoring.scoreboard import Scoreboard
from tests.support.events import csat, event
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

OLD, NEW = "2026-07-01T00:00:00Z", "2026-08-03T12:00:00Z"
# Of columns that would tell how old somebody is.
AGE = re.compile(r"(^|_)(age|born|birth|birthday)(_|$)")


def works(staff: str, design: str, since: str = OLD) -> events.Event:
    return event(
        staff_profile={"job_design": design},
        staff=staff,
        event_id=f"{staff} is {design}",
        occurred_at=since,
    )


def serves(staff: str, event_id: str, *, hour: int = 10, outcome: str = "RESOLVED") -> events.Event:
    return event(
        interaction={"outcome": f"OUTCOME_{outcome}"},
        staff=staff,
        customer=f"customer of {event_id}",
        event_id=event_id,
        occurred_at=f"2026-08-03T{hour:02}:00:00Z",
    )


def answers(value: str, visit: str, *, hour: int = 20) -> events.Event:
    """Many hours later, and the survey tool does not know who served."""
    body = {"signals": [csat(value)], "about": {"source": "till", "event_id": visit}}
    return event(
        feedback_received=body,
        event_id=f"answer about {visit}",
        occurred_at=f"2026-08-03T{hour:02}:00:00Z",
    )


async def told(figures: Figures, **asked: object) -> dict[str, Row]:
    return {row["job_design"]: row for row in await figures.rows("job_design", **asked)}


async def test_designs_are_told_apart_by_what_customers_say_and_get(figures: Figures) -> None:
    book, free = [f"b{each}" for each in range(5)], [f"f{each}" for each in range(5)]
    await figures.know(
        *(works(each, "by the book") for each in book),
        *(works(each, "may decide") for each in free),
        *(serves(each, f"visit to {each}", outcome="TRANSFERRED") for each in book[:4]),
        serves(book[4], f"visit to {book[4]}"),
        *(serves(each, f"visit to {each}") for each in free),
        *(answers("2", f"visit to {each}") for each in book),
        *(answers("5", f"visit to {each}") for each in free),
        # Who works without a profile, and interactions without staff.
        *(serves(f"new {each}", f"visit to new {each}") for each in range(5)),
        event(event_id="nobody served"),
    )
    columns = ("staff", "too_few", "interactions", "csat_n", "csat_points", "resolved_share")
    assert {
        design: [row.get(name) for name in columns] for design, row in (await told(figures)).items()
    } == {
        "by the book": ["5", "false", "5", "5", "25.0", "0.2"],
        "may decide": ["5", "false", "5", "5", "100.0", "1.0"],
        "unspecified": ["5", "false", "5", "0", None, "1.0"],
    }


async def test_what_is_of_fewer_than_five_customers_is_not_told(figures: Figures) -> None:
    staff = [f"s{each}" for each in range(5)]
    visits = [serves(each, f"visit to {each}") for each in staff]
    for each in visits:
        each.customer = "ann"
    said = [answers("2", f"visit to {each}") for each in staff]
    for each in said:
        each.customer = "ann"
    await figures.know(*(works(each, "may decide") for each in staff), *visits, *said)
    row = (await told(figures))["may decide"]
    assert ("5", "5", "true") == (row["interactions"], row["csat_n"], row["too_few"])
    assert not {"csat_points", "resolved_share"} & row.keys()


async def test_an_answer_belongs_to_the_design_of_the_moment_that_it_is_about(
    figures: Figures,
) -> None:
    staff = [f"s{each}" for each in range(5)]
    await figures.know(
        *(works(each, "by the book") for each in staff),
        *(works(each, "may decide", since=NEW) for each in staff),
        *(serves(each, f"morning {each}", hour=10) for each in staff),
        *(serves(each, f"evening {each}", hour=12) for each in staff),
        *(answers("1", f"morning {each}") for each in staff),
        *(answers("5", f"evening {each}") for each in staff),
        event(event_id="never so", amends={"event_id": "s0 is may decide"}, retraction={}),
    )
    before = await told(figures, as_of_position={"number": "30"})
    assert {name: row["csat_points"] for name, row in before.items()} == {
        "by the book": "0.0",
        "may decide": "100.0",
    }
    # What one of them did since then was by the book, and four are too few to be told of.
    after = await told(figures)
    assert after["by the book"]["csat_points"] == str(100 / 6)
    assert (after["may decide"]["staff"], after["may decide"]["too_few"]) == ("4", "true")
    assert {"csat_points", "csat_points_lo", "resolved_share"} & after["may decide"].keys() == set()


async def test_the_events_behind_a_design_are_its_interactions_answers_and_profiles(
    figures: Figures,
) -> None:
    await figures.know(
        works("ann", "may decide"),
        serves("ann", "visit"),
        answers("4", "visit"),
        serves("ben", "other"),
    )
    ids = await figures.events("job_design", "job_design=may decide")
    assert ids == ["ann is may decide", "visit", "answer about visit"]


async def test_no_figure_and_no_table_tells_the_age_of_staff(scoring_pool: Pool) -> None:
    await Scoreboard(scoring_pool).install()
    # A profile has three fields, and none of them is personal.
    assert {each.name for each in events.StaffProfile.DESCRIPTOR.fields} == {
        *("group", "cohort", "job_design")
    }
    told = await scoring_pool.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'bi'"
    )
    tables: dict[str, set[str]] = {}
    for table, column in told:
        tables.setdefault(table, set()).add(column)
    # Years of birth are those of customers: a generation's, a customer's, and what a customer's profile says.
    assert {table for table, columns in tables.items() if any(map(AGE.search, columns))} == {
        *("dim_generation", "dim_generation_rule", "dim_customer", "fact_customer_profile")
    }
    for figure in FIGURES:
        assert not any(map(AGE.search, {**figure.keys, **figure.columns})), figure.name


async def test_answers_about_one_of_five_members_are_of_too_few(figures: Figures) -> None:
    staff = [f"s{each}" for each in range(5)]
    await figures.know(
        *(works(each, "may decide") for each in staff),
        *(serves(each, f"visit to {each}") for each in staff),
        answers("1", "visit to s0"),
    )
    row = (await told(figures))["may decide"]
    assert ("5", "1", "true") == (row["staff"], row["csat_n"], row["too_few"])
    assert ("1.0", None) == (row["resolved_share"], row.get("csat_points"))
