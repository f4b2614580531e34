"""A year's revenue of dissatisfied customers whose recovery is open."""

from services.touchpoint.decisions.recovery_case import RecoveryCase
from tests.integration.scoring.experience.test_open_recovery import case_of, command
from tests.support.events import csat, event, feedback
from tests.support.experience import Figures, Row
from touchledger.v1 import events_pb2 as events

FIGURE = "revenue_at_risk"
NAMES = ("ann", "ben", "cem", "dee", "eva")


def told(kind: str, customer: str, day: int, **fields: object) -> events.Event:
    given = {
        "event_id": f"{customer} {kind} {day}",
        "customer": customer,
        "occurred_at": f"2026-07-{day:02}T08:00:00Z",
    }
    return event(**(given | {kind: {}} | fields))


def paid(customer: str, amount: str, **fields: object) -> events.Event:
    body = {"amount": {"amount": amount, "currency": "EUR"}}
    return told("interaction", customer, 1, interaction=body, **fields)


def rated(customer: str, value: str, day: int, **signal: str) -> events.Event:
    occurred_at = f"2026-07-{day:02}T08:00:00Z"
    event_id = f"{customer} rated {day}"
    return feedback(
        csat(value, **signal), customer=customer, event_id=event_id, occurred_at=occurred_at
    )


def failed(*customers: str, value: str = "2") -> list[events.Event]:
    """Each paid 10, was failed on the second of July, and rated that on the third."""
    return [
        made
        for name in customers
        for made in (paid(name, "10"), told("failure", name, 2), rated(name, value, 3))
    ]


def counts(row: Row) -> tuple[str | None, ...]:
    names = ("customers", "customers_all", "revenue", "revenue_share", "too_few")
    return tuple(row.get(name) for name in names)


async def test_who_rates_low_and_waits_for_a_recovery_is_at_risk(figures: Figures) -> None:
    await figures.know(
        *failed(*NAMES),
        # Satisfied all the same, never failed, and never rating.
        *failed("fay", value="3"),
        *(paid("gus", "20"), rated("gus", "1", 3)),
        *(paid("hal", "20"), told("failure", "hal", 2)),
    )
    [row] = await figures.rows(FIGURE)
    assert ("5", "8", "50", "0.5", "false") == counts(row)
    assert ("EUR", "100") == (row["currency"], row["revenue_all"])


async def test_the_last_rating_of_the_whole_counts(figures: Figures) -> None:
    await figures.know(
        *failed(*NAMES, "fay", "gus"),
        rated("fay", "5", 4),
        # About one thing alone.
        rated("gus", "5", 4, dimension="speed"),
    )
    [row] = await figures.rows(FIGURE)
    assert ("6", "7", "60") == counts(row)[:3]
    [row] = await figures.rows(FIGURE, as_of_position={"number": "21"})
    assert ("7", "7", "70") == counts(row)[:3]


async def test_a_closing_ends_the_failures_of_its_journey_or_of_the_customer(
    figures: Figures,
) -> None:
    def journey(name: str) -> dict[str, object]:
        return {"correlation_id": name}

    await figures.know(
        *failed(*NAMES, "fay", "gus", "hal"),
        # Closed before it failed.
        told("recovery_closed", "ann", 1),
        told("recovery_closed", "fay", 4),
        # gus is failed on two journeys, iva on another two; each closing ends that of its own name.
        *(told("failure", "gus", 4, **journey("order-1")), paid("iva", "10"), rated("iva", "1", 4)),
        *(told("failure", "iva", 3, **journey("order-2")), told("failure", "iva", 4)),
        told("recovery_closed", "iva", 5, **journey("order-1")),
        told("recovery_closed", "iva", 6, **journey("order-2")),
        told("recovery_closed", "gus", 7),
    )

    async def customers(position: int) -> str:
        [row] = await figures.rows(FIGURE, as_of_position={"number": str(position)})
        return row["customers"]

    assert "8" == await customers(25)
    assert "7" == await customers(26)
    # iva waits until the end for what names no journey.
    assert ["8", "8", "8", "7"] == [await customers(position) for position in (31, 32, 33, 34)]


async def test_where_there_is_a_case_the_case_says_whether_a_recovery_is_open(
    figures: Figures,
) -> None:
    def case(name: str, event_id: str) -> RecoveryCase:
        return case_of(f"case of {name}", event_id, customer=name)

    ended = [case(name, f"{name} failure 2") for name in NAMES]
    for each in ended:
        each.remedy(command("remedy", 100), remedy={"kind": "REMEDY_KIND_REDO"})
        each.close(command("close", 101), result="RECOVERY_RESULT_ACCEPTED", reason="")
    low = ("fay", "gus", "hal", "iva", "joe", "kim")
    await figures.know(
        *failed(*NAMES),
        *(made for name in low for made in (paid(name, "10"), rated(name, "1", 3))),
        paid("today", "10", occurred_at="2026-07-20T08:00:00Z"),
        *ended,
        *(case(name, f"{name} rated 3") for name in low),
    )
    [row] = await figures.rows(FIGURE)
    assert ("6", "12", "60") == counts(row)[:3]


async def test_of_fewer_than_five_customers_no_money_is_told(figures: Figures) -> None:
    amends = {"source": "till", "event_id": "eva failure 2"}
    await figures.know(
        *failed(*NAMES),
        paid("fay", "10"),
        event(retraction={}, amends=amends, event_id="retraction"),
    )
    [row] = await figures.rows(FIGURE)
    assert ("4", "6", None, None, "true") == counts(row)
    assert "revenue_all" not in row
    [row] = await figures.rows(FIGURE, as_of_position={"number": "16"})
    assert ("5", "6", "50", str(5 / 6), "false") == counts(row)


async def test_the_events_behind_a_risk_are_payment_failure_and_rating(figures: Figures) -> None:
    await figures.know(*failed("ann"), paid("ben", "10"))
    assert [
        *("ann interaction 1", "ann failure 2", "ann rated 3", "ben interaction 1"),
    ] == await figures.events(FIGURE, "currency=EUR")
