"""A touchpoint that stops asking is told of: once for each silence, and the same by replay."""

from datetime import date, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from services.chassis.errors import Malformed
from tests.integration.scoring.test_alerts import TENANT, Shop, moment
from tests.integration.scoring.test_alerts import shop as shop
from tests.support.events import csat, event
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1 import events_pb2

DAYS = 30


def met(day: str, touchpoint: str = "store.checkout") -> events_pb2.Event:
    return event(
        event_id=f"met {touchpoint} {day}", occurred_at=f"{day}T10:00:00Z", touchpoint=touchpoint
    )


def asked(
    day: str, touchpoint: str = "store.checkout", decision: str = "REQUESTED"
) -> events_pb2.Event:
    body = {"survey": "after", "channel": "CHANNEL_EMAIL"}
    key = "feedback_requested" if decision == "REQUESTED" else "feedback_suppressed"
    return event(
        event_id=f"{key} {touchpoint} {day}",
        occurred_at=f"{day}T12:00:00Z",
        touchpoint=touchpoint,
        **{key: body if decision == "REQUESTED" else {"reason": "SUPPRESSION_REASON_SAMPLING"}},
    )


def rule(**fields: Any) -> pb.AlertRule:
    given: dict[str, Any] = {
        "name": "silent",
        "part": "asking_lapsed",
        "whole": "asking_due",
        "period": "ALERT_PERIOD_DAY",
        "p0": 1e-6,
        "starts_on": "2026-01-01",
        "grace": Duration(seconds=DAYS * 86_400),
    }
    return pb.AlertRule(**(given | fields))


def said(alerts: list[pb.Alert]) -> list[tuple[str, str, str, bool]]:
    return [
        (each.group, each.period_start, f"{each.judged_at.ToDatetime():%Y-%m-%d}", each.withdrawn)
        for each in alerts
    ]


async def passes(shop: Shop, at: str, *, touchpoint: str = "another") -> None:
    """The journal's clock passes this moment; another touchpoint asks somebody meanwhile."""
    await shop.record(moment(at), asked(at[:10], touchpoint))
    await shop.look()


async def test_a_touchpoint_that_has_asked_nobody_for_so_many_days_is_told_of_once(
    shop: Shop,
) -> None:
    await shop.rules.put(TENANT, rule())
    for day in ("2026-08-01", "2026-08-03"):
        await shop.record(moment(f"{day}T20:00"), met(day), asked(day))
    # That customers are met, or deliberately not asked, is no question.
    await shop.record(
        moment("2026-08-20T20:00"), met("2026-08-20"), asked("2026-08-20", decision="SUPPRESSED")
    )
    # The 30 days after the 3rd are over with the 2nd of September.
    await passes(shop, "2026-09-02T23:59")
    assert [] == said(await shop.told())
    for at in ("2026-09-03T00:01", "2026-09-04T00:01", "2026-09-25T00:01"):
        await passes(shop, at)
        assert [("store.checkout", "2026-08-03", "2026-09-03", False)] == said(await shop.told())
    [alert] = await shop.told()
    assert (1, 1) == (alert.part, alert.whole)


async def test_a_touchpoint_that_never_asked_is_told_of_from_when_it_first_met_a_customer(
    shop: Shop,
) -> None:
    await shop.rules.put(TENANT, rule())
    for day in ("2026-08-01", "2026-08-02", "2026-08-15"):
        await shop.record(moment(f"{day}T20:00"), met(day))
    await passes(shop, "2026-08-31T23:59")
    assert [] == await shop.told()
    await passes(shop, "2026-09-20T00:01")
    # Put or not, it is the moment that the 30 days were over.
    assert [("store.checkout", "2026-08-01", "2026-09-01", False)] == said(await shop.told())


async def test_a_touchpoint_that_hears_customers_unasked_is_told_of_as_any_other(
    shop: Shop,
) -> None:
    await shop.rules.put(TENANT, rule())
    for day in ("2026-08-01", "2026-08-15"):
        answer = {"signals": [csat("4")]}
        heard = event(
            event_id=f"heard {day}",
            occurred_at=f"{day}T10:00:00Z",
            touchpoint="web.reviews",
            feedback_received=answer,
        )
        await shop.record(moment(f"{day}T20:00"), heard)
    await passes(shop, "2026-09-01T00:01")
    assert [("web.reviews", "2026-08-01", "2026-09-01", False)] == said(await shop.told())


async def test_a_request_that_is_recorded_late_takes_the_alarm_back_and_one_in_time_prevents_it(
    shop: Shop,
) -> None:
    await shop.rules.put(TENANT, rule())
    await shop.record(moment("2026-08-03T20:00"), asked("2026-08-03"))
    await shop.record(moment("2026-08-03T20:00"), asked("2026-08-03", "web"))
    await shop.record(moment("2026-09-02T20:00"), asked("2026-09-02", "web"))
    await passes(shop, "2026-09-03T00:01")
    # After the 30 days: the silence has been, and stays told.
    await shop.record(moment("2026-09-03T20:00"), asked("2026-09-03"))
    await passes(shop, "2026-09-05T00:01")
    told = [("store.checkout", "2026-08-03", "2026-09-03", False)]
    assert told == said(await shop.told())
    # Of a till that was cut off; and then it did not happen.
    await shop.record(moment("2026-09-05T20:00"), asked("2026-08-20"))
    await passes(shop, "2026-09-06T00:01")
    told.append(("store.checkout", "2026-08-03", "2026-09-06", True))
    assert told == said(await shop.told())
    gone = {"amends": {"event_id": "feedback_requested store.checkout 2026-08-20"}}
    await shop.record(moment("2026-09-06T20:00"), event(event_id="no", retraction={}, **gone))
    await passes(shop, "2026-09-07T00:01")
    told.append(("store.checkout", "2026-08-03", "2026-09-07", False))
    assert told == said(await shop.told())


async def test_a_touchpoint_that_is_retired_meanwhile_owes_nothing(shop: Shop) -> None:
    await shop.rules.put(TENANT, rule())
    for name in ("closed", "open"):
        await shop.record(moment("2026-08-03T20:00"), asked("2026-08-03", name))
        # As services/scoring/definitions.py writes them.
        await shop.pool.execute(
            """
            INSERT INTO touchpoint_declaration (tenant, touchpoint, from_position, declared_at, retired)
            VALUES ($1, $2, 3, $3, $4)
            """,
            *(TENANT, name, moment("2026-08-10T10:00"), name == "closed"),
        )
    await shop.record(moment("2026-08-10T20:00"), asked("2026-08-10"))
    await passes(shop, "2026-09-03T00:01")
    assert [("open", "2026-08-03", "2026-09-03", False)] == said(await shop.told())


@pytest.mark.parametrize("put_first", [True, False])
async def test_whenever_it_is_judged_the_same_is_told_as_by_a_back_test(
    shop: Shop, put_first: bool
) -> None:
    """On one day in 1, 25, 31 and 45 each, with a week's delay; by hand beside it."""
    first, last = date(2026, 3, 2), date(2026, 7, 31)
    if put_first:
        await shop.rules.put(TENANT, rule())
    days = [first + timedelta(days=nth) for nth in range((last - first).days)]
    for day in days:
        recorded = moment(f"{day + timedelta(days=7)}T20:00")
        names = [f"every {n}" for n in (1, 25, 31, 45) if not (day - first).days % n]
        await shop.record(recorded, *(asked(f"{day}", name) for name in names))
        if put_first and day.day % 10 == 1:
            await shop.look()
    await shop.record(moment("2026-08-08T00:01"), met("2026-08-08"))
    await shop.look()
    tested = await shop.back_tests.run(TENANT, pb.BackTestRequest(rule=rule()))
    if put_first:
        assert said(list(tested.alerts)) == said(await shop.told())
    by_hand = [
        (f"every {n}", f"{day}")
        for n in (31, 45)
        for day in days
        if not (day - first).days % n and day + timedelta(days=DAYS + 1) <= date(2026, 8, 8)
    ]
    now = [(each.group, each.period_start) for each in tested.alarms_now]
    assert by_hand == now
    # Of 25 days each silence was told before the week was over, and taken back.
    assert len(tested.alerts) > len(by_hand)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("grace", {"grace": Duration()}),
        ("grace", {"grace": Duration(seconds=86_401)}),
        ("period", {"period": "ALERT_PERIOD_WEEK"}),
        ("group_by", {"group_by": "ALERT_GROUP_BY_STORE"}),
        ("store", {"store": "7"}),
        ("whole", {"whole": "csat_answered"}),
    ],
)
async def test_a_touchpoint_asks_or_is_silent_as_a_whole_day_by_day(
    shop: Shop, field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(Malformed, match=rf"rule\.{field}"):
        await shop.rules.put(TENANT, rule(**fields))
