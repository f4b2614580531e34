"""GetBridge says what made the difference; test_as_of.py has that it sums exactly for any history."""

from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from services.chassis.errors import Conflict, Malformed
from services.chassis.postgres import Pool
from services.scoring.bridge import differences
from services.scoring.scoreboard import Scoreboard
from tests.support.asking import Asking, asking, at
from tests.support.events import csat, event, feedback
from tests.support.journals import journal_of, project, recorded_at_position
from touchledger.v1 import events_pb2 as events
from touchledger.v1 import scoring_pb2 as pb

LATE, NEW, CORRECTIONS, RETRACTIONS, PROFILES, FORMULA = range(1, 7)


@pytest.fixture
async def scoreboard(scoring_pool: Pool) -> Scoreboard:
    made = Scoreboard(scoring_pool)
    await made.install()
    return made


@pytest.fixture
async def asked(scoring_pool: Pool) -> AsyncIterator[Asking]:
    async with asking(scoring_pool) as made:
        yield made


def answered(number: int, value: str, **fields: object) -> events.Event:
    return feedback(csat(value), event_id=f"answer-{number}", **fields)


def retraction(target: str) -> events.Event:
    return event(event_id=f"no {target}", amends={"event_id": target}, retraction={})


def correction(target: str, *signals: dict[str, str], **fields: object) -> events.Event:
    body = {"feedback_received": {"signals": list(signals)}}
    amends = {"event_id": target}
    return event(event_id=f"right {target}", amends=amends, correction=body, **fields)


def parts(answer: pb.GetBridgeResponse) -> dict[int, str]:
    return {part.cause: part.difference for part in answer.parts if part.difference != "0"}


def behind(answer: pb.GetBridgeResponse) -> list[tuple[int, str]]:
    return [(change.cause, change.event_id) for change in answer.changes]


async def test_you_saw_4_21_and_now_it_is_3_95(scoreboard: Scoreboard, asked: Asking) -> None:
    def later(second: int) -> str:
        return f"2026-08-03T12:01:{second:02}Z"

    journal = journal_of(
        *(answered(number, "4") for number in range(15)),
        *(answered(number, "5") for number in range(15, 19)),
        # What was seen: 80 of 19, 4.2105…; all of it is recorded by 12:00:19.
        answered(19, "1"),
        answered(20, "5", occurred_at=later(1)),
        correction("answer-15", csat("3")),
        retraction("answer-16"),
    )
    await project(scoreboard, journal)
    answer = await asked.bridge(score="csat_mean", seen_position=at(19))
    assert ("4.2105263157894735", "3.95") == (answer.seen.value, answer.now.value)
    assert [({"csat_answered": 19}, "80"), ({"csat_answered": 20}, "79")] == [
        (dict(each.counts), each.sums["csat_sum"]) for each in (answer.seen, answer.now)
    ]
    assert [
        (LATE, "answer-19"),
        (NEW, "answer-20"),
        (CORRECTIONS, "answer-15"),
        (RETRACTIONS, "answer-16"),
    ] == behind(answer)
    # Each the double that GetScores would give.
    told = [Decimal(answer.seen.value), *(Decimal(part.value) for part in answer.parts)]
    assert [80 / 19, 81 / 20, 86 / 21, 84 / 21, 79 / 20] == [float(each) for each in told[:5]]
    assert [Decimal(part.difference) for part in answer.parts] == [
        after - before for before, after in pairwise(told)
    ]
    assert Decimal(answer.difference) == sum(Decimal(part.difference) for part in answer.parts)


async def test_an_event_that_came_and_was_corrected_is_a_late_arrival_as_it_is_now(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(
        scoreboard,
        journal_of(
            answered(1, "4"),
            correction("answer-2", csat("2")),
            answered(2, "5"),
            answered(3, "1"),
            retraction("answer-3"),
        ),
    )
    answer = await asked.bridge(score="csat_mean", seen_position=at(1))
    assert [(LATE, "answer-2")] == behind(answer)
    assert {LATE: "-1"} == parts(answer)


async def test_a_correction_that_moves_an_answer_out_of_the_cell_is_a_correction(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    moved = correction("answer-1", csat("1"), touchpoint="web.returns")
    await project(scoreboard, journal_of(answered(1, "1"), answered(2, "5"), moved))
    answer = await asked.bridge(
        score="csat_mean", seen_position=at(2), touchpoint_glob="store.checkout"
    )
    assert {CORRECTIONS: "2"} == parts(answer)
    assert [{"csat_answered": "-1", "csat_sum": "-1"}] == [
        dict(each.sums) for each in answer.changes
    ]


async def test_what_becomes_known_of_a_customer_is_a_part_of_its_own(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    band = {"birth_year_from": 1970, "birth_year_to": 1974}
    await project(
        scoreboard,
        journal_of(
            event(event_id="p1", customer="ann", customer_profile=band),
            answered(1, "2", customer="ann"),
            answered(2, "5", customer="ben"),
            event(event_id="p2", customer="ben", customer_profile=band),
        ),
    )
    answer = await asked.bridge(score="csat_mean", seen_position=at(3), generation=["x"])
    assert {PROFILES: "1.5"} == parts(answer)
    assert [(PROFILES, "answer-2")] == behind(answer)


async def test_another_version_of_the_formula_is_a_part_of_its_own(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(scoreboard, journal_of(answered(1, "3"), answered(2, "5")))
    answer = await asked.bridge(seen_score="csat_mean", score="csat_mean_v2", seen_position=at(1))
    # 3, then 4 of the new answer, then both on 0 to 100.
    assert {LATE: "1", FORMULA: "71"} == parts(answer)
    assert ("csat_mean", "csat_mean_v2") == (answer.seen.score, answer.now.score)
    assert "72" == answer.difference


async def test_a_score_that_was_none_has_no_difference_but_its_events(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(scoreboard, journal_of(event(), answered(1, "4")))
    answer = await asked.bridge(score="csat_mean", seen_position=at(1))
    assert ("", "4", "") == (answer.seen.value, answer.now.value, answer.difference)
    assert {""} == {part.difference for part in answer.parts}
    assert [(LATE, "answer-1")] == behind(answer)


def test_a_step_to_nothing_is_in_the_next_one() -> None:
    two, five = Decimal(2), Decimal(5)
    assert [0, 3, 0] == differences([two, None, five, five])
    assert [] == differences([None, two])
    assert [] == differences([two, None])


async def test_what_is_late_is_told_by_the_moment_at_which_somebody_looked(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    between = recorded_at_position(1).replace(microsecond=500_000).isoformat()
    await project(scoreboard, journal_of(answered(1, "4"), answered(2, "2", occurred_at=between)))
    by_position = await asked.bridge(score="csat_mean", seen_position=at(1))
    seen = {"seen_time": recorded_at_position(1).replace(microsecond=900_000).isoformat()}
    assert [(NEW, "answer-2")] == behind(by_position)
    assert [(LATE, "answer-2")] == behind(await asked.bridge(score="csat_mean", **seen))


@pytest.mark.parametrize(
    ("question", "error", "field"),
    [
        ({"score": "csat_moan", "seen_position": at(0)}, Malformed, "score"),
        ({"score": "nps", "seen_score": "x", "seen_position": at(0)}, Malformed, "seen_score"),
        ({"score": "nps"}, Malformed, "seen"),
        ({"score": "nps", "seen_position": at(1), "as_of_position": at(0)}, Malformed, "seen"),
        ({"score": "nps", "seen_position": at(2)}, Conflict, "seen_position.number"),
        ({"score": "nps", "seen_position": at(0), "page_size": 1001}, Malformed, "page_size"),
    ],
)
async def test_what_is_no_bridge_is_refused(
    scoreboard: Scoreboard, asked: Asking, question: Any, error: type[Exception], field: str
) -> None:
    await project(scoreboard, journal_of(event()))
    with pytest.raises(error) as refused:
        await asked.bridge(**question)
    assert field == refused.value.problem.field  # type: ignore[attr-defined]  # of all these errors
