"""What the owner claims of a touchpoint against what customers answer."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

FIGURE = "claim"


def claims(value: str, event_id: str = "claim", hour: int = 8, **signal: str) -> events.Event:
    occurred_at = f"2026-07-01T{hour:02}:00:00Z"
    body = {"claimed": csat(value, **signal)}
    return event(service_claim=body, event_id=event_id, occurred_at=occurred_at)


def answers(*values: str, **signal: str) -> list[events.Event]:
    return [
        feedback(csat(value, **signal), event_id=f"answer {number} {value} {signal}")
        for number, value in enumerate(values)
    ]


def told(row: Row) -> tuple[str | None, ...]:
    return tuple(
        row.get(name) for name in ("claimed", "n", "customer_score", "claim_gap", "refuted")
    )


async def test_a_claim_is_refuted_when_the_whole_interval_lies_below_it(figures: Figures) -> None:
    await figures.know(claims("5"), *answers("2", "3", "2", "3", "2", "3"))
    [row] = await figures.rows(FIGURE)
    assert ("100", "6", "37.5", "62.5", "true") == told(row)
    assert float(row["customer_score_lo"]) < 37.5 < float(row["customer_score_hi"]) < 100
    assert ("csat", "2026-07-01T08:00:00Z") == (row["metric"], row["claimed_at"])


async def test_few_answers_below_a_claim_do_not_refute_it(figures: Figures) -> None:
    await figures.know(claims("4.5"), *answers("4", "5", "4"))
    [row] = await figures.rows(FIGURE)
    assert float(row["customer_score"]) < 87.5 == float(row["claimed"])
    assert "false" == row["refuted"]


async def test_one_answer_proves_nothing_and_none_is_no_score(figures: Figures) -> None:
    await figures.know(claims("5"), *answers("1"))
    [row] = await figures.rows(FIGURE)
    assert ("100", "1", "0.0", "100.0", None) == told(row)
    [row] = await figures.rows(FIGURE, as_of_position={"number": "1"})
    assert ("100", "0", None, None, None) == told(row)


async def test_only_answers_to_the_same_question_count(figures: Figures) -> None:
    await figures.know(
        claims("5"),
        claims("2", "kind", dimension="empathy"),
        *answers("4", "4"),
        *answers("3", dimension="empathy"),
        *answers("4", scale_max="10"),
        *answers("4", metric="METRIC_RATING"),
        *answers("4", direction="DIRECTION_LOWER_IS_BETTER"),
        feedback(csat("1"), event_id="elsewhere", touchpoint="store.return"),
    )
    empathy, whole = await figures.rows(FIGURE)
    assert ("25", "1", "50.0", "-25.0", None) == told(empathy)
    assert ("100", "2", "75.0", "25.0", "true") == told(whole)
    assert ("empathy", None) == (empathy["dimension"], whole.get("dimension"))
    assert ["kind", "answer 0 3 {'dimension': 'empathy'}"] == await figures.events(
        FIGURE, "dimension=empathy"
    )


async def test_the_last_claim_counts_by_when_it_was_made(figures: Figures) -> None:
    amends = {"source": "till", "event_id": "modest"}
    await figures.know(
        claims("3", "modest", hour=9),
        claims("5", "bold", hour=8),
        event(retraction={}, amends=amends, event_id="retraction"),
    )
    claimed = [
        row["claimed"]
        for position in (1, 2, 3)
        for row in await figures.rows(FIGURE, as_of_position={"number": str(position)})
    ]
    assert ["50", "50", "100"] == claimed
