"""What a rule would have told: the same judgement as the live one, over history, and nothing stored."""

import asyncio

from services.chassis.errors import Malformed, NotFound
from services.scoring.alerts.figures import GROUPS_MAX, figures
from services.scoring.alerts.judgement import Change, Moment, alert_id, period_end
from services.scoring.alerts.points import ASKED_SCAN_SECONDS_MAX, Known, Points
from services.scoring.alerts.replay import MOMENTS_MAX, TooManyGroups, due, replay
from services.scoring.alerts.rule import Rule, checked, rule_of
from services.scoring.alerts.rules import Rules, told_figures
from touchledger.v1 import alerts_pb2 as pb
from touchledger.v1.journal_pb2 import Position

ALERTS_MAX = 10_000


class BackTests:
    def __init__(self, points: Points, rules: Rules) -> None:
        self._points = points
        self._rules = rules

    async def run(self, tenant: str, request: pb.BackTestRequest) -> pb.BackTestResponse:
        try:
            with self._points.asked():
                return await self._run(tenant, request)
        except TooManyGroups:
            raise Malformed(
                f"one that watches at most {GROUPS_MAX} groups: narrow the glob",
                field="rule",
                got="more",
            ) from None

    async def _run(self, tenant: str, request: pb.BackTestRequest) -> pb.BackTestResponse:
        known = await self._points.known()
        rule, put = await self._tested(tenant, request)
        zone = await self._points.zone(tenant)
        if known.recorded_at is None:
            return pb.BackTestResponse()
        # A live rule has judged up to here, or will; as known now is one more moment after all of them.
        moments = await due(self._points, rule, zone, known, put=put, judged_at=None)
        if len(moments) >= MOMENTS_MAX:
            raise Malformed(f"a history of fewer than {MOMENTS_MAX} days", field="rule", got="more")
        now = Moment(known.recorded_at, known.position)
        replayed = await replay(
            self._points,
            tenant,
            rule,
            zone,
            [*moments, now],
            told={},
            seconds=ASKED_SCAN_SECONDS_MAX,
        )
        found = await asyncio.to_thread(figures, replayed.judgement)
        changes = [each for each in replayed.changes if each.moment is not now]
        alarms = replayed.judgement.alarms(now)
        return pb.BackTestResponse(
            alerts=[_alert(tenant, rule, change) for change in changes[:ALERTS_MAX]],
            alarms_now=[_alert(tenant, rule, alarm) for alarm in alarms[:ALERTS_MAX]],
            points=found.points,
            false_alarms_expected=found.false_alarms_expected,
            figures=told_figures(found),
            as_of_position=_position(known),
            truncated=max(len(changes), len(alarms)) > ALERTS_MAX,
        )

    async def _tested(self, tenant: str, request: pb.BackTestRequest) -> tuple[Rule, Moment | None]:
        if request.WhichOneof("tested") == "rule":
            return rule_of(checked(request.rule)), None
        kept = await self._rules.get(tenant, request.name)
        if not kept.is_current:
            raise NotFound("a rule that has not ended", field="name", got="another")
        return kept.rule, Moment(kept.put_at, kept.put_position) if kept.put_at else None


def _alert(tenant: str, rule: Rule, change: Change) -> pb.Alert:
    judged = change.judged
    alert = pb.Alert(
        alert_id=alert_id(tenant, rule.message.name, rule.message.version, change),
        rule=rule.message.name,
        rule_version=rule.message.version,
        group=change.group,
        period_start=change.period.isoformat(),
        period_end=period_end(rule, change.period).isoformat(),
        withdrawn=change.withdrawn,
        part=judged.point.part if judged else None,
        whole=judged.point.whole if judged else None,
        p0=change.p0,
        statistic=judged.statistic if judged else None,
        lower=judged.lower if judged else None,
        upper=judged.upper if judged else None,
        p_value=judged.p_value if judged else None,
        as_of_position=Position(number=change.moment.position),
    )
    alert.judged_at.FromDatetime(change.moment.at)
    return alert


def _position(known: Known) -> Position:
    return Position(journal_id=known.journal_id, number=known.position)
