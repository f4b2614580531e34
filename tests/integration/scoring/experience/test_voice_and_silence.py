"""Complaints and compliments per thousand interactions, and silence told as silence."""

from datetime import UTC, datetime

from services.chassis.postgres import Pool
from services.scoring.definitions import REGISTERED, RETIRED
from services.scoring.scoreboard import Scoreboard
from tests.support.events import event
from tests.support.experience import Figures
from tests.support.journals import declared, project, recorded
from touchledger.v1 import events_pb2 as events

FIGURE = "voice_and_silence"


def visits(touchpoint: str, number: int) -> list[events.Event]:
    return [event(touchpoint=touchpoint, event_id=f"{touchpoint} {n}") for n in range(number)]


def said(event_id: str, kind: str, **fields: object) -> events.Event:
    body = {"kind": f"FEEDBACK_KIND_{kind}", **fields}
    return event(feedback_received=body, event_id=event_id)


async def test_complaints_and_compliments_are_rates_of_a_thousand_interactions(
    figures: Figures,
) -> None:
    await figures.know(
        *visits("store.checkout", 8),
        said("angry", "COMPLAINT"),
        said("pleased", "COMPLIMENT", request_id="request"),
        said("glad", "COMPLIMENT"),
        said("neutral", "COMMENT"),
    )
    [row] = await figures.rows(FIGURE)
    names = ("interactions", "feedback", "unasked", "complaints", "compliments")
    assert ["8", "4", "3", "1", "2"] == [row[name] for name in names]
    assert ("125.0", "250.0") == (row["complaints_per_1000"], row["compliments_per_1000"])
    assert float(row["complaints_per_1000_lo"]) < 125 < float(row["complaints_per_1000_hi"])
    assert ("2.0", "false") == (row["compliments_per_complaint"], row["silent"])


async def test_no_feedback_at_all_is_silence_and_no_praise(figures: Figures) -> None:
    await figures.know(*visits("store.checkout", 3))
    [row] = await figures.rows(FIGURE)
    assert ("0", "true", "0.0") == (row["feedback"], row["silent"], row["complaints_per_1000"])
    # Three visits say little: up to half of them might have ended in complaints.
    assert float(row["complaints_per_1000_hi"]) > 500
    assert "compliments_per_complaint" not in row


async def test_words_where_nobody_was_met_have_no_rate(figures: Figures) -> None:
    await figures.know(said("angry", "COMPLAINT"))
    [row] = await figures.rows(FIGURE)
    assert ("1", None) == (row["complaints"], row.get("complaints_per_1000"))


async def test_a_touchpoint_of_the_catalogue_is_told_before_anything_happens_there(
    figures: Figures, scoring_pool: Pool
) -> None:
    at = datetime(2026, 7, 1, tzinfo=UTC)
    journal = [declared(1, REGISTERED, at, {"touchpoint": "web.chat"})]
    await project(Scoreboard(scoring_pool), journal)
    [row] = await figures.rows(FIGURE)
    assert ("web.chat", "0", "true") == (row["touchpoint"], row["interactions"], row["silent"])


async def test_a_touchpoint_is_told_as_of_the_positions_at_which_the_catalogue_had_it(
    figures: Figures, scoring_pool: Pool
) -> None:
    at = datetime(2026, 7, 1, tzinfo=UTC)
    registered = declared(2, REGISTERED, at, {"touchpoint": "web.chat"})
    retired = declared(3, RETIRED, at, {"reason": "quiet"})
    visit = recorded(visits("store.checkout", 1)[0], 1)
    await project(Scoreboard(scoring_pool), [visit, registered, retired])

    async def told(**asked: object) -> list[str]:
        return [row["touchpoint"] for row in await figures.rows(FIGURE, **asked)]

    checkout, chat = "store.checkout", "web.chat"
    as_of = [await told(as_of_position={"number": str(position)}) for position in (1, 2, 3)]
    assert [[checkout], [checkout, chat], [checkout]] == as_of


async def test_a_complaint_that_is_corrected_to_a_comment_counts_as_one(figures: Figures) -> None:
    body = {"feedback_received": {"kind": "FEEDBACK_KIND_COMMENT"}}
    amends = {"source": "till", "event_id": "angry"}
    await figures.know(
        *visits("store.checkout", 1),
        said("angry", "COMPLAINT"),
        event(correction=body, amends=amends, event_id="correction"),
    )
    [row] = await figures.rows(FIGURE)
    assert ("0", "1") == (row["complaints"], row["feedback"])
    [row] = await figures.rows(FIGURE, as_of_position={"number": "2"})
    assert "1" == row["complaints"]
