from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.integration.scoring.experience.folds.score_by_segment import (
    Profiles,
    csat_answers,
    mean,
)
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb

DAY = timedelta(hours=24)
STAFFED = (pb.SERVICE_MODE_ASSISTED, pb.SERVICE_MODE_ADVISED)
REACHED = (pb.CHANNEL_PHONE, pb.CHANNEL_CHAT, pb.CHANNEL_STORE)
GIVEN_UP = (pb.OUTCOME_ABANDONED, pb.OUTCOME_FAILED)


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    profiles = Profiles(events)
    contacts = defaultdict[str, list[datetime]](list)
    uses = defaultdict[str, list[Told]](list)
    for each in events:
        if each.kind != "interaction":
            continue
        if each.body.service_mode == pb.SERVICE_MODE_SELF:
            uses[each.envelope.touchpoint].append(each)
        elif each.body.service_mode in STAFFED and each.body.channel in REACHED:
            contacts[profiles.person(each)].append(each.occurred_at)
    answers = list(csat_answers(events, profiles))
    rows = []
    for touchpoint, found in uses.items():
        stages = {each.body.stage for each in found}
        known = [each for each in found if profiles.person(each)]
        settled = [each for each in known if each.occurred_at + DAY <= horizon]
        leaked = {
            each.position
            for each in settled
            if any(
                each.occurred_at < at < each.occurred_at + DAY
                for at in contacts[profiles.person(each)]
            )
        }
        given_up = [each.position for each in settled if each.body.outcome in GIVEN_UP]
        leaks = [position for position in given_up if position in leaked]
        own = [
            each.points
            for each in answers
            if each.about.body.service_mode == pb.SERVICE_MODE_SELF
            and each.about.envelope.touchpoint == touchpoint
        ]
        staff = [
            each.points
            for each in answers
            if each.about.body.service_mode in STAFFED and each.about.body.stage in stages
        ]

        def ended(*outcomes: pb.Outcome, found: Sequence[Told] = found) -> int:
            return sum(each.body.outcome in outcomes for each in found)

        rows.append(
            {
                "touchpoint": touchpoint,
                "started": len(found),
                "completed": ended(pb.OUTCOME_COMPLETED, pb.OUTCOME_RESOLVED),
                "returned": ended(pb.OUTCOME_RETURNED),
                "abandoned": ended(pb.OUTCOME_ABANDONED),
                "failed": ended(pb.OUTCOME_FAILED),
                "anonymous": len(found) - len(known),
                "pending": len(known) - len(settled),
                "settled": len(settled),
                "contained": len(settled) - len(leaked),
                "containment_rate": 1 - len(leaked) / len(settled) if settled else None,
                "given_up": len(given_up),
                "leak_24h": len(leaks),
                "leak_rate": len(leaks) / len(given_up) if given_up else None,
                "csat_n": len(own),
                "csat_points": mean(own) if own else None,
                "staff_csat_n": len(staff),
                "staff_csat_points": mean(staff) if staff else None,
            }
        )
    return rows
