"""Scores of facts made of several facts are asked for like others: grouped, filtered, as of any moment."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.errors import Malformed
from services.chassis.postgres import Pool
from services.scoring import formulas
from services.scoring.score_query import Way
from services.scoring.scoreboard import Scoreboard
from services.scoring.watch import Watches
from tests.conftest import SEARCH_PATH
from tests.support.asking import Asking, asking, at, by_the
from tests.support.events import csat, event, feedback
from tests.support.histories import TENANTS, histories
from tests.support.journals import journal_of, project, recorded
from touchledger.v1 import events_pb2 as pb
from touchledger.v1 import scoring_pb2
from touchledger.v1.journal_pb2 import RecordedEvent

# A history takes a second; `make stories` tells more of them.
HISTORIES = int(os.environ.get("TOUCHLEDGER_TEST_STORIES", "6"))
SHARES = ["expectation_met_share", "fcr_no_repeat", "fcr_resolution", "promise_kept_share"]
BAND = {"birth_year_from": 1970, "birth_year_to": 1974}


@pytest.fixture
async def scoreboard(scoring_pool: Pool) -> Scoreboard:
    made = Scoreboard(scoring_pool, reporting_zone="America/Sao_Paulo")
    await made.install()
    return made


@pytest.fixture
async def asked(scoring_pool: Pool) -> AsyncIterator[Asking]:
    async with asking(scoring_pool) as made:
        yield made


def on(day: int, hour: int = 12) -> str:
    return f"2026-03-{day:02}T{hour:02}:00:00Z"


def expected(number: int, value: str, **fields: object) -> pb.Event:
    body = {"basis": "EXPECTATION_BASIS_SURVEY", "signal": csat(value)}
    return event(event_id=f"expected {number}", expectation=body, **fields)


def promised(number: int, due_at: str, **fields: object) -> pb.Event:
    body = {"basis": "EXPECTATION_BASIS_PROMISE", "due_at": due_at}
    return event(event_id=f"promised {number}", expectation=body, **fields)


def answered(number: int, value: str, **fields: object) -> pb.Event:
    return feedback(csat(value), event_id=f"answer {number}", **fields)


def helped(number: int, **fields: object) -> pb.Event:
    body = {"stage": "STAGE_SERVICE", "channel": "CHANNEL_PHONE", "outcome": "OUTCOME_RESOLVED"}
    return event(event_id=f"helped {number}", interaction=body, **fields)


def story() -> list[pb.Event]:
    """Of ann: an expectation met, a promise kept. Of ben: one unmet, one broken, a contact that came back."""
    checkout: dict[str, Any] = {"touchpoint": "store.checkout", "place": {"store": "cologne"}}
    return [
        event(event_id="p", customer="ann", customer_profile=BAND, occurred_at=on(1)),
        expected(1, "4", customer="ann", occurred_at=on(1), **checkout),
        expected(2, "4", customer="ben", occurred_at=on(1), **checkout),
        answered(1, "4", customer="ann", occurred_at=on(3), **checkout),
        answered(2, "2", customer="ben", occurred_at=on(3), **checkout),
        promised(1, on(5), customer="ann", occurred_at=on(2), touchpoint="web.delivery"),
        promised(2, on(5), customer="ben", occurred_at=on(2), touchpoint="web.delivery"),
        event(event_id="d1", customer="ann", occurred_at=on(4), touchpoint="web.delivery"),
        event(event_id="d2", customer="ben", occurred_at=on(6), touchpoint="web.delivery"),
        helped(1, customer="ann", occurred_at=on(7), touchpoint="call.billing"),
        helped(2, customer="ben", occurred_at=on(7), touchpoint="call.billing"),
        helped(3, customer="ben", occurred_at=on(8), touchpoint="call.billing"),
        event(event_id="later", occurred_at=on(30), touchpoint="web.home"),
    ]


def shares(score: scoring_pb2.Score) -> dict[str, float]:
    return {name: score.scores[name] for name in SHARES if name in score.scores}


async def test_pairs_of_facts_have_scores_by_touchpoint_with_counts_interval_and_version(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(scoreboard, journal_of(*story()))
    answer = await asked.scores(names=SHARES)
    by_group = {each.group: each for each in answer.scores}
    assert {
        "call.billing": {"fcr_no_repeat": 0.5, "fcr_resolution": 0.5},
        "store.checkout": {"expectation_met_share": 0.5},
        "web.delivery": {"promise_kept_share": 0.5},
    } == {group: shares(score) for group, score in by_group.items() if shares(score)}
    told = by_group["store.checkout"]
    assert (2, 1) == (told.counts["expectations_compared"], told.counts["expectations_met"])
    # Wilson 1 of 2, z = 1.959963984540054: mirror images that sum to 1.
    low, high = (told.scores[f"expectation_met_share_{end}"] for end in ("lo", "hi"))
    assert (0.094531, 0.905469) == (round(low, 6), round(high, 6))
    assert (
        f"{formulas.VERSION} disconfirmation/1 first_contact/1 promise/1" == answer.formula_version
    )
    # Beside them, what is asked and answered, as of any other score.
    assert (2, 0) == (told.counts["answered"], told.counts["asked"])


async def test_who_does_not_ask_for_them_gets_none(scoreboard: Scoreboard, asked: Asking) -> None:
    await project(scoreboard, journal_of(*story()))
    answer = await asked.scores()
    assert formulas.VERSION == answer.formula_version
    assert set() == {name for each in answer.scores for name in SHARES if name in each.scores}


@pytest.mark.parametrize(
    ("group", "wanted"),
    [
        ("ALL", {"all": 0.5}),
        ("STAGE", {"purchase": 0.5}),
        ("CHANNEL", {"store": 0.5}),
        ("SERVICE_MODE", {"unspecified": 0.5}),
        ("STORE", {"cologne": 0.5}),
        ("SOURCE", {"till": 0.5}),
        ("GENERATION", {"x": 1.0, "unspecified": 0.0}),
        ("STAFF_GROUP", {"unspecified": 0.5}),
        ("DAY", {"2026-03-03": 0.5}),
        ("WEEK", {"2026-03-02": 0.5}),
        ("MONTH", {"2026-03-01": 0.5}),
    ],
)
async def test_they_are_grouped_by_all_that_scores_are_grouped_by(
    scoreboard: Scoreboard, asked: Asking, group: str, wanted: dict[str, float]
) -> None:
    await project(scoreboard, journal_of(*story()))
    name = "expectation_met_share"
    whole = (await asked.by_group(groups=["GROUP_BY_ALL"], names=SHARES))["all"].counts
    for way in Way:
        with by_the(way):
            got = await asked.by_group(groups=[f"GROUP_BY_{group}"], names=SHARES)
        told = {key: each.scores[name] for key, each in got.items() if name in each.scores}
        assert wanted == told, way
        # Each is in one group, and none is left out.
        assert dict(whole) == {n: sum(each.counts[n] for each in got.values()) for n in whole}


@pytest.mark.parametrize(
    ("asked_for", "wanted"),
    [
        ({"touchpoint_glob": "store.*"}, {"expectation_met_share": 0.5}),
        ({"stage": ["service"]}, {"fcr_no_repeat": 0.5, "fcr_resolution": 0.5}),
        ({"generation": ["x"]}, dict.fromkeys(SHARES, 1.0)),
        ({"store": ["cologne"]}, {"expectation_met_share": 0.5}),
        ({"source": ["nobody's"]}, {}),
        ({"staff_group": ["north"]}, {}),
        # Of a range of days those that begin in it; contacts of the 7th are settled seven days later.
        ({"occurred_from_date": "2026-03-04"}, {"fcr_no_repeat": 0.5, "fcr_resolution": 0.5}),
        (
            {"occurred_from_date": "2026-03-04", "occurred_before_date": "2026-03-14"},
            {},
        ),
        (
            {"occurred_from_date": "2026-03-04", "occurred_before_time": "2026-03-14T13:00:00Z"},
            {"fcr_no_repeat": 0.5, "fcr_resolution": 0.5},
        ),
    ],
    ids=str,
)
async def test_filters_say_which_of_them_count(
    scoreboard: Scoreboard, asked: Asking, asked_for: dict[str, Any], wanted: dict[str, float]
) -> None:
    await project(scoreboard, journal_of(*story()))
    got = await asked.scores(groups=["GROUP_BY_ALL"], names=SHARES, **asked_for)
    assert ([wanted] if wanted else []) == [each for each in map(shares, got.scores) if each]


async def test_as_of_both_clocks_they_are_what_was_known_then_and_as_it_was_shown(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    question: dict[str, Any] = {"names": SHARES, "groups": ["GROUP_BY_TOUCHPOINT"]}
    told = []
    amended = [
        answered(3, "4", customer="ann", occurred_at=on(3)),
        event(event_id="late", customer="ann", occurred_at=on(2), interaction={}),
        event(
            event_id="right",
            amends={"event_id": "answer 2"},
            customer="ben",
            occurred_at=on(3),
            correction={"feedback_received": {"signals": [csat("5")]}},
        ),
        event(event_id="none", amends={"event_id": "d1"}, retraction={}),
        event(event_id="p2", customer="ben", customer_profile=BAND, occurred_at=on(1)),
    ]
    journal = journal_of(*story(), *amended)
    for each in journal:
        await project(scoreboard, [each])
        told.append([shares(score) for score in (await asked.scores(**question)).scores])
    assert len({str(each) for each in told}) > 5
    for position, shown in enumerate(told, start=1):
        for way in (None, Way.TAIL, Way.SCAN):
            with by_the(way):
                got = await asked.scores(**question, as_of_position=at(position))
            assert shown == [shares(score) for score in got.scores], (position, way)


def said(number: int, customer: str, same_as: str, day: int, relation: str = "SAME") -> pb.Event:
    body = {"same_as": same_as, "relation": f"IDENTITY_RELATION_{relation}"}
    told = {"customer": customer, "occurred_at": on(day), "event_id": f"said {number}"}
    return event(identity=body, **told)


def of_three() -> list[pb.Event]:
    """A web visitor expects and is promised, the caller calls twice, and the holder of a card has it all."""
    checkout: dict[str, Any] = {"touchpoint": "store.checkout"}
    return [
        expected(1, "4", customer="visitor", occurred_at=on(1), **checkout),
        promised(1, on(5), customer="visitor", occurred_at=on(2), touchpoint="web.delivery"),
        answered(1, "5", customer="card", occurred_at=on(3), **checkout),
        event(event_id="d", customer="card", occurred_at=on(4), touchpoint="web.delivery"),
        helped(1, customer="caller", occurred_at=on(7), touchpoint="call.billing"),
        helped(2, customer="card", occurred_at=on(8), touchpoint="call.billing"),
        event(event_id="later", occurred_at=on(30), touchpoint="web.home"),
    ]


async def test_references_of_one_person_are_one_in_them_until_they_are_parted(
    scoreboard: Scoreboard, asked: Asking, scoring_pool: Pool
) -> None:
    journal = journal_of(
        *of_three(),
        said(1, "visitor", "caller", 20),
        said(2, "caller", "card", 21),
        said(3, "card", "caller", 22, "DIFFERENT"),
        event(event_id="no", amends={"event_id": "said 3"}, retraction={}),
    )
    names = ["expectation_met_share", "promise_kept_share", "fcr_no_repeat"]

    async def told(**fields: Any) -> tuple[int, ...]:
        answer = await asked.by_group(groups=["GROUP_BY_ALL"], names=names, **fields)
        counts = answer["all"].counts
        sums = ("expectations_met", "promises_kept", "episodes", "episodes_unrepeated")
        return tuple(counts[name] for name in sums)

    async def told_by_views() -> tuple[int, ...]:
        shown = (
            ("disconfirmation", "expectations_met"),
            ("promise", "promises_kept"),
            ("first_contact", "episodes"),
            ("first_contact", "episodes_unrepeated"),
        )
        return tuple(
            [
                int(
                    await scoring_pool.fetchval(f"SELECT sum({name}) FROM {view}_by_touchpoint")
                    or 0
                )
                for view, name in shown
            ]
        )

    apart, together = (0, 0, 2, 2), (1, 1, 1, 0)
    wanted = {7: apart, 8: apart, 9: together, 10: apart, 11: together}
    for each in journal:
        await project(scoreboard, [each])
        if each.position in wanted:
            assert wanted[each.position] == await told() == await told_by_views(), each.position
    assert wanted == {position: await told(as_of_position=at(position)) for position in wanted}
    # Of what had happened by then: the second word had not been said.
    assert apart == await told(occurred_before_time=on(21))
    assert together == await told(occurred_before_time=on(21, 13))


@settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize="TOUCHLEDGER_TEST_STORIES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(journal=histories(), size=st.integers(6, 14))
def test_what_was_shown_of_persons_is_shown_again_as_of_then(
    new_database: Callable[[str], str], journal: list[RecordedEvent], size: int
) -> None:
    url = new_database("scoring")

    async def tell() -> None:
        async with (
            asyncpg.create_pool(url, min_size=1, max_size=2, server_settings=SEARCH_PATH) as pool,
            asking(pool) as asked,
        ):
            scoreboard = Scoreboard(pool)
            shown = []
            for start in range(0, len(journal), size):
                page = journal[start : start + size]
                await project(scoreboard, page, head=len(journal))
                for tenant, customer in itertools.product(TENANTS, ("ann", "ben", "card")):
                    journey = await asked.journey(tenant, customer=customer)
                    scores = await asked.scores(tenant, names=["fcr_no_repeat"])
                    shown.append((tenant, customer, page[-1].position, journey, scores))
            for tenant, customer, position, journey, scores in shown:
                then = {"as_of_position": at(position)}
                again = await asked.journey(tenant, customer=customer, **then)
                assert list(journey.facts) == list(again.facts)
                assert list(journey.stages) == list(again.stages)
                told = await asked.scores(tenant, names=["fcr_no_repeat"], **then)
                assert list(scores.scores) == list(told.scores)

    asyncio.run(tell())


async def test_a_series_of_them_has_the_periods_of_promises_too(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    promises = [promised(n, on(n), customer="ann", occurred_at=on(n)) for n in (5, 9)]
    await project(scoreboard, journal_of(*promises, event(event_id="now", occurred_at=on(7))))
    answer = await asked.series(period="PERIOD_DAY", names=["promise_kept_share"])
    assert [(f"2026-03-{day:02}", int(day == 5), int(day == 9)) for day in range(5, 10)] == [
        (each.group, each.counts["promises"], each.counts["promises_pending"])
        for each in answer.scores
    ]
    assert answer.formula_version.endswith(" promise/1")


async def test_pages_of_them_are_of_one_state(scoreboard: Scoreboard, asked: Asking) -> None:
    journal = journal_of(*story())
    await project(scoreboard, journal)
    whole = await asked.scores(names=SHARES)
    told: list[scoring_pb2.Score] = []
    token = ""
    while not told or token:
        page = await asked.scores(names=SHARES, page_size=1, page_token=token)
        told += page.scores
        token = page.next_page_token
        late = event(event_id=f"late {len(told)}", customer="ann", occurred_at=on(7))
        await project(scoreboard, [recorded(late, len(journal) + len(told))])
    assert list(whole.scores) == told


async def test_views_of_schema_bi_say_the_same(
    scoreboard: Scoreboard, asked: Asking, scoring_pool: Pool
) -> None:
    await project(scoreboard, journal_of(*story()))
    by_group = await asked.by_group(names=SHARES)
    names = {
        "disconfirmation": ["expectation_met_share"],
        "first_contact": ["fcr_no_repeat", "fcr_resolution"],
        "promise": ["promise_kept_share"],
    }
    for view, of_view in names.items():
        rows = await scoring_pool.fetch(f"SELECT * FROM {view}_by_touchpoint")
        assert rows
        for row in rows:
            score = by_group[row["touchpoint"]]
            for name in (f"{each}{end}" for each in of_view for end in ("", "_lo", "_hi")):
                assert score.scores[name] == row[name]
            assert f"{view}/1" == row["formula_version"]
    [row] = await scoring_pool.fetch("SELECT * FROM promise WHERE customer = 'ben'")
    assert row["due_at"] < row["fulfilled_at"] < row["horizon"]


async def test_what_tells_of_single_facts_refuses_them_by_their_field(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    with pytest.raises(Malformed, match="names: got promise_kept_share, want a name of single"):
        await asked.lineage(names=["promise_kept_share"])
    with pytest.raises(Malformed, match="names: got promises, want a name of single facts"):
        await asked.lineage(names=["promises"])
    with pytest.raises(Malformed, match="score: got fcr_no_repeat, want a name of single facts"):
        await asked.bridge(score="fcr_no_repeat", seen_position=at(0))
    watched = scoring_pb2.WatchScoresRequest(question={"names": ["promises"]})
    with pytest.raises(Malformed, match=r"question\.names: got promises"):
        await Watches(asked.answers, asyncio.Event()).watch("default", watched, None)
