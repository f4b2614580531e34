"""What was shown is shown again, bit for bit, as of then; bridges sum exactly; lineage gives the cell again.

Hypothesis makes the history: answers of two tenants, many of them late, corrected or retracted, some amended
before they come, customers and staff of whom more becomes known. PostgreSQL is real.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable, Sequence
from fractions import Fraction
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.scoring import formulas, question
from services.scoring.models import LIVE
from services.scoring.score_query import Way
from services.scoring.scoreboard import Scoreboard
from tests.support.asking import Asking, asking, at, by_the
from tests.support.histories import TENANTS, cells, groupings, histories
from tests.support.journals import project
from touchledger.v1 import scoring_pb2 as pb
from touchledger.v1.journal_pb2 import RecordedEvent

# A history takes a second; `make stories` tells more of them.
HISTORIES = int(os.environ.get("TOUCHLEDGER_TEST_STORIES", "8"))
ZONE = "Europe/Berlin"
ALL = {"group_by": "GROUP_BY_ALL"}

of_histories = settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize="TOUCHLEDGER_TEST_STORIES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# What a model has before the first event.
FROM_THE_START = (
    *("dim_date", "dim_stage", "dim_channel", "dim_generation", "dim_generation_rule"),
    *("dim_formula", "formulas", "shape"),
)
EMPTY = """
DO $$
DECLARE
    filled text;
BEGIN
    FOR filled IN SELECT oid::regclass::text FROM pg_class
                   WHERE relkind = 'r' AND relnamespace IN ('bi'::regnamespace, 'fold'::regnamespace)
                     AND relname <> ALL ({kept})
    LOOP
        EXECUTE 'DELETE FROM ' || filled;
    END LOOP;
    INSERT INTO freshness VALUES ('scoreboard', '', 0, 0, NULL, 0);
END
$$
""".format(kept=f"ARRAY{list(FROM_THE_START)}")


class World:
    """One database for all histories; each begins with an empty model."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[tuple[Scoreboard, Asking]]:
        path = {"search_path": LIVE.search_path, "timezone": "UTC", "jit": "off"}
        async with asyncpg.create_pool(
            self._url, min_size=1, max_size=2, server_settings=path
        ) as pool:
            scoreboard = Scoreboard(pool, reporting_zone=ZONE)
            await scoreboard.install()
            await pool.execute(EMPTY)
            async with asking(pool) as asked:
                yield scoreboard, asked


@pytest.fixture(scope="module")
def world(new_database: Callable[[str], str]) -> World:
    return World(new_database("scoring"))


def pages_of(journal: Sequence[RecordedEvent], size: int) -> list[Sequence[RecordedEvent]]:
    return [journal[start : start + size] for start in range(0, len(journal), size)]


questions = st.lists(
    st.builds(lambda cell, groups: cell | {"groups": groups}, cells, groupings),
    min_size=1,
    max_size=4,
)


@of_histories
@given(journal=histories(), size=st.integers(4, 12), asked_for=questions)
def test_what_was_shown_is_shown_again_bit_for_bit(
    world: World, journal: list[RecordedEvent], size: int, asked_for: list[dict[str, Any]]
) -> None:
    async def tell() -> None:
        async with world.begin() as (scoreboard, asked):
            shown = []
            for page in pages_of(journal, size):
                await project(scoreboard, page)
                for tenant, question in itertools.product(TENANTS, asked_for):
                    answer = await asked.scores(tenant, **question)
                    assert answer.as_of_position.number == page[-1].position
                    shown.append((tenant, question, answer))
            for tenant, question, answer in shown:
                then = at(answer.as_of_position.number)
                for way in (None, Way.SCAN):
                    with by_the(way):
                        again = await asked.scores(tenant, **question, as_of_position=then)
                    assert list(answer.scores) == list(again.scores), (way, question)

    asyncio.run(tell())


@of_histories
@given(
    journal=histories(),
    period=st.sampled_from(["DAY", "WEEK", "MONTH"]),
    cell=cells,
    groups=st.sampled_from(
        [[], ["GROUP_BY_TOUCHPOINT"], ["GROUP_BY_GENERATION", "GROUP_BY_STORE"]]
    ),
)
def test_a_series_is_the_scores_by_period_with_the_empty_ones_between(
    world: World, journal: list[RecordedEvent], period: str, cell: dict[str, Any], groups: list[str]
) -> None:
    key = {"DAY": "reporting_date", "WEEK": "week_start", "MONTH": "month_start"}[period]

    async def tell() -> None:
        async with world.begin() as (scoreboard, asked):
            await project(scoreboard, journal)
            scores = (
                await asked.scores("one", **cell, groups=[*groups, f"GROUP_BY_{period}"])
            ).scores
            told: list[pb.Score] = []
            token = ""
            while True:
                answer = await asked.series(
                    "one",
                    **cell,
                    groups=groups,
                    period=f"PERIOD_{period}",
                    page_size=1,
                    page_token=token,
                )
                told += answer.scores
                token = answer.next_page_token
                if not token:
                    break
            assert list(scores) == [each for each in told if any(each.counts.values())]
            for each in told:
                assert any(each.counts.values()) or not each.scores
            by_series: dict[tuple[str, ...], list[str]] = {}
            for each in told:
                of = tuple(value for name, value in each.keys.items() if name != key)
                by_series.setdefault(of, []).append(each.keys[key])
            for starts in by_series.values():
                assert starts == sorted(set(starts))
                assert starts == next(iter(by_series.values()))

    asyncio.run(tell())


async def all_changes(asked: Asking, **bridge: Any) -> tuple[pb.GetBridgeResponse, list[Any]]:
    changes: list[pb.BridgeChange] = []
    token = ""
    while True:
        answer = await asked.bridge("one", **bridge, page_size=3, page_token=token)
        changes += answer.changes
        token = answer.next_page_token
        if not token:
            return answer, changes


def numbers(state: pb.BridgeState) -> dict[str, Fraction]:
    counts = {name: Fraction(value) for name, value in state.counts.items()}
    return counts | {name: Fraction(value) for name, value in state.sums.items()}


@of_histories
@given(
    journal=histories(),
    places=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    cell=cells,
    scores=st.tuples(*[st.sampled_from(["csat_mean", "nps", *formulas.SCORES_SQL])] * 2),
)
def test_a_bridge_sums_exactly_to_the_difference(
    world: World,
    journal: list[RecordedEvent],
    places: tuple[float, float],
    cell: dict[str, Any],
    scores: tuple[str, str],
) -> None:
    seen, now = sorted(round(place * len(journal)) for place in places)
    seen_score, score = scores
    own = {*question.SUMS_OF[seen_score], *question.SUMS_OF[score]}

    async def tell() -> None:
        async with world.begin() as (scoreboard, asked):
            await project(scoreboard, journal)
            bridge = {
                **cell,
                "score": score,
                "seen_score": seen_score,
                "seen_position": at(seen),
                "as_of_position": at(now),
            }
            answer, changes = await all_changes(asked, **bridge)
            for state, position, name in (
                (answer.seen, seen, seen_score),
                (answer.now, now, score),
            ):
                then = await asked.scores("one", **cell, **ALL, as_of_position=at(position))
                assert state.position.number == position
                if not then.scores:
                    # No facts at all: a score that is a count has a value nevertheless.
                    assert {0} == {value for name, value in numbers(state).items() if name in own}
                    continue
                known = [each.scores[name] for each in then.scores if name in each.scores]
                assert known == ([float(state.value)] if state.value else [])

        by_cause = [(part.cause, part.events) for part in answer.parts]
        assert by_cause == [
            (cause, sum(change.cause == cause for change in changes)) for cause in range(1, 7)
        ]
        for change in changes:
            arrived = change.cause in (pb.BRIDGE_CAUSE_LATE_ARRIVALS, pb.BRIDGE_CAUSE_NEW_EVENTS)
            assert arrived == (seen < change.position), change
        before, after = numbers(answer.seen), numbers(answer.now)
        added = {
            name: sum(Fraction(change.sums.get(name, "0")) for change in changes) for name in before
        }
        assert {name: before[name] + added[name] for name in before} == after
        if answer.seen.value and answer.now.value:
            parts = [Fraction(part.difference) for part in answer.parts]
            assert sum(parts) == Fraction(answer.difference)
            assert Fraction(answer.difference) == Fraction(answer.now.value) - Fraction(
                answer.seen.value
            )
        else:
            assert {answer.difference, *(part.difference for part in answer.parts)} == {""}

    asyncio.run(tell())


def cell_of(answer: pb.GetScoresResponse, names: Sequence[str]) -> Any:
    """What is told of the one cell, without scores that are set against what is not in it."""
    alone = [name for name in formulas.SCORES_SQL if not question.PARENTS_OF[name]]
    return [
        (
            {name: each.counts[name] for name in each.counts if not names or name in names},
            {name: each.sums[name] for name in each.sums if not names or name in names},
            {name: each.scores[name] for name in each.scores if name in alone and not names},
        )
        for each in answer.scores
    ]


@of_histories
@given(
    journal=histories(),
    place=st.floats(0, 1),
    cell=cells,
    names=st.sampled_from([[], [], ["csat_answered", "csat_sum"], ["nps_promoters"]]),
    without=st.integers(0, 1000),
)
def test_the_events_behind_a_cell_alone_give_the_same_cell(
    world: World,
    journal: list[RecordedEvent],
    place: float,
    cell: dict[str, Any],
    names: list[str],
    without: int,
) -> None:
    position = round(place * len(journal))

    async def told(events: Sequence[RecordedEvent]) -> Any:
        again = [RecordedEvent() for _ in events]
        for number, (copy, each) in enumerate(zip(again, events, strict=True), start=1):
            copy.CopyFrom(each)
            copy.position = number
        async with world.begin() as (scoreboard, asked):
            await project(scoreboard, again)
            return cell_of(await asked.scores("one", **cell, **ALL), names)

    async def tell() -> None:
        behind: list[pb.LineageEvent] = []
        async with world.begin() as (scoreboard, asked):
            await project(scoreboard, journal)
            then = {"as_of_position": at(position)}
            expected = cell_of(await asked.scores("one", **cell, **ALL, **then), names)
            token = ""
            while True:
                answer = await asked.lineage(
                    "one", **cell, **then, names=names, page_size=2, page_token=token
                )
                behind += answer.events
                token = answer.next_page_token
                if not token:
                    break
        positions = [each.position for each in behind]
        assert positions == sorted(set(positions))
        assert not positions or positions[-1] <= position
        counted = [each.position for each in behind if each.role == pb.LINEAGE_ROLE_COUNTED]
        assert len(counted) == answer.counted
        events = [each for each in journal if each.position in set(positions)]
        assert all(each.tenant == "one" for each in events)
        got = await told(events)
        if names:
            # What adds nothing to the named is not behind it: a cell of zeros has no events.
            assert [each[:2] for each in expected if any(each[0].values())] == [
                each[:2] for each in got if any(each[0].values())
            ]
        else:
            assert expected == got
        if counted:
            left_out = counted[without % len(counted)]
            assert expected != await told([each for each in events if each.position != left_out])

    asyncio.run(tell())
