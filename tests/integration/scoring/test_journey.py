"""GetJourney tells all about a person in order; GetLineage and GetSeries what test_as_of.py leaves out."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.chassis.errors import Malformed
from services.chassis.postgres import Pool
from services.scoring.scoreboard import Scoreboard
from tests.support.asking import Asking, asking, at
from tests.support.events import csat, event, feedback, nps, of_every_body
from tests.support.journals import journal_of, project
from touchledger.v1 import events_pb2 as events
from touchledger.v1 import scoring_pb2 as pb

STAGES = [
    *("awareness", "consideration", "selection", "purchase"),
    *("delivery", "use", "service", "loyalty"),
]


@pytest.fixture
async def scoreboard(scoring_pool: Pool) -> Scoreboard:
    made = Scoreboard(scoring_pool)
    await made.install()
    return made


@pytest.fixture
async def asked(scoring_pool: Pool) -> AsyncIterator[Asking]:
    async with asking(scoring_pool) as made:
        yield made


def met(hour: int, stage: str, **fields: object) -> events.Event:
    body = {"stage": f"STAGE_{stage}"} | fields.pop("body", {})  # type: ignore[operator]  # it is a dict
    told = {"customer": "ann", "event_id": f"{hour} {stage}"} | fields
    return event(occurred_at=f"2026-08-03T{hour:02}:00:00Z", interaction=body, **told)


async def phases(asked: Asking, **fields: str) -> list[tuple[str, str]]:
    answer = await asked.journey(customer="ann", **fields)
    return [(each.event_id, each.phase) for each in answer.facts]


async def test_the_order_of_events_says_what_was_before_and_after_the_purchase(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    # Recorded in another order than it occurred.
    await project(
        scoreboard,
        journal_of(
            met(14, "AWARENESS"),
            met(12, "PURCHASE"),
            met(13, "DELIVERY"),
            met(13, "PURCHASE"),
            met(9, "PURCHASE", body={"outcome": "OUTCOME_ABANDONED"}),
            met(8, "AWARENESS"),
            met(10, "SERVICE", customer="ben"),
        ),
    )
    # Without a correlation id there is one first purchase, and everything later is after it.
    assert [
        ("8 AWARENESS", "before"),
        ("9 PURCHASE", "before"),
        ("12 PURCHASE", "during"),
        ("13 DELIVERY", "after"),
        ("13 PURCHASE", "during"),
        ("14 AWARENESS", "after"),
    ] == await phases(asked)


async def test_each_journey_has_its_own_purchase(scoreboard: Scoreboard, asked: Asking) -> None:
    one, two = {"correlation_id": "one"}, {"correlation_id": "two"}
    await project(
        scoreboard,
        journal_of(
            met(8, "SELECTION", **one),
            met(9, "PURCHASE", **one),
            met(10, "SELECTION", **one),
            met(11, "PURCHASE", **one),
            met(12, "SELECTION", **two),
            met(13, "PURCHASE", **two),
            met(14, "SERVICE", **one),
            met(15, "USE", correlation_id="three"),
        ),
    )
    assert [
        ("8 SELECTION", "before"),
        ("9 PURCHASE", "during"),
        ("10 SELECTION", "during"),
        ("11 PURCHASE", "during"),
        ("12 SELECTION", "before"),
        ("13 PURCHASE", "during"),
        ("14 SERVICE", "after"),
        ("15 USE", "after"),
    ] == await phases(asked)
    assert [("12 SELECTION", "before"), ("13 PURCHASE", "during")] == await phases(asked, **two)


async def test_a_stage_that_nothing_is_known_of_is_there_empty(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    unstaged = met(15, "UNSPECIFIED")
    await project(scoreboard, journal_of(met(12, "PURCHASE"), met(14, "PURCHASE"), unstaged))
    stages = (await asked.journey(customer="ann", page_size=1)).stages
    assert [*STAGES, "unspecified"] == [each.stage for each in stages]
    assert [0, 0, 0, 2, 0, 0, 0, 0, 1] == [each.facts for each in stages]
    purchase = stages[3]
    assert (12, 14) == tuple(
        each.ToDatetime().hour for each in (purchase.first_occurred_at, purchase.last_occurred_at)
    )
    assert not stages[0].HasField("first_occurred_at")


async def test_nobody_s_journey_has_empty_stages_and_no_facts(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(scoreboard, journal_of(met(12, "PURCHASE")))
    answer = await asked.journey(customer="nobody")
    assert ([], STAGES) == (list(answer.facts), [each.stage for each in answer.stages])


async def test_facts_of_every_kind_are_told_with_their_details(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    told = [
        (name, each)
        for name, each in of_every_body().items()
        if name not in ("correction", "retraction")
    ]
    for name, each in told:
        each.event_id = name
    await project(scoreboard, journal_of(*(each for _, each in told)))
    facts = (await asked.journey(customer="customer 17")).facts
    assert {name for name, _ in told} == {each.event_id for each in facts}
    [interaction] = [each for each in facts if each.event_id == "interaction"]
    assert ("fact_interaction", "till", "store.checkout", "purchase", "store", "advised") == (
        *(interaction.table, interaction.source, interaction.touchpoint),
        *(interaction.stage, interaction.channel, interaction.service_mode),
    )
    assert ("129.900000", "EUR", "3") == tuple(
        interaction.details[name] for name in ("amount", "currency", "options_presented")
    )
    assert ["4.000000", "3.000000", "-0.500000"] == [
        each.details["value"] for each in facts if each.event_id == "feedback_received"
    ]
    [promised] = [each for each in facts if each.event_id == "expectation"]
    assert "2026-08-05T18:00:00+00:00" == promised.details["due_at"]


async def test_a_journey_is_paged_and_as_known_then(scoreboard: Scoreboard, asked: Asking) -> None:
    wrong = feedback(csat("1"), nps("3"), event_id="wrong", customer="ann")
    amends = {"event_id": "wrong"}
    right = {"feedback_received": {"signals": [csat("5")]}}
    corrected = event(event_id="right", customer="ann", amends=amends, correction=right)
    await project(scoreboard, journal_of(met(8, "USE"), wrong, corrected))
    before, now = (
        await asked.journey(customer="ann", as_of_position=at(2)),
        await asked.journey(customer="ann"),
    )
    assert ["1.000000", "3.000000"] == [each.details["value"] for each in before.facts[1:]]
    [fact] = now.facts[1:]
    assert ("wrong", 2, 3, "5.000000") == (
        *(fact.event_id, fact.position, fact.from_position),
        fact.details["value"],
    )
    first = await asked.journey(customer="ann", as_of_position=at(2), page_size=2)
    rest = await asked.journey(
        customer="ann", as_of_position=at(2), page_size=2, page_token=first.next_page_token
    )
    assert list(before.facts) == [*first.facts, *rest.facts]
    assert "" == rest.next_page_token


def said(hour: int, customer: str, same_as: str, relation: str = "SAME") -> events.Event:
    body = {"same_as": same_as, "relation": f"IDENTITY_RELATION_{relation}"}
    told = {"customer": customer, "event_id": f"{hour} {customer} {relation}", "touchpoint": ""}
    return event(occurred_at=f"2026-08-03T{hour:02}:00:00Z", identity=body, **told)


async def interactions(asked: Asking, customer: str, **fields: Any) -> list[str]:
    answer = await asked.journey(customer=customer, **fields)
    return [each.event_id for each in answer.facts if each.table == "fact_interaction"]


async def test_one_reference_tells_the_journey_of_the_person_and_parting_one_link_parts_those_behind_it(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(
        scoreboard,
        journal_of(
            met(8, "SELECTION", customer="visitor"),
            met(12, "SERVICE", customer="caller"),
            met(10, "PURCHASE", customer="card"),
            met(9, "USE", customer="somebody"),
            said(13, "caller", "card"),
            said(14, "visitor", "card"),
            said(15, "card", "caller", "DIFFERENT"),
        ),
    )
    whole = ["8 SELECTION", "10 PURCHASE", "12 SERVICE"]
    alone = {"visitor": whole[:1], "card": whole[1:2], "caller": whole[2:]}
    for customer, own in alone.items():
        assert own == await interactions(asked, customer, as_of_position=at(4))
        assert whole == await interactions(asked, customer, as_of_position=at(6))
    # As of a moment before it was known, it was not.
    assert whole[1:] == await interactions(
        asked, "caller", as_of_position=at(6), occurred_before_time="2026-08-03T14:00:00Z"
    )
    for customer, now in {"visitor": whole[:2], "card": whole[:2], "caller": whole[2:]}.items():
        assert now == await interactions(asked, customer)
    assert ["9 USE"] == await interactions(asked, "somebody")
    assert [] == await interactions(asked, "nobody")
    assert 0 == len((await asked.journey("other", customer="card")).facts)


async def test_the_purchase_of_one_reference_is_what_another_reference_comes_after(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(
        scoreboard,
        journal_of(
            met(8, "SELECTION", customer="visitor"),
            met(10, "PURCHASE", customer="card"),
            met(12, "SELECTION", customer="visitor"),
            said(7, "visitor", "card"),
        ),
    )
    answer = await asked.journey(customer="visitor")
    assert ["before", "before", "during", "after"] == [each.phase for each in answer.facts]
    facts = {each.stage: each.facts for each in answer.stages}
    assert (2, 1) == (facts["selection"], facts["purchase"])
    apart = await asked.journey(customer="visitor", as_of_position=at(3))
    assert ["before", "before"] == [each.phase for each in apart.facts]


async def test_the_last_word_about_two_references_counts_unless_it_is_retracted(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    await project(
        scoreboard,
        journal_of(
            met(8, "USE", customer="card"),
            met(9, "USE", customer="caller"),
            # The last by occurrence, and recorded first.
            said(15, "card", "caller", "DIFFERENT"),
            said(13, "caller", "card"),
            event(event_id="no", amends={"event_id": "15 card DIFFERENT"}, retraction={}),
            event(event_id="nor", amends={"event_id": "13 caller SAME"}, retraction={}),
        ),
    )
    both = ["8 USE", "9 USE"]
    assert [both[:1], both[:1], both, both[:1]] == [
        await interactions(asked, "card", as_of_position=at(position)) for position in (2, 4, 5, 6)
    ]


async def test_a_journey_of_nobody_named_is_refused(scoreboard: Scoreboard, asked: Asking) -> None:
    with pytest.raises(Malformed, match="customer: got nothing"):
        await asked.journey()


async def test_an_amendment_that_came_before_its_event_is_behind_the_cell_too(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    def corrected(number: int, value: str) -> events.Event:
        body = {"feedback_received": {"signals": [csat(value)]}}
        amends = {"event_id": "answer"}
        return event(event_id=f"right {number}", amends=amends, correction=body)

    answer = feedback(csat("5"), event_id="answer")
    journal = journal_of(corrected(1, "2"), event(), answer, corrected(2, "3"))
    await project(scoreboard, journal)
    counted, amending = pb.LINEAGE_ROLE_COUNTED, pb.LINEAGE_ROLE_AMENDMENT
    then = await asked.lineage(names=["csat_mean"], as_of_position=at(3))
    now = await asked.lineage(names=["csat_mean"])
    assert [("right 1", amending), ("answer", counted)] == [
        (each.event_id, each.role) for each in then.events
    ]
    assert [("answer", counted), ("right 2", amending)] == [
        (each.event_id, each.role) for each in now.events
    ]
    assert 1 == then.counted == now.counted
    told = then.events[1]
    assert ("till", 3, "touchledger.feedback_received.v1") == (
        *(told.source, told.position),
        told.topic,
    )
    assert (journal[2].recorded_at, answer.occurred_at) == (told.recorded_at, told.occurred_at)


async def test_a_series_has_each_period_of_the_question(
    scoreboard: Scoreboard, asked: Asking
) -> None:
    days = ("2026-08-03T10:00:00Z", "2026-08-05T10:00:00Z")
    visits = [event(event_id=each, occurred_at=each) for each in days]
    await project(scoreboard, journal_of(*visits))
    question = {"occurred_from_date": "2026-08-02", "occurred_before_date": "2026-08-07"}
    told = (await asked.series(**question)).scores
    assert [(f"2026-08-{day:02}", day in (3, 5)) for day in range(2, 7)] == [
        (each.keys["reporting_date"], each.counts["interactions"] == 1) for each in told
    ]
    assert [{"reporting_date": "2026-08-02"}] * 1 == [dict(told[0].keys)]
    nothing = (await asked.series(**question, touchpoint_glob="nowhere", names=["nps"])).scores
    assert [0] * 5 == [each.counts["nps_answered"] for each in nothing]
    assert [] == list((await asked.series(touchpoint_glob="nowhere")).scores)
    months = {"period": "PERIOD_MONTH", "occurred_before_date": "2026-11-01"}
    assert ["2026-08-01", "2026-09-01", "2026-10-01"] == [
        each.group for each in (await asked.series(**months)).scores
    ]


async def test_a_series_too_long_is_refused(scoreboard: Scoreboard, asked: Asking) -> None:
    await project(scoreboard, journal_of(event()))
    with pytest.raises(Malformed, match="4000 periods"):
        await asked.series(occurred_from_date="1900-01-01")
    with pytest.raises(Malformed, match=r"names: got .* numbers"):
        await asked.series(occurred_from_date="2020-01-01", occurred_before_date="2030-01-01")
    shorter: dict[str, Any] = {"names": ["csat_mean"], "occurred_from_date": "2020-01-01"}
    assert (await asked.series(**shorter)).scores
