"""Derived facts are what a plain fold says: at any position, by any occurrence, in any group."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.scoring import derived, score_query
from services.scoring.derived.disconfirmation import disconfirmation
from services.scoring.derived.first_contact import first_contact
from services.scoring.derived.promise import promise
from services.scoring.metric import Derived
from services.scoring.question import Bound, Cell, Names
from services.scoring.score_query import At, Way
from tests.support.fact_tables import (
    START,
    TENANT,
    FactTables,
    answer,
    expectation,
    fact,
    fact_tables,
    interaction,
    recorded,
)

Row = dict[str, Any]
WEEK = timedelta(days=7)
LAST = 1_000
ANYTHING = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def sql(new_database: Callable[[str], str]) -> Iterator[FactTables]:
    with fact_tables(new_database) as given_tables:
        yield given_tables


# A derived fact's query as it is asked: it may read moments.
ASKED = f"WITH moments AS ({derived.moments('NULL::timestamptz')}) SELECT * FROM ({{sql}}) AS rows"


def rows_of(sql: FactTables, which: Derived, position: int = LAST) -> list[Row]:
    rows = sql.rows(ASKED.format(sql=which.sql), TENANT, position)
    return sorted(rows, key=lambda row: (row["event_position"], row.get("signal_index", 0)))


def score(
    sql: FactTables, which: Derived, position: int = LAST, before: datetime | None = None
) -> Row:
    """As GetScores asks for it, of one group of all."""
    cell = Cell(occurred_before=Bound(moment=before))
    rows = scores(sql, which, (), cell, position)
    return rows[0] if rows else dict.fromkeys(which.sums, 0) | dict.fromkeys(which.scores)


def scores(
    sql: FactTables, which: Derived, keys: Sequence[str], cell: Cell, position: int = LAST
) -> list[Row]:
    at = At(TENANT, position, Way.SCAN)
    names = Names(tuple(which.sums), tuple(which.scores))
    text, arguments = score_query.scores(at, keys, cell, names, limit=100)
    return sql.rows(text, *arguments)


def known(
    rows: list[Row], position: int, said: Sequence[Row] = (), before: datetime | None = None
) -> list[Row]:
    """Each with its person, by what was said of identities before the moment."""
    person = people(known(list(said), position), before) if said else {}
    return [
        row | {"person": person.get(row["customer"], row["customer"])}
        for row in rows
        if row["from_position"] <= position
        and (row["to_position"] is None or row["to_position"] > position)
        and row["customer"] is not None
    ]


def people(said: list[Row], before: datetime | None) -> dict[str, str]:
    """Of customers that belong to others, the person."""
    last: dict[tuple[str, str], str] = {}
    for row in sorted(said, key=lambda row: (row["occurred_at"], row["event_position"])):
        if before is None or row["occurred_at"] < before:
            one, other = sorted((row["customer"], row["same_as"]))
            last[one, other] = row["relation"]
    groups: dict[str, set[str]] = {}
    for (one, other), relation in last.items():
        if relation == "same":
            both = groups.get(one, {one}) | groups.get(other, {other})
            groups |= dict.fromkeys(both, both)
    return {customer: min(group) for customer, group in groups.items()}


def identity(
    position: int, customer: str, same_as: str, relation: str = "same", **fields: Any
) -> Row:
    return fact(position, customer=customer, same_as=same_as, relation=relation, **fields)


@st.composite
def identities(draw: st.DrawFn) -> list[Row]:
    """What is said of who is who, some of it retracted."""
    pairs = [("c1", "c2"), ("c2", "c1"), ("c2", "c3"), ("c3", "c1")]
    return [
        identity(
            number * 6 + 1,
            *draw(st.sampled_from(pairs)),
            draw(st.sampled_from(["same", "same", "different"])),
            hours=draw(st.sampled_from([0, 1, 170, 400])),
        )
        | {"to_position": draw(st.sampled_from([None, None, None, 30, 60]))}
        for number in range(draw(st.integers(0, 4)))
    ]


# First contact


def contact(position: int, hours: float, outcome: str = "resolved", **fields: Any) -> Row:
    given_fields = {"stage": "service", "customer": "c1", "touchpoint": "call.billing"} | fields
    return interaction(position, hours=hours, outcome=outcome, **given_fields)


def later(hours: float) -> Row:
    """Something else that was seen to happen."""
    return interaction(900, hours=hours)


def hold(
    sql: FactTables, *contacts: Row, said: Sequence[Row] = (), until_hours: float = 10_000
) -> None:
    sql.hold(
        fact_interaction=[*contacts, later(until_hours)],
        fact_identity=said,
        event=[recorded(LAST, hours=until_hours)],
    )


def test_an_episode_without_a_second_contact_in_a_week_is_resolved_at_first_contact(
    sql: FactTables,
) -> None:
    hold(
        sql,
        contact(1, 0, customer="c1"),
        # Within a week; exactly a week later is another episode.
        *(contact(2, 0, customer="c2"), contact(3, 167.9, customer="c2")),
        *(contact(4, 0, customer="c3"), contact(5, 168, customer="c3")),
    )
    got = score(sql, first_contact)
    assert (4, 3, 0.75) == (
        *(got["episodes"], got["episodes_unrepeated"]),
        got["fcr_no_repeat"],
    )
    assert got["fcr_no_repeat_lo"] < 0.75 < got["fcr_no_repeat_hi"]


def test_the_two_definitions_differ(sql: FactTables) -> None:
    hold(
        sql,
        # Never solved, never asked about again.
        contact(1, 0, "failed", customer="c1"),
        # Solved at the second contact, without transfer or reopening.
        *(contact(2, 0, "unspecified", customer="c2"), contact(3, 5, customer="c2")),
        # Passed on, then solved.
        *(contact(4, 0, "transferred", customer="c3"), contact(5, 5, "completed", customer="c3")),
        # Solved, and reopened.
        *(contact(6, 0, customer="c4"), contact(7, 5, "failed", customer="c4")),
    )
    got = score(sql, first_contact)
    assert (4, 1) == (got["episodes"], got["episodes_unrepeated"])
    assert (3, 1) == (got["episodes_solved"], got["episodes_solved_at_once"])


def test_what_may_still_come_back_is_pending_whatever_is_known_of_it(sql: FactTables) -> None:
    hold(
        sql,
        contact(1, 0, customer="c1"),
        *(contact(2, 1, customer="c2"), contact(3, 2, customer="c2")),
        until_hours=168.5,
    )
    got = score(sql, first_contact)
    assert (1, 1) == (got["episodes"], got["episodes_pending"])
    assert (1, 1) == (got["episodes_solved"], got["episodes_solved_pending"])
    assert 1 == got["fcr_no_repeat"]


def test_a_history_that_is_published_years_later_ends_where_it_ends(sql: FactTables) -> None:
    sql.hold(fact_interaction=[contact(1, 0)], event=[recorded(LAST, hours=50_000)])
    assert 1 == score(sql, first_contact)["episodes_pending"]


def test_a_source_whose_clock_is_ahead_settles_nothing(sql: FactTables) -> None:
    sql.hold(fact_interaction=[contact(1, 0), later(50_000)], event=[recorded(LAST, hours=1)])
    assert 1 == score(sql, first_contact)["episodes_pending"]


def test_issues_are_told_apart_by_correlation_and_without_it_by_touchpoint(sql: FactTables) -> None:
    hold(
        sql,
        *(contact(1, 0, correlation_id="t1"), contact(2, 1, correlation_id="t2")),
        *(contact(3, 2), contact(4, 3, touchpoint="chat.billing")),
        # One issue through two touchpoints.
        *(contact(5, 4, correlation_id="t5"),),
        *(contact(6, 5, correlation_id="t5", touchpoint="chat.billing"),),
    )
    got = score(sql, first_contact)
    assert (5, 4) == (got["episodes"], got["episodes_unrepeated"])


def test_only_contacts_of_known_customers_who_ask_for_help_are_in_episodes(sql: FactTables) -> None:
    hold(sql, contact(1, 0, customer=None), contact(2, 0, stage="purchase"))
    assert [] == rows_of(sql, first_contact)


def test_an_episode_stands_where_its_first_contact_was(sql: FactTables) -> None:
    hold(
        sql,
        contact(1, 30, store="second", correlation_id="t"),
        contact(2, 0, store="first", correlation_id="t"),
    )
    [row] = rows_of(sql, first_contact)
    assert (2, "first", 2) == (row["event_position"], row["store"], row["contacts"])
    assert START + timedelta(hours=30) == row["repeated_at"]


@st.composite
def contacts(draw: st.DrawFn) -> list[Row]:
    """Some service contacts, some of them amended."""
    rows = []
    for position in range(1, draw(st.integers(1, 14)) + 1):
        fields: Row = {
            "hours": draw(st.sampled_from([0, 1, 24, 100, 167, 168, 169, 300, 336, 500])),
            "outcome": draw(
                st.sampled_from(["resolved", "completed", "transferred", "failed", "unspecified"])
            ),
            "customer": draw(st.sampled_from(["c1", "c1", "c2", "c3", None])),
            "correlation_id": draw(st.sampled_from([None, "t1", "t2"])),
            "touchpoint": draw(st.sampled_from(["call.billing", "chat.billing"])),
            "stage": draw(st.sampled_from(["service", "service", "service", "use"])),
        }
        ended = draw(st.sampled_from([None, None, None, 20, 30]))
        rows.append(contact(position, **fields) | {"to_position": ended})
        if ended and draw(st.booleans()):
            corrected = fields | {"hours": fields["hours"] + 12, "outcome": "resolved"}
            rows.append(contact(position, **corrected) | {"from_position": ended})
    return rows


def fold_of_contacts(rows: list[Row]) -> list[Row]:
    """Episodes, one person's issue after the other."""
    issues: dict[tuple[str, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["occurred_at"], row["event_position"])):
        if row["stage"] == "service":
            issue = (
                ("t", row["correlation_id"]) if row["correlation_id"] else ("p", row["touchpoint"])
            )
            issues.setdefault((row["person"], *issue), []).append(row)
    episodes: list[list[Row]] = []
    for of_issue in issues.values():
        for number, row in enumerate(of_issue):
            if number and row["occurred_at"] - of_issue[number - 1]["occurred_at"] < WEEK:
                episodes[-1].append(row)
            else:
                episodes.append([row])
    found = []
    for episode in episodes:
        solved = [n for n, row in enumerate(episode) if row["outcome"] in ("resolved", "completed")]
        found.append(
            {
                "event_position": episode[0]["event_position"],
                "occurred_at": episode[0]["occurred_at"],
                "customer": episode[0]["customer"],
                "contacts": len(episode),
                "repeated_at": episode[1]["occurred_at"] if len(episode) > 1 else None,
                "solved_at": episode[solved[0]]["occurred_at"] if solved else None,
                "reopened": solved[0] < len(episode) - 1 if solved else None,
                "transfers": sum(row["outcome"] == "transferred" for row in episode),
            }
        )
    return sorted(found, key=lambda row: int(row["event_position"]))


@ANYTHING
@given(contacts(), identities(), st.sampled_from([5, 19, 20, 29, 30, LAST]))
def test_episodes_are_those_of_a_plain_fold(
    sql: FactTables, rows: list[Row], said: list[Row], position: int
) -> None:
    hold(sql, *rows, said=said)
    want = fold_of_contacts(known(rows, position, said))
    got = rows_of(sql, first_contact, position)
    assert want == [{name: row[name] for name in want[0]} if want else row for row in got]


@ANYTHING
@given(
    contacts(),
    identities(),
    st.sampled_from([20, LAST]),
    st.sampled_from([None, 168, 169, 340, 9_999]),
)
def test_first_contact_resolution_by_a_moment_is_of_what_had_happened_by_then(
    sql: FactTables,
    rows: list[Row],
    said: list[Row],
    position: int,
    before_hours: float | None,
) -> None:
    sql.hold(
        fact_interaction=rows,
        fact_identity=said,
        event=[recorded(1, hours=600), recorded(LAST, hours=9_000)],
    )
    before = None if before_hours is None else START + timedelta(hours=before_hours)
    facts = [
        row
        for row in rows
        if row["from_position"] <= position
        and (row["to_position"] is None or row["to_position"] > position)
    ]
    moment = timedelta(microseconds=1)
    limits = [START + timedelta(hours=9_000 if position == LAST else 600) + moment]
    limits += [max(row["occurred_at"] for row in facts) + moment] if facts else []
    horizon = min([*limits, *([before] if before else [])])
    # Nothing that happens from then on may count.
    happened = [
        row
        for row in known(rows, position, said, before)
        if not before or row["occurred_at"] < before
    ]
    episodes = fold_of_contacts(happened)
    settled = [row for row in episodes if row["occurred_at"] + WEEK <= horizon]
    solved = [row for row in episodes if row["solved_at"]]
    settled_solutions = [row for row in solved if row["solved_at"] + WEEK <= horizon]
    got = score(sql, first_contact, position, before)
    assert {
        "episodes": len(settled),
        "episodes_unrepeated": sum(row["repeated_at"] is None for row in settled),
        "episodes_pending": len(episodes) - len(settled),
        "episodes_solved": len(settled_solutions),
        "episodes_solved_at_once": sum(
            not row["reopened"] and not row["transfers"] for row in settled_solutions
        ),
        "episodes_solved_pending": len(solved) - len(settled_solutions),
    } == {name: got[name] for name in first_contact.sums}


# Expectations


def hold_expectations(
    sql: FactTables,
    expectations: list[Row],
    answers: list[Row],
    interactions: list[Row] | None = None,
    said: Sequence[Row] = (),
) -> None:
    sql.hold(
        fact_expectation=expectations,
        fact_feedback=answers,
        fact_interaction=interactions or [],
        fact_identity=said,
    )


def expected(position: int, hours: float, value: Any = 4, **fields: Any) -> Row:
    return expectation(position, value=value, hours=hours, **({"customer": "c1"} | fields))


def answered(position: int, hours: float, value: Any = 4, **fields: Any) -> Row:
    return answer(position, value=value, hours=hours, **({"customer": "c1"} | fields))


def met(position: int, hours: float, **fields: Any) -> Row:
    return interaction(position, hours=hours, **({"customer": "c1"} | fields))


def test_met_and_exceeded_and_the_gap_come_with_intervals(sql: FactTables) -> None:
    customers = [f"c{number}" for number in range(4)]
    hold_expectations(
        sql,
        [expected(n, 0, 4, customer=customer) for n, customer in enumerate(customers, 1)],
        [
            answered(n, 9, value, customer=customer)
            for n, (customer, value) in enumerate(zip(customers, [5, 4, 4, 1], strict=True), 11)
        ],
    )
    got = score(sql, disconfirmation)
    assert (4, 3, 1, 2) == tuple(got[name] for name in list(disconfirmation.sums)[:4])
    assert (0.75, 0.25, 0.5) == (
        *(got["expectation_met_share"], got["expectation_exceeded_share"]),
        got["expectation_just_met_share"],
    )
    # One better by a quarter of the scale, one worse by three quarters.
    assert (-12.5, 62.5) == (got["expectation_gap_mean"], got["perceived_mean"])
    assert -100 <= got["expectation_gap_mean_lo"] < -12.5 < got["expectation_gap_mean_hi"] <= 100
    assert got["expectation_met_share_lo"] < 0.75 < got["expectation_met_share_hi"]


def test_where_less_is_better_less_than_expected_exceeds(sql: FactTables) -> None:
    hold_expectations(sql, [expected(1, 0, 3, better=False)], [answered(2, 1, 2, better=False)])
    [row] = rows_of(sql, disconfirmation)
    assert (Decimal(25), Decimal(75), True, True) == (
        *(row["gap"], row["perceived_points"]),
        *(row["met"], row["exceeded"]),
    )


@pytest.mark.parametrize("hours", [10, 11])
def test_an_expectation_at_or_after_the_answer_does_not_count(sql: FactTables, hours: int) -> None:
    hold_expectations(sql, [expected(1, hours)], [answered(2, 10)])
    assert [] == rows_of(sql, disconfirmation)


@pytest.mark.parametrize("hours", [5, 6])
def test_an_expectation_at_or_after_the_experience_does_not_count(
    sql: FactTables, hours: int
) -> None:
    # It was recorded first: what counts is when it was stated.
    hold_expectations(sql, [expected(1, hours)], [answered(2, 10)], [met(3, 5)])
    assert [] == rows_of(sql, disconfirmation)


def test_the_last_expectation_before_the_experience_counts(sql: FactTables) -> None:
    hold_expectations(
        sql,
        [expected(1, 2, 5), expected(2, 1, 3), expected(3, 6, 1)],
        [answered(4, 10)],
        [met(5, 5)],
    )
    [row] = rows_of(sql, disconfirmation)
    assert (1, Decimal(5)) == (row["expectation_position"], row["expected"])


def test_of_expectations_stated_at_one_moment_the_one_recorded_last_counts(sql: FactTables) -> None:
    hold_expectations(sql, [expected(1, 0, 5), expected(2, 0, 3)], [answered(4, 10)])
    assert [2] == [row["expectation_position"] for row in rows_of(sql, disconfirmation)]


def test_an_experience_may_be_answered_at_once(sql: FactTables) -> None:
    hold_expectations(sql, [expected(1, 5)], [answered(2, 10)], [met(3, 10), met(4, 4)])
    [row] = rows_of(sql, disconfirmation)
    assert START + timedelta(hours=10) == row["experienced_at"]


def test_an_expectation_about_a_journey_meets_no_answer_that_names_none(sql: FactTables) -> None:
    hold_expectations(sql, [expected(1, 0, correlation_id="journey")], [answered(2, 1)])
    assert [] == rows_of(sql, disconfirmation)


@pytest.mark.parametrize(
    "other",
    [
        {"customer": "c2"},
        {"touchpoint": "web.returns"},
        {"dimension": "speed"},
        {"scale": (0, 5)},
        {"better": False},
        {"metric": "rating"},
        {"correlation_id": "another journey"},
    ],
)
def test_an_expectation_of_something_else_does_not_count(sql: FactTables, other: Row) -> None:
    hold_expectations(sql, [expected(1, 0, **other)], [answered(2, 1, correlation_id="journey")])
    assert [] == rows_of(sql, disconfirmation)


def test_an_expectation_of_one_dimension_has_its_row_and_is_in_no_score(sql: FactTables) -> None:
    hold_expectations(sql, [expected(1, 0, dimension="speed")], [answered(2, 1, dimension="speed")])
    assert ["speed"] == [row["dimension"] for row in rows_of(sql, disconfirmation)]
    got = score(sql, disconfirmation)
    assert (0, None) == (got["expectations_compared"], got["expectation_met_share"])


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Row], list[Row], list[Row]]:
    """Expectations, answers and interactions, some of them amended."""

    def amended(row: Row) -> list[Row]:
        ended = draw(st.sampled_from([None, None, None, 60, 70]))
        rows = [row | {"to_position": ended}]
        if ended and draw(st.booleans()):
            rows.append(row | {"from_position": ended, "customer": "c1"})
        return rows

    def envelope() -> Row:
        return {
            "hours": draw(st.integers(0, 3)),
            "customer": draw(st.sampled_from([*["c1"] * 6, "c2", "c2", "c3", None])),
            "correlation_id": draw(st.sampled_from([None, None, None, "j1", "j1", "j2"])),
            "touchpoint": draw(st.sampled_from(["a", "a", "a", "b"])),
        }

    def signal() -> Row:
        return {
            "metric": draw(st.sampled_from([*["csat"] * 5, "nps"])),
            "value": draw(st.integers(1, 5)),
            "scale": draw(st.sampled_from([*[(1, 5)] * 5, (1, 7)])),
            "better": draw(st.sampled_from([*[True] * 5, False])),
            "dimension": draw(st.sampled_from([*[None] * 5, "speed"])),
        }

    def several(first: int, make: Callable[..., Row], *, with_signal: bool) -> list[Row]:
        return [
            row
            for position in range(first, first + draw(st.integers(1, 5)))
            for row in amended(make(position, **envelope(), **(signal() if with_signal else {})))
        ]

    return (
        several(1, expectation, with_signal=True),
        several(20, answer, with_signal=True),
        several(40, interaction, with_signal=False),
    )


def fold_of_expectations(
    expectations: list[Row], answers: list[Row], interactions: list[Row]
) -> list[Row]:
    found = []
    for given_answer in sorted(answers, key=lambda row: int(row["event_position"])):
        same: tuple[str, ...] = ("person", "touchpoint")
        experiences = [
            row["occurred_at"]
            for row in interactions
            if all(row[name] == given_answer[name] for name in same)
            and row["occurred_at"] <= given_answer["occurred_at"]
            and len({row["correlation_id"], given_answer["correlation_id"]} - {None}) < 2
        ]
        experienced_at = max(experiences, default=given_answer["occurred_at"])
        same += ("metric", "dimension", "scale_min", "scale_max", "higher_is_better")
        stated = [
            row
            for row in expectations
            if all(row[name] == given_answer[name] for name in same)
            and row["correlation_id"] in (None, given_answer["correlation_id"])
            and row["occurred_at"] < experienced_at
        ]
        if stated:
            last = max(stated, key=lambda row: (row["occurred_at"], row["event_position"]))
            better = 1 if given_answer["higher_is_better"] else -1
            difference = better * (given_answer["value"] - last["value"])
            span = Decimal(given_answer["scale_max"] - given_answer["scale_min"])
            found.append(
                {
                    "event_position": given_answer["event_position"],
                    "expectation_position": last["event_position"],
                    "experienced_at": experienced_at,
                    "expected": last["value"],
                    "perceived": given_answer["value"],
                    "gap": round(100 * difference / span, 6),
                    "met": difference >= 0,
                    "exceeded": difference > 0,
                }
            )
    return found


@ANYTHING
@given(stories(), identities(), st.sampled_from([30, 59, 60, 69, 70, LAST]))
def test_expectations_stand_against_answers_as_in_a_plain_fold(
    sql: FactTables,
    story: tuple[list[Row], list[Row], list[Row]],
    said: list[Row],
    position: int,
) -> None:
    hold_expectations(sql, *story, said=said)
    want = fold_of_expectations(*(known(rows, position, said) for rows in story))
    got = rows_of(sql, disconfirmation, position)
    assert want == [{name: row[name] for name in want[0]} if want else row for row in got]


# Promises


def promised(position: int, hours: float, due_hours: float | None, **fields: Any) -> Row:
    due_at = None if due_hours is None else START + timedelta(hours=due_hours)
    given_fields = {"customer": "c1", "due_at": due_at, "within_seconds": None} | fields
    return expectation(position, None, None, hours=hours, **given_fields)


def hold_promises(
    sql: FactTables,
    promises: list[Row],
    *interactions: Row,
    said: Sequence[Row] = (),
    until_hours: float = 10_000,
) -> None:
    sql.hold(
        fact_expectation=promises,
        fact_identity=said,
        fact_interaction=[*interactions, later(until_hours)],
        event=[recorded(LAST, hours=until_hours)],
    )


def test_a_promise_is_kept_by_its_moment_and_no_later(sql: FactTables) -> None:
    customers = ["c1", "c2", "c3"]
    hold_promises(
        sql,
        [promised(n, 0, 10, customer=customer) for n, customer in enumerate(customers, 1)],
        *(met(11, 10, customer="c1"), met(12, 10.1, customer="c2")),
    )
    got = score(sql, promise)
    assert (3, 1, 1, 0) == tuple(got[name] for name in promise.sums)
    assert 1 / 3 == got["promise_kept_share"]
    assert got["promise_kept_share_lo"] < 1 / 3 < got["promise_kept_share_hi"]


def test_a_promise_within_a_time_is_due_from_when_it_was_made(sql: FactTables) -> None:
    hold_promises(sql, [promised(1, 5, None, within_seconds=3600)], met(2, 5.9))
    [row] = rows_of(sql, promise)
    assert (START + timedelta(hours=6), START + timedelta(hours=5.9)) == (
        *(row["due_at"], row["fulfilled_at"]),
    )


def test_a_promise_that_is_not_due_is_pending_even_when_it_is_fulfilled(sql: FactTables) -> None:
    hold_promises(
        sql,
        [promised(1, 0, 100), promised(2, 0, 200, customer="c2")],
        met(3, 1, customer="c2"),
        until_hours=150,
    )
    got = score(sql, promise)
    assert (1, 0, 0, 1) == tuple(got[name] for name in promise.sums)


def test_what_happened_later_does_not_fulfil_a_promise_by_an_earlier_moment(
    sql: FactTables,
) -> None:
    hold_promises(sql, [promised(1, 0, 10)], met(2, 20))
    assert 1 == score(sql, promise)["promises_late"]
    assert 0 == score(sql, promise, before=START + timedelta(hours=15))["promises_late"]


@pytest.mark.parametrize(
    "other",
    [
        {"customer": "c2"},
        {"touchpoint": "web.returns"},
        {"correlation_id": "another journey"},
        {"correlation_id": None},
        {"hours": 1},
        {"outcome": "failed"},
        {"outcome": "transferred"},
        {"outcome": "abandoned"},
        {"outcome": "returned"},
    ],
)
def test_what_is_something_else_does_not_fulfil_a_promise(sql: FactTables, other: Row) -> None:
    done: Row = {"hours": 5, "outcome": "completed", "correlation_id": "journey"}
    promises = [promised(1, 2, 10, correlation_id="journey")]
    hold_promises(sql, promises, met(2, **done))
    assert 1 == score(sql, promise)["promises_kept"]
    hold_promises(sql, promises, met(2, **(done | other)))
    assert 0 == score(sql, promise)["promises_kept"]


@ANYTHING
@given(stories(), identities(), st.sampled_from([59, 60, 69, 70, LAST]))
def test_promises_are_fulfilled_as_in_a_plain_fold(
    sql: FactTables,
    story: tuple[list[Row], list[Row], list[Row]],
    said: list[Row],
    position: int,
) -> None:
    stated, _, interactions = story
    promises = [row | {"due_at": row["occurred_at"] + timedelta(hours=2)} for row in stated]
    hold_promises(sql, promises, *interactions, said=said)
    done = known(interactions, position, said)
    want = [
        (
            row["event_position"],
            min(
                (
                    each["occurred_at"]
                    for each in done
                    if (each["person"], each["touchpoint"]) == (row["person"], row["touchpoint"])
                    and each["occurred_at"] >= row["occurred_at"]
                    and row["correlation_id"] in (None, each["correlation_id"])
                ),
                default=None,
            ),
        )
        for row in known(promises, position, said)
    ]
    got = [(row["event_position"], row["fulfilled_at"]) for row in rows_of(sql, promise, position)]
    assert sorted(want) == got


# All of them


@pytest.mark.parametrize("which", derived.DERIVED, ids=lambda which: which.name)
def test_the_columns_are_those_that_facts_share_and_those_that_are_said(
    sql: FactTables, which: Derived
) -> None:
    of_interactions = {"outcome", "wait_seconds", "moment_of_truth"}
    shared = set(contact(1, 0)) - {"from_position", "to_position"} - of_interactions
    got = sql.rows(f"{ASKED.format(sql=which.sql)} RIGHT JOIN (SELECT 1) AS one ON true", TENANT, 0)
    assert {*shared, *which.columns, "?column?"} == set(got[0])


@pytest.mark.parametrize("which", derived.DERIVED, ids=lambda which: which.name)
def test_nobody_is_null_for_every_derived_score(sql: FactTables, which: Derived) -> None:
    sql.hold(fact_interaction=[interaction(1)])
    [got] = scores(sql, which, (), Cell())
    assert {None} == {got[name] for name in which.scores}
    assert {0} == {int(got[name]) for name in which.sums}


@pytest.mark.parametrize("which", derived.DERIVED, ids=lambda which: which.name)
def test_another_tenant_has_none_of_it(sql: FactTables, which: Derived) -> None:
    expectations = [expected(1, 0, due_at=START)]
    hold_expectations(sql, expectations, [answered(2, 1)], [contact(3, 0)])
    assert 1 == len(rows_of(sql, which))
    assert [] == sql.rows(ASKED.format(sql=which.sql), "other", LAST)


@pytest.mark.parametrize("which", derived.DERIVED, ids=lambda which: which.name)
def test_scores_are_given_by_any_column(sql: FactTables, which: Derived) -> None:
    sql.hold(
        fact_expectation=[expected(1, 0, due_at=START, store="s1", touchpoint="call.billing")],
        fact_feedback=[answered(2, 1, store="s1", touchpoint="call.billing")],
        fact_interaction=[contact(3, 0.5, store="s1"), later(9_000)],
        event=[recorded(LAST, hours=9_000)],
    )
    [row] = scores(sql, which, ("touchpoint", "store"), Cell(glob="call.*"))
    assert ("call.billing", "s1", 1) == (
        row["touchpoint"],
        row["store"],
        row[next(iter(which.sums))],
    )
