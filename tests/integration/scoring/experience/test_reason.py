"""The reasons behind an issue: how widely they spread, and what those who have them answer."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def stated(reason: str, number: int, *, issue: str = "late", **fields: object) -> events.Event:
    body = {"issue_code": issue, "reason_code": reason}
    of = {"customer": f"customer {number}", "correlation_id": f"journey {number}"} | fields
    return event(reason_stated=body, event_id=f"{issue} {reason} {number}", **of)


def answered(number: int, value: str, hour: int = 12, **fields: object) -> events.Event:
    of = {"customer": f"customer {number}", "correlation_id": f"journey {number}"} | fields
    occurred_at = f"2026-08-03T{hour:02}:00:00Z"
    return feedback(
        csat(value), event_id=f"answer {number} at {hour}", occurred_at=occurred_at, **of
    )


async def test_entropy_tells_one_reason_from_many(figures: Figures) -> None:
    four = [stated(each, number) for number, each in enumerate(("gift", "move", "trip", "work"))]
    two = [stated(each, number, issue="bill") for number, each in enumerate("aaabbb")]
    one = [stated("gift", number, issue="broken") for number in range(3)]
    await figures.know(*four, *two, *one)
    rows = {row["issue_code"]: row for row in await figures.rows("reason")}
    assert {"broken": "0.0", "bill": "1.0", "late": "2.0"} == {
        issue: row["reason_entropy"] for issue, row in rows.items()
    }
    late = rows["late"]
    assert (late["stated"], late["reasons"], late["top_reason"], late["top_share"]) == (
        *("4", "4", "gift", "0.25"),
    )
    assert ["late move 1"] == await figures.events(
        "reason_behind_issue", "issue_code=late", "reason_code=move"
    )


async def test_the_same_issue_satisfies_differently_by_reason(figures: Figures) -> None:
    gifts = [(stated("gift", number), answered(number, "1")) for number in range(5)]
    moves = [(stated("move", number), answered(number, "4")) for number in range(5, 20)]
    await figures.know(*(each for both in gifts + moves for each in both))
    rows = await figures.rows("reason_behind_issue")
    assert [("gift", "5", "0.25", "0.0"), ("move", "15", "0.75", "75.0")] == [
        (row["reason_code"], row["csat_answers"], row["share"], row["csat_points"]) for row in rows
    ]


async def test_one_answer_belongs_to_a_statement_and_comes_after_it(figures: Figures) -> None:
    failure = event(
        failure={"issue_code": "late"},
        customer="customer 1",
        correlation_id="journey 1",
        event_id="f",
    )
    other_failure = event(
        failure={"issue_code": "bill"},
        customer="customer 2",
        correlation_id="journey 2",
        event_id="g",
    )
    await figures.know(
        *(failure, other_failure, answered(1, "1", hour=8), stated("gift", 1)),
        *(answered(1, "5", hour=13), answered(1, "4", hour=12)),
        *(stated("gift", 2), answered(2, "1", correlation_id="journey 99")),
        *(stated("gift", 3, correlation_id=""), answered(3, "5", correlation_id="")),
        stated("gift", 4),
        *(answered(number, "5", hour=14) for number in (4, 5, 6, 7)),
        *(stated("gift", number) for number in (5, 6)),
    )
    [row] = await figures.rows("reason_behind_issue")
    # The answers of customers 5 and 6 to 14 o'clock, too.
    assert (row["stated"], row["failures"], row["csat_answers"]) == ("6", "1", "5")
    assert (row["too_few"], row["csat_points"]) == ("false", "95.0")
    assert "answer 1 at 12" in await figures.events("reason_behind_issue")
    assert not {"answer 1 at 13", "answer 1 at 8", "g"} & set(
        await figures.events("reason_behind_issue")
    )


async def test_what_fewer_than_five_answered_is_kept_back(figures: Figures) -> None:
    await figures.know(
        *(stated("gift", number) for number in range(5)),
        *(answered(number, "1") for number in range(5)),
    )
    [row] = await figures.rows("reason_behind_issue", as_of_position={"number": "9"})
    assert (row["csat_answers"], row["too_few"], row.get("csat_points")) == ("4", "true", None)
    [row] = await figures.rows("reason_behind_issue")
    assert (row["csat_answers"], row["too_few"], row.get("csat_points")) == ("5", "false", "0.0")


async def test_a_corrected_reason_counts_in_place_of_the_first(figures: Figures) -> None:
    correction = event(
        correction={"reason_stated": {"issue_code": "late", "reason_code": "move"}},
        amends={"event_id": "late gift 1"},
        event_id="correction",
    )
    await figures.know(stated("gift", 1), correction)
    assert ["move"] == [row["top_reason"] for row in await figures.rows("reason")]
    then = await figures.rows("reason", as_of_position={"number": "1"})
    assert ["gift"] == [row["top_reason"] for row in then]
    assert ["late gift 1", "correction"] == await figures.events("reason")
