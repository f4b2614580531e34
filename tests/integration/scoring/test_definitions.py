"""The catalogue's decisions in the read models: as they stand and ever stood, however it is paged."""

from collections.abc import Sequence
from decimal import Decimal

import asyncpg
import pytest

from services.chassis.postgres import Pool
from services.scoring.scoreboard import Scoreboard
from tests.contract.golden_bytes import DECIDED_AT, decided
from tests.support.events import event
from tests.support.journals import project, recorded
from touchledger.v1.journal_pb2 import RecordedEvent

ABOUT = "touchledger.touchpoint_definition."
KINDS = [topic for topic in decided() if topic.startswith(ABOUT)]


def journal(kinds: Sequence[str]) -> list[RecordedEvent]:
    """These decisions after an event that has named the touchpoint."""
    visit = recorded(event(event_id="visit"), 1, tenant="tenant-1")
    return [
        visit,
        *(
            RecordedEvent(
                position=position,
                tenant="tenant-1",
                source="touchledger",
                topic=kind,
                event=decided()[kind].state,
                recorded_at=visit.recorded_at,
                stream_id=decided()[kind].originator_id,
            )
            for position, kind in enumerate(kinds, start=2)
        ),
    ]


async def touchpoint(pool: Pool) -> asyncpg.Record:
    [row] = await pool.fetch("SELECT * FROM dim_touchpoint")
    return row


async def test_a_registered_touchpoint_has_its_owner_weight_and_standard(
    scoring_pool: Pool,
) -> None:
    await project(Scoreboard(scoring_pool), journal(KINDS[:1]))
    row = await touchpoint(scoring_pool)
    assert ("store.checkout", 1, 2) == (
        row["touchpoint"],
        row["first_position"],
        row["definition_position"],
    )
    assert ("Store operations", "purchase", "store", Decimal("0.25"), False) == (
        row["owner"],
        row["stage"],
        row["channel"],
        row["weight"],
        row["retired"],
    )
    assert (120, Decimal("2.5"), 86400) == (
        row["wait_seconds_max"],
        row["answer_seconds_max"],
        row["resolve_seconds_max"],
    )
    [standard] = await scoring_pool.fetch("SELECT * FROM dim_service_standard")
    assert ("csat", "empathy", Decimal("4.5"), 1, 5, True) == tuple(standard)[2:]


async def test_what_a_decision_does_not_say_stays(scoring_pool: Pool) -> None:
    await project(Scoreboard(scoring_pool), journal(KINDS[:6]))
    row = await touchpoint(scoring_pool)
    assert ("Geschäft", "service", "phone", Decimal("0.000001"), True) == (
        row["owner"],
        row["stage"],
        row["channel"],
        row["weight"],
        row["retired"],
    )
    # Another standard replaces all of the one before.
    assert (None, None, 0) == (
        row["wait_seconds_max"],
        row["answer_seconds_max"],
        row["resolve_seconds_max"],
    )
    assert await scoring_pool.fetchval("SELECT count(*) FROM dim_service_standard") == 0


@pytest.mark.parametrize("page_events", [1, 3, 1000])
async def test_pages_make_no_difference(scoring_pool: Pool, page_events: int) -> None:
    await project(Scoreboard(scoring_pool), journal(KINDS), page_events=page_events)
    row = await touchpoint(scoring_pool)
    assert (1, 8, "Store operations", "purchase", False) == (
        row["first_position"],
        row["definition_position"],
        row["owner"],
        row["stage"],
        row["retired"],
    )


@pytest.mark.parametrize("page_events", [1, 3, 1000])
async def test_each_decision_declares_all_that_stands_from_its_position_on(
    scoring_pool: Pool, page_events: int
) -> None:
    await project(Scoreboard(scoring_pool), journal(KINDS), page_events=page_events)
    rows = await scoring_pool.fetch("SELECT * FROM touchpoint_declaration ORDER BY from_position")
    assert [(2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, None)] == [
        (row["from_position"], row["to_position"]) for row in rows
    ]
    assert {("tenant-1", "store.checkout", DECIDED_AT)} == {
        (row["tenant"], row["touchpoint"], row["declared_at"]) for row in rows
    }
    assert ["purchase"] + 5 * ["service"] + ["purchase"] == [row["stage"] for row in rows]
    assert [2 * ["Store operations"], 4 * ["Geschäft"], ["Store operations"]] == [
        [row["owner"] for row in part] for part in (rows[:2], rows[2:6], rows[6:])
    ]
    assert [False] * 5 + [True, False] == [row["retired"] for row in rows]
    # A standard is that of the decision that said it, until another one does.
    assert [(2, 86400)] * 4 + [(6, 0)] * 2 + [(8, 86400)] == [
        (row["standard_position"], row["resolve_seconds_max"]) for row in rows
    ]
    answers = await scoring_pool.fetch("SELECT * FROM standard_declaration ORDER BY position")
    same = ("csat", "empathy", Decimal("4.5"), 1, 5, True)
    key = ("tenant-1", "store.checkout")
    assert [(*key, 2, *same), (*key, 8, *same)] == [tuple(row) for row in answers]


async def test_a_decision_that_can_not_be_read_changes_nothing_and_stops_nobody(
    scoring_pool: Pool,
) -> None:
    odd = journal(KINDS[:2])
    odd[2].event = b'{"stage": 7}'
    await project(Scoreboard(scoring_pool), odd)
    assert (await touchpoint(scoring_pool))["stage"] == "purchase"
    assert [2] == [
        row["from_position"]
        for row in await scoring_pool.fetch("SELECT from_position FROM touchpoint_declaration")
    ]
