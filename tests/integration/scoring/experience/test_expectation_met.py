"""Expectation and experience: missed, just met, exceeded, by what the expectation rests on."""

from datetime import UTC, datetime

import pytest

from services.chassis.postgres import Pool
from services.scoring.definitions import REGISTERED
from services.scoring.scoreboard import Scoreboard
from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from tests.support.journals import declared, journal_of, project, recorded
from touchledger.v1 import events_pb2 as events
from touchledger.v1.journal_pb2 import RecordedEvent

FIGURE = "expectation_met"
CHANGED = "touchledger.touchpoint_definition.expectation_changed.v1"
OWNER_CHANGED = "touchledger.touchpoint_definition.owner_changed.v1"


def at(hour: int, day: int = 3) -> str:
    return f"2026-07-{day:02}T{hour:02}:00:00Z"


def expects(event_id: str, hour: int, basis: str = "SURVEY", **expected: object) -> events.Event:
    body = {"basis": f"EXPECTATION_BASIS_{basis}", **expected}
    return event(expectation=body, event_id=event_id, customer="ann", occurred_at=at(hour))


def meets(event_id: str, hour: int, outcome: str = "COMPLETED", **fields: object) -> events.Event:
    body = {"outcome": f"OUTCOME_{outcome}"}
    given = {"event_id": event_id, "customer": "ann", "occurred_at": at(hour)}
    return event(interaction=body, **(given | fields))


def waits(event_id: str, hour: int, seconds: int) -> events.Event:
    return event(interaction={"wait": f"{seconds}s"}, event_id=event_id, occurred_at=at(hour))


def says(event_id: str, hour: int, *signals: dict[str, str], **fields: object) -> events.Event:
    return feedback(
        *signals, **({"event_id": event_id, "customer": "ann", "occurred_at": at(hour)} | fields)
    )


def expected(value: str, wait: str = "60s") -> dict[str, object]:
    """A standard: an answer about the whole, and a wait."""
    answer = {"metric": "METRIC_CSAT", "value": value, "scale_min": "1", "scale_max": "5"}
    return {
        "wait_within": wait,
        "answers": [answer | {"direction": "DIRECTION_HIGHER_IS_BETTER"}],
    }


def registered(position: int, hour: int, value: str = "4") -> RecordedEvent:
    said = {"touchpoint": "store.checkout", "expectation": expected(value)}
    return declared(position, REGISTERED, july(hour), said)


def july(hour: int) -> datetime:
    return datetime(2026, 7, 3, hour, tzinfo=UTC)


def counts(row: Row) -> tuple[str, ...]:
    """Compared, met, exceeded, just met and pending."""
    return tuple(row[each] for each in ("compared", "met", "exceeded", "just_met", "pending"))


async def test_an_answer_is_compared_with_the_last_expectation_stated_before_the_experience(
    figures: Figures,
) -> None:
    await figures.know(
        expects("early", 8, signal=csat("5")),
        expects("before", 9, signal=csat("3")),
        meets("visit", 10),
        # What is expected only afterwards is no expectation.
        expects("after", 11, signal=csat("5")),
        says("answer", 12, csat("4")),
    )
    [row] = await figures.rows(FIGURE)
    assert ("store.checkout", "survey") == (row["touchpoint"], row["basis"])
    assert ("1", "1", "1", "0", "0") == counts(row)
    assert ("25.0", "75.0") == (row["gap_mean"], row["perceived_mean"])
    assert ["before", "answer"] == await figures.events(FIGURE, "basis=survey")


async def test_acceptable_but_not_more_is_told_apart_from_exceeded(figures: Figures) -> None:
    await figures.know(
        expects("expected", 8, signal=csat("4")),
        meets("visit", 9),
        *(says(f"answer {value}", 10 + int(value), csat(value)) for value in ("3", "4", "5")),
        # About empathy alone nothing was expected, and it is no answer about the whole.
        says("kind", 20, csat("1", dimension="empathy")),
    )
    [row] = await figures.rows(FIGURE)
    assert ("3", "2", "1", "1", "0") == counts(row)
    assert [str(2 / 3), str(1 / 3), str(1 / 3)] == [
        row[each] for each in ("met_share", "exceeded_share", "just_met_share")
    ]
    assert float(row["met_share_lo"]) < 2 / 3 < float(row["met_share_hi"])


async def test_a_time_is_exceeded_at_half_of_it_and_met_at_its_end(figures: Figures) -> None:
    def promised(name: str, **fields: object) -> list[events.Event]:
        return [
            event(
                expectation={"basis": "EXPECTATION_BASIS_SLA", "within": "14400s"},
                **{"event_id": name, "customer": name, "occurred_at": at(8)} | fields,
            )
        ]

    await figures.know(
        *promised("at half"),
        meets("half", 10, customer="at half"),
        *promised("at its end"),
        meets("end", 12, customer="at its end"),
        *promised("late"),
        meets("late visit", 13, customer="late"),
        # To be given up is not to be served; a remedy is.
        *promised("put right"),
        meets("given up", 9, "ABANDONED", customer="put right"),
        event(remedy={}, event_id="remedy", customer="put right", occurred_at=at(12)),
        *promised("pending", occurred_at=at(14)),
        meets("last", 15, customer="pending"),
    )
    [row] = await figures.rows(FIGURE)
    assert "sla" == row["basis"]
    # The last one is fulfilled already, and pending all the same.
    assert ("4", "3", "1", "2", "1") == counts(row)
    assert "gap_mean" not in row


async def test_a_moment_that_is_promised_is_of_one_journey_and_follows_corrections(
    figures: Figures,
) -> None:
    due = {"due_at": at(12, day=4)}
    await figures.know(
        event(
            expectation={"basis": "EXPECTATION_BASIS_PROMISE", **due},
            **{"event_id": "promise", "customer": "ann", "correlation_id": "order-1"},
            occurred_at=at(8),
        ),
        meets("other order", 9, correlation_id="order-2"),
        meets("delivery", 12, correlation_id="order-1", occurred_at=at(13, day=4)),
        meets("somebody", 12, customer="ben", occurred_at=at(12, day=5)),
        event(
            correction={"interaction": {"outcome": "OUTCOME_COMPLETED"}},
            amends={"source": "till", "event_id": "delivery"},
            **{"event_id": "correction", "customer": "ann", "correlation_id": "order-1"},
            occurred_at=at(12, day=4),
        ),
    )

    async def told(position: int) -> tuple[str, ...]:
        [row] = await figures.rows(FIGURE, as_of_position={"number": str(position)})
        return counts(row)

    assert ("0", "0", "0", "0", "1") == await told(2)
    # Somebody else was seen after the moment, so that it has passed.
    assert ("1", "0", "0", "0", "0") == await told(4)
    assert ("1", "1", "0", "1", "0") == await told(5)
    assert ["promise", "delivery", "correction"] == await figures.events(FIGURE)


async def test_the_owners_standard_is_held_against_answers_and_waits(
    figures: Figures, scoring_pool: Pool
) -> None:
    told = journal_of(
        *(event(interaction={"wait": f"{wait}s"}, event_id=f"{wait}") for wait in (59, 60, 61)),
        says("answer", 10, csat("5"), customer=""),
        # Of another scale.
        says("stars", 11, csat("9", scale_max="10"), customer=""),
    )
    before = datetime(2026, 1, 1, tzinfo=UTC)
    said = {"touchpoint": "store.checkout", "expectation": expected("4")}
    await project(Scoreboard(scoring_pool), [*told, declared(6, REGISTERED, before, said)])
    [row] = await figures.rows(FIGURE)
    assert "standard" == row["basis"]
    assert ("4", "3", "2", "1", "0") == counts(row)
    assert ("1", "25.0") == (row["answers_compared"], row["gap_mean"])
    assert {"59", "60", "61", "answer", "decision at 6"} == set(await figures.events(FIGURE))


async def test_a_standard_counts_for_what_began_after_it_was_declared_alone(
    figures: Figures, scoring_pool: Pool
) -> None:
    await project(
        Scoreboard(scoring_pool),
        [
            *journal_of(
                says("early", 8, csat("5"), customer=""),
                # Said later of a visit before, and a customer who was waiting already.
                meets("visit", 9),
                says("of the visit", 11, csat("5")),
                waits("waiting", 12, 7201),
                waits("at that moment", 10, 0),
            ),
            registered(6, hour=10),
        ],
    )
    assert [] == await figures.rows(FIGURE)
    late = [
        recorded(says("late", 13, csat("3"), customer=""), 7),
        recorded(waits("soon", 14, 30), 8),
    ]
    await project(Scoreboard(scoring_pool), late)
    [row] = await figures.rows(FIGURE)
    assert ("2", "1", "1", "0", "0") == counts(row)
    assert {"decision at 6", "late", "soon"} == set(await figures.events(FIGURE))


@pytest.mark.parametrize("page_events", [1, 1000])
async def test_what_is_experienced_stands_against_the_standard_that_was_in_force_then(
    figures: Figures, scoring_pool: Pool, page_events: int
) -> None:
    journal = [
        registered(1, hour=8, value="2"),
        recorded(says("first", 9, csat("3"), customer=""), 2),
        recorded(says("second", 11, csat("3"), customer=""), 3),
        declared(4, CHANGED, july(10), {"expectation": expected("4")}),
        # Another owner leaves the standard as it was.
        declared(5, OWNER_CHANGED, july(12), {"owner": "Geschäft"}),
        recorded(says("third", 13, csat("3"), customer=""), 6),
        # By a clock that is behind: it holds from then on in place of all that was decided before it.
        declared(7, CHANGED, july(9), {"expectation": {}}),
    ]
    await project(Scoreboard(scoring_pool), journal, page_events=page_events)

    async def told(position: int) -> list[tuple[str, ...]]:
        rows = await figures.rows(FIGURE, as_of_position={"number": str(position)})
        return [(row["compared"], row["met"]) for row in rows]

    # Two answers stand against 2; then the second of them against 4, which a rebuild says, too.
    assert [("2", "2")] == await told(3)
    assert [("2", "1")] == await told(4)
    assert [("2", "1")] == await told(5)
    assert [("3", "1")] == await told(6)
    assert [("1", "1")] == await told(7)
    behind = await figures.events(FIGURE, as_of_position={"number": "6"})
    assert {"first", "second", "third", "decision at 1", "decision at 4"} == set(behind)
