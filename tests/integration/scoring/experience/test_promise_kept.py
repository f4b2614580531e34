"""Promises with a moment: kept, broken or still pending, from events alone."""

from services.chassis.postgres import Pool
from tests.support.events import event
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

NAMES = ("promises", "kept", "broken", "late", "pending")


def hour(number: int) -> str:
    return f"2026-08-03T{number:02}:00:00Z"


def promise(customer: str, *, due: int, basis: str = "PROMISE", **fields: object) -> events.Event:
    body = {"basis": f"EXPECTATION_BASIS_{basis}", "due_at": hour(due)}
    of = {"event_id": f"promise to {customer}", "occurred_at": hour(6)} | fields
    return event(expectation=body, customer=customer, **of)


def done(customer: str, at: int, outcome: str = "COMPLETED", **fields: object) -> events.Event:
    body = {"stage": "STAGE_DELIVERY", "outcome": f"OUTCOME_{outcome}"}
    of = {"event_id": f"done for {customer} at {at}"} | fields
    return event(interaction=body, customer=customer, occurred_at=hour(at), **of)


# The last interaction is what the horizon comes by.
AT_TEN = event(event_id="at ten", touchpoint="web.checkout", occurred_at=hour(10))


async def counted(figures: Figures, **asked: object) -> list[tuple[str, ...]]:
    rows = await figures.rows("promise_kept", **asked)
    return [tuple(row[name] for name in NAMES) for row in rows]


async def test_kept_and_broken_add_up_and_pending_is_neither(
    figures: Figures, scoring_pool: Pool
) -> None:
    await figures.know(
        *(promise("ann", due=8), done("ann", 8)),
        *(promise("ben", due=8), done("ben", 9)),
        promise("cem", due=8),
        # Kept already, but to count it before its moment would flatter.
        *(promise("dee", due=11), done("dee", 7)),
        promise("eve", due=10, basis="SLA"),
        AT_TEN,
    )
    assert [("3", "1", "2", "1", "1"), ("1", "0", "1", "0", "0")] == await counted(figures)
    rows = await figures.rows("promise_kept")
    assert [("promise", str(1 / 3)), ("sla", "0.0")] == [
        (row["basis"], row["promise_kept_rate"]) for row in rows
    ]
    [score] = await scoring_pool.fetch("SELECT * FROM promise_by_touchpoint")
    assert (score["promises"], score["promises_kept"], score["promises_pending"]) == (4, 1, 1)


async def test_a_moment_at_the_horizon_has_not_passed(figures: Figures) -> None:
    # The horizon is just after the last interaction; before that moment alone is over.
    await figures.know(promise("ann", due=10), promise("ben", due=11), AT_TEN)
    assert [("1", "0", "1", "0", "1")] == await counted(figures)
    assert [("0", "0", "0", "0", "2")] == await counted(figures, occurred_before_time=hour(10))


async def test_what_does_not_serve_its_purpose_keeps_no_promise(figures: Figures) -> None:
    of_journey = {"correlation_id": "journey 1"}
    await figures.know(
        *(promise("ann", due=8), done("ann", 7, "ABANDONED")),
        *(promise("ben", due=8, **of_journey), done("ben", 7, correlation_id="journey 2")),
        *(promise("cem", due=8, **of_journey), done("cem", 7, **of_journey)),
        # Before it was promised.
        *(promise("dee", due=8), done("dee", 5)),
        AT_TEN,
    )
    assert [("4", "1", "3", "0", "0")] == await counted(figures)
    assert "done for ann at 7" not in await figures.events("promise_kept")


async def test_the_promise_to_a_caller_is_kept_to_the_holder_of_a_card(figures: Figures) -> None:
    same = event(
        identity={"same_as": "card", "relation": "IDENTITY_RELATION_SAME"},
        customer="caller",
        event_id="same",
    )
    await figures.know(promise("caller", due=8), done("card", 7), AT_TEN, same)
    assert [("1", "0", "1", "0", "0")] == await counted(figures, as_of_position={"number": "3"})
    assert [("1", "1", "0", "0", "0")] == await counted(figures)
    behind = ["promise to caller", "done for card at 7", "same"]
    assert behind == await figures.events("promise_kept")


async def test_a_retracted_interaction_breaks_the_promise_from_then_on(figures: Figures) -> None:
    retraction = event(
        retraction={}, amends={"event_id": "done for ann at 7"}, event_id="retraction"
    )
    await figures.know(promise("ann", due=8), done("ann", 7), AT_TEN, retraction)
    assert [("1", "0", "1", "0", "0")] == await counted(figures)
    assert [("1", "1", "0", "0", "0")] == await counted(figures, as_of_position={"number": "3"})
