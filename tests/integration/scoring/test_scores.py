"""GetScores: groups, filters, names and pages; test_as_of.py has what holds for any history."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.chassis.errors import Conflict, Exhausted, Malformed
from services.chassis.postgres import Pool
from services.scoring import answers, formulas, models, score_query, scores
from services.scoring.answers import Answers
from services.scoring.models import NEXT
from services.scoring.score_query import Way
from services.scoring.scoreboard import Scoreboard
from tests.support.asking import Asking, asking, at, by_the
from tests.support.events import csat, event, feedback
from tests.support.journals import JOURNAL_ID, journal_of, project, recorded
from touchledger.v1 import events_pb2 as pb
from touchledger.v1 import scoring_pb2
from touchledger.v1.journal_pb2 import GetHeadResponse, Position

# Where 2017-10-15 begins at one o'clock, and the hour before midnight of 2018-02-17 comes twice.
ZONE = "America/Sao_Paulo"


@pytest.fixture
async def scoreboard(scoring_pool: Pool) -> Scoreboard:
    made = Scoreboard(scoring_pool, reporting_zone=ZONE)
    await made.install()
    return made


@pytest.fixture
async def asked(scoring_pool: Pool) -> AsyncIterator[Asking]:
    async with asking(scoring_pool) as made:
        yield made


class Nothing:
    """Neither a database nor a journal."""


def answered(number: int, value: str, **fields: object) -> pb.Event:
    return feedback(csat(value), event_id=f"answer-{number}", **fields)


def visit(number: int, **fields: object) -> pb.Event:
    return event(event_id=f"visit-{number}", **fields)


async def test_scores_come_with_their_counts_and_intervals(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    values = [answered(number, "5" if number < 8 else "1") for number in range(10)]
    await project(scoreboard, journal_of(visit(1), *values))
    answer = await asked.scores()
    [got] = answer.scores
    assert "store.checkout" == got.group == got.keys["touchpoint"]
    assert (1, 0, 10, 10) == tuple(
        got.counts[name] for name in ("interactions", "asked", "answered", "csat_answered")
    )
    assert "42" == got.sums["csat_sum"]
    assert (4.2, 0.8, 0.2) == tuple(got.scores[name] for name in ("csat_mean", "top2", "bottom2"))
    # facts: Wilson 8/10, z = 1.959963984540054
    assert (0.490162, 0.943318) == (
        round(got.scores["top2_lo"], 6),
        round(got.scores["top2_hi"], 6),
    )
    assert (formulas.VERSION, ZONE) == (answer.formula_version, answer.reporting_zone)


async def test_an_answer_says_how_fresh_it_is(scoreboard: Scoreboard, asked: Asking) -> None:
    journal = journal_of(visit(1), visit(2))
    await project(scoreboard, journal)
    await scoreboard.heard(head=5)
    freshness = (await asked.scores()).freshness
    assert (JOURNAL_ID, 2) == (freshness.position.journal_id, freshness.position.number)
    assert (journal[1].recorded_at, 5, 3) == (freshness.recorded_at, freshness.head, freshness.lag)


@pytest.mark.parametrize(
    ("group", "wanted"),
    [
        ("TOUCHPOINT", ["store.checkout", "web.returns"]),
        ("STAGE", ["delivery", "purchase"]),
        ("CHANNEL", ["store", "web"]),
        ("SERVICE_MODE", ["assisted", "unspecified"]),
        ("STORE", ["cologne", "unspecified"]),
        ("STAFF_GROUP", ["north", "unspecified"]),
        ("GENERATION", ["millennial", "unspecified"]),
        ("SOURCE", ["shop", "till"]),
        # Half past midnight in UTC is the evening before in the reporting zone.
        ("DAY", ["2026-07-31", "2026-08-03"]),
        ("WEEK", ["2026-07-27", "2026-08-03"]),
        ("MONTH", ["2026-07-01", "2026-08-01"]),
        ("ALL", ["all"]),
    ],
)
async def test_scores_are_grouped(
    scoreboard: Scoreboard, asked: Asking, group: str, wanted: list[str]
) -> None:
    known = [
        event(
            event_id="p",
            customer="ann",
            customer_profile={"birth_year_from": 1981, "birth_year_to": 1985},
        ),
        event(
            event_id="s",
            staff="bo",
            staff_profile={"group": "north"},
            occurred_at="2026-01-01T00:00:00Z",
        ),
    ]
    body = {"stage": "STAGE_DELIVERY", "channel": "CHANNEL_WEB", "signals": [csat("2")]}
    other = event(
        event_id="other",
        touchpoint="web.returns",
        occurred_at="2026-08-01T00:30:00Z",
        feedback_received=body | {"service_mode": "SERVICE_MODE_ASSISTED"},
        place={"store": "cologne"},
        customer="ann",
        staff="bo",
    )
    journal = journal_of(*known, answered(1, "4"), other)
    for each in journal[1], journal[3]:
        each.source = "shop"
    await project(scoreboard, journal)
    assert wanted == list(await asked.by_group(group_by=f"GROUP_BY_{group}"))


async def test_several_groupings_give_each_combination_its_keys(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(
        scoreboard,
        journal_of(
            visit(1, touchpoint="b"),
            visit(2, touchpoint="a"),
            visit(3, touchpoint="a", occurred_at="2026-09-03T10:00:00Z"),
        ),
    )
    answer = await asked.scores(groups=["GROUP_BY_MONTH", "GROUP_BY_TOUCHPOINT"])
    assert [
        ("2026-08-01 | a", {"month_start": "2026-08-01", "touchpoint": "a"}),
        ("2026-08-01 | b", {"month_start": "2026-08-01", "touchpoint": "b"}),
        ("2026-09-01 | a", {"month_start": "2026-09-01", "touchpoint": "a"}),
    ] == [(each.group, dict(each.keys)) for each in answer.scores]


@pytest.mark.parametrize(
    ("glob", "wanted"),
    [
        ("", {"a.b", "a_b", "axb", "c%"}),
        ("a.*", {"a.b"}),
        ("a?b", {"a.b", "a_b", "axb"}),
        ("a_b", {"a_b"}),
        ("*", {"a.b", "a_b", "axb", "c%"}),
        ("c%", {"c%"}),
        ("b", set()),
    ],
)
async def test_globs_mean_what_they_say(
    scoreboard: Scoreboard, asked: Asking, glob: str, wanted: set[str]
) -> None:
    names = enumerate(("a.b", "a_b", "axb", "c%"))
    await project(scoreboard, journal_of(*(visit(n, touchpoint=name) for n, name in names)))
    assert wanted == set(await asked.by_group(touchpoint_glob=glob))


@pytest.mark.parametrize(
    "asked_for",
    [
        {"stage": ["purchase"]},
        {"channel": ["store"]},
        {"service_mode": ["self", "advised"]},
        {"store": ["bonn", "cologne"]},
        {"source": ["till"]},
        {"generation": ["x"]},
        {"staff_group": ["north"]},
    ],
    ids=lambda each: next(iter(each)),
)
async def test_only_what_a_filter_lets_through_counts(
    scoreboard: Scoreboard, asked: Asking, asked_for: dict[str, Any]
) -> None:
    band = {"birth_year_from": 1970, "birth_year_to": 1974}
    modes = {
        "stage": "STAGE_PURCHASE",
        "channel": "CHANNEL_STORE",
        "service_mode": "SERVICE_MODE_SELF",
    }
    journal = journal_of(
        event(event_id="p", customer="ann", customer_profile=band),
        event(event_id="s", staff="bo", staff_profile={"group": "north"}),
        visit(1, interaction=modes, place={"store": "cologne"}, customer="ann", staff="bo"),
        visit(2, touchpoint="web.returns", interaction={}),
    )
    journal[3].source = "shop"
    await project(scoreboard, journal)
    assert ["store.checkout"] == list(await asked.by_group(**asked_for))


async def test_profiles_that_come_later_sort_what_was_there_and_as_of_then_they_do_not(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    band = {"birth_year_from": 1970, "birth_year_to": 1974}
    profile = event(event_id="p", customer="ann", customer_profile=band)
    await project(scoreboard, journal_of(answered(1, "5", customer="ann"), profile))
    by = {"group_by": "GROUP_BY_GENERATION"}
    assert ["x"] == list(await asked.by_group(**by))
    assert ["unspecified"] == list(await asked.by_group(**by, as_of_position=at(1)))


EDGES = [
    # 2017-10-15 begins at 03:00 UTC, the day after it at 02:00.
    *("2017-10-15T02:59:59.999999Z", "2017-10-15T03:00:00Z", "2017-10-15T12:00:00Z"),
    *("2017-10-16T01:59:59Z", "2017-10-16T02:00:00Z", "2017-11-01T02:00:00Z"),
    # 2018-02-17 has 25 hours: the next day begins at 03:00 UTC.
    *("2018-02-17T02:00:00Z", "2018-02-18T01:30:00Z", "2018-02-18T02:30:00Z", "2018-02-18T03:00:00Z"),
]  # fmt: skip


RANGES: list[tuple[dict[str, str], int]] = [
    ({"occurred_from_date": "2017-10-15"}, 9),
    ({"occurred_before_date": "2017-10-16"}, 4),
    ({"occurred_from_date": "2017-10-15", "occurred_before_date": "2017-10-16"}, 3),
    ({"occurred_from_date": "2017-10-16", "occurred_before_date": "2018-02-18"}, 5),
    ({"occurred_from_time": "2017-10-15T03:00:00Z"}, 9),
    ({"occurred_from_time": "2017-10-15T11:59:59Z", "occurred_before_date": "2018-02-01"}, 4),
    ({"occurred_before_time": "2018-02-18T02:00:00Z"}, 8),
    ({"occurred_from_time": "2017-10-15T12:00:00Z", "occurred_before_time": "2017-10-15T12:00:01Z"}, 1),
    ({"occurred_from_time": "2017-10-15T03:00:01Z", "occurred_before_time": "2018-02-18T02:30:00Z"}, 6),
    ({"occurred_from_date": "2018-02-18", "occurred_before_date": "2017-10-15"}, 0),
    ({"occurred_from_time": "2018-02-18T02:00:00Z", "occurred_before_time": "2017-10-15T12:00:00Z"}, 0),
    ({"occurred_from_date": "0001-01-01", "occurred_before_time": "9999-12-31T23:59:59Z"}, 10),
]  # fmt: skip


async def test_a_range_of_time_counts_what_is_in_it_at_its_edges_too(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    visits = [visit(number, occurred_at=moment) for number, moment in enumerate(EDGES)]
    await project(scoreboard, journal_of(*visits))
    for unit in ("TOUCHPOINT", "DAY", "WEEK", "MONTH", "STORE"):
        for bounds, wanted in RANGES:
            got = (await asked.scores(**bounds, group_by=f"GROUP_BY_{unit}")).scores
            counted = sum(each.counts["interactions"] for each in got)
            assert wanted == counted, (unit, bounds)


# The first and last days of years and months, and days that are neither.
DAYS = [
    *("2015-12-31", "2016-01-01", "2016-02-29", "2016-03-01", "2016-12-31"),
    *("2017-06-15", "2018-01-01", "2018-01-31", "2018-02-01", "2018-02-02"),
]


async def test_a_range_of_days_counts_each_of_them_once_however_many_years_it_has(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    visits = [visit(n, occurred_at=f"{day}T12:00:00Z") for n, day in enumerate(DAYS)]
    await project(scoreboard, journal_of(*visits))
    for since in ("", *DAYS[1:]):
        for until in (*DAYS[1:], "2018-02-03"):
            bounds = {"occurred_before_date": until}
            if since:
                bounds["occurred_from_date"] = since
            got = (await asked.scores(**bounds, names=["interactions"])).scores
            counted = sum(each.counts["interactions"] for each in got)
            assert sum(since <= day < until for day in DAYS) == counted, bounds


async def test_a_page_or_a_filter_shrinks_its_scores_towards_all_that_the_tenant_has(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    answers_of_many = [
        answered(number, str(3 + number % 3), touchpoint=f"t{number % 3}") for number in range(30)
    ]
    await project(scoreboard, journal_of(*answers_of_many))
    names = ["top2_shrunken", "health"]
    whole = await asked.by_group(names=names)
    [first] = (page := await asked.scores(names=names, page_size=1)).scores
    [second] = (
        await asked.scores(names=names, page_size=1, page_token=page.next_page_token)
    ).scores
    [third] = (await asked.scores(names=names, touchpoint_glob="t2")).scores
    assert list(whole.values()) == [first, second, third]
    assert first.scores["top2_shrunken"] != second.scores["top2_shrunken"]


async def test_names_give_the_score_its_interval_and_what_they_are_made_of_and_nothing_else(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(scoreboard, journal_of(answered(1, "3"), answered(2, "4")))
    [got] = (await asked.scores(names=["csat_mean"])).scores
    # 3.5 ± 12.7062 · 0.5, within the scale.
    assert {"csat_mean": 3.5, "csat_mean_lo": 1.0, "csat_mean_hi": 5.0} == dict(got.scores)
    assert {"interactions", "asked", "suppressed", "answered", "csat_answered"} == set(got.counts)
    assert {"csat_sum", "csat_squares"} == set(got.sums)


async def test_a_touchpoint_that_nobody_was_asked_about_is_there_without_scores(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(scoreboard, journal_of(event()))
    [got] = (await asked.scores(names=["csat_mean", "nps"])).scores
    assert (0, {}) == (got.counts["asked"], dict(got.scores))


async def test_tenants_do_not_see_each_other(scoreboard: Scoreboard, asked: Asking) -> None:
    await project(scoreboard, journal_of(answered(1, "5", customer="ann"), tenant="one"))
    now = {"occurred_before_time": "2026-08-03T11:00:00Z"}
    for question in ({}, {"as_of_position": at(1)}, now, {"group_by": "GROUP_BY_GENERATION"}):
        assert [] == list((await asked.scores("two", **question)).scores)
        assert 1 == len((await asked.scores("one", **question)).scores)
    assert 0 == (await asked.lineage("two")).counted
    assert 1 == (await asked.lineage("one")).counted
    assert [] == list((await asked.journey("two", customer="ann")).facts)
    assert [] == list((await asked.series("two")).scores)
    bridge = {"score": "csat_mean", "seen_position": at(0)}
    assert [] == list((await asked.bridge("two", **bridge)).changes)
    assert 1 == len((await asked.bridge("one", **bridge)).changes)


async def test_pages_are_of_the_state_of_the_first_one(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    journal = journal_of(*(visit(number, touchpoint=f"t{number}") for number in range(5)))
    await project(scoreboard, journal)
    first = await asked.scores(page_size=2)
    late = recorded(visit(9, touchpoint="t0"), 6), recorded(visit(10, touchpoint="t3"), 7)
    await project(scoreboard, late)
    second = await asked.scores(page_size=2, page_token=first.next_page_token)
    third = await asked.scores(page_size=2, page_token=second.next_page_token)
    told = [each for page in (first, second, third) for each in page.scores]
    assert [(f"t{number}", 1) for number in range(5)] == [
        (each.group, each.counts["interactions"]) for each in told
    ]
    assert (5, 5, 5) == tuple(page.as_of_position.number for page in (first, second, third))
    assert "" == third.next_page_token


async def test_more_groups_than_an_answer_holds_are_refused_without_pages(
    scoreboard: Scoreboard, asked: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await project(scoreboard, journal_of(*(visit(n, touchpoint=f"t{n}") for n in range(3))))
    monkeypatch.setattr(scores, "GROUPS_MAX", 2)
    with pytest.raises(Malformed, match="touchpoint_glob: got more groups"):
        await asked.scores()
    assert 2 == len((await asked.scores(page_size=100)).scores)


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"group_by": 77}, "group_by"),
        ({"groups": ["GROUP_BY_ALL", "GROUP_BY_STAGE"]}, "groups"),
        ({"groups": ["GROUP_BY_STAGE", "GROUP_BY_STAGE"]}, "groups"),
        ({"groups": [1, 2, 3, 5, 6, 7, 8]}, "groups"),
        ({"group_by": 1, "groups": [2]}, "groups"),
        ({"touchpoint_glob": "x" * 129}, "touchpoint_glob"),
        ({"touchpoint_glob": "\0"}, "touchpoint_glob"),
        ({"store": ["\0"]}, "store"),
        ({"store": ["x"] * 101}, "store"),
        ({"store": ["x" * 129]}, "store"),
        ({"names": ["csat_moan"]}, "names"),
        ({"occurred_from_date": "2026-02-30"}, "occurred_from_date"),
        ({"occurred_before_date": "yesterday"}, "occurred_before_date"),
        ({"as_of_date": "2026-8-1"}, "as_of_date"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": "e30="}, "page_token"),
    ],
)
async def test_what_can_not_be_asked_is_refused_by_its_field_before_anything_is_read(
    question: dict[str, Any], field: str
) -> None:
    asked = Asking(Answers(Nothing(), Nothing()))  # type: ignore[arg-type]  # that is the point
    with pytest.raises(Malformed) as refused:
        await asked.scores(**question)
    assert field == refused.value.problem.field


async def test_a_page_token_that_nobody_gave_is_refused(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    days = ("2026-08-03T10:00:00Z", "2026-08-05T10:00:00Z")
    await project(scoreboard, journal_of(*(event(event_id=d, occurred_at=d) for d in days)))
    by_day: dict[str, Any] = {"group_by": "GROUP_BY_DAY", "page_size": 1}
    token = (await asked.scores(**by_day)).next_page_token
    told = json.loads(base64.urlsafe_b64decode(token))
    assert ["2026-08-05"] == list(await asked.by_group(**by_day, page_token=token))
    wrongs: list[dict[str, Any]] = [
        *({"after": ["x"]}, {"after": [1]}, {"after": []}),
        *({"position": -1}, {"position": "1"}),
    ]
    for wrong in wrongs:
        forged = base64.urlsafe_b64encode(json.dumps(told | wrong).encode()).decode()
        with pytest.raises(Malformed, match="page_token"):
            await asked.scores(**by_day, page_token=forged)
    ahead = base64.urlsafe_b64encode(json.dumps(told | {"position": 3}).encode()).decode()
    with pytest.raises(Conflict):
        await asked.scores(**by_day, page_token=ahead)


async def test_a_page_token_is_of_one_question(scoreboard: Scoreboard, asked: Asking) -> None:
    await project(scoreboard, journal_of(*(visit(n, touchpoint=f"t{n}") for n in range(3))))
    token = (await asked.scores(page_size=1)).next_page_token
    with pytest.raises(Malformed, match="page_token"):
        await asked.scores(page_size=1, page_token=token, stage=["purchase"])


async def test_a_publisher_reads_its_own_writes(
    scoreboard: Scoreboard, asked: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_at(asked, 2, monkeypatch)
    await project(scoreboard, journal_of(visit(1)))
    looked, look = asyncio.Event(), asked.answers.look

    async def noted() -> Any:
        looked.set()
        return await look()

    monkeypatch.setattr(asked.answers, "look", noted)
    question = asyncio.create_task(asked.scores(at_least_position=at(2)))
    async with asyncio.timeout(10):
        await looked.wait()
        await project(scoreboard, [recorded(visit(2), 2)])
        answer = await question
    assert (2, 2) == (answer.as_of_position.number, answer.scores[0].counts["interactions"])


async def test_a_position_that_does_not_come_is_not_waited_for_without_end(
    scoreboard: Scoreboard, asked: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_at(asked, 2, monkeypatch)
    await project(scoreboard, journal_of(visit(1)))
    monkeypatch.setattr(answers, "CATCH_UP_SECONDS_MAX", 0.1)
    with pytest.raises(Exhausted, match="the projection at position 2"):
        await asked.scores(at_least_position=at(2))
    with pytest.raises(Conflict, match="got 3, want at most 2, the end of the journal"):
        await asked.scores(at_least_position=at(3))
    with pytest.raises(Conflict, match=r"at_least_position\.journal_id"):
        await asked.scores(at_least_position=at(1) | {"journal_id": "another"})


def ends_at(asked: Asking, position: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the journal ends, which no server tells here."""

    async def head() -> GetHeadResponse:
        return GetHeadResponse(head=Position(journal_id=JOURNAL_ID, number=position))

    monkeypatch.setattr(asked.answers._source, "head", head)


async def test_two_versions_of_a_formula_stand_side_by_side(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    on_seven = feedback(csat("7", scale_max="7"), event_id="of 7")
    await project(scoreboard, journal_of(answered(1, "3"), on_seven))
    [got] = (await asked.scores(names=["csat_mean", "csat_mean_v2"])).scores
    # The first leaves other scales out; the second has each as a share of its own, 0 to 100.
    assert (3.0, 75.0) == (got.scores["csat_mean"], got.scores["csat_mean_v2"])
    assert isinstance(got, scoring_pb2.Score)


async def test_answers_of_late_weigh_more_where_it_is_asked_for(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    days = {"5": "2026-08-03", "1": "2026-07-04", "3": "2026-06-04"}
    answers_of = [
        answered(int(value), value, occurred_at=f"{day}T15:00:00Z") for value, day in days.items()
    ]
    others = [
        answered(9, "5", occurred_at="2026-08-04T15:00:00Z"),
        answered(8, "2", touchpoint="web.returns", occurred_at="2025-08-04T15:00:00Z"),
        visit(1, touchpoint="silent"),
    ]
    await project(scoreboard, journal_of(*answers_of, *others))
    question: dict[str, Any] = {"decayed_on_date": "2026-08-03", "names": ["nps"]}
    answer = await asked.scores(**question)
    silent, checkout, returns = answer.scores
    # facts: scores 5, 1, 3 at 0, 30, 60 days, half-life 30 days.
    assert (3.571429, 2.333333) == (
        round(checkout.scores["csat_decayed"], 6),
        round(checkout.scores["csat_decayed_n_eff"], 6),
    )
    assert checkout.scores["csat_decayed_lo"] < 3.57 < checkout.scores["csat_decayed_hi"]
    assert ({"csat_decayed": 2.0, "csat_decayed_n_eff": 1.0}, {}) == (
        dict(returns.scores),
        dict(silent.scores),
    )
    assert answer.formula_version.endswith(" csat_decayed/1")
    together = {**question, "groups": ["GROUP_BY_STAGE", "GROUP_BY_TOUCHPOINT"]}
    assert [dict(each.scores) for each in answer.scores] == [
        dict(each.scores) for each in (await asked.scores(**together)).scores
    ]
    with by_the(Way.SCAN):
        assert list(answer.scores) == list((await asked.scores(**question)).scores)
    [everything] = (await asked.scores(**question, group_by="GROUP_BY_ALL")).scores
    assert everything.scores["csat_decayed"] < checkout.scores["csat_decayed"]
    with pytest.raises(Malformed, match="decayed_on_date"):
        await asked.scores(decayed_on_date="2026-08-03", group_by="GROUP_BY_DAY")


async def test_a_question_that_takes_too_long_is_ended_and_harms_no_other(
    scoreboard: Scoreboard, asked: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await project(scoreboard, journal_of(visit(1)))
    with monkeypatch.context() as patch:
        patch.setattr(answers, "QUESTION_SECONDS_MAX", 0.2)
        patch.setattr(score_query, "scores", lambda *_, **__: ("SELECT pg_sleep(60)", []))
        with pytest.raises(Exhausted) as refused:
            await asked.scores()
    assert "QUESTION_TOO_LONG" == refused.value.problem.code
    assert 1 == len((await asked.scores()).scores)


async def test_a_question_that_gets_no_connection_is_told_to_come_back(
    scoreboard: Scoreboard, scoring_pool: Pool, asked: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "QUESTION_SECONDS_MAX", 0.1)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(scoring_pool.get_max_size()):
            await stack.enter_async_context(scoring_pool.acquire())
        with pytest.raises(Exhausted, match="fewer questions at once"):
            await asked.scores()


async def test_another_version_of_the_read_models_answers_as_soon_as_it_takes_over(
    scoreboard: Scoreboard, scoring_pool: Pool, asked: Asking
) -> None:
    journal = journal_of(visit(1), visit(2))
    await project(scoreboard, journal[:1])
    for _ in range(scoring_pool.get_max_size()):
        assert 1 == (await asked.by_group())["store.checkout"].counts["interactions"]
    async with scoring_pool.acquire() as other:
        await other.execute(f"SET search_path = {NEXT.search_path}")
        async with other.transaction():
            await models.create(other, NEXT)
            await formulas.install(other)
            await other.execute("UPDATE freshness SET journal_id = $1, position = 1", JOURNAL_ID)
        async with other.transaction():
            await models.switch(other)
    await project(scoreboard, journal[1:])
    told = await asked.scores()
    assert (2, 1) == (told.as_of_position.number, told.scores[0].counts["interactions"])
