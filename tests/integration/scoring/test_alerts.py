"""What a rule tells depends on the journal alone: not on when it is judged, by whom, or how often."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import Exhausted, Malformed, NotFound
from services.chassis.postgres import Pool
from services.cli import olist
from services.scoring.alerts import points as points_module
from services.scoring.alerts import replay as replay_module
from services.scoring.alerts import rules as rules_module
from services.scoring.alerts import watch as watch_module
from services.scoring.alerts.back_test import BackTests
from services.scoring.alerts.board import Board
from services.scoring.alerts.chart import Direction, Point
from services.scoring.alerts.judgement import BASELINE_MIN
from services.scoring.alerts.points import Points
from services.scoring.alerts.rule import Rule, checked, rule_of
from services.scoring.alerts.rules import Rules
from services.scoring.alerts.watch import PROJECTION, Watch
from services.scoring.lease import Lease, take_away
from services.scoring.scoreboard import Overtaken, Progress, Scoreboard
from tests.support import real_orders
from tests.support.events import csat, event, feedback
from tests.support.journals import JOURNAL_ID, recorded
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1 import events_pb2
from touchledger.v1.journal_pb2 import RecordedEvent

TENANT = "default"
WAIT_SECONDS_MAX = 30.0


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class Shop:
    """Has events recorded at moments that the test says, and judges when it says so."""

    pool: Pool
    scoreboard: Scoreboard
    rules: Rules
    board: Board
    back_tests: BackTests
    watch: Watch
    journal: list[RecordedEvent] = field(default_factory=list)
    token: int = 0

    async def record(self, at: datetime, *events: events_pb2.Event, tenant: str = TENANT) -> None:
        await self.record_all([(at, each) for each in events], tenant=tenant)

    async def record_all(
        self, events: Sequence[tuple[datetime, events_pb2.Event]], *, tenant: str = TENANT
    ) -> None:
        """In one page."""
        page = []
        for at, each in events:
            position = len(self.journal) + 1
            made = recorded(each, position, tenant=tenant)
            made.recorded_at.CopyFrom(_timestamp(at))
            self.journal.append(made)
            page.append(made)
        progress = Progress(
            journal_id=JOURNAL_ID,
            after=page[0].position - 1,
            to=page[-1].position,
            events=len(page),
            recorded_at=events[-1][0],
            head=page[-1].position,
        )
        await self.scoreboard.project(page, progress)

    async def look(self) -> None:
        if not self.token:
            token = await Lease(self.pool, PROJECTION, owner="test").take()
            assert token is not None
            self.token = token
        await self.watch.look(self.token)

    async def told(self, tenant: str = TENANT) -> list[pb.Alert]:
        return await self.board.alerts(tenant, after_number=0, page_size=1000)


def _timestamp(at: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


@pytest.fixture
def shop(scoring_pool: Pool) -> Shop:
    points = Points(scoring_pool)
    rules = Rules(scoring_pool, points)
    return Shop(
        pool=scoring_pool,
        scoreboard=Scoreboard(scoring_pool),
        rules=rules,
        board=Board(scoring_pool),
        back_tests=BackTests(points, rules),
        watch=Watch(scoring_pool, rules, points, owner="test", delivered=()),
    )


numbers = iter(range(1_000_000_000))


def answer(value: int, at: str, **fields: Any) -> events_pb2.Event:
    """An answer on the scale 1 to 5 at store.checkout, on the clock of UTC."""
    given: dict[str, Any] = {"event_id": f"answer-{next(numbers)}"} | fields
    return feedback(csat(str(value)), occurred_at=f"{at}:00Z", **given)


def answers(low: int, high: int, at: str, **fields: Any) -> list[events_pb2.Event]:
    return [answer(1, at, **fields) for _ in range(low)] + [
        answer(5, at, **fields) for _ in range(high)
    ]


def rule(**fields: Any) -> pb.AlertRule:
    """Bottom-2 of a day, upwards from 10 %, from 3 August 2026 on; with these fields otherwise."""
    given: dict[str, Any] = {
        "name": "bottom2",
        "part": "csat_bottom2",
        "whole": "csat_answered",
        "period": "ALERT_PERIOD_DAY",
    }
    if "baseline" not in fields:
        given |= {"p0": 0.1, "starts_on": "2026-08-03"}
    return pb.AlertRule(**(given | fields))


async def test_an_alarm_is_told_when_its_period_is_closed_and_once(shop: Shop) -> None:
    await shop.record(moment("2026-08-03T09:00"), answer(5, "2026-08-03T08:00"))
    await shop.rules.put(TENANT, rule())
    await shop.record(moment("2026-08-03T18:00"), *answers(9, 11, "2026-08-03T17:00"))
    await shop.look()
    assert [] == await shop.told()

    await shop.record(moment("2026-08-04T00:00:01"), answer(5, "2026-08-03T23:59"))
    await shop.look()
    await shop.look()

    [alert] = await shop.told()
    # What was recorded a second after midnight was not known then.
    assert (1, 9, 21, False, 0) == (
        alert.number,
        alert.part,
        alert.whole,
        alert.withdrawn,
        alert.supersedes,
    )
    assert ("store.checkout", "2026-08-03", "2026-08-04") == (
        alert.group,
        alert.period_start,
        alert.period_end,
    )
    assert moment("2026-08-04T00:00") == alert.judged_at.ToDatetime(UTC)
    assert 21 == alert.as_of_position.number
    assert (0.1, 9 / 21) == (alert.p0, alert.statistic)
    assert alert.upper < alert.statistic


async def test_a_period_waits_for_its_grace(shop: Shop) -> None:
    await shop.record(moment("2026-08-03T09:00"), *answers(9, 11, "2026-08-03T08:00"))
    late = rule(name="patient")
    late.grace.FromSeconds(2 * 3600)
    await shop.rules.put(TENANT, late)

    await shop.record(moment("2026-08-04T02:00"), answer(5, "2026-08-04T01:00"))
    await shop.look()
    # Another event may yet be recorded at that very moment.
    assert [] == await shop.told()
    await shop.record(moment("2026-08-04T02:00:00.000001"), answer(5, "2026-08-04T01:00"))
    await shop.look()

    [alert] = await shop.told()
    assert moment("2026-08-04T02:00") == alert.judged_at.ToDatetime(UTC)


async def test_days_are_those_of_the_reporting_zone(scoring_pool: Pool, shop: Shop) -> None:
    await scoring_pool.execute(
        "INSERT INTO tenant (tenant, reporting_zone) VALUES ($1, 'Asia/Singapore')", TENANT
    )
    await shop.rules.put(TENANT, rule())
    # 3 August begins in Singapore at 16:00 of the day before.
    await shop.record(moment("2026-08-02T17:00"), *answers(9, 11, "2026-08-02T16:00"))
    await shop.record(moment("2026-08-03T16:00:01"), answer(5, "2026-08-03T16:00"))
    await shop.look()

    [alert] = await shop.told()

    assert ("2026-08-03", 9, 20) == (alert.period_start, alert.part, alert.whole)
    assert moment("2026-08-03T16:00") == alert.judged_at.ToDatetime(UTC)


async def test_history_is_judged_when_the_rule_is_put(shop: Shop) -> None:
    await shop.record(
        moment("2026-09-01T09:00"),
        *answers(9, 11, "2026-08-03T08:00"),
        *answers(1, 19, "2026-08-04T08:00"),
    )

    await shop.rules.put(TENANT, rule())
    await shop.look()

    [alert] = await shop.told()
    assert ("2026-08-03", 40) == (alert.period_start, alert.as_of_position.number)


async def test_answers_that_come_late_take_an_alarm_back_and_nothing_is_changed(
    shop: Shop,
) -> None:
    await shop.record(moment("2026-08-03T09:00"), *answers(9, 11, "2026-08-03T08:00"))
    await shop.rules.put(TENANT, rule())
    await shop.record(moment("2026-08-04T09:00"), answer(5, "2026-08-04T08:00"))
    await shop.look()
    [first] = await shop.told()

    await shop.record(moment("2026-08-04T10:00"), *answers(0, 100, "2026-08-03T08:30"))
    await shop.look()
    assert [first] == await shop.told()  # until the day is over
    await shop.record(moment("2026-08-05T09:00"), answer(5, "2026-08-04T08:00"))
    await shop.look()
    second = (await shop.told())[1]
    await shop.record(moment("2026-08-05T10:00"), *answers(100, 0, "2026-08-03T08:30"))
    await shop.record(moment("2026-08-06T09:00"), answer(5, "2026-08-04T08:00"))
    await shop.look()

    assert [first, second] == (await shop.told())[:2]
    third = (await shop.told())[2]
    assert [(False, 0), (True, 1), (False, 2)] == [
        (each.withdrawn, each.supersedes) for each in (first, second, third)
    ]
    assert [(9, 20), (9, 120), (109, 220)] == [
        (each.part, each.whole) for each in (first, second, third)
    ]
    assert 3 == len({each.alert_id for each in (first, second, third)})


async def test_a_retraction_of_all_answers_takes_the_alarm_back(shop: Shop) -> None:
    given = answers(9, 0, "2026-08-03T08:00")
    await shop.record(moment("2026-08-03T09:00"), *given)
    await shop.rules.put(TENANT, rule())
    await shop.record(moment("2026-08-04T09:00"), answer(5, "2026-08-04T08:00"))
    retractions = [
        event(
            event_id=f"retract {each.event_id}",
            amends={"source": "till", "event_id": each.event_id},
            retraction={"reason": "test"},
        )
        for each in given
    ]
    await shop.record(moment("2026-08-04T10:00"), *retractions)
    await shop.record(moment("2026-08-05T09:00"), answer(5, "2026-08-04T08:00"))
    await shop.look()

    raised, withdrawn = await shop.told()

    assert (9, 9, False) == (raised.part, raised.whole, raised.withdrawn)
    assert (0, 0, True, 1) == (
        withdrawn.part,
        withdrawn.whole,
        withdrawn.withdrawn,
        withdrawn.supersedes,
    )


async def test_a_group_without_enough_of_a_baseline_has_no_chart(shop: Shop) -> None:
    few, enough = BASELINE_MIN - 1, BASELINE_MIN
    await shop.record(
        moment("2026-08-20T09:00"),
        *answers(3, few - 3, "2026-08-03T08:00", touchpoint="few"),
        *answers(3, enough - 3, "2026-08-03T08:00", touchpoint="enough"),
        *answers(0, 2 * enough, "2026-08-03T08:00", touchpoint="all good"),
        *(
            each
            for touchpoint in ("few", "enough", "all good")
            for each in answers(20, 0, "2026-08-12T08:00", touchpoint=touchpoint)
        ),
    )
    baseline = {"from": "2026-08-03", "before": "2026-08-10"}

    _, figures = await shop.rules.put(TENANT, rule(baseline=baseline))
    await shop.look()

    assert (1, 2) == (figures.groups, figures.groups_without_baseline)
    assert ["enough"] == [each.group for each in await shop.told()]


async def test_filters_and_groups_choose_what_is_counted(shop: Shop) -> None:
    def by(channel: events_pb2.Channel, touchpoint: str, low: int) -> list[events_pb2.Event]:
        made = answers(low, 20 - low, "2026-08-03T08:00", touchpoint=touchpoint)
        for each in made:
            each.feedback_received.channel = channel
        return made

    await shop.record(
        moment("2026-08-10T09:00"),
        *by(events_pb2.CHANNEL_WEB, "store.a", 9),
        *by(events_pb2.CHANNEL_STORE, "store.a", 10),
        *by(events_pb2.CHANNEL_WEB, "store.b", 11),
        *by(events_pb2.CHANNEL_WEB, "call.a", 12),
    )
    for name, fields in {
        "by-channel": {"group_by": "ALERT_GROUP_BY_CHANNEL"},
        "one": {"group_by": "ALERT_GROUP_BY_ALL", "touchpoint_glob": "store.*"},
        "web": {"channel": "web", "touchpoint_glob": "*.a"},
    }.items():
        await shop.rules.put(TENANT, rule(name=name, **fields))
    await shop.look()

    assert {
        ("by-channel", "store", 10, 20),
        ("by-channel", "web", 32, 60),
        ("one", "all", 30, 60),
        ("web", "call.a", 12, 20),
        ("web", "store.a", 9, 20),
    } == {(each.rule, each.group, each.part, each.whole) for each in await shop.told()}


async def test_false_discovery_leaves_what_one_chart_alone_would_tell(shop: Shop) -> None:
    quiet = [
        each
        for nth in range(60)
        for each in answers(1, 19, "2026-08-03T08:00", touchpoint=f"quiet.{nth}")
    ]
    await shop.record(
        moment("2026-08-10T09:00"),
        *quiet,
        *answers(7, 13, "2026-08-03T08:00", touchpoint="odd"),
        *answers(15, 5, "2026-08-03T08:00", touchpoint="bad"),
    )
    exact = {"p_chart": {"tail": 0.01}}
    await shop.rules.put(TENANT, rule(name="alone", **exact))
    await shop.rules.put(TENANT, rule(name="together", false_discovery_rate=0.05, **exact))
    await shop.look()

    told = {(each.rule, each.group) for each in await shop.told()}

    assert {("alone", "odd"), ("alone", "bad"), ("together", "bad")} == told


async def test_a_rule_that_outgrows_its_bounds_stands_still_says_why_and_stops_no_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups are named by publishers: a store for each receipt, say."""
    monkeypatch.setattr(points_module, "CELLS_MAX", 3)
    for module in (replay_module, watch_module):
        monkeypatch.setattr(module, "GROUPS_MAX", 2)
    for name, by in (("touchpoints", "TOUCHPOINT"), ("stores", "STORE"), ("one", "ALL")):
        await shop.rules.put(TENANT, rule(name=name, group_by=f"ALERT_GROUP_BY_{by}"))
    for nth in range(4):
        await shop.record(
            moment("2026-08-03T09:00"),
            *answers(9, 11, "2026-08-03T08:00", touchpoint=f"{nth}", place={"store": f"{nth % 3}"}),
        )
    await shop.record(moment("2026-08-04T09:00"), answer(5, "2026-08-04T08:00"))

    await shop.look()

    assert [("one", 36)] == [(each.rule, each.part) for each in await shop.told()]
    assert {
        "touchpoints": "rule: got more, want at most 3 changes of a group's period: narrow it",
        "stores": "more than 2 groups",
        "one": "",
    } == {each.name: each.figures.trouble for each in await shop.rules.of_tenant(TENANT)}


async def test_a_rule_over_a_count_that_this_release_lacks_stands_still_and_stops_no_other(
    shop: Shop,
) -> None:
    await shop.rules.put(TENANT, rule(name="later"))
    await shop.rules.put(TENANT, rule(name="known"))
    await shop.pool.execute(
        "UPDATE scoring.alert_rule SET definition = replace(definition, 'csat_bottom2', 'csat_calm')"
        " WHERE name = 'later'"
    )
    await shop.record(moment("2026-08-03T09:00"), *answers(9, 11, "2026-08-03T08:00"))
    await shop.record(moment("2026-08-04T09:00"), answer(5, "2026-08-04T08:00"))

    await shop.look()

    assert ["known"] == [each.rule for each in await shop.told()]
    assert {
        "later": "rule.part: got 'csat_calm', want a count that this release knows",
        "known": "",
    } == {each.name: each.figures.trouble for each in await shop.rules.of_tenant(TENANT)}


async def test_what_one_tenant_is_told_is_no_other_tenants(shop: Shop) -> None:
    await shop.record(moment("2026-08-03T09:00"), *answers(9, 11, "2026-08-03T08:00"))
    await shop.record(
        moment("2026-08-04T09:00"), *answers(1, 19, "2026-08-03T08:00"), tenant="other"
    )
    await shop.rules.put(TENANT, rule())
    await shop.rules.put("other", rule())
    await shop.look()

    assert [9] == [each.part for each in await shop.told()]
    assert [] == await shop.told("other")
    with pytest.raises(NotFound):
        await shop.rules.remove("third", "bottom2")


async def test_who_has_lost_the_lease_tells_nothing(shop: Shop) -> None:
    await shop.record(moment("2026-08-04T09:00"), *answers(9, 11, "2026-08-03T08:00"))
    await shop.rules.put(TENANT, rule())
    lease = Lease(shop.pool, PROJECTION, owner="stands still")
    stale = await lease.take()
    assert stale is not None
    await lease.release(stale)

    with pytest.raises(Overtaken):
        await shop.watch.look(stale)

    assert [] == await shop.told()
    await shop.look()
    assert 1 == len(await shop.told())


async def test_another_content_is_another_version_and_the_same_is_none(shop: Shop) -> None:
    await shop.record(moment("2026-08-04T09:00"), *answers(9, 11, "2026-08-03T08:00"))
    first, _ = await shop.rules.put(TENANT, rule())
    again, _ = await shop.rules.put(TENANT, rule())
    await shop.look()

    second, _ = await shop.rules.put(TENANT, rule(direction="ALERT_DIRECTION_BOTH"))
    await shop.look()

    assert (1, 1, 2) == (first.version, again.version, second.version)
    assert [1, 2] == [each.rule_version for each in await shop.told()]
    assert [2] == [each.version for each in await shop.rules.of_tenant(TENANT)]


async def test_a_rule_that_has_ended_tells_nothing_more_and_what_it_told_stays(
    shop: Shop,
) -> None:
    await shop.record(moment("2026-08-04T09:00"), *answers(9, 11, "2026-08-03T08:00"))
    await shop.rules.put(TENANT, rule())
    await shop.look()

    await shop.rules.remove(TENANT, "bottom2")
    await shop.rules.remove(TENANT, "bottom2")
    await shop.record(moment("2026-08-05T09:00"), *answers(9, 11, "2026-08-04T08:00"))
    await shop.record(moment("2026-08-06T09:00"), answer(5, "2026-08-04T08:00"))
    await shop.look()

    assert 1 == len(await shop.told())
    assert [] == await shop.rules.of_tenant(TENANT)
    with pytest.raises(NotFound):
        await shop.back_tests.run(TENANT, pb.BackTestRequest(name="bottom2"))


async def test_a_tenant_has_so_many_rules_and_no_more(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_module, "RULES_OF_TENANT_MAX", 2)
    await shop.rules.put(TENANT, rule(name="a"))
    await shop.rules.put(TENANT, rule(name="b"))

    with pytest.raises(Exhausted):
        await shop.rules.put(TENANT, rule(name="c"))

    await shop.rules.put(TENANT, rule(name="a", direction="ALERT_DIRECTION_BOTH"))


async def test_a_rule_says_how_often_it_is_wrong(shop: Shop) -> None:
    await shop.record(
        moment("2026-08-20T09:00"),
        *(
            each
            for day in range(3, 13)
            for touchpoint in ("a", "b")
            for each in answers(3, 27, f"2026-08-{day:02}T08:00", touchpoint=touchpoint)
        ),
    )
    normal = {"p_chart": {"limits": "ALERT_LIMITS_NORMAL"}}

    _, figures = await shop.rules.put(
        TENANT, rule(baseline={"from": "2026-08-03", "before": "2026-08-13"}, **normal)
    )

    judging = rule_of(checked(rule(**normal)))
    chance = judging.chart.alarm_probability(30, 0.1, Direction.UP)  # type: ignore[union-attr]  # the rule's is a p-chart
    assert 1 / chance == pytest.approx(figures.run_length)
    assert 2 * 365.2425 * chance == pytest.approx(figures.false_alarms_per_year)


async def test_a_part_that_is_none_of_the_whole_is_refused(shop: Shop) -> None:
    await shop.record(moment("2026-08-04T09:00"), *answers(9, 11, "2026-08-03T08:00"))

    with pytest.raises(Malformed):
        await shop.rules.put(TENANT, rule(part="csat_answered", whole="csat_bottom2"))


class Oracle:
    """What must be told, in plain Python, from the journal alone."""

    def __init__(self, journal: Sequence[RecordedEvent], zone: str) -> None:
        self._journal = [
            (
                each.position,
                each.recorded_at.ToDatetime(UTC),
                events_pb2.Event.FromString(each.event),
            )
            for each in journal
        ]
        self._zone = ZoneInfo(zone)

    def changes(self, judged: Rule, *, by_request: bool) -> list[tuple[object, ...]]:
        told: set[tuple[str, date]] = set()
        found: list[tuple[object, ...]] = []
        first, last = self._journal[0][1], self._journal[-1][1]
        day = first.astimezone(self._zone).date() - timedelta(days=100)
        while True:
            day += timedelta(days=1)
            midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(UTC)
            at = midnight + judged.grace
            if at >= last:
                return found
            if at > first:
                alarms = self._alarms(judged, at, day, by_request=by_request)
                changed = sorted(alarms ^ told, key=lambda key: (key[1], key[0]))
                found += [(at, group, period, (group, period) in told) for group, period in changed]
                told = alarms

    def _alarms(
        self, judged: Rule, at: datetime, day: date, *, by_request: bool
    ) -> set[tuple[str, date]]:
        cells = self._cells(judged, at, by_request=by_request)
        closed = {
            key: cell
            for key, cell in cells.items()
            if key[1] + timedelta(days=judged.period_days) <= day
        }
        alarms = set()
        p_values: dict[date, dict[str, tuple[float, bool]]] = {}
        for group in {group for group, _ in closed}:
            own = {period: cell for (of, period), cell in closed.items() if of == group}
            p0 = judged.p0
            if judged.baseline:
                if day < judged.baseline[1]:
                    continue
                based = [
                    cell
                    for period, cell in own.items()
                    if judged.baseline[0] <= period < judged.baseline[1]
                ]
                part, whole = sum(cell[0] for cell in based), sum(cell[1] for cell in based)
                if whole < BASELINE_MIN or not 0 < part < whole:
                    continue
                p0 = part / whole
            points = [
                Point(period, *own[period]) for period in sorted(own) if period >= judged.starts
            ]
            for each in judged.chart.judge(points, p0, judged.direction):
                said = p_values.setdefault(each.point.period, {})
                said[group] = each.p_value, each.is_alarm
                if each.is_alarm:
                    alarms.add((group, each.point.period))
        if judged.false_discovery_rate:
            for period, said in p_values.items():
                ordered = sorted((p, group) for group, (p, is_alarm) in said.items() if is_alarm)
                most = max(
                    (
                        nth
                        for nth, (p, _) in enumerate(ordered, start=1)
                        if p <= judged.false_discovery_rate * nth / len(said)
                    ),
                    default=0,
                )
                alarms -= {(group, period) for _, group in ordered[most:]}
        return alarms

    def _cells(
        self, judged: Rule, at: datetime, *, by_request: bool
    ) -> dict[tuple[str, date], tuple[int, int]]:
        known = [each for _, recorded_at, each in self._journal if recorded_at <= at]
        requests = {
            each.event_id: each for each in known if each.WhichOneof("body") == "feedback_requested"
        }
        # The last amendment of an event in journal order counts.
        amended = {
            each.amends.event_id: each
            for each in known
            if each.WhichOneof("body") in ("correction", "retraction")
        }
        cells: dict[tuple[str, date], tuple[int, int]] = {}
        for each in known:
            if each.WhichOneof("body") != "feedback_received":
                continue
            amendment = amended.get(each.event_id)
            said, of = each.feedback_received, each
            if amendment is not None:
                if amendment.WhichOneof("body") == "retraction":
                    continue
                said, of = amendment.correction.feedback_received, amendment
            dated = requests.get(said.request_id) if by_request else of
            if dated is None:
                continue
            day = dated.occurred_at.ToDatetime(UTC).astimezone(self._zone).date()
            period = judged.period_of(day)
            if day < judged.reads_from:
                continue
            part, whole = cells.get((of.touchpoint, period), (0, 0))
            low = float(said.signals[0].value) <= 2
            cells[of.touchpoint, period] = part + low, whole + 1
        return cells


def history(seed: int) -> list[tuple[datetime, events_pb2.Event]]:
    """Seven weeks of answers of three touchpoints: late, corrected, retracted, amended before they come."""
    drawn = random.Random(seed)
    start = moment("2026-08-01T00:00")
    made: list[tuple[datetime, events_pb2.Event]] = []
    asked: list[str] = []
    for nth in range(700):
        at = start + timedelta(minutes=nth * 100 + drawn.randrange(100))
        kind = drawn.random()
        lag = timedelta(minutes=int(drawn.expovariate(1 / 600)))
        occurred_at = f"{at - lag:%Y-%m-%dT%H:%M:%SZ}"
        touchpoint = drawn.choice(["a", "b", "c"])
        bad = 0.5 if touchpoint == "b" and nth > 350 else 0.15
        value = str(1 if drawn.random() < bad else 4)
        body = {
            "signals": [csat(value)],
            "request_id": drawn.choice(asked) if asked and drawn.random() < 0.8 else "",
        }
        # Whichever comes first: what is amended is one of the last or of the next fifty.
        target = {"source": "till", "event_id": f"{seed}-{max(0, nth + drawn.randrange(-50, 50))}"}
        event_id = f"{seed}-{nth}"
        if kind < 0.2:
            asked.append(event_id)
            given: dict[str, Any] = {"feedback_requested": {"asked_via": "CHANNEL_EMAIL"}}
        elif kind < 0.27:
            given = {"amends": target, "retraction": {"reason": "test"}}
        elif kind < 0.37:
            given = {"amends": target, "correction": {"reason": "x", "feedback_received": body}}
        else:
            given = {"feedback_received": body}
        made.append(
            (at, event(event_id=event_id, occurred_at=occurred_at, touchpoint=touchpoint, **given))
        )
    return made


RULES = {
    "exact-days": {},
    "normal-weeks": {
        "period": "ALERT_PERIOD_WEEK",
        "starts_on": "2026-08-05",
        "direction": "ALERT_DIRECTION_BOTH",
        "p_chart": {"limits": "ALERT_LIMITS_NORMAL", "sigmas": 1.5},
        "grace": timedelta(hours=5),
    },
    "average-days": {
        "baseline": {"from": "2026-08-02", "before": "2026-08-20"},
        "ewma": {"width": 1.5},
        "false_discovery_rate": 0.2,
    },
    "by-request": {
        "dated_by": "ALERT_DATED_BY_REQUEST",
        "period": "ALERT_PERIOD_WEEK",
        "baseline": {"from": "2026-08-03", "before": "2026-08-24"},
        "ewma": {"weight": 0.5, "width": 1.0},
        "grace": timedelta(days=2),
    },
}


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_told_live_is_what_a_plain_fold_and_a_back_test_tell(
    shop: Shop, seed: int
) -> None:
    drawn = random.Random(seed)
    zone = "America/Sao_Paulo"
    await shop.pool.execute(
        "INSERT INTO tenant (tenant, reporting_zone) VALUES ($1, $2)", TENANT, zone
    )
    for name, fields in RULES.items():
        await shop.rules.put(TENANT, rule(name=name, **fields))
    to_come = history(seed)
    while to_come:
        events = drawn.randrange(1, 40)
        await shop.record_all(to_come[:events])
        to_come = to_come[events:]
        if drawn.random() < 0.5:
            await shop.look()
    await shop.look()
    assert {False, True} == {each.withdrawn for each in await shop.told()}, "it tells too little"

    oracle = Oracle(shop.journal, zone)
    for kept in await shop.rules.of_tenant(TENANT):
        live = await shop.board.alerts(TENANT, after_number=0, rule=kept.name, page_size=1000)
        by_request = kept.rule.message.dated_by == pb.ALERT_DATED_BY_REQUEST
        wanted = oracle.changes(kept.rule, by_request=by_request)
        assert wanted == [
            (
                each.judged_at.ToDatetime(UTC),
                each.group,
                date.fromisoformat(each.period_start),
                each.withdrawn,
            )
            for each in live
        ]

        tested = await shop.back_tests.run(TENANT, pb.BackTestRequest(name=kept.name))

        for each in live:
            each.number = each.supersedes = 0
        assert live == list(tested.alerts)
        # A rule that need not be there is judged over all of history, too: here both began with it.
        as_new = await shop.back_tests.run(TENANT, pb.BackTestRequest(rule=kept.rule.message))
        for each in (*live, *as_new.alerts):
            each.alert_id, each.rule_version = "", 0
        assert live == list(as_new.alerts)


async def test_the_real_orders_have_the_expected_alarms_in_sql_too(shop: Shop) -> None:
    zone = "America/Sao_Paulo"
    await shop.pool.execute(
        "INSERT INTO tenant (tenant, reporting_zone) VALUES ($1, $2)", TENANT, zone
    )
    expected = real_orders.expected_alarms()
    await shop.record(moment("2026-08-03T09:00"), *olist.read(real_orders.folder()))
    charts: dict[str, dict[str, Any]] = {
        "p_chart_3_sigma_normal": {"p_chart": {"limits": "ALERT_LIMITS_NORMAL"}},
        "p_chart_exact_binomial_0.00135": {"p_chart": {"limits": "ALERT_LIMITS_EXACT"}},
        "ewma_lambda_0.2_L_3_start_p0": {"ewma": {}},
    }
    for name, chart in charts.items():
        put, _ = await shop.rules.put(
            TENANT,
            rule(
                name=name.lower(),
                touchpoint_glob="outcome.delivered",
                period="ALERT_PERIOD_WEEK",
                dated_by="ALERT_DATED_BY_REQUEST",
                baseline={"from": "2017-04-03", "before": "2017-11-20"},
                **chart,
            ),
        )
        await shop.look()

        told = await shop.board.alerts(TENANT, after_number=0, rule=put.name)

        before = real_orders.monday("2018-W35")
        weeks = [date.fromisoformat(each.period_start) for each in told]
        assert expected[name] == [real_orders.week(week) for week in weeks if week < before]
        assert expected["p0"] == pytest.approx(told[0].p0, abs=1e-6)


async def test_whoever_loses_the_lease_takes_it_again_and_gives_it_back_at_the_end(
    shop: Shop,
) -> None:
    held = (
        "SELECT token FROM scoring.lease WHERE projection = $1 AND expires_at > clock_timestamp()"
    )

    async def held_above(token: int) -> int:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            # The database is the one that knows, so asking is the only way.
            while (found := await shop.pool.fetchval(held, PROJECTION) or 0) <= token:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return int(found)

    await shop.record(moment("2026-08-04T09:00"), *answers(9, 11, "2026-08-03T08:00"))
    running = asyncio.create_task(shop.watch.run())
    first = await held_above(0)
    async with shop.pool.acquire() as tx:
        await take_away(tx, PROJECTION)
    await held_above(first)
    await shop.rules.put(TENANT, rule())
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await shop.told():  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert await shop.pool.fetchval(held, PROJECTION) is None
