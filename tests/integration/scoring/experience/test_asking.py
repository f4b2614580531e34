"""When we last asked, whom we did not ask and why, and who answered."""

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

FIGURE = "asking"


def at(day: int, hour: int = 8) -> str:
    return f"2026-07-{day:02}T{hour:02}:00:00Z"


def visit(
    event_id: str, day: int, touchpoint: str = "store.checkout", *, hour: int = 8
) -> events.Event:
    given = {"event_id": event_id, "occurred_at": at(day, hour), "touchpoint": touchpoint}
    return event(interaction={}, **given)


def asked(event_id: str, day: int, hour: int = 8) -> events.Event:
    return event(feedback_requested={}, event_id=event_id, occurred_at=at(day, hour))


def not_asked(reason: str) -> events.Event:
    return event(feedback_suppressed={"reason": reason}, event_id=reason, occurred_at=at(2))


def answer(event_id: str, request_id: str) -> events.Event:
    body = {"signals": [csat("4")], "request_id": request_id}
    return event(feedback_received=body, event_id=event_id, occurred_at=at(5))


def last(row: Row) -> tuple[str | None, str | None, str]:
    return row.get("last_asked_at"), row.get("days_since_asked"), row["never_asked"]


async def test_a_touchpoint_that_never_asked_says_so_and_has_no_days(figures: Figures) -> None:
    await figures.know(visit("advert", 1, "advert.tv"), visit("visit", 1), asked("request", 1))
    advert, checkout = await figures.rows(FIGURE)
    assert ("advert.tv", "1", "0") == tuple(
        advert[each] for each in ("touchpoint", "interactions", "asked")
    )
    assert (None, None, "true") == last(advert)
    assert "response_rate" not in advert
    assert "false" == checkout["never_asked"]


async def test_days_are_counted_from_the_last_request_to_the_horizon(figures: Figures) -> None:
    await figures.know(visit("first", 1), asked("early", 1), asked("late", 3, 20), visit("last", 8))
    [row] = await figures.rows(FIGURE)
    # Half a day and four whole ones, and what is not seen of a microsecond.
    assert ("2026-07-03T20:00:00Z", "4.5", "false") == last(row)
    # Of the time before the last request, the one before is the last, and today is then.
    [row] = await figures.rows(FIGURE, occurred_before_time=at(3))
    assert ("2026-07-01T08:00:00Z", "2", "false") == last(row)
    # Nothing that happened after the request is known: no time is known to have passed.
    [row] = await figures.rows(FIGURE, as_of_position={"number": "3"})
    assert ("2026-07-03T20:00:00Z", "0", "false") == last(row)


async def test_a_request_counts_as_answered_once_and_answers_of_no_request_do_not(
    figures: Figures,
) -> None:
    await figures.know(
        *(asked(f"request {number}", number) for number in (1, 2, 3, 4)),
        answer("answer", "request 1"),
        answer("again", "request 1"),
        answer("of nothing", "request 9"),
        feedback(csat("5"), event_id="unasked", occurred_at=at(6)),
        visit("last", 31),
    )
    [row] = await figures.rows(FIGURE)
    assert ("4", "1", "0.25") == (row["asked"], row["answered"], row["response_rate"])
    assert float(row["response_rate_lo"]) < 0.25 < float(row["response_rate_hi"])
    assert {"answer", "again"} == set(await figures.events(FIGURE)) - {
        *(f"request {number}" for number in (1, 2, 3, 4)),
        "last",
    }


async def test_a_request_is_pending_until_its_14_days_are_over_and_later_answers_are_none(
    figures: Figures,
) -> None:
    late = {"signals": [csat("4")], "request_id": "request 1"}
    await figures.know(
        *(asked(f"request {number}", number) for number in (1, 10)),
        event(feedback_received=late, event_id="late", occurred_at=at(15)),
        answer("quick", "request 10"),
        visit("last", 24, hour=8),
    )

    async def rate(before: str) -> tuple[str | None, ...]:
        [row] = await figures.rows(FIGURE, occurred_before_time=before)
        names = ("asked", "pending", "answered", "response_rate")
        return tuple(row.get(name) for name in names)

    # A moment before the 14 days of the first are over, after that, and when those of both are.
    assert ("2", "2", "0", None) == await rate("2026-07-15T07:59:59Z")
    assert ("2", "1", "0", "0.0") == await rate(at(16))
    assert ("2", "0", "1", "0.5") == await rate(at(30))
    assert "late" not in await figures.events(FIGURE)


async def test_a_retracted_answer_leaves_its_request_open(figures: Figures) -> None:
    amends = {"source": "till", "event_id": "answer"}
    await figures.know(
        visit("last", 31),
        asked("request", 1),
        answer("answer", "request"),
        event(retraction={}, amends=amends, event_id="retraction", occurred_at=at(6)),
    )

    async def answered(position: int) -> str:
        [row] = await figures.rows(FIGURE, as_of_position={"number": str(position)})
        return row["answered"]

    assert ["0", "1", "0"] == [await answered(position) for position in (2, 3, 4)]


async def test_every_reason_not_to_ask_is_counted(figures: Figures) -> None:
    reasons = ("opt_out", "sampling", "asked_lately", "bad weather", "moved")
    await figures.know(*map(not_asked, reasons))
    [row] = await figures.rows(FIGURE)
    assert ("0", "true", "5") == (row["asked"], row["never_asked"], row["suppressed"])
    names = ("opt_out", "sampling", "asked_lately", "other")
    assert ["1", "1", "1", "2"] == [row[f"suppressed_{name}"] for name in names]
