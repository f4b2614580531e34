"""Decisions about recovery cases in the read models: a row for each, whatever page brings it."""

import pytest

from services.chassis.postgres import Pool
from services.scoring.scoreboard import Scoreboard
from tests.contract.golden_bytes import DECIDED_AT, decided
from tests.support.events import event
from tests.support.journals import project, recorded
from touchledger.v1.journal_pb2 import RecordedEvent

TOPICS = [topic for topic in decided() if topic.startswith("touchledger.recovery_case.")]


def journal() -> list[RecordedEvent]:
    """The decisions about one case, after an event."""
    visit = recorded(event(event_id="visit"), 1, tenant="tenant-1")
    return [
        visit,
        *(
            RecordedEvent(
                position=position,
                tenant="tenant-1",
                source="touchledger",
                topic=topic,
                event=decided()[topic].state,
                recorded_at=visit.recorded_at,
                stream_id=decided()[topic].originator_id,
            )
            for position, topic in enumerate(TOPICS, start=2)
        ),
    ]


@pytest.mark.parametrize("page_events", [1, 3, 1000])
async def test_each_decision_is_a_row_of_its_case(scoring_pool: Pool, page_events: int) -> None:
    await project(Scoreboard(scoring_pool), journal(), page_events=page_events)
    rows = await scoring_pool.fetch("SELECT * FROM case_decision ORDER BY position")
    assert [
        (2, "opened"),
        (3, "acknowledged"),
        (4, "remedied"),
        (5, "goodwill_given"),
        (6, "closed"),
        (7, "reopened"),
        (8, "remedy_retracted"),
    ] == [(row["position"], row["decision"]) for row in rows]
    assert {("tenant-1", "case-1", DECIDED_AT)} == {
        (row["tenant"], row["case_id"], row["decided_at"]) for row in rows
    }
    opened, closed, reopened = rows[0], rows[4], rows[5]
    assert ("store.checkout", "major") == (opened["touchpoint"], opened["severity"])
    assert ("accepted", "all_good", "failed_again") == (
        closed["result"],
        closed["reason"],
        reopened["reason"],
    )


async def test_a_decision_that_can_not_be_read_changes_nothing_and_stops_nobody(
    scoring_pool: Pool,
) -> None:
    odd = journal()
    odd[2].event = b'{"timestamp": 7}'
    odd[3].topic = "touchledger.recovery_case.mislaid.v1"
    await project(Scoreboard(scoring_pool), odd)
    rows = await scoring_pool.fetch("SELECT position FROM case_decision ORDER BY position")
    assert [2, 5, 6, 7, 8] == [row["position"] for row in rows]
