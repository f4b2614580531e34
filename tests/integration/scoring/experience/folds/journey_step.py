from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from tests.support.journeys import Touch, answers_of, touches_of, word
from tests.support.told import Told
from touchledger.v1 import events_pb2 as pb


def fold(events: Sequence[Told], horizon: datetime) -> list[dict[str, Any]]:
    said = dict[int, Decimal]()
    for answer in answers_of(events):
        if answer.metric == "csat" and answer.about:
            said[answer.about.told.position] = answer.points
    journeys = dict[str, list[Touch]]()
    for touch in touches_of(events):
        if touch.journey:
            journeys.setdefault(touch.journey, []).append(touch)
    return [
        {
            "journey": journey,
            "step_no": number,
            "stage": touch.stage,
            "touchpoint": touch.touchpoint,
            "channel": word(pb.Channel.Name(touch.told.body.channel), "CHANNEL_"),
            "entered_at": touch.told.occurred_at,
            "exited_at": _exit(touch, later),
            "csat_points": said.get(touch.told.position),
        }
        for journey, steps in journeys.items()
        for number, (touch, later) in enumerate(zip_longest(steps, steps[1:]), start=1)
    ]


def _exit(touch: Touch, later: Touch | None) -> datetime | None:
    if touch.told.body.HasField("duration"):
        end: datetime = touch.told.occurred_at + touch.told.body.duration.ToTimedelta()
        return end
    return later.told.occurred_at if later else None
