"""Self-service: what is contained, what leaks to staff within a day, and what is not known yet."""

import pytest

from tests.support.events import csat, event, feedback
from tests.support.experience import Figures
from touchledger.v1 import events_pb2 as events


def use(
    customer: str,
    outcome: str = "COMPLETED",
    *,
    at: str = "2026-08-01T10:00:00Z",
    **fields: object,
) -> events.Event:
    body = {
        "stage": "STAGE_PURCHASE",
        "channel": "CHANNEL_WEB",
        "service_mode": "SERVICE_MODE_SELF",
        "outcome": f"OUTCOME_{outcome}",
    }
    given = {"event_id": f"{customer} helps himself", "touchpoint": "web.checkout"}
    return event(interaction=body, customer=customer, occurred_at=at, **(given | fields))


def contact(
    customer: str,
    at: str,
    *,
    channel: str = "PHONE",
    mode: str = "ASSISTED",
    event_id: str = "",
) -> events.Event:
    body = {"channel": f"CHANNEL_{channel}", "service_mode": f"SERVICE_MODE_{mode}"}
    return event(
        interaction=body,
        customer=customer,
        occurred_at=at,
        touchpoint="call.support",
        event_id=event_id or f"{customer} calls",
    )


# The horizon is just after it.
TODAY = event(event_id="today", touchpoint="store.door", occurred_at="2026-08-03T10:00:00Z")


async def test_an_abandoned_checkout_followed_by_a_call_within_24_hours_leaks(
    figures: Figures,
) -> None:
    await figures.know(
        use("ann", "ABANDONED"),
        contact("ann", "2026-08-02T09:59:59Z"),
        use("ben", "FAILED"),
        # A whole day later it is another matter.
        contact("ben", "2026-08-02T10:00:00Z"),
        use("cem", "ABANDONED"),
        # Before, and by mail or alone: no leak.
        contact("cem", "2026-08-01T09:00:00Z", event_id="before"),
        contact("cem", "2026-08-01T11:00:00Z", channel="EMAIL", event_id="by mail"),
        contact("cem", "2026-08-01T11:00:00Z", channel="CHAT", mode="SELF", event_id="robot"),
        use("dee"),
        contact("dee", "2026-08-01T10:30:00Z", channel="STORE", mode="ADVISED"),
        use("eve"),
        TODAY,
    )
    rows = await figures.rows("self_service")
    [row] = [row for row in rows if row["touchpoint"] == "web.checkout"]
    told = ("started", "completed", "abandoned", "failed", "settled", "contained", "given_up")
    assert [row[name] for name in told] == ["5", "2", "2", "1", "5", "3", "3"]
    assert (row["leak_24h"], row["leak_rate"]) == ("1", str(1 / 3))
    assert row["containment_rate"] == "0.6"
    # Of 3 of 5 and of 1 of 3, as a public calculator has it.
    bounds = [
        float(row[f"{name}_{end}"])
        for name in ("containment_rate", "leak_rate")
        for end in ("lo", "hi")
    ]
    assert bounds == pytest.approx([0.230720, 0.882379, 0.061492, 0.792340], abs=1e-5)


async def test_a_leak_is_seen_across_sources_and_references_of_one_person(
    figures: Figures,
) -> None:
    same = {"same_as": "caller", "relation": "IDENTITY_RELATION_SAME"}
    await figures.know(
        use("visitor", "ABANDONED"),
        contact("caller", "2026-08-01T12:00:00Z"),
        TODAY,
        event(identity=same, customer="visitor", event_id="same"),
    )

    async def leaks(position: int) -> list[str]:
        rows = await figures.rows("self_service", as_of_position={"number": str(position)})
        return [row["leak_24h"] for row in rows]

    assert await leaks(3) == ["0"]
    assert await leaks(4) == ["1"]
    ids = await figures.events("self_service", "touchpoint=web.checkout")
    assert ids == ["visitor helps himself", "caller calls", "same"]


async def test_a_use_is_pending_until_its_24_hours_are_over_even_if_it_has_leaked(
    figures: Figures,
) -> None:
    await figures.know(
        use("ann", "ABANDONED", at="2026-08-03T09:00:00Z"),
        contact("ann", "2026-08-03T09:30:00Z"),
        # Its 24 hours end with the horizon.
        use("ben", at="2026-08-02T10:00:00Z"),
        TODAY,
    )
    [row] = await figures.rows("self_service")
    assert [row[name] for name in ("pending", "settled", "leak_24h")] == ["1", "1", "0"]
    assert row["containment_rate"] == "1.0"
    assert "leak_rate" not in row


async def test_a_use_of_nobody_knows_whom_is_in_no_share(figures: Figures) -> None:
    await figures.know(use("", "ABANDONED", event_id="walk-in"), TODAY)
    [row] = await figures.rows("self_service")
    assert [row[name] for name in ("started", "anonymous", "settled", "pending")] == [
        *("1", "1", "0", "0")
    ]
    assert {"containment_rate", "leak_rate"} & row.keys() == set()


async def test_a_call_that_did_not_happen_is_no_leak_any_more(figures: Figures) -> None:
    await figures.know(
        use("ann", "ABANDONED"),
        contact("ann", "2026-08-01T12:00:00Z"),
        TODAY,
        event(event_id="mistake", amends={"event_id": "ann calls"}, retraction={"reason": "test"}),
    )
    [row] = await figures.rows("self_service")
    assert (row["leak_24h"], row["leak_rate"]) == ("0", "0.0")
    [row] = await figures.rows("self_service", as_of_position={"number": "3"})
    assert (row["leak_24h"], row["leak_rate"]) == ("1", "1.0")


async def test_satisfaction_alone_stands_beside_that_with_staff_on_the_same_stage(
    figures: Figures,
) -> None:
    def answer(value: str, mode: str, stage: str, touchpoint: str) -> events.Event:
        body = {
            "stage": f"STAGE_{stage}",
            "service_mode": f"SERVICE_MODE_{mode}",
            "signals": [csat(value)],
        }
        fields = {"event_id": f"{value} {mode} {stage}", "touchpoint": touchpoint}
        return event(feedback_received=body, **fields)

    await figures.know(
        use("ann"),
        answer("4", "SELF", "PURCHASE", "web.checkout"),
        answer("5", "ASSISTED", "PURCHASE", "store.checkout"),
        answer("3", "ADVISED", "PURCHASE", "store.advice"),
        answer("1", "ASSISTED", "SERVICE", "call.support"),
        # About one dimension, so not about the whole.
        feedback(csat("1", dimension="speed"), event_id="speed"),
    )
    [row] = await figures.rows("self_service")
    told = ("csat_n", "csat_points", "staff_csat_n", "staff_csat_points")
    assert [row[name] for name in told] == ["1", "75.0", "2", "75.0"]
