"""Overdue recoveries are told as alerts: once, the day after their time is over, and the same by replay."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from services.chassis.errors import Malformed
from tests.integration.scoring.test_alerts import TENANT, Shop, moment
from tests.integration.scoring.test_alerts import shop as shop
from tests.support.events import event
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1 import events_pb2

# A failure of 3 August is due on the 6th at its own time of day; the day is judged when that is over.
JUDGED = moment("2026-08-07T00:00")


def of(name: str, at: str, **fields: Any) -> events_pb2.Event:
    """Of one customer's affair, told by its name."""
    return event(event_id=f"{name} {at}", occurred_at=f"{at}:00Z", correlation_id=name, **fields)


def failed(name: str, at: str = "2026-08-03T10:00", **fields: Any) -> events_pb2.Event:
    return of(name, at, failure={"severity": "SEVERITY_MAJOR"}, **fields)


def put_right(name: str, at: str) -> events_pb2.Event:
    return of(name, at, remedy={"kind": "REMEDY_KIND_REDO"})


def ended(name: str, at: str) -> events_pb2.Event:
    return of(name, at, recovery_closed={"result": "RECOVERY_RESULT_NO_ANSWER"})


def rule(**fields: Any) -> pb.AlertRule:
    """Any failure that is not put right within 72 hours, by touchpoint and day."""
    given: dict[str, Any] = {
        "name": "overdue",
        "part": "recovery_overdue",
        "whole": "recovery_failures",
        "period": "ALERT_PERIOD_DAY",
        "p0": 1e-6,
        "starts_on": "2026-08-01",
        "grace": Duration(seconds=72 * 3600),
    }
    return pb.AlertRule(**(given | fields))


def said(alerts: list[pb.Alert]) -> list[tuple[str, str, int, int, bool]]:
    return [
        (each.group, each.period_start, each.part, each.whole, each.withdrawn) for each in alerts
    ]


async def passes(shop: Shop, at: str) -> None:
    """The journal's clock passes this moment."""
    await shop.record(moment(at), event(event_id=f"at {at}", occurred_at=f"{at}:00Z"))
    await shop.look()


async def test_a_failure_that_nobody_put_right_in_time_is_told_once(shop: Shop) -> None:
    await shop.rules.put(TENANT, rule())
    await shop.record(
        moment("2026-08-03T20:00"),
        *(
            failed("late"),
            failed("in time"),
            failed("ended"),
            failed("elsewhere", touchpoint="web"),
        ),
    )
    await shop.record(
        moment("2026-08-06T12:00"),
        *(put_right("in time", "2026-08-06T10:00"), ended("ended", "2026-08-05T10:00")),
        *(put_right("late", "2026-08-06T10:01"), ended("elsewhere", "2026-08-04T10:00")),
    )
    await passes(shop, "2026-08-06T23:59")
    assert [] == await shop.told()
    for at in ("2026-08-07T00:01", "2026-08-08T00:01", "2026-08-20T00:01"):
        await passes(shop, at)
        [alert] = await shop.told()
        assert [("store.checkout", "2026-08-03", 1, 3, False)] == said([alert])
    assert JUDGED == alert.judged_at.ToDatetime(JUDGED.tzinfo)


async def test_what_came_too_late_takes_nothing_back_and_what_was_recorded_late_does(
    shop: Shop,
) -> None:
    await shop.rules.put(TENANT, rule())
    await shop.record(moment("2026-08-03T20:00"), failed("one"))
    await passes(shop, "2026-08-07T00:01")
    await shop.record(moment("2026-08-07T12:00"), put_right("one", "2026-08-07T09:00"))
    await passes(shop, "2026-08-08T00:01")
    assert [("store.checkout", "2026-08-03", 1, 1, False)] == said(await shop.told())
    # A till that was cut off tells of a remedy of the next day; twice, and then takes one of them back.
    await shop.record(
        moment("2026-08-08T12:00"),
        *(put_right("one", "2026-08-04T09:00"), put_right("one", "2026-08-04T11:00")),
    )
    taken_back = {"amends": {"event_id": "one 2026-08-04T09:00"}, "retraction": {}}
    await passes(shop, "2026-08-09T00:01")
    await shop.record(moment("2026-08-09T12:00"), of("no", "2026-08-09T11:00", **taken_back))
    await passes(shop, "2026-08-10T00:01")
    assert [False, True] == [each.withdrawn for each in await shop.told()]


async def test_a_failure_that_did_not_happen_is_not_overdue(shop: Shop) -> None:
    await shop.rules.put(TENANT, rule())
    await shop.record(moment("2026-08-03T20:00"), failed("one"))
    taken_back = {"amends": {"event_id": "one 2026-08-03T10:00"}, "retraction": {}}
    await shop.record(moment("2026-08-04T20:00"), of("no", "2026-08-04T10:00", **taken_back))
    await passes(shop, "2026-08-10T00:01")
    assert [] == await shop.told()


async def test_what_was_decided_about_the_case_of_the_failure_counts(shop: Shop) -> None:
    await shop.rules.put(TENANT, rule())
    await shop.record(moment("2026-08-03T20:00"), failed("in time"), failed("late"))
    for name, hours in (("in time", 72), ("late", 73)):
        decided = moment("2026-08-03T10:00") + timedelta(hours=hours)
        failure = f"{name} 2026-08-03T10:00"
        # As services/scoring/cases.py writes them.
        await shop.pool.execute(
            """
            INSERT INTO case_decision (tenant, position, case_id, decision, decided_at, failure_source,
                                       failure_event_id)
            VALUES ($1, $2, $3, 'opened', $4, 'till', $5), ($1, $2 + 1, $3, 'remedied', $4, NULL, NULL)
            """,
            *(TENANT, 1 + 2 * hours, name, decided, failure),
        )
    # Positions of a journal that is longer than the decisions.
    for _ in range(2):
        sales = [event(event_id=f"sale {len(shop.journal)} {n}") for n in range(100)]
        await shop.record(moment("2026-08-06T12:00"), *sales)
    await passes(shop, "2026-08-07T00:01")
    assert [("store.checkout", "2026-08-03", 1, 2, False)] == said(await shop.told())


@pytest.mark.parametrize("put_first", [True, False])
async def test_whenever_it_is_judged_the_same_is_told_as_by_a_back_test(
    shop: Shop, put_first: bool
) -> None:
    if put_first:
        await shop.rules.put(TENANT, rule())
    for day in range(3, 20):
        at = f"2026-08-{day:02}T10:00"
        names = [f"{day} {n}" for n in range(day % 3)]
        if names:
            told = [failed(name, at) for name in names]
            await shop.record(moment(at) + timedelta(hours=1), *told)
        if names and day % 2:
            late = f"2026-08-{day + 2:02}T09:00"
            await shop.record(moment(at) + timedelta(hours=2), put_right(names[0], late))
        if put_first:
            await passes(shop, f"2026-08-{day:02}T23:59")
    await passes(shop, "2026-08-30T00:01")
    tested = await shop.back_tests.run(TENANT, pb.BackTestRequest(rule=rule()))
    assert len(tested.alerts) > 5
    if put_first:
        assert said(list(tested.alerts)) == said(await shop.told())
    by_hand = [
        ("store.checkout", f"2026-08-{day:02}", day % 3 - day % 2, day % 3, False)
        for day in range(3, 20)
        if day % 3 and day % 3 - day % 2 > 0
    ]
    assert by_hand == said(list(tested.alarms_now))


async def test_the_time_within_which_it_is_put_right_is_needed(shop: Shop) -> None:
    with pytest.raises(Malformed, match="grace"):
        await shop.rules.put(TENANT, rule(grace=Duration()))
    with pytest.raises(Malformed, match="whole"):
        await shop.rules.put(TENANT, rule(whole="csat_answered"))
