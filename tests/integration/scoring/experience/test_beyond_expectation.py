"""Acceptable but not more, exceeded, and compared with competitors."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events

FIGURE = "beyond_expectation"


def of(customer: str, expected: str, perceived: str) -> list[events.Event]:
    """A customer who expected something, came, and says how it was."""
    hours = iter(("08", "09", "10"))

    def fields(what: str) -> dict[str, object]:
        occurred_at = f"2026-07-01T{next(hours)}:00:00Z"
        return {
            "customer": customer,
            "event_id": f"{customer} {what}",
            "occurred_at": occurred_at,
        }

    body = {"basis": "EXPECTATION_BASIS_SURVEY", "signal": csat(expected)}
    return [
        event(expectation=body, **fields("expects")),
        event(interaction={}, **fields("comes")),
        feedback(csat(perceived), **fields("says")),
    ]


def compares(event_id: str, value: str, **signal: str) -> events.Event:
    asked = {"metric": "METRIC_COMPARISON", "scale_min": "-3", "scale_max": "3"}
    return feedback(csat(value, **(asked | signal)), event_id=event_id)


async def test_met_and_no_more_stands_on_its_own(figures: Figures) -> None:
    await figures.know(
        *of("ann", "4", "4"), *of("ben", "4", "5"), *of("cem", "4", "3"), *of("dee", "3", "3")
    )
    [row] = await figures.rows(FIGURE)
    assert ("4", "2", "1") == (row["compared"], row["acceptable"], row["exceeded"])
    assert ("0.5", "0.25") == (row["acceptable_rate"], row["exceeded_rate"])
    assert float(row["exceeded_rate_lo"]) < 0.25 < float(row["exceeded_rate_hi"])
    # Nobody was asked about competitors: that is not as good as they are.
    assert ("0", None) == (row["comparisons"], row.get("vs_competitor_avg"))


async def test_comparisons_with_competitors_are_averaged_on_their_own_scale(
    figures: Figures,
) -> None:
    await figures.know(
        compares("better", "2"),
        compares("worse", "-1"),
        compares("the same", "0"),
        compares("kinder", "3", dimension="empathy"),
    )
    [row] = await figures.rows(FIGURE)
    assert ("3", str(1 / 3)) == (row["comparisons"], row["vs_competitor_avg"])
    assert (
        -3 <= float(row["vs_competitor_avg_lo"]) < 1 / 3 < float(row["vs_competitor_avg_hi"]) <= 3
    )
    assert ("0", None) == (row["compared"], row.get("acceptable_rate"))
    assert ["better", "worse", "the same"] == await figures.events(FIGURE)


async def test_a_promise_counts_once_its_moment_has_passed(figures: Figures) -> None:
    promise = {"basis": "EXPECTATION_BASIS_PROMISE", "due_at": "2026-07-03T08:00:00Z"}
    given = {"customer": "ann", "occurred_at": "2026-07-01T08:00:00Z"}
    await figures.know(
        event(expectation=promise, event_id="promise", **given),
        event(interaction={}, event_id="early", customer="ann", occurred_at="2026-07-02T08:00:00Z"),
        event(interaction={}, event_id="later", customer="ben", occurred_at="2026-07-04T08:00:00Z"),
    )
    assert [] == await figures.rows(FIGURE, as_of_position={"number": "2"})
    [row] = await figures.rows(FIGURE)
    # A day of the two that were promised is half of them.
    assert ("1", "0", "1") == (row["compared"], row["acceptable"], row["exceeded"])
