"""An answer is given again while it is still the answer, and never after."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from services.chassis.errors import Malformed
from services.chassis.postgres import Pool
from services.scoring import formulas, kept_scores, models
from services.scoring.answers import Answers
from services.scoring.kept_scores import KeptScores
from services.scoring.models import NEXT
from services.scoring.scoreboard import Scoreboard
from services.scoring.scores import get_scores
from services.scoring.source import Source
from tests.support.events import csat, event, feedback
from tests.support.journals import JOURNAL_ID, journal_of, project, recorded
from touchledger.v1 import scoring_pb2 as pb

# Shows whether an answer was added up or kept: the checkpoint does not move with it, as it does with all that
# the projection writes.
TOUCH = "UPDATE rollup_touchpoint_year SET interactions = interactions + 100"


@pytest.fixture
async def scoreboard(scoring_pool: Pool) -> Scoreboard:
    made = Scoreboard(scoring_pool)
    await made.install()
    await project(made, journal_of(event(event_id="1"), feedback(csat("4"), event_id="2")))
    return made


@pytest.fixture
async def answers(scoring_pool: Pool) -> AsyncIterator[Answers]:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nowhere:
        yield Answers(scoring_pool, Source(nowhere))


@pytest.fixture
def kept(scoreboard: Scoreboard, answers: Answers) -> KeptScores:
    return KeptScores(answers)


def question(**asked: Any) -> pb.GetScoresRequest:
    return json_format.ParseDict(asked, pb.GetScoresRequest())


async def interactions(kept: KeptScores, tenant: str = "default", **asked: Any) -> int:
    answer = await kept.get_scores(tenant, question(**asked))
    return sum(each.counts["interactions"] for each in answer.scores)


async def test_the_same_question_is_not_added_up_again(
    kept: KeptScores, scoring_pool: Pool
) -> None:
    assert 1 == await interactions(kept)
    await scoring_pool.execute(TOUCH)
    assert 1 == await interactions(kept)


async def test_what_is_given_again_is_the_whole_answer(kept: KeptScores, answers: Answers) -> None:
    asked = question(group_by="GROUP_BY_STAGE", decayed_on_date="2026-09-01")
    first = await kept.get_scores("default", asked)
    again = await kept.get_scores("default", asked)
    assert first == again == await get_scores(answers, "default", asked)
    assert again.scores[0].scores["csat_mean"] == 4


async def test_an_answer_belongs_to_who_asked(kept: KeptScores) -> None:
    first = await kept.get_scores("default", question())
    first.scores[0].counts["interactions"] = 99
    second = await kept.get_scores("default", question())
    second.scores[0].counts["interactions"] = 99
    assert 1 == await interactions(kept)


async def test_what_comes_is_in_the_next_answer(kept: KeptScores, scoreboard: Scoreboard) -> None:
    assert 1 == await interactions(kept)
    await project(scoreboard, [recorded(event(event_id="3"), 3)])
    assert 2 == await interactions(kept)


async def test_another_tenant_gets_its_own_answer(kept: KeptScores, scoreboard: Scoreboard) -> None:
    await project(scoreboard, [recorded(event(event_id="3"), 3, tenant="other")])
    await project(scoreboard, [recorded(event(event_id="4"), 4, tenant="other")])
    assert (1, 2) == (await interactions(kept), await interactions(kept, "other"))
    assert (1, 2) == (await interactions(kept), await interactions(kept, "other"))


async def test_another_question_gets_its_own_answer(kept: KeptScores) -> None:
    assert 1 == await interactions(kept)
    assert 0 == await interactions(kept, touchpoint_glob="phone.*")
    by_stage = await kept.get_scores("default", question(group_by="GROUP_BY_STAGE"))
    assert {"stage"} == set(by_stage.scores[0].keys)


async def test_freshness_is_that_of_now(kept: KeptScores, scoreboard: Scoreboard) -> None:
    first = await kept.get_scores("default", question())
    await scoreboard.heard(head=7)
    again = await kept.get_scores("default", question())
    assert (0, 5) == (first.freshness.lag, again.freshness.lag)
    assert first.scores == again.scores


async def test_another_reporting_zone_makes_another_answer(
    kept: KeptScores, scoring_pool: Pool
) -> None:
    first = await kept.get_scores("default", question())
    await Scoreboard(scoring_pool, reporting_zone="Asia/Tokyo").install()
    again = await kept.get_scores("default", question())
    assert ("UTC", "Asia/Tokyo") == (first.reporting_zone, again.reporting_zone)


async def test_another_model_at_the_same_position_answers_for_itself(
    kept: KeptScores, scoring_pool: Pool
) -> None:
    assert 1 == await interactions(kept)
    async with scoring_pool.acquire() as other:
        await other.execute(f"SET search_path = {NEXT.search_path}")
        async with other.transaction():
            await models.create(other, NEXT)
            await formulas.install(other)
            await other.execute("UPDATE freshness SET journal_id = $1, position = 2", JOURNAL_ID)
        async with other.transaction():
            await models.switch(other)
    assert 0 == await interactions(kept)


@pytest.mark.parametrize(
    "asked", [{"as_of_position": {"number": "2"}}, {"page_size": 5}], ids=["past", "page"]
)
async def test_the_past_and_pages_are_added_up_each_time(
    kept: KeptScores, scoring_pool: Pool, asked: dict[str, Any]
) -> None:
    assert 1 == await interactions(kept, **asked)
    await scoring_pool.execute(TOUCH)
    assert 101 == await interactions(kept, **asked)


async def test_a_question_with_a_position_to_wait_for_is_the_same_question(
    kept: KeptScores, scoring_pool: Pool
) -> None:
    assert 1 == await interactions(kept)
    await scoring_pool.execute(TOUCH)
    assert 1 == await interactions(kept, at_least_position={"number": "2"})


async def test_what_is_refused_is_refused_again(kept: KeptScores) -> None:
    for _ in range(2):
        with pytest.raises(Malformed, match="names"):
            await kept.get_scores("default", question(names=["unheard"]))


async def test_what_was_asked_longest_ago_is_forgotten_first(
    kept: KeptScores, scoring_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = ({"touchpoint_glob": f"store.{end}*"} for end in ("", "c", "ch"))
    answer = await kept.get_scores("default", question(**one))
    monkeypatch.setattr(kept_scores, "KEPT_BYTES_MAX", int(2.5 * answer.ByteSize()))
    for asked in (two, one, three):
        await interactions(kept, **asked)
    await scoring_pool.execute(TOUCH)
    assert [1, 1, 101] == [await interactions(kept, **asked) for asked in (one, three, two)]


async def test_an_answer_that_would_push_all_others_out_is_not_kept(
    kept: KeptScores, scoring_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_scores, "ANSWER_BYTES_MAX", 100)
    assert 1 == await interactions(kept)
    await scoring_pool.execute(TOUCH)
    assert 101 == await interactions(kept)
