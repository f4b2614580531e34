from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.support.service import group_of, jobs_of, points
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

RECENT = timedelta(hours=2160)
FEW = 5
UNITS = {
    "passion": "points",
    "empowerment": "share",
    "rewards": "recognitions per 100 interactions",
    "involvement": "contacts",
    "feedback": "feedback",
}
STEPS = {
    pb.FRONT_LINE_STEP_DECISION: "empowerment",
    pb.FRONT_LINE_STEP_MANAGER_CONTACT: "involvement",
    pb.FRONT_LINE_STEP_FEEDBACK: "feedback",
}


def pillar_of(each: Told) -> str | None:
    if each.kind == "recognition":
        return "rewards"
    if each.kind != "front_line":
        return None
    if each.body.step == pb.FRONT_LINE_STEP_PULSE:
        return "passion" if each.body.pulse.dimension == "passion" else None
    return STEPS.get(each.body.step)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    group = group_of(events)
    since = horizon - RECENT
    members = defaultdict[str, set[tuple[str, str]]](set)
    for member, profiles in jobs_of(events).items():
        ends = [at for at, _ in profiles[1:]]
        for (_, profile), end in zip(profiles, [*ends, None], strict=True):
            team = members[profile.group or "unspecified"]
            if end is None or end > since:
                team.add(member)
    found = defaultdict[tuple[str, str], list[Told]](list)
    met = defaultdict[str, int](int)
    for each in events:
        pillar = pillar_of(each)
        named = each.body.group if each.kind == "front_line" else ""
        if pillar:
            found[named or group(each), pillar].append(each)
        elif each.kind == "interaction" and each.envelope.staff and each.occurred_at >= since:
            met[group(each)] += 1
    teams = set(members) | set(met) | {team for team, _ in found}
    return [
        told(team, pillar, found[team, pillar], met[team], len(members[team]), horizon)
        for team in teams
        for pillar in UNITS
    ]


def told(
    team: str, pillar: str, happened: list[Told], met: int, staff: int, horizon: datetime
) -> dict[str, Any]:
    recent = [each for each in happened if each.occurred_at >= horizon - RECENT]
    last_at = max((each.occurred_at for each in happened), default=None)
    # Of pulses that name nobody each is another one's.
    people = {(each.source, each.envelope.staff or each.position) for each in recent}
    too_few = staff < FEW or (pillar == "passion" and 0 < len(people) < FEW)
    value: float | None = len(recent)
    if pillar == "passion" and recent:
        value = float(sum(points(each.body.pulse) for each in recent) / len(recent))
    elif pillar == "empowerment" and recent:
        value = sum(not each.body.approval_needed for each in recent) / len(recent)
    elif pillar == "rewards":
        value = 100 * len(recent) / met if met else None
    return {
        "staff_group": team,
        "pillar": pillar,
        "state": "known" if recent else "unknown",
        "last_at": last_at,
        "days_since": None if last_at is None else max(0, (horizon - last_at).days),
        "events": None if too_few else len(recent),
        "interactions": met if pillar == "rewards" and not too_few else None,
        "value": value if recent and not too_few else None,
        "unit": UNITS[pillar],
        "staff": staff,
        "too_few": too_few,
    }
